"""The audit: sums that are noise alone, against the deviation that is stated; each known mistake must be seen.

100,000 coordinates have zero gradients, so that a masked sum is the sum of the shares and nothing else. The sum of
squares over the stated variance is chi-square with 100,000 degrees of freedom: it tells nine shares of ten from ten,
and an honest run fails one time in a million.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from arithmetic.residues import to_signed
from clients import private
from clients.example_gradients import ExampleGradients, example_gradients
from clients.private import PrivateWork
from clients.spending import Spending
from clients.tasks import DataSource, load_task
from clients.training import TrainingConfig
from clients.updates import arrays_of, spec_of
from privacy.discrete_gaussian import DiscreteGaussian
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.params import SecAggParams
from secagg.primitives import KeyStream
from strategies import decoding
from strategies.decoding import NoisySumDecoder
from strategies.groups import RoundTotal
from strategies.settings import Settings
from tests.support.private_run import SCALAR, SILENT, Sum, plan_of, private_trial, watched
from tests.support.run import at, swallow
from wire.rounds import ProtocolRound
from wire.scalars import WEIGHT, WITHIN_NORM

R2 = ProtocolRound("r2")
CLIENTS, COORDINATES = 10, 100_000
RARE = 1e-6
Reals = NDArray[np.float64]
Integers = NDArray[np.int64]


def rounds_of(
    folder: Path, least: int = CLIENTS, rounds: int = 1, dropped: int = 0, mode: str = "distributed"
) -> tuple[list[Sum], float]:
    """The sums of some server rounds of ten clients, and the variance that is stated for each coordinate."""
    trial = private_trial(
        mode,
        folder,
        {"task": SILENT, "clients": CLIENTS, "min-cohort": least, "threshold": 4, "batch-size": 1,
         "max-examples": 2, "local-epochs": 1} | ({"sampling-probability": 1.0} if mode == "distributed" else {}),
    )  # fmt: skip
    sums, plan = watched(trial), plan_of(trial)
    if dropped:
        trial.grid.before = at(R2, swallow, *trial.grid.ids[:dropped])
    for server_round in range(1, rounds + 1):
        assert trial.session(server_round) is not None
    asked = trial.config.noise_multiplier if mode == "distributed" else trial.config.client_noise_multiplier
    # What the sentence says is the noise multiplier times the norm; the shares are a little more.
    assert least * plan.share**2 >= (asked**2) * plan.norm_squared
    return sums, least * plan.share**2


def level(integers: Integers, variance: float) -> float:
    """Where the sum of squares lies in its law, from 0 (too little noise) to 1 (too much)."""
    return float(stats.chi2.cdf((integers.astype(np.float64) ** 2).sum() / variance, integers.size))


def is_honest(integers: Integers, variance: float) -> bool:
    return RARE < level(integers, variance) < 1 - RARE


@pytest.mark.parametrize("mode", ["distributed", "client"])
def test_an_honest_run_has_the_noise_that_is_stated(mode: str, tmp_path: Path) -> None:
    sums, variance = rounds_of(tmp_path, rounds=2, mode=mode)
    for each in sums:
        assert each.survivors == CLIENTS
        assert is_honest(each.integers, variance)
    assert is_honest(sums[0].integers - sums[1].integers, 2 * variance)
    # The audit can fail: nine shares of ten, and ten of nine.
    assert not is_honest(sums[0].integers, variance * 10 / 9)
    assert not is_honest(sums[0].integers, variance * 9 / 10)


@pytest.mark.parametrize("mode", ["distributed", "client"])
def test_with_30_percent_dropped_the_noise_is_all_there(mode: str, tmp_path: Path) -> None:
    sums, stated = rounds_of(tmp_path, least=7, dropped=3, mode=mode)
    assert sums[0].survivors == 7
    assert is_honest(sums[0].integers, stated)


def test_with_nobody_dropped_there_is_more(tmp_path: Path) -> None:
    sums, stated = rounds_of(tmp_path, least=7)
    assert sums[0].survivors == 10
    assert level(sums[0].integers, stated) > 1 - RARE
    assert is_honest(sums[0].integers, stated * 10 / 7)


# ---- each of these is a mistake that some system has made


def changed(
    monkeypatch: pytest.MonkeyPatch, draw: Callable[[Callable[[], Integers], float, int], Integers]
) -> None:
    """Let the fourth client of ten, and it alone, draw its share another way."""
    honest, calls = DiscreteGaussian.draw, []

    def drawn(self: DiscreteGaussian, count: int, uniform: Any) -> Integers:
        calls.append(1)
        if len(calls) % CLIENTS != 4:
            return honest(self, count, uniform)
        return draw(lambda: honest(self, count, uniform), self.sigma, count)

    monkeypatch.setattr(DiscreteGaussian, "draw", drawn)


def test_one_missing_share_of_ten_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda honest, sigma, count: np.zeros(count, dtype=np.int64))
    sums, variance = rounds_of(tmp_path)
    assert level(sums[0].integers, variance) < 1e-50


def test_a_halved_sigma_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = DiscreteGaussian.draw
    monkeypatch.setattr(
        DiscreteGaussian, "draw", lambda self, *args: honest(DiscreteGaussian(self.sigma / 2), *args)
    )
    sums, variance = rounds_of(tmp_path)
    assert level(sums[0].integers, variance) < 1e-50


def test_one_halved_sigma_of_ten_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda honest, sigma, count: honest() // 2)
    sums, variance = rounds_of(tmp_path)
    assert level(sums[0].integers, variance) < 1e-30


def reused(monkeypatch: pytest.MonkeyPatch, who: Callable[[int], bool]) -> None:
    """Let those calls, counted from 0 over clients and rounds, draw from one and the same stream."""
    calls: list[int] = []

    def stream(key: bytes) -> KeyStream:
        calls.append(1)
        return KeyStream(bytes(32) if who(len(calls) - 1) else key)

    monkeypatch.setattr(private, "KeyStream", stream)


def test_two_clients_with_one_seed_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reused(monkeypatch, lambda call: call in (2, 5))
    sums, variance = rounds_of(tmp_path)
    assert level(sums[0].integers, variance) > 1 - RARE
    assert is_honest(sums[0].integers, variance * 12 / 10)  # eight shares, and one twice as large


def test_a_seed_that_a_client_uses_again_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sum by itself looks honest; what two of them have in common does not."""
    reused(monkeypatch, lambda call: call % CLIENTS == 2)
    sums, variance = rounds_of(tmp_path, rounds=2)
    assert all(is_honest(each.integers, variance) for each in sums)
    assert level(sums[0].integers - sums[1].integers, 2 * variance) < 1e-50


