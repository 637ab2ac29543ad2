"""What the ring sums: the same vector as a masked session, as whole numbers side by side in a few plaintexts.

Decides: how a vector of 64-bit residues becomes signed numbers and back, the packing that holds them, and the digest
that names model and configuration in the ring's terms. With the same vector and the same steps of fixed point, ring
and masks give the same sum, bit by bit.
Refuses to know: what the numbers mean (`wire.scalars`, `arithmetic.fixed_point`), keys and ciphertexts.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from flwr.app import ArrayRecord, ConfigRecord

from arithmetic.residues import Words, from_signed, to_signed
from paillier.packing import Packing
from secagg.primitives import digest
from wire.records import config_digest, model_digest

# Both parts of a vector fill 64 bits: in one plaintext all slots have one width, and the scalar part needs that much.
MODULUS_BITS: Final = 64


def packing_of(length: int, parties: int, key_bits: int) -> Packing:
    """The packing of a vector.

    Args:
        length: entries of both parts.
        parties: most vectors in a sum; none of their sums leaves 64 bits.
        key_bits: of the key holder's modulus.

    Raises:
        ParameterError: no such packing.
    """
    return Packing(length, parties, (2**63 - 1) // max(parties, 1), 0, key_bits)


def subject_of(model: ArrayRecord, config: ConfigRecord) -> bytes:
    """Digest of the packed model and of the training configuration, 32 bytes."""
    return digest("ring subject", model_digest(model), config_digest(config))


def numbers_of(words: Words) -> list[int]:
    """Signed numbers of 64-bit residues."""
    return [int(number) for number in to_signed(words, MODULUS_BITS)]


def parts_of(sums: Sequence[int], tensor_length: int) -> tuple[npt.NDArray[np.int64], Words]:
    """A total as the tensor part's signed sums and the scalar part's residues."""
    signed = np.array(sums, dtype=np.int64)
    return signed[:tensor_length], from_signed(signed[tensor_length:], MODULUS_BITS)
