"""The same query on a real SuperLink and three SuperNodes: each with a table, a policy, a ledger and a transcript."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.plain.launched import ROOT
from privacy.ledger import charges_of
from tests.deployment.stack import Stack, Submitted, running
from tests.support.analytics import stations

pytestmark = [pytest.mark.deployment, pytest.mark.slow, pytest.mark.nightly]

NODES = 3
POLICY = """jobs = ["analytics"]
columns = ["temperature", "days", "month", "sky"]
"""
Made = list[dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Made]:
    """The stations' folders, and what is in them."""
    folder = tmp_path_factory.mktemp("stations")
    return folder, stations(folder, NODES)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory, made: tuple[Path, Made]) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("deployment")
    (folder / "policy.toml").write_text(POLICY)

    def own(number: int) -> str:
        places = {
            "data-path": made[0] / str(number), "privacy-policy": folder / "policy.toml",
            "privacy-ledger": folder / f"ledger-{number}.jsonl", "transcript": folder / f"node-{number}.jsonl",
        }  # fmt: skip
        return " ".join(f"{key}={json.dumps(str(path))}" for key, path in places.items())

    with running(Stack(folder, NODES, node_config=own)) as stack:
        yield stack


def ask(stack: Stack, query: Path, name: str, settings: str = "") -> Submitted:
    text = f'clients={NODES} job="analytics" query={json.dumps(str(query))} round-deadline=60.0 {settings}'
    submitted = stack.submit(ROOT, text, name)
    assert submitted.await_end(300)
    return submitted


def test_the_example_on_real_nodes(deployment: Stack, made: tuple[Path, Made]) -> None:
    """Without its search for quantiles, whose sessions would start some hundred processes."""
    text = (ROOT / "examples" / "weather" / "query.toml").read_text()
    query = made[0] / "query.toml"
    query.write_text(re.sub(r'\[\[statistics\]\]\nkind = "quantiles"\n(.+\n)+', "", text))
    run = ask(deployment, query, "first")
    assert run.events[-1]["event"] == "run_finished", run.events
    told = json.loads((run.directory / "answers.json").read_bytes())
    x = np.concatenate([each["temperature"] for each in made[1]])
    found = {each["name"]: each["value"] for each in told["answers"]}
    assert found["count"] == len(x)
    assert found["mean temperature"] == pytest.approx(float(x.mean()), rel=1e-9)
    assert found["above 70 degrees"] == pytest.approx(float((x > 70).mean()), rel=1e-9)
    assert (told["clients"], told["sessions"]) == ([NODES, NODES], 1)


def test_a_noisy_query_is_charged_on_every_node_and_verified(deployment: Stack, tmp_path: Path) -> None:
    query = tmp_path / "query.toml"
    query.write_text(
        'table = "weather.csv"\nstatistics = [{ kind = "count", where = [\'sky == "rain"\'] }]\n'
    )
    run = ask(deployment, query, "second", 'privacy="distributed" epsilon=2.0')
    assert run.events[-1]["event"] == "run_finished", run.events
    ledgers = [deployment.folder / f"ledger-{number}.jsonl" for number in range(NODES)]
    assert [[charge.unit for charge in charges_of(path)] for path in ledgers] == [["example"]] * NODES
    (server,) = (run.directory / "transcripts").glob("server-*.jsonl")
    nodes = [str(deployment.folder / f"node-{number}.jsonl") for number in range(NODES)]
    more = [part for path in ledgers for part in ("--ledger", str(path))]
    policy = ["--policy", str(deployment.folder / "policy.toml")]
    command = [sys.executable, "-m", "app", "verify", *nodes, "--server", str(server), *more, *policy]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert "mode distributed; 3 noisy releases of these nodes, each charged" in done.stdout, done.stdout
    assert done.returncode == 0, done.stdout


def test_a_column_that_is_not_listed_is_refused_by_name_of_the_policy_s_line(
    deployment: Stack, tmp_path: Path
) -> None:
    query = tmp_path / "query.toml"
    query.write_text('table = "weather.csv"\nstatistics = [{ kind = "count", where = ["humidity > 3"] }]\n')
    run = ask(deployment, query, "third")
    assert run.events[-1]["event"] == "run_failed"
    assert run.events[-1]["code"] == "QUORUM"
    assert "POLICY: policy line 2 (columns): column 'humidity' is asked" in run.events[-1]["reason"]
    assert not (run.directory / "answers.json").exists()
