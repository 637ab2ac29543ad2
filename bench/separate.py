"""A side of `bench.session` in a process of its own, so that its memory is its own: frames on stdin and stdout.

Decides: the frames (a number, a length, bytes), and that a process's peak is `VmHWM` of /proc/self/status: the whole
process with its interpreter, and nothing of the one that started it (`ru_maxrss` outlives exec).
Refuses to know: what a side does with the bytes.

    python -m bench.separate server|client        started by `SeparateServer` and `SeparateClient`, never by hand
"""

import json
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, cast

from bench.session import Client, Requests, Server, Spent
from secagg.params import SecAggParams

ROOT = Path(__file__).resolve().parent.parent
_HEAD = struct.Struct(">IQ")
# Numbers of the frames that are no client's; clients are 1..2^20.
_NOBODY, _CLOSE, _REPORT = 0, 2**32 - 1, 2**32 - 2


def send(stream: IO[bytes], number: int, data: bytes | memoryview = b"") -> None:
    """One frame."""
    stream.write(_HEAD.pack(number, len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[int, memoryview]:
    """The next frame, read into a buffer of its own size.

    Raises:
        SystemExit: the other process ended.
    """
    number, size = _HEAD.unpack(_exactly(stream, _HEAD.size))
    return number, _exactly(stream, size)


def _exactly(stream: IO[bytes], size: int) -> memoryview:
    buffer = memoryview(bytearray(size))
    at = 0
    while at < size:
        read = stream.readinto(buffer[at:])  # type: ignore[attr-defined]
        if not read:
            raise SystemExit("the other process ended in the middle of a session; its own words stand above")
        at += read
    return buffer


def peak_megabytes() -> float:
    """Most memory this process ever held, in 10^6 bytes.

    Raises:
        SystemExit: a system that does not tell.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError as error:
        raise SystemExit("peaks of memory are read from /proc, which this system lacks; use Linux") from error
    told = next(line for line in lines if line.startswith("VmHWM:"))
    return int(told.split()[1]) * 1024 / 1e6


@dataclass(frozen=True)
class Report:
    """What a side's process says of itself at the end.

    Attributes:
        idle: its peak before any work, interpreter and imports, in 10^6 bytes.
        peak: its peak at the end, in 10^6 bytes.
        spent: what the side spent.
    """

    idle: float
    peak: float
    spent: Spent


class Separate:
    """The process of one side; it ends when it reports, or when whoever started it does."""

    def __init__(self, side: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.separate", side],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._to, self._from = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)

    @cached_property
    def report(self) -> Report:
        """Asked for once; no other frame may follow."""
        send(self._to, _REPORT)
        told = json.loads(bytes(receive(self._from)[1]))
        self._to.close()
        self._from.close()
        self._process.wait()
        return Report(told["idle"], told["peak"], Spent(**told["spent"]))

    @property
    def spent(self) -> Spent:
        """All protocol rounds together."""
        return self.report.spent


class SeparateServer(Separate):
    """The server's side in a process of its own."""

    def __init__(self, params: SecAggParams) -> None:
        super().__init__("server")
        send(self._to, _NOBODY, params.to_bytes())

    def begin(self) -> Requests:
        """Invitations."""
        return self._requests()

    def receive(self, client: int, data: bytes | memoryview) -> None:
        """Hand one reply on."""
        send(self._to, client, data)

    def close(self) -> Requests:
        """End the protocol round."""
        send(self._to, _CLOSE)
        return self._requests()

    def _requests(self) -> Requests:
        requests: Requests = {}
        while (frame := receive(self._from))[0] != _CLOSE:
            requests[frame[0]] = frame[1]
        return requests


class SeparateClient(Separate):
    """One client's side in a process of its own."""

    def __init__(self) -> None:
        super().__init__("client")

    def answer(self, data: bytes | memoryview) -> memoryview:
        """The reply of the process."""
        send(self._to, _NOBODY, data)
        return receive(self._from)[1]


@dataclass(frozen=True)
class SeparateClients:
    """Starts clients, each in a process of its own.

    Attributes:
        started: all of them.
    """

    started: list[SeparateClient] = field(default_factory=list)

    def __call__(self) -> SeparateClient:
        """One more."""
        self.started.append(SeparateClient())
        return self.started[-1]


def _serve(source: IO[bytes], sink: IO[bytes]) -> Spent:
    server = Server(SecAggParams.from_bytes(bytes(receive(source)[1])))
    requests = server.begin()
    while True:
        for client, data in requests.items():
            send(sink, client, data)
        send(sink, _CLOSE)
        while (number := _hear(source, server)) not in (_CLOSE, _REPORT):
            pass
        if number == _REPORT:
            return server.spent
        requests = server.close()


def _hear(source: IO[bytes], server: Server) -> int:
    """Hand a reply to the server; no reply outlives this call, so one is held at a time."""
    number, data = receive(source)
    if number not in (_CLOSE, _REPORT):
        server.receive(number, data)
    return number


def _take_part(source: IO[bytes], sink: IO[bytes]) -> Spent:
    client = Client()
    while (frame := receive(source))[0] != _REPORT:
        send(sink, _NOBODY, client.answer(frame[1]))
    return client.spent


def main() -> None:
    """Be one side until the other asks for the report."""
    idle = peak_megabytes()
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    spent = (_serve if sys.argv[1] == "server" else _take_part)(source, sink)
    report = {"idle": idle, "peak": peak_megabytes(), "spent": vars(spent)}
    send(sink, _REPORT, json.dumps(report).encode())


if __name__ == "__main__":
    main()
