"""Where a person watches a run: a picture that is drawn anew in a terminal, plain lines elsewhere, or JSON lines.

Decides: which of the three. Refuses to know what the picture shows (`app.live_view`) and what starts or ends a run.
"""

import json
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from app.progress import Progress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

Event = Mapping[str, Any]

_LOG: Final = 6  # lines of the log below the picture
_ENDS: Final = ("run_finished", "run_failed")


class Plain:
    """A line a round; only the result where it is quiet.

    Args:
        rounds: of the run.
        quiet: prints no events.
    """

    def __init__(self, rounds: int, quiet: bool = False) -> None:
        self._progress, self._quiet = Progress(rounds), quiet

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put back."""

    def begin(self, events: Iterable[Event]) -> None:
        """What happened before."""
        for event in events:
            self.show(event)

    def say(self, line: str) -> None:
        """Print one line."""
        print(line, flush=True)

    def show(self, event: Event) -> None:
        """Print what an event says."""
        if not self._quiet:
            for line in self._progress.lines(event):
                self.say(line)


class JsonLines:
    """Events as they are; nothing else."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to put back."""

    def begin(self, events: Iterable[Event]) -> None:
        """What happened before."""
        for event in events:
            self.show(event)

    def say(self, line: str) -> None:
        """Not for programs."""

    def show(self, event: Event) -> None:
        """One line."""
        print(json.dumps(event), flush=True)


class Picture:
    """The live view; after the run's last word it stands still, and lines are printed below it.

    Args:
        name: of the run.
        rounds: of the run.
    """

    def __init__(self, name: str, rounds: int) -> None:
        from app.run_view import RunView

        self._name, self._view, self._progress = name, RunView(), Progress(rounds)
        self._log: deque[str] = deque(maxlen=_LOG)
        self._live: Live | None = None

    def __enter__(self) -> Self:
        from rich.live import Live

        self._live = Live(
            get_renderable=self.drawn, refresh_per_second=4, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the last picture on the screen."""
        self._stop()

    def drawn(self) -> "RenderableType":
        """The picture of this moment."""
        from app.live_view import WIDEST, picture

        width = WIDEST if self._live is None else self._live.console.width
        return picture(self._view, self._name, list(self._log), time.time(), width)

    def begin(self, events: Iterable[Event]) -> None:
        """What happened before; a run that ended once and was continued has not ended."""
        for event in events:
            self._take(event)

    def say(self, line: str) -> None:
        """A line above the picture, or below one that stands still."""
        if self._live is None:
            print(line, flush=True)
        else:
            self._live.console.print(line, markup=False, highlight=False)

    def show(self, event: Event) -> None:
        """Change the picture."""
        self._take(event)
        if event.get("event") in _ENDS:
            self._stop()

    def _take(self, event: Event) -> None:
        self._view.take(event)
        self._log.extend(self._progress.lines(event))

    def _stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()


Screen = Plain | JsonLines | Picture


def screen(
    name: str, rounds: int, *, quiet: bool = False, as_json: bool = False, plain: bool = False
) -> Screen:
    """The right one for where standard output goes.

    Args:
        name: of the run.
        rounds: of the run; 0 where they are not known.
        quiet: the result only.
        as_json: events, a line each.
        plain: lines, though it is a terminal.
    """
    if as_json:
        return JsonLines()
    if quiet or plain or not sys.stdout.isatty():
        return Plain(rounds, quiet)
    return Picture(name, rounds)
