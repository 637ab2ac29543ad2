"""docs/deployment.md, command by command: provisioned kits, TLS, known nodes only; SuperLink and a node killed."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.deployment.certificates import make_node_key
from app.processes import descendants
from app.run_directory import read_lines
from bench.plain.launched import free_ports
from tests.support import deployment_page as page
from tests.support.launched import ROOT

pytestmark = [pytest.mark.deployment, pytest.mark.slow]

NODES = 4
KILLED = 4  # this node's machine loses its power
# Two server rounds; deadlines for two busy cores.
MORE_KEYS = "rounds = 2\nround-deadline = 60.0\ntraining-deadline = 200.0\ncohort-deadline = 200.0\n"


def argv(command: str) -> list[str]:
    """A command of the page, as typed in the clone, for another working directory."""
    return [
        str(ROOT / word) if word.startswith(("scripts/", ".venv/")) or word == "." else word
        for word in shlex.split(command)
    ]


class Laptop:
    """One working directory in which the page's commands are typed, each long one in a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.terminals: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, command: str, code: int = 0, timeout: float = 120) -> str:
        done = subprocess.run(
            argv(command), cwd=self.folder, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def shell(self, command: str, code: int = 0) -> str:
        """A command that a shell has to read."""
        whole = f"cd {shlex.quote(str(self.folder))}; " + command.replace(".venv/", f"{ROOT}/.venv/")
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            ["bash", "-c", whole], env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def open(self, name: str, command: str) -> None:
        with (self.folder / f"{name}.out").open("wb") as output:
            self.terminals[name] = subprocess.Popen(
                argv(command),
                cwd=self.folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.out").read_text()

    def await_word(self, name: str, word: str, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while word not in self.said(name):
            assert self.terminals[name].poll() is None, self.said(name)
            assert time.monotonic() < end, self.said(name)
            time.sleep(0.1)

    def cut_power(self, name: str) -> None:
        """SIGKILL for a terminal's whole tree, at once."""
        process = self.terminals.pop(name)
        for pid in [process.pid, *descendants(process.pid)]:
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def kill_program(self, name: str, program: str) -> None:
        """SIGKILL for one of Flower's programs; its supervisor lives."""
        for pid in descendants(self.terminals[name].pid):
            if program in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)

    def close(self) -> dict[str, int]:
        """SIGTERM for every node, then for the server; their exit codes."""
        codes = {}
        for names in ([name for name in self.terminals if name != "server"], ["server"]):
            processes = {name: self.terminals[name] for name in names if name in self.terminals}
            for process in processes.values():
                process.terminate()
            for name, process in processes.items():
                try:
                    codes[name] = process.wait(60)
                except subprocess.TimeoutExpired:
                    self.cut_power(name)
                    codes[name] = -signal.SIGKILL
        self.terminals.clear()
        return codes


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """A server and four nodes, up."""
    laptop = Laptop(tmp_path_factory.mktemp("laptop"))
    (port,) = free_ports(1)
    laptop.run(f"{page.PROVISION} --port {port}")
    try:
        laptop.open("server", page.SUPERLINK)
        laptop.await_word("server", "SuperExec for")
        for number, command in enumerate(page.SUPERNODES, start=1):
            laptop.open(f"node-{number}", command)
        yield laptop
    finally:
        laptop.close()


def _submit(laptop: Laptop) -> subprocess.Popen[bytes]:
    """The page's own command."""
    assignment, *words = argv(page.SUBMIT)
    name, value = assignment.split("=")
    env = os.environ | {name: value, "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
    with (laptop.folder / "submit.out").open("wb") as output:
        return subprocess.Popen(
            words,
            cwd=laptop.folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def _events(laptop: Laptop) -> list[dict[str, Any]]:
    found = list((laptop.folder / "federation" / "server" / "state" / "runs").glob("*/events.jsonl"))
    return list(read_lines(found[0])) if found else []


def ended(event: dict[str, Any], protocol_round: str) -> bool:
    """Whether it says that this protocol round has ended."""
    return event["event"] == "protocol_round" and event["protocol_round"] == protocol_round


@pytest.fixture(scope="module")
def events(laptop: Laptop) -> list[dict[str, Any]]:
    """What a run wrote of which the SuperLink was killed in r2 of the first server round, and a node in that of the
    second.
    """
    with (laptop.folder / "federation" / "submit" / "run.toml").open("a") as run:
        run.write(MORE_KEYS)
    # Not `flwr run` is followed but the run: the stream ends with the SuperLink that is killed, the run does not.
    submitted, end, killed = _submit(laptop), time.monotonic() + 400, False
    while not (found := _events(laptop)) or found[-1]["event"] not in ("run_finished", "run_failed"):
        assert time.monotonic() < end, laptop.said("submit")[-3000:] + laptop.said("server")
        shared = [event["server_round"] for event in found if ended(event, "r1")]
        if shared == [1] and not killed:
            laptop.kill_program("server", "flower-superlink")
            killed = True
        if shared == [1, 2] and f"node-{KILLED}" in laptop.terminals:
            laptop.cut_power(f"node-{KILLED}")
        time.sleep(0.1)
    submitted.wait(60)
    return _events(laptop)


def test_the_doctor_finds_nothing_wrong(laptop: Laptop) -> None:
    for command in (page.DOCTOR_SERVER, page.DOCTOR_NODE):
        lines = laptop.run(command).splitlines()
        assert len(lines) >= 11
        assert all(line.startswith("ok ") for line in lines), lines


def test_a_node_with_a_wrong_key_is_refused_in_one_line(laptop: Laptop) -> None:
    kits = laptop.folder / "federation" / "nodes"
    kit = Path(
        shutil.copytree(
            kits / "hospital-1", laptop.folder / "impostor", ignore=shutil.ignore_patterns("state")
        )
    )
    (kit / "node.key").write_bytes(make_node_key().private)
    said = laptop.run(f"scripts/supernode {kit}", code=3)
    assert said.splitlines()[-1].startswith("CH-P07  the SuperLink does not know this node's key")
    assert "Traceback" not in said
    line = laptop.run(f"scripts/doctor node {kit}", code=4).splitlines()[-1]
    assert line.startswith("WRONG  registered: CH-E01  the SuperLink does not know this node")


def test_the_port_is_busy_for_a_second_server(laptop: Laptop) -> None:
    said = laptop.run(page.SUPERLINK, code=4)
    assert re.fullmatch(r"CH-E01  the SuperLink cannot listen on .* choose another port.*", said.strip())


def test_a_superlink_that_is_killed_in_a_round_costs_no_round(
    laptop: Laptop, events: list[dict[str, Any]]
) -> None:
    assert "superlink ended (by SIGKILL); again in 1 s" in laptop.said("server")
    first = next(event for event in events if event["event"] == "round_finished")
    assert (first["server_round"], first["masked"], first["unmasked"]) == (1, NODES, NODES)


def test_the_run_finishes_with_the_nodes_that_are_left(events: list[dict[str, Any]]) -> None:
    finished = [
        event for event in events if event["event"] == "round_finished" and event["purpose"] == "training"
    ]
    assert [(event["shares"], event["masked"]) for event in finished] == [(NODES, NODES), (NODES, NODES - 1)]
    assert events[-1]["rounds_aggregated"] == 2
    assert events[-1]["accuracy"] > 0.8
    assert events[-1]["central_accuracy"] > 0.8


def test_nothing_went_over_the_network_in_the_clear(laptop: Laptop, events: list[dict[str, Any]]) -> None:
    """Every program of the deployment was given certificates, and none was told to do without."""
    for name, process in laptop.terminals.items():
        commands = [
            Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in descendants(process.pid)
        ]
        outward = [
            one
            for one in commands
            if any(b"flower-supernode" in word or b"flower-superlink" in word for word in one)
        ]
        assert outward, name
        assert not any(b"--insecure" in one for one in outward)


def test_every_session_held_against_a_server_that_cheats(events: list[dict[str, Any]]) -> None:
    started = events[0]
    assert (started["event"], started["adversary"]) == ("run_started", "active")
    trips = [event for event in events if ended(event, "r3")]
    assert [trip["answered"] for trip in trips] == [NODES, NODES - 1, NODES - 1]


def test_transcripts_prove_the_run(laptop: Laptop, events: list[dict[str, Any]]) -> None:
    """The page's command; and one digit of one node's transcript changed is found."""
    lines = laptop.shell(page.VERIFY).splitlines()
    assert not [line for line in lines if line.startswith("fails")], lines
    said = "\n".join(line for line in lines if line.startswith("ok"))
    for what in ("lines", "views", "masks", "survivors", "shares", "identities", "adversary", "policy"):
        assert re.search(rf"^ok +{what} ", said, re.M), said
    transcript = laptop.folder / "federation" / "nodes" / "hospital-1" / "state" / "transcript.jsonl"
    honest = transcript.read_bytes()
    at = honest.rindex(b'"self_mask_shares":') + len(b'"self_mask_shares":')
    try:
        transcript.write_bytes(honest[:at] + b"9" + honest[at + 1 :])
        assert "fails" in laptop.shell(page.VERIFY, code=3)
    finally:
        transcript.write_bytes(honest)


def test_a_node_that_was_killed_comes_back_as_the_same_node(
    laptop: Laptop, events: list[dict[str, Any]]
) -> None:
    laptop.open(f"node-{KILLED}", page.SUPERNODES[KILLED - 1])
    env = os.environ | {
        "FLWR_HOME": str(laptop.folder / "federation" / "submit"),
        "FLWR_TELEMETRY_ENABLED": "0",
    }
    (ready,) = [event for event in events if event["event"] == "cohort_ready"]
    command = [str(ROOT / ".venv" / "bin" / "flwr"), "supernode", "list", "chorus", "--format", "json"]
    end = time.monotonic() + 90
    online: set[int] = set()
    while online != set(ready["nodes"]):
        assert time.monotonic() < end, laptop.said(f"node-{KILLED}")
        said = subprocess.run(
            command, env=env, cwd=laptop.folder, capture_output=True, text=True, check=True
        ).stdout
        nodes = json.loads(said[said.index("{") :])["nodes"]
        online = {int(node["node-id"]) for node in nodes if node["status"] == "online"}


def test_sigterm_ends_everything_in_order(laptop: Laptop, events: list[dict[str, Any]]) -> None:
    below = {pid for process in laptop.terminals.values() for pid in descendants(process.pid)}
    assert below
    codes = laptop.close()
    assert set(codes.values()) == {0}, codes
    assert not [pid for pid in below if Path(f"/proc/{pid}/cmdline").exists()]


def test_from_one_laptop_to_five_hospitals(tmp_path: Path) -> None:
    """The commands of the page that need no network: five nodes, a sixth that makes its own keys, one that leaves."""
    laptop = Laptop(tmp_path)
    serials = []
    for command in (page.FIVE, page.REQUEST, page.ADD, page.REVOKE, page.RENEW):
        said = laptop.run(command)
        serials += re.findall(r"serial (\d+), (\d+) members", said)
    assert serials == [("1", "5"), ("2", "6"), ("3", "5"), ("4", "5")]
    kit = tmp_path / "federation" / "nodes" / "hospital-6"
    shutil.copytree(kit, tmp_path / "hospital-6", dirs_exist_ok=True)
    lines = laptop.run("scripts/doctor node hospital-6", code=4).splitlines()
    wrong = [line for line in lines if line.startswith("WRONG")]
    assert len(wrong) == 1, lines
    assert "fl.example.org has no address" in wrong[0] or "nobody answers" in wrong[0]
    assert "identity: hospital-6, number 6 in the roster" in lines[1]
