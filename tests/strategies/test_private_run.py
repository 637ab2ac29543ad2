"""Whole runs with differential privacy through the real messages: what each mode charges, sends and sums."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from flwr.app import ArrayRecord
from numpy.typing import NDArray
from scipy import stats
from torch.nn import functional

from app.server_app import training_record
from clients import private
from clients.spending import fingerprint
from clients.tasks import ClientData, DataSource
from clients.training import TrainingConfig, train
from clients.updates import arrays_of
from privacy.accounting import rdp_epsilon
from privacy.discrete_gaussian import DiscreteGaussian
from privacy.ledger import Ledger
from privacy.mechanisms import GaussianRelease, Mechanism, PoissonGaussian
from strategies.errors import NothingAggregated
from strategies.stopping import Stopping
from tests.support.local_grid import content_size
from tests.support.private_run import (
    MODES,
    PRIVATE,
    SILENT,
    charged,
    ledger_path,
    plan_of,
    private_trial,
    watched,
    with_policy,
)
from tests.support.run import Trial, at, copied, swallow
from wire.noise import within_norm_plan
from wire.rounds import ProtocolRound, Purpose
from wire.scalars import WEIGHT, WITHIN_NORM

R1, R2, R4 = (ProtocolRound(f"r{number}") for number in (1, 2, 4))
Reals = NDArray[np.float64]


def flat(trial: Trial, model: ArrayRecord | None) -> Reals:
    """What a session added to the initial model, shape (d,)."""
    assert model is not None
    return trial.spec.flatten_update(copied(model), trial.initial).tensor


def data_of(trial: Trial, partition: int) -> ClientData:
    source = DataSource("", partition, trial.config.clients)
    return trial.task.partition_data(source, trial.config.validation_fraction, trial.config.seed)


def examples_of(trial: Trial, partition: int) -> Any:
    return data_of(trial, partition).train


# ---- ledgers


def a_round(trial: Trial, partition: int) -> list[Mechanism]:
    """What one server round costs one client."""
    config, found = trial.config, list[Mechanism]()
    mode, examples = config.privacy, len(examples_of(trial, partition))
    if mode == "distributed":
        plan = plan_of(trial)
        probability, colluders = config.sampling_probability, config.colluders
        found.append(PoissonGaussian(probability, plan.noise_multiplier, 1, plan.slack, colluders))
    if "client" in mode:
        plan = plan_of(trial)
        release = GaussianRelease(plan.noise_multiplier, 1, "client", plan.slack, config.colluders)
        found.append(release)
        if mode == "client":  # an example can turn the whole update around: twice the clipping norm
            found.append(replace(release, noise_multiplier=plan.noise_multiplier / 2, unit="example"))
    if "local" in mode:
        steps = config.local_epochs * math.ceil(examples / config.batch_size)
        found.append(PoissonGaussian(config.batch_size / examples, config.noise_multiplier, steps))
    return found


@pytest.mark.parametrize("mode", MODES)
def test_each_clients_ledger_holds_a_line_a_release(mode: str, tmp_path: Path) -> None:
    trial = private_trial(mode, tmp_path, {"rounds": 2})
    trial.start()
    assert trial.strategy.aggregated == [1, 2]
    if mode == "none":
        assert not (tmp_path / "ledgers").exists()
        return
    for partition in range(5):
        assert list(charged(tmp_path, partition)) == 2 * a_round(trial, partition)
    noise = {m.unit: m.noise_multiplier for m in charged(tmp_path, 0)}
    asked = {"example": 0.6 if mode == "client" else 1.5, "client": 1.2}
    assert all(asked[unit] <= found <= 1.01 * asked[unit] for unit, found in noise.items())
    assert set(noise) == ({"example"} if mode in ("local", "distributed") else set(asked))


def test_a_client_that_vanishes_after_training_has_paid(tmp_path: Path) -> None:
    trial = private_trial("distributed", tmp_path)
    trial.grid.before = at(R2, swallow, trial.grid.ids[1])
    assert trial.session() is not None
    assert [len(charged(tmp_path, partition)) for partition in range(5)] == [1] * 5


# ---- what leaves


@pytest.mark.parametrize("mode", PRIVATE)
@pytest.mark.parametrize("quantile", [0.0, 0.5])
def test_no_metric_and_no_count_is_in_any_sum(mode: str, quantile: float, tmp_path: Path) -> None:
    adaptive = {"clipping-quantile": quantile} if quantile and "client" in mode else {}
    trial = private_trial(mode, tmp_path, {"rounds": 2} | adaptive)
    sums = watched(trial)
    result = trial.start()
    assert len(sums) == 2
    for each in sums:
        assert each.scalars[WEIGHT] == each.survivors == 5
        said = {name for name, value in each.scalars.items() if value != 0} - {WEIGHT}
        follows = {WITHIN_NORM} if adaptive else set()
        if mode == "local":  # counts over what DP-SGD released
            follows = {name for name in each.scalars if name.startswith("entries above")}
        assert said <= follows
        if adaptive:
            bit = within_norm_plan(trial.settings.privacy, trial.strategy._params(Purpose.TRAINING, 5))
            assert abs(each.scalars[WITHIN_NORM]) < 5 * bit.scale / 2 + 12 * math.sqrt(5) * bit.share
            assert each.scalars[WITHIN_NORM] % bit.scale  # it has noise
    for event in trial.named("round_finished"):
        assert event["purpose"] == "training"
        assert (event["accuracy"], event["loss"], event["metrics"]) == (None, None, {})
        assert "train_loss" not in event
    assert not any(dict(metrics) for metrics in result.evaluate_metrics_clientapp.values())
    assert all(set(metrics) <= {"num-examples"} for metrics in result.train_metrics_clientapp.values())


def test_without_privacy_the_metrics_are_there(tmp_path: Path) -> None:
    trial = private_trial("none", tmp_path)
    sums = watched(trial)
    trial.start()
    assert sums[0].scalars[WEIGHT] == sum(12 + 3 * partition for partition in range(5))
    assert trial.named("round_finished")[0]["accuracy"] is not None


@pytest.mark.parametrize("mode", MODES)
def test_clients_with_different_data_send_the_same_sizes(mode: str, tmp_path: Path) -> None:
    trial = private_trial(mode, tmp_path, {"rounds": 2})
    trial.start()
    sizes: dict[tuple[str, str], set[int]] = {}
    for reply in trial.grid.received:
        key = reply.metadata.group_id, reply.metadata.message_type
        sizes.setdefault(key, set()).add(content_size(reply))
    assert len(sizes) >= 6
    assert all(len(each) == 1 for each in sizes.values())


def test_a_server_that_asks_for_an_evaluation_gets_zeros(tmp_path: Path) -> None:
    """Adversary: the metrics that training keeps back are asked for in a session of their own."""
    trial = private_trial("distributed", tmp_path)
    trial.strategy._attendance.known = frozenset(trial.grid.ids)
    found = trial.strategy.evaluate(trial.grid, trial.arrays(), training_record(trial.config), 1)
    assert found is not None
    assert dict(found) == {}
    assert not (tmp_path / "ledgers").exists()


# ---- what the sum is


def gradients(trial: Trial, partition: int, norm: float) -> Reals:
    """The sum of one client's clipped gradients, an example at a time, in double precision."""
    total = np.zeros(trial.spec.tensor_length)
    model = trial.task.model(trial.config.seed).double()
    for inputs, label in examples_of(trial, partition):
        loss = functional.cross_entropy(model(inputs[None].double()), label[None])
        parts = torch.autograd.grad(loss, list(model.parameters()))
        gradient = torch.cat([part.flatten() for part in parts]).numpy()
        total += gradient * min(1.0, norm / float(np.linalg.norm(gradient)))
    return total


