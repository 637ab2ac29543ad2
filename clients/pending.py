"""Where the encoded update waits between r1 and r2: in the state when small, else in a private file.

Decides: the size at which it becomes a file, and that the file is readable by its owner alone, read once
and deleted.
Refuses to know: what the bytes are. Short protocol rounds then carry no vector through the SuperNode.
"""

import os
import tempfile
from pathlib import Path

from arithmetic.errors import SetupError

SMALL = 1 << 20
_PREFIX = "pending-"


def _path() -> Path:
    return Path(tempfile.gettempdir()) / f"chorus-{os.getuid()}"


def _folder() -> Path:
    """A folder of this user's alone.

    Raises:
        SetupError: it belongs to somebody else or others may look in.
    """
    folder = _path()
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat(follow_symlinks=False)
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SetupError(
            f"{folder} can be read by others; remove it or set TMPDIR to a folder of this user's own"
        )
    return folder


def keep(vector: bytes, owner: int) -> bytes:
    """Put the update of client `owner` away; gives what to hand to `take`.

    Raises:
        SetupError: it is too large for the state and cannot be written; nothing of it is left.
    """
    if len(vector) <= SMALL:
        return b"\x00" + vector
    sweep(owner)
    descriptor, name = tempfile.mkstemp(prefix=f"{_PREFIX}{owner}-", dir=_folder())
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(vector)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise SetupError(
            f"no room for what waits for r2 ({error.strerror}); free some or set TMPDIR"
        ) from error
    return b"\x01" + name.encode()


def take(kept: bytes) -> bytes:
    """The vector behind `kept`; its file, if any, is deleted.

    Raises:
        SetupError: the file is gone.
    """
    if kept[:1] == b"\x00":
        return kept[1:]
    path = Path(kept[1:].decode())
    try:
        return path.read_bytes()
    except OSError as error:
        raise SetupError(
            "the update kept for this session is gone; the client sits this session out"
        ) from error
    finally:
        path.unlink(missing_ok=True)


def drop(kept: bytes) -> None:
    """Delete without reading."""
    if kept[:1] == b"\x01":
        Path(kept[1:].decode()).unlink(missing_ok=True)


def sweep(owner: int) -> None:
    """Delete every file of client `owner`: at the start of a session and when one is abandoned."""
    folder = _path()
    if folder.is_dir():
        for path in folder.glob(f"{_PREFIX}{owner}-*"):
            path.unlink(missing_ok=True)
