"""A link: frames over mutual TLS, and both directions at once without waiting on each other.

Decides: that there are no small packets held back (TCP_NODELAY), how long a party waits, how a message too large for
the sockets' buffers is sent while the other side sends as much, and that whatever breaks is a `LinkFailed`. Refuses to
know: what frames are about.

A link that failed is closed and never used again: nothing that was on its way is taken up by the next one.
"""

import json
import os
import select
import socket
import ssl
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from arithmetic.errors import ChorusError
from predictions.credentials import Credentials, party_of
from predictions.errors import FrameRejected, LinkFailed, PredictionRange, QueryRefused
from predictions.frames import HELLO_BYTES, NO_QUERY, Expected, Frame, Kind, Opener, Sealer, hello

Payload = bytes | bytearray | memoryview
PATIENCE: Final = 10.0
FOREVER: Final = 7 * 86_400.0  # an idle link; TCP's own probes find a peer that is gone
_AT_ONCE: Final = 32 << 10  # bytes that sockets hold on any system: sent before anything is read
_MOST_WHY: Final = 1024
_HANDSHAKE: Final = 5.0
_TOLD: Final = {one.__name__: one for one in (LinkFailed, FrameRejected, QueryRefused, PredictionRange)}
_FAILURE: Final = {Kind.FAILED: (2, _MOST_WHY)}


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int


