"""`bench/paillier.py` in its quick mode: every line has its shape, with a peer and without. No time is looked at."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bench.paillier
from bench.report import options_of
from tests.support.launched import ROOT

CASES = [
    "once: key pair of 2048 bits",
    "once: table of one hospital",
    "iteration, 5 hospitals by 11 values at 2048 bits",
    "iteration and all tables",
    "iteration without tables",
]
PHE = """
class Number(int):
    pass
class Public:
    def encrypt(self, value): return value
class Private:
    def decrypt(self, value): return value
def generate_paillier_keypair(n_length):
    assert n_length == 2048
    return Public(), Private()
"""


def _rows(*options: str) -> tuple[list[dict[str, Any]], str]:
    command = [sys.executable, "-m", "bench.paillier", "--quick", "--json", *options]
    bare = {name: value for name, value in os.environ.items() if name != "CHORUS_PEER_PYTHON"}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env=bare
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len([line for line in done.stdout.splitlines() if not line.startswith("{")]) == len(rows)
    return rows, done.stderr


def _interpreter(folder: Path, gmp: bool, offset: float = 0.0) -> str:
    """An interpreter whose python-paillier adds in the clear."""
    package = folder / "phe"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "paillier.py").write_text(
        PHE.replace("encrypt(self, value): return value", f"encrypt(self, value): return value + {offset}")
    )
    (package / "util.py").write_text(f"HAVE_GMP = {gmp}\n")
    script = folder / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return str(script)


def test_a_quick_run_ends_with_one_object_a_line(tmp_path: Path) -> None:
    rows, said = _rows("--peer-python", _interpreter(tmp_path, gmp=True))
    assert [row["case"] for row in rows] == CASES
    assert not said
    for row in rows:
        assert list(row) == ["case", "ours", "peer", "unit"]
        assert row["ours"] > 0
        assert row["unit"] == "s"
        assert (row["peer"] is None) == (row["case"] == CASES[1])


@pytest.mark.parametrize("missing", ["no such module", "no gmpy2"])
def test_without_a_usable_peer_the_rows_have_none_and_say_so(tmp_path: Path, missing: str) -> None:
    python = _interpreter(tmp_path, gmp=False) if missing == "no gmpy2" else sys.executable
    if missing == "no such module" and bench.paillier.importlib.util.find_spec("phe"):
        pytest.skip("python-paillier is here")
    rows, said = _rows("--peer-python", python)
    assert [row["case"] for row in rows] == CASES
    assert all(row["peer"] is None for row in rows)
    assert "peer" in said


def test_a_peer_whose_sum_is_wrong_is_no_peer(tmp_path: Path) -> None:
    options = options_of("test").parse_args(["--quick"])
    options.peer_python = _interpreter(tmp_path, gmp=True, offset=0.5)
    with pytest.raises(SystemExit, match="wrong"):
        next(bench.paillier.rows(options))


@pytest.mark.slow
def test_an_environment_that_could_not_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.paillier, "PEER_ENVIRONMENT", tmp_path / "peer")
    monkeypatch.setattr(bench.paillier, "PEER_PACKAGES", ("--no-index", "no-such-package-anywhere"))
    assert not bench.paillier._make_environment(tmp_path / "peer" / "bin" / "python")
    assert not (tmp_path / "peer").exists()
