"""When a run ends before its last server round: no model is better, noise would cost too much, or budgets are spent.

Decides: the three rules, and that the next session is what is not begun; whatever was summed stays. A model is judged
by its loss on the clients' own validation data, or, where none may leave them, on the public test set.
Refuses to know: how a run is ended (`strategies.numbering`), and what a session costs (the caller says it).

It knows nothing but the run's events, so that a run which goes on hears its own again and stands where it stood.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from privacy.errors import BudgetExhausted
from strategies.events import Emit, silent
from wire.rounds import Purpose

TOO_DEAR: Final = "stop-epsilon"
NO_BETTER: Final = "patience"
SPENT: Final = "budget"


class Stopped(Exception):
    """The run ends here, and well.

    Attributes:
        after: the last server round that was held.
        rule: `patience`, `stop-epsilon` or `budget`.
        reason: one sentence for people.
    """

    def __init__(self, after: int, rule: str, reason: str) -> None:
        super().__init__(after, rule, reason)
        self.after, self.rule, self.reason = after, rule, reason


def _free(sessions: int) -> str:
    return ""


@dataclass
class Stopping:
    """The rules of one run, and what they have heard.

    Attributes:
        patience: judged models in a row without a lower loss after which the run ends; 0 is never.
        cohort: clients of the run.
        least: fewest of a sum; where spent budgets leave fewer, no later session can have one either.
        too_dear: number of training sessions -> why so many would cost too much, "" where they do not.
        ended: how the run ended early; None as long as it has not.
    """

    patience: int = 0
    cohort: int = 0
    least: int = 0
    too_dear: Callable[[int], str] = _free
    ended: Stopped | None = field(default=None, init=False)
    _emit: Emit = field(default_factory=lambda: silent, init=False, repr=False)
    _best: float = field(default=math.inf, init=False)
    _since: int = field(default=0, init=False)
    _spent: set[str] = field(default_factory=set, init=False)
    _over: str = field(default="", init=False)

    def listening(self, emit: Emit) -> Emit:
        """`emit`, overheard; it is told of the end as well."""
        self._emit = emit

        def both(event: str, **fields: object) -> None:
            self.hear(event, **fields)
            emit(event, **fields)

        return both

    def hear(self, event: str, **fields: object) -> None:
        """Take an event of the run; most say nothing here."""
        if fields.get("purpose") != Purpose.TRAINING:
            return
        if event == "round_finished":
            self._judged(fields.get("loss"), fields.get("central_loss"))
        elif event == "protocol_round":
            self._refused(fields.get("refused"))
        elif event == "round_failed" and self._spent and self.least > max(self.cohort - len(self._spent), 0):
            self._over = (
                f"the privacy budget of {len(self._spent)} of {self.cohort} clients is spent, and a sum needs "
                f"{self.least}"
            )

    def check(self, server_round: int, sessions: int) -> None:
        """Whether another training session may be begun.

        Args:
            server_round: that it would be of.
            sessions: how many there will have been with it.

        Raises:
            Stopped: it may not.
        """
        for rule, reason in self._reasons(sessions):
            if reason:
                self.ended = Stopped(server_round - 1, rule, reason)
                self._emit("run_stopped", server_round=server_round - 1, rule=rule, reason=reason)
                raise self.ended

    def last_of(self, rounds: int) -> int:
        """The last server round of a run that was to have so many."""
        return self.ended.after if self.ended else rounds

    def _reasons(self, sessions: int) -> Iterator[tuple[str, str]]:
        """Each rule with its reason, "" where there is none."""
        yield SPENT, self._over
        yield TOO_DEAR, self.too_dear(sessions)
        if self.patience and self._since >= self.patience:
            judged = (
                "the last judged model has no"
                if self._since == 1
                else f"none of the last {self._since} judged models has a"
            )
            yield NO_BETTER, f"{judged} lower loss than {self._best:.4f}, the best before"

    def _judged(self, loss: object, central: object) -> None:
        told = loss if isinstance(loss, int | float) else central
        if not isinstance(told, int | float) or math.isnan(told):
            return
        better = told < self._best
        self._best = min(self._best, told)
        self._since = 0 if better else self._since + 1

    def _refused(self, refused: object) -> None:
        """Clients that will not take part any more: a budget that is spent stays so."""
        if isinstance(refused, dict):
            self._spent |= {str(node) for node, why in refused.items() if BudgetExhausted.NAMED in str(why)}
