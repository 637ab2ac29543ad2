"""A transcript: what a node or a server did, a line at a time, on disk when `append` returns.

Decides: how lines are chained and signed, and what becomes of a file that cannot be continued. Refuses to know: what
the lines say (`wire.entry_kinds`), whom they are shown to, what they prove (`app.verify`).

Each line carries a digest of all before it and, where its writer has an identity key, a signature over the digest that
it would have without the signature: whoever edits a line and chains all anew has no key to sign it with.

A transcript is evidence and no gate. A file whose last line is torn, that is damaged, or that another key signed, is
put aside under a number, never deleted; a new one begins, and its first line names the digest of the old.
"""

import fcntl
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from arithmetic.errors import SetupError
from privacy.chained_lines import START, line_of
from privacy.chained_lines import entry_of as chained_entry_of
from privacy.errors import LedgerDamaged, LedgerError, LedgerHeld, LedgerMissing
from privacy.ledger_file import LedgerFile
from secagg.primitives import SIGNATURE_BYTES, SigningKey, digest, is_signed
from wire.entries import entry_of, from_json, to_json
from wire.entry_kinds import VANISHED, Entry, Opened

VERSION: Final = 1
_SIGNATURE = "signature"
_PATIENCE = 10.0
_PAUSE = 0.02

_log = logging.getLogger("chorus.transcript")


class TranscriptError(SetupError):
    """A transcript that cannot be written: no room, no right, or held by another process for too long."""


class Transcript:
    """An open and locked transcript; a context manager. Made by `open`."""

    def __init__(self, path: Path, signer: SigningKey | None, file: LedgerFile) -> None:
        """For `open`."""
        self._path, self._signer = path, signer
        self._file: LedgerFile | None = file

    @classmethod
    def open(cls, path: Path, signer: SigningKey | None) -> Self:
        """The transcript at `path`, made where there is none, locked until it is closed or the process ends.

        Every line is read: hold a node's transcript for as long as it takes to write, not while it trains. Another
        process that holds it is waited for, ten seconds at most.

        Args:
            path: of the file; its folder is made, the folder's own is not.
            signer: identity key that signs every line; None: no line is signed.

        Raises:
            TranscriptError: it cannot be read, made or locked.
        """
        return cls(path, signer, _open(path, signer))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the lock back; a later `append` would open the file again."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def append(self, kind: str, **fields: object) -> None:
        """Write one line; it is on disk when this returns. After an error the next call opens the file anew.

        Args:
            kind: a key of `wire.entries.KINDS`.
            fields: all fields of the kind, and no others.

        Raises:
            TypeError: no such kind, or a field that is not of its type: nothing but what a kind names gets in.
            TranscriptError: it could not be written.
        """
        entry = entry_of(kind, fields)
        if self._file is None:
            self._file = _open(self._path, self._signer)
        try:
            self._file.append(_signed(entry, self._file.chain, self._signer))
        except LedgerError as error:
            self.close()
            raise _unusable(self._path, error) from error


@dataclass(frozen=True)
class Line:
    """A line that holds.

    Attributes:
        number: from 1.
        entry: what it says.
        chain: after it.
    """

    number: int
    entry: Entry
    chain: str


@dataclass(frozen=True)
class Reading:
    """What a file holds, up to the first line that does not.

    Attributes:
        lines: without the first, which opens the file.
        opened: the first; None where that one does not hold.
        fault: the number of the line that does not hold and why; empty: every line does.
        torn: whether the fault is a last line without an end, as a crash leaves it.
    """

    lines: tuple[Line, ...]
    opened: Opened | None
    fault: str = ""
    torn: bool = False


def read_transcript(data: bytes) -> Reading:
    """Every line of a file whose chain, signature and grammar hold."""
    *whole, rest = data.split(b"\n")
    opened, lines, chain = None, list[Line](), START
    for number, raw in enumerate(whole, start=1):
        try:
            entry, after = _read(raw, chain, number, opened)
        except (LedgerDamaged, ValueError) as error:
            why = "it does not follow from the one before" if isinstance(error, LedgerDamaged) else error
            return Reading(tuple(lines), opened, f"line {number}: {why}")
        chain = after
        if isinstance(entry, Opened):
            opened = entry
        else:
            lines.append(Line(number, entry, chain))
    if rest or opened is None:
        return Reading(tuple(lines), opened, f"line {len(whole) + 1}: it has no end", torn=bool(rest))
    return Reading(tuple(lines), opened)


