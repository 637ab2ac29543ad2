"""`scripts/run -c job=ring` as a user sees it."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.launched import Finished, run

pytestmark = pytest.mark.simulation


@pytest.fixture(scope="module")
def ring_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Four server rounds; one hospital vanishes at its hop in the second."""
    settings = ["-c", "job=ring", "-c", "rounds=4", "-c", "paillier-bits=2048"]
    return run(["scripts/run", *settings, "--drop", "1@hop:round2"], tmp_path_factory.mktemp("runs"))


def test_it_goes_around_and_skips_whoever_vanished(ring_run: Finished) -> None:
    assert ring_run.exit_code == 0, ring_run.errors
    lines = [line for line in ring_run.output.splitlines() if line.startswith(("round", "final"))]
    assert ["joined 4  revealed 4  added 4" in line for line in lines] == [False, True, False, False, False]
    assert sum("joined 5  revealed 5  added 5" in line for line in lines) == 4
    assert "the ring starts again without" in ring_run.output
    assert "4 of 4 rounds aggregated" in ring_run.output
    assert "diabetes, fedavg: 11 parameters, 5 hospitals in a ring" in ring_run.output
    assert re.search(
        r"key of 2048 bits; a node expects it with paillier-key = [0-9a-f]{64}\n", ring_run.output
    )


def test_it_ends_with_the_table_of_each_hospital_alone(ring_run: Finished) -> None:
    lines = ring_run.output.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("hospital  examples"))
    rows = [[float(word) for word in line.split()] for line in lines[at + 1 : at + 6]]
    assert [row[0] for row in rows] == [1, 2, 3, 4, 5]
    assert len({row[3] for row in rows}) == 1
    assert sum(row[2] > row[3] for row in rows) >= 3
    assert not any(line.startswith("what a hospital reaches") for line in lines)


def test_its_configuration_is_what_the_job_means(ring_run: Finished) -> None:
    config = tomllib.loads((ring_run.directory / "config.toml").read_text())
    assert (config["job"], config["task"], config["clients"]) == ("ring", "diabetes", 5)
    assert (config["rounding"], config["partition"]) == ("nearest", "dirichlet")


def test_the_run_directory_holds_no_key_pair(ring_run: Finished) -> None:
    names = {path.name for path in ring_run.directory.iterdir()}
    assert names >= {"config.toml", "metrics.jsonl", "events.jsonl", "model.safetensors", "identities"}
    text = (ring_run.directory / "events.jsonl").read_text()
    assert not [word for word in text.replace('"', " ").split() if len(word) > 66]


def test_its_mistakes_are_one_line(tmp_path: Path) -> None:
    for settings, said in (
        (["job=ring", "groups=2"], "groups = 2 does nothing with job = ring"),
        (["job=ring", "privacy=local"], "privacy = local does nothing with job = ring"),
        (["job=ring", "paillier-bits=2049"], "paillier-bits = 2049 cannot be used; it takes an even number"),
        (["job=ring", "paillier-bits=1024"], "paillier-bits = 1024 cannot be used"),
        (["job=ring", "drop=1@r2:round1"], "drop = 1@r2:round1 does nothing with job = ring"),
    ):
        pairs = [word for pair in settings for word in ("-c", pair)]
        done = run(["scripts/run", *pairs], tmp_path)
        assert done.exit_code == 2
        assert done.errors.startswith("CH-C0")
        assert done.errors.partition("  ")[2].startswith(said)
        assert len(done.errors.splitlines()) == 1
