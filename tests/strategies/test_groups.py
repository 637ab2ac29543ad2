"""Several sessions in one server round: the sum of their sums, and what one group's failure costs."""

from typing import Any

import numpy as np
import pytest

from arithmetic.errors import ParameterError
from arithmetic.residues import from_signed
from secagg.masks import Residues
from secagg.messages import CohortAnnounced
from secagg.server.r4_unmasking import Unmasked
from strategies.events import silent
from strategies.groups import Groups, RoundTotal
from strategies.session import SessionReport
from strategies.settings import Settings
from tests.support.run import Trial, at, swallow
from wire.records import CONFIG_KEY, MODEL_KEY, message_in
from wire.rounds import ProtocolRound

R1, R2 = ProtocolRound.SHARE_KEYS, ProtocolRound.MASKED_INPUT


def grouped(**settings: Any) -> Trial:
    return Trial({"clients": 12, "groups": 3} | {key.replace("_", "-"): v for key, v in settings.items()})


def members(trial: Trial) -> dict[int, set[int]]:
    """Group -> the nodes that were asked in the sessions so far, from what the clients saw."""
    groups = trial.strategy._groups
    assert groups is not None
    return {number: {n for n, g in groups._group_of.items() if g == number} for number in range(3)}


@pytest.mark.parametrize("at_once", [0, 1, 2])
def test_the_mean_over_all_groups_is_that_of_one_session(at_once: int) -> None:
    several, one = grouped(groups_at_once=at_once), Trial({"clients": 12})
    left, right = several.session(), one.session()
    assert left is not None
    assert right is not None
    bound = sum(trial.named("round_finished")[0]["error_bound"] for trial in (several, one))
    assert bound < 1e-3
    for name in left:
        assert abs(left[name].numpy() - right[name].numpy()).max(initial=0) <= bound
    finished = several.named("round_finished")[0]
    assert [finished[name] for name in ("keys", "shares", "masked", "unmasked")] == [12, 12, 12, 12]
    assert finished["accuracy"] == pytest.approx(one.named("round_finished")[0]["accuracy"], abs=1e-9)


def test_groups_use_the_modulus_of_their_size_not_of_the_population() -> None:
    several, one = grouped(), Trial({"clients": 12})
    several.session(), one.session()
    bounds = [trial.named("round_finished")[0]["error_bound"] for trial in (several, one)]
    assert bounds[0] < bounds[1] / 2.5  # 4 addends leave three times the levels that 12 leave


def test_no_client_is_shown_another_groups_keys() -> None:
    trial = grouped()
    trial.session()
    sessions = {e["session"] for e in trial.named("session_opened")}
    assert len(sessions) == 3
    assert [e["asked"] for e in trial.trips(1)] == [4] * 12
    assert sorted(e["group"] for e in trial.trips(1)) == sorted([1, 2, 3] * 4)
    for message in trial.grid.sent:
        if message.metadata.message_type == R1.message_type:
            announced = message_in(message.content, MODEL_KEY, CONFIG_KEY)
            assert len(CohortAnnounced.from_bytes(announced).keys) == 4


def test_a_client_keeps_its_group_and_a_new_one_joins_the_smallest() -> None:
    trial = grouped()
    trial.session()
    before = members(trial)
    assert sorted(map(len, before.values())) == [4, 4, 4]
    groups = trial.strategy._groups
    assert groups is not None
    gone = next(iter(before[1]))
    split = groups.split([node for node in trial.grid.ids if node != gone] + [5, 6, 7, 8])
    assert [set(nodes) & set(trial.grid.ids) for nodes in split] == [before[0], before[1] - {gone}, before[2]]
    assert sorted(map(len, split)) == [5, 5, 5]  # one more to the group of which one is away
    assert groups.split(trial.grid.ids) == [sorted(before[number]) for number in range(3)]


def test_groups_are_dealt_at_random() -> None:
    nodes = range(300)
    first, second = (Groups(Trial().grid, Settings(300, groups=3), silent).split(nodes) for _ in range(2))
    assert list(map(len, first)) == [100, 100, 100]
    assert first != second


def test_a_group_that_fails_costs_its_own_clients_the_round_and_nobody_else() -> None:
    trial = grouped()
    trial.session()
    lost = sorted(members(trial)[1])
    trial.grid.before = at(R2, swallow, *lost[:2], group="2")
    assert trial.session(2) is not None
    (failed,) = trial.named("group_failed")
    assert (failed["group"], failed["server_round"], failed["code"]) == (2, 2, "QUORUM")
    finished = trial.named("round_finished")[1]
    assert finished["masked"] == 8
    assert not trial.named("round_failed")


def test_the_mean_without_a_failed_group_is_that_of_the_others() -> None:
    trial, eight = grouped(), Trial({"clients": 12, "min-cohort": 3, "threshold": 3})
    trial.session(), eight.session()
    lost = sorted(members(trial)[1])
    for other in (trial, eight):
        other.grid.online -= set(lost)
    left, right = trial.session(2), eight.session(2)
    assert left is not None
    assert right is not None
    bound = sum(each.named("round_finished")[-1]["error_bound"] for each in (trial, eight))
    for name in left:
        assert abs(left[name].numpy() - right[name].numpy()).max(initial=0) <= bound


def test_when_every_group_fails_the_model_stays() -> None:
    trial = grouped()
    trial.session()
    away = [node for nodes in members(trial).values() for node in sorted(nodes)[:2]]
    trial.grid.before = at(R2, swallow, *away, group="2")
    assert trial.session(2) is None
    assert trial.named("round_failed")[0]["code"] == "QUORUM"
    assert not trial.named("group_failed")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(cohort=12, groups=5), "choose groups = 4"),
        (Settings(cohort=12, groups=3, threshold=5), "choose groups = 2"),
        (Settings(cohort=12, groups=3, min_cohort=6), "choose groups = 2"),
        (Settings(cohort=99_999, groups=33_333, modulus_bits=64), "does not fit 64 bits"),
    ],
)
def test_groups_that_could_not_stand_alone_are_refused(settings: Settings, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        settings.check_groups()


def test_totals_of_groups_add_up_as_signed_integers() -> None:
    total = RoundTotal()
    for values in ([-3, 5], [100, -(2**22)], [-4, -(2**22)]):
        words = from_signed(np.array(values), 24)
        unmasked = Unmasked(Residues(words, np.array([1], dtype="<u8")), (1, 2, 3), {})
        total.add(SessionReport(unmasked, {R1: 3}, 10, 20, 1.0), 24)
    assert total.tensor.tolist() == [93, 5 - 2**23]  # beyond what 24 bits hold
    assert (total.survivors, total.completed[R1], total.bytes_up, total.bytes_down) == (9, 9, 30, 60)
