"""One session through Flower's grid: r0 where keys are missing, then r1, r2, r4.

Decides: the order of protocol rounds, what is asked of whom, and that a reply that does not check costs
its sender the session and nobody else. Every protocol round has its own deadline; r1's is the training
deadline.
Refuses to know: what the vector means, and which strategy wants the mean.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Protocol

from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.serverapp import Grid

from arithmetic.errors import ChorusError
from secagg.errors import CohortTooSmall, Misbehaviour
from secagg.keys import PublicKeys
from secagg.messages import InputMasked, KeysAdvertised, SharesRevealed, SharesSealed
from secagg.params import SESSION_BYTES, SecAggParams, Session
from secagg.server.collection import Collection
from secagg.server.r0_advertise_keys import KeyCollection
from secagg.server.r4_unmasking import Unmasked
from strategies.events import Emit
from strategies.exchange import Refusal, exchange
from strategies.settings import Deadlines
from wire.records import config_digest, message_in, model_digest, record_bytes, request_record
from wire.rounds import ProtocolRound, Purpose


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
class SessionDriver:
    """Drives sessions through `grid` and keeps the keys that clients sent ahead.

    Attributes:
        workers: threads that remove masks.
        stopped: once set, no reply is waited for any more.
        expected: protocol round -> seconds its last exchange took.
        carried: node id -> public keys for its next session; each is used once.
    """

    grid: Grid
    deadlines: Deadlines
    emit: Emit
    workers: int = 1
    stopped: Event = field(default_factory=Event)
    carried: dict[int, PublicKeys] = field(default_factory=dict)
    expected: dict[ProtocolRound, float] = field(default_factory=dict)

    def run(
        self,
        params: SecAggParams,
        nodes: Iterable[int],
        model: ArrayRecord,
        config: ConfigRecord,
        server_round: int,
        purpose: Purpose,
    ) -> SessionReport:
        """Run one session with `nodes`.

        Args:
            params: the session's parameters.
            nodes: Flower node ids asked to take part.
            model: the packed global model.
            config: the training configuration, the same for every client.
            server_round: from 1.
            purpose: what is summed.

        Raises:
            CohortTooSmall: too few clients completed a protocol round; nothing was unmasked. Says what most of
                those that refused gave as their reason.
            Unrecoverable: false shares; nothing was unmasked.
        """
        session = Session(os.urandom(SESSION_BYTES), server_round, params)
        course = _Course(self, session, purpose)
        self.emit(
            "session_opened", server_round=server_round, purpose=purpose, session=session.identifier.hex()
        )
        try:
            unmasked = self._rounds(course, KeyCollection(session, nodes), model, config)
        except CohortTooSmall as error:
            if course.refusals:
                commonest, _ = Counter(course.refusals.values()).most_common(1)[0]
                raise error.because(commonest) from None
            raise
        self.carried.update(unmasked.next_keys)
        return course.report(unmasked)

    def _rounds(
        self, course: "_Course", keys: KeyCollection, model: ArrayRecord, config: ConfigRecord
    ) -> Unmasked:
        """r0 where keys are missing, then r1, r2, r4."""
        params = keys.session.params
        course.take_keys(keys)
        shares, announced = keys.close(model_digest(model), config_digest(config))
        requests = {
            node: request_record(message.to_bytes(), model, config) for node, message in announced.items()
        }
        course.collect(
            ProtocolRound.SHARE_KEYS,
            shares,
            requests,
            lambda n, m: shares.receive(n, SharesSealed.from_bytes(m)),
        )
        inputs, delivered = shares.close()
        course.collect(
            ProtocolRound.MASKED_INPUT, inputs, _plain(delivered),
            lambda n, m: inputs.receive(n, InputMasked.from_bytes(m, params)),
        )  # fmt: skip
        recovery, survivors = inputs.close()
        course.collect(
            ProtocolRound.UNMASKING, recovery, _plain(survivors),
            lambda n, m: recovery.receive(n, SharesRevealed.from_bytes(m)),
        )  # fmt: skip
        for holder, owner in recovery.false_shares:
            reason = f"it revealed a share of client {owner} that is not the one it was dealt"
            course.blame(holder, "SHARE", reason)
        try:
            return recovery.close(self.workers)
        except Misbehaviour as error:
            course.blame(error.culprit, error.code, str(error))
            raise


class _Course:
    """The running account of one session."""

    def __init__(self, driver: SessionDriver, session: Session, purpose: Purpose) -> None:
        self._driver = driver
        self._session = session
        self._purpose = purpose
        self._started = time.monotonic()
        self._completed: dict[ProtocolRound, int] = {}
        self._up = self._down = 0
        self.refusals: Mapping[int, str] = {}

    def take_keys(self, keys: KeyCollection) -> None:
        """Use keys sent ahead; ask the other clients in r0. A fully carried session spends no trip on it."""
        for node in list(keys.missing):
            carried = self._driver.carried.pop(node, None)
            if carried is not None:
                with self._dropping(node, {}):
                    keys.receive(node, carried)
        invitation = keys.invitation.to_bytes()
        requests = {node: request_record(invitation, None, None) for node in keys.missing}
        self.collect(
            ProtocolRound.ADVERTISE_KEYS, keys, requests,
            lambda n, m: keys.receive(n, KeysAdvertised.from_bytes(m).keys),
        )  # fmt: skip

    def collect(
        self,
        protocol_round: ProtocolRound,
        collection: Collection,
        requests: Mapping[int, RecordDict],
        receive: Callable[[int, bytes], None],
    ) -> None:
        """Ask, fold every reply in as it arrives, and record who did not complete the round and why."""
        started, refused, up = time.monotonic(), dict[int, str](), 0
        self.refusals = refused
        down = sum(record_bytes(content) for content in requests.values())
        deadlines = self._driver.deadlines
        training = protocol_round is ProtocolRound.SHARE_KEYS
        deadline = deadlines.training if training else deadlines.protocol_round
        replies = exchange(
            self._driver.grid, requests, protocol_round, self._session.server_round, deadline,
            deadlines.poll_interval, self._driver.expected.get(protocol_round, 0.0),
            self._driver.stopped,
        )  # fmt: skip
        for node, reply in replies:
            if isinstance(reply, Refusal):
                refused[node] = reply.reason
                continue
            up += record_bytes(reply)
            with self._dropping(node, refused):
                receive(node, message_in(reply))
        if requests and not refused and not collection.missing:
            self._driver.expected[protocol_round] = time.monotonic() - started
        self._up, self._down = self._up + up, self._down + down
        self._completed[protocol_round] = collection.heard
        self._emit_round(
            protocol_round, collection, len(requests), refused, down, up, time.monotonic() - started
        )

    def blame(self, culprit: int, code: str, reason: str) -> None:
        """Put a client's misbehaviour on record."""
        server_round = self._session.server_round
        self._driver.emit(
            "misbehaviour", server_round=server_round, culprit=culprit, code=code, reason=reason
        )

    @contextmanager
    def _dropping(self, node: int, refused: dict[int, str]) -> Iterator[None]:
        """A reply that does not check drops its sender and nobody else."""
        try:
            yield
        except Misbehaviour as error:
            refused[node] = error.line
            self.blame(node, error.code, str(error))
        except ChorusError as error:
            refused[node] = error.line

    def _emit_round(
        self,
        protocol_round: ProtocolRound,
        collection: Collection,
        asked: int,
        refused: Mapping[int, str],
        down: int,
        up: int,
        seconds: float,
    ) -> None:
        self._driver.emit(
            "protocol_round",
            server_round=self._session.server_round,
            purpose=self._purpose,
            protocol_round=protocol_round,
            asked=asked,
            answered=collection.heard,
            missing=[node for node in collection.missing if node not in refused],
            refused={str(node): reason for node, reason in refused.items()},
            bytes_up=up,
            bytes_down=down,
            seconds=round(seconds, 3),
        )

    def report(self, unmasked: Unmasked) -> SessionReport:
        """The account, closed."""
        seconds = time.monotonic() - self._started
        return SessionReport(unmasked, self._completed, self._up, self._down, seconds)


class _Sendable(Protocol):
    def to_bytes(self) -> bytes: ...


def _plain(messages: Mapping[int, _Sendable]) -> dict[int, RecordDict]:
    """Requests; a message that goes to everybody is written once."""
    written: dict[int, RecordDict] = {}
    for message in messages.values():
        if id(message) not in written:
            written[id(message)] = request_record(message.to_bytes(), None, None)
    return {node: written[id(message)] for node, message in messages.items()}
