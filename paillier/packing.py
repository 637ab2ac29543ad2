"""Reals to plaintexts and back: signed fixed point, as many numbers side by side as a plaintext holds.

Decides: how wide a slot is, and that no sum of all parties' numbers can reach over into its neighbour or past n / 2.
That is proven with Python's integers when the object is made.
Refuses to know: keys and ciphertexts; of the key only its length matters.

A plaintext is the sum of v_i 2^(i * width), the v_i being signed. Added plaintexts are added slots as long as every
slot's sum stays below 2^(width - 1) in magnitude: parties * largest < 2^(width - 1). All slots together then stay
below 2^(slots * width), which is at most 2^(bits - 2) <= n / 2, so nothing wraps mod n. The exponent is the same for
every number of every party: it says nothing about any of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Self

from arithmetic.errors import ParameterError, RangeError
from secagg.encoding import Reader, Writer
from secagg.errors import Refused

MOST_FRACTION: Final = 256
MOST_PARTIES: Final = 1 << 20
MOST_LENGTH: Final = 1 << 24
_MOST_BOUND = 1 << 256
_BOUND_BYTES = 33


@dataclass(frozen=True)
class Packing:
    """How a vector of reals becomes plaintexts.

    Attributes:
        length: numbers in a vector, 1..2^24.
        parties: most vectors in a sum, 1..2^20.
        bound: no number's magnitude exceeds it; a whole number, 1..2^256.
        fraction_bits: after the binary point, 0..256: a number is off by at most 2^-(fraction_bits + 1).
        key_bits: length of the modulus n.

    Raises:
        ParameterError: a value out of range, or a slot that does not fit a plaintext.
    """

    length: int
    parties: int
    bound: int
    fraction_bits: int
    key_bits: int

    def __post_init__(self) -> None:
        """Prove the headroom, or refuse."""
        _check("length", self.length, 1, MOST_LENGTH)
        _check("parties", self.parties, 1, MOST_PARTIES)
        _check("bound", self.bound, 1, _MOST_BOUND)
        _check("fraction-bits", self.fraction_bits, 0, MOST_FRACTION)
        _check("key-bits", self.key_bits, 8, 1 << 15)
        most = self.parties * self.largest
        spread = most * sum(1 << (self.width * slot) for slot in range(self.slots))
        if not (self.slots >= 1 and most < 1 << (self.width - 1) and spread < 1 << (self.key_bits - 2)):
            raise ParameterError(
                f"the sum of {self.parties} numbers up to {self.bound} with {self.fraction_bits} fraction bits needs "
                f"{self.width} bits, and a key of {self.key_bits} bits has no room; lower the bound or fraction-bits"
            )

    @property
    def largest(self) -> int:
        """Largest encoded magnitude."""
        return self.bound << self.fraction_bits

    @property
    def width(self) -> int:
        """Bits of a slot: the least with parties * largest < 2^(width - 1)."""
        return (self.parties * self.largest).bit_length() + 1

    @property
    def slots(self) -> int:
        """Numbers in a plaintext."""
        return (self.key_bits - 2) // self.width

    @property
    def plaintexts(self) -> int:
        """Plaintexts of a vector."""
        return -(-self.length // self.slots)

    def pack(self, values: Sequence[float]) -> list[int]:
        """Plaintexts of one party's vector, every number rounded to the nearest multiple of 2^-fraction_bits.

        Whole numbers of any size are taken as they are.

        Raises:
            RangeError: another length, NaN, infinity, or a magnitude above the bound; nothing is encoded.
        """
        if len(values) != self.length:
            raise RangeError(
                f"a vector of {self.length} numbers was due, not of {len(values)}; nothing was encrypted"
            )
        levels = [self._level(value) for value in values]
        return [
            sum(level << (self.width * slot) for slot, level in enumerate(levels[start : start + self.slots]))
            for start in range(0, self.length, self.slots)
        ]

    def unpack(self, plaintexts: Sequence[int]) -> list[float]:
        """The summed vector.

        Raises:
            RangeError: not the sum of at most `parties` packed vectors; no number of it is given out.
        """
        return self.reals(self.levels(plaintexts))

    def reals(self, levels: Sequence[int]) -> list[float]:
        """What multiples of 2^-fraction_bits stand for."""
        return [float(Fraction(level, 1 << self.fraction_bits)) for level in levels]

    def levels(self, plaintexts: Sequence[int]) -> list[int]:
        """The summed vector in multiples of 2^-fraction_bits, exact; raises as `unpack`."""
        if len(plaintexts) != self.plaintexts:
            raise RangeError(f"a sum of {self.plaintexts} plaintexts was due, not of {len(plaintexts)}")
        levels: list[int] = []
        for plaintext in plaintexts:
            levels += self._split(plaintext, min(self.slots, self.length - len(levels)))
        return levels

    def write(self, writer: Writer) -> Writer:
        """Append all of it but the key's length, which the key knows."""
        writer.number(self.length, 4).number(self.parties, 4)
        return writer.number(self.bound, _BOUND_BYTES).number(self.fraction_bits, 2)

    @classmethod
    def read(cls, reader: Reader, key_bits: int) -> Self:
        """The next packing, for a key of this length.

        Raises:
            Refused: numbers that make none.
        """
        length, parties = reader.number(4), reader.number(4)
        bound, fraction_bits = reader.number(_BOUND_BYTES), reader.number(2)
        try:
            return cls(length, parties, bound, fraction_bits, key_bits)
        except ParameterError as error:
            raise Refused(f"the ring's packing is refused: {error}") from error

    def _level(self, value: float) -> int:
        if not isinstance(value, int) and not math.isfinite(value):
            raise RangeError("the vector holds NaN or an infinity; nothing was encrypted, check the training")
        exact = Fraction(value if isinstance(value, int) else float(value))
        level = round(exact * (1 << self.fraction_bits))
        if abs(level) > self.largest:
            raise RangeError(
                f"the vector holds a number beyond the bound of {self.bound}; nothing was encrypted, clip it "
                "or let all parties raise the bound"
            )
        return level

    def _split(self, plaintext: int, slots: int) -> list[int]:
        half, most = 1 << (self.width - 1), self.parties * self.largest
        levels: list[int] = []
        for _ in range(slots):
            level = ((plaintext + half) & ((1 << self.width) - 1)) - half
            levels.append(level)
            plaintext = (plaintext - level) >> self.width
        if plaintext or max(map(abs, levels)) > most:
            raise RangeError(
                "what was decrypted is no sum of this many vectors within the bound: a party added something else, or "
                "another key was used; it was dropped"
            )
        return levels


def _check(name: str, value: int, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ParameterError(
            f"{name} = {value} cannot work here; choose a whole number from {least} to {most}"
        )
