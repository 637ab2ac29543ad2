"""What the owner lets clients ask, and the count of what each has asked.

Decides: kinds of answers, the largest batch, the rate and the quota a client (a model can be copied by asking it
often enough). Both online servers count, so that one of them alone cannot lift a limit. Refuses to know: sockets and
where counts are kept. A quota is taken out of what is kept in portions ahead of use: a server that crashes forgets
unused ones, never used ones.
"""

import json
import math
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final, Self

from arithmetic.errors import ConfigError
from predictions.errors import QueryRefused
from predictions.program import Answer

MOST_ROWS: Final = 4096
_PORTIONS: Final = 100
Account = dict[str, int]


@dataclass(frozen=True)
class Limits:
    """Of one model.

    Args:
        answers: kinds that clients may ask for.
        rows: of the largest batch, canaries included; 1..4096.
        quota: examples a client may ask about as long as this sharing lasts, canaries included; 0: no quota.
        rate: examples a second and client, on average; 0: no limit. A burst may hold ten seconds' worth, and no
            less than the largest batch.

    Raises:
        ConfigError: a value that cannot be used.
    """

    answers: frozenset[Answer] = frozenset(Answer)
    rows: int = 1024
    quota: int = 0
    rate: float = 0.0

    def __post_init__(self) -> None:
        if not self.answers:
            raise ConfigError("no kind of answer is allowed; allow one of logits, label and count")
        if not 1 <= self.rows <= MOST_ROWS:
            raise ConfigError(
                f"a batch of {self.rows} cannot be allowed; it takes from 1 to {MOST_ROWS} examples"
            )
        if self.quota < 0 or not (math.isfinite(self.rate) and self.rate >= 0):
            raise ConfigError("quota and rate are numbers from 0 on, and 0 means no limit")

    @property
    def burst(self) -> float:
        """Most examples at once."""
        return max(float(self.rows), 10 * self.rate)

    def to_json(self) -> str:
        """As text."""
        return json.dumps({**asdict(self), "answers": sorted(self.answers)})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From text.

        Raises:
            ConfigError: it says something else.
        """
        try:
            found = json.loads(text)
            answers = frozenset(Answer(one) for one in found["answers"])
            return cls(answers, int(found["rows"]), int(found["quota"]), float(found["rate"]))
        except (ValueError, KeyError, TypeError, OverflowError):
            raise ConfigError("the limits are none; share the model anew") from None


class Meter:
    """Counts what every client asks.

    Args:
        limits: of the model.
        account: examples each client has used, as it was kept last.
        keep: keeps an account; called before an example of a new portion is allowed.
        clock: seconds, never going back.
    """

    def __init__(
        self, limits: Limits, account: Account, keep: Callable[[Account], None], clock: Callable[[], float]
    ) -> None:
        self.limits = limits
        self._keep, self._clock = keep, clock
        self._kept = dict(account)
        self._used = dict(account)
        self._credit: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def charge(self, client: str, answer: Answer, rows: int) -> None:
        """Take a query out of what a client may ask.

        Raises:
            QueryRefused: it may not; nothing was taken.
        """
        limits = self.limits
        if answer not in limits.answers:
            allowed = ", ".join(sorted(limits.answers))
            raise QueryRefused(f"the owner does not allow answers {answer.value}; ask for {allowed}")
        if not 1 <= rows <= limits.rows:
            raise QueryRefused(
                f"a batch of {rows} examples, canaries included, is too large; ask {limits.rows} or fewer at once"
            )
        with self._lock:
            used = self._used.get(client, 0) + rows
            if limits.quota and used > limits.quota:
                raise QueryRefused(
                    f"the quota of {limits.quota} examples leaves {limits.quota - used + rows}; ask the owner for more"
                )
            self._spend(client, rows)
            self._used[client] = used
            if limits.quota and used > self._kept.get(client, 0):
                self._kept[client] = min(limits.quota, used + limits.quota // _PORTIONS)
                self._keep(dict(self._kept))

    def _spend(self, client: str, rows: int) -> None:
        limits, now = self.limits, self._clock()
        if not limits.rate:
            return
        credit, since = self._credit.get(client, (limits.burst, now))
        credit = min(limits.burst, credit + (now - since) * limits.rate)
        if rows > credit:
            wait = (rows - credit) / limits.rate
            raise QueryRefused(
                f"more than {limits.rate:g} examples a second were asked; wait {wait:.1f} seconds"
            )
        self._credit[client] = (credit - rows, now)
