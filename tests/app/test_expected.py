"""What was predicted is what real sessions send."""

import pytest

from app.announcing import load_of
from app.expected import Load, Traffic, expected, first_trip, session
from bench.session import run_session
from secagg.bounds import Adversary
from secagg.params import SecAggParams
from strategies.settings import Settings
from tests.support.run import Trial

SESSIONS = {
    "complete": SecAggParams.complete(7, 24, 500, 9),
    "wide": SecAggParams.complete(4, 41, 333, 3),
    "active": SecAggParams.complete(5, 24, 500, 9, adversary=Adversary.ACTIVE),
    "sparse": SecAggParams(20, 5, 6, 14, 24, 100, 2),
    "sparse and active": SecAggParams(20, 5, 6, 14, 24, 100, 2, Adversary.ACTIVE),
}


@pytest.mark.parametrize("name", SESSIONS)
def test_the_bytes_of_a_session_are_those_that_its_messages_have(name: str) -> None:
    params = SESSIONS[name]
    account = run_session(params, 0.0)
    predicted = first_trip(params) + session(params, params.cohort, 0)
    assert predicted == Traffic(sum(account.up.values()), sum(account.down.values()))


@pytest.mark.parametrize("groups", [1, 2])
def test_a_whole_run_is_predicted_within_two_per_cent(groups: int) -> None:
    """Against what the server counted of the real strategy and real clients."""
    trial = Trial({"clients": 3 * groups + 1, "rounds": 2, "groups": groups})
    trial.start()
    load = load_of(trial.config, trial.settings, trial.spec, trial.task.metric_names, trial.initial)
    told = expected(trial.settings, load)
    finished = trial.named("round_finished")
    assert told.whole.up == pytest.approx(sum(each["bytes_up"] for each in finished), rel=0.02)
    assert told.whole.down == pytest.approx(sum(each["bytes_down"] for each in finished), rel=0.02)
    trips = [each for each in trial.trips(2) if each["asked"]]
    assert told.trips == len(trips) / groups


def test_one_more_group_changes_nothing_for_a_client_of_the_same_size() -> None:
    load = Load(100, 9, 3, 400, 2, True)
    one, two = (expected(Settings(5 * groups, groups), load) for groups in (1, 2))
    assert one.client == two.client
    assert two.whole == one.whole.times(2)
    assert (one.trips, one.vectors) == (3, 800)
