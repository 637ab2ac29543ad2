"""Entries as JSON: one spelling, there and back."""

import json
from pathlib import Path

import pytest

from tests.support.told_run import PRIVATE, ToldRun, change, leaves, tables_of
from wire.entries import KINDS, from_json, set_digest, to_json

OTHERS = [
    {"kind": "failed", "session": "ab" * 32, "code": "QUORUM"},
]


def all_tables(folder: Path) -> list[dict[str, object]]:
    told = ToldRun(folder, active=True, terms=PRIVATE)
    tables = [table for path in (told.server, *told.nodes) for table in tables_of(path)]
    for table in tables:
        table.pop("signature", None)
    return [*tables, *OTHERS]


def test_every_kind_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    tables = all_tables(tmp_path)
    assert {table["kind"] for table in tables} == set(KINDS)
    for table in tables:
        assert json.loads(json.dumps(to_json(from_json(table)))) == table


def test_what_is_not_how_it_is_written_is_refused(tmp_path: Path) -> None:
    for table in all_tables(tmp_path):
        for wrong in (
            table | {"extra": 1},
            table | {"kind": "secret"},
            {key: value for key, value in table.items() if key != "kind"},
            {key: value for key, value in table.items() if key != min(table)},
        ):
            with pytest.raises(ValueError, match=r"^no"):
                from_json(wrong)


def test_a_key_too_many_inside_a_value_is_refused(tmp_path: Path) -> None:
    joined = next(table for table in all_tables(tmp_path) if table["kind"] == "joined")
    terms = joined["terms"]
    assert isinstance(terms, dict)
    with pytest.raises(ValueError, match=r"no joined|not how a joined is written"):
        from_json(joined | {"terms": terms | {"seed": "ab" * 32}})


def test_changes_of_a_table_are_changes(tmp_path: Path) -> None:
    """The forger of the other tests forges."""
    for table in all_tables(tmp_path):
        for place in leaves(table):
            other = json.loads(json.dumps(table))
            change(other, place)
            assert other != table


def test_a_set_is_told_by_its_digest() -> None:
    assert set_digest({3, 1, 2}) == set_digest((1, 2, 3))
    found = {set_digest(each) for each in ((), (1,), (2,), (1, 2), (258,), (1, 2, 3))}
    assert len(found) == 6
