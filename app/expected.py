"""What a run will cost, said before it begins: trips, bytes and memory, from its parameters alone.

Decides: what is counted: payload bytes as the server counts them (`strategies.course`), with nobody missing. The sizes
are those of real messages with nothing in them, so they cannot drift from the wire format.
Refuses to know: how long anything takes, and what Flower adds to a message (a few hundred bytes).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Final, Protocol

from arithmetic.packing import packed_size
from arithmetic.residues import word_type
from secagg.keys import PublicKeys
from secagg.messages import (
    CohortAnnounced,
    Invitation,
    KeysAdvertised,
    SharesDelivered,
    SharesRevealed,
    SharesSealed,
    SurvivorsAnnounced,
    SurvivorsSigned,
    UnmaskingRequested,
)
from secagg.params import SESSION_BYTES, SecAggParams, Session
from secagg.primitives import DIGEST_BYTES, SIGNATURE_BYTES
from secagg.requests import Vouched
from secagg.sealed import SEALED_BYTES
from secagg.signatory import Credential
from strategies.settings import Settings


class _Sendable(Protocol):
    def to_bytes(self) -> bytes: ...


_VECTORS: Final = 2  # words that a side holds of each entry at its peak (bench.memory)


@dataclass(frozen=True)
class Traffic:
    """Payload bytes of one client, from it and to it."""

    up: int
    down: int

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.up + other.up, self.down + other.down)

    def times(self, count: int) -> "Traffic":
        """As often as that."""
        return Traffic(self.up * count, self.down * count)


@dataclass(frozen=True)
class Expected:
    """Of a whole run.

    Attributes:
        trips: of a steady server round; the first has one more.
        client: bytes of one client in a steady server round.
        whole: bytes of all clients in the whole run.
        vectors: bytes that a client, and the server for each group at work, holds of masked vectors at its peak, beside
            Python, torch, the model and the data.
    """

    trips: int
    client: Traffic
    whole: Traffic
    vectors: int

    @property
    def fields(self) -> Mapping[str, object]:
        """For the event `run_expected`."""
        return asdict(self)


@dataclass(frozen=True)
class Load:
    """What a run's sessions carry.

    Attributes:
        tensor_length: entries of the update.
        scalars: 64-bit residues beside it in training; `judged` in the session that judges the final model.
        model: bytes of the model as it travels.
        rounds: server rounds.
        is_judged: whether the final model has a session of its own.
    """

    tensor_length: int
    scalars: int
    judged: int
    model: int
    rounds: int
    is_judged: bool


def expected(settings: Settings, load: Load) -> Expected:
    """What a run will cost when nobody is missing.

    Args:
        settings: how its sessions are run.
        load: what they carry.
    """
    params = settings.params(settings.group_size, load.tensor_length, load.scalars)
    keys, steady = first_trip(params), session(params, params.cohort, load.model)
    judging = replace(params, tensor_length=0, scalar_length=load.judged)
    whole = Traffic(0, 0)
    for size in _group_sizes(settings):
        one = keys + session(params, size, load.model).times(load.rounds)
        if load.is_judged:
            one += session(judging, size, load.model)
        whole += one.times(size)
    word = word_type(settings.modulus_bits).itemsize
    trips = 4 if settings.roster else 3
    return Expected(trips, steady, whole, _VECTORS * word * load.tensor_length)


def _group_sizes(settings: Settings) -> Iterator[int]:
    small, larger = divmod(settings.cohort, settings.groups)
    return (small + int(at < larger) for at in range(settings.groups))


def first_trip(params: SecAggParams) -> Traffic:
    """r0, which only clients without keys sent ahead take."""
    invitation = Invitation(_a_session(params))
    return Traffic(len(_advertised(params).to_bytes()), len(invitation.to_bytes()))


def session(params: SecAggParams, n: int, model: int) -> Traffic:
    """r1, r2, r3 against an active server, and r4.

    Args:
        params: of the session.
        n: clients that are there.
        model: bytes of the model as it travels.
    """
    neighbours = min(params.neighbours, n - 1)
    everyone, none = frozenset(range(1, n + 1)), bytes(SESSION_BYTES)
    sealed = dict.fromkeys(range(1, neighbours + 1), bytes(SEALED_BYTES))
    known = range(1, (n if params.is_active else neighbours + 1) + 1)
    signature = bytes(SIGNATURE_BYTES)
    vouched = (
        Vouched(bytes(DIGEST_BYTES), (1,) * n, dict.fromkeys(known, signature)) if params.is_active else None
    )
    keys = dict.fromkeys(known, _advertised(params).keys)
    announced = CohortAnnounced(_a_session(params), n, bytes(DIGEST_BYTES), keys, vouched)
    shares = dict.fromkeys(range(1, neighbours + int(params.own_share) + 1), 1)
    entries = packed_size(params.tensor_length, params.modulus_bits) + packed_size(params.scalar_length, 64)
    signed = dict.fromkeys(everyone, signature) if params.is_active else {}
    trips: list[tuple[_Sendable, _Sendable]] = [
        (SharesSealed(bytes(DIGEST_BYTES), sealed), announced),
        (SharesRevealed(shares, {}, _advertised(params)), UnmaskingRequested(none, n, everyone, signed)),
    ]
    if params.is_active:
        trips.append((SurvivorsSigned(signature), SurvivorsAnnounced(none, n, everyone)))
    up = sum(len(reply.to_bytes()) for reply, _ in trips) + 2 + entries
    down = sum(len(request.to_bytes()) for _, request in trips) + model
    return Traffic(up, down + len(SharesDelivered(none, n, everyone, sealed).to_bytes()))


def _a_session(params: SecAggParams) -> Session:
    return Session(bytes(SESSION_BYTES), 1, params)


def _advertised(params: SecAggParams) -> KeysAdvertised:
    credential = Credential(1, bytes(SIGNATURE_BYTES)) if params.is_active else None
    return KeysAdvertised(PublicKeys(bytes(32), bytes(32)), credential)
