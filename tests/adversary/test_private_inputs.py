"""Hostile and faulty inputs to do with models, noise and budgets; a test's name starts with the input's number.

27 to 32: the client leaves with a typed POLICY line before it has looked at its data. 66 to 75: it abstains with a type
and says no number, or what it sends is exact. See also `test_handlers` (66, 68, 70, 73), `tests/strategies/
test_private_run.py` (32, with whole runs), `tests/clients/test_private.py` and `tests/privacy/test_rounding.py` (69).
"""

import logging
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import Array, Message, RecordDict
from torch.utils.data import TensorDataset

from arithmetic.errors import ParameterError
from arithmetic.residues import from_signed, to_signed
from clients import private, work
from clients.tasks import ClientData
from privacy.ledger import Ledger, charges_of
from privacy.mechanisms import Budget, GaussianRelease
from secagg.messages import Invitation
from secagg.params import Session
from tests.support.linear_task import Linear
from tests.support.private_run import (
    LINEAR,
    PRIVATE,
    R1,
    VICTIM,
    charged,
    configured,
    ledger_path,
    plan_of,
    private_trial,
    refusal,
    watched,
    with_policy,
)
from tests.support.run import TINY, Trial
from wire.noise import sum_plan
from wire.records import request_record
from wire.rounds import ProtocolRound, Purpose
from wire.scalars import WEIGHT

R0 = ProtocolRound("r0")


def arrays(edit: Callable[[Any], object]) -> Callable[[RecordDict], object]:
    return lambda content: edit(content.array_records["arrays"])


def with_values(name: str, values: Any) -> Callable[[RecordDict], object]:
    """Put other numbers into one of the model's tensors, in the form it travels in."""

    def edit(record: Any) -> None:
        old = record[name]
        array = np.asarray(values)
        record[name] = Array(str(array.dtype), array.shape, old.stype, array.tobytes())

    return arrays(edit)


# ---- 27 to 29: the model


@pytest.mark.parametrize("mode", ["none", "distributed"])
@pytest.mark.parametrize(
    "edit",
    [
        with_values("bias", np.zeros(4, np.float32)), with_values("bias", np.zeros((3, 1), np.float32)),
        with_values("bias", np.zeros(3, np.float64)), with_values("bias", np.zeros(3, np.int32)),
        arrays(lambda record: record.pop("bias")),
        arrays(lambda record: record.__setitem__("more", record["bias"])),
    ],
)  # fmt: skip
def test_27_other_shapes_types_or_tensors(mode: str, edit: Any, tmp_path: Path) -> None:
    reason = refusal(private_trial(mode, tmp_path), edit)
    assert reason.startswith("POLICY: the incoming model")
    assert not ledger_path(tmp_path, VICTIM).exists()


def test_27_an_architecture_that_the_policy_does_not_list(tmp_path: Path) -> None:
    trial = private_trial("distributed", tmp_path)
    with_policy(trial, tmp_path, f'layouts = ["{Trial({"task": "digits"}).spec.digest.hex()}"]\n', VICTIM)
    assert refusal(trial).startswith("POLICY: policy line 1 (layouts): the model's layout is ")
    assert not ledger_path(tmp_path, VICTIM).exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("listed", [False, True])
def test_28_a_global_model_that_is_not_finite(value: float, listed: bool, tmp_path: Path) -> None:
    """With a policy and without: no policy allows it."""
    trial = private_trial("client", tmp_path)
    if listed:
        with_policy(trial, tmp_path, "max-parameter-norm = 10.0\n", VICTIM)
    reason = refusal(trial, with_values("bias", np.array([0, value, 0], np.float32)))
    assert reason.startswith("POLICY: the incoming model's norm is no finite number")
    assert not ledger_path(tmp_path, VICTIM).exists()


def test_29_a_model_with_a_norm_above_the_cap(tmp_path: Path) -> None:
    trial = private_trial("client", tmp_path)
    with_policy(trial, tmp_path, "# of ours\nmax-parameter-norm = 10.0\n", VICTIM)
    reason = refusal(trial, with_values("bias", np.array([0, 10.001, 0], np.float32)))
    assert reason.startswith("POLICY: policy line 2 (max-parameter-norm = 10.0)")
    assert not ledger_path(tmp_path, VICTIM).exists()


# ---- 30, 31: clips, moduli, noise, delta

NO_NORM = [0.0, -1.0, -0.0, math.nan, math.inf, -math.inf, 1e300]