def _read(raw: bytes, chain: str, number: int, opened: Opened | None) -> tuple[Entry, str]:
    """One line and the chain after it.

    Raises:
        LedgerDamaged: it does not follow from the line before.
        ValueError: it is no entry, not signed by the file's key, or opens the file where it should not; says which.
    """
    table, after = chained_entry_of(raw, chain, number)
    signature = table.pop(_SIGNATURE, "")
    try:
        entry = from_json(table)
    except ValueError as error:
        raise ValueError(f"it is {error}") from error
    if isinstance(entry, Opened) is not (opened is None):
        raise ValueError("it opens the file a second time" if opened else "it does not open the file")
    key = entry.key if isinstance(entry, Opened) else opened.key if opened else ""
    if bool(key) is not bool(signature):
        raise ValueError("it is not signed" if key else "it is signed, and the first line names no key")
    if key and not _is_signed(key, signature, _statement(table, chain)):
        raise ValueError("its signature is not that of the key in the first line")
    return entry, after


def _is_signed(key: str, signature: object, statement: bytes) -> bool:
    """Whether the signature, as a line spells it, is that of the key."""
    if not isinstance(signature, str) or len(signature) != 2 * SIGNATURE_BYTES:
        return False
    try:
        made = bytes.fromhex(signature)
    except ValueError:
        return False
    return made.hex() == signature and is_signed(bytes.fromhex(key), statement, made)


def _statement(table: Mapping[str, object], chain: str) -> bytes:
    """What the signature of a line covers: the chain that it would have without it."""
    return digest("transcript line", bytes.fromhex(line_of(table, chain)[1]))


def _signed(entry: Entry, chain: str, signer: SigningKey | None) -> dict[str, object]:
    """The line of an entry that follows `chain`, signed where there is a key."""
    table = to_json(entry)
    return table if signer is None else {**table, _SIGNATURE: signer.sign(_statement(table, chain)).hex()}


def _open(path: Path, signer: SigningKey | None) -> LedgerFile:
    """The file, locked, and begun by a line with the signer's key."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            path.parent.mkdir(exist_ok=True)
            with _alone(path.parent):
                return _open_or_begin(path, signer)
        except LedgerHeld as error:
            if time.monotonic() > deadline:
                raise TranscriptError(
                    f"the transcript {path.name} is held by another process; let that one end, or give this one a "
                    "transcript of its own"
                ) from error
            time.sleep(_PAUSE)
        except (LedgerError, OSError) as error:
            raise _unusable(path, error) from error


def _open_or_begin(path: Path, signer: SigningKey | None) -> LedgerFile:
    """The file, if it can be continued; a new one where there is none, or it cannot.

    Raises:
        LedgerHeld: another process has it open.
        LedgerError, OSError: it cannot be used.
    """
    key = "" if signer is None else signer.public.hex()
    before = ""
    try:
        file = LedgerFile.open(path)
        if file.entries and file.entries[0].get("key") == key and _begins(file.entries[0]):
            return file
        file.close()
        before = _put_aside(path)
    except LedgerMissing:
        before = VANISHED if LedgerFile.existed(path) else ""
    except LedgerDamaged:
        before = _put_aside(path)
    opened = Opened(version=VERSION, file=secrets.token_hex(16), key=key, before=before)
    LedgerFile.forget(path)
    LedgerFile.create(path, _signed(opened, START, signer))
    return LedgerFile.open(path)


def _begins(table: Mapping[str, object]) -> bool:
    """Whether a line is one that opens a file of this version."""
    fields = {key: value for key, value in table.items() if key != _SIGNATURE}
    try:
        return isinstance(from_json(fields), Opened)
    except ValueError:
        return False


def _put_aside(path: Path) -> str:
    """Rename a file that cannot be continued to the first free number; the digest of what it holds."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.{number}")):
        number += 1
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    path.rename(aside)
    _log.warning("the transcript %s cannot be continued; it was put aside as %s", path.name, aside.name)
    return found


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time opens, begins or puts aside a transcript in this folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: Exception) -> TranscriptError:
    """The sentence for whatever kept a line from the disk."""
    cause = error if isinstance(error, OSError) else error.__cause__
    why = cause.strerror if isinstance(cause, OSError) and cause.strerror else "it changed while it was open"
    return TranscriptError(
        f"the transcript {path.name} cannot be written ({why}); make room, or let the user of this process write there"
    )