def update_of(trial: Trial, partition: int, norm: float) -> Reals:
    """One client's update by plain training, clipped."""
    config, model = trial.config, trial.task.model(trial.config.seed)
    local = TrainingConfig(
        config.local_epochs, config.batch_size, config.learning_rate, config.momentum, config.proximal_mu, config.seed
    )  # fmt: skip
    train(trial.task, model, examples_of(trial, partition), local, torch.device("cpu"), 1, partition)
    update = trial.spec.flatten_update(arrays_of(model), trial.initial).tensor
    return np.asarray(update * min(1.0, norm / float(np.linalg.norm(update))))


WHOLE = {"sampling-probability": 1.0, "expected-batch": 90.0, "learning-rate": 0.5}


@pytest.mark.parametrize(
    ("mode", "key"), [("distributed", "noise-multiplier"), ("client", "client-noise-multiplier")]
)
def test_with_next_to_no_noise_the_update_is_the_clipped_sum_over_a_public_constant(
    mode: str, key: str, tmp_path: Path
) -> None:
    trial = private_trial(mode, tmp_path, {key: 0.003} | (WHOLE if mode == "distributed" else {}))
    plan, per_sum = plan_of(trial), trial.settings.update_per_sum
    if mode == "distributed":
        assert per_sum == -0.5 / 90
        expected = per_sum * sum(gradients(trial, partition, 0.8) for partition in range(5))
    else:
        assert per_sum == 1 / 5
        expected = per_sum * sum(update_of(trial, partition, 0.2) for partition in range(5))
    found = flat(trial, trial.session())
    deviation = abs(per_sum) * math.sqrt(5) * plan.share / plan.scale
    assert deviation < 0.01 * np.abs(expected).max()
    rounding = abs(per_sum) * 90 * (1 / plan.scale + 2e-5 * 0.8) + 1e-6
    assert np.abs(found - expected).max() <= 6 * deviation + rounding


