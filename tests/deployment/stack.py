"""A real deployment on one machine, as it is documented: SuperLink with a database, SuperExec, SuperNodes.

Decides: which programs are started how, and that every process of theirs is found by the session it was started in,
so that it can be killed singly and is never left behind. The SuperLink runs in `--isolation process`: the ServerApp
belongs to a SuperExec of its own, so that either can die without the other.
Refuses to know: what is trained, and what a test makes of it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app import superlink
from app.processes import descendants
from app.run_directory import read_lines
from bench.plain.launched import free_ports

BIN = Path(sys.executable).parent
LINK, EXECUTOR = "link", "superexec"
SERVER_APP, CLIENT_APP, SUPER_EXEC = "flwr-serverapp", "flwr-clientapp", "flower-superexec"
_ENDED = ("run_finished", "run_failed")


def node_name(number: int) -> str:
    """The name under which SuperNode `number` was started."""
    return f"node{number}"


@dataclass
class Stack:
    """Programs in sessions of their own.

    Attributes:
        folder: everything that is written lies below it.
        nodes: SuperNodes.
        address: where the SuperLink listens; the nodes reach it there.
        inside: name of a program -> what its command line starts with (a network namespace, say).
        node_config: number of a node -> what is added to its `--node-config`.
    """

    folder: Path
    nodes: int = 3
    address: str = "127.0.0.1"
    inside: Callable[[str], Sequence[str]] = lambda name: ()
    node_config: Callable[[int], str] = lambda number: ""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _sessions: list[int] = field(default_factory=list)
    _ports: list[int] = field(default_factory=list)

    def start_all(self) -> None:
        """Start everything and tell `flwr` where the SuperLink is."""
        self._ports = free_ports(1 + self.nodes)
        self.start_link()
        self.start_executor()
        for number in range(self.nodes):
            self.start_node(number)
        table = f'[superlink.test]\naddress = "{self.address}:{self._ports[0]}"\ninsecure = true\n'
        self.environment("user")
        (self.folder / "user" / "config.toml").write_text(table)

    def start_link(self) -> None:
        """Start the SuperLink, or start it again on its database, and wait until it listens."""
        self.start(
            LINK, "flower-superlink", "--insecure", "--isolation", "process", "--host", self.address,
            "--port", str(self._ports[0]), "--database", str(self.folder / "link.db"),
            "--disable-runtime-dependency-installation",
        )  # fmt: skip
        self._await_link()

    def _await_link(self) -> None:
        """Wait until the SuperLink listens, as seen from its own host."""
        code = f"import socket; socket.create_connection(({self.address!r}, {self._ports[0]}), 1)"
        end = time.monotonic() + 60
        while subprocess.run(
            [*self.inside(LINK), sys.executable, "-S", "-c", code], stderr=subprocess.DEVNULL, check=False
        ).returncode:
            if self.running[LINK].poll() is not None or time.monotonic() > end:
                raise RuntimeError((self.folder / f"{LINK}.log").read_text())
            time.sleep(0.1)

    def start_executor(self) -> None:
        """Start the SuperExec that starts ServerApps."""
        self.start(
            EXECUTOR, SUPER_EXEC, "--insecure", "--runtime-api-address", f"{self.address}:{self._ports[0]}"
        )

    def start_node(self, number: int) -> None:
        """Start a SuperNode, which starts a SuperExec and that one ClientApps."""
        config = f"partition-id={number} num-partitions={self.nodes} {self.node_config(number)}"
        self.start(
            node_name(number), "flower-supernode", "--insecure", "--superlink",
            f"{self.address}:{self._ports[0]}", "--host", "127.0.0.1", "--port", str(self._ports[1 + number]),
            "--node-config", config,
        )  # fmt: skip

    def environment(self, home: str) -> dict[str, str]:
        """Of one program; each has a Flower home of its own."""
        for path in (self.folder / home, self.folder / "empty"):
            path.mkdir(exist_ok=True)
        homes = superlink.Home(self.folder / home, self.folder / "empty", self.folder / "ray")
        return superlink.environment(homes, os.environ)

    def start(self, name: str, program: str, *arguments: str) -> None:
        """Start one program; what it prints is appended to NAME.log."""
        env = self.environment(name)
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.inside(name), str(BIN / program), *arguments],
                cwd=self.folder / "empty", env=env, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self.running[name] = process
        self._sessions.append(process.pid)

    def processes(self, name: str, program: str) -> list[int]:
        """Living processes that `name` started, directly or not, and that run `program`."""
        root = self.running[name].pid
        found = {*descendants(root), *_in_session(root)}
        return sorted(pid for pid in found if program in _command(pid))

    def kill(self, name: str, program: str = "") -> bool:
        """SIGKILL the program called `name`, or those it started that run `program`.

        Returns:
            Whether there was anything to kill.
        """
        if program:
            found = self.processes(name, program)
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return bool(found)
        process = self.running[name]
        process.kill()
        process.wait(10)  # a zombie would still look alive to those that watch for their parent
        return True

    def submit(self, tree: Path, settings: str, run: str = "run") -> "Submitted":
        """Hand a run to the SuperLink; its run directory is `run` below the folder."""
        directory = self.folder / run
        directory.mkdir()
        text = f"{settings} run-dir={json.dumps(str(directory))}"
        done = self._flwr("run", str(tree), "test", "--format", "json", "-c", text)
        try:
            identifier = str(json.loads(done.stdout)["run-id"])
        except (ValueError, KeyError):
            raise RuntimeError(f"the run was not taken: {done.stdout}{done.stderr}") from None
        return Submitted(self, directory, identifier)

    def status(self, identifier: str) -> tuple[str, str]:
        """What Flower says of a run: its status and the details; empty when the SuperLink does not answer."""
        done = self._flwr("ls", "test", "--run-id", identifier, "--format", "json", timeout=20)
        try:
            run = json.loads(done.stdout)["runs"][0]
        except (ValueError, KeyError, IndexError):
            return "", done.stdout + done.stderr
        return str(run["status"]), str(run.get("status-details", ""))

    def _flwr(self, *arguments: str, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        command = [*self.inside("user"), str(BIN / "flwr"), *arguments]
        try:
            return subprocess.run(
                command, env=self.environment("user"), cwd=self.folder / "empty", capture_output=True, text=True,
                timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", "flwr did not answer")

    def stop(self) -> None:
        """End every process of every session that was started, orphans too."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + 3
            while self._signal_all(number) and time.monotonic() < end:
                time.sleep(0.1)
        for process in self.running.values():
            process.wait(10)

    def _signal_all(self, number: signal.Signals) -> list[int]:
        alive = {pid for root in self._sessions for pid in (*descendants(root), *_in_session(root))}
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        for process in self.running.values():
            process.poll()
        return sorted(alive)


