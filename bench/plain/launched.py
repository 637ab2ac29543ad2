"""Starts one run of one variant, simulated or deployed on loopback, and leaves its run directory.

Decides: how a variant's app tree is made, and that every process started is ended by id. Refuses to know what is
measured.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app import superlink
from app.processes import adopt_orphans, end_descendants

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = (
    "app",
    "strategies",
    "clients",
    "wire",
    "paillier",
    "secagg",
    "privacy",
    "arithmetic",
    "examples",
    "bench/plain",
)
BIN = Path(sys.executable).parent
_SERVER, _CLIENT = "app.server_app:app", "app.client_app:app"


@dataclass(frozen=True)
class Variant:
    """One app: its name in the output and its two components."""

    name: str
    server: str
    client: str


SECURE = Variant("secure", _SERVER, "bench.plain.secure_client:app")
PLAIN = Variant("plain", "bench.plain.server_app:app", "bench.plain.client_app:app")
FAST = Variant("plain, fast poll", "bench.plain.server_app:fast", "bench.plain.client_app:app")


@contextmanager
def tree_of(variant: Variant) -> Iterator[Path]:
    """A folder with the six packages, `bench.plain` and a pyproject that names the variant's components."""
    folder = Path(tempfile.mkdtemp(prefix="chorus-bench-"))
    try:
        tree = folder / "tree"
        for package in PACKAGES:
            shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("LICENSE", "README.md", "bench/__init__.py"):
            shutil.copy(ROOT / name, tree / name)
        project = (ROOT / "pyproject.toml").read_text()
        project = project.replace('"app/**/*.py",', '"app/**/*.py",\n    "bench/**/*.py",', 1)
        project = project.replace(_SERVER, variant.server).replace(_CLIENT, variant.client)
        (tree / "pyproject.toml").write_text(project)
        yield tree
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def simulate(variant: Variant, tree: Path, clients: int, rounds: int) -> Path:
    """One run through the launcher, as `scripts/run` does it; returns its run directory."""
    run_dir = tree.parent / "run"
    start = f"import sys; sys.path.insert(0, {str(tree)!r}); from app.cli import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", start, "run", "--quiet", "--runs-dir", str(run_dir)]
    for setting in _settings(clients, rounds):
        command += ["-c", setting]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        raise SystemExit(f"{variant.name}: the simulation failed: {done.stderr.strip()}")
    return next(run_dir.iterdir())


def deploy(variant: Variant, tree: Path, clients: int, rounds: int) -> Path:
    """One run on a real SuperLink with `clients` SuperNodes, all on 127.0.0.1; returns its run directory."""
    adopt_orphans()
    folder, run_dir = tree.parent, tree.parent / "run"
    run_dir.mkdir()
    link, *ports = free_ports(1 + clients)
    try:
        _start(
            folder, "link", "flower-superlink", "--insecure", "--isolation", "subprocess", "--host", "127.0.0.1",
            "--port", str(link), "--disable-runtime-dependency-installation",
        )  # fmt: skip
        _await_health(link)
        for number, port in enumerate(ports):
            _start(
                folder, f"node{number}", "flower-supernode", "--insecure", "--superlink", f"127.0.0.1:{link}",
                "--host", "127.0.0.1", "--port", str(port), "--node-config",
                f"partition-id={number} num-partitions={clients}",
            )  # fmt: skip
        table = f'[superlink.bench]\naddress = "127.0.0.1:{link}"\ninsecure = true\n'
        env = _environment(folder, "user")
        (folder / "user" / "config.toml").write_text(table)
        settings = " ".join([*_settings(clients, rounds), f"run-dir={json.dumps(str(run_dir))}"])
        done = subprocess.run(
            [str(BIN / "flwr"), "run", str(tree), "bench", "--stream", "-c", settings],
            env=env, cwd=folder / "empty", capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
    finally:
        end_descendants(5.0)
    if '"run_finished"' not in (run_dir / "events.jsonl").read_text():
        raise SystemExit(
            f"{variant.name}: the deployed run failed: {done.stdout[-2000:]}{done.stderr[-500:]}"
        )
    return run_dir


def _settings(clients: int, rounds: int) -> list[str]:
    return [f"clients={clients}", f"rounds={rounds}", "central-test=false", 'device="cpu"']


def _start(folder: Path, home: str, program: str, *arguments: str) -> None:
    env = _environment(folder, home)
    with (folder / f"{home}.log").open("wb") as log:
        subprocess.Popen(
            [str(BIN / program), *arguments],
            cwd=folder / "empty", env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip


def _environment(folder: Path, home: str) -> dict[str, str]:
    for path in (folder / home, folder / "empty"):
        path.mkdir(exist_ok=True)
    return superlink.environment(superlink.Home(folder / home, folder / "empty", folder / "ray"), os.environ)


def _await_health(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit("the SuperLink did not start")


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