@pytest.mark.parametrize(
    ("mode", "key"), [("distributed", "noise-multiplier"), ("client", "client-noise-multiplier")]
)
def test_clipping_is_felt(mode: str, key: str, tmp_path: Path) -> None:
    """The norm of the two tests above cuts something; otherwise they could not tell."""
    trial = private_trial(mode, tmp_path)
    if mode == "distributed":
        assert np.linalg.norm(gradients(trial, 0, 0.8) - gradients(trial, 0, 80.0)) > 0.5
    else:
        assert np.linalg.norm(update_of(trial, 0, 50.0)) > 0.3


@pytest.mark.parametrize("mode", ["distributed", "client"])
def test_the_noise_has_the_deviation_that_the_plan_says(mode: str, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"task": SILENT, "batch-size": 1, "max-examples": 2}
    trial = private_trial(mode, tmp_path, changes)
    sums = watched(trial)
    found, plan = flat(trial, trial.session()), plan_of(trial)
    deviation = abs(trial.settings.update_per_sum) * math.sqrt(5) * plan.share / plan.scale
    assert np.std(found) == pytest.approx(deviation, rel=0.01)
    level = float(stats.chi2.cdf(((sums[0].integers / plan.share) ** 2).sum() / 5, 100_000))
    assert 1e-6 < level < 1 - 1e-6
    # What is stated: less than this would break it, as 4 of 5 may be all that survive.
    norm = trial.config.clipping_norm if mode == "distributed" else trial.config.client_clipping_norm
    asked = 1.5 if mode == "distributed" else 1.2
    assert np.std(sums[0].integers) * math.sqrt(4 / 5) > 0.99 * asked * norm * plan.scale


def test_the_same_seed_gives_another_update_each_time(tmp_path: Path) -> None:
    found = []
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        torch.manual_seed(1)
        np.random.seed(1)
        found.append(
            flat(*(lambda trial: (trial, trial.session()))(private_trial("client", folder, {"seed": 3})))
        )
    assert not np.any(found[0] == found[1])


def test_both_units_have_noise_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """local+client: without the shares, the update is still DP-SGD's, and clipped."""
    monkeypatch.setattr(
        DiscreteGaussian, "draw", lambda self, count, uniform: np.zeros(count, dtype=np.int64)
    )
    private_updates = [
        flat(*(lambda trial: (trial, trial.session()))(private_trial("local+client", tmp_path)))
        for _ in range(2)
    ]
    assert np.abs(private_updates[0] - private_updates[1]).max() > 0.01
    assert all(np.linalg.norm(each) <= 0.2 * 1.01 for each in private_updates)


# ---- groups


