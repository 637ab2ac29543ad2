"""The answer to an analytics session's question: sums over the node's rows, as residues that wait for their mask.

Decides: what enters the vector, and nothing else of the table leaves: the sums themselves, or, where noise is asked
for, rows clipped to a norm and rounded, summed, with this client's share of noise, charged to its ledger first.
Refuses to know: torch, the protocol, where a table lies (`clients.analytics_table`), and what a sum is asked for.
"""

import os
from dataclasses import dataclass, field
from operator import eq, ge, gt, le, lt, mul, ne
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arithmetic.errors import ParameterError
from arithmetic.residues import from_signed
from clients.analytics_table import Place, Reals, Table, fingerprint, load
from clients.policy import Policy
from clients.spending import Spending
from privacy.discrete_gaussian import DiscreteGaussian
from privacy.mechanisms import check_delta
from privacy.rounding import round_rows
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import Refused, SuspectServer
from secagg.masks import Residues, empty
from secagg.params import SecAggParams
from secagg.primitives import KeyStream
from wire.inquiry import Inquiry
from wire.noise import releases_of, sum_plan
from wire.questions import MOST_ROWS, Condition, Question, Summand

_RELATIONS: Final[dict[str, Any]] = {"==": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}
_ROWS_AT_ONCE: Final = 1 << 15  # so that the masks of thousands of sums stay in memory
_CELLS_AT_ONCE: Final = 1 << 20

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Purse:
    """What a charge needs: the run's name, the ledger's file (None: the node has none), and the node's policy."""

    run: str
    ledger: Path | None = None
    policy: Policy = field(default_factory=Policy)


@dataclass(frozen=True)
class Answer:
    """The encoded sums, what the client's own log may say, and the ledger's chain if anything was charged."""

    vector: Residues
    examples: int = 0  # of rows nothing is told
    device: str = "cpu"
    layout: bytes = b""
    notes: dict[str, str | int] = field(default_factory=dict)
    ledger: str = ""
    metrics: dict[str, float] = field(default_factory=dict)  # none: nothing is judged


def answer(inquiry: Inquiry, place: Place, purse: Purse, params: SecAggParams, server_round: int) -> Answer:
    """Sum what is asked, over the rows of this node; no rows are zeros.

    Raises:
        PolicyRefused: the node's policy lets a column not be asked.
        SuspectServer: the session's vector is not as long as the answer.
        TableUnusable: no such table or column, or a cell that is no finite number; nothing of the data is in the text.
        ChorusError: the ledger refuses.
    """
    question, private = inquiry.question, inquiry.terms.mode is not PrivacyMode.NONE
    purse.policy.check_columns(question.asked)
    lengths = (len(question.sums), 0) if private else (0, question.length)
    if (params.tensor_length, params.scalar_length) != lengths:
        raise SuspectServer("the session's vector is not of the answer's lengths; nothing was sent")
    table = load(question.table, place, question.asked, inquiry.seed)
    vector = empty(0, lengths[1], params.modulus_bits)
    if not private:
        vector.scalars = question.encode(totals(question, table), params.cohort)
        return Answer(vector)
    whole = load(question.table, place, None, inquiry.seed)  # one ledger for all columns
    spending = Spending(purse.ledger, fingerprint(whole), purse.run, purse.policy.budget)
    noisy = _noisy_sums(inquiry, table, params, spending, server_round)
    vector.tensor = from_signed(noisy, params.modulus_bits)
    return Answer(vector, notes=spending.notes, ledger=spending.chain)


def totals(question: Question, table: Table) -> list[int]:
    """Each sum over the table's rows, exactly, in steps of its columns."""
    found = [0] * len(question.sums)
    for part in table.parts(_ROWS_AT_ONCE):
        found = [total + more for total, more in zip(found, _totals(question, part), strict=True)]
    return found


def _totals(question: Question, table: Table) -> list[int]:
    whole = {column: _steps(question, table, column) for column in question.columns if column in table.cells}
    kept: dict[Condition, Mask] = {}
    found = []
    for summand in question.sums:
        mask = _mask(summand, table, kept)
        factors = [whole[column][mask].tolist() for column in summand.of]
        match factors:
            case []:
                found.append(int(np.count_nonzero(mask)))
            case [one]:
                found.append(sum(one))
            case [one, other, *_]:
                found.append(sum(map(mul, one, other)))  # Python's integers: nothing wraps
    return found


