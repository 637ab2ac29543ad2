"""The integers of one linear layer, secret to the owner; everything else about a network is public.

Decides their form and nothing else.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Weights:
    """What one `Linear` or `Convolution` multiplies with; hides itself in `repr`.

    Args:
        matrix: int64 (outputs, fan in).
        bias: int64 (outputs,), at the scale of the product.
    """

    matrix: npt.NDArray[np.int64] = field(repr=False)
    bias: npt.NDArray[np.int64] = field(repr=False)
