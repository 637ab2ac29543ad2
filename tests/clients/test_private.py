"""The client's private work: charged first, clipped exactly, noised by its own share, and silent about the rest."""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import TensorDataset

from arithmetic.errors import ParameterError, RangeError
from arithmetic.residues import to_signed
from clients import private
from clients.private import PrivateWork
from clients.spending import Spending
from clients.tasks import DataSource, load_task
from clients.training import TrainingConfig, train
from clients.updates import arrays_of, spec_of
from privacy.accounting import rdp_epsilon
from privacy.discrete_gaussian import DiscreteGaussian
from privacy.errors import BudgetExhausted
from privacy.ledger import Ledger, charges_of
from privacy.mechanisms import Budget, GaussianRelease, Mechanism, PoissonGaussian
from privacy.noise_shares import NoisePlan
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import Refused
from secagg.params import SecAggParams
from tests.support.private_run import LINEAR
from wire.noise import sum_plan, within_norm_plan

Reals = NDArray[np.float64]
CPU = torch.device("cpu")
NORM = 0.8
TERMS = {
    "local": PrivacyTerms(PrivacyMode.LOCAL, 1.5, NORM, delta=1e-4, rounds=3),
    "distributed": PrivacyTerms(PrivacyMode.DISTRIBUTED, 1.5, NORM, 1.0, delta=1e-4, rounds=3),
    "client": PrivacyTerms(
        PrivacyMode.CLIENT, client_noise_multiplier=1.2, client_clipping_norm=NORM, delta=1e-4, rounds=3
    ),
    "local+client": PrivacyTerms(
        PrivacyMode.LOCAL_CLIENT, 1.5, 0.3, client_noise_multiplier=1.2, client_clipping_norm=NORM, delta=1e-4,
        rounds=3,
    ),
}  # fmt: skip
RELEASES: dict[str, Callable[[PrivateWork], object]] = {
    "local": PrivateWork.update,
    "distributed": PrivateWork.noisy_gradient_sum,
    "client": PrivateWork.noisy_update,
    "local+client": PrivateWork.noisy_update,
}
TOUCHES = {
    "local": "train_dp", "distributed": "example_gradients", "client": "train", "local+client": "train_dp",
}  # fmt: skip


def job(mode: str, folder: Path, **changes: Any) -> PrivateWork:
    """One client of five; `changes` are of its attributes, or of its terms."""
    task = load_task(changes.pop("task", LINEAR))
    model = task.model(0)
    spec = spec_of(model)
    own = {name: changes.pop(name) for name in list(changes) if name in PrivateWork.__dataclass_fields__}
    budget = changes.pop("budget", None)
    parts: dict[str, Any] = {
        "task": task, "model": model, "data": task.partition_data(DataSource("", 1, 5), 0.25, 0).train,
        "device": CPU, "arrays": arrays_of(model), "spec": spec, "config": TrainingConfig(1, 4),
        "terms": replace(TERMS[mode], **changes),
        "params": SecAggParams(5, 4, 4, 4, 32, spec.tensor_length, 12), "max_examples": 40,
        "spending": Spending(folder / "ledger.jsonl", "data", "run 7", budget), "server_round": 2,
        "partition_id": 1,
    }  # fmt: skip
    return PrivateWork(**parts | own)


def plan_of(work: PrivateWork) -> NoisePlan:
    return sum_plan(work.terms, work.params, work.max_examples)


