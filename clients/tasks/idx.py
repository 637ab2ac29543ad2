"""Reading IDX files (LeCun's format of MNIST), plain or gzip, strictly.

Decides whether a file is exactly the array it claims to be: magic, dimensions, length. Memory grows
only with bytes that are really there, so a header that claims 10^12 items costs nothing. Refuses to
know what the numbers mean.

Layout: two zero bytes, type 0x08 (unsigned byte), number of dimensions, one big-endian uint32 a
dimension, then the bytes in C order and nothing after them.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from arithmetic.errors import SetupError

LARGEST: Final = 10**6  # items; a fuller file is not MNIST
_CHUNK: Final = 1 << 20
_GZIP: Final = b"\x1f\x8b"


def find_idx(folder: Path, name: str) -> Path | None:
    """Give the file `name`, or `name`.gz, in `folder`; None when there is neither."""
    found = (folder / name, folder / f"{name}.gz")
    return next((path for path in found if path.is_file()), None)


def read_idx(path: Path, item: tuple[int, ...]) -> NDArray[np.uint8]:
    """Give the array of one IDX file of unsigned bytes, shape (items, *item), read-only.

    Args:
        path: the file, gzip if it starts as gzip does.
        item: the shape one item must have: (28, 28) for images, () for labels.

    Raises:
        SetupError: a file that cannot be read or is not exactly that; the message names it.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP
            raw.seek(0)
            if not packed:
                return _parse(raw, path, item)
            with gzip.GzipFile(fileobj=raw) as stream:
                return _parse(stream, path, item)
    except (OSError, EOFError, zlib.error) as error:
        raise SetupError(f"{path} cannot be read ({error}); copy the original file again") from error


def _parse(stream: BinaryIO | gzip.GzipFile, path: Path, item: tuple[int, ...]) -> NDArray[np.uint8]:
    header = _exactly(stream, 4 * (2 + len(item)), path)
    magic = bytes([0, 0, 8, 1 + len(item)])
    if header[:4] != magic:
        raise _broken(path, f"starts with {header[:4].hex()}, not {magic.hex()}")
    count, *sides = (int(number) for number in np.frombuffer(header, dtype=">u4", offset=4))
    if tuple(sides) != item:
        raise _broken(path, f"holds items of shape {tuple(sides)}, not {item}")
    if count > LARGEST:
        raise _broken(path, f"claims {count} items, more than {LARGEST}")
    body = _exactly(stream, count * math.prod(item), path)
    if stream.read(1):
        raise _broken(path, f"goes on after its {count} items")
    return np.frombuffer(body, dtype=np.uint8).reshape(count, *item)


def _exactly(stream: BinaryIO | gzip.GzipFile, length: int, path: Path) -> bytes:
    parts: list[bytes] = []
    missing = length
    while missing:
        part = stream.read(min(missing, _CHUNK))
        if not part:
            raise _broken(path, f"ends {missing} bytes early")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _broken(path: Path, what: str) -> SetupError:
    return SetupError(f"{path} is no such IDX file: it {what}; copy the original file again")
