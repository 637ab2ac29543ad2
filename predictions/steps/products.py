"""Matrix products mod 2^64.

Decides: who multiplies. torch's int64 product is the fastest there is on a CPU where the long axis of the right side
is contiguous, which is why rows of a batch are the last axis everywhere; a single column is numpy's. Products wrap
mod 2^64 either way. Refuses to know: masks.
"""

import numpy as np
import torch

from predictions.ring import Words

_SINGLE = 1


def product(matrix: Words, columns: Words) -> Words:
    """`matrix @ columns` mod 2^64, for shapes (..., outputs, inputs) and (..., inputs, columns)."""
    if columns.shape[-1] == _SINGLE:
        single: Words = np.einsum("...oi,...i->...o", matrix, columns[..., 0])
        return single[..., np.newaxis]
    left, right = torch.from_numpy(matrix.view(np.int64)), torch.from_numpy(columns.view(np.int64))
    result = torch.matmul(left, right).numpy()
    return np.asarray(result).view(np.uint64)
