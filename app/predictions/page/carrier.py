"""Carries a browser's bytes to the two online servers over the client's own links.

Decides: one pair of links a query, which ends with it, and that nothing but what the browser gave is sent. Refuses to
know: what the bytes mean. Masking, canaries and unmasking are the browser's (`page.js`).
"""

import threading
from dataclasses import dataclass
from typing import Final

from arithmetic.errors import ConfigError
from predictions.client import Kit, answer_bytes
from predictions.credentials import FIRST, SECOND
from predictions.errors import LinkFailed
from predictions.frames import Kind
from predictions.link import PATIENCE, Link
from predictions.messages import Ask
from predictions.primitives import KEY_BYTES
from predictions.program import Answer

ONLINE: Final = (FIRST, SECOND)
_MOST_OPEN: Final = 32


@dataclass(frozen=True)
class Carried:
    """What a server said.

    Args:
        content: its bytes.
        sent: bytes that went to it on the query's link so far, `received`: that came.
    """

    content: bytes
    sent: int
    received: int


@dataclass(frozen=True)
class _Open:
    link: Link
    ask: Ask


class Carrier:
    """The links of one client's kit.

    Args:
        kit: the client's.
        patience: seconds to wait for a server.
    """

    def __init__(self, kit: Kit, patience: float = 2 * PATIENCE) -> None:
        self._kit, self._patience = kit, patience
        self._open: dict[tuple[str, bytes], _Open] = {}
        self._lock = threading.Lock()

    def ask(self, party: str, query: bytes, answer: Answer, rows: int) -> Carried:
        """Ask a server for its sub-seed of a lot.

        Args:
            party: one of `ONLINE`.
            query: 16 bytes that the browser drew; the same to both servers.
            answer: logits or labels.
            rows: examples, canaries included.

        Raises:
            ConfigError: a count, which the page does not ask for, or a query that is open already.
            ChorusError: whatever the server answers, or that it cannot be reached.
        """
        if answer is Answer.COUNT:
            raise ConfigError("the page asks for logits or labels; count with predict evaluate")
        ask = Ask(self._kit.sharing.identifier, answer, rows)
        link = Link.connect(self._kit.servers[party], self._kit.credentials, party, self._patience)
        try:
            link.send(Kind.ASK, ask.to_bytes(), query)
            seed = bytes(link.receive({Kind.MASK: (KEY_BYTES, KEY_BYTES)}, query).payload)
            self._keep((party, query), _Open(link, ask))
        except BaseException:
            link.close()
            raise
        return Carried(seed, link.sent, link.received)

    def give(self, party: str, query: bytes, masked: bytes) -> Carried:
        """Give a server the masked input; its side of the answer.

        Raises:
            LinkFailed: the query is not open.
            ChorusError: as `ask`.
        """
        with self._lock:
            found = self._open.pop((party, query), None)
        if found is None:
            raise LinkFailed("this query has ended; ask again")
        with found.link as link:
            link.send(Kind.INPUT, masked, query)
            most = answer_bytes(self._kit.sharing.program, found.ask)
            content = bytes(link.receive({Kind.ANSWER: (0, most)}, query).payload)
            return Carried(content, link.sent, link.received)

    def close(self) -> None:
        """End all links."""
        with self._lock:
            left, self._open = list(self._open.values()), {}
        for one in left:
            one.link.close()

    def _keep(self, key: tuple[str, bytes], opened: _Open) -> None:
        with self._lock:
            if key in self._open:
                raise ConfigError("a query has this number already; reload the page")
            while len(self._open) >= _MOST_OPEN:  # left behind by pages that were closed
                self._open.pop(next(iter(self._open))).link.close()
            self._open[key] = opened
