"""A real SuperLink and three real SuperNodes on loopback: every message starts a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.run_directory import read_lines
from bench.plain.launched import free_ports
from privacy.ledger import charges_of
from privacy.mechanisms import PoissonGaussian
from tests.support.launched import ROOT

pytestmark = [pytest.mark.deployment, pytest.mark.slow]

BIN = Path(sys.executable).parent
NODES = 3


class Deployment:
    """Programs in sessions of their own, so that each is stopped with everything it started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[subprocess.Popen[bytes]] = []

    def environment(self, home: str) -> dict[str, str]:
        folder = self.folder / home
        folder.mkdir(exist_ok=True)
        return os.environ | {
            "FLWR_HOME": str(folder), "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1",
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }  # fmt: skip

    def start(self, home: str, program: str, *arguments: str) -> None:
        empty = self.folder / "empty"
        empty.mkdir(exist_ok=True)
        with (self.folder / f"{home}.log").open("wb") as log:
            self.running.append(
                subprocess.Popen(
                    [str(BIN / program), *arguments],
                    cwd=empty,
                    env=self.environment(home),
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def ledger(self, number: int) -> Path:
        """Where a node keeps its ledger."""
        return self.folder / f"ledger-{number}.jsonl"

    def run(self, settings: str) -> list[dict[str, Any]]:
        """Submit a run and wait for it; the events it wrote."""
        before = set(self.folder.rglob("events.jsonl"))
        command = [str(BIN / "flwr"), "run", str(ROOT), "test", "--stream"]
        done = subprocess.run(
            [*command, "-c", f"clients={NODES} {settings}"], env=self.environment("user"),
            cwd=self.folder / "empty", capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        found = set(self.folder.rglob("events.jsonl")) - before
        assert len(found) == 1, done.stdout + done.stderr
        return list(read_lines(found.pop()))

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.running:
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    continue
            time.sleep(2)
        for process in self.running:
            process.wait(10)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A SuperLink, and three SuperNodes with a ledger and a policy each."""
    deployment = Deployment(tmp_path_factory.mktemp("deployment"))
    link, *ports = free_ports(1 + NODES)
    policy = deployment.folder / "policy.toml"
    policy.write_text("min-cohort = 3\nmax-parameters = 20000\n")
    try:
        deployment.start(
            "link", "flower-superlink", "--insecure", "--isolation", "subprocess", "--host", "127.0.0.1",
            "--port", str(link), "--disable-runtime-dependency-installation",
        )  # fmt: skip
        time.sleep(4)
        for number, port in enumerate(ports):
            own = f'privacy-policy="{policy}" privacy-ledger="{deployment.ledger(number)}"'
            deployment.start(
                f"node{number}", "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{link}",
                "--host", "127.0.0.1", "--port", str(port),
                "--node-config", f"partition-id={number} num-partitions={NODES} {own}",
            )  # fmt: skip
        deployment.environment("user")
        connection = f'[superlink.test]\naddress = "127.0.0.1:{link}"\ninsecure = true\n'
        (deployment.folder / "user" / "config.toml").write_text(connection)
        yield deployment
    finally:
        deployment.stop()


@pytest.fixture(scope="module")
def events(deployment: Deployment) -> list[dict[str, Any]]:
    """What a run of two server rounds wrote."""
    return deployment.run("rounds=2")


@pytest.fixture(scope="module")
def private_events(deployment: Deployment, events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a private run of one server round wrote, on the same nodes."""
    settings = 'rounds=1 task="digits_hog" privacy="distributed" delta=1e-4 noise-multiplier=2.0 '
    return deployment.run(settings + "sampling-probability=0.5 expected-batch=500.0 colluders=1")


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
    deployment: Deployment, private_events: list[dict[str, Any]]
) -> None:
    (planned,) = [event for event in private_events if event["event"] == "privacy_planned"]
    (sentence,) = planned["sentences"]
    assert "against the server, as long as it keeps to the protocol, and up to 1 colluding client" in sentence
    (finished,) = [event for event in private_events if event["event"] == "round_finished"]
    assert (finished["masked"], finished["accuracy"], finished["loss"]) == (NODES, None, None)
    assert private_events[-1]["event"] == "run_finished"
    assert private_events[-1]["rounds_aggregated"] == 1
    for number in range(NODES):
        (mechanism,) = charges_of(deployment.ledger(number))
        assert isinstance(mechanism, PoissonGaussian)
        assert mechanism.noise_multiplier >= 2.0
        assert (mechanism.sampling_probability, mechanism.steps, mechanism.colluders) == (0.5, 1, 1)
