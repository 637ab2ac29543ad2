"""Words and planes out of a seed."""

from itertools import pairwise

import numpy as np
import pytest

from predictions.primitives import KeyStream
from predictions.stream import SeedStream

SEED = bytes(range(32))


@pytest.mark.parametrize("sizes", [[3, 5, 100], [20_000, 3], [3, 20_000, 3, 9000, 9000], [16_384] * 3])
def test_the_same_reads_give_the_same_and_no_byte_twice(sizes: list[int]) -> None:
    one, other = SeedStream(SEED), SeedStream(SEED)
    parts = [one.planes((size,)).copy() for size in sizes]
    assert all((part == other.planes((size,))).all() for part, size in zip(parts, sizes, strict=True))
    whole = bytearray(100_000)
    KeyStream(SEED).fill(memoryview(whole))
    places = [bytes(whole).find(part[:16].tobytes()) for part in parts]
    ends = [place + part.size for place, part in zip(places, parts, strict=True)]
    assert all(place >= 0 for place in places)
    spans = sorted(zip(places, ends, strict=True))
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.parametrize("bits", [1, 4, 8, 16, 24, 32, 40, 64])
def test_words_fill_their_ring(bits: int) -> None:
    words = SeedStream(SEED).words((30, 100), bits)
    assert words.shape == (30, 100)
    for bit in range(bits):
        share = int(((words >> words.dtype.type(bit)) & 1).sum()) / words.size
        assert abs(share - 0.5) < 0.06
    assert int(words.max()) < 2**bits


def test_planes_have_the_shape_asked_for() -> None:
    assert SeedStream(SEED).planes((3, 4, 5)).shape == (3, 4, 5)
    assert SeedStream(SEED).planes((0, 5)).shape == (0, 5)
    assert np.unpackbits(SeedStream(SEED).planes((5000,))).mean() == pytest.approx(0.5, abs=0.02)