def test_each_group_has_all_of_its_own_noise(tmp_path: Path) -> None:
    trial = private_trial("client", tmp_path, {"clients": 8, "groups": 2, "delta": 1e-3})
    sums = watched(trial)
    assert trial.session() is not None
    assert sums[0].survivors == 8
    params = trial.strategy._params(Purpose.TRAINING, 4)
    plan = plan_of(private_trial("client", tmp_path, {"clients": 4, "delta": 1e-3}))
    multiplier = plan.noise_multiplier
    assert [m.noise_multiplier for m in charged(tmp_path, 7)] == [multiplier, multiplier / 2]
    assert params.min_survivors == 3


# ---- fewer survivors


@pytest.mark.parametrize("step", [R1, R2])
@pytest.mark.parametrize("mode", ["distributed", "client"])
def test_below_min_cohort_nothing_is_unmasked(mode: str, step: ProtocolRound, tmp_path: Path) -> None:
    changes = {"clients": 10, "min-cohort": 7, "threshold": 4, "training-deadline": 0.5}
    trial = private_trial(mode, tmp_path, changes)
    sums = watched(trial)
    trial.grid.before = at(step, swallow, *trial.grid.ids[:4])
    assert trial.session() is None
    assert sums == []
    assert not [m for m in trial.grid.sent if m.metadata.message_type == R4.message_type]
    (failure,) = trial.named("round_failed")
    assert failure["code"] == "QUORUM"
    assert failure["reason"].startswith("6 clients ")


