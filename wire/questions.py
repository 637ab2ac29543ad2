"""What an analytics session asks: sums over the rows of a table, each of a product of columns under conditions.

Decides: the one shape that every question has, how a client's sums become 64-bit residues, and how the total is read.
A value is clamped to its column's declared bounds and taken in steps of 2^-52 of the larger of them, so that a sum of
values, or of products of two, is a whole number, added up without rounding. It travels as limbs of 32 bits: 2^20 of
them stay below 2^52, and the last limb carries the sign.
Refuses to know: tables, statistics, Flower, and who asks (`wire.inquiry` carries a question to a client).
"""

import json
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from arithmetic.errors import RangeError
from arithmetic.fixed_point import ScalarEncoding
from arithmetic.residues import Words
from secagg.errors import MalformedMessage

EMBEDDED: Final = ("breast_cancer", "diabetes", "iris", "wine")
MOST_SUMS: Final = 4096
MOST_ROWS: Final = 2**31
LONGEST: Final = 1 << 21  # characters of a question
_VALUE_BITS: Final = 52
_LIMB_BITS: Final = 32
_LIMBS: Final = (1, 3, 5)  # of a count, a sum and a sum of products over at most 2^31 rows
_LARGEST: Final = 1e150  # a product of two stays a float

Name = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f\u2028\u2029]{1,100}$")]
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f\u2028\u2029]{0,100}$")]
# A name of scikit-learn's, or a file below the node's data folder: no way leads out of it.
TableName = Annotated[
    str,
    Field(
        pattern=r"^([a-z_]{1,40}|([A-Za-z0-9_-][A-Za-z0-9_. -]{0,60}/){0,4}[A-Za-z0-9_-][A-Za-z0-9_. -]{0,60}\.csv)$"
    ),
]
Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]
Relation = Literal["==", "!=", "<", "<=", ">", ">="]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


class Condition(_Strict):
    """One comparison of a row's cell with a value: by number, or as text where the value is one."""

    column: Name
    relation: Relation
    value: Number | Text

    @model_validator(mode="after")
    def _text_has_no_order(self) -> Self:
        if isinstance(self.value, str) and self.relation not in ("==", "!="):
            raise ValueError("a text is compared by == or != alone")
        return self


class Summand(_Strict):
    """One sum: over the rows that meet all conditions, of the product of the columns named; of none: their count."""

    of: Annotated[tuple[Name, ...], Field(max_length=2)] = ()
    where: Annotated[tuple[Condition, ...], Field(max_length=24)] = ()

    @property
    def limbs(self) -> int:
        """Residues of 64 bits."""
        return _LIMBS[len(self.of)]


class Bounds(_Strict):
    """Declared range of a column; values beyond are clamped."""

    low: Number
    high: Number

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.low < self.high:
            raise ValueError("low is below high")
        return self

    @property
    def exponent(self) -> int:
        """A value counts as `value * 2^exponent`, to the nearest whole number of at most 2^52."""
        return _VALUE_BITS - math.frexp(max(abs(self.low), abs(self.high)))[1]


class Question(_Strict):
    """All that one session asks.

    Attributes:
        table: a name of `EMBEDDED`, or a CSV file below each node's data folder.
        columns: every column that is summed, with its bounds.
        sums: what is summed, in the order of the answer.
    """

    table: TableName
    columns: dict[Name, Bounds]
    sums: Annotated[tuple[Summand, ...], Field(min_length=1, max_length=MOST_SUMS)]

    @model_validator(mode="after")
    def _all_declared(self) -> Self:
        if not {name for each in self.sums for name in each.of} <= set(self.columns):
            raise ValueError("a column that is summed has bounds")
        if not self.table.endswith(".csv") and self.table not in EMBEDDED:
            raise ValueError(f"a table is a .csv file, or one of {', '.join(EMBEDDED)}")
        return self

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The question in a text.

        Raises:
            MalformedMessage: it is none.
        """
        try:
            if len(text) > LONGEST:
                raise ValueError("too long")
            return cls.model_validate_json(text)
        except (ValidationError, ValueError, RecursionError):
            raise MalformedMessage(
                "the session's question is none; install the same version on both sides"
            ) from None

    def to_json(self) -> str:
        """The inverse of `from_json`; equal questions are equal texts."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, allow_nan=False)

    @property
    def asked(self) -> frozenset[str]:
        """Every column that is looked at."""
        conditions = {each.column for sum_ in self.sums for each in sum_.where}
        return frozenset(conditions | {name for sum_ in self.sums for name in sum_.of})

    @property
    def length(self) -> int:
        """Residues of the answer."""
        return sum(each.limbs for each in self.sums)

    def encode(self, totals: Sequence[int], cohort: int) -> Words:
        """A client's sums, each a whole number of its steps, as residues, shape (length,).

        Raises:
            RangeError: a sum of more rows than `MOST_ROWS` could come to.
        """
        words: list[int] = []
        for each, total in zip(self.sums, totals, strict=True):
            for _ in range(each.limbs - 1):
                words.append(total % 2**_LIMB_BITS)
                total >>= _LIMB_BITS
            words.append(total)
        return self._encoding(cohort).encode(words)

    def decode(self, total: Words, survivors: int, cohort: int) -> list[int]:
        """The sums over one group of clients.

        Raises:
            RangeError: they are none that so many honest clients send.
        """
        numbers = iter(self._encoding(cohort).decode(total))
        found, most = [], survivors * 2**_LIMB_BITS
        for each in self.sums:
            limbs = [int(next(numbers)) for _ in range(each.limbs)]
            count_is_one = each.of or 0 <= limbs[0] <= survivors * MOST_ROWS
            if not count_is_one or not all(0 <= limb < most for limb in limbs[:-1]):
                raise RangeError(
                    "the masked sums contradict each other: a client sent a false vector, or the sum is not one. It "
                    "was discarded"
                )
            found.append(sum(limb << _LIMB_BITS * at for at, limb in enumerate(limbs)))
        return found

    def exact(self, summand: Summand, total: int) -> Fraction:
        """What a sum of steps stands for."""
        exponent = sum(self.columns[name].exponent for name in summand.of)
        return Fraction(total) / Fraction(2) ** exponent

    def _encoding(self, cohort: int) -> ScalarEncoding:
        return ScalarEncoding(cohort, (0,) * self.length)
