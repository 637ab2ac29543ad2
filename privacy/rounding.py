"""Reals to integers before noise: stochastic rounding that never leaves the norm bound.

Decides: every row is rounded at random, without bias in each coordinate, and drawn anew while its integer norm is
above the bound (Kairouz, Liu, Steinke 2021, section 4, "conditional rounding"); the norm is compared exactly.
Refuses to know: where rows come from, and what noise is added.
"""

import numpy as np
import numpy.typing as npt

from arithmetic.errors import RangeError
from arithmetic.fixed_point import UniformBytes

Rows = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_MOST_DRAWS = (
    200  # a draw is accepted with probability above 0.39, so these fail with probability below 2^-142
)
_LARGEST = 2.0**31


def round_rows(rows: Rows, norm_squared: int, uniform: UniformBytes) -> Integers:
    """Integers of the same shape; the squared norm of every row is at most `norm_squared`.

    Args:
        rows: shape (m, d), in levels; each of L2 norm at most the one that `norm_squared` was made for.
        norm_squared: from `privacy.noise_shares.rounded_norm_squared`, below 2^62.
        uniform: gives that many uniform bytes from a cryptographic stream.

    Raises:
        RangeError: a row that is not finite, or too long ever to be accepted; nothing of it is given.
    """
    if not np.isfinite(rows).all() or (rows.size and np.abs(rows).max() > _LARGEST):
        raise RangeError("a gradient or update is not finite or was not clipped; nothing was sent")
    rounded = _rounded(rows, uniform)
    open_rows = np.flatnonzero(_too_long(rounded, norm_squared))
    for _ in range(_MOST_DRAWS):
        if not open_rows.size:
            return rounded
        again = _rounded(rows[open_rows], uniform)
        fits = ~_too_long(again, norm_squared)
        rounded[open_rows[fits]] = again[fits]
        open_rows = open_rows[~fits]
    raise RangeError("a gradient or update is longer than its clipping norm allows; nothing was sent")


def _rounded(rows: Rows, uniform: UniformBytes) -> Integers:
    """`floor(x + u)`, u uniform in [0, 1) to 32 bits."""
    offsets = np.frombuffer(uniform(4 * rows.size), dtype="<u4").reshape(rows.shape) * 2.0**-32
    whole = np.floor(rows)
    return (whole + (rows - whole + offsets >= 1.0)).astype(np.int64)


def _too_long(rows: Integers, norm_squared: int) -> npt.NDArray[np.bool_]:
    """Whether each row's squared norm is above the bound: exact where it fits 63 bits, and true where it does not."""
    roughly = np.einsum("ij,ij->i", rows.astype(np.float64), rows.astype(np.float64))
    exact = np.einsum("ij,ij->i", rows, rows)
    too_long: npt.NDArray[np.bool_] = (roughly > 2.0**62) | (exact > norm_squared)
    return too_long
