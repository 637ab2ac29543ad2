"""What arithmetic says of a session, where every message that arrives is what was sent (I11).

Decides: which reply counts, which client refuses and with which code, how every protocol round ends, from plain sets of
clients alone: who was asked, who was reached, who had lost its state. It calls no step and no collection.
Refuses to know: keys but as names of one occasion, and every other secret.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from secagg.bounds import Adversary
from secagg.client.r1_share_keys import agreement_of
from secagg.errors import ChorusError
from secagg.keys import PublicKeys
from secagg.messages import CohortAnnounced, KeysAdvertised, SharesRevealed, session_named
from secagg.params import SecAggParams
from secagg.server.collection import Collection
from tests.simulator.invariants import Watch
from tests.simulator.network import Envelope
from wire.rounds import ProtocolRound

R0, R1, R2, R3, R4 = ProtocolRound
Near = Mapping[int, frozenset[int]]


@dataclass
class _Session:
    """Facts of one session: heard in each protocol round, and who is whose neighbour."""

    identifier: bytes
    params: SecAggParams
    heard: dict[ProtocolRound, frozenset[int]] = field(default_factory=dict)
    near: dict[int, frozenset[int]] = field(default_factory=dict)
    shown: dict[int, PublicKeys] = field(default_factory=dict)

    def holders(self, owner: int, among: frozenset[int]) -> int:
        """How many of `among` hold a share of this client's seed; of its mask key, if it is not among them."""
        own = {owner} if _keeps_a_share(self.params) else set[int]()
        return len((self.near[owner] | own) & among)


@dataclass
class _Memory:
    """What a client must know at a moment: which protocol round it awaits, of which session, with which keys."""

    awaits: ProtocolRound | None = None
    session: bytes = b""
    size: int = 0
    keys: PublicKeys | None = None
    finished: bytes = b""
    begun: int = 0
    done: int = 0