@pytest.mark.parametrize("value", NO_NORM, ids=repr)
@pytest.mark.parametrize(
    ("mode", "key"),
    [("local", "clipping-norm"), ("distributed", "clipping-norm"), ("client", "client-clipping-norm"),
     ("local+client", "clipping-norm"), ("local+client", "client-clipping-norm")],
)  # fmt: skip
def test_30_a_clipping_norm_that_is_none(mode: str, key: str, value: float, tmp_path: Path) -> None:
    reason = refusal(private_trial(mode, tmp_path), configured(key, value))
    assert reason.startswith(f"POLICY: {key} must be a number above 0")
    assert not ledger_path(tmp_path, VICTIM).exists()


@pytest.mark.parametrize("bits", [0, 1, 7, 65, 255])
def test_30_a_modulus_that_is_none(bits: int) -> None:
    trial = Trial()
    node = trial.grid.ids[VICTIM]
    params = trial.params.to_bytes()
    invitation = Invitation(Session(b"s" * 32, 1, trial.params)).to_bytes()
    start = invitation.index(params) + 2 + 4 * 4
    assert invitation[start] == trial.params.modulus_bits
    forged = invitation[:start] + bytes([bits]) + invitation[start + 1 :]
    message = Message(request_record(forged, None, None), node, R0.message_type, group_id="1")
    message.metadata.__dict__["_message_id"] = "hostile"
    reply = trial.grid.ask(node, message)
    assert reply.has_error()
    assert str(reply.error.reason).endswith(
        f"modulus-bits = {bits} cannot work here; choose a whole number from 8 to 64"
    )


def test_30_a_modulus_with_no_room_for_vectors_and_noise(tmp_path: Path) -> None:
    """The server does not start such a run; a client that is asked all the same leaves."""
    with pytest.raises(ParameterError, match="modulus"):
        private_trial("distributed", tmp_path, {"max-examples": 4 * 10**8})
    reason = refusal(private_trial("distributed", tmp_path), configured("max-examples", 4 * 10**8))
    assert reason.startswith("POLICY: ")
    assert "modulus" in reason
    assert not ledger_path(tmp_path, VICTIM).exists()


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize(
    ("mode", "key"),
    [
        ("local", "noise-multiplier"),
        ("distributed", "noise-multiplier"),
        ("client", "client-noise-multiplier"),
    ],
)
def test_31_noise_that_is_none(mode: str, key: str, value: float, tmp_path: Path) -> None:
    reason = refusal(private_trial(mode, tmp_path), configured(key, value))
    assert reason.startswith("POLICY: ")
    assert "must be a number above 0" in reason
    assert not ledger_path(tmp_path, VICTIM).exists()


@pytest.mark.parametrize("mode", PRIVATE)
def test_31_a_delta_that_says_nothing(mode: str, tmp_path: Path) -> None:
    for delta in (0.0, -1e-5, math.nan, 1.0):
        reason = refusal(private_trial(mode, tmp_path), configured("delta", delta))
        assert reason.startswith("POLICY: delta must be a number above 0")
    population = 5 if mode in ("client",) else 12 + 3 * VICTIM
    reason = refusal(private_trial(mode, tmp_path), configured("delta", 1.001 / (10 * population)))
    assert reason.startswith("POLICY: delta of the run is above 1/(10 N)")


@pytest.mark.parametrize("key", ["noise-multiplier", "client-noise-multiplier"])
def test_31_noise_below_the_nodes_own_minimum(key: str, tmp_path: Path) -> None:
    trial = private_trial("local+client", tmp_path)
    with_policy(trial, tmp_path, "min-noise-multiplier = 1.1\n", VICTIM)
    reason = refusal(trial, configured(key, 1.0999))
    assert reason.startswith(
        f"POLICY: policy line 1 (min-noise-multiplier = 1.1): {key} of the run is 1.0999"
    )


def test_31_more_colluders_than_survivors(tmp_path: Path) -> None:
    reason = refusal(private_trial("client", tmp_path), configured("colluders", 4))
    assert reason.startswith("POLICY: ")
    assert "may collude" in reason


# ---- 32: the budget


