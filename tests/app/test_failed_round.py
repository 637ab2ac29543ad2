"""CH-P03: who was missing, and why."""

from typing import Any

from app.failed_round import nothing_unmasked
from app.progress import Progress

TRIP: dict[str, Any] = {
    "event": "protocol_round", "server_round": 3, "protocol_round": "r2", "asked": 5, "answered": 3, "missing": [42],
    "refused": {"7": "ENV: the client cannot take part"}, "seconds": 20.01,
}  # fmt: skip
FAILED: dict[str, Any] = {
    "event": "round_failed", "server_round": 3, "purpose": "training", "code": "QUORUM", "reason": "3 clients",
}  # fmt: skip
SAID = (
    "CH-P03  Round 3: 3 of 5 clients sent a masked input, threshold is 4. Nothing was unmasked; the model of round 2 "
    "is safe. Missing: 42 (no answer in 20 s), 7 (ENV: the client cannot take part)."
)


def test_the_sentence_says_who_is_missing_and_why() -> None:
    assert nothing_unmasked(TRIP, "", 4) == nothing_unmasked(TRIP, "3 clients, 4 are needed; x", 4) == SAID
    first = nothing_unmasked(TRIP | {"server_round": 1, "missing": list(range(9)), "refused": {}}, "", None)
    assert "the initial model is safe. Missing: 0 (no answer in 20 s), " in first
    assert first.endswith(" and 4 more.")


def test_where_more_than_the_threshold_are_needed_that_is_said() -> None:
    """In a sparse graph fewer shares rebuild a secret than clients are needed in a sum."""
    assert "a masked input, 14 are needed. Nothing" in nothing_unmasked(
        TRIP, "12 clients, 14 are needed; x", 4
    )


def test_it_stands_below_the_line_of_the_round_that_failed() -> None:
    progress = Progress(rounds=5)
    progress.lines({"event": "run_started", "threshold": 4, "clients": 5})
    progress.lines(TRIP)
    lines = progress.lines(FAILED)
    assert lines[0].startswith("round 3/5     no sum, model unchanged: QUORUM: ")
    assert lines[-1].strip() == SAID


def test_it_is_not_said_of_another_round_or_another_reason() -> None:
    for failed in (FAILED | {"server_round": 4}, FAILED | {"code": "SHARE"}):
        progress = Progress(rounds=5)
        progress.lines(TRIP)
        assert not any("CH-P03" in line for line in progress.lines(failed))


def test_a_long_protocol_round_is_told_of_every_ten_seconds() -> None:
    progress = Progress(rounds=5)
    going = {
        "event": "protocol_round_underway",
        "protocol_round": "r1",
        "asked": 5,
        "answered": 3,
        "waiting": ["42"],
    }
    told = [progress.lines(going | {"seconds": float(seconds)}) for seconds in range(1, 26)]
    lines = [line.strip() for each in told for line in each]
    assert lines == ["r1: 3 of 5 after 10 s, waiting for 42", "r1: 3 of 5 after 20 s, waiting for 42"]


def test_nodes_that_are_waited_for_are_told_of() -> None:
    event = {"event": "cohort_waiting", "connected": 3, "wanted": 5, "seconds_left": 110}
    assert Progress(rounds=1).lines(event) == [
        "waiting for nodes: 3 of 5 are connected; the run gives up in 110 s (cohort-deadline)"
    ]
