"""Flower's grid behind a bound: a SuperLink that is away for a while is waited for, one that stays away ends the run.

Decides: how long silence may last, and what counts as silence. Flower's grid repeats a call for ever while nobody
answers, so every call is made by a thread of its own; a second, small call tells one that is merely slow from one
that nobody answers. A call is never given up and made again: what a pull has handed out is gone.
Refuses to know: what is asked, and of whom.
"""

import logging
import time
from collections.abc import Callable, Iterable
from threading import Event, Thread
from typing import Generic, TypeVar

import httpx
from flwr.app import Message
from flwr.serverapp import Grid

from strategies.errors import LinkLost
from strategies.events import Emit, silent

T = TypeVar("T")

LONGEST_OUTAGE = 60.0  # Flower itself fails a run whose ServerApp was not heard for as long
RETURN = 20.0  # the longest pause of a SuperNode between two tries to reach the SuperLink
_PROMPT = 3.0
_PAUSE = 1.0
_UNREACHABLE = (OSError, httpx.TransportError)
_log = logging.getLogger("chorus.server")


class Link:
    """The grid's calls, each bounded.

    Args:
        grid: Flower's grid.
        emit: receives `link_lost` and `link_back`, both with `seconds` of silence.
        longest: seconds of silence after which the link is lost.
        prompt: seconds that a call may take before it is asked whether anybody is there.

    Attributes:
        away: seconds to leave out of the clients' deadline so far: for every outage its length, and `RETURN`.
    """

    def __init__(
        self, grid: Grid, emit: Emit = silent, longest: float = LONGEST_OUTAGE, prompt: float = _PROMPT
    ) -> None:
        self.away = 0.0
        self._grid = grid
        self._emit = emit
        self._longest = longest
        self._prompt = prompt

    def push(self, messages: Iterable[Message]) -> list[str]:
        """Send messages; the identifiers of those that were stored.

        Raises:
            LinkLost: the SuperLink stayed away or refused the call.
        """
        try:
            return self._ask(lambda: list(self._grid.push_messages(messages)))
        except httpx.HTTPStatusError as error:
            raise _refused(error) from None

    def pull(self, identifiers: Iterable[str]) -> list[Message]:
        """The replies that have come to these messages.

        Raises:
            LinkLost: the SuperLink stayed away.
            Exception: as the grid raises it; one reply may be the reason.
        """
        return self._ask(lambda: list(self._grid.pull_messages(identifiers)))

    def nodes(self) -> list[int]:
        """Connected nodes.

        Raises:
            LinkLost: the SuperLink stayed away or refused the call.
        """
        try:
            return self._ask(lambda: list(self._grid.get_node_ids()))
        except httpx.HTTPStatusError as error:
            raise _refused(error) from None

    def _ask(self, call: Callable[[], T]) -> T:
        news = Event()
        asked = _Asked(call, news)
        if not news.wait(self._prompt):
            self._wait_out(asked, news)
        return asked.answer()

    def _wait_out(self, asked: "_Asked[T]", news: Event) -> None:
        """Wait for a call that takes long."""
        since, told = time.monotonic() - self._prompt, False
        probe = _Asked(lambda: list(self._grid.get_node_ids()), news)
        while not asked.done.is_set():
            news.wait(self._prompt)
            news.clear()
            now = time.monotonic()
            if probe.done.is_set() and not asked.done.is_set():
                # Somebody is there: the call is slow, or Flower pauses before it tries again.
                since, told = now, self._back(now - since) if told else False
                asked.done.wait(self._prompt)
                probe = _Asked(lambda: list(self._grid.get_node_ids()), news)
            elif not told and now - since >= 2 * self._prompt and not asked.done.is_set():
                told = True
                self._emit("link_lost", seconds=round(now - since, 3))
                _log.warning("the SuperLink does not answer; waiting up to %g s", self._longest)
            if now - since > self._longest and not asked.done.is_set():
                asked.give_up()
                probe.give_up()
                raise LinkLost(
                    f"the SuperLink has not answered for {self._longest:g} s, so the run ends; nothing more was "
                    "released. Start the SuperLink again on its database, then resume the run (docs/resume.md)"
                )
        probe.give_up()
        if told:
            self._back(time.monotonic() - since)

    def _back(self, seconds: float) -> bool:
        self.away += seconds + RETURN
        self._emit("link_back", seconds=round(seconds, 3))
        _log.warning("the SuperLink is back after %.1f s", seconds)
        return False


class _Asked(Generic[T]):
    """One call in a thread of its own, made again only if it did not reach anybody."""

    def __init__(self, call: Callable[[], T], news: Event) -> None:
        self.done = Event()
        self._call = call
        self._news = news
        self._given_up = Event()
        self._found: list[T] = []
        self._error: BaseException | None = None
        # A daemon: a call that never returns must not keep the process from ending.
        Thread(target=self._run, daemon=True, name="link").start()

    def give_up(self) -> None:
        """Do not try again."""
        self._given_up.set()

    def answer(self) -> T:
        """What the call returned or raised, once it is done."""
        if self._error is not None:
            raise self._error
        return self._found[0]

    def _run(self) -> None:
        while not self._given_up.is_set():
            try:
                self._found.append(self._call())
                break
            except _UNREACHABLE:
                self._given_up.wait(_PAUSE)
            except BaseException as error:  # noqa: BLE001 - it is raised where the answer is read
                self._error = error
                break
        self.done.set()
        self._news.set()


def _refused(error: httpx.HTTPStatusError) -> LinkLost:
    return LinkLost(
        f"the SuperLink refused a call with HTTP {error.response.status_code}, so the run ends; see its log"
    )
