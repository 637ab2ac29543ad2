"""One session through Flower's grid: r0 where keys are missing, then r1, r2, r3 against an active server, r4.

Decides: the order of protocol rounds, what is asked of whom, and when keys that were sent ahead will do.
Refuses to know: what the vector means, which strategy wants the mean, and how a reply is waited for (`course`).
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from arithmetic.errors import ChorusError
from secagg.errors import CohortTooSmall, Misbehaviour
from secagg.messages import InputMasked, KeysAdvertised, SharesRevealed, SharesSealed, SurvivorsSigned
from secagg.params import SESSION_BYTES, SecAggParams, Session
from secagg.roster import Roster
from secagg.server.r0_advertise_keys import KeyCollection
from secagg.server.r2_masked_input import InputCollection
from secagg.server.r4_unmasking import ShareRecovery, Unmasked
from strategies.chronicle import Chronicle
from strategies.course import Course, Line, SessionReport
from wire.records import config_digest, model_digest, request_record
from wire.rounds import ProtocolRound, Purpose


@dataclass(frozen=True)
class SentAhead:
    """Keys for a client's next session, and the session with whose r4 they came."""

    session: bytes
    keys: KeysAdvertised


@dataclass
class SessionDriver(Line):
    """Drives sessions through `grid` and keeps the keys that clients sent ahead.

    Attributes:
        workers: threads that remove masks.
        roster: the federation's, where sessions are against an active server.
        chronicle: what goes on record.
        carried: node id -> public keys for its next session; each is used once.
    """

    workers: int = 1
    roster: Roster | None = None
    chronicle: Chronicle = field(default_factory=Chronicle)
    carried: dict[int, SentAhead] = field(default_factory=dict)

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
        course = Course(self, session, purpose)
        self.emit(
            "session_opened", server_round=server_round, purpose=purpose, session=session.identifier.hex()
        )
        try:
            keys = self._advertised(course, session, list(nodes))
            unmasked = self._rounds(course, keys, model, config)
        except ChorusError as error:
            self.chronicle.failed(session.identifier, error.code)
            if isinstance(error, CohortTooSmall) and course.refusals:
                commonest, _ = Counter(course.refusals.values()).most_common(1)[0]
                raise error.because(commonest) from None
            raise
        for node, sent in unmasked.next_keys.items():
            self.carried[node] = SentAhead(session.identifier, sent)
        return course.report(unmasked)

    def _advertised(self, course: Course, session: Session, nodes: list[int]) -> KeyCollection:
        """r0, for those whose keys were not sent ahead; a fully carried session spends no trip on it.

        In an active session keys have one origin for everybody, so that nobody takes old keys for new ones: either
        all sent theirs ahead with the same session, or all are asked anew.
        """
        sent = {node: self.carried.pop(node) for node in nodes if node in self.carried}
        ahead = b""
        if session.params.is_active:
            origins = {each.session for each in sent.values()}
            ahead = origins.pop() if len(origins) == 1 and len(sent) == len(nodes) else b""
            sent = sent if ahead else {}
        keys = KeyCollection(session, nodes, self.roster if session.params.is_active else None, ahead)
        for node, each in sent.items():
            with course.dropping(node, {}):
                keys.receive(node, each.keys)
        invitation = keys.invitation.to_bytes()
        asked = () if ahead else keys.missing
        course.collect(
            ProtocolRound.ADVERTISE_KEYS, keys, {node: request_record(invitation, None, None) for node in asked},
            lambda n, m: keys.receive(n, KeysAdvertised.from_bytes(m)),
        )  # fmt: skip
        return keys

    def _rounds(
        self, course: Course, keys: KeyCollection, model: ArrayRecord, config: ConfigRecord
    ) -> Unmasked:
        """r1, r2, r3 against an active server, r4."""
        shares, announced = keys.close(model_digest(model), config_digest(config))
        agreement = shares.agreement
        self.chronicle.session(keys, shares, config, course.purpose)
        requests = {
            node: request_record(message.to_bytes(), model, config) for node, message in announced.items()
        }
        course.collect(
            ProtocolRound.SHARE_KEYS, shares, requests,
            lambda n, m: shares.receive(n, SharesSealed.from_bytes(m)),
        )  # fmt: skip
        inputs, delivered = shares.close()
        self.chronicle.sharers(agreement, inputs)
        course.collect(
            ProtocolRound.MASKED_INPUT, inputs, _plain(delivered),
            lambda n, m: inputs.receive(n, InputMasked.from_bytes(m, keys.session.params)),
        )  # fmt: skip
        recovery, requested = self._survivors(course, inputs)
        course.collect(
            ProtocolRound.UNMASKING, recovery, requested,
            lambda n, m: recovery.receive(n, SharesRevealed.from_bytes(m)),
        )  # fmt: skip
        for holder, owner in recovery.false_shares:
            reason = f"it revealed a share of client {owner} that is not the one it was dealt"
            course.blame(holder, "SHARE", reason)
        try:
            unmasked = recovery.close(self.workers)
        except Misbehaviour as error:
            course.blame(error.culprit, error.code, str(error))
            raise
        self.chronicle.summed(agreement, recovery, unmasked)
        return unmasked

    def _survivors(
        self, course: Course, inputs: InputCollection
    ) -> tuple[ShareRecovery, dict[int, RecordDict]]:
        """The close of r2, and r3 in an active session: whom to ask what in r4."""
        if not inputs.agreement.session.params.is_active:
            recovery, requested = inputs.close()
            self.chronicle.survivors(inputs.agreement, recovery)
            return recovery, _plain(requested)
        signatures, announced = inputs.close_active()
        self.chronicle.survivors(inputs.agreement, signatures)
        course.collect(
            ProtocolRound.CONSISTENCY_CHECK, signatures, _plain(announced),
            lambda n, m: signatures.receive(n, SurvivorsSigned.from_bytes(m)),
        )  # fmt: skip
        recovery, requested = signatures.close()
        return recovery, _plain(requested)


class _Sendable(Protocol):
    def to_bytes(self) -> bytes: ...


def _plain(messages: Mapping[int, _Sendable]) -> dict[int, RecordDict]:
    """Requests; a message that goes to everybody is written once."""
    written: dict[int, RecordDict] = {}
    for message in messages.values():
        if id(message) not in written:
            written[id(message)] = request_record(message.to_bytes(), None, None)
    return {node: written[id(message)] for node, message in messages.items()}
