"""A ClientApp around another one that writes down when its process, its imports and its handlers ran.

Decides: what one line of `<run-dir>/trips/<pid>.jsonl` says (all times in Unix seconds). Refuses to know what is
measured. Bench only: a real client writes nothing to the server's run directory.
"""

import json
import os
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import ParamSpec, TextIO, TypeVar

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

P = ParamSpec("P")
R = TypeVar("R")

_spans: dict[str, float] = {}


@lru_cache(maxsize=1)
def process_start() -> float:
    """When the kernel made this process, to 10 ms; 0 where there is no /proc."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0.0
    booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return booted + ticks / os.sysconf("SC_CLK_TCK")


def timed(name: str, function: Callable[P, R]) -> Callable[P, R]:
    """`function`, with its wall seconds added to span `name` of the message in hand."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            _spans[name] = _spans.get(name, 0.0) + time.perf_counter() - began

    return call


class TimedClientApp(ClientApp):
    """`inner`, watched.

    Args:
        inner: the app that answers.
        loading: Unix seconds when its module began to be imported.
        prepare: called before a message of the given action is handled, with span "import" running.
    """

    def __init__(
        self, inner: ClientApp, loading: float, prepare: Callable[[str], None] = lambda action: None
    ) -> None:
        super().__init__()
        self._inner = inner
        self._prepare = timed("import", prepare)
        self._loading, self._loaded = loading, time.time()

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer, then write one line."""
        start, before = time.time(), time.process_time()
        _spans.clear()
        action = message.metadata.message_type
        self._prepare(action)
        reply = self._inner(message, context)
        line = {
            "trip": action, "server_round": message.metadata.group_id, "born": process_start(),
            "loading": self._loading, "loaded": self._loaded, "start": start, "end": time.time(), "spans": _spans,
            "cpu": time.process_time() - before,
        }  # fmt: skip
        _lines(str(context.run_config["run-dir"])).write(json.dumps(line) + "\n")
        return reply


@lru_cache(maxsize=1)
def _lines(run_dir: str) -> TextIO:
    """This process's file, opened once: writing a line must cost next to nothing beside a short handler."""
    folder = Path(run_dir, "trips")
    folder.mkdir(exist_ok=True)
    return (folder / f"{os.getpid()}.jsonl").open("a", buffering=1)
