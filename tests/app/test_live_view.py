"""The view of a recorded run, as text."""

from io import StringIO

from rich.console import Console

from app.live_view import clock, picture
from app.run_view import RunView
from tests.app.test_run_view import OPENED, STARTED, finished, seen, trip


def drawn(view: RunView, *log: str) -> str:
    console = Console(width=102, file=StringIO(), record=True)
    console.print(picture(view, "20261121T145949Z-c3fd", log, now=130.0))
    return console.export_text()


def test_a_run_in_its_fourth_round() -> None:
    view = seen(
        STARTED, {"event": "cohort_ready", "time": 101.0, "nodes": [1]},
        *(finished(at, 101.0 + 2 * at) for at in range(1, 4)), OPENED | {"server_round": 4},
        trip("r0", 0, 5, server_round=4), trip("r1", 5, 4, missing=[7], refused={"3": "no"}),
        {"event": "run_expected", "whole": {"up": 2_000_000}},
    )  # fmt: skip
    text = drawn(view, "a line of the log")
    for words in (
        "20261121T145949Z-c3fd", "running", "digits, fedavg", "5 clients, threshold 4", "3 of 10 rounds",
        "about 0:14 left", "round 4", "5 keys were sent ahead", "4 of 5", "r2 masked input", "under way",
        "accuracy 0.5300", "loss 0.3333", "dropped 3, recovered 3", "expected 2 MB received",
        "no differential privacy", "a line of the log",
    ):  # fmt: skip
        assert words in text, words
    assert "█" in text


def test_before_anything_is_known_it_says_so() -> None:
    assert "Flower is starting" in drawn(RunView())
    text = drawn(seen(STARTED, {"event": "cohort_waiting", "connected": 3, "wanted": 5}))
    assert "waiting for nodes: 3 of 5 connected" in text


def test_epsilon_is_shown_against_its_budget() -> None:
    course = {"event": "privacy_course", "points": [[1, 0.25], [10, 1.0]], "epsilon": 1.5}
    assert "epsilon 0.250 of 1.5" in drawn(seen(STARTED, course, OPENED))


def test_what_a_peer_wrote_cannot_move_the_cursor() -> None:
    assert "\x1b" not in drawn(seen(STARTED | {"task": "a\x1b[2Jb"}), "c\x1b[2Jd")


def test_a_clock_has_hours_where_they_are_needed() -> None:
    assert [clock(seconds) for seconds in (0, 42.9, 61, 3723)] == ["0:00", "0:42", "1:01", "1:02:03"]