@pytest.mark.parametrize("mode", ["distributed", "client"])
def test_the_shares_follow_the_session_that_the_client_itself_is_in(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adversary: a server that opens a session which may unmask five of ten. Every share is as large as five need."""
    trial = private_trial(mode, tmp_path, {"clients": 10, "min-cohort": 7, "threshold": 4})
    honest, planned, drawn = trial.strategy._params, plan_of(trial), set[float]()

    def draw(self: DiscreteGaussian, count: int, uniform: object) -> NDArray[np.int64]:
        drawn.add(self.sigma)
        return np.zeros(count, dtype=np.int64)

    monkeypatch.setattr(DiscreteGaussian, "draw", draw)
    trial.strategy._params = lambda *args: replace(honest(*args), min_survivors=5)  # type: ignore[method-assign]
    assert trial.session() is not None
    larger = plan_of(trial)
    assert drawn == {larger.share}
    ratio = (larger.share / larger.scale) / (planned.share / planned.scale)
    assert ratio == pytest.approx(math.sqrt(7 / 5), rel=1e-3)
    assert charged(tmp_path, 0)[0].noise_multiplier >= {"distributed": 1.5, "client": 1.2}[mode]


# ---- budgets, ledgers and policies


def refused(trial: Trial, server_round: int, partition: int) -> str:
    trips = [trip for trip in trial.trips(server_round) if trip["protocol_round"] == R1]
    return str(trips[0]["refused"][str(trial.grid.ids[partition])])


@pytest.mark.parametrize("mode", PRIVATE)
def test_32_the_round_that_would_pass_the_budget_is_refused_before_training(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = private_trial(mode, tmp_path, {"rounds": 3})
    # A client's update hides one example with half the noise, so that is the budget it passes first.
    unit = "client" if mode == "local+client" else "example"
    a = [mechanism for mechanism in a_round(trial, 1) if mechanism.unit == unit]
    budget = (rdp_epsilon(a * 2, 1e-4) + rdp_epsilon(a * 3, 1e-4)) / 2
    with_policy(trial, tmp_path, f"# of ours\nmax-epsilon = {budget}\ndelta = 1e-4\n", 1)
    looked: list[int] = []
    touch = {"distributed": "example_gradients", "client": "train"}.get(mode, "train_dp")
    honest = getattr(private, touch)
    monkeypatch.setattr(private, touch, lambda *args: looked.append(len(args[2])) or honest(*args))
    trial.start()
    assert trial.strategy.aggregated == [1, 2, 3]
    reason = refused(trial, 3, 1)
    assert reason.startswith(f"POLICY: this release would pass the {unit}-level budget of epsilon ")
    assert reason.isprintable()
    assert len(reason) <= 200
    assert looked.count(15) == 2  # client 1 alone has fifteen examples
    assert [event["unmasked"] for event in trial.named("round_finished")] == [5, 5, 4]
    assert list(charged(tmp_path, 1)) == 2 * a_round(trial, 1)


def test_32_where_the_update_fits_the_budget_and_the_bit_does_not_neither_is_charged(tmp_path: Path) -> None:
    adaptive = {"clipping-quantile": 0.5}
    trial = private_trial("client", tmp_path, adaptive)
    update, bit = plan_of(trial), within_norm_plan(trial.settings.privacy, trial.params)
    releases = [
        GaussianRelease(plan.noise_multiplier / 2, 1, "example", plan.slack) for plan in (update, bit)
    ]
    alone, both = rdp_epsilon(releases[:1], 1e-4), rdp_epsilon(releases, 1e-4)
    with_policy(trial, tmp_path, f"max-epsilon = {(alone + both) / 2}\ndelta = 1e-4\n", 1)
    assert trial.session() is not None
    assert refused(trial, 1, 1).startswith("POLICY: this release would pass the example-level budget")
    assert charged(tmp_path, 1) == ()
    assert len(charged(tmp_path, 0)) == 4


def test_32_with_every_budget_spent_the_run_ends_typed(tmp_path: Path) -> None:
    trial = private_trial("distributed", tmp_path)
    with_policy(trial, tmp_path, "max-epsilon = 0.01\ndelta = 1e-4\n", *range(5))
    with pytest.raises(NothingAggregated, match="POLICY: this release would pass"):
        trial.start()
    assert trial.named("round_failed")[0]["code"] == "QUORUM"
    assert all(charged(tmp_path, partition) == () for partition in range(5))


def test_32_once_every_budget_is_spent_no_further_session_is_begun(tmp_path: Path) -> None:
    trial = private_trial("distributed", tmp_path, {"rounds": 6})
    trial.strategy._stopping = Stopping(cohort=5, least=trial.settings.least)
    trial.strategy.emit = trial.strategy._reports._emit = trial.strategy._stopping.listening(trial.emit)
    one = a_round(trial, 1)
    budget = (rdp_epsilon(one * 2, 1e-4) + rdp_epsilon(one * 3, 1e-4)) / 2
    with_policy(trial, tmp_path, f"max-epsilon = {budget}\ndelta = 1e-4\n", *range(5))
    trial.start()
    assert trial.strategy.aggregated == [1, 2]
    assert [event["server_round"] for event in trial.named("round_failed")] == [3]
    (stopped,) = trial.named("run_stopped")
    assert (stopped["rule"], stopped["server_round"]) == ("budget", 3)
    assert "the privacy budget of 5 of 5 clients is spent" in stopped["reason"]
    assert {event["server_round"] for event in trial.named("session_opened")} == {1, 2, 3}


def vanish(path: Path) -> None:
    path.unlink()


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def swap(path: Path) -> None:
    path.write_bytes(path.with_name("0.jsonl").read_bytes())


@pytest.mark.parametrize("harm", [vanish, tear, swap])
@pytest.mark.parametrize("mode", PRIVATE)
def test_a_ledger_that_vanished_is_torn_or_foreign_keeps_its_client_out(
    mode: str, harm: Any, tmp_path: Path
) -> None:
    trial = private_trial(mode, tmp_path, {"rounds": 2})
    assert trial.session(1) is not None
    harm(ledger_path(tmp_path, 1))
    assert trial.session(2) is not None
    assert refused(trial, 2, 1) == "ENV: the client cannot take part; see its own log"
    assert trial.named("round_finished")[1]["unmasked"] == 4
    assert [len(charged(tmp_path, at_)) for at_ in (0, 2, 3, 4)] == [2 * len(a_round(trial, 0))] * 4


def test_a_ledger_that_is_held_keeps_its_client_out_until_it_is_free(tmp_path: Path) -> None:
    trial = private_trial("client", tmp_path)
    assert trial.session(1) is not None
    data = data_of(trial, 1)
    with Ledger.open(ledger_path(tmp_path, 1), fingerprint(data.train, data.validation)):
        assert trial.session(2) is not None
    assert refused(trial, 2, 1).startswith("ENV: ")
    assert trial.session(3) is not None
    assert trial.named("round_finished")[2]["unmasked"] == 5


def test_a_node_without_a_ledger_does_nothing_private(tmp_path: Path) -> None:
    """A node with its own data, whose config names no ledger, does not believe the submitter's run-dir."""
    trial = private_trial("distributed", tmp_path)
    trial.grid.contexts[trial.grid.ids[1]].node_config["data-path"] = str(tmp_path)
    assert trial.session() is not None
    assert refused(trial, 1, 1).startswith("ENV: ")
    assert sorted(path.name for path in (tmp_path / "ledgers").glob("*.jsonl")) == [
        f"{n}.jsonl" for n in (0, 2, 3, 4)
    ]


def test_a_node_with_a_policy_names_its_ledger_itself(tmp_path: Path) -> None:
    """A node that has an administrator does not take the submitter's run-dir for its ledger."""
    trial = private_trial("distributed", tmp_path)
    with_policy(trial, tmp_path, "min-cohort = 4\n", 1)
    del trial.grid.contexts[trial.grid.ids[1]].node_config["privacy-ledger"]
    assert trial.session() is not None
    assert refused(trial, 1, 1).startswith("ENV: ")
    assert not ledger_path(tmp_path, 1).exists()


def test_more_examples_than_max_examples_are_no_reason_to_abstain(tmp_path: Path) -> None:
    """To abstain would tell the server how many were drawn."""
    trial = private_trial("distributed", tmp_path, {"max-examples": 1, "sampling-probability": 1.0})
    assert trial.session() is not None
    assert trial.trip(R1)["refused"] == {}
    assert trial.named("round_finished")[0]["unmasked"] == 5


@pytest.mark.parametrize(
    ("mode", "line"),
    [
        ("none", 'modes = ["distributed", "client"]'), ("none", "max-epsilon = 1.0\ndelta = 1e-5"),
        ("none", "min-noise-multiplier = 0.5"), ("none", "min-cohort = 5"), ("none", "min-threshold = 5"),
        ("none", 'adversary = "active"'), ("none", 'tasks = ["digits"]'), ("none", "max-parameters = 20"),
        ("none", "max-parameter-norm = 1e-3"), ("none", f'layouts = ["{"0" * 64}"]'),
        ("local", 'modes = ["distributed"]'), ("local", "min-noise-multiplier = 1.6"),
        ("distributed", "min-noise-multiplier = 1.6"), ("distributed", "min-colluders = 1"),
        ("client", "min-noise-multiplier = 1.3"), ("client", "min-colluders = 1"),
        ("local+client", "min-noise-multiplier = 1.3"),
    ],
)  # fmt: skip
def test_a_policy_that_does_not_agree_is_a_typed_reply_that_names_the_line(
    mode: str, line: str, tmp_path: Path
) -> None:
    trial = private_trial(mode, tmp_path)
    with_policy(trial, tmp_path, f"# of ours\n\n{line}\n", 1)
    assert trial.session() is not None
    reason = refused(trial, 1, 1)
    assert reason.startswith(f"POLICY: policy line 3 ({line.split()[0]}")
    assert len(reason) <= 200
    assert str(tmp_path) not in reason
    assert trial.named("round_finished")[0]["unmasked"] == 4
    assert not ledger_path(tmp_path, 1).exists()


def test_a_policy_that_is_kept_to_is_no_hindrance(tmp_path: Path) -> None:
    trial = private_trial("distributed", tmp_path, {"colluders": 1})
    layout = trial.spec.digest.hex()
    text = (
        'min-cohort = 4\nmin-threshold = 4\nmodes = ["distributed"]\nmax-epsilon = 50.0\ndelta = 1e-4\n'
        f'min-noise-multiplier = 1.5\nmin-colluders = 1\ntasks = ["{trial.config.task}"]\nlayouts = ["{layout}"]\n'
        "max-parameters = 21\nmax-parameter-norm = 10.0\n"
    )
    with_policy(trial, tmp_path, text, *range(5))
    assert trial.session() is not None
    assert trial.trip(R1)["refused"] == {}


def test_a_policy_that_cannot_be_read_allows_nothing(tmp_path: Path) -> None:
    trial = private_trial("none", tmp_path)
    with_policy(trial, tmp_path, "min-cohort = 'three'\n", 1)
    assert trial.session() is not None
    assert (
        refused(trial, 1, 1)
        == "CONFIG: the task or its settings cannot be used here; see the client's own log"
    )
