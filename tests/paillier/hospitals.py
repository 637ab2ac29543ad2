"""A ring in one process: real steps on both sides, every message and every kept state as bytes in between.

A hook sees every message and gives what arrives in its place: `arrives(moment, member, data)`, where the moment is
"to join", "join", "to reveal", "reveal", "to hop" or "hop", and the member receives or sends; None for nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from paillier.errors import HospitalDropped
from paillier.packing import Packing
from paillier.randomisers import Randomiser
from paillier.ring.holder.r0_open import open_ring, restart
from paillier.ring.holder.r1_circulate import circulate, pass_on, propose
from paillier.ring.holder.r2_total import finish
from paillier.ring.holder.states import AwaitingJoins, Circulating
from paillier.ring.hospital.r0_join import join, rejoin
from paillier.ring.hospital.r1_reveal import reveal
from paillier.ring.hospital.r2_hop import hand_on
from paillier.ring.hospital.states import AwaitingHop, AwaitingRing, HandedOn
from paillier.ring.messages import (
    HopRequested,
    HopSealed,
    Invitation,
    Joined,
    Restart,
    Revealed,
    RingProposed,
    SumHanded,
)
from secagg.errors import ChorusError, MalformedMessage, OutOfTurn
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster
from secagg.signatory import Signatory
from tests.paillier.made import pair_of, quick
from tests.support.streams import stream

PAIR = pair_of(2048)
PACKING = Packing(length=4, parties=6, bound=1 << 20, fraction_bits=20, key_bits=2048)
LENGTH = PACKING.length
SUBJECT = b"m" * 32

Arrives = Callable[[str, int, bytes], bytes | None]
Trace = list[tuple[str, int, bytes]]


@lru_cache
def federation(size: int) -> tuple[Roster, tuple[SigningKey, ...]]:
    """A roster, and everybody's identity."""
    keys = tuple(SigningKey.generate(stream(100 + number)) for number in range(1, size + 1))
    members = tuple(Member(f"hospital-{number}", key.public) for number, key in enumerate(keys, start=1))
    return Roster("ring", 1, 0, members), keys


def vector_of(member: int) -> list[float]:
    """Which members are in a sum can be read off it: a power of two in one number, negative in the next."""
    return [float(1 << member), -float(1 << member) / 1024, member + 0.25, -1.0]


def sum_of(members: Sequence[int]) -> list[float]:
    """What the total over these must be."""
    return [sum(column) for column in zip(*map(vector_of, members), strict=True)]


@dataclass
class Hospital:
    """One hospital: its place, its vector, and the bytes of its state."""

    signatory: Signatory
    entropy: Callable[[int], bytes]
    vector: list[float]
    randomiser: Randomiser
    state: bytes = b""
    pinned: bytes = PAIR.public.digest

    @classmethod
    def of(cls, size: int, member: int, seed: int = 0) -> "Hospital":
        """Member of a federation of this size."""
        roster, keys = federation(size)
        own = stream(1000 * (seed + 1) + member)
        return cls(Signatory.of(roster, keys[member - 1]), own, vector_of(member), quick(2048))

    @property
    def member(self) -> int:
        """Its number."""
        return self.signatory.number

    def join(self, data: bytes) -> bytes:
        """Answer an invitation or a restart."""
        if data[:1] == b"\x60":
            state, reply = join(Invitation.from_bytes(data), self.signatory, self.pinned, self.entropy)
        else:
            message = Restart.from_bytes(data)
            state, reply = rejoin(_state(self.state), message, self.signatory, self.pinned, self.entropy)
        self.state = state.to_bytes()
        return reply.to_bytes()

    def reveal(self, data: bytes) -> bytes:
        """Answer a proposal."""
        state = AwaitingRing.from_bytes(self.state)
        following, reply = reveal(state, RingProposed.from_bytes(data), self.signatory)
        self.state = following.to_bytes()
        return reply.to_bytes()

    def hand_on(self, data: bytes) -> bytes:
        """Answer a hop."""
        state = AwaitingHop.from_bytes(self.state)
        request = HopRequested.from_bytes(data, state.terms)
        following, reply = hand_on(state, request, self.vector, self.randomiser, self.signatory)
        self.state = following.to_bytes()
        return reply.to_bytes() if isinstance(reply, HopSealed) else reply.to_bytes(state.terms)


