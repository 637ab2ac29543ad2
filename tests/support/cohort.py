"""A whole session in one process: real client steps, real server collections, bytes in between.

Every message is written to bytes and read back in both directions, and so is every state that a client
keeps between two protocol rounds. Entropy is SHAKE-256 of a seed: for tests alone.

A hook `tamper(round, direction, client, data)` sees every message ("down" to the client, "up" to the
server) and gives what arrives in its place: bytes, None for nothing, or several replies in a tuple.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from arithmetic.residues import from_signed, to_signed
from secagg.client.r0_advertise_keys import advertise_keys
from secagg.client.r1_share_keys import share_keys
from secagg.client.r2_masked_input import mask_input
from secagg.client.r3_consistency_check import sign_survivors
from secagg.client.r4_unmasking import reveal_shares
from secagg.client.states import (
    AwaitingCohort,
    AwaitingShares,
    AwaitingSignatures,
    AwaitingSurvivors,
    CarryingKeys,
)
from secagg.errors import ChorusError, OutOfTurn
from secagg.masks import Residues
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
from secagg.params import SecAggParams, Session
from secagg.primitives import Entropy, SigningKey
from secagg.roster import Member, Roster
from secagg.server.r0_advertise_keys import KeyCollection
from secagg.server.r2_masked_input import InputCollection
from secagg.server.r4_unmasking import ShareRecovery, Unmasked
from secagg.signatory import Signatory

MODEL, CONFIG = b"M" * 32, b"C" * 32
ROUNDS = ("r0", "r1", "r2", "r4")
ACTIVE_ROUNDS = ("r0", "r1", "r2", "r3", "r4")

Arrival = bytes | None | tuple[bytes, ...]
Tamper = Callable[[str, str, int, bytes], Arrival]
Memo = dict[tuple[Any, ...], tuple[bytes, bytes] | ChorusError]


class ShakeEntropy:
    """Reproducible bytes in the place of `os.urandom`: SHAKE-256 over labels and a counter. Tests only."""

    def __init__(self, *labels: object) -> None:
        self._seed = repr(labels).encode()
        self._calls = 0

    def __call__(self, size: int) -> bytes:
        self._calls += 1
        return hashlib.shake_256(self._seed + self._calls.to_bytes(8, "big")).digest(size)


def signing_key(*labels: object) -> SigningKey:
    """An identity key that is the same in every run of a test."""
    return SigningKey.generate(ShakeEntropy("identity", *labels))


def roster_of(clients: Sequence[int]) -> Roster:
    """A roster of these clients, the last one first, after two members that take part in nothing: a member's number
    is nobody's index.
    """
    names = ["absent-1", "absent-2", *map(str, sorted(clients, reverse=True))]
    members = tuple(Member(f"client-{name}", signing_key(name).public) for name in names)
    return Roster("tests", 1, 0, members)


def signatories_of(clients: Sequence[int]) -> dict[int, Signatory]:
    """Each client's place in `roster_of` them all."""
    roster = roster_of(clients)
    return {client: Signatory.of(roster, signing_key(str(client))) for client in clients}


@dataclass(frozen=True)
class Vector:
    """One client's input as plain signed integers."""

    tensor: tuple[int, ...]
    scalars: tuple[int, ...]

    def residues(self, params: SecAggParams) -> Residues:
        """Fresh writable words."""
        return Residues(
            from_signed(np.array(self.tensor, dtype=np.int64), params.modulus_bits),
            from_signed(np.array(self.scalars, dtype=np.int64), 64),
        )


def oracle_inputs(clients: Sequence[int], tensor_length: int) -> dict[int, Vector]:
    """Client number k (from 0) carries a one-hot coordinate and 2^k in the next one: the sum names the
    counted set. The other coordinates and a scalar are negative.
    """
    count = len(clients)
    inputs = {}
    for k, client in enumerate(clients):
        tensor = [int(at == k) for at in range(count)] + [1 << k]
        tensor += [-(k + 1) * (at + 1) for at in range(tensor_length - len(tensor))]
        inputs[client] = Vector(tuple(tensor), (1 << k, 1, -(10**12) - k))
    return inputs


def plain_sum(inputs: Mapping[int, Vector], counted: frozenset[int]) -> Vector:
    """The sum in Python integers."""
    tensors = zip(*(inputs[client].tensor for client in counted), strict=True)
    scalars = zip(*(inputs[client].scalars for client in counted), strict=True)
    return Vector(tuple(map(sum, tensors)), tuple(map(sum, scalars)))


