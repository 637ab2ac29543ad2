"""Where a client's ledger lies, that nothing is done without one, and what it is a ledger of."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset, TensorDataset

from arithmetic.errors import ParameterError, SetupError
from clients.spending import Spending, fingerprint, place_of
from clients.tasks import DataSource, length_of, load_task
from privacy.accounting import rdp_epsilon
from privacy.errors import (
    BudgetExhausted,
    LedgerDamaged,
    LedgerError,
    LedgerForeign,
    LedgerHeld,
    LedgerMissing,
)
from privacy.ledger import Ledger, charges_of
from privacy.mechanisms import Budget, GaussianRelease, Mechanism, PoissonGaussian

DATA = TensorDataset(torch.arange(12.0).reshape(6, 2), torch.arange(6))
STEP = PoissonGaussian(0.1, 1.0, 5)


def spending(place: Path | None, budget: Budget | None = None, data: Any = DATA, run: str = "7") -> Spending:
    return Spending.of(place, (data,), run, budget)


# ---- the place


def test_the_nodes_own_ledger_wins(tmp_path: Path) -> None:
    node = {"privacy-ledger": "/var/lib/chorus/ledger.jsonl", "partition-id": 3}
    for simulated in (True, False):
        found = place_of({"run-dir": str(tmp_path)}, node, simulated)
        assert found == Path("/var/lib/chorus/ledger.jsonl")


def test_a_simulated_client_has_one_below_the_run(tmp_path: Path) -> None:
    place = place_of({"run-dir": str(tmp_path)}, {"partition-id": 3}, simulated=True)
    assert place == tmp_path / "ledgers" / "3.jsonl"


@pytest.mark.parametrize(
    ("run", "node"),
    [({}, {}), ({"run-dir": ""}, {}), ({"run-dir": 5}, {}), ({"run-dir": "/nonexistent/chorus"}, {}),
     ({"run-dir": "."}, {}), ({"run-dir": "."}, {"privacy-policy": "/etc/chorus/policy.toml"})],
)  # fmt: skip
def test_a_real_node_that_names_none_has_none(run: dict[str, object], node: dict[str, object]) -> None:
    """Adversary: the submitter's run-dir, so that each run would begin with an empty ledger."""
    assert place_of(run, node | {"partition-id": 0}, simulated=False) is None


@pytest.mark.parametrize("policy", ["/etc/chorus/policy.toml", "", 7])
def test_a_node_with_a_policy_has_no_ledger_of_the_runs(policy: object, tmp_path: Path) -> None:
    """Adversary: calls itself a simulation, so that the budget of the policy would begin anew in each run-dir."""
    node = {"privacy-policy": policy, "partition-id": 0}
    assert place_of({"run-dir": str(tmp_path)}, node, simulated=True) is None
    named = place_of({"run-dir": str(tmp_path)}, node | {"privacy-ledger": "/srv/ledger"}, simulated=True)
    assert named == Path("/srv/ledger")


@pytest.mark.parametrize(
    "named", ["", "ledger.jsonl", "./ledger.jsonl", "~/ledger.jsonl", 7, True, b"/srv/ledger"]
)
@pytest.mark.parametrize("simulated", [True, False])
def test_a_place_that_depends_on_where_the_node_was_started_is_refused(
    named: object, simulated: bool, tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match="privacy-ledger in the node config is no absolute path"):
        place_of({"run-dir": str(tmp_path)}, {"privacy-ledger": named, "partition-id": 0}, simulated)


@pytest.mark.parametrize("run", [{}, {"run-dir": ""}, {"run-dir": 5}, {"run-dir": "/nonexistent/chorus"}])
def test_a_simulation_without_a_folder_has_none(run: dict[str, object]) -> None:
    assert place_of(run, {"partition-id": 0}, simulated=True) is None


def test_without_a_ledger_nothing_private_is_done() -> None:
    with pytest.raises(SetupError, match="set privacy-ledger in the node config"):
        spending(None).charge(STEP, server_round=1)


# ---- charging


def test_the_first_charge_makes_the_ledger_and_its_folder(tmp_path: Path) -> None:
    place = tmp_path / "ledgers" / "ledger.jsonl"
    mine = spending(place)
    mine.charge(STEP, server_round=1)
    mine.charge(GaussianRelease(2.0, 1), server_round=2)
    assert charges_of(place) == (STEP, GaussianRelease(2.0, 1))
    assert (place.stat().st_mode & 0o777) == 0o600