@dataclass(frozen=True)
class Submitted:
    """One run that the SuperLink has taken."""

    stack: Stack
    directory: Path
    identifier: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it wrote so far."""
        return list(read_lines(self.directory / "events.jsonl"))

    def find(self, event: str, **fields: object) -> list[dict[str, Any]]:
        """Events of that name with those fields."""
        wanted = {"event": event, **fields}.items()
        return [
            line for line in self.events if wanted <= {k: v for k, v in line.items() if _plain(v)}.items()
        ]

    def await_event(self, looked_for: Callable[[list[dict[str, Any]]], bool], deadline: float) -> bool:
        """Whether the events came to satisfy `looked_for` within `deadline` seconds."""
        end = time.monotonic() + deadline
        while not looked_for(self.events):
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def await_end(self, deadline: float) -> str:
        """The last event's name, or what Flower says when the ServerApp is no more; "" when neither ended."""
        end = time.monotonic() + deadline
        while time.monotonic() < end:
            if (events := self.events) and events[-1]["event"] in _ENDED:
                return str(events[-1]["event"])
            alive = self.stack.processes(EXECUTOR, SERVER_APP)
            if (
                events
                and not alive
                and (status := self.stack.status(self.identifier)[0]).startswith("finished")
            ):
                return status
            time.sleep(0.2 if alive or not events else 3.0)
        return ""


@contextmanager
def running(stack: Stack) -> Iterator[Stack]:
    """The stack, started; stopped whatever happens."""
    try:
        stack.start_all()
        yield stack
    finally:
        stack.stop()


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool | None)


def _in_session(session: int) -> Iterator[int]:
    """Living processes of a session, orphans too."""
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with suppress(OSError):
            fields = Path("/proc", name, "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                yield int(name)


def _command(pid: int) -> str:
    """Path of the program's script, or its name: the first arguments only, since the later ones hold tokens."""
    with suppress(OSError):
        return " ".join(Path("/proc", str(pid), "cmdline").read_text(errors="replace").split("\0")[:2])
    return ""
