"""Runs that end early: by patience, by what noise costs, by budgets that are spent; and never otherwise."""

from typing import Any

import pytest

from privacy.errors import BudgetExhausted
from strategies.stopping import Stopped, Stopping

SPENT = f"POLICY: this release would pass the example{BudgetExhausted.NAMED} 1 at delta 1e-05"


def finished(loss: float | None, central: float | None = None) -> dict[str, Any]:
    return {"event": "round_finished", "purpose": "training", "loss": loss, "central_loss": central}


def after(stopping: Stopping, *events: dict[str, Any]) -> Stopping:
    for event in events:
        stopping.hear(**event)
    return stopping


def test_without_rules_a_run_never_ends_early() -> None:
    refused = {"event": "protocol_round", "purpose": "training", "refused": {"1": SPENT}}
    failed = {"event": "round_failed", "purpose": "training"}
    stopping = after(Stopping(), refused, failed, *[finished(1.0)] * 50)
    stopping.check(51, 51)
    assert stopping.last_of(60) == 60


def test_patience_counts_judged_models_without_a_lower_loss() -> None:
    stopping = Stopping(patience=2)
    for loss in (1.0, 0.5, 0.6, 0.4, 0.4):
        stopping.hear(**finished(loss))
        stopping.check(9, 9)
    stopping.hear(**finished(0.41))
    with pytest.raises(
        Stopped, match=r"none of the last 2 judged models has a lower loss than 0\.4000"
    ) as ended:
        stopping.check(7, 7)
    assert (ended.value.after, ended.value.rule, stopping.last_of(60)) == (6, "patience", 6)


@pytest.mark.parametrize(
    "silent",
    [
        finished(None),
        finished(float("nan")),
        finished(9.0) | {"purpose": "evaluation"},
        finished(9.0) | {"event": "round_failed"},
    ],
    ids=["unjudged", "diverged", "final", "failed"],
)
def test_what_judges_no_model_costs_no_patience(silent: dict[str, Any]) -> None:
    after(Stopping(patience=1), finished(1.0), silent).check(2, 2)


def test_the_public_test_set_judges_where_no_loss_leaves_the_clients() -> None:
    stopping = after(Stopping(patience=1), finished(None, 1.0), finished(None, 1.5))
    with pytest.raises(Stopped, match="the last judged model has no lower loss"):
        stopping.check(3, 3)
    after(Stopping(patience=1), finished(1.0, 1.0), finished(0.9, 1.5)).check(3, 3)


def test_a_session_that_would_cost_too_much_is_not_begun() -> None:
    stopping = Stopping(too_dear=lambda sessions: "too dear" if sessions > 3 else "")
    stopping.check(3, 3)
    with pytest.raises(Stopped, match="too dear") as ended:
        stopping.check(3, 4)
    assert (ended.value.after, ended.value.rule) == (2, "stop-epsilon")


def test_budgets_that_leave_too_few_clients_end_the_run_once_a_round_failed() -> None:
    refused = {
        "event": "protocol_round",
        "purpose": "training",
        "refused": {"1": SPENT, "2": SPENT, "3": "ENV: x"},
    }
    failed = {"event": "round_failed", "purpose": "training"}
    after(Stopping(cohort=5, least=3), refused, failed).check(2, 2)
    after(Stopping(cohort=5, least=4), refused).check(2, 2)
    stopping = after(Stopping(cohort=5, least=4), refused, failed)
    with pytest.raises(Stopped, match="budget of 2 of 5 clients is spent, and a sum needs 4") as ended:
        stopping.check(2, 2)
    assert ended.value.rule == "budget"


def test_the_end_is_told_once_where_events_go() -> None:
    told: list[tuple[str, dict[str, object]]] = []
    stopping = Stopping(patience=1)
    emit = stopping.listening(lambda event, **fields: told.append((event, fields)))
    for _ in range(2):
        emit("round_finished", purpose="training", loss=1.0)
    with pytest.raises(Stopped):
        stopping.check(3, 3)
    assert [event for event, _ in told] == ["round_finished", "round_finished", "run_stopped"]
    assert told[-1][1]["server_round"] == 2