def test_no_more_than_one_folder_is_made(tmp_path: Path) -> None:
    """A volume that is not mounted: a ledger made up in its place would begin at nothing spent."""
    with pytest.raises(LedgerError, match="folder of the ledger cannot be made"):
        spending(tmp_path / "volume" / "chorus" / "ledger.jsonl").charge(STEP, server_round=1)
    assert list(tmp_path.iterdir()) == []


def test_several_releases_are_one_server_rounds(tmp_path: Path) -> None:
    place = tmp_path / "ledger.jsonl"
    spending(place).charge(GaussianRelease(2.0, 1), STEP, server_round=3)
    assert charges_of(place) == (GaussianRelease(2.0, 1), STEP)
    assert place.read_text().count('"round":3') == 2


@pytest.mark.parametrize("first", [STEP, GaussianRelease(50.0, 1)])
def test_all_are_charged_or_none(first: Mechanism, tmp_path: Path) -> None:
    """Each alone is within the budget; the last, with one of its own unit before it, is not."""
    place, budget = tmp_path / "ledger.jsonl", Budget(rdp_epsilon([STEP], 1e-5) * 1.01, 1e-5)
    for alone in (first, STEP):
        with pytest.raises(BudgetExhausted, match="example-level"):
            spending(place, budget).charge(first, STEP, STEP, server_round=1)
        assert charges_of(place) == ()
        with Ledger.open(place, fingerprint(DATA)) as ledger:
            ledger.check(alone, budget=budget)
    spending(place, budget).charge(STEP, server_round=1)
    with pytest.raises(BudgetExhausted):
        spending(place, budget).charge(GaussianRelease(50.0, 1), STEP, server_round=2)
    assert charges_of(place) == (STEP,)


def test_it_outlives_runs(tmp_path: Path) -> None:
    place = tmp_path / "ledger.jsonl"
    for run in ("7", "8"):
        spending(place, run=run).charge(STEP, server_round=1)
    assert charges_of(place) == (STEP, STEP)
    assert [f'"run":"{run}"' in place.read_text() for run in ("7", "8", "9")] == [True, True, False]


def test_the_budget_is_over_the_ledgers_life(tmp_path: Path) -> None:
    place, budget = tmp_path / "ledger.jsonl", Budget(3.0, 1e-5)
    update = GaussianRelease(5.0, 1)
    rounds = next(n for n in range(1, 1000) if rdp_epsilon([update] * n, 1e-5) > 3.0)
    for number in range(rounds - 1):
        spending(place, budget, run=f"run {number}").charge(update, server_round=1)
    with pytest.raises(BudgetExhausted):
        spending(place, budget, run="one more").charge(update, server_round=1)
    assert charges_of(place) == (update,) * (rounds - 1)
    with Ledger.open(place, fingerprint(DATA)) as ledger:
        assert ledger.spent(1e-5)["client"] <= 3.0 < ledger.spent(1e-5)["client"] * 1.1
    spending(place).charge(update, server_round=1)  # without a policy nothing is refused


def test_a_ledger_that_vanished_is_not_made_anew(tmp_path: Path) -> None:
    place = tmp_path / "ledger.jsonl"
    spending(place).charge(STEP, server_round=1)
    place.unlink()
    with pytest.raises(LedgerMissing, match="vanished"):
        spending(place).charge(STEP, server_round=2)
    assert not place.exists()


def test_the_ledger_of_other_data_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "ledger.jsonl"
    spending(place).charge(STEP, server_round=1)
    other = TensorDataset(DATA.tensors[0] + 1, DATA.tensors[1])
    with pytest.raises(LedgerForeign):
        spending(place, data=other).charge(STEP, server_round=2)


def test_a_ledger_that_is_held_or_torn_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "ledger.jsonl"
    spending(place).charge(STEP, server_round=1)
    with Ledger.open(place, fingerprint(DATA)), pytest.raises(LedgerHeld):
        spending(place).charge(STEP, server_round=2)
    place.write_bytes(place.read_bytes()[:-3])
    with pytest.raises(LedgerDamaged):
        spending(place).charge(STEP, server_round=3)


