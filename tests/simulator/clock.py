"""Virtual time: one queue of what is due, in one thread.

Decides: that what is due first happens first, and of two at one moment the one that was asked for first. Nothing waits.
"""

from collections.abc import Callable
from heapq import heappop, heappush

Act = Callable[[], None]


class Clock:
    """Monotonic seconds since the simulation began.

    Attributes:
        now: the present.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Act]] = []
        self._asked = 0

    def after(self, seconds: float, act: Act) -> None:
        """Let `act` happen `seconds` from now."""
        self._asked += 1
        heappush(self._due, (self.now + seconds, self._asked, act))

    def run(self) -> None:
        """Until nothing is due any more."""
        while self._due:
            self.now, _, act = heappop(self._due)
            act()
