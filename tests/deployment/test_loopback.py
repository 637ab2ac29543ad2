"""A real SuperLink and three real SuperNodes on loopback: every message starts a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.config import RunConfig
from app.run_directory import read_lines
from bench.gradients import central
from bench.plain.launched import ROOT
from privacy.ledger import charges_of
from privacy.mechanisms import PoissonGaussian
from tests.deployment.stack import Stack, running

pytestmark = [pytest.mark.deployment, pytest.mark.slow]

NODES = 3


def ledger(stack: Stack, number: int) -> Path:
    """Where a node keeps its ledger."""
    return stack.folder / f"ledger-{number}.jsonl"


def run(stack: Stack, settings: str, name: str) -> list[dict[str, Any]]:
    """Submit a run and wait for it; the events it wrote."""
    submitted = stack.submit(ROOT, f"clients={NODES} {settings}", name)
    assert submitted.await_end(300) == "run_finished", submitted.events
    return submitted.events


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A SuperLink, and three SuperNodes with a ledger and a policy each."""
    folder = tmp_path_factory.mktemp("deployment")
    policy = folder / "policy.toml"
    policy.write_text("min-cohort = 3\nmax-parameters = 20000\n")

    def own(number: int) -> str:
        log = folder / f"client-{number}.jsonl"
        return f'privacy-policy="{policy}" privacy-ledger="{ledger(stack, number)}" client-log="{log}"'

    stack = Stack(folder, NODES, node_config=own)
    with running(stack):
        yield stack


@pytest.fixture(scope="module")
def events(deployment: Stack) -> list[dict[str, Any]]:
    """What a run of two server rounds wrote."""
    return run(deployment, "rounds=2", "first")


@pytest.fixture(scope="module")
def private_events(deployment: Stack, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a private run of one server round wrote, on the same nodes."""
    settings = 'rounds=1 task="digits_hog" privacy="distributed" delta=1e-4 noise-multiplier=2.0 '
    return run(deployment, settings + "sampling-probability=0.5 expected-batch=500.0 colluders=1", "second")


def test_it_trains_and_judges(events: list[dict[str, Any]]) -> None:
    last = events[-1]
    assert last["event"] == "run_finished"
    assert last["rounds_aggregated"] == 2
    assert last["accuracy"] > 0.8


def test_everybody_completes_every_protocol_round(events: list[dict[str, Any]]) -> None:
    trips = [event for event in events if event["event"] == "protocol_round"]
    assert len(trips) == 3 * 4
    assert all(trip["answered"] == NODES and not trip["refused"] and not trip["missing"] for trip in trips)
    assert [trip["asked"] for trip in trips if trip["protocol_round"] == "r0"] == [NODES, 0, 0]


def test_short_rounds_do_not_pay_for_torch(events: list[dict[str, Any]]) -> None:
    """No time is tested; the process of a short trip must not have imported it, which r1's does."""
    code = "import sys, app.client_app; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_private_run_is_charged_on_every_node_and_says_nothing_of_its_data(
    deployment: Stack, private_events: list[dict[str, Any]]
) -> None:
    (planned,) = [event for event in private_events if event["event"] == "privacy_planned"]
    (sentence,) = planned["sentences"]
    assert "against the server, as long as it keeps to the protocol, and up to 1 colluding client" in sentence
    (finished,) = [event for event in private_events if event["event"] == "round_finished"]
    assert (finished["masked"], finished["accuracy"], finished["loss"]) == (NODES, None, None)
    assert private_events[-1]["event"] == "run_finished"
    assert private_events[-1]["rounds_aggregated"] == 1
    for number in range(NODES):
        (mechanism,) = charges_of(ledger(deployment, number))
        assert isinstance(mechanism, PoissonGaussian)
        assert mechanism.noise_multiplier >= 2.0
        assert (mechanism.sampling_probability, mechanism.steps, mechanism.colluders) == (0.5, 1, 1)


@pytest.mark.nightly
def test_mean_gradients_over_real_nodes_are_central_sgd_and_each_nodes_own_metrics_stay_with_it(
    deployment: Stack, private_events: list[dict[str, Any]]
) -> None:
    """The same keys as `scripts/run -c` takes; every message a process of its own."""
    logs = [deployment.folder / f"client-{number}.jsonl" for number in range(NODES)]
    before = [len(list(read_lines(log))) for log in logs]
    settings = 'rounds=3 job="gradients" task="digits_softmax" server-learning-rate=0.5 server-momentum=0.5'
    found = run(deployment, settings, "third")
    finished = [event for event in found if event["event"] == "round_finished"]
    keys = {"job": "gradients", "task": "digits_softmax", "clients": NODES, "rounds": 3}
    wanted = central(RunConfig.parse(keys | {"server-learning-rate": 0.5, "server-momentum": 0.5}))
    assert [event["train_loss"] for event in finished[:3]] == pytest.approx(wanted.losses, abs=1e-4)
    assert wanted.losses[2] < wanted.losses[0] - 0.1
    trips = [event for event in found if event["event"] == "protocol_round"]
    assert [trip["asked"] for trip in trips if trip["protocol_round"] == "r0"] == [NODES, 0, 0, 0]
    assert found[-1]["seconds_an_iteration"] > 0
    for log, old in zip(logs, before, strict=True):
        lines = list(read_lines(log))[old:]
        assert [line["event"] for line in lines] == ["trained"] * 3 + ["evaluated"]
        assert all(0 <= line["accuracy"] <= 1 and line["loss"] > 0 for line in lines)
