"""The secure ClientApp, watched: its handlers run unchanged.

Decides: which of their calls are counted as train, crypto and import.
"""

import time

LOADING = time.time()

from app import client_app  # noqa: E402 - imports are what is timed
from bench.plain.stopwatch import TimedClientApp, timed  # noqa: E402
from clients import steps  # noqa: E402
from wire.rounds import ProtocolRound  # noqa: E402

_watched: set[str] = set()


def _watch_steps() -> None:
    for name in ("advertise_step", "share_step", "mask_step", "sign_step", "reveal_step"):
        setattr(steps, name, timed("crypto", getattr(steps, name)))


def prepare(action: str) -> None:
    """Watch this process's steps; import for r1 what its handler would import itself."""
    if "steps" not in _watched:
        _watched.add("steps")
        _watch_steps()
    if action.endswith(ProtocolRound.SHARE_KEYS.action) and "work" not in _watched:
        from clients import work

        _watched.add("work")
        for name in ("train", "evaluate"):
            setattr(work, name, timed("train", getattr(work, name)))


app = TimedClientApp(client_app.app, LOADING, prepare)
