"""Reading a file that somebody else wrote, and that may be the wrong one.

Decides: that no more is read than is allowed, and no more memory taken than the file has. Refuses to know: what the
file is, and what is said of one that is too long.
"""

from pathlib import Path


def read_bounded(path: Path, most: int) -> bytes:
    """What a file holds, cut after `most` + 1 bytes: one that is longer than `most` bytes is too long.

    Raises:
        OSError: it cannot be read.
    """
    # Asked for `most`, a file would first get that much memory, whatever its size.
    with path.open("rb") as file:
        return file.read(min(path.stat().st_size, most) + 1)
