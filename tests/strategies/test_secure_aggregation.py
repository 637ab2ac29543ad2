"""The wrapped strategies against the same strategies in plain, over the same clients."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message
from flwr.serverapp import Grid
from flwr.serverapp import strategy as flower
from numpy.typing import NDArray

from app import server_app
from arithmetic.errors import ParameterError
from arithmetic.residues import to_signed
from clients import steps
from secagg.masks import Residues
from strategies import course, session
from strategies.course import SessionReport
from strategies.errors import CohortIncomplete, LinkLost, NothingAggregated, StrategyNotSupported
from strategies.secure_aggregation import SecureAggregation
from strategies.settings import Settings
from tests.support.local_grid import LocalGrid
from tests.support.plain_app import app as plain_app
from tests.support.run import DIGITS, Trial, at, copied, swallow
from wire.rounds import ProtocolRound, Purpose
from wire.scalars import EVALUATION_EXAMPLES, WEIGHT

R0, R1, R2, R4 = (ProtocolRound(f"r{number}") for number in (0, 1, 2, 4))
Model = dict[str, NDArray[Any]]
FLOAT32_ROUNDING = 4 * float(np.finfo(np.float32).eps)

TAU, ETA = 1e-3, 0.05
SAMPLING: dict[str, Any] = {"min_train_nodes": 3, "min_evaluate_nodes": 3, "min_available_nodes": 3}
# Strategy -> (maker, by how much one round of it can stretch a difference of the mean).
# The adaptive ones divide by sqrt(v) + tau: eta / tau bounds their slope. FedAvgM (momentum 0.5) keeps its
# own copy of the model, so that differences add up over rounds: 1 / (1 - 0.5) in each of two.
KIN: dict[str, tuple[Any, float]] = {
    "FedAvg": (lambda: flower.FedAvg(**SAMPLING), 1.0),
    "FedProx": (lambda: flower.FedProx(**SAMPLING, proximal_mu=0.1), 1.0),
    "FedAvgM": (lambda: flower.FedAvgM(**SAMPLING, server_learning_rate=0.9, server_momentum=0.5), 4.0),
    "FedAdam": (lambda: flower.FedAdam(**SAMPLING, eta=ETA, tau=TAU), ETA / TAU),
    "FedYogi": (lambda: flower.FedYogi(**SAMPLING, eta=ETA, tau=TAU), ETA / TAU),
    "FedAdagrad": (lambda: flower.FedAdagrad(**SAMPLING, eta=ETA, tau=TAU), ETA / TAU),
}


def largest_difference(left: Model, right: Model) -> float:
    return max(
        float(np.max(np.abs(left[name] - right[name].astype(np.float64)), initial=0.0)) for name in left
    )


def largest_weight(model: Model) -> float:
    return max(float(np.max(np.abs(array))) for array in model.values())


def recorded(trial: Trial) -> list[ArrayRecord]:
    """Run it; the global model before the first and after every server round."""
    models: list[ArrayRecord] = []
    trial.strategy.start(
        trial.grid, trial.arrays(), trial.config.rounds,
        train_config=server_app.training_record(trial.config),
        evaluate_fn=lambda _, arrays: models.append(arrays),
    )  # fmt: skip
    return models


def plain_round(
    trial: Trial, inner: flower.Strategy, grid: LocalGrid, server_round: int, incoming: ArrayRecord
) -> Model:
    """What the inner strategy makes of replies in the clear, from the same incoming model."""
    config = server_app.training_record(trial.config)
    replies = grid.send_and_receive(inner.configure_train(server_round, incoming, config, grid))
    arrays, _ = inner.aggregate_train(server_round, list(replies))
    assert arrays is not None
    return trial.spec.conform(copied(arrays))


@pytest.mark.parametrize("name", KIN)
def test_each_strategy_gives_the_model_it_gives_in_plain(name: str) -> None:
    make, stretch = KIN[name]
    trial = Trial(DIGITS | {"rounds": 2, "clients": 5, "modulus-bits": 48}, make())
    models = recorded(trial)
    inner, grid = make(), LocalGrid(plain_app, 5, trial.config.table())
    bounds = [e["error_bound"] for e in trial.named("round_finished")[:2]]
    assert len(models) == 3
    for server_round, bound in enumerate(bounds, start=1):
        before, after = copied(models[server_round - 1]), copied(models[server_round])
        plain = plain_round(trial, inner, grid, server_round, models[server_round - 1])
        assert largest_difference(plain, before) > 1e-3
        allowed = stretch * (bound + FLOAT32_ROUNDING * largest_weight(plain))
        apart = np.concatenate([np.abs(plain[key] - after[key]).ravel() for key in plain])
        # Yogi takes the sign of v - delta^2: where the two are equal to rounding, a step may differ.
        assert np.count_nonzero(apart > allowed) <= (5 if name == "FedYogi" else 0), float(apart.max())


@pytest.fixture(scope="module")
def ten() -> tuple[Trial, list[ArrayRecord]]:
    trial = Trial(DIGITS | {"rounds": 10, "local-epochs": 2})
    return trial, recorded(trial)


def test_the_mean_of_every_round_is_within_the_error_bound_that_was_printed(
    ten: tuple[Trial, list[ArrayRecord]],
) -> None:
    trial, models = ten
    inner, grid = KIN["FedAvg"][0](), LocalGrid(plain_app, 10, trial.config.table())
    for server_round in (1, 2, 5, 10):
        plain = plain_round(trial, inner, grid, server_round, models[server_round - 1])
        found = largest_difference(plain, copied(models[server_round]))
        bound = trial.named("round_finished")[server_round - 1]["error_bound"]
        assert found <= bound + FLOAT32_ROUNDING * largest_weight(plain)
        assert found <= 1e-4 * largest_weight(plain)


def test_ten_rounds_are_as_accurate_as_plain_fedavg(ten: tuple[Trial, list[ArrayRecord]]) -> None:
    trial, models = ten
    plain = trial.plain()
    judge = server_app.central_test(trial.task, trial.config, trial.spec)
    assert judge is not None
    ours, theirs = judge(10, models[-1]), judge(10, plain.arrays)
    assert ours is not None
    assert theirs is not None
    assert abs(float(ours["accuracy"]) - float(theirs["accuracy"])) <= 0.003  # type: ignore[arg-type]
    assert float(ours["accuracy"]) >= 0.95  # type: ignore[arg-type]


def test_ten_rounds_end_at_the_weights_of_plain_fedavg(ten: tuple[Trial, list[ArrayRecord]]) -> None:
    trial, models = ten
    ours, theirs = copied(models[-1]), copied(trial.plain().arrays)
    assert largest_difference(ours, theirs) <= 1e-4 * largest_weight(theirs)


def test_ten_rounds_in_double_precision_end_at_the_same_weights() -> None:
    # In double precision, so that nothing but secure aggregation could set the two apart. In single precision
    # ten rounds of training can stretch one rounding of a weight past this bound; a single round does not.
    trial = Trial(DIGITS | {"rounds": 10, "task": "tests.support.digits64", "modulus-bits": 64})
    ours, theirs = copied(trial.start().arrays), copied(trial.plain().arrays)
    assert largest_difference(ours, theirs) <= 1e-9 * largest_weight(theirs)


def capture_sums(monkeypatch: pytest.MonkeyPatch) -> tuple[dict[bytes, list[Residues]], list[SessionReport]]:
    """Residues of every client before masking, by session, and what the server decoded."""
    before: dict[bytes, list[Residues]] = {}
    reports: list[SessionReport] = []
    mask, drive = steps.mask_step, session.SessionDriver.run

    def masking(state: Any, delivered: Any, vector: Residues) -> Any:
        kept = Residues(vector.tensor.copy(), vector.scalars.copy())
        before.setdefault(state.session, []).append(kept)
        return mask(state, delivered, vector)

    def driving(*args: Any, **kwargs: Any) -> SessionReport:
        reports.append(drive(*args, **kwargs))
        return reports[-1]

    monkeypatch.setattr(steps, "mask_step", masking)
    monkeypatch.setattr(session.SessionDriver, "run", driving)
    return before, reports


@pytest.mark.parametrize("bits", [24, 40, 64])
def test_the_sum_is_the_plain_integer_sum_bit_for_bit(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before, reports = capture_sums(monkeypatch)
    trial = Trial({"rounds": 2, "modulus-bits": bits, "drop": "1@r2:round1"})
    trial.start()
    assert [len(vectors) for vectors in before.values()] == [4, 5, 5]
    for vectors, report in zip(before.values(), reports, strict=True):
        total = report.unmasked.total
        for part, width in (("tensor", bits), ("scalars", 64)):
            signed = [[int(x) for x in to_signed(getattr(one, part), width)] for one in vectors]
            exact = [sum(column) for column in zip(*signed, strict=True)]
            assert [int(x) for x in to_signed(getattr(total, part), width)] == exact
            assert part == "tensor" or any(exact)


REFUSED: dict[str, Any] = {
    "Krum": lambda: flower.Krum(),
    "MultiKrum": lambda: flower.MultiKrum(),
    "Bulyan": lambda: flower.Bulyan(),
    "FedMedian": lambda: flower.FedMedian(),
    "FedTrimmedAvg": lambda: flower.FedTrimmedAvg(),
    "QFedAvg": lambda: flower.QFedAvg(client_learning_rate=0.1),
    "FedXgbBagging": lambda: flower.FedXgbBagging(),
    "FedXgbCyclic": lambda: flower.FedXgbCyclic(),
    "DifferentialPrivacyServerSideFixedClipping": lambda: flower.DifferentialPrivacyServerSideFixedClipping(
        flower.FedAvg(), 1.0, 1.0, 5
    ),
    "DifferentialPrivacyServerSideAdaptiveClipping": lambda: (
        flower.DifferentialPrivacyServerSideAdaptiveClipping(flower.FedAvg(), 0.1, 5)
    ),
    "DifferentialPrivacyClientSideFixedClipping": lambda: flower.DifferentialPrivacyClientSideFixedClipping(
        flower.FedAvg(), 1.0, 1.0, 5
    ),
    "DifferentialPrivacyClientSideAdaptiveClipping": lambda: (
        flower.DifferentialPrivacyClientSideAdaptiveClipping(flower.FedAvg(), 0.1, 5)
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("vouched", [False, True])
def test_a_strategy_that_needs_single_updates_is_refused_by_name(name: str, vouched: bool) -> None:
    with pytest.raises(StrategyNotSupported, match=rf"^{name} cannot be aggregated securely: .*Use one of"):
        Trial(inner=REFUSED[name](), mean_only=vouched)


class Unheard(flower.FedAvg):
    """A user's own subclass: FedAvg's name does not vouch for it."""


class Different(flower.FedAvg):
    """Gives every client a configuration of its own."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        messages = list(super().configure_train(server_round, arrays, config, grid))
        for number, message in enumerate(messages):
            mine = ConfigRecord(dict(config) | {"learning-rate": 0.1 + number})
            message.content = type(message.content)({"arrays": arrays, "config": mine})
        return messages


