"""What clients may ask, and what they asked, over a restart too."""

import pytest

from arithmetic.errors import ConfigError
from predictions.errors import QueryRefused
from predictions.limits import Limits, Meter
from predictions.program import Answer


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def meter(limits: Limits, account: dict[str, int] | None = None) -> tuple[Meter, list[dict[str, int]], Clock]:
    kept: list[dict[str, int]] = []
    clock = Clock()
    return Meter(limits, account or {}, kept.append, clock), kept, clock


def test_a_quota_is_each_clients_own_and_ends() -> None:
    asked, _, _ = meter(Limits(quota=10))
    asked.charge("client/alice", Answer.LABEL, 8)
    with pytest.raises(QueryRefused, match="quota of 10 examples leaves 2"):
        asked.charge("client/alice", Answer.LABEL, 3)
    asked.charge("client/alice", Answer.LABEL, 2)
    asked.charge("client/bob", Answer.LABEL, 10)


def test_a_restart_forgets_no_example_that_was_used() -> None:
    limits = Limits(quota=1000)
    asked, kept, _ = meter(limits)
    used = 0
    for rows in (1, 5, 9, 10, 40, 3):
        asked.charge("client/alice", Answer.LABEL, rows)
        used += rows
        assert kept[-1]["client/alice"] >= used
    after, _, _ = meter(limits, kept[-1])
    left = 1000 - kept[-1]["client/alice"]
    after.charge("client/alice", Answer.LABEL, left)
    with pytest.raises(QueryRefused):
        after.charge("client/alice", Answer.LABEL, 1)


def test_a_portion_ahead_spares_most_writes() -> None:
    asked, kept, _ = meter(Limits(quota=1000))
    for _ in range(100):
        asked.charge("client/alice", Answer.LABEL, 1)
    assert len(kept) <= 10


def test_a_rate_allows_a_burst_and_then_so_much_a_second() -> None:
    asked, _, clock = meter(Limits(rows=20, rate=2.0))
    asked.charge("client/alice", Answer.LABEL, 20)
    with pytest.raises(QueryRefused, match=r"wait 0\.5 seconds"):
        asked.charge("client/alice", Answer.LABEL, 1)
    clock.now = 5.0
    asked.charge("client/alice", Answer.LABEL, 10)
    with pytest.raises(QueryRefused, match="more than 2 examples a second"):
        asked.charge("client/alice", Answer.LABEL, 1)


def test_a_refused_query_costs_nothing() -> None:
    asked, _, _ = meter(Limits(rows=5, quota=5))
    for rows in (0, 6):
        with pytest.raises(QueryRefused, match="too large"):
            asked.charge("client/alice", Answer.LABEL, rows)
    asked.charge("client/alice", Answer.LABEL, 5)


def test_kinds_of_answers_that_the_owner_does_not_allow_are_refused() -> None:
    asked, _, _ = meter(Limits(answers=frozenset({Answer.LABEL, Answer.COUNT})))
    with pytest.raises(QueryRefused, match="ask for count, label"):
        asked.charge("client/alice", Answer.LOGITS, 1)


def test_limits_survive_being_written() -> None:
    limits = Limits(frozenset({Answer.LABEL}), 7, 11, 0.5)
    assert Limits.from_json(limits.to_json()) == limits


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"answers": ["all"], "rows": 1, "quota": 0, "rate": 0}'])
def test_text_that_is_no_limits_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="share the model anew"):
        Limits.from_json(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [("answers", frozenset()), ("rows", 0), ("rows", 5000), ("quota", -1), ("rate", float("nan"))],
)
def test_limits_that_make_no_sense_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError):
        Limits(**{name: value})  # type: ignore[arg-type]