class Foretold:
    """Follows one seed and objects to whatever comes out otherwise."""

    def __init__(self, params: SecAggParams, watch: Watch) -> None:
        self._params = params
        self._watch = watch
        self._memories: dict[tuple[int, int], _Memory] = {}
        self._facts: dict[tuple[int, int], _Session] = {}
        self._session: _Session | None = None

    # What the server does.

    def asked(self, request: Envelope) -> None:
        """A request is on its way."""
        session = self._current(request)
        self._facts[request.run, request.request] = session
        if request.trip is R1 and not session.shown.get(request.client):
            cohort = CohortAnnounced.from_bytes(request.payload)
            names = dict(enumerate(sorted(session.heard[R0]), start=1))
            index = next(index for index, client in names.items() if client == request.client)
            graph = agreement_of(cohort, b"", b"").graph
            session.near[request.client] = frozenset(names[each] for each in graph.neighbours(index))
            session.shown[request.client] = cohort.keys[index]

    def _current(self, request: Envelope) -> _Session:
        if self._session is None or not self._session.identifier:
            heard = self._session.heard if self._session else {}
            self._session = _Session(session_named(request.payload), self._params, heard)
        return self._session

    def heard(self, trip: ProtocolRound, client: int, due: bool, error: ChorusError | None) -> None:
        """A reply came; the first of each client that is due counts."""
        if self._session is None:
            self._session = _Session(b"", self._params)
        known = self._session.heard.get(trip, frozenset())
        counts = due and client not in known
        self._watch.require(
            (error is None) == counts and (error is None or error.code == "STATE"),
            f"I11: the reply of client {client} in {trip} {'is due' if counts else 'is not'}: {error!r}",
        )
        if counts:
            self._session.heard[trip] = known | {client}

    def closed(self, trip: ProtocolRound, collection: Collection, error: ChorusError | None) -> None:
        """A protocol round has ended."""
        session = self._session or _Session(b"", self._params)
        heard = session.heard.setdefault(trip, frozenset())
        found = frozenset(collection.indices) - frozenset(collection.missing)
        self._watch.require(found == heard, f"I11: {sorted(found)} completed {trip}, not {sorted(heard)}")
        enough = self._suffices(trip, session, heard)
        self._watch.require(
            (error is None) == enough and (error is None or error.code == "QUORUM"),
            f"I11: {trip} with {sorted(heard)} {'suffices' if enough else 'does not suffice'}: {error!r}",
        )

    def ended(self, error: ChorusError | None) -> None:
        """The session is over."""
        self._session = None

    def _suffices(self, trip: ProtocolRound, session: _Session, heard: frozenset[int]) -> bool:
        params = self._params
        if trip is R0:
            return len(heard) >= max(params.min_survivors, params.threshold + (not _keeps_a_share(params)))
        if trip is R1:
            return len(heard) >= params.min_survivors
        if trip is R2:
            return len(heard) >= params.min_survivors and _in_one_part(session.near, heard)
        if trip is R3:
            return len(heard) >= (params.threshold if _is_complete(params) else params.min_survivors)
        holders = (session.holders(owner, heard) for owner in session.heard[R1])
        return all(count >= params.threshold for count in holders)

    # What clients do.

    def lost(self, client: int, run: int) -> None:
        """A client crashed."""
        self._memories.pop((client, run), None)

    def code(self, request: Envelope, expired: bool, disk_fails: bool) -> str:
        """With which code the client refuses; empty if it answers."""
        memory = self._memories.setdefault((request.client, request.run), _Memory())
        code = self._foretell(request, memory, expired and self._params.is_active, disk_fails)
        if code:
            memory.awaits = None
        return code

    def _foretell(self, request: Envelope, memory: _Memory, expired: bool, disk_fails: bool) -> str:
        session = self._facts[request.run, request.request]
        if request.trip is R0:
            return "AUTH" if expired else ""
        if memory.awaits is not request.trip:
            return "STATE"
        if request.trip is R1:
            if expired:
                return "AUTH"
            stale = request.server_round <= memory.done or memory.session not in (b"", session.identifier)
            if stale or memory.finished == session.identifier:
                return "STATE"
            if session.shown[request.client] != memory.keys:
                return "VIEW"
            return "ENV" if disk_fails else ""
        return self._foretell_later(request, memory, session, expired, disk_fails)

    def _foretell_later(
        self, request: Envelope, memory: _Memory, session: _Session, expired: bool, disk_fails: bool
    ) -> str:
        """r2, r3 or r4; each looks at the roster's date at a moment of its own."""
        if request.trip is R2 and disk_fails:
            return "ENV"
        if request.trip is R3 and expired:
            return "AUTH"
        if len(session.heard[R0]) > memory.size:
            return "FORMAT"  # of another session, with more clients than this one has
        if request.trip is R4 and expired:
            return "AUTH"
        if memory.session != session.identifier:
            return "STATE"
        among = session.heard[R1 if request.trip is R2 else R2]
        if session.holders(request.client, among) < self._params.threshold:
            return "QUORUM"
        return "AUTH" if expired else ""

    def answered(self, request: Envelope, reply: bytes) -> None:
        """A client's step went well, and its state is kept."""
        memory = self._memories[request.client, request.run]
        session = self._facts[request.run, request.request]
        if request.trip is R0:
            memory.awaits, memory.session, memory.finished = R1, session.identifier, b""
            memory.keys = KeysAdvertised.from_bytes(reply).keys
        elif request.trip is R1:
            memory.awaits, memory.session, memory.begun = R2, session.identifier, request.server_round
            memory.size = len(session.heard[R0])
        elif request.trip is R2:
            memory.awaits = R3 if self._params.is_active else R4
        elif request.trip is R3:
            memory.awaits = R4
        else:
            memory.awaits, memory.session, memory.finished = R1, b"", session.identifier
            memory.done, memory.keys = memory.begun, SharesRevealed.from_bytes(reply).following.keys


def _is_complete(params: SecAggParams) -> bool:
    return params.neighbours == params.cohort - 1


def _keeps_a_share(params: SecAggParams) -> bool:
    """Whether a client is among the holders of its own seed."""
    return _is_complete(params) or params.adversary is Adversary.CURIOUS


def _in_one_part(near: Near, clients: frozenset[int]) -> bool:
    """Whether every client can be reached from every other one through clients."""
    reached = frozenset({min(clients)})
    while True:
        further = reached.union(*(near[client] & clients for client in reached))
        if further == reached:
            return reached == clients
        reached = further
