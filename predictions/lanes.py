"""Links between the online servers, one for each query that runs.

Decides: how many queries run at once, that a link which said anything between queries is never used again, and how the
two halves of a query find each other at the second server. Refuses to know: what a query computes.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from predictions.errors import FrameRejected, LinkFailed, QueryRefused
from predictions.link import Link
from predictions.messages import Ask, Begin

MOST_LANES: Final = 16
_LOOK: Final = 0.2  # seconds between looks whether the client is still there


class Lanes:
    """At the first online server.

    Args:
        connect: opens a link to the second.
        patience: seconds that a query waits for a lane when all are taken.
    """

    def __init__(self, connect: Callable[[], Link], patience: float) -> None:
        self._connect, self._patience = connect, patience
        self._idle: deque[Link] = deque()
        self._free = threading.BoundedSemaphore(MOST_LANES)

    @contextmanager
    def one(self) -> Iterator[Link]:
        """A lane for one query; closed when the query fails, kept when it does not.

        Raises:
            LinkFailed: the second server is away.
            QueryRefused: all lanes are taken.
        """
        if not self._free.acquire(timeout=self._patience):
            raise QueryRefused(f"{MOST_LANES} queries are running; ask again when one of them is done")
        try:
            lane = self._fresh()
            try:
                yield lane
            except BaseException:
                lane.close()
                raise
            self._idle.append(lane)
        finally:
            self._free.release()

    def close(self) -> None:
        """End idle lanes."""
        while (lane := self._next()) is not None:
            lane.close()

    def _fresh(self) -> Link:
        while (lane := self._next()) is not None:
            if lane.idle_and_open:
                return lane
            lane.close()
        return self._connect()

    def _next(self) -> Link | None:
        try:
            return self._idle.pop()
        except IndexError:  # taken by another query since anybody looked
            return None


@dataclass
class Meeting:
    """A query at the second server: the first has begun it, the client is to come for it."""

    begin: Begin
    lane: Link
    taken: bool = False
    over: threading.Event = field(default_factory=threading.Event)


class Meetings:
    """At the second online server, by query.

    Args:
        patience: seconds that either half waits for the other.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._open: dict[bytes, Meeting] = {}
        self._changed = threading.Condition()

    def offer(self, query: bytes, meeting: Meeting) -> None:
        """Wait, in the lane's thread, until the client's thread is done with the lane.

        Raises:
            LinkFailed: the client did not come.
            FrameRejected: the query has begun already.
        """
        with self._changed:
            if query in self._open:
                raise FrameRejected("a query came twice; it is not answered")
            self._open[query] = meeting
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: meeting.taken, self._patience):
                del self._open[query]
                raise LinkFailed("the client did not come to the second server; its material is burnt")
        meeting.over.wait()

    def find(self, query: bytes, client: Link, ask: Ask) -> Meeting:
        """Wait, in the client's thread, until the first server has begun the query.

        Raises:
            LinkFailed: it did not, or the client went away.
            FrameRejected: it began another client's, or asked something else.
        """
        end = time.monotonic() + self._patience
        with self._changed:
            while query not in self._open:
                self._changed.wait(_LOOK)
                if not client.idle_and_open or time.monotonic() > end:
                    raise LinkFailed(
                        "the first server did not begin the query; ask again when all servers are up"
                    )
            meeting = self._open[query]
            if meeting.begin.client != client.peer or meeting.begin.ask != ask:
                raise FrameRejected("the first server began another query than the client asked; ask again")
            del self._open[query]
            meeting.taken = True
            self._changed.notify_all()
        return meeting
