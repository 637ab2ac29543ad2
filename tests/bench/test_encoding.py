"""`bench/encoding.py` in its quick mode: its shape, and that no error is beyond the bound printed beside it."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from arithmetic.fixed_point import FixedPoint
from bench import encoding
from bench.encoding import Case, measured
from tests.support.launched import ROOT


def test_a_quick_run_prints_rows_a_table_and_one_object_a_row() -> None:
    command = [sys.executable, "-m", "bench.encoding", "--quick", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert all(list(row) == ["case", "ours", "peer", "unit"] for row in rows)
    figures = {row["case"].removeprefix("digits n=5 "): (row["ours"], row["peer"]) for row in rows}
    assert len(figures) == len(rows) == 3 * 6
    assert [figures[f"b={bits} bytes an entry up"] for bits in (8, 16, 24)] == [(1, 4), (2, 4), (3, 4)]
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [line.split()[1] for line in lines] == ["b", "8", "16", "24", "plain"]
    bounds = re.findall(r"^digits n=5 (b=\d+ error, .* round) .*bound (\S+)$", done.stdout, re.M)
    assert len(bounds) == 3 * 2
    for name, bound in bounds:
        assert 0 < figures[name][0] <= float(bound) * 1.05, "printed with two digits"


def test_a_width_without_room_for_the_cohort_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    case = Case(
        {"task": "digits", "clients": 20, "rounds": 1, "local-epochs": 1}, 20, seeds=1, widths=(8, 10)
    )
    (only,) = measured(case)
    assert only.bits == 10
    assert "digits n=20 b=8 is left out" in capsys.readouterr().out


def test_the_picture_is_a_png_with_a_panel_a_case(tmp_path: Path) -> None:
    picture = pytest.importorskip("bench.encoding_picture", reason="matplotlib comes with the extra bench")
    one = [picture.Mark("one", bits, bits / 8, (0.9, 0.95), (0.94, 0.96)) for bits in (8, 24)]
    picture.draw(one, tmp_path / "one.png")
    picture.draw([*one, picture.Mark("two", 24, 3.0, (0.9,), (0.9,))], tmp_path / "two.png")
    widths = []
    for name in ("one", "two"):
        data = (tmp_path / f"{name}.png").read_bytes()
        assert data.startswith(b"\x89PNG")
        widths.append(int.from_bytes(data[16:20], "big"))
    assert widths[1] == 2 * widths[0]


def test_mnist_is_left_out_where_it_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(encoding, "MNIST", tmp_path / "absent")
    assert list(encoding._rows("mnist", False, [])) == []
    assert "mnist n=10 is left out: there is no folder" in capsys.readouterr().out


PAGE = (ROOT / "docs" / "encoding.md").read_text(encoding="utf-8")


def test_the_page_names_the_least_b_for_16_bit_inputs() -> None:
    rows = re.findall(r"^\| ([\d,]+) \| (\d+) \| ([\d.]+) \| ([\d,]+) \|$", PAGE, re.M)
    assert len(rows) >= 6
    for n, bits, entry, levels in rows:
        cohort, least = int(n.replace(",", "")), int(bits)
        assert FixedPoint(least, cohort, 1.0).levels >= 2**15 - 1 > FixedPoint(least - 1, cohort, 1.0).levels
        assert float(entry) == pytest.approx(least / 8, abs=0.005)
        assert int(levels.replace(",", "")) == FixedPoint(24, cohort, 1.0).levels


def test_the_page_has_the_figures_that_were_saved() -> None:
    saved = json.loads((ROOT / "bench" / "results" / "encoding.json").read_text(encoding="utf-8"))
    kept = {row["case"]: row["ours"] for row in saved["figures"]}
    cases = re.findall(r"^\*\*(\w+ n=\d+.*?)\*\*(.*?)(?=^\*\*|^## |\Z)", PAGE, re.M | re.S)
    assert {
        f"{case} b={bits}" for case, text in cases for bits in re.findall(r"^\| (\d+) \|", text, re.M)
    } == {name.removesuffix(" accuracy") for name in kept if name.endswith(" accuracy")}
    for case, text in cases:
        for line in re.findall(r"^\| \d+ \|.*$", text, re.M):
            bits, entry, client, accuracy, first, last, error, distance = (
                cell.split()[0] for cell in line.strip("| ").split("|")
            )
            name = f"{case} b={bits}"
            assert float(entry) == pytest.approx(kept[f"{name} bytes an entry up"], abs=0.005)
            assert float(client) == pytest.approx(kept[f"{name} one client a round"] / 1000, abs=0.05)
            assert float(accuracy) == pytest.approx(kept[f"{name} accuracy"], abs=5e-5)
            assert float(error) == pytest.approx(kept[f"{name} error, last round"], rel=0.05)
            assert float(distance) == pytest.approx(kept[f"{name} weights apart from plain"], rel=0.05)
            assert float(error) <= float(last) <= float(first)