@pytest.fixture
def noiseless(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Shares of zero; the sigmas that were asked for."""
    asked: list[float] = []

    def nothing(self: DiscreteGaussian, count: int, uniform: object) -> NDArray[np.int64]:
        asked.append(self.sigma)
        return np.zeros(count, dtype=np.int64)

    monkeypatch.setattr(DiscreteGaussian, "draw", nothing)
    return asked


def updates_to(monkeypatch: pytest.MonkeyPatch, update: Reals) -> None:
    monkeypatch.setattr(PrivateWork, "update", lambda self: update.copy())


def signed(work: PrivateWork, words: Any) -> NDArray[np.int64]:
    return to_signed(words, work.params.modulus_bits)


# ---- what is charged, and when


def expected_charges(mode: str, work: PrivateWork) -> list[Mechanism]:
    examples = len(work.data)  # type: ignore[arg-type]
    mine: list[Mechanism] = []
    if mode == "distributed":
        plan = plan_of(work)
        mine.append(PoissonGaussian(1.0, plan.noise_multiplier, 1, plan.slack))
    if "client" in mode:
        plan = plan_of(work)
        mine.append(GaussianRelease(plan.noise_multiplier, 1, "client", plan.slack))
    if mode == "client":  # one example can turn the update around: twice the clipping norm
        mine.append(GaussianRelease(plan.noise_multiplier / 2, 1, "example", plan.slack))
    if "local" in mode:
        mine.append(PoissonGaussian(4 / examples, 1.5, math.ceil(examples / 4)))
    return mine


@pytest.mark.parametrize("mode", TERMS)
def test_each_release_is_on_disk_before_the_data_is_touched(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adversary: the process dies at the first look at the data. What it might have released is charged."""
    work = job(mode, tmp_path)

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(private, TOUCHES[mode], killed)
    with pytest.raises(KeyboardInterrupt):
        RELEASES[mode](work)
    assert list(charges_of(tmp_path / "ledger.jsonl")) == expected_charges(mode, work)


@pytest.mark.parametrize("mode", TERMS)
def test_what_is_charged_follows_from_plan_and_data(mode: str, tmp_path: Path) -> None:
    work = job(mode, tmp_path)
    RELEASES[mode](work)
    found = list(charges_of(tmp_path / "ledger.jsonl"))
    assert found == expected_charges(mode, work)
    asked = {"example": 0.6 if mode == "client" else 1.5, "client": 1.2}
    for mechanism in found:
        assert asked[mechanism.unit] <= mechanism.noise_multiplier <= asked[mechanism.unit] * 1.01
        assert 0 <= mechanism.slack <= 1e-9


def test_the_bit_is_a_release_of_its_own(tmp_path: Path) -> None:
    work = job("client", tmp_path, clipping_quantile=0.5)
    work.noisy_update()
    plan, bit = plan_of(work), within_norm_plan(work.terms, work.params)
    assert list(charges_of(tmp_path / "ledger.jsonl")) == [
        GaussianRelease(plan.noise_multiplier, 1, "client", plan.slack),
        GaussianRelease(bit.noise_multiplier, 1, "client", bit.slack),
        GaussianRelease(plan.noise_multiplier / 2, 1, "example", plan.slack),
        GaussianRelease(bit.noise_multiplier / 2, 1, "example", bit.slack),
    ]
    assert bit.noise_multiplier >= 5 * 1.2


def test_the_bit_beside_dp_sgd_is_charged_for_clients_alone(tmp_path: Path) -> None:
    """What DP-SGD releases is noised already; what follows from it costs an example nothing more."""
    work = job("local+client", tmp_path, clipping_quantile=0.5)
    work.noisy_update()
    found = charges_of(tmp_path / "ledger.jsonl")
    assert [type(each) for each in found] == [GaussianRelease, GaussianRelease, PoissonGaussian]
    assert [each.unit for each in found] == ["client", "client", "example"]


@pytest.mark.parametrize("mode", TERMS)
def test_only_noise_in_shares_has_colluders(mode: str, tmp_path: Path) -> None:
    """Noise of a client's own holds against everyone, so its line names none."""
    RELEASES[mode](job(mode, tmp_path, colluders=1))
    found = charges_of(tmp_path / "ledger.jsonl")
    own = [isinstance(each, PoissonGaussian) and mode != "distributed" for each in found]
    assert [each.colluders for each in found] == [0 if mine else 1 for mine in own]


@pytest.mark.parametrize("mode", [mode for mode in TERMS if mode != "local"])
def test_colluders_that_could_rebuild_a_clients_secrets_are_refused(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adversary: the server names four colluders where four shares are enough."""
    monkeypatch.setattr(private, TOUCHES[mode], lambda *args: pytest.fail("the data was touched"))
    params = replace(job(mode, tmp_path).params, cohort=7, neighbours=6, min_survivors=6)
    with pytest.raises(Refused, match="raise threshold above colluders"):
        RELEASES[mode](job(mode, tmp_path, colluders=4, params=params))
    assert not (tmp_path / "ledger.jsonl").exists()


def test_both_units_are_charged_or_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that holds for clients and not for examples, whose noise multiplier is half: nothing is written."""
    monkeypatch.setattr(private, "train", lambda *args: pytest.fail("the data was touched"))
    work = job("client", tmp_path)
    client, example = (rdp_epsilon([each], 1e-4) for each in expected_charges("client", work))
    assert client < example
    work.spending.budget = Budget((client + example) / 2, 1e-4)
    with pytest.raises(BudgetExhausted, match="example-level"):
        work.noisy_update()
    assert charges_of(tmp_path / "ledger.jsonl") == ()


def test_the_update_and_the_bit_are_charged_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget that the update alone keeps, and the bit alone, and not both."""
    monkeypatch.setattr(private, "train", lambda *args: pytest.fail("the data was touched"))
    work = job("client", tmp_path, clipping_quantile=0.5)
    plan, bit = plan_of(work), within_norm_plan(work.terms, work.params)
    lines = [GaussianRelease(each.noise_multiplier / 2, 1, "example", each.slack) for each in (plan, bit)]
    work.spending.budget = Budget((rdp_epsilon(lines, 1e-4) + rdp_epsilon(lines[:1], 1e-4)) / 2, 1e-4)
    with pytest.raises(BudgetExhausted, match="example-level"):
        work.noisy_update()
    assert charges_of(tmp_path / "ledger.jsonl") == ()


@pytest.mark.parametrize("mode", TERMS)
def test_a_budget_that_the_release_would_pass_leaves_the_data_alone(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, TOUCHES[mode], lambda *args: pytest.fail("the data was touched"))
    work = job(mode, tmp_path, budget=Budget(0.01, 1e-4))
    with pytest.raises(BudgetExhausted, match=r"epsilon 0\.01"):
        RELEASES[mode](work)
    assert charges_of(tmp_path / "ledger.jsonl") == ()


def test_a_target_epsilon_becomes_the_noise_of_the_whole_run(tmp_path: Path) -> None:
    work = job("local", tmp_path, noise_multiplier=0.0, epsilon=3.0)
    budget = Budget(3.0, 1e-4)
    for _ in range(work.terms.rounds):
        work.update()
    with Ledger.open(tmp_path / "ledger.jsonl", "data") as ledger:
        assert 2.999 < ledger.spent(1e-4)["example"] <= 3.0
        with pytest.raises(BudgetExhausted):
            ledger.check(ledger.mechanisms[0], budget=budget)


# ---- mode distributed


def clipped_sum(work: PrivateWork, norm: float) -> Reals:
    """The sum of the clipped gradients, an example at a time, in double precision."""
    total = np.zeros(work.spec.tensor_length)
    model = work.task.model(0).double()
    for inputs, label in work.data:  # type: ignore[attr-defined]
        loss = functional.cross_entropy(model(inputs[None].double()), label[None])
        parts = torch.autograd.grad(loss, list(model.parameters()))
        gradient = torch.cat([part.flatten() for part in parts]).numpy()
        total += gradient * min(1.0, norm / float(np.linalg.norm(gradient)))
    return total


def test_the_integers_are_the_clipped_gradients_of_the_whole_batch(
    tmp_path: Path, noiseless: list[float]
) -> None:
    work = job("distributed", tmp_path)
    plan, examples = plan_of(work), len(work.data)  # type: ignore[arg-type]
    found = signed(work, work.noisy_gradient_sum()) / plan.scale
    allowed = examples * (1 / plan.scale + 2e-5 * NORM)
    assert np.abs(found - clipped_sum(work, NORM)).max() <= allowed < 0.01
    assert np.abs(clipped_sum(work, 10 * NORM) - clipped_sum(work, NORM)).max() > 0.1  # clipping matters here
    assert noiseless == [plan.share]


def test_67_an_empty_batch_is_noise_alone_and_is_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noiseless: list[float]
) -> None:
    monkeypatch.setattr(private, "draw_batch", lambda *args: torch.zeros(0, dtype=torch.int64))
    work = job("distributed", tmp_path)
    assert not work.noisy_gradient_sum().any()
    assert len(noiseless) == len(charges_of(tmp_path / "ledger.jsonl")) == 1


def test_the_batch_is_drawn_with_the_probability_that_is_charged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []
    honest = private.draw_batch
    monkeypatch.setattr(private, "draw_batch", lambda *args: asked.append(args) or honest(*args))
    work = job("distributed", tmp_path, sampling_probability=0.25)
    work.noisy_gradient_sum()
    (mechanism,) = charges_of(tmp_path / "ledger.jsonl")
    assert asked == [(15, 0.25)]
    assert mechanism.event.sampling_probability == 0.25


@pytest.mark.parametrize(("most", "noted"), [(14, True), (15, False)])
def test_more_examples_than_there_is_room_for_go_on_and_are_noted(
    most: int, noted: bool, tmp_path: Path, noiseless: list[float]
) -> None:
    """To abstain would tell how many were drawn: the sum is the same, and only the client's own log says it."""
    work = job("distributed", tmp_path, max_examples=most)
    plan = plan_of(work)
    found = signed(work, work.noisy_gradient_sum()) / plan.scale
    assert np.abs(found - clipped_sum(work, NORM)).max() <= 15 * (1 / plan.scale + 2e-5 * NORM)
    assert noiseless == [plan.share]
    assert len(charges_of(tmp_path / "ledger.jsonl")) == 1
    assert list(work.spending.notes) == (["warning"] if noted else [])
    assert not any(character.isdigit() for character in str(work.spending.notes))


def test_a_sum_that_does_not_fit_wraps_and_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noiseless: list[float]
) -> None:
    """Every row as long as it may be, in one direction, and room for one: past half the modulus, without an error."""
    work = job(
        "distributed",
        tmp_path,
        max_examples=1,
        data=TensorDataset(torch.ones(500, 6), torch.zeros(500).long()),
    )
    length = math.isqrt(plan_of(work).norm_squared)

    def longest(rows: Reals, norm_squared: int, uniform: object) -> NDArray[np.int64]:
        found = np.zeros(rows.shape, dtype=np.int64)
        found[:, 0] = length
        return found

    monkeypatch.setattr(private, "round_rows", longest)
    found = signed(work, work.noisy_gradient_sum())
    assert 500 * length > 2**31
    assert found[0] == (500 * length + 2**31) % 2**32 - 2**31


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_68_a_gradient_that_is_not_finite_counts_as_zero(
    value: float, tmp_path: Path, noiseless: list[float]
) -> None:
    work = job("distributed", tmp_path)
    inputs, labels = (part.clone() for part in work.data.tensors)  # type: ignore[attr-defined]
    rest = replace(work, data=TensorDataset(inputs[1:], labels[1:]))
    without = signed(work, rest.noisy_gradient_sum())
    inputs[0, 0] = value
    broken = job("distributed", tmp_path, data=TensorDataset(inputs, labels))
    found = signed(work, broken.noisy_gradient_sum())
    assert np.abs(found - without).max() <= 2 * len(labels)  # rounding


def test_every_row_keeps_to_the_integer_norm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, squares = job("distributed", tmp_path), []
    honest = private.round_rows

    def watch(*args: Any) -> NDArray[np.int64]:
        rounded = honest(*args)
        squares.extend((rounded**2).sum(axis=1).tolist())
        return rounded

    monkeypatch.setattr(private, "round_rows", watch)
    work.noisy_gradient_sum()
    bound = plan_of(work).norm_squared
    assert len(squares) == 15
    assert 0.99 * bound < max(squares) <= bound


def test_a_clip_that_forgets_a_parameter_is_caught_by_the_integer_norm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adversary: the gradients come unclipped. Nothing is sent."""
    from clients.example_gradients import ExampleGradients

    monkeypatch.setattr(ExampleGradients, "_factors", lambda self, found, count: torch.ones(count))
    with pytest.raises(RangeError, match="longer than its clipping norm"):
        job("distributed", tmp_path).noisy_gradient_sum()


# ---- mode client


def direction(length: int) -> Reals:
    vector = np.random.default_rng(0).normal(size=length)
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.mark.parametrize(
    "norm",
    [NORM * (1 - 1e-9), math.nextafter(NORM, 0), NORM, math.nextafter(NORM, 1), NORM * (1 + 1e-9), 100 * NORM, 1e30,
     NORM / 2, 1e-12, 5e-324],
)  # fmt: skip
def test_69_the_update_is_clipped_at_the_norm_and_nowhere_else(
    norm: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noiseless: list[float]
) -> None:
    work = job("client", tmp_path)
    plan, unit = plan_of(work), direction(work.spec.tensor_length)
    updates_to(monkeypatch, norm * unit)
    found = signed(work, work.noisy_update()[0])
    expected = min(norm, NORM) * unit * plan.scale
    assert np.abs(found - expected).max() <= 1 + 1e-6
    assert int((found**2).sum()) <= plan.norm_squared
    assert noiseless == [plan.share]


def test_69_a_zero_update_is_zero_and_no_division(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noiseless: list[float]
) -> None:
    for zero in (0.0, -0.0):
        work = job("client", tmp_path)
        updates_to(monkeypatch, np.full(work.spec.tensor_length, zero))
        with np.errstate(all="raise"):
            words, bit = work.noisy_update()
        assert not words.any()
        assert bit == 0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_68_an_update_that_is_not_finite_is_not_sent(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = job("client", tmp_path)
    update = np.zeros(work.spec.tensor_length)
    update[3] = value
    updates_to(monkeypatch, update)
    with pytest.raises(RangeError, match="not finite"):
        work.noisy_update()


def test_the_update_is_what_plain_training_gives(tmp_path: Path) -> None:
    work = job("client", tmp_path)
    model = work.task.model(0)
    train(work.task, model, work.data, work.config, CPU, 2, 1)
    by_hand = work.spec.flatten_update(arrays_of(model), work.arrays).tensor
    np.testing.assert_array_equal(work.update(), by_hand)
    assert np.linalg.norm(by_hand) > 0.1


@pytest.mark.parametrize(("norm", "side"), [(0.0, 1), (NORM, 1), (NORM * (1 + 1e-12), -1), (50.0, -1)])
def test_the_bit_says_whether_the_update_was_within_the_norm(
    norm: float, side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noiseless: list[float]
) -> None:
    work = job("client", tmp_path, clipping_quantile=0.5)
    unit = np.zeros(work.spec.tensor_length)
    unit[0] = 1.0
    updates_to(monkeypatch, norm * unit)
    bit = within_norm_plan(work.terms, work.params)
    _, noisy = work.noisy_update()
    assert noisy == side * bit.scale / 2
    assert noisy**2 <= bit.norm_squared
    assert sorted(noiseless) == sorted([bit.share, plan_of(work).share])


# ---- refusals


@pytest.mark.parametrize("mode", TERMS)
def test_31_a_delta_above_a_tenth_of_one_in_n_is_refused(mode: str, tmp_path: Path) -> None:
    population = {"client": 5}.get(mode, 15)
    RELEASES[mode](job(mode, tmp_path, delta=1 / (10 * population)))
    spent = charges_of(tmp_path / "ledger.jsonl")
    with pytest.raises(Refused, match="delta of the run") as caught:
        RELEASES[mode](job(mode, tmp_path, delta=math.nextafter(1 / (10 * population), 1)))
    assert caught.value.code == "POLICY"
    assert "15" not in str(caught.value)
    if mode != "local+client":  # its client-level release is charged, and lost with the other
        assert charges_of(tmp_path / "ledger.jsonl") == spent


def test_73_a_model_with_running_statistics_is_refused_by_name(tmp_path: Path) -> None:
    work = job("distributed", tmp_path, task="tests.support.tiny_task")
    with pytest.raises(ParameterError, match=r"norm\.running_mean.*GroupNorm"):
        work.noisy_gradient_sum()
    assert not (tmp_path / "ledger.jsonl").exists()


@pytest.mark.parametrize("examples", [0, 1])
def test_66_fewer_than_two_examples_abstain(examples: int, tmp_path: Path) -> None:
    whole = job("distributed", tmp_path).data
    few = TensorDataset(*whole[:examples])
    for mode in ("local", "distributed"):
        with pytest.raises(RangeError, match="abstains"):
            RELEASES[mode](job(mode, tmp_path, data=few))


# ---- no seed, no fork


def share_of(work: PrivateWork) -> bytes:
    return work.noisy_gradient_sum().tobytes()


def test_no_seed_of_anybodys_repeats_the_noise(tmp_path: Path) -> None:
    import random

    found = set()
    for _ in range(3):
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        found.add(share_of(job("distributed", tmp_path)))
    assert len(found) == 3


def test_forked_workers_draw_different_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threat 21: what a fork copies (numpy's and torch's streams, and any open cipher) is none of the noise."""
    length = job("client", tmp_path).spec.tensor_length
    updates_to(monkeypatch, np.zeros(length))
    found = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writer, job("client", folder).noisy_update()[0].tobytes())
            os._exit(0)
        os.close(writer)
        with open(reader, "rb") as pipe:
            found.append(pipe.read())
        os.waitpid(child, 0)
    assert [len(each) for each in found] == [4 * length] * 3
    assert len(set(found)) == 3
