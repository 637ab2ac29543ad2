"""The deployment over hosts of their own: 20 ms and one packet in a hundred lost on every link, both ways."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.run_directory import read_lines
from bench.plain.launched import ROOT
from tests.deployment import netns

pytestmark = [pytest.mark.deployment, pytest.mark.slow]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a run that was held over such links."""
    if reason := netns.why_not():
        pytest.skip(f"the deployment was not tested over a network: {reason}")
    folder = tmp_path_factory.mktemp("network")
    command = ["unshare", "-Urnm", sys.executable, "-m", "tests.deployment.netns", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=420, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def events(folder: Path) -> list[dict[str, Any]]:
    return list(read_lines(folder / "run" / "events.jsonl"))


def test_it_trains_and_judges_over_a_slow_network_that_loses_packets(events: list[dict[str, Any]]) -> None:
    last = events[-1]
    assert last["event"] == "run_finished"
    assert last["rounds_aggregated"] == 2
    assert last["accuracy"] > 0.8


def test_nobody_is_lost_with_the_packets(events: list[dict[str, Any]]) -> None:
    trips = [event for event in events if event["event"] == "protocol_round"]
    assert len(trips) == 3 * 4
    assert all(
        trip["answered"] == netns.NODES and not trip["refused"] and not trip["missing"] for trip in trips
    )


def test_every_link_carried_packets_and_dropped_some(folder: Path) -> None:
    for wire in json.loads((folder / "wires.json").read_text()):
        assert wire["seen"] > 500
        assert 0 < wire["lost"] < wire["seen"] / 20
