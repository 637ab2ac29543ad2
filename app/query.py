"""A query: which table, which columns within which bounds, and what is asked of them.

Decides: the statistics there are, the keys of each, and their ranges. Refuses to know: the file (`app.query_file`),
which sums a statistic needs (`app.statistics`), Flower, and the clients' tables.
"""

import re
import tomllib
from itertools import pairwise
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from app.run_keys import kebab
from wire.questions import Bounds, Condition, Name, Number, Question, Relation, Summand, TableName

_COMPARISON: Final = re.compile(r"(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+)", re.DOTALL)


class _Strict(BaseModel):
    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, alias_generator=kebab
    )


class Range(Bounds):
    """Bounds as the file writes them."""


class GroupBy(_Strict):
    """A public column and its public categories; rows of others are in no group."""

    column: Name
    values: Annotated[tuple[Number | Name, ...], Field(min_length=1, max_length=1000)] = Field(strict=False)

    @field_validator("values")
    @classmethod
    def _once(cls, values: tuple[float | str, ...]) -> tuple[float | str, ...]:
        if len(set(values)) < len(values):
            raise ValueError("a category stands twice")
        return values


class _Asked(_Strict):
    """What every statistic has: a name for the answer, the rows it is of, and groups of them."""

    name: Name = ""
    where: Annotated[tuple[str, ...], Field(max_length=16)] = Field(default=(), strict=False)
    group_by: GroupBy | None = None

    @property
    def summed(self) -> tuple[str, ...]:
        """Columns that need bounds."""
        return tuple(getattr(self, each) for each in ("column", "weights", "other") if hasattr(self, each))

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Of the rows, parsed."""
        return tuple(map(comparison, self.where))

    @property
    def title(self) -> str:
        """The name, or what is asked."""
        return self.name or " ".join([getattr(self, "kind", ""), *self.summed])

    @field_validator("where")
    @classmethod
    def _readable(cls, where: tuple[str, ...]) -> tuple[str, ...]:
        for text in where:
            comparison(text)
        return where


class Count(_Asked):
    """How many rows."""

    kind: Literal["count"]


class OfColumn(_Asked):
    """Sum, mean and variance (with n - 1) of a column."""

    kind: Literal["sum", "mean", "variance"]
    column: Name


class WeightedMean(_Asked):
    """Of a column, each row with its weight: an average of averages over what they are averages of."""

    kind: Literal["weighted-mean"]
    column: Name
    weights: Name


class Share(_Asked):
    """Of the rows, those above or below a threshold."""

    kind: Literal["share-above", "share-below"]
    column: Name
    threshold: Number


class Histogram(_Asked):
    """How many rows in each bin; a bin holds its lower edge, the last one both."""

    kind: Literal["histogram"]
    column: Name
    edges: Annotated[tuple[Number, ...], Field(min_length=2, max_length=1001)] = Field(strict=False)

    @field_validator("edges")
    @classmethod
    def _ascending(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if any(not low < high for low, high in pairwise(edges)):
            raise ValueError("edges ascend")
        return edges


class Quantiles(_Asked):
    """The least value that so many of the rows do not exceed, by search; `splits` thresholds a session."""

    kind: Literal["quantiles"]
    column: Name
    quantiles: Annotated[
        tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...], Field(min_length=1, max_length=20)
    ] = Field(strict=False)
    splits: Annotated[int, Field(ge=1, le=63)] = 7


class Correlation(_Asked):
    """Pearson's, of two columns."""

    kind: Literal["correlation"]
    column: Name
    other: Name


Statistic = Annotated[
    Count | OfColumn | WeightedMean | Share | Histogram | Quantiles | Correlation, Field(discriminator="kind")
]


def kinds() -> list[str]:
    """Every kind of statistic."""
    models = get_args(get_args(Statistic)[0])
    return [kind for each in models for kind in get_args(each.model_fields["kind"].annotation)]


class Query(_Strict):
    """A whole file.

    Attributes:
        table: a name of scikit-learn's, or a CSV file below each node's data folder.
        min_count: what is of fewer rows is suppressed.
        columns: bounds of the columns that are summed, searched or compared with a threshold.
        statistics: in the order of the answers.
    """

    table: TableName
    min_count: Annotated[int, Field(ge=1, le=10**9)] = 10
    columns: dict[Name, Range] = Field(default_factory=dict)
    statistics: Annotated[tuple[Statistic, ...], Field(min_length=1, max_length=200)] = Field(strict=False)

    @model_validator(mode="after")
    def _a_table(self) -> Self:
        Question(table=self.table, columns={}, sums=(Summand(),))  # its own words for what is no table
        return self


def comparison(text: str) -> Condition:
    """A condition as the file writes it: `month >= 6`, `state == "WA"`.

    Raises:
        ValueError: it is none.
    """
    found = _COMPARISON.fullmatch(text.strip())
    if found is None or found[2] not in get_args(Relation):
        raise ValueError("a comparison is a column, one of == != < <= > >=, and a value")
    try:
        table = tomllib.loads(f"value = {found[3]}")
    except tomllib.TOMLDecodeError:
        table = {}
    value = table.get("value")
    if set(table) != {"value"} or isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a comparison is with a number, or with a text in quotes")
    return Condition.model_validate(
        {"column": found[1], "relation": found[2], "value": value if isinstance(value, str) else float(value)}
    )
