"""What is kept between two server rounds, and that the next one depends on nothing else."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from flwr.app import ArrayRecord, MetricRecord
from flwr.serverapp import strategy as flower

from strategies.errors import CohortIncomplete, StrategyNotSupported
from strategies.groups import Membership
from strategies.secure_aggregation import SecureAggregation
from strategies.snapshot import Snapshot, put_state, state_of
from strategies.supported import MEAN_ONLY
from tests.support.run import Trial, copied
from wire.rounds import Purpose

STRATEGIES = {kind.__name__.lower(): kind for kind in MEAN_ONLY}
NEAREST: dict[str, Any] = {"clients": 4, "threshold": 3, "rounding": "nearest"}
OWN: dict[str, dict[str, Any]] = {
    "fedavgm": {"server-momentum": 0.5}, "fedprox": {"proximal-mu": 0.1},
}  # fmt: skip


def trial_of(strategy: str, **keys: Any) -> Trial:
    return Trial(NEAREST | {"strategy": strategy} | OWN.get(strategy, {}) | keys)


def snapshots(trial: Trial) -> list[Snapshot]:
    """All that a run gives away."""
    kept: list[Snapshot] = []
    trial.strategy.keep = kept.append
    trial.start()
    return kept


def frozen(value: object) -> object:
    """Something that can be compared, of whatever a strategy remembers."""
    if isinstance(value, np.ndarray | np.generic):
        return (str(value.dtype), value.shape, value.tobytes())
    if isinstance(value, ArrayRecord):
        return frozen(copied(value))
    if isinstance(value, Mapping):
        return [(name, frozen(one)) for name, one in value.items()]
    return [frozen(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_of_an_inner_strategy_changes_but_what_is_kept_of_it(strategy: str) -> None:
    trial = trial_of(strategy, rounds=2)
    assert type(trial.inner) is STRATEGIES[strategy]
    before = {name: frozen(value) for name, value in vars(trial.inner).items()}
    trial.start()
    after = {name: frozen(value) for name, value in vars(trial.inner).items()}
    changed = {name for name in after if before.get(name) != after[name]}
    kept = set(state_of(trial.inner))
    assert changed == kept
    assert bool(kept) == (strategy not in ("fedavg", "fedprox"))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_state_of_an_inner_strategy_comes_back_as_it_was(strategy: str) -> None:
    trial, other = trial_of(strategy, rounds=2), trial_of(strategy)
    trial.start()
    put_state(other.inner, state_of(trial.inner))
    assert frozen(state_of(other.inner)) == frozen(state_of(trial.inner))
    own = (set(vars(trial.inner)) & set(state_of(trial.inner))) | {"weighted_by_key"}
    assert {name: type(getattr(other.inner, name)) for name in own} == {
        name: type(getattr(trial.inner, name)) for name in own
    }
    put_state(other.inner, {})
    assert state_of(other.inner) == {}


def test_the_state_of_another_strategy_is_refused() -> None:
    with pytest.raises(StrategyNotSupported, match="not one of FedAvg"):
        put_state(flower.FedAvg(), {"momentum_vector": {}})


def test_a_strategy_that_may_remember_more_cannot_be_kept() -> None:
    class Mine(flower.FedAvg):
        pass

    trial = Trial()
    SecureAggregation(Mine(), trial.spec, trial.settings, mean_only=True)
    with pytest.raises(StrategyNotSupported, match="Mine may remember what no checkpoint knows of"):
        SecureAggregation(Mine(), trial.spec, trial.settings, mean_only=True, keep=lambda _: None)


def test_a_snapshot_is_taken_before_the_first_server_round_and_after_each() -> None:
    trial = trial_of("fedavg", rounds=3, drop="3@r2:round2")
    kept = snapshots(trial)
    assert [(each.server_round, each.asked) for each in kept] == [(0, 0), (1, 1), (2, 2), (3, 3)]
    assert [each.aggregated for each in kept] == [(), (1,), (1,), (1, 3)]
    first, second, third, last = (frozen(each.model) for each in kept)
    assert first == frozen(trial.initial)
    assert second == third
    assert len({str(model) for model in (first, second, last)}) == 3
    assert kept[0].planned == {}
    assert kept[1].planned == {Purpose.TRAINING: 4}
    assert kept[1].adapted != kept[0].adapted == 1.0
    assert set(kept[1].group_of) == set(trial.grid.ids)
    assert "array" not in repr(kept[1])


def test_a_resumed_run_speaks_in_true_numbers() -> None:
    whole = trial_of("fedadam", rounds=3)
    kept = snapshots(whole)[1]
    again = trial_of("fedadam", rounds=3)
    again.strategy.restore(kept)
    again.initial = dict(kept.model)
    judged: list[int] = []

    def judge(server_round: int, _: ArrayRecord) -> MetricRecord:
        judged.append(server_round)
        return MetricRecord({"accuracy": float(server_round)})

    from app.server_app import training_record

    result = again.strategy.start(
        again.grid, again.arrays(), 3, train_config=training_record(again.config), evaluate_fn=judge
    )
    assert judged == sorted(result.evaluate_metrics_serverapp) == [1, 2, 3]
    assert sorted(result.train_metrics_clientapp) == [2, 3]
    assert sorted(result.evaluate_metrics_clientapp) == [1, 2, 3]
    assert [event["server_round"] for event in again.named("session_opened")] == [2, 3, 4]
    assert [event["central_accuracy"] for event in again.named("round_finished")] == [1.0, 2.0, 3.0]
    assert again.strategy.asked == kept.asked + 1 + 2
    assert {m.metadata.group_id for m in again.grid.sent} == {"2", "3", "4"}


def test_started_once_more_it_begins_anew() -> None:
    trial = trial_of("fedavg", rounds=2)
    trial.strategy.restore(snapshots(trial)[2])
    trial.start()
    assert trial.strategy.aggregated == [1, 2]
    trial.grid = trial_of(
        "fedavg", rounds=2
    ).grid  # clients of another Flower run: these have finished both rounds
    trial.start()
    trained = [e["server_round"] for e in trial.named("round_finished") if e["purpose"] == "training"]
    assert trained == [1, 2, 1, 2]  # nothing was left to train after the snapshot


def test_where_every_server_round_that_was_left_fails_the_model_is_the_snapshots() -> None:
    kept = snapshots(trial_of("fedavg", rounds=2))[1]
    again = trial_of("fedavg", rounds=2, drop="4@r1:round2")
    again.strategy.restore(kept)
    again.initial = dict(kept.model)
    assert frozen(copied(again.start().arrays)) == frozen(kept.model)
    assert again.strategy.aggregated == [1]


def test_absences_before_the_stop_still_hold_the_thresholds_up() -> None:
    kept = snapshots(trial_of("fedavg", clients=6, threshold=0, rounds=1))[1]
    again = trial_of("fedavg", clients=6, threshold=0, rounds=2)
    again.grid.online.discard(again.grid.ids[0])
    again.strategy.restore(kept)
    again.initial = dict(kept.model)
    again.start()
    assert again.strategy._params(Purpose.TRAINING, 5).threshold == again.params.threshold
    assert again.strategy.aggregated == [1, 2]


def test_a_resumed_run_begins_with_whoever_is_there_and_a_new_one_does_not() -> None:
    kept = snapshots(trial_of("fedavg", rounds=1))
    for snapshot, fine in ((kept[1], True), (kept[0], False)):
        again = trial_of("fedavg", rounds=2)
        again.grid.online.discard(again.grid.ids[0])
        again.strategy.restore(snapshot)
        again.initial = dict(snapshot.model)
        if fine:
            again.start()
            assert again.named("cohort_ready")[0]["nodes"] == again.grid.ids[1:]
            continue
        with pytest.raises(CohortIncomplete, match="3 of 4 nodes connected"):
            again.start()


def test_a_resumed_run_whose_cohort_is_too_small_is_refused() -> None:
    kept = snapshots(trial_of("fedavg", rounds=1))[1]
    again = trial_of("fedavg", rounds=2)
    again.grid.online = set(again.grid.ids[:2])
    again.strategy.restore(kept)
    with pytest.raises(CohortIncomplete, match="2 of 3 nodes connected"):
        again.start()


def test_clients_are_in_the_groups_they_were_in() -> None:
    first = Membership(3)
    first.split(range(1, 10))
    first.split([1, 2, 3, 20])
    again = Membership(3)
    again.restore(first.group_of)
    for here in (range(1, 10), [20, 1, 5], [1, 2, 3, 30, 31]):
        assert again.split(here) == first.split(here)
    taken = again.group_of
    again.split([99])
    assert 99 not in taken
