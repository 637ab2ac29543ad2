"""A node's table: which rows an analytics session counts, and the numbers in a column.

Decides: where a table lies (a CSV file below the node's data folder, or one of scikit-learn's, dealt out to simulated
clients), and that whatever is not exactly a table is refused: no guess at a cell, no row passed over.
Refuses to know: what is asked of it, and the server, which reads a fixed sentence and nothing of the data.
"""

import csv
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from arithmetic.errors import ChorusError
from clients.partition import partition_indices
from wire.questions import EMBEDDED

Reals = NDArray[np.float64]


class TableUnusable(ChorusError):
    """A table that cannot be used. Its text is one for all data, so that it may be sent to a server.

    Attributes:
        detail: what exactly, for the node's own log: never a cell's content.
    """

    shareable: ClassVar[bool] = True
    sentence: ClassVar[str] = ""

    def __init__(self, detail: str) -> None:
        super().__init__(self.sentence)
        self.detail = detail

    @property
    def line(self) -> str:
        """`CODE: message`, and the detail, for the node's own log."""
        return f"{super().line} ({self.detail})"


class NoTable(TableUnusable):
    """There is no such table here, or it is none."""

    code = "ENV"
    sentence = "the table cannot be read on this node; nothing was sent, see the node's own log"


class NoColumn(TableUnusable):
    """The table lacks a column."""

    code = "CONFIG"
    sentence = "a column of the query is not in the table of this node; nothing was sent, mend query or table"


class BadCell(TableUnusable):
    """A cell that is asked for is no finite number."""

    code = "RANGE"
    sentence = "a cell that the query needs is no finite number; nothing was sent, see the node's own log"


@dataclass(frozen=True)
class Place:
    """Where a client's tables are.

    Attributes:
        data_path: folder; empty for none.
        partition_id, num_partitions: which part of a shared table is the client's.
        simulated: whether it is one of many on one machine: it then has the folder `<data_path>/<partition_id>`, or its
            part of the rows of one table for all.
    """

    data_path: str
    partition_id: int = 0
    num_partitions: int = 1
    simulated: bool = False


@dataclass(frozen=True)
class Table:
    """Columns of cells as they came, all of one length."""

    cells: Mapping[str, NDArray[Any]]
    rows: int
    first: int = 0  # of them, in the whole table
    _numbers: dict[str, Reals] = field(default_factory=dict, init=False, repr=False, compare=False)

    def parts(self, most: int) -> Iterator["Table"]:
        """Its rows in order, at most so many at a time."""
        for start in range(0, self.rows, most):
            rows = slice(start, start + most)
            part = Table(
                {name: cells[rows] for name, cells in self.cells.items()}, min(most, self.rows - start), start
            )
            part._numbers.update({name: values[rows] for name, values in self._numbers.items()})
            yield part

    def texts(self, column: str) -> NDArray[np.str_]:
        """The cells without the spaces around them, shape (rows,)."""
        return np.char.strip(np.asarray(self.cells[column], dtype=np.str_))

    def numbers(self, column: str) -> Reals:
        """The cells as numbers, shape (rows,).

        Raises:
            BadCell: one is none, or NaN, or infinite.
        """
        if column not in self._numbers:
            cells = self.cells[column]
            self._numbers[column] = (
                cells
                if cells.dtype == np.float64
                else np.array(
                    [_number(cell, column, self.first + at) for at, cell in enumerate(cells)],
                    dtype=np.float64,
                )
            )
        return self._numbers[column]


