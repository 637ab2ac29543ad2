"""Every seed of the kind that breaks weak masks: none explains ours, and the same sweep finds the weak one."""

import base64

import numpy as np
import pytest

from bench.seed_sweep import explains, first_words, folded, packed, spread, sweep_keys, sweeps, weak_mask
from secagg.primitives import KeyStream

OURS = {"the weak scheme's seeds, our masks", "short keys of our key stream, our masks"}


def check(bits: int) -> None:
    results = {name: (found, tried) for name, found, tried in sweeps(bits)}
    assert len(results) == 4
    for name, (found, tried) in results.items():
        assert found == (0 if name in OURS else 1), name
        assert tried == 1 << min(bits, 24 if "short keys" in name else 28)


def test_a_sweep_finds_the_weak_seed_and_nothing_of_ours() -> None:
    check(16)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_sweep_of_all_seeds_of_28_bits() -> None:
    check(28)


def test_first_words_are_the_generators_own() -> None:
    seeds = np.array([0, 1, 0x7F7F7F7F, 0x01020304, 2**32 - 1], dtype=np.uint32)
    drawn = [np.random.RandomState(int(seed)).randint(0, 2**32, dtype=np.uint32) for seed in seeds]
    assert first_words(seeds).tolist() == drawn


def test_text_folds_to_28_bits() -> None:
    for number in range(64):
        seed = folded(base64.urlsafe_b64encode(bytes([number]) * 32), 28)
        assert seed & 0x80808080 == 0
        assert spread(packed(seed)) == seed
    assert (
        len({folded(base64.urlsafe_b64encode(bytes([number] * 31 + [0])), 16) for number in range(99)}) > 80
    )


def test_a_mask_explains_its_own_vector_and_no_other() -> None:
    mask = weak_mask(12345)
    vector = (np.arange(8).astype(np.uint32) + mask) % (1 << 24)
    assert explains(mask, vector)
    assert not explains(weak_mask(12346), vector)


def test_the_sweep_of_keys_tries_the_key_stream_itself() -> None:
    """Whole words of `KeyStream`, by either sign."""
    drawn = bytearray(32)
    KeyStream((77).to_bytes(32, "big")).read_into(memoryview(bytes(32)), memoryview(drawn))
    mask = np.frombuffer(drawn, "<u4")
    for vector in (5 + mask, 5 - mask):
        assert sweep_keys([vector % (1 << 24)], 8) == [[77]]