def test_an_unknown_strategy_needs_a_voucher_and_then_works() -> None:
    with pytest.raises(StrategyNotSupported, match=r"Unheard is not known .* mean_only=True"):
        Trial(inner=Unheard(**SAMPLING))
    trial = Trial(inner=Unheard(**SAMPLING), mean_only=True)
    trial.start()
    assert trial.strategy.aggregated == [1]


def test_clients_told_different_things_cannot_share_a_sum() -> None:
    with pytest.raises(StrategyNotSupported, match="configurations of their own"):
        Trial(inner=Different(**SAMPLING), mean_only=True).start()


def test_settings_that_cannot_work_are_refused_before_anyone_is_asked() -> None:
    trial = Trial()
    for settings in (
        Settings(cohort=2),
        Settings(cohort=5, threshold=6),
        Settings(cohort=5000, modulus_bits=16),
    ):
        with pytest.raises(ParameterError):
            SecureAggregation(flower.FedAvg(), trial.spec, settings)
    assert trial.grid.sent == []


def test_a_failed_round_leaves_the_model_unchanged_and_the_next_one_is_a_new_session() -> None:
    trial = Trial({"rounds": 3, "drop": "3@r2:round2"})
    models = [copied(model) for model in recorded(trial)]
    assert largest_difference(models[1], models[0]) > 0
    assert largest_difference(models[2], models[1]) == 0
    assert largest_difference(models[3], models[2]) > 0
    assert trial.strategy.aggregated == [1, 3]
    (failure,) = trial.named("round_failed")
    assert (failure["server_round"], failure["code"]) == (2, "QUORUM")
    assert "2 clients sent a masked input, 4 are needed" in failure["reason"]
    sessions = [e["session"] for e in trial.named("session_opened")]
    assert len(sessions) == len(set(sessions)) == 4


