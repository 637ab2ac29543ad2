"""What may enter the run directory: plain JSON, that is ids, counts and short texts.

Decides: that bytes, arrays and integers of more than 64 bits are refused, for that is what a secret looks like.
Refuses to know: what an event means.
"""

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Final

_LONGEST_TEXT: Final = 500
_DEEPEST: Final = 8


def plain(value: object, depth: int = 0) -> object:
    """`value` as JSON takes it; NaN and infinity become None, texts are cut to 500 characters.

    Raises:
        TypeError: bytes, an array, an integer above 64 bits, or nested too deep.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value[:_LONGEST_TEXT]
    if isinstance(value, Integral):
        return _small(int(value))
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else None
    if depth < _DEEPEST:
        if isinstance(value, Mapping):
            return {_key(k): plain(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            items = sorted(value) if isinstance(value, set | frozenset) else value
            return [plain(item, depth + 1) for item in items]
    raise TypeError(f"a {type(value).__name__} must not enter the run directory: plain JSON only")


def _key(key: object) -> str:
    if isinstance(key, str):
        return key[:_LONGEST_TEXT]
    if not isinstance(key, bool) and isinstance(key, Integral):
        return str(_small(int(key)))
    raise TypeError(f"a {type(key).__name__} cannot be a key in the run directory")


def _small(number: int) -> int:
    if abs(number) >= 2**64:
        raise TypeError("an integer above 64 bits must not enter the run directory")
    return number