@pytest.mark.parametrize("folder", ["a file", "a file/below"])
def test_a_folder_that_cannot_be_made_is_a_typed_error(folder: str, tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("in the way")
    mine = spending(tmp_path / folder / "ledger.jsonl")
    with pytest.raises(SetupError, match="ledger"):
        mine.charge(STEP, server_round=1)


def test_what_was_refused_is_not_written(tmp_path: Path) -> None:
    place = tmp_path / "ledger.jsonl"
    with pytest.raises(BudgetExhausted):
        spending(place, Budget(0.01, 1e-5)).charge(STEP, server_round=1)
    with pytest.raises(ParameterError):
        spending(place, run="").charge(STEP, server_round=1)
    assert charges_of(place) == ()


# ---- the fingerprint


class Listed(Dataset[Any]):
    """Any examples, as a task of one's own gives them."""

    def __init__(self, examples: list[Any]) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        return self.examples[index]


def of(*tensors: torch.Tensor) -> str:
    return fingerprint(TensorDataset(*tensors))


@given(st.lists(st.integers(0, 255), min_size=1, max_size=40), st.data())
def test_any_change_of_any_example_is_seen(values: list[int], data: st.DataObject) -> None:
    tensor = torch.tensor(values, dtype=torch.uint8)
    at = data.draw(st.integers(0, len(values) - 1))
    changed = tensor.clone()
    changed[at] ^= 1 << data.draw(st.integers(0, 7))
    assert of(tensor) == of(tensor.clone())
    assert of(tensor) != of(changed)
    assert of(tensor) != of(torch.cat([tensor, tensor[:1]]))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.data())
def test_order_and_split_do_not_matter_and_counts_do(values: list[int], data: st.DataObject) -> None:
    """Adversary: a submitter who shuffles or divides the data otherwise, for a ledger with nothing spent."""
    whole = Listed(values)
    shuffled = data.draw(st.permutations(values))
    at = data.draw(st.integers(0, len(values)))
    assert fingerprint(whole) == fingerprint(Listed(shuffled[:at]), Listed(shuffled[at:]))
    assert fingerprint(whole) != fingerprint(Listed(shuffled[:at]), Listed(shuffled[at:]), Listed([0]))


def test_neither_seed_nor_validation_fraction_changes_it() -> None:
    """What a run may choose of a node's own data: partition 0 of 1 is all of it, as on a node with a file."""
    parts = [
        load_task("digits").partition_data(DataSource("", 0, 1), fraction, seed)
        for fraction, seed in ((0.25, 0), (0.25, 1), (0.5, 0))
    ]
    assert len({length_of(each.train) for each in parts}) == 2
    assert len({fingerprint(each.train, each.validation) for each in parts}) == 1
    assert len({fingerprint(each.train) for each in parts}) == 3


def test_labels_shapes_and_types_belong_to_it() -> None:
    inputs, labels = DATA.tensors
    variants = [
        of(inputs, labels), of(inputs.flip(0), labels), of(inputs, labels + 1), of(inputs), of(inputs, inputs),
        of(inputs.reshape(6, 1, 2), labels), of(inputs.double(), labels), of(inputs[:5], labels[:5]),
        of(inputs[:0], labels[:0]),
    ]  # fmt: skip
    assert len(set(variants)) == len(variants)
    assert all(len(each) == 64 for each in variants)


def test_minus_zero_and_nan_have_bits_too() -> None:
    found = [of(torch.tensor([[value]])) for value in (0.0, -0.0, float("nan"), 1.0)]
    assert len(set(found)) == 4
    assert found[2] == of(torch.tensor([[float("nan")]]))


@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64]
)
def test_every_dtype_has_a_fingerprint(dtype: torch.dtype) -> None:
    zeros = torch.zeros(3, 2, dtype=dtype)
    assert of(zeros) != of(torch.ones(3, 2, dtype=dtype))


def test_data_of_any_build_that_collates() -> None:
    texts = [{"text": f"line {n}", "tokens": [torch.tensor([n]), n]} for n in range(4)]
    assert fingerprint(Listed(texts)) == fingerprint(Listed([dict(reversed(each.items())) for each in texts]))
    assert fingerprint(Listed(texts)) == fingerprint(Listed(texts[::-1]))
    assert fingerprint(Listed(texts)) != fingerprint(Listed(texts[1:]))
    assert fingerprint(Listed(texts)) != fingerprint(Listed([{**each, "text": "x"} for each in texts]))


def test_a_set_longer_than_one_part_is_read_to_its_end() -> None:
    long = torch.zeros(5000, 1)
    changed = long.clone()
    changed[-1] = 1
    assert of(long) != of(changed)