def test_from_the_second_round_on_nobody_is_asked_for_keys() -> None:
    trial = Trial({"rounds": 3})
    trial.start()
    for server_round, asked in ((1, 5), (2, 0), (3, 0)):
        assert trial.trip(R0, server_round)["asked"] == asked
        assert trial.trip(R0, server_round)["answered"] == 5
    assert trial.trips(4, "evaluation")[0]["asked"] == 0
    kinds = [m.metadata.message_type for m in trial.grid.sent if m.metadata.group_id == "2"]
    assert kinds == 5 * [R1.message_type] + 5 * [R2.message_type] + 5 * [R4.message_type]


def test_only_a_client_that_lost_its_keys_is_asked_again() -> None:
    trial = Trial({"rounds": 2, "drop": "1@r4:round1"})
    trial.start()
    assert trial.trip(R0, 2)["asked"] == 1
    assert trial.named("round_finished")[0]["unmasked"] == 4


def test_carried_keys_are_used_once() -> None:
    trial = Trial({"rounds": 3})
    trial.start()
    first_keys = {bytes(r.content["chorus"]["message"].data)[2:66] for r in trial.grid.received[:5]}  # type: ignore[index,union-attr]
    assert all(len(keys) == 64 for keys in first_keys)
    later = b"".join(trial.grid.wire[40:])
    assert not any(keys in later for keys in first_keys)