def load(name: str, place: Place, columns: Iterable[str] | None, seed: int) -> Table:
    """The rows that are this client's, with these columns; None: with all.

    Args:
        name: of `EMBEDDED`, or a path below the data folder.
        place: of the client.
        columns: by name; others are not kept.
        seed: by which a table for all is dealt out.

    Raises:
        TableUnusable: no table, or not with these columns.
    """
    if name in EMBEDDED:
        whole = _embedded(name)
        wanted, rows = sorted(whole if columns is None else columns), len(whole["target"])
        if not set(wanted) <= set(whole):
            raise NoColumn(f"{name} has the columns {', '.join(whole)}")
        return _dealt({column: whole[column] for column in wanted}, rows, place, seed)
    path, shared = _path(name, place)
    cells, rows = _read(path, None if columns is None else sorted(columns))
    return _dealt(cells, rows, place, seed) if shared else Table(cells, rows)


def _path(name: str, place: Place) -> tuple[Path, bool]:
    """The file, and whether it is one for all simulated clients."""
    if not place.data_path:
        raise NoTable("no data-path is set")
    folder = Path(place.data_path)
    own = folder / str(place.partition_id)
    if place.simulated and own.is_dir():
        folder = own
    path, root = (folder / name).resolve(), folder.resolve()
    if not path.is_relative_to(root):
        raise NoTable(f"{name} leads out of {folder}")
    return path, place.simulated and folder is not own


def fingerprint(table: Table) -> str:
    """SHA-256 over all rows, hexadecimal: the same rows have the same ledger, in whatever order they stand."""
    columns = sorted(table.cells)
    rows = zip(*(table.cells[column].tolist() for column in columns), strict=True)
    digests = sorted(hashlib.sha256(repr(row).encode()).digest() for row in rows)
    return hashlib.sha256(repr(columns).encode() + b"".join(digests)).hexdigest()


def _read(path: Path, columns: list[str] | None) -> tuple[dict[str, NDArray[Any]], int]:
    """These columns of a CSV file, or all; a file without any line is a table without rows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = [name.strip() for name in next(reader, [])]
            if len(set(header)) < len(header):
                raise NoTable(f"{path} names a column twice")
            wanted = header if columns is None else columns
            if header and not set(wanted) <= set(header):
                raise NoColumn(f"{path} lacks {', '.join(sorted(set(wanted) - set(header)))}")
            rows = [_row(row, len(header), path, reader.line_num) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NoTable(f"{path}: {type(error).__name__}") from None
    places = {column: header.index(column) for column in wanted if header}
    cells = {column: [row[places[column]] for row in rows] for column in wanted}
    return {column: np.array(found, dtype=np.str_) for column, found in cells.items()}, len(rows)


def _row(row: list[str], width: int, path: Path, line: int) -> list[str]:
    if len(row) != width:
        raise NoTable(f"{path}, line {line}: {len(row)} cells, not {width}")
    return row


def _dealt(cells: Mapping[str, NDArray[Any]], rows: int, place: Place, seed: int) -> Table:
    """This client's part of a table for all: equal parts, to within one row."""
    parts = partition_indices(np.zeros(rows, dtype=np.int64), place.num_partitions, "iid", 1.0, seed)
    mine = parts[place.partition_id]
    return Table({column: values[mine] for column, values in cells.items()}, len(mine))


@lru_cache(maxsize=2)
def _embedded(name: str) -> dict[str, Reals]:
    """A table of scikit-learn's, in its own units; the last column is `target`."""
    from sklearn import datasets  # a second, and only where it is asked for

    loaders: dict[str, Callable[[], Any]] = {
        "breast_cancer": datasets.load_breast_cancer,
        "diabetes": lambda: datasets.load_diabetes(scaled=False),
        "iris": datasets.load_iris,
        "wine": datasets.load_wine,
    }
    found = loaders[name]()
    columns = dict(zip(map(str, found.feature_names), found.data.T, strict=True)) | {"target": found.target}
    return {column: np.array(values, dtype=np.float64) for column, values in columns.items()}


def _number(cell: Any, column: str, at: int) -> float:  # noqa: ANN401 - numpy's own text
    try:
        value = math.nan if "_" in cell else float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise BadCell(f"column {column!r}, row {at + 1} below the header")
    return value
