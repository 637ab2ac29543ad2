"""The file under a ledger: locked, only ever appended to, on disk when `append` returns.

Decides when a file may be trusted. Refuses to know what its lines say (`privacy.ledger`) and how they are chained
(`privacy.chained_lines`).

Beside the file (0600) lies an empty `<name>.made`, which says that there was one: the first creation is asked for
by name, later absence is an error. Locks are POSIX (`flock`): nothing for network file systems that ignore them,
nor for several threads at once.
"""

import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from privacy.chained_lines import START, entries_of, line_of
from privacy.errors import LedgerDamaged, LedgerError, LedgerHeld, LedgerMissing


class LedgerFile:
    """An open and locked file of chained lines.

    Attributes:
        entries: what it held when it was opened.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        """For `open`: the descriptor is locked, and is this object's from here on."""
        self._path, self._descriptor, self._trusted = path, descriptor, True
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read()
        self._size = len(data)
        self.entries, self._chain = entries_of(data)

    @property
    def chain(self) -> str:
        """The chain after the last line."""
        return self._chain

    @staticmethod
    def existed(path: Path) -> bool:
        """Whether there is, or once was, such a file."""
        return os.path.lexists(path) or os.path.lexists(_marker(path))

    @staticmethod
    def forget(path: Path) -> None:
        """Let `create` make a file where there was one that somebody moved away on purpose."""
        _marker(path).unlink(missing_ok=True)

    @staticmethod
    def create(path: Path, header: Mapping[str, object]) -> None:
        """Make the file with its first line; the folder exists.

        Raises:
            LedgerMissing: there was one, and it vanished.
            LedgerError: there is one, or it cannot be written.
        """
        if LedgerFile.existed(path) and not os.path.lexists(path):
            raise _missing(path)
        try:
            _write_new(path, line_of(header, START)[0])
            _mark(path)
        except OSError as error:
            raise LedgerError(f"the ledger {path.name} cannot be made: {error.strerror}") from error

    @classmethod
    def open(cls, path: Path) -> Self:
        """The file, locked until it is closed or the process ends.

        Raises:
            LedgerMissing: there is none.
            LedgerHeld: another process has it open.
            LedgerDamaged: its lines do not parse.
            LedgerError: it cannot be opened or locked.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_NONBLOCK)
        except FileNotFoundError as error:
            raise _missing(path) from error
        except OSError as error:
            raise LedgerError(f"the ledger {path.name} cannot be opened: {error.strerror}") from error
        try:
            _lock(descriptor)
            _mark(path)  # again: the process that made it may have been killed before
            return cls(path, descriptor)
        except LedgerError as error:
            os.close(descriptor)
            raise type(error)(f"the ledger {path.name} is not used: {error}") from error
        except OSError as error:
            os.close(descriptor)
            raise LedgerError(f"the ledger {path.name} cannot be used: {error.strerror}") from error

    def close(self) -> None:
        """Give the lock back; nothing can be appended any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._trusted = -1, False

    def append(self, entry: Mapping[str, object]) -> None:
        """Write one line; it is on disk when this returns.

        Raises:
            LedgerMissing, LedgerDamaged: the file vanished or changed while it was open; nothing was written.
            LedgerError: it is closed, or nobody knows what is on disk; it is then never written to again.
        """
        self._check()
        line, chain = line_of(entry, self._chain)
        self._trusted = False
        try:
            _write_all(self._descriptor, line)
        except OSError as error:
            self._take_back()
            raise self._not_written(error) from error
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            raise self._not_written(error) from error
        self._chain, self._size, self._trusted = chain, self._size + len(line), True

    def _check(self) -> None:
        """Refuse to write to a file that is no longer the one that was read."""
        if not self._trusted:
            raise LedgerError(f"the ledger {self._path.name} is closed; open it again")
        held = os.fstat(self._descriptor)
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise _missing(self._path) from error
        if not os.path.samestat(held, found) or held.st_size != self._size:
            raise LedgerDamaged(
                f"the ledger {self._path.name} was changed by somebody else while it was open; nothing was released"
            )

    def _take_back(self) -> None:
        """Cut what was written of a line for which nothing was released."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError:
            pass  # the torn line is refused when the file is opened again

    def _not_written(self, error: OSError) -> LedgerError:
        return LedgerError(
            f"the ledger {self._path.name} could not be written ({error.strerror}); nothing may be released: make "
            "room or mend the disk, then open it again"
        )


def _marker(path: Path) -> Path:
    """The file that says that there was a ledger."""
    return path.with_name(path.name + ".made")


def _mark(path: Path) -> None:
    """Make the marker, if it is not there."""
    try:
        _write_new(_marker(path), b"")
    except FileExistsError:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # so that both names last
    finally:
        os.close(folder)


def _missing(path: Path) -> LedgerMissing:
    marker = _marker(path)
    if os.path.lexists(marker):
        text = f"was here and vanished; restore it, or, if this data was never used, delete {marker.name} too"
    else:
        text = "was never made; check its name in the node's configuration, or create it"
    return LedgerMissing(f"the ledger {path.name} {text}")


def _lock(descriptor: int) -> None:
    """Lock without waiting, if it is a file at all."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise LedgerError("it is no ordinary file; name another in the node's configuration")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise LedgerHeld("another process has it open; wait for that one to end") from error


def _write_new(path: Path, data: bytes) -> None:
    """A new file, 0600, on disk when this returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
