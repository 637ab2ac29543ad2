"""Servers that attack, in the place of the strategy's own: they hold all that a real one would.

A `MaliciousServer` is asked for a session by the real strategy, talks to real clients through the grid, reads every
reply, writes every request, may open as many sessions as it likes and knows what the clients that collude with it
know. A subclass, named after its attack, changes what one client is told; without changes the course is an honest one.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from arithmetic.errors import ChorusError
from secagg.errors import CohortTooSmall
from secagg.graph import _order
from secagg.messages import (
    CohortAnnounced,
    InputMasked,
    Invitation,
    KeysAdvertised,
    SharesDelivered,
    SharesRevealed,
    SharesSealed,
    SurvivorsAnnounced,
    SurvivorsSigned,
    UnmaskingRequested,
)
from secagg.params import SESSION_BYTES, Agreement, SecAggParams, Session
from secagg.primitives import DIGEST_BYTES
from secagg.server.r0_advertise_keys import KeyCollection
from strategies.course import SessionReport
from strategies.groups import Groups
from tests.support.loot import Loot
from tests.support.run import Trial
from wire.records import config_digest, message_in, model_digest, request_record
from wire.rounds import ProtocolRound, Purpose

R0, R1, R2, R3, R4 = ProtocolRound
Sendable = Invitation | CohortAnnounced | SharesDelivered | SurvivorsAnnounced | UnmaskingRequested


class MaliciousServer:
    """The honest course, told by a server that keeps everything.

    Attributes:
        loot: of every session it opened.
        answers: (protocol round, node) -> bytes of the last reply, or the code of the last refusal.
        indices: node -> index, of the session under way.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial, self.grid = trial, trial.grid
        self.nodes = list(trial.grid.ids)
        self.loot: list[Loot] = []
        self.answers: dict[tuple[ProtocolRound, int], bytes | str] = {}
        self.indices: dict[int, int] = {}
        self.server_round = 1
        groups = Groups(trial.grid, trial.settings, trial.emit)
        groups._drivers = [self]  # type: ignore[list-item]
        trial.strategy._groups = groups

    def strike(self, server_round: int = 1) -> "MaliciousServer":
        """Let the strategy ask for a training session; gives itself, for what came of it."""
        self.trial.session(server_round)
        return self

    def run(
        self,
        params: SecAggParams,
        nodes: Iterable[int],
        model: ArrayRecord,
        config: ConfigRecord,
        server_round: int,
        purpose: Purpose,
    ) -> SessionReport:
        """What the strategy calls; there is never a report."""
        self.params, self.model, self.config = params, model, config
        self.server_round = server_round
        self.nodes = sorted(nodes)
        self.attack()
        raise CohortTooSmall("were spared", 0, params.min_survivors)

    def attack(self) -> None:
        """All it does."""
        self.play(os.urandom(SESSION_BYTES))

    def play(self, identifier: bytes) -> Loot | None:
        """One session, as far as the clients go along; None when not even the keys sufficed."""
        announced = self.cohort(Session(identifier, self.server_round, self.params))
        if announced is None:
            return None
        self.share(announced)
        self.deliver()
        self.tell()
        self.demand()
        return self.loot[-1]

    # The five protocol rounds. What a client is told goes through one of the methods below.

    def cohort(self, session: Session) -> dict[int, CohortAnnounced] | None:
        """r0, and the cohort that an honest server would announce."""
        keys = KeyCollection(session, self.nodes, self.trial.settings.roster)
        for node, reply in self.ask(R0, {node: Invitation(session) for node in self.nodes}).items():
            try:
                keys.receive(node, KeysAdvertised.from_bytes(reply))
            except ChorusError as error:
                self.answers[R0, node] = error.code
        try:
            shares, announced = keys.close(model_digest(self.model), config_digest(self.config))
        except CohortTooSmall:
            return None
        self.indices = shares.indices
        self.loot.append(Loot(self.agreement(shares.agreement), dict(shares._keys)))
        return announced

    def agreement(self, honest: Agreement) -> Agreement:
        """What most clients are to agree on."""
        return honest

    def share(self, announced: Mapping[int, CohortAnnounced]) -> None:
        """r1."""
        requests = {node: self.cohort_for(node, message) for node, message in announced.items()}
        replies = self.ask(R1, {n: m for n, m in requests.items() if m is not None})
        for node, reply in replies.items():
            self.loot[-1].sealed[self.indices[node]] = SharesSealed.from_bytes(reply)

    def deliver(self) -> None:
        """r2."""
        loot, requests = self.loot[-1], {}
        for node, index in self.indices.items():
            if index in loot.sealed:
                mine = {s: m.sealed[index] for s, m in loot.sealed.items() if index in m.sealed}
                honest = SharesDelivered(self.identifier, len(self.indices), frozenset(loot.sealed), mine)
                requests[node] = self.delivered_for(node, honest)
        for node, reply in self.ask(R2, requests).items():
            loot.vectors[self.indices[node]] = InputMasked.from_bytes(reply, self.params)

    def tell(self) -> None:
        """r3."""
        loot, requests = self.loot[-1], {}
        for node, index in self.indices.items():
            if index in loot.vectors:
                told = SurvivorsAnnounced(self.identifier, len(self.indices), self.survivors_for(index))
                requests[node] = told
        for node, reply in self.ask(R3, requests).items():
            loot.signatures[self.indices[node]] = SurvivorsSigned.from_bytes(reply).signature

    def demand(self) -> None:
        """r4."""
        loot = self.loot[-1]
        for node, index in self.indices.items():
            if index in loot.signatures:
                self.demand_of(node, self.unmasking_for(index))

    def demand_of(self, node: int, request: UnmaskingRequested) -> None:
        """r4 at one client."""
        for reply in self.ask(R4, {node: request}).values():
            self.loot[-1].take(self.indices[node], SharesRevealed.from_bytes(reply))

    # What one client is told.

    def cohort_for(self, node: int, honest: CohortAnnounced) -> CohortAnnounced | RecordDict | None:
        """r1's request, with another model if it is a record; None for none."""
        return honest

    def delivered_for(self, node: int, honest: SharesDelivered) -> SharesDelivered:
        """r2's request."""
        return honest

    def survivors_for(self, index: int) -> frozenset[int]:
        """Who survived, as r3 says."""
        return frozenset(self.loot[-1].vectors)

    def signatures_for(self, index: int) -> dict[int, bytes]:
        """The signatures that r4 shows."""
        mine = self.survivors_for(index)
        return {
            i: s for i, s in self.loot[-1].signatures.items() if i in mine and self.survivors_for(i) == mine
        }

    def unmasking_for(self, index: int) -> UnmaskingRequested:
        """r4's request."""
        return UnmaskingRequested(
            self.identifier, len(self.indices), self.survivors_for(index), self.signatures_for(index)
        )

    # Means.

    @property
    def identifier(self) -> bytes:
        """Of the session under way."""
        return self.loot[-1].agreement.session.identifier

    def ask(
        self, protocol_round: ProtocolRound, requests: Mapping[int, Sendable | RecordDict], group: str = ""
    ) -> dict[int, bytes]:
        """Send requests through the grid; the replies that are no refusals."""
        messages = [
            Message(
                self._written(each),
                node,
                protocol_round.message_type,
                group_id=group or str(self.server_round),
            )
            for node, each in requests.items()
        ]
        replies = {}
        for sent, reply in zip(messages, self.grid.send_and_receive(messages), strict=True):
            node = sent.metadata.dst_node_id
            if reply.has_error():
                self.answers[protocol_round, node] = (reply.error.reason or "").partition(":")[0]
            else:
                self.answers[protocol_round, node] = replies[node] = message_in(reply.content)
        return replies

    def _written(self, request: Sendable | RecordDict) -> RecordDict:
        if isinstance(request, RecordDict):
            return request
        if isinstance(request, CohortAnnounced):
            return request_record(request.to_bytes(), self.model, self.config)
        return request_record(request.to_bytes(), None, None)

    def codes(self, protocol_round: ProtocolRound) -> set[str]:
        """Codes with which clients refused in one protocol round; `""` for an answer."""
        found = {n: a for (r, n), a in self.answers.items() if r is protocol_round}
        return {answer if isinstance(answer, str) else "" for answer in found.values()}

    def node_of(self, index: int) -> int:
        """The node behind an index."""
        return next(node for node, at in self.indices.items() if at == index)


