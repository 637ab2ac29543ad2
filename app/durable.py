"""Files that a crash leaves whole: written beside, put on disk, renamed; and who is at work on one.

Decides: the order of writing, and that a lock ends with the process that holds it. Refuses to know: what the files are.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def write_whole(path: Path, *parts: bytes) -> None:
    """Replace `path` by a file of these parts; no reader sees half of it, and it is on disk when this returns.

    Raises:
        OSError: it cannot be written; what was there before is intact.
    """
    temporary = path.with_name(f".{path.name}-{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold `path`, which is made if need be and must not be replaced, until the block ends or the process does.

    Yields:
        Whether it is held now; False when another process holds it.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
