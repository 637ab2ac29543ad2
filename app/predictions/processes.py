"""The three servers as processes of this machine, started and ended together.

Decides: that servers that were started are ended, by id, and that none is taken for up before it says so. Refuses to
know: what they do.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from arithmetic.errors import SetupError
from predictions.credentials import SERVERS
from predictions.link import Address

_START: Final = 60.0
_END: Final = 15.0
# Three servers share this machine: each computes with one thread.
_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass
class ServerProcess:
    """One of them.

    Args:
        folder: of its kit.
        options: of `predict serve`.
        say: takes its lines.
    """

    folder: Path
    options: Sequence[str]
    say: Callable[[str], None]
    process: "subprocess.Popen[str]" = field(init=False)
    up: threading.Event = field(default_factory=threading.Event, init=False)

    def __post_init__(self) -> None:
        command = [sys.executable, "-m", "app", "predict", "serve", str(self.folder), *self.options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
            env={**os.environ, **_ONE_THREAD},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait(self, seconds: float | None = None) -> int:
        """Wait for its end; the exit code.

        Raises:
            SetupError: it does not end in time.
        """
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise SetupError(
                f"the server of {self.folder} does not end; end process {self.process.pid}"
            ) from None
        self._reader.join(_END)
        return code

    def end(self) -> None:
        """End it, if need be by force."""
        self.process.terminate()
        try:
            self.process.wait(_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(_END)

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.say(line.rstrip())
            if " listens on " in line:
                self.up.set()
        self.up.set()


@contextlib.contextmanager
def running(
    folders: Sequence[Path], options: Sequence[str], say: Callable[[str], None]
) -> Iterator[list[ServerProcess]]:
    """Servers out of their kits, ended with the block.

    Args:
        folders: of kits.
        options: of `predict serve`.
        say: takes their lines.

    Raises:
        SetupError: one does not come up.
    """
    found: list[ServerProcess] = []
    try:
        found.extend(ServerProcess(folder, options, say) for folder in folders)
        for one in found:
            if not one.up.wait(_START) or one.process.poll() is not None:
                raise SetupError(f"the server of {one.folder} did not come up; its last lines say why")
        yield found
    finally:
        for one in found:
            one.end()


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that what it started is ended."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def free_addresses() -> dict[str, Address]:
    """Ports of loopback that nobody listens on, one for each server."""
    with contextlib.ExitStack() as stack:
        probes = {party: stack.enter_context(socket.socket()) for party in SERVERS}
        for probe in probes.values():
            probe.bind(("127.0.0.1", 0))
        return {party: Address("127.0.0.1", int(probe.getsockname()[1])) for party, probe in probes.items()}


def listens(address: Address) -> bool:
    """Whether anybody takes connections there."""
    try:
        with socket.create_connection((address.host, address.port), timeout=2):
            return True
    except OSError:
        return False
