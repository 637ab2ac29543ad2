"""The course of one session: each protocol round asked, heard and put on record.

Decides: that a reply that does not check costs its sender the session and nobody else, and what is told of a protocol
round. Every protocol round has its own deadline; r1's is the training deadline.
Refuses to know: which rounds follow which (`strategies.session`), and what is in a message.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

from flwr.app import RecordDict
from flwr.serverapp import Grid

from arithmetic.errors import ChorusError
from secagg.errors import Misbehaviour
from secagg.params import Session
from secagg.server.collection import Collection
from secagg.server.r4_unmasking import Unmasked
from strategies.events import Emit
from strategies.exchange import Refusal, exchange
from strategies.settings import Deadlines
from wire.records import message_in, record_bytes
from wire.rounds import ProtocolRound, Purpose, Trip

_TOLD_EVERY = 1.0  # seconds between two words on a protocol round that is under way
_NAMED = 5


@dataclass(frozen=True)
class SessionReport:
    """What one session cost and gave.

    Attributes:
        unmasked: the exact sum.
        completed: protocol round -> clients that completed it.
        bytes_up: payload bytes received; `bytes_down` sent.
        seconds: wall time.
    """

    unmasked: Unmasked
    completed: Mapping[ProtocolRound, int]
    bytes_up: int
    bytes_down: int
    seconds: float


@dataclass
class Line:
    """The line to the clients.

    Attributes:
        stopped: once set, no reply is waited for any more.
        expected: protocol round, or step of the ring -> seconds its last exchange took.
    """

    grid: Grid
    deadlines: Deadlines
    emit: Emit
    stopped: Event = field(default_factory=Event, kw_only=True)
    expected: dict[Trip, float] = field(default_factory=dict, kw_only=True)


class Course:
    """The running account of one session.

    Attributes:
        refusals: of the last protocol round: client -> why it was refused.
        purpose: what the session sums.
    """

    def __init__(self, line: Line, session: Session, purpose: Purpose) -> None:
        self.refusals: Mapping[int, str] = {}
        self._line = line
        self._session = session
        self.purpose = purpose
        self._started = time.monotonic()
        self._completed: dict[ProtocolRound, int] = {}
        self._up = self._down = 0

    def collect(
        self,
        protocol_round: ProtocolRound,
        collection: Collection,
        requests: Mapping[int, RecordDict],
        receive: Callable[[int, bytes], None],
    ) -> None:
        """Ask, fold every reply in as it arrives, and record who did not complete the round and why."""
        started, refused, up, told = time.monotonic(), dict[int, str](), 0, time.monotonic()
        self.refusals = refused
        down = sum(record_bytes(content) for content in requests.values())
        line, deadlines = self._line, self._line.deadlines
        training = protocol_round is ProtocolRound.SHARE_KEYS
        deadline = deadlines.training if training else deadlines.protocol_round
        replies = exchange(
            line.grid, requests, protocol_round, self._session.server_round, deadline, deadlines.poll_interval,
            line.expected.get(protocol_round, 0.0), line.stopped, line.emit,
        )  # fmt: skip
        for node, reply in replies:
            if isinstance(reply, Refusal):
                refused[node] = reply.reason
                continue
            up += record_bytes(reply)
            with self.dropping(node, refused):
                receive(node, message_in(reply))
            if time.monotonic() - told > _TOLD_EVERY:
                told = time.monotonic()
                self._tell(protocol_round, collection, len(requests), told - started)
        seconds = time.monotonic() - started
        if requests and not refused and not collection.missing:
            line.expected[protocol_round] = seconds
        self._up, self._down = self._up + up, self._down + down
        self._completed[protocol_round] = collection.heard
        missing = [node for node in collection.missing if node not in refused]
        self._line.emit(
            "protocol_round", server_round=self._session.server_round, purpose=self.purpose,
            protocol_round=protocol_round, asked=len(requests), answered=collection.heard, missing=missing,
            refused={str(node): reason for node, reason in refused.items()}, bytes_up=up, bytes_down=down,
            seconds=round(seconds, 3),
        )  # fmt: skip

    def _tell(
        self, protocol_round: ProtocolRound, collection: Collection, asked: int, seconds: float
    ) -> None:
        """How far a protocol round has come, for whoever watches."""
        self._line.emit(
            "protocol_round_underway", server_round=self._session.server_round, purpose=self.purpose,
            protocol_round=protocol_round, asked=asked, answered=collection.heard,
            waiting=[str(node) for node in collection.missing[:_NAMED]], seconds=round(seconds, 3),
        )  # fmt: skip

    def blame(self, culprit: int, code: str, reason: str) -> None:
        """Put a client's misbehaviour on record."""
        server_round = self._session.server_round
        self._line.emit("misbehaviour", server_round=server_round, culprit=culprit, code=code, reason=reason)

    @contextmanager
    def dropping(self, node: int, refused: dict[int, str]) -> Iterator[None]:
        """A reply that does not check drops its sender and nobody else."""
        try:
            yield
        except Misbehaviour as error:
            refused[node] = error.line
            self.blame(node, error.code, str(error))
        except ChorusError as error:
            refused[node] = error.line

    def report(self, unmasked: Unmasked) -> SessionReport:
        """The account, closed."""
        seconds = time.monotonic() - self._started
        return SessionReport(unmasked, self._completed, self._up, self._down, seconds)