# ---- adaptive clipping

PARAMS = SecAggParams(CLIENTS, 7, 9, 7, 32, 2, 20)
MEDIAN = 1.0
NORMS = MEDIAN * np.exp(np.linspace(-0.5, 0.5, CLIENTS))
SERVER_ROUNDS = 80


def norms_over_the_rounds(start: float, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clipping norm of each server round, from clients whose updates have the norms `NORMS`."""
    terms = PrivacyTerms(
        PrivacyMode.CLIENT, client_noise_multiplier=0.1, client_clipping_norm=start, clipping_quantile=0.5, delta=1e-4
    )  # fmt: skip
    decoder = NoisySumDecoder(Settings(CLIENTS, modulus_bits=32, privacy=terms, update_per_sum=0.1))
    task = load_task("tests.support.linear_task")
    model = task.model(0)
    spec = spec_of(model)
    params = replace(PARAMS, tensor_length=spec.tensor_length)
    nothing = Spending(folder / "ledger.jsonl", "data", "1", None)
    monkeypatch.setattr(nothing, "charge", lambda *mechanisms, server_round: None)
    work = PrivateWork(
        task, model, task.partition_data(DataSource(), 0.25, 0).train, torch.device("cpu"), arrays_of(model), spec,
        TrainingConfig(), terms, params, 1, nothing, 1, 0,
    )  # fmt: skip
    unit = np.full(spec.tensor_length, 1 / math.sqrt(spec.tensor_length))
    found = []
    for _ in range(SERVER_ROUNDS):
        found.append(float(decoder.travelling["client-clipping-norm"]))
        asked = replace(work, terms=replace(terms, client_clipping_norm=found[-1]))
        total, bits = np.zeros(spec.tensor_length, dtype=np.int64), 0
        for norm in NORMS:
            monkeypatch.setattr(PrivateWork, "update", lambda self, norm=norm: norm * unit)
            words, bit = asked.noisy_update()
            total, bits = total + to_signed(words, 32), bits + bit
        sums = {WEIGHT: CLIENTS, WITHIN_NORM: bits}
        decoder.mean(RoundTotal(total, [], CLIENTS), sums, np.zeros(0), params)
    return found


@pytest.mark.parametrize("start", [100 * MEDIAN, MEDIAN / 100])
def test_the_clipping_norm_converges_from_both_sides(
    start: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    norms = norms_over_the_rounds(start, tmp_path, monkeypatch)
    assert norms[0] == start
    late = np.array(norms[-20:])
    assert np.all((late > MEDIAN / 2) & (late < 2 * MEDIAN))
    assert MEDIAN / 1.25 < np.exp(np.log(late).mean()) < 1.25 * MEDIAN


@pytest.mark.parametrize("start", [100 * MEDIAN, MEDIAN / 100])
def test_adaptive_clipping_with_the_wrong_sign_is_seen_to_diverge(
    start: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A released system's norm of 13 grew to 3364 this way."""
    monkeypatch.setattr(decoding, "_CLIPPING_STEP", -decoding._CLIPPING_STEP)
    norms = norms_over_the_rounds(start, tmp_path, monkeypatch)
    away = [abs(math.log(norm / MEDIAN)) for norm in norms]
    assert away[-1] > away[0] + math.log(1000)
    assert not MEDIAN / 2 < norms[-1] < 2 * MEDIAN


# ---- an unclipped scalar


def rows_of(norm: float) -> Reals:
    """The clipped gradients of a client whose 0-d parameter has nearly all of every gradient."""
    task = load_task(SCALAR)
    data = task.partition_data(DataSource("", 0, CLIENTS), 0.25, 0).train
    with example_gradients(task, task.model(0), data, norm, torch.device("cpu"), 1) as gradients:
        return np.concatenate(list(gradients.clipped_rows(torch.arange(12)))).astype(np.float64)


def forget_the_scalar(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clip whose norm leaves 0-d parameters out, as a loop over dimensions does."""
    honest = ExampleGradients._factors

    def forgetful(self: ExampleGradients, found: Any, examples: int) -> torch.Tensor:
        shown = [
            None if weight.dim() == 0 else kept
            for weight, kept in zip(self.parameters.values(), found, strict=True)
        ]
        return honest(self, shown, examples)

    monkeypatch.setattr(ExampleGradients, "_factors", forgetful)


def test_a_scalar_is_under_the_one_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    norms = np.linalg.norm(rows_of(0.8), axis=1)
    assert norms.max() <= 0.8
    assert norms.max() > 0.79
    forget_the_scalar(monkeypatch)
    assert np.linalg.norm(rows_of(0.8), axis=1).max() > 80.0


def test_the_sum_keeps_to_its_bound_and_an_unclipped_scalar_never_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"task": SCALAR, "sampling-probability": 1.0, "noise-multiplier": 0.01}
    for broken in (False, True):
        folder = tmp_path / str(broken)
        folder.mkdir()
        trial = private_trial("distributed", folder, changes)
        sums, plan = watched(trial), plan_of(trial)
        if broken:
            forget_the_scalar(monkeypatch)
            assert trial.session() is None
            (failure,) = trial.named("round_failed")
            assert "RANGE" in failure["reason"]
            assert sums == []
        else:
            assert trial.session() is not None
            examples = sum(12 + 3 * partition for partition in range(5))
            noise = 12 * math.sqrt(5 * len(sums[0].integers)) * plan.share
            assert np.linalg.norm(sums[0].integers) <= examples * math.sqrt(plan.norm_squared) + noise