class Link:
    """One connection between two parties.

    Args:
        connection: after the handshake.
        initiator: whether this side opened it.
        patience: seconds that this side waits for the next bytes.

    Raises:
        LinkFailed: the peer names no party, or went away.
        FrameRejected: it speaks another version.
    """

    def __init__(self, connection: ssl.SSLSocket, *, initiator: bool, patience: float = PATIENCE) -> None:
        self._connection = connection
        self._patience = patience
        self.peer = party_of(connection.getpeercert())
        self.sent = self.received = 0
        mine, theirs = hello(os.urandom(32)), bytearray(HELLO_BYTES)
        self._write(memoryview(mine))
        self._fill(memoryview(theirs), self._end(None))
        if theirs[:4] != mine[:4]:
            self.close()
            raise FrameRejected(f"{self.peer} speaks another version; run one version on all machines")
        secret = mine[4:] + theirs[4:] if initiator else theirs[4:] + mine[4:]
        ways = ("forth", "back") if initiator else ("back", "forth")
        self._sealer, self._opener = Sealer(bytes(secret), ways[0]), Opener(bytes(secret), ways[1])

    @classmethod
    def connect(
        cls, address: Address, credentials: Credentials, party: str, patience: float = PATIENCE
    ) -> Self:
        """Open a link to a party.

        Raises:
            LinkFailed: it cannot be reached, or another party answers.
        """
        raw = None
        try:
            raw = socket.create_connection((address.host, address.port), timeout=patience)
            _prepare(raw)
            link = cls(credentials.connecting.wrap_socket(raw), initiator=True, patience=patience)
        except OSError as error:
            if raw is not None:
                raw.close()
            raise LinkFailed(
                f"{party} at {address.host}:{address.port} cannot be reached ({_reason(error)}); "
                "start it, or wait until it is back"
            ) from None
        if link.peer != party:
            link.close()
            raise LinkFailed(f"{link.peer} answered at the address of {party}; correct the kit's addresses")
        return link

    @classmethod
    def accept(cls, raw: socket.socket, credentials: Credentials, patience: float = PATIENCE) -> Self:
        """Take a connection that another party opened.

        Raises:
            LinkFailed: its handshake fails.
        """
        try:
            raw.settimeout(min(patience, _HANDSHAKE))
            _prepare(raw)
            wrapped = credentials.listening.wrap_socket(raw, server_side=True)
            return cls(wrapped, initiator=False, patience=patience)
        except OSError as error:
            raw.close()
            raise LinkFailed(f"a connection was not taken ({_reason(error)})") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def idle_and_open(self) -> bool:
        """Whether nothing has come since the last frame: on a link between queries, whatever comes is its end."""
        if self._connection.fileno() < 0:
            return False
        return not self._connection.pending() and not select.select([self._connection], [], [], 0)[0]

    def fileno(self) -> int:
        """For `select.poll`; -1 once closed."""
        return self._connection.fileno()

    def close(self) -> None:
        """End the link; never raises. A thread that waits on it wakes up."""
        with suppress(OSError):
            # Not that of SSLSocket: it would leave an open socket without TLS to a thread that is about to send.
            socket.socket.shutdown(self._connection, socket.SHUT_RDWR)
        with suppress(OSError):
            self._connection.close()

    def await_bytes(self) -> None:
        """Wait, without touching TLS, until something comes or the link ends; another thread may send meanwhile."""
        with suppress(OSError, ValueError):
            if not self._connection.pending():
                select.select([self._connection], [], [])

    def send(self, kind: Kind, payload: Payload = b"", query: bytes = NO_QUERY, step: int = 0) -> None:
        """Send one frame.

        Raises:
            LinkFailed: the other side is gone, or reads nothing for as long as the patience lasts.
        """
        self._write(memoryview(self._sealer.seal(kind, query, step, memoryview(payload))))

    def fail(self, error: ChorusError, query: bytes = NO_QUERY) -> None:
        """Tell the other side why there will be no other frame; never raises."""
        kind = type(error).__name__ if type(error).__name__ in _TOLD else LinkFailed.__name__
        why = str(error) if error.shareable else "the query failed; ask again"
        try:
            self.send(Kind.FAILED, json.dumps({"kind": kind, "why": why[:300]}).encode(), query)
        except LinkFailed:
            return

    def receive(
        self,
        expected: Expected,
        query: bytes | None = None,
        step: int | None = None,
        patience: float | None = None,
    ) -> Frame:
        """Wait for one frame.

        Args:
            expected: kinds that may come, least and largest length of each.
            query: whose frame it must be; None for any.
            step: which of the query's; None for any.
            patience: seconds for all of it; None for the link's.

        Raises:
            FrameRejected: it is not what is expected; the link is closed.
            LinkFailed: it does not come; the link is closed.
            ChorusError: the other side says why there is none.
        """
        end = self._end(patience)
        reading = self._reading(expected, query, step)
        try:
            view = next(reading)
            while True:
                self._fill(view, end)
                view = reading.send(None)
        except StopIteration as stop:
            return _told(stop.value)

    def exchange(self, payload: Payload, query: bytes, step: int) -> memoryview:
        """Send one step's message while the peer's, which is as long, comes in.

        Raises:
            FrameRejected, LinkFailed, ChorusError: as `receive`.
        """
        length = len(payload)
        expected = {Kind.EXCHANGE: (length, length)}
        if length <= _AT_ONCE:
            self.send(Kind.EXCHANGE, payload, query, step)
            return self.receive(expected, query, step).payload
        out = memoryview(self._sealer.seal(Kind.EXCHANGE, query, step, payload))
        return _told(self._both_ways(out, self._reading(expected, query, step))).payload

    def _reading(
        self, expected: Expected, query: bytes | None, step: int | None
    ) -> Generator[memoryview, None, Frame]:
        try:
            return (yield from self._opener.reading({**expected, **_FAILURE}, query, step))
        except FrameRejected:
            self.close()
            raise

    def _both_ways(self, out: memoryview, reading: Generator[memoryview, None, Frame]) -> Frame:
        """Write `out` and read a frame, whichever goes on; one thread, as one TLS connection must have."""
        self._connection.settimeout(0)
        incoming = next(reading)
        try:
            while True:
                put, got = self._put(out) if out else 0, self._take(incoming)
                out, incoming = out[put:], incoming[got:]
                if not incoming:
                    incoming = reading.send(None)
                elif not put + got:
                    self._wait(writing=bool(out))
        except StopIteration as stop:
            frame: Frame = stop.value
        except (OSError, ValueError) as error:
            raise self._broken(error) from None
        self._end(None)
        if frame.kind is not Kind.FAILED:
            self._write(out)
        return frame

    def _put(self, out: memoryview) -> int:
        try:
            count = self._connection.send(out)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        self.sent += count
        return count

    def _take(self, incoming: memoryview) -> int:
        try:
            count = self._connection.recv_into(incoming)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        if not count:
            raise ConnectionResetError("closed")
        self.received += count
        return count

    def _wait(self, *, writing: bool) -> None:
        poll = select.poll()
        poll.register(self._connection, select.POLLIN | (select.POLLOUT if writing else 0))
        if not poll.poll(self._patience * 1000):
            raise TimeoutError("timed out")

    def _end(self, patience: float | None) -> float:
        wanted = self._patience if patience is None else patience
        if self._connection.gettimeout() != wanted:
            with suppress(OSError):  # closed meanwhile: the next read says so
                self._connection.settimeout(wanted)
        return time.monotonic() + wanted

    def _fill(self, view: memoryview, end: float) -> None:
        try:
            while view:
                count = self._connection.recv_into(view)
                if not count:
                    raise ConnectionResetError("closed")
                self.received += count
                view = view[count:]
                if view and time.monotonic() > end:
                    raise TimeoutError("timed out")
        except (OSError, ValueError) as error:
            raise self._broken(error) from None

    def _write(self, data: memoryview) -> None:
        try:
            self._connection.sendall(data)
        except (OSError, ValueError) as error:
            raise self._broken(error) from None
        self.sent += len(data)

    def _broken(self, error: Exception) -> LinkFailed:
        self.close()
        return LinkFailed(
            f"the link with {self.peer} broke ({_reason(error)}); ask again when all servers are up"
        )


def _prepare(raw: socket.socket) -> None:
    """Send at once, and find within half a minute that an idle peer's machine is gone."""
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):  # not on every system; its own default of hours stands there
            raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _told(frame: Frame) -> Frame:
    """The frame; where it says why there is none, that is raised."""
    if frame.kind is not Kind.FAILED:
        return frame
    try:
        found = json.loads(bytes(frame.payload))
        kind, why = _TOLD[found["kind"]], "".join(c for c in str(found["why"])[:300] if c.isprintable())
    except (ValueError, KeyError, TypeError):
        kind, why = LinkFailed, "the other side failed and did not say why; ask again"
    raise kind(why)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'ended'}"
    return getattr(error, "strerror", None) or "it was closed"