def test_a_run_in_which_nothing_aggregates_fails_with_the_reason() -> None:
    trial = Trial({"rounds": 2, "drop": "5@r1:round1,5@r1:round2"})
    with pytest.raises(NothingAggregated, match=r"none of 2 server rounds .* QUORUM: 0 clients shared keys"):
        trial.start()
    assert [e["server_round"] for e in trial.named("round_failed")] == [1, 2]


def test_a_cohort_that_never_comes_fails_the_run_at_once_and_says_so() -> None:
    trial = Trial({"rounds": 2})
    trial.grid.online = set(trial.grid.ids[:3])
    with pytest.raises(CohortIncomplete, match="3 of 5 nodes connected"):
        trial.start()
    assert trial.grid.sent == []


def test_a_cohort_that_shrinks_too_far_fails_its_server_round_only() -> None:
    trial = Trial({"rounds": 3})
    whole = set(trial.grid.ids)

    def judge(server_round: int, _: ArrayRecord) -> None:
        trial.grid.online = set(trial.grid.ids[2:]) if server_round == 1 else whole

    trial.strategy.start(
        trial.grid,
        trial.arrays(),
        3,
        train_config=server_app.training_record(trial.config),
        evaluate_fn=judge,
    )
    (failure,) = trial.named("round_failed")
    assert failure["server_round"] == 2
    assert all(str(node) in failure["reason"] for node in trial.grid.ids)
    assert trial.strategy.aggregated == [1, 3]


def test_a_node_that_leaves_between_rounds_is_no_obstacle() -> None:
    trial = Trial({"rounds": 2})
    trial.grid.after = at(R4, lambda m: trial.grid.online.discard(trial.grid.ids[0]) or m, trial.grid.ids[4])
    trial.start()
    assert trial.trip(R1, 2)["asked"] == 4
    assert trial.strategy.aggregated == [1, 2]


def test_federated_metrics_are_those_of_the_pooled_validation_data() -> None:
    import torch

    from clients.tasks import DataSource
    from clients.training import evaluate
    from clients.updates import load_arrays

    trial = Trial({"rounds": 2})
    models: list[ArrayRecord] = []
    result = trial.strategy.start(
        trial.grid, trial.arrays(), 2, train_config=server_app.training_record(trial.config),
        evaluate_fn=lambda _, arrays: models.append(arrays),
    )  # fmt: skip
    assert sorted(result.evaluate_metrics_clientapp) == [0, 1, 2]
    for server_round, found in result.evaluate_metrics_clientapp.items():
        model = trial.task.model(0)
        load_arrays(model, copied(models[server_round]))
        loss = right = examples = 0.0
        for client in range(5):
            data = trial.task.partition_data(DataSource("", client, 5), 0.25, 0)
            judged = evaluate(trial.task, model, data.validation, torch.device("cpu"))
            loss, right = loss + judged.loss_sum, right + judged.metric_sums["accuracy"]
            examples += judged.examples
        assert found["accuracy"] == right / examples
        assert found["loss"] == pytest.approx(loss / examples, abs=5 * 2.0**-24)


def test_the_last_session_only_evaluates_and_judges_the_final_model() -> None:
    trial = Trial({"rounds": 2})
    result = trial.start()
    (final,) = [e for e in trial.named("round_finished") if e["purpose"] == Purpose.EVALUATION]
    assert final["server_round"] == 3
    assert final["accuracy"] == result.evaluate_metrics_clientapp[2]["accuracy"]
    assert "train_loss" not in final
    r2 = next(e for e in trial.trips(3, "evaluation") if e["protocol_round"] == R2)
    assert r2["bytes_up"] == 5 * (2 + 3 * 8)  # header, then three scalars and no tensor


def test_a_final_evaluation_that_fails_costs_only_its_metrics() -> None:
    trial = Trial({"rounds": 1})
    trial.grid.before = at(R2, swallow, group="2")
    result = trial.start()
    assert sorted(result.evaluate_metrics_clientapp) == [0]
    assert trial.named("round_failed")[0]["purpose"] == Purpose.EVALUATION
    assert largest_difference(copied(result.arrays), trial.initial) > 0


