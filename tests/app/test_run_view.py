"""What is known of a run after each of its events."""

from typing import Any

import pytest

from app.run_view import RunView

STARTED: dict[str, Any] = {
    "event": "run_started", "time": 100.0, "task": "digits", "strategy": "fedavg", "clients": 5, "threshold": 4,
    "rounds": 10, "adversary": "curious",
}  # fmt: skip


def trip(name: str, asked: int, answered: int, **more: object) -> dict[str, Any]:
    return {
        "event": "protocol_round", "server_round": 1, "purpose": "training", "protocol_round": name, "asked": asked,
        "answered": answered, "missing": [], "refused": {}, "bytes_up": 10, "bytes_down": 20, "seconds": 0.5, **more,
    }  # fmt: skip


def finished(at: int, time: float, **more: object) -> dict[str, Any]:
    return {
        "event": "round_finished", "time": time, "server_round": at, "purpose": "training", "shares": 5, "masked": 4,
        "accuracy": 0.5 + at / 100, "loss": 1.0 / at, **more,
    }  # fmt: skip


def seen(*events: dict[str, Any]) -> RunView:
    view = RunView()
    for event in events:
        view.take(event)
    return view


OPENED: dict[str, Any] = {"event": "session_opened", "server_round": 1, "purpose": "training"}


def test_before_the_cohort_is_there_it_is_waited_for() -> None:
    assert seen().status == "starting"
    view = seen(STARTED, {"event": "cohort_waiting", "connected": 3, "wanted": 5})
    assert (view.status, view.connected, view.wanted) == ("waiting", 3, 5)
    assert seen(STARTED, {"event": "cohort_ready", "nodes": [1, 2]}).status == "running"


def test_the_protocol_round_under_way_is_known_before_it_says_anything() -> None:
    assert seen(STARTED).under_way == ""
    assert seen(STARTED, OPENED).under_way == "r0 advertise keys"
    after = seen(STARTED, OPENED, trip("r0", 5, 5), trip("r1", 5, 5), trip("r2", 5, 4))
    assert after.under_way == "r4 unmask"
    assert seen(
        STARTED | {"adversary": "active"}, OPENED, *(trip(f"r{n}", 5, 5) for n in range(3))
    ).under_way.startswith("r3")
    assert seen(STARTED, OPENED, trip("r4", 5, 5), finished(1, 103.0)).under_way == ""


def test_of_a_ring_nothing_is_said_to_be_under_way() -> None:
    view = seen(STARTED | {"job": "ring"}, OPENED, trip("join", 5, 5), trip("hop", 1, 1), trip("hop", 1, 1))
    assert view.under_way == ""
    assert (view.trips["hop"].asked, view.trips["hop"].name) == (2, "hop")


def test_who_answers_is_shown_while_it_goes_on_and_counted_once() -> None:
    going = {
        "event": "protocol_round_underway", "protocol_round": "r1", "asked": 5, "answered": 3, "waiting": ["7"],
        "seconds": 2.0,
    }  # fmt: skip
    view = seen(STARTED, OPENED, trip("r0", 5, 5), going)
    assert (view.trips["r1"].answered, view.trips["r1"].waiting, view.trips["r1"].is_over) == (
        3,
        ("7",),
        False,
    )
    view.take(trip("r1", 5, 4, missing=[7]))
    assert (view.trips["r1"].answered, view.trips["r1"].missing, view.trips["r1"].waiting) == (4, 1, ())


def test_groups_are_added_up() -> None:
    view = seen(STARTED, OPENED, OPENED | {"group": 2}, trip("r1", 5, 5), trip("r1", 4, 3, missing=[9]))
    found = view.trips["r1"]
    assert (found.asked, found.answered, found.missing, found.bytes_up) == (9, 8, 1, 20)
    assert (view.bytes_up, view.bytes_down) == (20, 40)


def test_dropped_clients_are_recovered_where_there_is_a_sum_and_not_where_there_is_none() -> None:
    view = seen(STARTED, OPENED, finished(1, 102.0))
    assert (view.dropped, view.recovered, view.done) == (1, 1, 1)
    view = seen(
        STARTED, OPENED, trip("r1", 5, 5), trip("r2", 5, 2), {"event": "round_failed", "purpose": "training"}
    )
    assert (view.dropped, view.recovered, view.failed) == (3, 0, 1)


def test_the_time_left_follows_the_last_rounds() -> None:
    view = seen(STARTED, {"event": "cohort_ready", "time": 101.0, "nodes": [1]}, OPENED)
    assert view.seconds_left is None
    for at in range(1, 5):
        view.take(finished(at, 101.0 + 2 * at))
    assert view.seconds_left == pytest.approx(6 * 2.0)
    view.take({"event": "run_finished", "time": 120.0})
    assert view.seconds_left is None
    assert view.status == "finished"


def test_curves_hold_the_models_that_were_judged() -> None:
    view = seen(
        STARTED,
        finished(1, 102.0),
        finished(2, 104.0, accuracy=None, loss=None),
        finished(11, 106.0, purpose="evaluation"),
    )
    assert view.loss == pytest.approx([1.0, 1 / 11])
    assert view.done == 2, "the session that judges the final model is no round"


def test_where_the_clients_data_is_not_told_of_the_public_test_set_is_the_curve() -> None:
    told = finished(1, 102.0, accuracy=None, loss=None, central_accuracy=0.7, central_loss=0.3)
    view = seen(STARTED, told)
    assert (view.accuracy, view.loss, view.is_central) == ([0.7], [0.3], True)
    assert not seen(STARTED, finished(1, 102.0, central_accuracy=0.7, central_loss=0.3)).is_central


def test_epsilon_follows_the_course_from_round_to_round() -> None:
    view = seen(
        STARTED, {"event": "privacy_course", "points": [[1, 0.2], [5, 0.6], [10, 1.0]], "epsilon": 1.0}
    )
    assert view.epsilon == 0.0
    for at, due in ((1, 0.2), (2, 0.6), (10, 1.0), (11, 1.0)):
        view.take(OPENED | {"server_round": at})
        assert view.epsilon == due, "never less than was spent"
    assert seen(STARTED).epsilon is None


def test_what_is_no_event_changes_nothing() -> None:
    view = seen(STARTED)
    before = repr(view)
    view.take({"event": "something new", "rounds": [1]})
    view.take({"no": "event"})
    assert repr(view) == before
    seen(
        {"event": "run_started", "rounds": "many", "clients": None}, {"event": "protocol_round", "asked": "x"}
    )
