"""A real SuperLink and three real SuperNodes on loopback: every message starts a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.run_directory import read_lines
from tests.support.launched import ROOT

pytestmark = [pytest.mark.deployment, pytest.mark.slow]

BIN = Path(sys.executable).parent
NODES = 3


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


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
def events(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """What a run of two server rounds wrote."""
    deployment = Deployment(tmp_path_factory.mktemp("deployment"))
    link, *ports = _free_ports(1 + NODES)
    try:
        deployment.start(
            "link", "flower-superlink", "--insecure", "--isolation", "subprocess", "--host", "127.0.0.1",
            "--port", str(link), "--disable-runtime-dependency-installation",
        )  # fmt: skip
        time.sleep(4)
        for number, port in enumerate(ports):
            deployment.start(
                f"node{number}", "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{link}",
                "--host", "127.0.0.1", "--port", str(port),
                "--node-config", f"partition-id={number} num-partitions={NODES}",
            )  # fmt: skip
        environment = deployment.environment("user")
        connection = f'[superlink.test]\naddress = "127.0.0.1:{link}"\ninsecure = true\n'
        (deployment.folder / "user" / "config.toml").write_text(connection)
        command = [str(BIN / "flwr"), "run", str(ROOT), "test", "--stream", "-c", f"clients={NODES} rounds=2"]
        done = subprocess.run(
            command, env=environment, cwd=deployment.folder / "empty", capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        found = list(deployment.folder.rglob("events.jsonl"))
        assert len(found) == 1, done.stdout + done.stderr
        yield list(read_lines(found[0]))
    finally:
        deployment.stop()


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