def decoded(total: Residues, params: SecAggParams) -> Vector:
    """The sum that the server reads, as signed integers."""
    return Vector(
        tuple(to_signed(total.tensor, params.modulus_bits).tolist()),
        tuple(to_signed(total.scalars, 64).tolist()),
    )


class Client:
    """The client's side of a session and the keeper of its one state, which leaves before the step runs.

    Attributes:
        kept: the state as bytes; None when there is none.
        signatory: its place in the roster, in active sessions.
    """

    def __init__(self, identifier: int, memo: Memo | None = None, signatory: Signatory | None = None) -> None:
        self.identifier = identifier
        self.signatory = signatory
        self.kept: bytes | None = None
        self.memo = memo

    def answer(
        self,
        protocol_round: str,
        message: bytes,
        seed: object,
        vector: Callable[[SecAggParams], Residues],
        digests: tuple[bytes, bytes] = (MODEL, CONFIG),
    ) -> bytes:
        """Run one step; an error leaves no state behind."""
        kept, self.kept = self.kept, None
        if protocol_round != "r0" and kept is None:
            raise OutOfTurn("no state is kept for this protocol round")
        entropy = ShakeEntropy(seed, self.identifier, protocol_round)
        if self.memo is None:
            self.kept, reply = step(protocol_round, kept, message, entropy, vector, digests, self.signatory)
            return reply
        # The steps are pure, so work may be shared: equal state and message give equal bytes.
        key = (self.identifier, protocol_round, kept if protocol_round != "r0" else None, message, digests)
        if key not in self.memo:
            try:
                self.memo[key] = step(protocol_round, kept, message, entropy, vector, digests, self.signatory)
            except ChorusError as error:
                self.memo[key] = error
        found = self.memo[key]
        if isinstance(found, ChorusError):
            raise found
        self.kept, reply = found
        return reply


def step(
    protocol_round: str,
    kept: bytes | None,
    message: bytes,
    entropy: Entropy,
    vector: Callable[[SecAggParams], Residues],
    digests: tuple[bytes, bytes] = (MODEL, CONFIG),
    signatory: Signatory | None = None,
) -> tuple[bytes, bytes]:
    """(next state, reply) of the real client step of a protocol round, everything as bytes."""
    if protocol_round == "r0":
        cohort_state, advertised = advertise_keys(Invitation.from_bytes(message), entropy, signatory)
        return cohort_state.to_bytes(), advertised.to_bytes()
    if protocol_round == "r1":
        kept = kept or b""
        parse = CarryingKeys if kept[:1] == b"\x21" else AwaitingCohort
        state = parse.from_bytes(kept)
        shares_state, sealed = share_keys(
            state, CohortAnnounced.from_bytes(message), *digests, entropy, signatory
        )
        return shares_state.to_bytes(), sealed.to_bytes()
    if protocol_round == "r2":
        shares = AwaitingShares.from_bytes(kept)
        survivors_state, masked = mask_input(
            shares, SharesDelivered.from_bytes(message), vector(shares.params)
        )
        return survivors_state.to_bytes(), masked.to_bytes()
    if protocol_round == "r3":
        assert signatory is not None
        told = AwaitingSurvivors.from_bytes(kept)
        signed_state, signed = sign_survivors(told, SurvivorsAnnounced.from_bytes(message), signatory)
        return signed_state.to_bytes(), signed.to_bytes()
    wait = AwaitingSignatures if (kept or b"")[:1] == b"\x24" else AwaitingSurvivors
    carrying, revealed = reveal_shares(
        wait.from_bytes(kept), UnmaskingRequested.from_bytes(message), entropy, signatory
    )
    return carrying.to_bytes(), revealed.to_bytes()


@dataclass
class Outcome:
    """What came of a session.

    Attributes:
        unmasked: the server's result, or None.
        error: why there is none.
        heard: protocol round -> clients whose reply counted.
        client_errors: client -> (protocol round, error) of clients that left.
        refused: (protocol round, client) -> error of replies the server did not take.
        neighbours: client -> its neighbours, as the server announced them.
        public_keys: every public key that was announced.
        false_shares: (holder, owner) of revealed shares that were not what was dealt.
    """

    unmasked: Unmasked | None = None
    error: ChorusError | None = None
    heard: dict[str, frozenset[int]] = field(default_factory=dict)
    client_errors: dict[int, tuple[str, ChorusError]] = field(default_factory=dict)
    refused: dict[tuple[str, int], ChorusError] = field(default_factory=dict)
    neighbours: dict[int, frozenset[int]] = field(default_factory=dict)
    public_keys: list[bytes] = field(default_factory=list)
    false_shares: tuple[tuple[int, int], ...] = ()


