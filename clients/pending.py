"""Where the encoded update waits between r1 and r2: in the state when small, else in a private file.

Decides: the size at which it becomes a file, and that the file is readable by its owner alone, read once
and deleted.
Refuses to know: what the bytes are. Short protocol rounds then carry no vector through the SuperNode.
"""

import os
import tempfile
import time
from pathlib import Path

from arithmetic.errors import SetupError

SMALL = 1 << 20
_PREFIX = "pending-"
_STALE_SECONDS = 24 * 3600.0


def _folder() -> Path:
    """A folder of this user's alone.

    Raises:
        SetupError: it belongs to somebody else or others may look in.
    """
    folder = Path(tempfile.gettempdir()) / f"chorus-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.stat(follow_symlinks=False)
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SetupError(
            f"{folder} can be read by others; remove it or set TMPDIR to a folder of this user's own"
        )
    return folder


def keep(vector: bytes) -> bytes:
    """Put `vector` away; gives what to hand to `take`."""
    if len(vector) <= SMALL:
        return b"\x00" + vector
    sweep()
    descriptor, name = tempfile.mkstemp(prefix=_PREFIX, dir=_folder())
    with os.fdopen(descriptor, "wb") as file:
        file.write(vector)
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


def sweep() -> None:
    """Delete files that a killed client left behind more than a day ago."""
    oldest = time.time() - _STALE_SECONDS
    for path in _folder().glob(f"{_PREFIX}*"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
