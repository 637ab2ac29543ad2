"""What is shown of one simulated client: a bell before masking, nothing but chance afterwards; never of a node."""

import json
import secrets
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.run_directory import read_lines
from arithmetic.packing import pack
from arithmetic.residues import from_signed
from clients.demonstration import FILE, Demonstration, check
from secagg.errors import Refused
from tests.support.resumed import begin, serve

BITS, ENTRIES = 24, 40_000


def shown(folder: Path, **changes: Any) -> dict[str, Any] | None:
    """What is written of a bell-shaped vector, masked by fresh random words."""
    told = {"run-dir": str(folder), "demonstration": True, "simulated": True, "partition": 0} | changes
    values = np.rint(np.random.default_rng(7).normal(0.0, 900.0, ENTRIES)).astype(np.int64)
    vector = from_signed(values, BITS)
    asked = Demonstration(told, told["simulated"], told["partition"], vector, BITS)
    mask = np.frombuffer(secrets.token_bytes(4 * ENTRIES), dtype=np.uint32)
    vector += mask
    vector &= np.uint32(2**BITS - 1)
    asked.masked(pack(vector, BITS), 1)
    return json.loads((folder / FILE).read_text()) if (folder / FILE).exists() else None


def spread(counts: list[int]) -> float:
    """Pearson's statistic against equal bins, in standard deviations above its mean."""
    expected, freedom = sum(counts) / len(counts), len(counts) - 1
    statistic = sum((count - expected) ** 2 / expected for count in counts)
    return float((statistic - freedom) / (2 * freedom) ** 0.5)


def test_the_vector_is_a_bell_and_what_is_received_is_chance(tmp_path: Path) -> None:
    told = shown(tmp_path)
    assert told is not None
    before, received = told["before"]["counts"], told["received"]["counts"]
    assert sum(before) == sum(received) == told["entries"] == ENTRIES
    assert spread(before) > 1000
    assert spread(received) < 12  # once in far more runs than there will be
    assert abs(told["correlation"]) < 0.05
    assert (told["received"]["low"], told["received"]["high"]) == (-(2.0**23), 2.0**23)


@pytest.mark.parametrize(
    "changes", [{"demonstration": False}, {"simulated": False}, {"partition": 1}, {"run-dir": ""}], ids=str
)
def test_nothing_else_is_shown(changes: dict[str, Any], tmp_path: Path) -> None:
    assert shown(tmp_path, **changes) is None


def test_only_the_first_vector_is_shown(tmp_path: Path) -> None:
    first = shown(tmp_path)
    assert shown(tmp_path) == first


def test_a_node_that_is_asked_refuses_to_take_part() -> None:
    check({"demonstration": False}, simulated=False)
    check({"demonstration": True}, simulated=True)
    with pytest.raises(Refused, match="a simulation may and a node never does"):
        check({"demonstration": True}, simulated=False)


def test_a_run_shows_its_first_client_where_it_is_asked_to(tmp_path: Path) -> None:
    directory = begin(tmp_path / "run", demonstration=True, rounds=2)
    serve(directory)
    told = json.loads((directory.path / FILE).read_text())
    parameters = next(read_lines(directory.events))["parameters"]
    assert (told["client"], told["server_round"], told["entries"]) == (0, 1, parameters)
    quiet = begin(tmp_path / "quiet", rounds=1)
    serve(quiet)
    assert not (quiet.path / FILE).exists()