class Cohort:
    """Clients and a server that run sessions one after the other.

    Attributes:
        clients: identifier -> client; they outlive a session, and so do the keys they sent ahead.
        carried: identifier -> public keys that came with r4 of the session `finished`.
        requests: (protocol round, client) -> bytes sent down in the last session, before tampering.
        states: (protocol round, client) -> the state kept when that request came.
        replies: (protocol round, client) -> bytes sent up.
        collection: the server's collection that is open now.
        session: identifier of the last session.
        rounds: protocol rounds of a session, in order.
        roster: in active sessions; `signatories` are the clients' places in it.
    """

    def __init__(
        self,
        params: SecAggParams,
        inputs: Mapping[int, Vector],
        *,
        seed: object = 0,
        tamper: Tamper | None = None,
        memo: Memo | None = None,
    ) -> None:
        self.params = params
        self.inputs = inputs
        self.seed = seed
        self.tamper = tamper
        self.rounds = ACTIVE_ROUNDS if params.is_active else ROUNDS
        self.signatories = signatories_of(tuple(inputs)) if params.is_active else {}
        self.roster = next(iter(self.signatories.values())).roster if params.is_active else None
        self.clients = {client: Client(client, memo, self.signatories.get(client)) for client in inputs}
        self.carried: dict[int, KeysAdvertised] = {}
        self.finished = b""
        self.requests: dict[tuple[str, int], bytes] = {}
        self.states: dict[tuple[str, int], bytes | None] = {}
        self.replies: dict[tuple[str, int], bytes] = {}
        self.digests: dict[int, tuple[bytes, bytes]] = {}
        self.server_digests = (MODEL, CONFIG)
        self.collection: Any = None
        self.sessions = 0
        self._drops: dict[int, str] = {}
        self.session = b""

    def run(self, drops: Mapping[int, str] | None = None) -> Outcome:
        """One session; a client in `drops` is gone from that protocol round on."""
        outcome = Outcome()
        self._drops = dict(drops or {})
        self.sessions += 1
        for record in (self.requests, self.states, self.replies):
            record.clear()
        identifier = ShakeEntropy("session", self.seed, self.sessions)(32)
        self.session = identifier
        session = Session(identifier, self.sessions, self.params)
        try:
            outcome.unmasked = self._course(session, outcome)
        except ChorusError as error:
            outcome.error = error
        return outcome

    def refusal(
        self, protocol_round: str, client: int, message: bytes, kept: bytes | None = None
    ) -> ChorusError:
        """The error with which a client of the last session meets `message`, in the state it had then (or in
        `kept`). Nothing left it: no reply, no state, no mask on its vector.
        """
        again = Client(client, signatory=self.signatories.get(client))
        again.kept = kept if kept is not None else self.states[protocol_round, client]
        vectors: list[Residues] = []

        def vector(params: SecAggParams) -> Residues:
            vectors.append(self.inputs[client].residues(params))
            return vectors[-1]

        reply = b""
        try:
            reply = again.answer(protocol_round, message, self.session, vector)
        except ChorusError as error:
            found = error
        assert not reply, "a reply left the client"
        assert again.kept is None
        for masked in vectors:
            assert decoded(masked, self.params) == self.inputs[client]
        return found

    def _course(self, session: Session, outcome: Outcome) -> Unmasked:
        here = [client for client in sorted(self.clients) if self._drops.get(client) != "r0"]
        sent = {client: self.carried[client] for client in here if client in self.carried}
        ahead = b""
        if self.params.is_active:
            # Keys of one origin for everybody, as the session driver has it.
            ahead = self.finished if len(sent) == len(here) else b""
            sent = sent if ahead else {}
        keys = self.collection = KeyCollection(session, self.clients, self.roster, ahead)
        for client, each in sent.items():
            keys.receive(client, each)
        self.carried.clear()
        invitation, asked = keys.invitation.to_bytes(), () if ahead else keys.missing
        self._trip(
            "r0", keys, dict.fromkeys(asked, invitation), outcome,
            lambda client, data: keys.receive(client, KeysAdvertised.from_bytes(data)),
        )  # fmt: skip
        shares, announced = keys.close(*self.server_digests)
        self.collection = shares
        clients = {index: client for client, index in shares.indices.items()}
        for client, message in announced.items():
            near = shares.agreement.graph.neighbours(shares.indices[client])
            outcome.neighbours[client] = frozenset(clients[index] for index in near)
            own = message.keys[shares.indices[client]]
            outcome.public_keys += [own.mask, own.channel]
        self._trip(
            "r1", shares, {client: message.to_bytes() for client, message in announced.items()}, outcome,
            lambda client, data: shares.receive(client, SharesSealed.from_bytes(data)),
        )  # fmt: skip
        inputs, delivered = shares.close()
        self.collection = inputs
        self._trip(
            "r2", inputs, {client: message.to_bytes() for client, message in delivered.items()}, outcome,
            lambda client, data: inputs.receive(client, InputMasked.from_bytes(data, self.params)),
        )  # fmt: skip
        recovery, requested = self._survivors(inputs, outcome)
        self.collection = recovery
        self._trip(
            "r4", recovery, {client: message.to_bytes() for client, message in requested.items()}, outcome,
            lambda client, data: recovery.receive(client, SharesRevealed.from_bytes(data)),
        )  # fmt: skip
        outcome.false_shares = tuple(sorted(recovery.false_shares))
        unmasked = recovery.close()
        self.carried.update(unmasked.next_keys)
        self.finished = session.identifier
        return unmasked

    def _survivors(
        self, inputs: InputCollection, outcome: Outcome
    ) -> tuple[ShareRecovery, dict[int, UnmaskingRequested]]:
        """The close of r2, and r3 in an active session."""
        if not self.params.is_active:
            return inputs.close()
        signatures, announced = inputs.close_active()
        self.collection = signatures
        self._trip(
            "r3", signatures, {client: message.to_bytes() for client, message in announced.items()}, outcome,
            lambda client, data: signatures.receive(client, SurvivorsSigned.from_bytes(data)),
        )  # fmt: skip
        return signatures.close()

    def _trip(
        self,
        protocol_round: str,
        collection: Any,
        requests: Mapping[int, bytes],
        outcome: Outcome,
        receive: Callable[[int, bytes], None],
    ) -> None:
        """Ask every client; whoever vanishes forgets everything, whoever errs leaves."""
        for client, request in sorted(requests.items()):
            keeper = self.clients[client]
            if self._vanished(client, protocol_round):
                keeper.kept = None
                continue
            self.requests[protocol_round, client] = request
            self.states[protocol_round, client] = keeper.kept
            arrived = self._tampered(protocol_round, "down", client, request)
            if not isinstance(arrived, bytes):
                continue
            try:
                reply = keeper.answer(
                    protocol_round, arrived, self.session, self.inputs[client].residues,
                    self.digests.get(client, (MODEL, CONFIG)),
                )  # fmt: skip
            except ChorusError as error:
                outcome.client_errors[client] = (protocol_round, error)
                continue
            self.replies[protocol_round, client] = reply
            replies = self._tampered(protocol_round, "up", client, reply)
            for data in replies if isinstance(replies, tuple) else (replies,):
                self._deliver(protocol_round, client, data, outcome, receive)
        missing = set(collection.missing)
        outcome.heard[protocol_round] = frozenset(set(collection.indices) - missing)

    def _deliver(
        self,
        protocol_round: str,
        client: int,
        data: bytes | None,
        outcome: Outcome,
        receive: Callable[[int, bytes], None],
    ) -> None:
        if data is None:
            return
        try:
            receive(client, data)
        except ChorusError as error:
            outcome.refused[protocol_round, client] = error

    def _tampered(self, protocol_round: str, direction: str, client: int, data: bytes) -> Arrival:
        return self.tamper(protocol_round, direction, client, data) if self.tamper else data

    def _vanished(self, client: int, protocol_round: str) -> bool:
        gone = self._drops.get(client)
        return gone is not None and self.rounds.index(gone) <= self.rounds.index(protocol_round)


def run_session(
    params: SecAggParams,
    inputs: Mapping[int, Vector],
    drops: Mapping[int, str] | None = None,
    *,
    seed: object = 0,
    tamper: Tamper | None = None,
    memo: Memo | None = None,
) -> Outcome:
    """One session of a fresh cohort."""
    return Cohort(params, inputs, seed=seed, tamper=tamper, memo=memo).run(drops)


def tampering(protocol_round: str, direction: str, client: int, change: Callable[[bytes], Arrival]) -> Tamper:
    """A hook that changes one client's message of one protocol round and nothing else."""

    def hook(at: str, way: str, who: int, data: bytes) -> Arrival:
        return change(data) if (at, way, who) == (protocol_round, direction, client) else data

    return hook


def check_exact(
    outcome: Outcome, params: SecAggParams, inputs: Mapping[int, Vector], counted: frozenset[int]
) -> None:
    """The session ended with the exact sum over `counted`, bit for bit."""
    assert outcome.error is None, outcome.error
    assert outcome.unmasked is not None
    assert outcome.unmasked.survivors == tuple(sorted(counted))
    assert decoded(outcome.unmasked.total, params) == plain_sum(inputs, counted)
