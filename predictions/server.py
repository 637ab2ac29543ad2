"""What the three servers have in common: a door, a part of a model that outlives a restart, the owner's orders, an end.

Decides: what the owner may do (share, look, shut down), that a part is kept before it is acknowledged, and that a
server that ends lets running queries finish. Refuses to know: what a server does for clients and for the other
servers, and where its files lie.
"""

import json
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from arithmetic.errors import ChorusError
from predictions.credentials import OWNER, Credentials
from predictions.errors import QueryRefused
from predictions.frames import Kind
from predictions.link import FOREVER, PATIENCE, Address, Link
from predictions.listening import Listener
from predictions.sharing import MOST_OFFER, MOST_PART, Keeper, Part, Sharing

PART: Final = "part"
_MINUTE: Final = 60.0


@dataclass(frozen=True)
class Place:
    """Where and as whom a server runs.

    Args:
        party: one of `credentials.SERVERS`.
        listen: where; port 0 takes a free one.
        peers: addresses of the servers, by party.
        credentials: its own.
        keeper: of its files.
        say: takes a line for the log; no line holds anything secret.
        patience: seconds that a query waits for another party.
    """

    party: str
    listen: Address
    peers: dict[str, Address]
    credentials: Credentials
    keeper: Keeper
    say: Callable[[str], None]
    patience: float = PATIENCE

    def connect(self, party: str) -> Link:
        """Open a link to another server.

        Raises:
            LinkFailed: it cannot be reached.
        """
        return Link.connect(self.peers[party], self.credentials, party, self.patience)


class Server(ABC):
    """One of the three; `open`, then `wait`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._counts: Counter[str] = Counter()
        self._said: dict[str, float] = {}
        self._lock = threading.Lock()
        self.ending = threading.Event()
        self._listener: Listener | None = None
        self._installing = threading.Lock()

    @abstractmethod
    def install(self, part: Part) -> None:
        """Take a part of a model in place of the one before; whatever belonged to that one ends.

        Raises:
            FrameRejected: it is no part of this program, or not this server's.
        """

    @abstractmethod
    def attend(self, link: Link) -> None:
        """Serve a link of anybody but the owner, until it ends."""

    @abstractmethod
    def finish(self) -> None:
        """Let what runs come to its end; called once, when no new query may start."""

    def open(self) -> int:
        """Take up the part that was kept, and listen; the port.

        Raises:
            SetupError: the address or the certificates cannot be used.
            FrameRejected: what was kept cannot be read.
        """
        kept = self.place.keeper.read(PART)
        if kept is not None:
            part = Part.from_bytes(kept)
            self.install(part)
            self.place.say(f"{self.place.party}: has its part of model {part.sharing.name}")
        self._listener = Listener(
            self.place.listen, self.place.credentials, self.place.patience, self._attend
        )
        self.place.say(f"{self.place.party}: listens on {self.place.listen.host}:{self._listener.port}")
        return self._listener.port

    def wait(self) -> None:
        """Serve until `ending` is set, then end cleanly."""
        self.ending.wait()
        self.finish()
        if self._listener is not None:
            self._listener.close()
        self.place.say(f"{self.place.party}: ended")

    def count(self, name: str, by: int = 1) -> int:
        """Add to a count that the owner can see; what it comes to."""
        with self._lock:
            self._counts[name] += by
            return self._counts[name]

    def complain(self, line: str) -> None:
        """Log what went wrong; the same line at most once a minute, however often it does."""
        now = time.monotonic()
        with self._lock:
            self._said = {said: when for said, when in self._said.items() if now - when < _MINUTE}
            new = line not in self._said
            self._said.setdefault(line, now)
        if new:
            self.place.say(f"{self.place.party}: {line}")

    def drop_links(self, *parties: str) -> None:
        """End the links that parties opened."""
        if self._listener is not None:
            self._listener.end_links(*parties)

    def _attend(self, link: Link) -> None:
        try:
            if link.peer == OWNER:
                self._attend_owner(link)
            else:
                self.attend(link)
        except ChorusError as error:
            link.fail(error)
            # A party that hangs up is none of the log's business.
            if link.fileno() >= 0:
                self.complain(f"{link.peer}: {error.line}")

    def _attend_owner(self, link: Link) -> None:
        asked = {Kind.OFFER: (2, MOST_OFFER), Kind.STATUS: (0, 0), Kind.SHUTDOWN: (0, 0)}
        while True:
            frame = link.receive(asked, patience=FOREVER)
            if frame.kind is Kind.OFFER:
                self._take_part(link, Sharing.from_bytes(frame.payload))
                link.send(Kind.DONE)
            elif frame.kind is Kind.STATUS:
                link.send(Kind.DONE, json.dumps(dict(sorted(self._counts.items()))).encode())
            else:
                self.place.say(f"{self.place.party}: the owner shuts it down")
                link.send(Kind.DONE)
                self.ending.set()
                return

    def _take_part(self, link: Link, sharing: Sharing) -> None:
        length = self.part_bytes(sharing)
        if length > MOST_PART:
            raise QueryRefused(f"a part of {length} bytes is more than a server keeps; share a smaller model")
        link.send(Kind.DONE)
        content = bytes(link.receive({Kind.SHARE: (length, length)}, patience=6 * PATIENCE).payload)
        part = Part(sharing, content)
        with self._installing:
            self.install(part)
            self.place.keeper.write(PART, part.to_bytes())
        self.place.say(f"{self.place.party}: was given its part of model {sharing.name}, {length} bytes")

    @abstractmethod
    def part_bytes(self, sharing: Sharing) -> int:
        """Length of this server's part of a model of this program."""
