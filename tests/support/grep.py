"""Search bytes for secrets in the forms in which they could have leaked: raw, hexadecimal, base64."""

import base64
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

WINDOW = 16


def forms(secret: bytes) -> Iterator[bytes]:
    """`secret` raw, in hex (both cases) and in base64 at each of its three alignments."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    for shift in range(3):
        # The characters that depend on `secret` alone, whatever stands before and after it.
        encoded = base64.b64encode(bytes(shift) + secret)
        first = (shift * 8 + 5) // 6
        last = (shift + len(secret)) * 8 // 6
        yield encoded[first:last]


def windows(array: NDArray[np.generic], count: int, seed: int) -> list[bytes]:
    """`count` windows of 16 bytes out of an array's bytes, each varied enough to be no accident."""
    raw = array.tobytes()
    starts = np.random.default_rng(seed).integers(0, max(len(raw) - WINDOW, 1), 4 * count)
    starts -= starts % array.itemsize
    found = [raw[start : start + WINDOW] for start in starts]
    return [window for window in found if len(set(window)) >= 8][:count]


def hits(needles: Iterable[bytes], haystack: bytes) -> list[bytes]:
    """The needles found in any form."""
    return [needle for needle in needles if any(form in haystack for form in forms(needle))]
