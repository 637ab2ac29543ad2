"""Keys for tests: of vectors made elsewhere, or so small that anybody could factor them."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from paillier.keys import PrivateKey, _small_pair_for_tests_only
from paillier.randomisers import FixedBase, Randomiser
from tests.support.streams import stream

VECTORS = Path(__file__).parent / "vectors" / "python_paillier.json"


@lru_cache
def recorded() -> list[dict[str, Any]]:
    """One entry per key of python-paillier's."""
    return json.loads(VECTORS.read_text(encoding="utf-8"))["keys"]


@lru_cache
def pair_of(bits: int) -> PrivateKey:
    """A real key of 2048 or 3072 bits."""
    entry = next(each for each in recorded() if each["bits"] == bits)
    return PrivateKey(int(entry["p"], 16), int(entry["q"], 16))


@lru_cache
def small_pair() -> PrivateKey:
    """128 bits: quick, and worth nothing."""
    return _small_pair_for_tests_only(18446744073709551557, 14072137424542432447)


@lru_cache
def quick(bits: int) -> Randomiser:
    """A table for the real key, made once."""
    return FixedBase(pair_of(bits).public, stream(bits))
