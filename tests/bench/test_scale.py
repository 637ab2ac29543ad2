"""`bench/scale.py` in its quick mode: every case runs, every line has its shape, the picture is drawn. No times."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench.report
import bench.scale
from bench.powerlaw import Curve
from bench.report import Row
from tests.support.launched import ROOT

WHAT = ["client", "server", "bytes of a client"]


def _quick(case: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "bench.scale", "--quick", "--json", "--case", case]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len([line for line in done.stdout.splitlines() if line and not line.startswith("{")]) == len(rows)
    return rows


@pytest.mark.parametrize("case", ["n", "d"])
def test_a_quick_run_ends_with_costs_and_their_exponents(case: str) -> None:
    rows = _quick(case)
    *costs, _, _, _ = rows
    assert len(costs) == 9
    for row in costs:
        assert list(row) == ["case", "ours", "peer", "unit"]
        assert row["ours"] > 0
        assert row["peer"] is None
    assert [row["case"].partition(" n=")[0] for row in costs] == WHAT * 3
    assert [row["unit"] for row in costs] == ["s", "s", "B"] * 3
    assert [(row["case"], row["unit"]) for row in rows[-3:]] == [
        (f"exponent of {what} in {case}", "exp") for what in WHAT
    ]


def test_bytes_grow_with_parameters_as_the_packing_says() -> None:
    """24 bits an entry, so ten times the parameters more than here are three bytes for each more."""
    found = {row["case"]: row["ours"] for row in _quick("d")}
    sent = [found[f"bytes of a client n=10 d={d} k=9 drop=10%"] for d in (100, 1000, 10_000)]
    assert sent[1] - sent[0] == 900 * 3
    assert sent[2] - sent[1] == 9000 * 3


def _bounds(quick: bool) -> list[Row]:
    return [row for row in bench.scale.bounds(quick) if isinstance(row, Row)]


def test_bounds_are_those_of_the_documentation() -> None:
    """Every row of the table in docs/scale.md, from the real code."""
    form = r"^\| ([\d ]+) \| (\d+), (\d+) \| (\d+) \| (\d+), (\d+) \| (\d+), (\d+) \|$"
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    written = [[int(field.replace(" ", "")) for field in row] for row in re.findall(form, page, re.M)]
    computed = []
    rows = _bounds(quick=False)
    for alone, group in zip(rows[::2], rows[1::2], strict=True):
        n, groups, corrupt, dropped = map(int, re.findall(r"=(\d+)", group.case))
        one, other = (int(row.note.removeprefix("threshold ")) for row in (alone, group))
        computed.append([n, alone.ours, one, groups, corrupt, dropped, group.ours, other])
    assert written == computed


def test_a_group_is_guarded_against_more_than_its_share_of_the_corrupt() -> None:
    """Groups dealt from a population with 5 % corrupt: the allowance holds in all of them, and 5 % does not."""
    draw = np.random.default_rng(1).hypergeometric
    worst = draw(int(0.05 * bench.scale.POPULATION), int(0.95 * bench.scale.POPULATION), 100, 100_000).max()
    (group,) = (row for row in _bounds(quick=True) if "n=100 groups" in row.case)
    corrupt = int(re.findall(r"corrupt=(\d+)", group.case)[0])
    assert 5 < worst <= corrupt


def test_save_keeps_the_figures_and_draws_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.report, "RESULTS", tmp_path)
    monkeypatch.setattr(bench.scale, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["scale", "--quick", "--save"])
    bench.scale.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scale.json", "scale.png"]
    assert len(json.loads((tmp_path / "scale.json").read_text())["figures"]) == 34
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_says_the_exponents(tmp_path: Path) -> None:
    pictures = pytest.importorskip("bench.pictures", reason="matplotlib comes with the extra bench")
    curve = Curve("server", "n", "s", (10.0, 100.0, 1000.0), (0.1, 10.0, 1000.0))
    pictures.scale([curve], tmp_path / "one.svg")
    drawn = (tmp_path / "one.svg").read_text()
    assert "server ~ n^2.00" in drawn
    assert "Ten times the clients: server x 100" in drawn
