"""Somebody on the wire: passes bytes between a party and a server, keeps them, and can cut a line."""

import contextlib
import socket
import threading
from dataclasses import dataclass, field

from predictions.link import Address


@dataclass
class _Line:
    """One connection, both ways."""

    ends: tuple[socket.socket, socket.socket]
    cut_after: int
    passed: list[bytes] = field(default_factory=list)

    def close(self) -> None:
        for end in self.ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class Relay:
    """Listens on a port of its own.

    Args:
        target: where everything goes.
    """

    def __init__(self, target: Address) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = Address("127.0.0.1", self._listening.getsockname()[1])
        self.cut_after = -1  # bytes after which the next line to be opened ends
        self._lines: list[_Line] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def passed(self) -> list[bytes]:
        """All bytes of all lines."""
        return [data for line in self._lines for data in line.passed]

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for line in self._lines:
            line.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
                far = socket.create_connection((self._target.host, self._target.port))
            except OSError:
                return
            line = _Line((near, far), self.cut_after)
            self.cut_after = -1
            self._lines.append(line)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pass, args=(line, source, sink), daemon=True).start()


def _pass(line: _Line, source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            line.passed.append(data)
            if 0 <= line.cut_after < sum(map(len, line.passed)):
                line.close()
                return
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
