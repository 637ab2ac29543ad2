"""The server's side: the real collections, one session after the other, event by event.

Decides: nothing of the protocol. What is modelled here and not run is what `strategies` adds to the collections: one
request a client and protocol round, a deadline for each, keys that were sent ahead (`strategies.session`), a
checkpoint, and that a server which starts again is another run with clients that know nothing of the first. Flower's
exchange looks at no second or late reply; here each is shown to its collection, which must refuse it.
Refuses to know: links, and what clients do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any, Protocol

from secagg.errors import ChorusError, CohortTooSmall, Misbehaviour
from secagg.messages import InputMasked, KeysAdvertised, SharesRevealed, SharesSealed, SurvivorsSigned
from secagg.params import SESSION_BYTES, SecAggParams, Session
from secagg.roster import Roster
from secagg.server.collection import Collection
from secagg.server.r0_advertise_keys import KeyCollection
from secagg.server.r1_share_keys import ShareCollection
from secagg.server.r2_masked_input import InputCollection
from secagg.server.r3_consistency_check import SignatureCollection
from secagg.server.r4_unmasking import ShareRecovery
from tests.simulator.clock import Clock
from tests.simulator.faults import Fault, Weather
from tests.simulator.invariants import Violation, Watch
from tests.simulator.network import Envelope
from wire.rounds import ProtocolRound

R0, R1, R2, R3, R4 = ProtocolRound
MODEL, CONFIG = b"M" * 32, b"C" * 32
DEADLINES = {R0: 60.0, R1: 600.0, R2: 20.0, R3: 20.0, R4: 20.0}


class Course(Protocol):
    """Whoever is told how a session goes (`foretold`, the trace)."""

    def asked(self, request: Envelope) -> None: ...
    def heard(self, trip: ProtocolRound, client: int, due: bool, error: ChorusError | None) -> None: ...
    def closed(self, trip: ProtocolRound, collection: Collection, error: ChorusError | None) -> None: ...
    def ended(self, error: ChorusError | None) -> None: ...


@dataclass(frozen=True)
class _Asked:
    trip: ProtocolRound
    client: int
    collection: Collection
    receive: Callable[[int, bytes], None]


class ServerNode:
    """Runs sessions.

    Attributes:
        send: puts a request on its way.
        over: called when a session has ended, with what was summed, if anything.
        run: grows when it starts again.
        server_round: of the session under way; `saved` the last one in a checkpoint.
        awake: moment until which nothing is looked at.
    """

    def __init__(
        self,
        params: SecAggParams,
        clients: tuple[int, ...],
        roster: Roster | None,
        clock: Clock,
        weather: Weather,
        watch: Watch,
        courses: tuple[Course, ...],
        send: Callable[[Envelope], None],
        over: Callable[[tuple[int, ...]], None],
    ) -> None:
        self.params = params
        self.clients = clients
        self.send = send
        self.over = over
        self.run = 1
        self.server_round = self.saved = 0
        self.awake = 0.0
        self.trip: ProtocolRound | None = None
        self._roster = roster
        self._clock = clock
        self._weather = weather
        self._watch = watch
        self._courses = courses
        self._carried: dict[int, tuple[bytes, KeysAdvertised]] = {}
        self._requests = 0
        self._asked: dict[int, _Asked] = {}
        self._pending: set[int] = set()
        self._collection: Any = None
        self._identifier = b""
        self._announced: tuple[int, ...] = ()

    # A session, from one protocol round to the next.

    def open(self, chance: Random) -> None:
        """r0 of a new session."""
        self.server_round += 1
        self._identifier = chance.randbytes(SESSION_BYTES)
        self._watch.opened(self._identifier)
        session = Session(self._identifier, self.server_round, self.params)
        sent = {client: self._carried.pop(client) for client in self.clients if client in self._carried}
        ahead = b""
        if self.params.is_active:
            origins = {origin for origin, _ in sent.values()}
            ahead = origins.pop() if len(origins) == 1 and len(sent) == len(self.clients) else b""
            sent = sent if ahead else {}
        keys = KeyCollection(session, self.clients, self._roster, ahead)
        for client, (_, each) in sent.items():
            self._receive(R0, client, True, partial(keys.receive, client, each))
        invitation, asked = keys.invitation.to_bytes(), () if ahead else keys.missing
        self._ask(
            R0,
            keys,
            dict.fromkeys(asked, invitation),
            lambda c, m: keys.receive(c, KeysAdvertised.from_bytes(m)),
        )

    def _ask(
        self,
        trip: ProtocolRound,
        collection: Collection,
        requests: Mapping[int, bytes],
        receive: Callable[[int, bytes], None],
    ) -> None:
        self.trip, self._collection, self._pending = trip, collection, set()
        digests = (MODEL, CONFIG) if trip is R1 else (b"", b"")
        envelopes = []
        for client, payload in requests.items():
            self._requests += 1
            self._asked[self._requests] = _Asked(trip, client, collection, receive)
            self._pending.add(self._requests)
            envelopes.append(
                Envelope(self._requests, client, trip, self.run, self.server_round, payload, digests)
            )
        for envelope in envelopes:
            for course in self._courses:
                course.asked(envelope)
            self.send(envelope)
        wait = DEADLINES[trip] if requests else 0.0
        self._clock.after(wait, lambda: self._deadline(collection))

    def receive(self, reply: Envelope) -> None:
        """A reply, whenever it comes; one of an earlier run is nobody's."""
        if self._clock.now < self.awake:
            self._clock.after(self.awake - self._clock.now, lambda: self.receive(reply))
            return
        asked = self._asked.get(reply.request)
        if asked is None or reply.run != self.run:
            return
        if self._weather.strikes(Fault.PAUSE_SERVER):
            self.awake = self._clock.now + self._weather.chance.choice((0.5, 30.0))
        if not reply.refusal:
            due = asked.collection is self._collection
            self._receive(asked.trip, asked.client, due, lambda: asked.receive(asked.client, reply.payload))
        self._pending.discard(reply.request)
        if asked.collection is self._collection:
            if self._weather.strikes(Fault.CRASH_SERVER):
                self._crash()
            elif not self._pending:
                self._close()

    def _receive(self, trip: ProtocolRound, client: int, due: bool, take: Callable[[], None]) -> None:
        """As `strategies.course`: a reply that does not check costs its sender the session."""
        found: ChorusError | None = None
        try:
            take()
        except ChorusError as error:
            found = error
            if isinstance(error, Misbehaviour):
                self._watch.blames(error.culprit, error.line)
        except Violation:
            raise
        except Exception as error:  # noqa: BLE001 - I6: no other may come
            self._watch.broken(f"the server in {trip}: {error!r}", error)
        for course in self._courses:
            course.heard(trip, client, due, found)

    def _deadline(self, collection: Collection) -> None:
        if collection is not self._collection:
            return
        if self._clock.now < self.awake:
            self._clock.after(self.awake - self._clock.now, lambda: self._deadline(collection))
        else:
            self._close()

    def _close(self) -> None:
        trip, collection = self.trip, self._collection
        assert trip is not None
        try:
            self._closers[type(collection)](self, collection)
        except ChorusError as error:
            self._failed(error)
        except Violation:
            raise
        except Exception as error:  # noqa: BLE001 - I6: no other may come
            self._watch.broken(f"the server at the end of {trip}: {error!r}", error)

    def _told(self, error: ChorusError | None = None) -> None:
        assert self.trip is not None
        for course in self._courses:
            course.closed(self.trip, self._collection, error)

    def _close_keys(self, keys: KeyCollection) -> None:
        shares, announced = keys.close(MODEL, CONFIG)
        self._told()
        self._watch.names = {index: client for client, index in shares.indices.items()}
        requests = {client: message.to_bytes() for client, message in announced.items()}
        self._ask(R1, shares, requests, lambda c, m: shares.receive(c, SharesSealed.from_bytes(m)))

    def _close_shares(self, shares: ShareCollection) -> None:
        inputs, delivered = shares.close()
        self._told()
        requests = {client: message.to_bytes() for client, message in delivered.items()}
        self._ask(R2, inputs, requests, lambda c, m: self._take_vector(inputs, c, m))

    def _take_vector(self, inputs: InputCollection, client: int, payload: bytes) -> None:
        inputs.receive(client, InputMasked.from_bytes(payload, self.params))
        self._watch.arrived(client, payload)

    def _close_inputs(self, inputs: InputCollection) -> None:
        if self.params.is_active:
            signatures, announced = inputs.close_active()
            self._told()
            self._announced = tuple(announced)
            requests = {client: message.to_bytes() for client, message in announced.items()}
            self._ask(
                R3, signatures, requests, lambda c, m: signatures.receive(c, SurvivorsSigned.from_bytes(m))
            )
        else:
            recovery, asked = inputs.close()
            self._told()
            self._announced = tuple(asked)
            self._unmask(recovery, {client: message.to_bytes() for client, message in asked.items()})

    def _close_signatures(self, signatures: SignatureCollection) -> None:
        recovery, asked = signatures.close()
        self._told()
        self._unmask(recovery, {client: message.to_bytes() for client, message in asked.items()})

    def _unmask(self, recovery: ShareRecovery, requests: Mapping[int, bytes]) -> None:
        self._ask(R4, recovery, requests, lambda c, m: recovery.receive(c, SharesRevealed.from_bytes(m)))

    def _close_recovery(self, recovery: ShareRecovery) -> None:
        for holder, owner in recovery.false_shares:
            self._watch.blames(holder, f"a false share of client {owner}")
        unmasked = recovery.close()
        self._told()
        self._watch.summed(unmasked, self._announced)
        for client, keys in unmasked.next_keys.items():
            self._carried[client] = (self._identifier, keys)
        if not self._weather.strikes(Fault.DISK_SERVER, 0.3):
            self.saved = self.server_round
        self._end(None, unmasked.survivors)

    _closers: Mapping[type, Callable[["ServerNode", Any], None]] = {
        KeyCollection: _close_keys,
        ShareCollection: _close_shares,
        InputCollection: _close_inputs,
        SignatureCollection: _close_signatures,
        ShareRecovery: _close_recovery,
    }

    def _failed(self, error: ChorusError) -> None:
        if isinstance(error, Misbehaviour):
            self._watch.blames(error.culprit, error.line)
        self._watch.require(
            isinstance(error, CohortTooSmall | Misbehaviour), f"I4: a session ended with {error.line}"
        )
        self._told(error)
        self._end(error, ())

    def _crash(self) -> None:
        """Everything is gone but the checkpoint."""
        self.run += 1
        self.server_round = self.saved
        self._carried.clear()
        self._asked.clear()
        self._end(None, ())

    def _end(self, error: ChorusError | None, summed: tuple[int, ...]) -> None:
        self._collection, self.trip = None, None
        for course in self._courses:
            course.ended(error)
        self.over(summed)
