"""`bench/privacy.py`: its rule, that each mode's noise is as large as it says, its shape, and the page's figures."""

import json
import math
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import bench.privacy
import bench.report
from bench.privacy import CLIENTS, Data, Noise, Rule, central, distributed, local
from bench.report import Row
from tests.support.launched import ROOT

DIGITS = Rule(1438, 128, 1.0, 1e-4)


def test_the_rule_on_both_tasks() -> None:
    """T, C, z and the learning rate as they were found, by another program (research of the rule)."""
    mnist = Rule(60_000, 392, 3.0, 1e-5)
    assert (DIGITS.steps, mnist.steps) == (62, 157)
    assert DIGITS.clipping_norm == pytest.approx(2.83, abs=0.01)
    assert mnist.clipping_norm == pytest.approx(4.95, abs=0.01)
    assert DIGITS.mechanism.noise_multiplier == pytest.approx(27.63, abs=0.02)
    assert mnist.mechanism.noise_multiplier == pytest.approx(18.71, abs=0.02)
    assert DIGITS.learning_rate == pytest.approx(0.516, abs=0.001)
    assert mnist.learning_rate == pytest.approx(6.53, abs=0.01)
    fewer = Rule(1438, 128, 1.0, 1e-4, least_survivors=7)
    assert fewer.learning_rate == pytest.approx(DIGITS.learning_rate * 0.7**1.5)
    assert fewer.mechanism == DIGITS.mechanism


@pytest.mark.parametrize(
    ("noisy_sum", "survivors", "times"),
    [
        (central, CLIENTS, 1.0),
        (local, CLIENTS, math.sqrt(CLIENTS)),
        (distributed, CLIENTS, 1.0),
        (distributed, 7, math.sqrt(CLIENTS / 7)),
        (partial(distributed, present=7), 7, 1.0),
    ],
)
def test_the_noise_in_a_sum_is_as_large_as_it_should_be(
    noisy_sum: Noise, survivors: int, times: float
) -> None:
    """Examples of zeros have no gradient, so the sum is its noise: 12,800 coordinates tell 3 %, shares differ by 5."""
    rule = Rule(1438, 1280, 1.0, 1e-4, survivors)
    features, weights = np.zeros((30, 1280)), np.zeros((1280, 10))
    dice = np.random.default_rng(0)
    found = noisy_sum(weights, features, np.zeros(30, dtype=np.int64), dice, rule)
    scale = rule.mechanism.noise_multiplier * rule.clipping_norm
    assert found.std() == pytest.approx(times * scale, rel=0.03)
    assert abs(found.mean()) < 5 * times * scale / math.sqrt(found.size)


@pytest.fixture(scope="module")
def examples() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (16, 10), features (40, 16) of unequal norms, labels."""
    dice = np.random.default_rng(3)
    features = dice.normal(size=(40, 16)) * dice.uniform(0.1, 3.0, (40, 1))
    return dice.normal(size=(16, 10)), features, dice.integers(10, size=40)


def test_the_gradient_is_torchs_with_each_example_clipped(
    examples: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    weights, features, labels = examples
    norm, total = 1.0, np.zeros_like(weights)
    for one, label in zip(features, labels, strict=True):
        leaf = torch.tensor(weights, requires_grad=True)
        loss = torch.nn.functional.cross_entropy(torch.tensor(one) @ leaf, torch.tensor(label))
        (gradient,) = (found.numpy() for found in torch.autograd.grad(loss, [leaf]))
        total += gradient * min(1.0, norm / np.linalg.norm(gradient))
    found = features.T @ bench.privacy._residuals(weights, features, labels, norm)
    np.testing.assert_allclose(found, total, rtol=1e-9, atol=1e-12)


def test_the_integers_sum_every_example_of_those_present(
    examples: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """With hardly any noise the sum is the clipped gradient's; without three clients it is another."""
    weights, features, labels = examples
    rule = Rule(40, 16, 1e5, 1e-4)
    exact = features.T @ bench.privacy._residuals(weights, features, labels, rule.clipping_norm)
    dice = np.random.default_rng(0)
    scale = rule.mechanism.noise_multiplier * rule.clipping_norm
    everyone = distributed(weights, features, labels, dice, rule)
    some = distributed(weights, features, labels, dice, rule, present=7)
    assert np.abs(everyone - exact).max() < 6 * scale
    assert np.abs(some - exact).max() > 6 * scale


