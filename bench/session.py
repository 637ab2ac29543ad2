"""One session of the real steps, without transport: bytes from the server to each client and back.

Decides: what counts for whom: all work of a side, parsing and writing of messages included; the making of a client's
vector and the check of the sum belong to nobody. The clients are asked one after the other, each reply is handed on
as it comes, and one vector at a time is under way.
Refuses to know: where the two sides run (here, or in `bench.separate`), and what the figures are compared with.
"""

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from arithmetic.residues import word_type
from secagg.client.r0_advertise_keys import advertise_keys
from secagg.client.r1_share_keys import share_keys
from secagg.client.r2_masked_input import mask_input
from secagg.client.r3_consistency_check import sign_survivors
from secagg.client.r4_unmasking import reveal_shares
from secagg.client.states import AwaitingCohort, AwaitingShares, AwaitingSignatures, AwaitingSurvivors
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
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster
from secagg.server.r0_advertise_keys import KeyCollection
from secagg.server.r1_share_keys import ShareCollection
from secagg.server.r2_masked_input import InputCollection
from secagg.server.r3_consistency_check import SignatureCollection
from secagg.signatory import Signatory

MODEL, CONFIG = b"m" * 32, b"c" * 32
ROUNDS = ("r0", "r1", "r2", "r3", "r4")
Requests = dict[int, bytes | memoryview]
Vector = Callable[[SecAggParams], Residues]
_CHECKED_AT_ONCE = 1 << 16


@dataclass
class Spent:
    """What work took.

    Attributes:
        wall: seconds on the clock; others' load on the machine is in it.
        core: seconds of one core: processor time of the process, all its threads together.
    """

    wall: float = 0.0
    core: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Add what the block takes."""
        wall, core = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - wall
        self.core += time.process_time() - core

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.wall + other.wall, self.core + other.core)


class ServerSide(Protocol):
    """The server's steps behind bytes, one protocol round after the other."""

    def begin(self) -> Requests:
        """Invitations."""

    def receive(self, client: int, data: bytes | memoryview) -> None:
        """One reply."""

    def close(self) -> Requests:
        """End the protocol round; the next one's requests, none after the last."""

    @property
    def spent(self) -> Spent:
        """All protocol rounds together."""


class ClientSide(Protocol):
    """One client's steps behind bytes."""

    def answer(self, data: bytes | memoryview) -> bytes | memoryview:
        """The reply to the next request."""

    @property
    def spent(self) -> Spent:
        """All protocol rounds together."""


class Server:
    """The server's side in this process; the sum is checked: every client's vector is ones.

    Args:
        params: of the session; clients 1..cohort are invited.
        repeat: numbers of threads with which the unmasking is done again on a copy, beside the account.
        roster: in an active session.

    Attributes:
        unmasking: number of threads -> what the repeated unmasking took.
    """

    def __init__(
        self, params: SecAggParams, repeat: Sequence[int] = (), roster: Roster | None = None
    ) -> None:
        self.params = params
        self.spent = Spent()
        self.unmasking: dict[int, Spent] = defaultdict(Spent)
        self._repeat = repeat
        session, clients = Session(os.urandom(32), 1, params), range(1, params.cohort + 1)
        self._due: Any = KeyCollection(session, clients, roster)

    def begin(self) -> Requests:
        """The same invitation for everybody."""
        with self.spent.timed():
            return dict.fromkeys(self._due.indices, self._due.invitation.to_bytes())

    def receive(self, client: int, data: bytes | memoryview) -> None:
        """Parse a reply and hand it to the collection that is open."""
        with self.spent.timed():
            match self._due:
                case KeyCollection() as keys:
                    keys.receive(client, KeysAdvertised.from_bytes(data))
                case ShareCollection() as shares:
                    shares.receive(client, SharesSealed.from_bytes(data))
                case InputCollection() as inputs:
                    inputs.receive(client, InputMasked.from_bytes(data, self.params))
                case SignatureCollection() as signatures:
                    signatures.receive(client, SurvivorsSigned.from_bytes(data))
                case recovery:
                    recovery.receive(client, SharesRevealed.from_bytes(data))

    def close(self) -> Requests:
        """Write the next requests, or remove the masks and check the sum."""
        messages: dict[int, Any]
        with self.spent.timed():
            match self._due:
                case KeyCollection() as keys:
                    self._due, messages = keys.close(MODEL, CONFIG)
                    return _written(messages)
                case InputCollection() as inputs if self.params.is_active:
                    self._due, messages = inputs.close_active()
                    return _written(messages)
                case ShareCollection() | InputCollection() | SignatureCollection() as collection:
                    self._due, messages = collection.close()
                    return _written(messages)
        for threads in self._repeat:
            again = deepcopy(self._due)
            with self.unmasking[threads].timed():
                again.close(threads)
        with self.spent.timed():
            unmasked = self._due.close()
        _check(unmasked.total, self.params, len(unmasked.survivors))
        return {}


