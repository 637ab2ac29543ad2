"""Our own SuperLink for one simulated run: a free port, an empty folder, nothing installed.

Why an own one (measured facts of Flower 1.41): `flwr run` takes whichever local SuperLink it finds;
workers import from the SuperLink's working directory before the app bundle; by default every run
installs dependencies from the network. This module decides flags, environment and readiness; it
refuses to know what will run on it.
"""

import contextlib
import http.client
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tomli_w

from arithmetic.errors import SetupError


class SuperLinkDown(SetupError):
    """Flower's SuperLink did not come up, or went away in mid-run."""


CONNECTION: Final = "chorus"

TEMPORARY: Final = "chorus-"  # then eight characters
# A socket's path has at most 104 (macOS) or 107 characters, and Ray's own part, with ours, takes 84.
_LONGEST_FOLDER: Final = 20
_START_DEADLINE: Final = 60.0
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class Home:
    """Folders of one Flower installation in use: none is shared with another run.

    `flower` is FLWR_HOME, `empty` the working directory of the SuperLink, `ray` Ray's files (a
    short path: Ray makes Unix sockets below it, whose names the system limits to about 100
    characters).
    """

    flower: Path
    empty: Path
    ray: Path


def temporary_folder() -> Path:
    """Where Ray's files go: the system's folder, or `/tmp` where that one's path leaves no room for a socket's name."""
    usual, short = Path(tempfile.gettempdir()), Path("/tmp")  # noqa: S108 - `mkdtemp` makes a folder of its own there
    fits = len(str(usual)) <= _LONGEST_FOLDER
    return usual if fits or not os.access(short, os.W_OK) else short


@contextlib.contextmanager
def temporary_home(inside: Path, *, keep: bool = False) -> Iterator[Home]:
    """Make the folders for one run, take them away after it (`keep` leaves Flower's)."""
    flower = inside / "flower"
    home = Home(flower, flower / "empty", Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=temporary_folder())))
    try:
        home.empty.mkdir(parents=True)
        yield home
    finally:
        shutil.rmtree(home.ray, ignore_errors=True)
        if not keep:
            shutil.rmtree(flower, ignore_errors=True)


def environment(home: Home, base: Mapping[str, str]) -> dict[str, str]:
    """Environment of every process of the run: quiet, and without paths into another tree."""
    dropped = ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONSAFEPATH", "VIRTUAL_ENV")
    kept = {
        name: value
        for name, value in base.items()
        if name not in dropped and not name.startswith(("FLWR_", "RAY_"))
    }
    return kept | {
        # SuperLink starts its helpers by name: they must be those of this interpreter.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), base.get("PATH", os.defpath)]),
        "FLWR_HOME": str(home.flower),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_TMPDIR": str(home.ray),
        # Ray's switch for a machine that joins no cluster: it then listens on loopback alone.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "PYTHONUNBUFFERED": "1",
        "NO_COLOR": "1",
    }


def start(home: Home, log: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a SuperLink, wait until it answers, and tell `flwr` of it as connection `chorus`.

    Everything that it and its children print goes to `log`.

    Raises:
        SuperLinkDown: it did not come up; the line names the log.
    """
    for _ in range(_ATTEMPTS):
        port = _free_port()
        process = _spawn(home, log, env, port)
        if _answers(process, port):
            _write_connection(home, port)
            return process
        if process.poll() is None:
            process.kill()
            process.wait()
            break
        # It ended by itself: most likely somebody took the port between our look and its bind.
    raise SuperLinkDown(f"Flower's SuperLink did not start on this machine; why is at the end of {log}")


def _spawn(home: Home, log: Path, env: Mapping[str, str], port: int) -> subprocess.Popen[bytes]:
    command = [
        str(Path(sys.executable).with_name("flower-superlink")),
        "--insecure",
        "--simulation",
        "--isolation=subprocess",
        "--host=127.0.0.1",
        f"--port={port}",
        "--disable-runtime-dependency-installation",
    ]
    if not Path(command[0]).exists():
        raise SetupError(f"{command[0]} is missing; run scripts/run, which installs what is needed")
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=home.empty,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    end = time.monotonic() + _START_DEADLINE
    while process.poll() is None and time.monotonic() < end:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/health")
            if connection.getresponse().status == http.client.OK:
                return process.poll() is None
        connection.close()
        time.sleep(0.05)
    return False


def _write_connection(home: Home, port: int) -> None:
    table = {
        "superlink": {
            "default": CONNECTION,
            CONNECTION: {"address": f"127.0.0.1:{port}", "insecure": True},
        }
    }
    (home.flower / "config.toml").write_text(tomli_w.dumps(table), encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