def test_a_quick_run_prints_every_case() -> None:
    command = [sys.executable, "-m", "bench.privacy", "--quick", "--json", "--task", "digits"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [row["case"] for row in rows] == [
        "digits eps=8",
        "digits eps=8 local",
        "digits eps=8 local, learning rate for its noise",
        "digits eps=8 with 30 % dropping",
    ]
    assert all(list(row) == ["case", "ours", "peer", "unit"] and row["unit"] == "%" for row in rows)
    assert all(50 < row["ours"] <= 100 for row in rows)
    assert [row["peer"] is None for row in rows] == [False, True, True, False]


def test_mnist_is_left_out_where_it_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench.privacy, "MNIST", tmp_path / "absent")
    assert list(bench.privacy.mnist(quick=True)) == []
    assert "mnist is left out" in capsys.readouterr().out


def _row(case: str, ours: float, peer: float | None) -> Row:
    return Row(case, ours, peer, "%")


ROWS = [
    _row("digits eps=1", 95.0, 95.25),
    _row("digits eps=1 local", 72.0, None),
    _row("digits eps=8", 99.0, 98.5),
    _row("digits eps=8 local", 94.0, None),
    _row("digits eps=1 with 30 % dropping", 90.0, 91.0),
    _row("mnist eps=3", 98.0, 98.0),
]


def test_save_keeps_the_figures_and_draws_digits_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the extra bench")
    monkeypatch.setattr(bench.report, "RESULTS", tmp_path)
    monkeypatch.setattr(bench.privacy, "RESULTS", tmp_path)
    monkeypatch.setattr(bench.privacy, "CASES", {"digits": lambda quick: iter(ROWS)})
    monkeypatch.setattr(sys, "argv", ["privacy", "--save"])
    bench.privacy.main()
    assert len(json.loads((tmp_path / "privacy.json").read_text())["figures"]) == len(ROWS)
    assert (tmp_path / "privacy.png").read_bytes().startswith(b"\x89PNG")
    assert bench.privacy._curves(ROWS) == {
        "distributed": [(1.0, 95.0), (8.0, 99.0)],
        "central": [(1.0, 95.25), (8.0, 98.5)],
        "local": [(1.0, 72.0), (8.0, 94.0)],
    }


def test_the_picture_says_how_far_behind(tmp_path: Path) -> None:
    pictures = pytest.importorskip("bench.pictures", reason="matplotlib comes with the extra bench")
    pictures.accuracy_against_epsilon(bench.privacy._curves(ROWS), tmp_path / "one.svg")
    assert "at most 0.25 points behind a trusted server" in (tmp_path / "one.svg").read_text()


def test_the_page_has_the_figures_that_were_saved() -> None:
    saved = json.loads((ROOT / "bench" / "results" / "privacy.json").read_text(encoding="utf-8"))
    kept = {row["case"]: row for row in saved["figures"]}
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([1248]) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", page, re.M)
    assert [row[0] for row in rows] == ["1", "2", "4", "8"]
    for epsilon, *cells in rows:
        row = kept[f"digits eps={epsilon}"]
        pld = re.search(r"PLD epsilon ([\d.]+)", row["note"])
        assert pld is not None
        expected = [kept[f"digits eps={epsilon} local"]["ours"], row["ours"], row["peer"], float(pld[1])]
        assert [float(cell) for cell in cells] == pytest.approx(expected, abs=0.006)
    dropping = re.findall(r"^\| ([14]), noise for 7 of 10 \| ([\d.]+) \| ([\d.]+) \|$", page, re.M)
    assert [epsilon for epsilon, *_ in dropping] == ["1", "4"]
    for epsilon, *cells in dropping:
        row = kept[f"digits eps={epsilon} with 30 % dropping"]
        assert [float(cell) for cell in cells] == pytest.approx([row["peer"], row["ours"]], abs=0.006)
    mnist = re.search(r"MNIST[^.]*: (\d+\.\d+) %", page)
    assert mnist is not None
    assert float(mnist[1]) == pytest.approx(kept["mnist eps=3"]["ours"], abs=0.006)


def test_training_learns() -> None:
    """Separable examples and hardly any noise: a run ends with nearly all of them right."""
    labels = np.arange(400) % 2
    spread = np.random.default_rng(0).normal(size=(400, 16)) + np.where(labels, 3.0, -3.0)[:, None]
    data = Data(spread, labels, spread, labels)
    assert bench.privacy.train(data, Rule(400, 16, 100.0, 1e-4), central, 0) > 95
