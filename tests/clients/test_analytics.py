"""A client's answer: what it reads, what it refuses, and what one row can move."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arithmetic.residues import to_signed
from clients import analytics
from clients.analytics import Answer, Purse, answer, totals
from clients.analytics_table import BadCell, NoColumn, NoTable, Place, fingerprint, load
from clients.policy import Policy, PolicyRefused
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import Refused, SuspectServer
from secagg.params import SecAggParams
from tests.support.analytics import table, write_csv
from wire.inquiry import Inquiry
from wire.noise import sum_plan
from wire.questions import Bounds, Condition, Question, Summand

X = {"x": Bounds(low=0.0, high=10.0)}
COUNT, TOTAL, SQUARE = Summand(), Summand(of=("x",)), Summand(of=("x", "x"))
NOISY = PrivacyTerms(
    PrivacyMode.DISTRIBUTED,
    noise_multiplier=0.5,
    clipping_norm=1.0,
    sampling_probability=1.0,
    delta=1e-5,
    rounds=1,
)


def question(*sums: Summand, name: str = "t.csv") -> Question:
    return Question(table=name, columns=X, sums=sums)


def params(asked: Question, noisy: bool = False) -> SecAggParams:
    lengths = (len(asked.sums), 0) if noisy else (0, asked.length)
    return SecAggParams.complete(4, 48, *lengths)


def ask(folder: Path, asked: Question, terms: PrivacyTerms | None = None, **purse: Any) -> Answer:
    inquiry = Inquiry(asked, str(folder), 0, 1000, terms or PrivacyTerms())
    return answer(inquiry, Place(str(folder)), Purse("run", **purse), params(asked, terms is not None), 1)


# --- the sums ---------------------------------------------------------------------------------------------------


def test_sums_are_whole_numbers_of_steps() -> None:
    asked = question(COUNT, TOTAL, SQUARE, Summand(where=(Condition(column="x", relation=">", value=2.0),)))
    count, total, square, above = totals(asked, table({"x": [1, 2.5, 40]}))
    step = 2.0 ** -X["x"].exponent
    assert (count, above) == (3, 2)
    assert total * step == 13.5
    assert square * step**2 == 1 + 6.25 + 100


def test_a_vector_says_nothing_of_how_many_rows(tmp_path: Path) -> None:
    asked = question(COUNT, TOTAL)
    lengths = set()
    for rows in (0, 1, 50):
        write_csv(tmp_path / "t.csv", {"x": [1.5] * rows})
        found = ask(tmp_path, asked)
        lengths.add(found.vector.scalars.shape)
        assert (found.examples, found.ledger, found.layout) == (0, "", b"")
    assert lengths == {(asked.length,)}


def test_a_vector_of_other_lengths_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", {"x": [1.5]})
    inquiry = Inquiry(question(COUNT, TOTAL), str(tmp_path), 0, 1000, PrivacyTerms())
    with pytest.raises(SuspectServer):
        answer(inquiry, Place(str(tmp_path)), Purse("run"), params(question(COUNT)), 1)


def test_answering_imports_no_torch() -> None:
    code = "import sys, clients.analytics, wire.inquiry; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- the table --------------------------------------------------------------------------------------------------


def test_a_simulated_client_has_a_folder_of_its_own_or_its_part_of_all_rows(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", {"x": list(range(10))})
    parts = [load("t.csv", Place(str(tmp_path), at, 3, True), ["x"], 0).numbers("x") for at in range(3)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))
    assert {len(part) for part in parts} == {3, 4}
    write_csv(tmp_path / "1" / "t.csv", {"x": [77]})
    assert load("t.csv", Place(str(tmp_path), 1, 3, True), ["x"], 0).numbers("x").tolist() == [77.0]


def test_a_real_node_has_the_whole_file(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", {"x": list(range(10))})
    write_csv(tmp_path / "1" / "t.csv", {"x": [77]})
    assert load("t.csv", Place(str(tmp_path), 1, 3, False), ["x"], 0).rows == 10


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    write_csv(tmp_path / "other" / "t.csv", {"x": [1]})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "t.csv").symlink_to(tmp_path / "other" / "t.csv")
    with pytest.raises(NoTable):
        load("t.csv", Place(str(tmp_path / "data")), ["x"], 0)


def test_no_data_path_is_no_table() -> None:
    with pytest.raises(NoTable) as caught:
        load("t.csv", Place(""), ["x"], 0)
    assert caught.value.code == "ENV"


def test_an_error_says_one_sentence_to_the_server_and_the_place_to_the_node(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", {"x": [1, "cancer", 3]})
    with pytest.raises(BadCell) as caught:
        load("t.csv", Place(str(tmp_path)), ["x"], 0).numbers("x")
    assert caught.value.shareable
    assert str(caught.value) == BadCell.sentence
    assert "column 'x', row 2" in caught.value.line
    assert "cancer" not in caught.value.line


def test_an_embedded_table_lacks_a_column() -> None:
    with pytest.raises(NoColumn) as caught:
        load("iris", Place("", 0, 3, True), ["x"], 0)
    assert "sepal" not in str(caught.value)


def test_a_fingerprint_is_of_the_rows_in_any_order(tmp_path: Path) -> None:
    found = []
    for x, y in ([1, 2, 3], [4, 5, 6]), ([3, 1, 2], [6, 4, 5]), ([1, 2, 3], [4, 6, 5]):
        write_csv(tmp_path / "t.csv", {"x": x, "y": y})
        found.append(fingerprint(load("t.csv", Place(str(tmp_path)), None, 0)))
    assert found[0] == found[1] != found[2]


# --- policy -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sums",
    [(TOTAL,), (Summand(where=(Condition(column="x", relation="==", value="a"),)),), (COUNT, SQUARE)],
)
def test_a_column_that_the_policy_does_not_list_is_refused_wherever_it_stands(
    tmp_path: Path, sums: tuple[Summand, ...]
) -> None:
    """The table is not even opened: there is none."""
    policy = Policy.parse('jobs = ["analytics"]\ncolumns = ["y", "z"]', "p.toml")
    with pytest.raises(PolicyRefused, match=r"policy line 2 \(columns\): column 'x' is asked") as caught:
        ask(tmp_path, question(*sums), policy=policy)
    assert "'y'" not in str(caught.value)


# --- noise ------------------------------------------------------------------------------------------------------


def noisy(folder: Path, asked: Question, **purse: Any) -> np.ndarray[Any, Any]:
    found = ask(folder, asked, NOISY, **purse)
    plan = sum_plan(NOISY, params(asked, True), 1000)
    return to_signed(found.vector.tensor, 48) / plan.scale


def test_a_row_moves_the_noisy_sums_by_the_norm_at_most(tmp_path: Path) -> None:
    """Adversary: a server that names a small norm and asks one row a thousand times over."""
    asked = question(
        *(Summand(where=(Condition(column="x", relation=">=", value=-float(at)),)) for at in range(1000))
    )
    write_csv(tmp_path / "t.csv", {"x": [5.0] * 400})
    found = noisy(tmp_path, asked, ledger=tmp_path / "ledger.jsonl")
    # Each row adds 1 / sqrt(1000) to each sum; the noise of one share is far below what 400 unclipped rows would add.
    assert abs(found.mean() - 400 / np.sqrt(1000)) < 1.0


def test_noise_needs_a_ledger(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", {"x": [1.0]})
    with pytest.raises(Exception, match="needs a ledger on the node"):
        ask(tmp_path, question(COUNT), NOISY)


def test_a_budget_that_is_spent_is_a_refusal(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", {"x": [1.0]})
    policy = Policy.parse("max-epsilon = 0.001\ndelta = 1e-5")
    with pytest.raises(Exception, match="budget") as caught:
        ask(tmp_path, question(COUNT), NOISY, ledger=tmp_path / "ledger.jsonl", policy=policy)
    assert getattr(caught.value, "code", "") == "POLICY"


def test_other_rows_are_another_ledger(tmp_path: Path) -> None:
    """Columns that are not asked count, too: one table, one ledger, whatever is asked of it."""
    for y, refused in ((1, False), (1, False), (2, True)):
        write_csv(tmp_path / "t.csv", {"x": [1.0], "y": [y]})
        if refused:
            with pytest.raises(Exception, match="other data"):
                ask(tmp_path, question(COUNT), NOISY, ledger=tmp_path / "ledger.jsonl")
        else:
            assert ask(tmp_path, question(COUNT), NOISY, ledger=tmp_path / "ledger.jsonl").ledger


def test_products_are_not_asked_with_noise(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", {"x": [1.0]})
    with pytest.raises(Refused, match="not asked with noise"):
        ask(tmp_path, question(SQUARE), NOISY, ledger=tmp_path / "ledger.jsonl")
    assert not (tmp_path / "ledger.jsonl").exists()


@pytest.mark.parametrize("rows", [0, 1, 5, 6, 7, 100])
def test_parts_of_a_table_add_up(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    asked = question(COUNT, TOTAL, SQUARE, Summand(where=(Condition(column="x", relation="<", value=5.0),)))
    client = table({"x": np.random.default_rng(rows).uniform(-1, 11, rows)})
    whole = totals(asked, client)
    monkeypatch.setattr(analytics, "_ROWS_AT_ONCE", 3)
    assert totals(asked, client) == whole


def test_a_bad_cell_of_a_later_part_is_told_by_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analytics, "_ROWS_AT_ONCE", 3)
    with pytest.raises(BadCell) as caught:
        totals(question(TOTAL), table({"x": [1, 2, 3, 4, "five", 6]}))
    assert "row 5 below" in caught.value.line