def _state(data: bytes) -> AwaitingRing | AwaitingHop | HandedOn:
    for kind in (AwaitingRing, AwaitingHop, HandedOn):
        try:
            return kind.from_bytes(data)
        except MalformedMessage:
            continue
    raise OutOfTurn("no session to start again")


@dataclass
class Ring:
    """A key holder and its hospitals; `hold` runs one session, `finished` restarts until there is a sum."""

    size: int
    seed: int = 0
    server_round: int = 1
    arrives: Arrives = lambda moment, member, data: data
    hospitals: dict[int, Hospital] = field(default_factory=dict)
    trace: Trace = field(default_factory=list)
    circulating: Circulating | None = None

    def __post_init__(self) -> None:
        self.hospitals = {each: Hospital.of(self.size, each, self.seed) for each in range(1, self.size + 1)}
        self.entropy = stream(7 + self.seed)

    def invited(self) -> tuple[AwaitingJoins, bytes]:
        """A new session with all."""
        roster, _ = federation(self.size)
        state, invitation = open_ring(
            roster, self.hospitals, self.server_round, SUBJECT, PAIR.public, PACKING, self.entropy
        )
        return state, invitation.to_bytes()

    def finished(self) -> tuple[list[float], list[tuple[int, ...]]]:
        """The sum, and the members of every session that it took."""
        state, opening = self.invited()
        sessions = []
        while True:
            sessions.append(state.terms.members)
            self.circulating = None
            try:
                return self.hold(state, opening), sessions
            except HospitalDropped as error:
                state, message = restart(self.circulating or state, error.dropped, self.entropy)
                opening = message.to_bytes()

    def hold(self, state: AwaitingJoins, opening: bytes) -> list[float]:
        """One session."""
        members = state.terms.members
        joined = self._collect("join", members, opening, lambda each: each.join)
        revealing, proposed = propose(state, {who: Joined.from_bytes(data) for who, data in joined.items()})
        revealed = self._collect("reveal", members, proposed.to_bytes(), lambda each: each.reveal)
        self.circulating, request = circulate(
            revealing, {who: Revealed.from_bytes(data) for who, data in revealed.items()}
        )
        while not self.circulating.is_last:
            reply = HopSealed.from_bytes(self._hop(request), state.terms)
            self.circulating, request = pass_on(self.circulating, reply)
        total = SumHanded.from_bytes(self._hop(request), state.terms)
        return finish(self.circulating, total, PAIR)

    def _hop(self, request: HopRequested) -> bytes:
        turn = self.circulating.turn
        replies = self._collect("hop", (turn,), request.to_bytes(), lambda each: each.hand_on)
        if turn not in replies:
            raise HospitalDropped([turn])
        return replies[turn]

    def _collect(
        self,
        moment: str,
        members: Sequence[int],
        data: bytes,
        step: Callable[[Hospital], Callable[[bytes], bytes]],
    ) -> dict[int, bytes]:
        replies = {}
        for member in members:
            arrived = self._carried(f"to {moment}", member, data)
            reply = None if arrived is None else step(self.hospitals[member])(arrived)
            reply = None if reply is None else self._carried(moment, member, reply)
            if reply is not None:
                replies[member] = reply
        return replies

    def _carried(self, moment: str, member: int, data: bytes) -> bytes | None:
        self.trace.append((moment, member, data))
        return self.arrives(moment, member, data)


def refused(step: Callable[[bytes], object], data: bytes) -> ChorusError | None:
    """The typed error that a message gives, None where it is taken."""
    try:
        step(data)
    except ChorusError as error:
        return error
    return None