class SplitView(MaliciousServer):
    """Tells the clients in `views` their own sets of survivors, and shows everybody all signatures it has."""

    views: Mapping[int, frozenset[int]] = {}

    def survivors_for(self, index: int) -> frozenset[int]:
        """As the view says."""
        return self.views.get(index, frozenset(self.loot[-1].vectors))


class Shrinking(SplitView):
    """Cuts the ring of a sparse graph in two places: of each of four clients on the cuts, three of its neighbours hear
    that it dropped, everybody else that it survived. Each client misses one survivor at most, and yet the masks on the
    cuts would come out, and with them the sums of the parts in between.
    """

    def tell(self) -> None:
        """Fix the views first."""
        self.views = self.cut()
        super().tell()

    def cut(self) -> dict[int, frozenset[int]]:
        """The views: cuts at places 0, 1 and 6, 7 of the ring."""
        everybody, views = frozenset(self.loot[-1].vectors), {}
        ring = ring_of(self.loot[-1].agreement)
        for at in (0, 6):
            for dropped, tellers in ((at, (-2, -1, 1)), (at + 1, (0, 2, 3))):
                views |= {ring[(at + teller) % len(ring)]: everybody - {ring[dropped]} for teller in tellers}
        return views


class OldSignatures(Shrinking):
    """`Shrinking` with signatures from earlier attempts at one session: the same identifier each time, and a digest of
    the cohort that it made up, so that the context would be the same as well.
    """

    made_up = bytes(DIGEST_BYTES)

    def attack(self) -> None:
        """Four attempts, each to have one of the views signed; then the real one."""
        self.signed: dict[frozenset[int], dict[int, bytes]] = {}
        identifier = os.urandom(SESSION_BYTES)
        for cut in (0, 1, 6, 7):
            self.rehearsed = cut
            self.play(identifier)
        self.rehearsed = -1
        self.play(identifier)

    def agreement(self, honest: Agreement) -> Agreement:
        """One for all attempts."""
        return replace(honest, cohort_digest=self.made_up)

    def cohort_for(self, node: int, honest: CohortAnnounced) -> CohortAnnounced:
        """With the digest on which the attempts agree."""
        return replace(honest, cohort_digest=self.loot[-1].agreement.cohort_digest)

    def cut(self) -> dict[int, frozenset[int]]:
        """One view for all in a rehearsal."""
        everybody = frozenset(self.loot[-1].vectors)
        if self.rehearsed < 0:
            return super().cut()
        view = everybody - {ring_of(self.loot[-1].agreement)[self.rehearsed]}
        return dict.fromkeys(view, view)

    def demand(self) -> None:
        """In a rehearsal keep the signatures and ask for nothing."""
        if self.rehearsed < 0:
            super().demand()
            return
        view = next(iter(self.views.values()), frozenset())
        self.signed[view] = {i: s for i, s in self.loot[-1].signatures.items() if i in view}

    def signatures_for(self, index: int) -> dict[int, bytes]:
        """The old ones, for a view that was rehearsed."""
        return self.signed.get(self.survivors_for(index)) or super().signatures_for(index)


def ring_of(agreement: Agreement) -> list[int]:
    """The indices in the order of the circle on which neighbours stand."""
    order, _ = _order(agreement.graph.n, agreement.graph.seed)
    return [int(index) for index in order]