@pytest.mark.parametrize("mode", PRIVATE)
def test_32_a_budget_that_other_runs_have_spent(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger outlives runs: nothing is left for this one, and its data is not looked at."""
    from clients.spending import fingerprint

    trial = private_trial(mode, tmp_path)
    source = work.DataSource("", VICTIM, 5)
    found = trial.task.partition_data(source, trial.config.validation_fraction, 0)
    data, own = found.train, tmp_path / "own.jsonl"
    Ledger.create(own, fingerprint(data, found.validation))
    with Ledger.open(own, fingerprint(data, found.validation)) as ledger:
        for unit in ("example", "client"):
            ledger.charge(GaussianRelease(0.5, 1, unit), "an earlier run", 1, Budget(1e6, 1e-4))  # type: ignore[arg-type]
    with_policy(trial, tmp_path, "max-epsilon = 5.0\ndelta = 1e-4\n", VICTIM)
    trial.grid.contexts[trial.grid.ids[VICTIM]].node_config["privacy-ledger"] = str(own)
    touch = {"distributed": "example_gradients", "client": "train"}.get(mode, "train_dp")
    honest = getattr(private, touch)

    def watch(*args: Any) -> Any:
        assert len(args[2]) != len(data), "the data was looked at"  # type: ignore[arg-type]
        return honest(*args)

    monkeypatch.setattr(private, touch, watch)
    assert refusal(trial).startswith("POLICY: this release would pass the ")
    assert len(charges_of(own)) == 2


# ---- 66 to 70: data and numbers


def cut(monkeypatch: pytest.MonkeyPatch, examples: int) -> None:
    """Leave the victim that many examples."""
    honest = Linear.partition_data

    def fewer(self: Any, source: Any, *rest: Any) -> ClientData:
        data = honest(self, source, *rest)
        if source.partition_id != VICTIM:
            return data
        return ClientData(TensorDataset(*data.train[:examples]), data.validation)  # type: ignore[index]

    monkeypatch.setattr(Linear, "partition_data", fewer)


@pytest.mark.parametrize("examples", [0, 1])
@pytest.mark.parametrize("mode", ["local", "distributed"])
def test_66_no_data_or_one_row_abstains(
    mode: str, examples: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(monkeypatch, examples)
    reason = refusal(private_trial(mode, tmp_path))
    assert reason.startswith("RANGE: ")
    assert not any(character.isdigit() for character in reason)


def test_66_a_client_without_data_has_no_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut(monkeypatch, 0)
    assert refusal(private_trial("client", tmp_path)).startswith("RANGE: ")


def test_66_a_batch_larger_than_the_data_abstains(tmp_path: Path) -> None:
    """DP-SGD has no batch of that expected size to draw; a client with fewer says so, not how many it has."""
    trial = private_trial("local", tmp_path, {"batch-size": 15, "clients": 5})
    assert trial.session() is not None
    refused = trial.trip(R1)["refused"]
    assert list(refused) == [str(trial.grid.ids[0])]  # twelve examples; the others have fifteen and more
    reason = refused[str(trial.grid.ids[0])]
    assert reason.startswith("RANGE: ")
    assert not any(character.isdigit() for character in reason)


def test_67_empty_batches_are_sent_as_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "draw_batch", lambda *args: torch.zeros(0, dtype=torch.int64))
    trial = private_trial("distributed", tmp_path)
    sums = watched(trial)
    assert trial.session() is not None
    plan = plan_of(trial)
    assert (sums[0].survivors, sums[0].scalars[WEIGHT]) == (5, 5)
    assert 0 < np.abs(sums[0].integers).max() < 6 * math.sqrt(5) * plan.share
    assert all(len(charged(tmp_path, partition)) == 1 for partition in range(5))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("mode", PRIVATE)
def test_68_a_loss_that_is_not_finite(
    mode: str, value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DP-SGD and clipped gradients count it as zero and go on; plain training abstains. Neither sends the number."""
    honest = Linear.loss

    def broken(self: Any, model: Any, batch: Any) -> Any:
        found = honest(self, model, batch)
        return found * value if watching else found

    watching: list[int] = []
    monkeypatch.setattr(Linear, "loss", broken)
    name = "noisy_gradient_sum" if mode == "distributed" else "update"
    release = getattr(private.PrivateWork, name)

    def mark(self: Any) -> Any:
        if self.partition_id == VICTIM:
            watching.append(1)
        try:
            return release(self)
        finally:
            watching.clear()

    monkeypatch.setattr(private.PrivateWork, name, mark)
    trial = private_trial(mode, tmp_path)
    sums = watched(trial)
    model = trial.session()
    assert model is not None
    assert all(np.isfinite(array.numpy()).all() for array in model.values())
    if mode == "client":
        assert trial.trip(R1)["refused"][str(trial.grid.ids[VICTIM])].startswith("RANGE: ")
    else:
        assert trial.trip(R1)["refused"] == {}
        assert sums[0].survivors == 5


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_68_an_update_that_is_not_finite(
    value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = private.PrivateWork.update

    def broken(self: Any) -> Any:
        update = honest(self)
        if self.partition_id == VICTIM:
            update[0] = value
        return update

    monkeypatch.setattr(private.PrivateWork, "update", broken)
    reason = refusal(private_trial("client", tmp_path))
    assert reason.startswith("RANGE: ")
    assert not any(character.isdigit() for character in reason)


@pytest.mark.parametrize("examples", [0, -1, 2**63, 1.5, math.nan])
def test_70_the_count_of_examples_is_in_no_private_sum(
    examples: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a client says it has, it weighs one."""
    honest = private.train_dp

    def lie(*args: Any) -> Any:
        return replace(honest(*args), examples=examples)

    monkeypatch.setattr(private, "train_dp", lie)
    trial = private_trial("local", tmp_path)
    sums = watched(trial)
    assert trial.session() is not None
    assert sums[0].scalars[WEIGHT] == 5


# ---- 71, 72: the modulus


def test_71_a_run_whose_sum_does_not_fit_the_modulus_does_not_start(tmp_path: Path) -> None:
    def starts(bits: int) -> bool:
        try:
            private_trial("distributed", tmp_path, {"max-examples": 4 * 10**8, "modulus-bits": bits})
        except ParameterError:
            return False
        return True

    fits = [bits for bits in range(32, 65) if starts(bits)]
    assert fits == list(range(fits[0], 65))
    assert 32 < fits[0] < 50
    with pytest.raises(ParameterError, match="modulus"):
        private_trial("distributed", tmp_path, {"max-examples": 4 * 10**8, "modulus-bits": fits[0] - 1})


@pytest.mark.parametrize("mode", ["distributed", "client"])
def test_72_the_largest_sum_that_clipping_allows_does_not_wrap(mode: str, tmp_path: Path) -> None:
    """Every vector at its bound in one and the same coordinate, and twelve deviations of noise: the sum comes back."""
    trial = private_trial(mode, tmp_path)
    params = trial.strategy._params(Purpose.TRAINING, 5)
    plan = sum_plan(trial.settings.privacy, params, 40)
    vectors = 5 * 40 if mode == "distributed" else 5
    largest = vectors * (plan.clipping_norm * plan.scale + 1) + 12 * math.sqrt(5) * plan.share
    for value in (int(largest), -int(largest)):
        assert int(to_signed(from_signed(np.array([value]), 32), 32)[0]) == value
    assert largest > 2**28  # the scale is as fine as the room allows


# ---- 73 to 75: layouts and layers


@pytest.mark.parametrize("mode", ["local", "distributed"])
def test_73_75_running_statistics_are_refused_with_the_layers_name(
    mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trial = private_trial(mode, tmp_path, {"task": TINY})
    with caplog.at_level(logging.WARNING, "chorus.client"):
        assert trial.session() is None
    assert "norm" in caplog.text
    assert "GroupNorm" in caplog.text
    assert trial.named("round_failed")[0]["code"] == "QUORUM"
    assert "CONFIG" in trial.named("round_failed")[0]["reason"]


def test_74_a_model_that_changes_between_rounds(tmp_path: Path) -> None:
    """Every client remembers what it worked on earlier in the run."""
    trial = private_trial("client", tmp_path)
    assert trial.session(1) is not None
    assert trial.trip(R1)["refused"] == {}
    spent = len(charged(tmp_path, VICTIM))
    other = private_trial("client", tmp_path, {"task": "tests.support.scalar_task", "learning-rate": 1e-9})
    other.grid = trial.grid
    assert other.spec.digest != trial.spec.digest
    assert other.session(2) is None
    refused = other.trip(R1, 2)["refused"]
    assert set(refused) == {str(node) for node in trial.grid.ids}
    assert set(refused.values()) == {
        "POLICY: the model is laid out otherwise than earlier in this run; nothing was sent"
    }
    assert len(charged(tmp_path, VICTIM)) == spent


def test_74_a_layout_that_the_policy_does_not_list(tmp_path: Path) -> None:
    trial = private_trial("client", tmp_path)
    with_policy(trial, tmp_path, f'layouts = ["{bytes(32).hex()}"]\n', VICTIM)
    assert trial.session(1) is not None
    reason = trial.trip(R1)["refused"][str(trial.grid.ids[VICTIM])]
    assert reason.startswith("POLICY: policy line 1 (layouts)")


def test_75_a_layer_that_opacus_does_not_know_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import nn

    class Statistics(Linear):
        name = "statistics"

        def network(self) -> nn.Module:
            return nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, affine=False), nn.Linear(4, 3))

    from tests.support import linear_task

    monkeypatch.setattr(linear_task, "TASK", Statistics())
    work.task_named.cache_clear()
    trial = private_trial("local", tmp_path)
    with caplog.at_level(logging.WARNING, "chorus.client"):
        assert trial.session() is None
    work.task_named.cache_clear()
    assert "layer '1' (BatchNorm1d)" in caplog.text
    reasons = set(trial.trip(R1)["refused"].values())
    assert reasons
    assert all(reason.startswith("CONFIG: layer '1' (BatchNorm1d)") for reason in reasons)
    assert LINEAR in trial.config.task