def test_train_metrics_reach_the_inner_strategy_weighted() -> None:
    trial = Trial({"rounds": 1})
    result, plain = trial.start(), Trial(DIGITS | {"rounds": 1, "clients": 3})
    (finished, _) = trial.named("round_finished")
    assert result.train_metrics_clientapp[1]["train_loss"] == finished["train_loss"]
    ours = plain.start().train_metrics_clientapp[1]["train_loss"]
    theirs = plain.plain().train_metrics_clientapp[1]["train_loss"]
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_the_encoding_bound_adapts_to_what_was_seen() -> None:
    small = Trial({"rounds": 3, "encoding-bound": 64.0, "max-examples": 40})
    small.start()
    bounds = [e["encoding_bound"] for e in small.named("round_finished") if "encoding_bound" in e]
    assert bounds[0] == 64.0 > bounds[1]
    assert all(e["saturated"] == 0 for e in small.named("round_finished")[:3])
    tight = Trial({"rounds": 2, "encoding-bound": 2.0**-20, "max-examples": 40})
    tight.start()
    first, second = tight.named("round_finished")[:2]
    assert first["saturated"] > 0
    assert second["encoding_bound"] == 4 * first["encoding_bound"]


def test_weights_above_the_limit_are_clamped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    before, reports = capture_sums(monkeypatch)
    trial = Trial({"rounds": 1, "max-examples": 16})  # clients have 10, 13, 16, 19 and 22 examples
    trial.start()
    finished = trial.named("round_finished")[0]
    assert finished["weights_clamped"] == 2
    named, _ = trial.strategy._layout(Purpose.TRAINING).decode([reports[0].unmasked.total.scalars], 5)
    assert named[WEIGHT] == 10 + 13 + 16 + 16 + 16
    assert named[EVALUATION_EXAMPLES] == 4 + 5 + 6 + 7 + 8
    assert len(before) == 2


def test_a_fraction_of_the_nodes_may_be_the_cohort() -> None:
    inner = flower.FedAvg(fraction_train=0.5, min_train_nodes=3, min_available_nodes=3)
    trial = Trial({"clients": 8, "rounds": 3}, inner)
    trial.start()
    assert trial.strategy.aggregated == [1, 2, 3]
    for server_round in (1, 2, 3):
        assert trial.trip(R1, server_round)["asked"] == 4
        assert trial.named("round_finished")[server_round - 1]["unmasked"] == 4
    assert trial.trips(4, "evaluation")[1]["asked"] == 8


def test_every_tensor_kind_takes_its_documented_way() -> None:
    trial = Trial({"rounds": 2})
    model = copied(trial.start().arrays)
    assert model["norm.num_batches_tracked"].dtype == np.int64
    assert 0 < model["norm.num_batches_tracked"] < 12
    np.testing.assert_array_equal(model["first.weight"], model["second.weight"])
    assert np.any(model["first.weight"] != trial.initial["first.weight"])
    np.testing.assert_array_equal(model["frozen"], np.ones(3, np.float32))
    assert model["empty"].shape == (0, 7)


def test_a_sharing_graph_with_few_neighbours_gives_the_same_model() -> None:
    sparse = Trial({"clients": 9, "neighbours": 4, "threshold": 3, "min-cohort": 7, "drop": "1@r2:round1"})
    whole = Trial({"clients": 9, "drop": "1@r2:round1"})
    left, right = copied(sparse.start().arrays), copied(whole.start().arrays)
    assert largest_difference(left, right) <= 2 * sparse.named("round_finished")[0]["error_bound"]
    assert sparse.named("round_finished")[0]["unmasked"] == 8


def test_silence_at_any_protocol_round_is_a_drop() -> None:
    trial = Trial({"clients": 6, "threshold": 3, "min-cohort": 3})
    for number, protocol_round in enumerate((R0, R2, R4)):
        trial.grid.before = at(protocol_round, swallow, trial.grid.ids[number], group=str(number + 1))
        assert trial.session(number + 1) is not None
        assert trial.trip(protocol_round, number + 1)["missing"] == [trial.grid.ids[number]]


@pytest.mark.parametrize("groups", [1, 2])
def test_a_lost_superlink_ends_the_run_and_not_only_the_round(
    groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, asked = Trial(DIGITS | {"rounds": 5, "clients": 6, "groups": groups}), []

    def lost(*args: Any) -> Any:
        asked.append(args)
        raise LinkLost("gone")
        yield

    monkeypatch.setattr(course, "exchange", lost)
    with pytest.raises(LinkLost):
        recorded(trial)
    assert len(asked) <= groups
    assert not trial.named("round_failed")
