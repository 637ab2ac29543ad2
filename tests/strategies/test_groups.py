"""Several sessions in one server round: the sum of their sums, and what one group's failure costs."""

import threading
import time
from typing import Any

import numpy as np
import pytest

from arithmetic.errors import ParameterError
from arithmetic.residues import from_signed
from secagg.masks import Residues
from secagg.messages import CohortAnnounced
from secagg.server.r4_unmasking import Unmasked
from strategies.course import SessionReport
from strategies.groups import Membership, RoundTotal
from strategies.session import SessionDriver
from strategies.settings import Settings
from tests.support.run import Trial, at, swallow
from wire.records import CONFIG_KEY, MODEL_KEY, message_in
from wire.rounds import ProtocolRound
from wire.scalars import EVALUATION_EXAMPLES, ScalarLayout

R1, R2 = ProtocolRound.SHARE_KEYS, ProtocolRound.MASKED_INPUT


def grouped(**settings: Any) -> Trial:
    return Trial({"clients": 12, "groups": 3} | {key.replace("_", "-"): v for key, v in settings.items()})


def members(trial: Trial) -> dict[int, set[int]]:
    """Group, from 0 -> its nodes, by which session every client was invited to."""
    numbers = {e["session"]: e["group"] - 1 for e in trial.named("session_opened")}
    found: dict[int, set[int]] = {number: set() for number in range(3)}
    for message in trial.grid.sent:
        if message.metadata.message_type == R1.message_type and message.metadata.group_id == "1":
            announced = CohortAnnounced.from_bytes(message_in(message.content, MODEL_KEY, CONFIG_KEY))
            group = numbers[announced.session.identifier.hex()]
            found[group].add(message.metadata.dst_node_id)
    return found


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
    membership = Membership(3)
    first = membership.split(range(100, 112))
    assert sorted(map(len, first)) == [4, 4, 4]
    gone = first[1][0]
    split = membership.split([node for node in range(100, 112) if node != gone] + [5, 6, 7, 8])
    assert [set(nodes) & set(range(100, 112)) for nodes in split] == [
        set(first[0]), set(first[1]) - {gone}, set(first[2]),
    ]  # fmt: skip
    assert sorted(map(len, split)) == [5, 5, 5]  # one more to the group of which one is away
    assert membership.split(range(100, 112)) == first


def test_the_same_nodes_fall_into_the_same_groups_in_every_run_and_not_by_their_number() -> None:
    nodes = list(range(300))
    first = Membership(3).split(nodes)
    assert Membership(3).split(reversed(nodes)) == first
    assert list(map(len, first)) == [100, 100, 100]
    assert all(20 < sum(node < 100 for node in group) < 47 for group in first)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_groups_run_side_by_side_and_no_more_than_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    trial, lock = grouped(groups_at_once=at_once), threading.Lock()
    running = most = 0
    drive = SessionDriver.run

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.1)
        try:
            return drive(*args, **kwargs)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(SessionDriver, "run", counted)
    assert trial.session() is not None
    assert most == at_once


def test_what_is_no_failure_of_a_group_ends_the_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = grouped(round_deadline=60.0, training_deadline=60.0, groups_at_once=3)
    trial.grid.before = at(R2, swallow)
    drive = SessionDriver.run

    def broken(self: SessionDriver, params: Any, nodes: list[int], *rest: Any) -> Any:
        if trial.grid.ids[0] in nodes:
            raise ConnectionError("the grid is gone")
        return drive(self, params, nodes, *rest)

    monkeypatch.setattr(SessionDriver, "run", broken)
    started = time.monotonic()
    with pytest.raises(ConnectionError):
        trial.session()
    assert time.monotonic() - started < 20


def test_a_false_vector_costs_its_group_the_round_and_does_not_hide_among_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trial = grouped()
    encode = ScalarLayout.encode
    told: list[int] = []

    def lying(self: ScalarLayout, values: Any, integers: Any, cohort: int) -> Any:
        told.append(1)
        false = {EVALUATION_EXAMPLES: -1000} if len(told) == 1 else {}
        return encode(self, values | false, integers, cohort)

    monkeypatch.setattr(ScalarLayout, "encode", lying)
    assert trial.session() is not None
    (failed,) = trial.named("group_failed")
    assert failed["code"] == "RANGE"
    finished = trial.named("round_finished")[0]
    assert (finished["masked"], 0 <= finished["accuracy"] <= 1) == (8, True)


def test_later_rounds_wait_for_enough_nodes_for_every_group() -> None:
    trial = grouped(cohort_deadline=0.5)
    trial.session()
    gone = trial.grid.ids[3:]
    trial.grid.online -= set(gone)
    assert trial.session(2) is None
    assert "nodes connected" in trial.named("round_failed")[0]["reason"]
    trial.grid.online |= set(gone)
    assert trial.session(3) is not None


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
    trial.grid.online -= set(lost[:2])
    eight.grid.online -= set(lost)
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
    assert sorted(e["group"] for e in trial.named("group_failed")) == [1, 2, 3]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(cohort=12, groups=5), "5 groups of 12 clients leave 2"),
        (Settings(cohort=12, groups=3, threshold=5), "threshold = 5"),
        (Settings(cohort=12, groups=3, min_cohort=6), "min-survivors = 6"),
        (Settings(cohort=2001, groups=2, corrupt_fraction=0.05), "a sum needs 1001"),
        (Settings(cohort=12, groups=0), "groups = 0"),
        (Settings(cohort=12, groups=3, groups_at_once=4), "groups-at-once = 4"),
        (Settings(cohort=12, groups=3, groups_at_once=-1), "groups-at-once = -1"),
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