class Client:
    """One client's side in this process.

    Args:
        vector: makes its input, from the session's parameters, when it is due; ones by default.
        model, config: digests of what it is shown.
        signatory: its place in the roster, in an active session.
    """

    def __init__(
        self,
        vector: Vector | None = None,
        model: bytes = MODEL,
        config: bytes = CONFIG,
        signatory: Signatory | None = None,
    ) -> None:
        self.spent = Spent()
        self._signatory = signatory
        self._vector, self._digests = vector or _ones, (model, config)
        self._state: Any = None

    def answer(self, data: bytes | memoryview) -> bytes:
        """Parse the request, take the step that is due, write the reply."""
        vector = self._vector(self._state.params) if isinstance(self._state, AwaitingShares) else None
        with self.spent.timed():
            self._state, reply = self._step(data, vector)
            sent: bytes = reply.to_bytes()
        return sent

    def _step(self, data: bytes | memoryview, vector: Residues | None) -> tuple[object, Any]:
        signatory = self._signatory
        match self._state:
            case AwaitingCohort() as state:
                announced = CohortAnnounced.from_bytes(data)
                return share_keys(state, announced, *self._digests, os.urandom, signatory)
            case AwaitingShares() as state if vector is not None:
                return mask_input(state, SharesDelivered.from_bytes(data, state.advertised), vector)
            case AwaitingSurvivors() as state if signatory is not None:
                return sign_survivors(state, SurvivorsAnnounced.from_bytes(data, state.advertised), signatory)
            case AwaitingSurvivors() | AwaitingSignatures() as state:
                request = UnmaskingRequested.from_bytes(data, state.advertised)
                return reveal_shares(state, request, os.urandom, signatory)
        return advertise_keys(Invitation.from_bytes(data), os.urandom, signatory)


@dataclass
class Account:
    """What one session took.

    Attributes:
        server: what the server spent.
        client: what one client spent, on average.
        up: protocol bytes one client sends in each protocol round, at most.
        down: protocol bytes one client receives in each, at most; the model is not counted.
    """

    server: Spent = field(default_factory=Spent)
    client: Spent = field(default_factory=Spent)
    up: dict[str, int] = field(default_factory=dict)
    down: dict[str, int] = field(default_factory=dict)


def run_session(
    params: SecAggParams,
    drop: float,
    server: ServerSide | None = None,
    client: Callable[[], ClientSide] = Client,
    seed: int = 1,
) -> Account:
    """One session in which a fraction `drop` of the clients vanish after sharing keys (the costly case).

    Args:
        params: of the session.
        drop: fraction of clients, 0..1.
        server: the server's side; None for one in this process.
        client: makes one client's side, in a curious session.
        seed: picks who drops.
    """
    places = _places(params.cohort) if params.is_active else {}
    server = server or Server(params, roster=places[1].roster if places else None)
    clients = {at: Client(signatory=places[at]) if places else client() for at in range(1, params.cohort + 1)}
    gone = set(random.Random(seed).sample(list(clients), int(params.cohort * drop)))
    account, requests = Account(), server.begin()
    for protocol_round in (at for at in ROUNDS if at != "r3" or params.is_active):
        account.down[protocol_round] = max(map(len, requests.values()))
        account.up[protocol_round] = 0
        for index, data in sorted(requests.items()):
            if protocol_round == "r2" and index in gone:
                continue
            reply = clients[index].answer(data)
            account.up[protocol_round] = max(account.up[protocol_round], len(reply))
            server.receive(index, reply)
        requests = server.close()
    account.server = server.spent
    total = sum((party.spent for party in clients.values()), Spent())
    account.client = Spent(total.wall / len(clients), total.core / len(clients))
    return account


def _places(cohort: int) -> dict[int, Signatory]:
    """A place in one roster for each client."""
    keys = [SigningKey.generate(os.urandom) for _ in range(cohort)]
    roster = Roster("bench", 1, 0, tuple(Member(f"client-{at}", key.public) for at, key in enumerate(keys)))
    return {at: Signatory.of(roster, key) for at, key in enumerate(keys, start=1)}


def _written(messages: dict[int, Any]) -> Requests:
    """Each message as bytes; one that goes to everybody is written once."""
    written = {id(message): message for message in messages.values()}
    ready = {key: message.to_bytes() for key, message in written.items()}
    return {client: ready[id(message)] for client, message in messages.items()}


def _ones(params: SecAggParams) -> Residues:
    tensor = np.ones(params.tensor_length, dtype=word_type(params.modulus_bits))
    return Residues(tensor, np.ones(params.scalar_length, dtype="<u8"))


def _check(total: Residues, params: SecAggParams, survivors: int) -> None:
    """Every entry is the number of survivors; looked at in pieces, so that memory is the protocol's alone."""
    surplus = total.tensor.dtype.itemsize * 8 - params.modulus_bits
    due = np.array(survivors, total.tensor.dtype) << surplus
    pieces = range(0, total.tensor.size, _CHECKED_AT_ONCE)
    right = all(np.all(total.tensor[at : at + _CHECKED_AT_ONCE] << surplus == due) for at in pieces)
    if not (right and np.all(total.scalars == survivors)):
        raise SystemExit("the sum is wrong: no figure of this run may be believed")
