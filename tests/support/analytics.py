"""Queries over small tables: makers of CSV files, and the answers without a session, by adding residues."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app.query_file import parse
from app.statistics import Answer
from app.survey import Survey
from clients.analytics import totals
from clients.analytics_table import Table

Rows = Mapping[str, Sequence[Any]]


def table(rows: Rows) -> Table:
    """A client's table from columns of texts or numbers, as a file would give it."""
    lengths = {len(values) for values in rows.values()}
    (length,) = lengths or {0}
    cells = {name: np.array([str(value) for value in values], dtype=np.str_) for name, values in rows.items()}
    return Table(cells, length)


def write_csv(path: Path, rows: Rows) -> None:
    """A CSV file of these columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(rows)
        writer.writerows(zip(*rows.values(), strict=True))


def answers(query: str, clients: Sequence[Table]) -> list[Answer]:
    """What a query comes to over these clients; the vectors are added mod 2^64 as masks would leave them."""
    survey, sessions = Survey(parse(query, "query.toml")), 0
    while (question := survey.question) is not None:
        sessions += 1
        assert sessions < 80
        words = [question.encode(totals(question, each), len(clients)) for each in clients]
        summed = np.add.reduce(words, dtype=np.uint64)
        found = question.decode(summed, len(clients), len(clients))
        survey.take(
            {each: question.exact(each, sum_) for each, sum_ in zip(question.sums, found, strict=True)}
        )
    return survey.answers


def stations(folder: Path, count: int, seed: int = 0) -> list[dict[str, np.ndarray[Any, Any]]]:
    """`folder/<n>/weather.csv` for each of so many weather stations of unlike sizes; what is in them."""
    rng, made = np.random.default_rng(seed), []
    for at in range(count):
        size = 40 + 10 * at
        rows = {
            "month": rng.integers(1, 13, size),
            "temperature": np.round(rng.normal(55 + 4 * at, 15, size), 1),
            "days": rng.integers(1, 32, size),
            "sky": rng.choice(["clear", "cloudy", "rain"], size),
        }
        write_csv(folder / str(at) / "weather.csv", rows)
        made.append(rows)
    return made
