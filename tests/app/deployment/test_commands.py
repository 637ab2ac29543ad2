"""The verbs as typed: one line for a mistake, no traceback, nothing half made."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.app.deployment.conftest import NAMES

ROOT = Path(__file__).resolve().parent.parent.parent.parent


def typed(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "app", *arguments]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)


def test_a_shells_star_names_all_requests(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        done = typed(tmp_path, "provision-request", "--name", name, "--out", name)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / name / f"{name}.request.json").is_file()
        assert "read the fingerprint" in done.stdout
    files = [f"{name}/{name}.request.json" for name in ("a", "b", "c")]
    done = typed(tmp_path, "provision", "--server", "10.0.0.7", "--requests", *files, "--days", "3")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "federation" / "nodes").iterdir()) == ["a", "b", "c"]
    assert "the kits of a, b, c hold no keys" in done.stdout


def test_the_fingerprint_is_read_out_and_the_steps_are_said(tmp_path: Path) -> None:
    done = typed(tmp_path, "provision", "--server", "localhost", "--nodes", ",".join(NAMES))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "made federation"
    groups = lines[1].split()[1].rstrip(",").split("-")
    assert [len(group) for group in groups] == [4] * 5
    assert "offline" in lines[2]
    again = typed(tmp_path, "provision", "--server", "localhost", "--nodes", ",".join(NAMES))
    assert again.returncode == 2
    assert again.stderr.startswith("CH-C03  ")
    assert "nothing is written over" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["provision", "--server", "a", "--nodes", "a,b"], 2, "CH-C03  2 nodes are too few"),
        (["provision", "--nodes", "a,b,c"], 2, "CH-C03  the server has no name"),
        (
            ["provision", "--add", "d", "--renew"],
            2,
            "CH-C03  --add, --revoke and --renew are one change each",
        ),
        (
            ["provision", "--add", "d", "--nodes", "a"],
            2,
            "CH-C03  --add, --revoke and --renew change the federation",
        ),
        (["provision", "--renew"], 2, "CH-C03  federation/authority is not there"),
        (["provision", "--server", "a", "--requests", "none.json"], 2, "CH-C03  none.json is missing"),
        (["provision-request", "--name", "A B", "--out", "x"], 2, "CH-C03  'A B' is no name for a node"),
        (["superlink", "nothing"], 2, "CH-C03  there is no kit"),
        (["supernode", "nothing"], 2, "CH-C03  there is no kit"),
        (["supernode", "nothing", "--port", "0"], 2, "CH-C05  Invalid value for '--port'"),
        (["doctor", "hospital", "nothing"], 2, "CH-C05  Invalid value for"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: list[str], code: int, complaint: str) -> None:
    done = typed(tmp_path, *arguments)
    assert done.returncode == code
    assert done.stderr.startswith(complaint)
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_kit_that_is_not_there_is_found_by_the_doctor(tmp_path: Path) -> None:
    for role in ("server", "node"):
        done = typed(tmp_path, "doctor", role, "nothing")
        assert done.returncode == 4
        assert all(line.startswith(("ok ", "WRONG")) for line in done.stdout.splitlines())
        assert not done.stderr


def test_starting_a_run_pays_for_no_crypto_library_and_no_flower() -> None:
    """No time is tested: what the verbs need is imported when one of them is asked for."""
    code = "import sys, app.deployment.commands; print({'cryptography', 'flwr', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("made_for", "enough_for"),
    [("node", ["node"]), ("run", ["node", "run"]), ("test", ["node", "run", "test"])],
)
def test_an_environment_serves_every_kind_that_it_holds(
    tmp_path: Path, made_for: str, enough_for: list[str]
) -> None:
    """A device's environment has no Ray, and one that has more is not made again."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / ".venv").mkdir()
    for name in ("scripts/setup.sh", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    script = (
        f". scripts/setup.sh; wanted_stamp {made_for} >.venv/.chorus-{made_for};"
        "for kind in node run test; do is_ready $kind && echo $kind; done; true"
    )
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == enough_for
