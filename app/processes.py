"""Every process that a run started, found and ended, whatever session it moved itself to.

Flower's SuperExec and Ray's daemons leave the process group and session of whoever started them. On
Linux this process becomes a child subreaper: an orphan of the run is handed to us, not to init, so
the tree below us stays complete and can be ended by id. Elsewhere `ps` gives the same tree, less
the orphans whose parents died unseen. This module decides how the tree is read and ended; it
refuses to know what the processes are, and it never ends one by name.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

_PR_SET_CHILD_SUBREAPER: Final = 36
_LINUX: Final = sys.platform.startswith("linux")


class _Entry(NamedTuple):
    pid: int
    parent: int
    state: str


def adopt_orphans() -> None:
    """Make this process the parent of every orphan below it (Linux; elsewhere it does nothing)."""
    if _LINUX:
        # A libc without it leaves us with what `descendants` still sees.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(root: int) -> list[int]:
    """Ids of all living processes below `root`, parents before children; zombies are left out."""
    children: dict[int, list[_Entry]] = {}
    for entry in _table():
        children.setdefault(entry.parent, []).append(entry)
    found: list[int] = []
    queue = list(children.get(root, ()))
    while queue:
        entry = queue.pop(0)
        queue.extend(children.get(entry.pid, ()))
        if entry.state != "Z":
            found.append(entry.pid)
    return found


def end_descendants(grace: float) -> list[int]:
    """End every process below this one: SIGTERM, `grace` seconds, SIGKILL until none is left.

    Only for a process all of whose children belong to the run (the launcher).

    Returns:
        Ids of processes that outlived even SIGKILL for five seconds; empty when all is well.
    """
    _signal_all(descendants(os.getpid()), signal.SIGTERM)
    if _wait_until_none(grace):
        return []
    end = time.monotonic() + 5.0
    # A parent may start another child between the look and the blow: look again until none is left.
    while left := descendants(os.getpid()):
        _signal_all(left, signal.SIGKILL)
        _reap()
        if time.monotonic() > end:
            return left
        time.sleep(0.02)
    _wait_until_none(1.0)
    return []


def _wait_until_none(seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        _reap()
        # In this order: what dies after the look is reaped by the next one.
        if not _children_left() and not descendants(os.getpid()):
            return True
        time.sleep(0.05)
    return False


def _signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _children_left() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _table() -> list[_Entry]:
    return _table_of_proc() if _LINUX else _table_of_ps()


def _table_of_proc() -> list[_Entry]:
    entries = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # The command may hold spaces and brackets: what follows its last ")" is fixed.
            fields = Path("/proc", name, "stat").read_text(errors="replace").rpartition(")")[2]
            state, parent = fields.split()[:2]
            entries.append(_Entry(int(name), int(parent), state))
    return entries


def _table_of_ps() -> list[_Entry]:
    command = ["ps", "-axo", "pid=,ppid=,stat="]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as ps:
        rows = [line.split() for line in ps.communicate()[0].splitlines()]
    return [_Entry(int(r[0]), int(r[1]), r[2][:1]) for r in rows if int(r[0]) != ps.pid]
