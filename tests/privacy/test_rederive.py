"""The independent script: same epsilons from the files alone, and it shares nothing with the package."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from privacy.accounting import pld_epsilon, rdp_epsilon
from privacy.ledger import Ledger
from privacy.mechanisms import Budget, GaussianRelease, Mechanism, PoissonGaussian

SCRIPT = Path(__file__).with_name("rederive.py")
PLENTY = Budget(1e6, 1e-5)
FIRST: list[Mechanism] = [PoissonGaussian(0.04, 1.5, 25)] * 3 + [PoissonGaussian(0.02, 1.1, 50, 1e-12)]
SECOND: list[Mechanism] = [PoissonGaussian(0.04, 1.5, 25)] * 2 + [GaussianRelease(20.0, 3, "example")]
UPDATES: list[Mechanism] = [GaussianRelease(4.0, 10)] * 10


def script(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False
    )


def ledger_with(path: Path, runs: dict[str, list[Mechanism]]) -> Path:
    Ledger.create(path, "data")
    with Ledger.open(path, "data") as ledger:
        for run, mechanisms in runs.items():
            for number, mechanism in enumerate(mechanisms):
                ledger.charge(mechanism, run, number, PLENTY)
    return path


def test_it_derives_the_same_epsilons_from_the_files_alone(tmp_path: Path) -> None:
    one = ledger_with(tmp_path / "one", {"a": FIRST, "b": SECOND + UPDATES})
    two = ledger_with(tmp_path / "two", {"a": UPDATES})
    done = script(str(one), str(two), "--delta", "1e-5")
    assert done.returncode == 0, done.stderr
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        rows[Path(row["ledger"]).name, row["unit"], row["run"]] = row
    expected = {
        ("one", "example", "a"): FIRST,
        ("one", "example", "b"): FIRST + SECOND,
        ("one", "client", "b"): UPDATES,
        ("two", "client", "a"): UPDATES,
    }
    assert rows.keys() == expected.keys()
    for key, mechanisms in expected.items():
        assert rows[key]["releases"] == sum(mechanism.releases for mechanism in mechanisms)
        assert rows[key]["epsilon_rdp"] == pytest.approx(rdp_epsilon(mechanisms, 1e-5), rel=1e-7)
        assert rows[key]["epsilon_pld"] == pytest.approx(pld_epsilon(mechanisms, 1e-5), rel=1e-3)
    shown = {key: (round(row["epsilon_rdp"], 4), round(row["epsilon_pld"], 4)) for key, row in rows.items()}
    print(shown)


def test_it_refuses_a_ledger_that_does_not_check(tmp_path: Path) -> None:
    path = ledger_with(tmp_path / "one", {"a": FIRST})
    path.write_bytes(path.read_bytes().replace(b'"steps":50', b'"steps":5', 1))
    done = script(str(path), "--delta", "1e-5")
    assert done.returncode == 1
    assert "line 5 does not follow" in done.stderr
    assert not done.stdout


def test_it_imports_nothing_of_ours() -> None:
    imported = set()
    for node in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(str(node.module).split(".")[0])
    ours = {package.name for package in SCRIPT.parents[2].iterdir() if (package / "__init__.py").exists()}
    assert "privacy" in ours
    assert not imported & ours
