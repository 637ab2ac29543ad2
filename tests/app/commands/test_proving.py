"""`ledger` and `verify` as documents, and what does not hold."""

import json
from pathlib import Path

from privacy.ledger import Ledger
from privacy.mechanisms import Budget, GaussianRelease
from tests.app.commands.conftest import Type
from tests.support.told_run import ToldRun


def test_a_ledger_is_one_document(chorus: Type, tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger.create(path, "data")
    with Ledger.open(path, "data") as ledger:
        ledger.charge(GaussianRelease(5.0, 1, "client", 1e-20), "run", 1, Budget(1e6, 1e-5))
    (found,) = json.loads(chorus("ledger", str(path), "--json").out)["guarantees"]
    assert found["unit"] == "client"
    assert found["sentence"] in chorus("ledger", str(path)).out
    missing = chorus("ledger", str(tmp_path / "none.jsonl"))
    assert (missing.code, missing.err.split()[0]) == (4, "CH-E10")


def test_what_does_not_hold_has_exit_code_3_and_a_number(chorus: Type, tmp_path: Path) -> None:
    run = ToldRun(tmp_path)
    arguments = ["verify", "--server", str(run.server), *map(str, run.nodes)]
    good = chorus(*arguments, "--json")
    assert good.code == 0, good.out
    told = json.loads(good.out)
    assert told["holds"] is True
    assert {each["verdict"] for each in told["findings"]} <= {"ok", "note"}
    run.nodes[0].write_bytes(run.nodes[0].read_bytes().replace(b"training", b"trainin9", 1))
    bad = chorus(*arguments, "--json")
    assert bad.code == 3
    assert json.loads(bad.out)["code"] == "CH-P25"