def _steps(question: Question, table: Table, column: str) -> NDArray[np.int64]:
    """A column's values, clamped to its bounds, in whole steps of at most 2^52."""
    scaled = np.ldexp(_clamped(question, table, column), question.columns[column].exponent)
    return np.rint(scaled).astype(np.int64)


def _clamped(question: Question, table: Table, column: str) -> Reals:
    bounds = question.columns[column]
    return np.clip(table.numbers(column), bounds.low, bounds.high)


def _mask(summand: Summand, table: Table, kept: dict[Condition, Mask]) -> Mask:
    """Which rows meet all of a summand's conditions; what one condition came to is kept for the next summand."""
    mask = np.ones(table.rows, dtype=np.bool_)
    for condition in summand.where:
        if condition not in kept:
            text = isinstance(condition.value, str)
            cells = table.texts(condition.column) if text else table.numbers(condition.column)
            met = _RELATIONS[condition.relation](cells, condition.value)
            kept[condition] = np.broadcast_to(met, (table.rows,))
        mask &= kept[condition]
    return mask


def _noisy_sums(
    inquiry: Inquiry, table: Table, params: SecAggParams, spending: Spending, server_round: int
) -> NDArray[np.int64]:
    """Rows clipped to the norm and rounded at random, summed, and this client's share of noise; charged first."""
    question, terms = inquiry.question, inquiry.terms
    _check_delta(terms, table.rows)
    _check_cells(question, table)
    try:
        plan = sum_plan(terms, params, inquiry.max_examples)
    except ParameterError as error:
        raise Refused(str(error)) from error  # the numbers are the server's own, so it may read them
    spending.charge(*releases_of(terms, plan, None), server_round=server_round)
    if table.rows > inquiry.max_examples:
        # To abstain would tell how many rows there are. The sum may wrap: that costs accuracy, and no privacy.
        spending.note(warning="the table has more rows than max-examples leaves room for")
    uniform = KeyStream(os.urandom(32)).read
    total = np.zeros(params.tensor_length, dtype=np.int64)
    for part in table.parts(max(1, _CELLS_AT_ONCE // params.tensor_length)):
        rows = _contributions(question, part)
        norms = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), terms.clipping_norm)
        clipped = rows * (terms.clipping_norm / norms)
        total += round_rows(clipped * plan.scale, plan.norm_squared, uniform).sum(axis=0)
    return total + DiscreteGaussian(plan.share).draw(params.tensor_length, uniform)


def _contributions(question: Question, table: Table) -> Reals:
    """What each row adds to each sum, shape (rows, sums): one to a count, its value over the larger bound to a sum."""
    kept: dict[Condition, Mask] = {}
    found = np.empty((table.rows, len(question.sums)))
    for at, summand in enumerate(question.sums):
        found[:, at] = _mask(summand, table, kept)
        for column in summand.of:
            bounds = question.columns[column]
            found[:, at] *= _clamped(question, table, column) / max(abs(bounds.low), abs(bounds.high))
    return found


def _check_cells(question: Question, table: Table) -> None:
    """Find what is no number before anything is charged.

    Raises:
        BadCell: a cell that is asked for by number is none.
        Refused: a sum of products, whose noise no statistic here reckons with.
    """
    for summand in question.sums:
        if len(summand.of) > 1:
            raise Refused("a sum of products is not asked with noise; ask counts, sums and means")
        numeric = [each.column for each in summand.where if not isinstance(each.value, str)]
        for column in (*summand.of, *numeric):
            table.numbers(column)


def _check_delta(terms: PrivacyTerms, rows: int) -> None:
    try:
        check_delta(terms.delta, min(max(rows, 1), MOST_ROWS))
    except ParameterError as error:
        # Not the error's own words: they count this node's rows.
        raise Refused(
            "delta of the run is above 1/(10 N) for the rows of this node; choose a smaller one"
        ) from error
