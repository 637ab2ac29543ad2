"""One session of the real steps in one process, without transport, timed by side and protocol round.

Decides: what counts for whom: all work of a side, parsing and writing of messages included. The clients run one
after the other.
Refuses to know: what the figures are compared with.
"""

import os
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from arithmetic.residues import word_type
from secagg.client.r0_advertise_keys import advertise_keys
from secagg.client.r1_share_keys import share_keys
from secagg.client.r2_masked_input import mask_input
from secagg.client.r4_unmasking import reveal_shares
from secagg.client.states import AwaitingCohort, AwaitingShares, AwaitingSurvivors
from secagg.masks import Residues
from secagg.messages import (
    CohortAnnounced,
    InputMasked,
    Invitation,
    KeysAdvertised,
    SharesDelivered,
    SharesRevealed,
    SharesSealed,
    UnmaskingRequested,
)
from secagg.params import SecAggParams, Session
from secagg.server.r0_advertise_keys import KeyCollection

MODEL, CONFIG = b"m" * 32, b"c" * 32


@dataclass
class Account:
    """Seconds by (side, protocol round), bytes by direction.

    Attributes:
        clients: clients that took part.
        up: protocol bytes one client sends in all rounds, at most.
        down: protocol bytes one client receives in all rounds, at most; the model is not counted.
    """

    clients: int
    seconds: dict[tuple[str, str], float] = field(default_factory=lambda: defaultdict(float))
    up: int = 0
    down: int = 0

    @contextmanager
    def timed(self, side: str, protocol_round: str) -> Iterator[None]:
        """Charge the block to a side."""
        started = time.perf_counter()
        yield
        self.seconds[side, protocol_round] += time.perf_counter() - started

    @property
    def client(self) -> float:
        """Mean seconds of one client, all rounds."""
        return sum(s for (side, _), s in self.seconds.items() if side == "client") / self.clients

    @property
    def server(self) -> float:
        """Seconds of the server, all rounds."""
        return sum(s for (side, _), s in self.seconds.items() if side == "server")


def run_session(params: SecAggParams, drop: float, workers: int = 1, seed: int = 1) -> Account:
    """Time one session in which a fraction `drop` of the clients vanish after sharing keys (the costly case).

    Every client's input is the vector of ones; the sum is checked.

    Args:
        params: of the session.
        drop: fraction of clients, 0..1.
        workers: the server's threads in r4.
        seed: picks who drops.
    """
    clients = range(1, params.cohort + 1)
    gone = set(random.Random(seed).sample(list(clients), int(params.cohort * drop)))
    account = Account(params.cohort)
    keys = KeyCollection(Session(os.urandom(32), 1, params), clients)
    invitation = keys.invitation.to_bytes()
    nothing: dict[int, AwaitingCohort | None] = dict.fromkeys(clients)
    waiting, sent = _everybody(account, "r0", _advertise, nothing, dict.fromkeys(clients, invitation))
    with account.timed("server", "r0"):
        for client, data in sent.items():
            keys.receive(client, KeysAdvertised.from_bytes(data).keys)
        shares, announced = keys.close(MODEL, CONFIG)
        requests = {client: message.to_bytes() for client, message in announced.items()}
    sharing, sent = _everybody(account, "r1", _share, waiting, requests)
    with account.timed("server", "r1"):
        for client, data in sent.items():
            shares.receive(client, SharesSealed.from_bytes(data))
        inputs, delivered = shares.close()
        requests = {client: message.to_bytes() for client, message in delivered.items()}
    masked: dict[int, AwaitingSurvivors] = {}
    data = b""
    for client in sorted(set(clients) - gone):
        # One vector at a time, folded in at once: n of them are never held.
        masked[client], data = _mask(account, sharing[client], requests[client], params)
        with account.timed("server", "r2"):
            inputs.receive(client, InputMasked.from_bytes(data, params))
    account.up += len(data)
    account.down += max(map(len, requests.values()))
    with account.timed("server", "r2"):
        recovery, survivors = inputs.close()
        requests = {client: message.to_bytes() for client, message in survivors.items()}
    _, sent = _everybody(account, "r4", _reveal, masked, requests)
    with account.timed("server", "r4"):
        for client, data in sent.items():
            recovery.receive(client, SharesRevealed.from_bytes(data))
        unmasked = recovery.close(workers)
    _check(unmasked.total, params, len(masked))
    return account


def _advertise(_: AwaitingCohort | None, data: bytes) -> tuple[AwaitingCohort, bytes]:
    state, reply = advertise_keys(Invitation.from_bytes(data), os.urandom)
    return state, reply.to_bytes()


def _share(state: AwaitingCohort, data: bytes) -> tuple[AwaitingShares, bytes]:
    following, reply = share_keys(state, CohortAnnounced.from_bytes(data), MODEL, CONFIG, os.urandom)
    return following, reply.to_bytes()


def _reveal(state: AwaitingSurvivors, data: bytes) -> tuple[object, bytes]:
    following, reply = reveal_shares(state, UnmaskingRequested.from_bytes(data), os.urandom)
    return following, reply.to_bytes()


def _mask(
    account: Account, state: AwaitingShares, data: bytes, params: SecAggParams
) -> tuple[AwaitingSurvivors, bytes]:
    tensor = np.ones(params.tensor_length, dtype=word_type(params.modulus_bits))
    vector = Residues(tensor, np.ones(params.scalar_length, dtype="<u8"))
    with account.timed("client", "r2"):
        delivered = SharesDelivered.from_bytes(data, state.advertised)
        following, reply = mask_input(state, delivered, vector)
        sent = reply.to_bytes()
    return following, sent


State = TypeVar("State")
Next = TypeVar("Next")


def _everybody(
    account: Account,
    protocol_round: str,
    step: Callable[[State, bytes], tuple[Next, bytes]],
    states: dict[int, State],
    requests: dict[int, bytes],
) -> tuple[dict[int, Next], dict[int, bytes]]:
    """Run one step of every client asked."""
    following, sent = {}, {}
    with account.timed("client", protocol_round):
        for client, data in requests.items():
            following[client], sent[client] = step(states[client], data)
    account.up += max(map(len, sent.values()), default=0)
    account.down += max(map(len, requests.values()), default=0)
    return following, sent


def _check(total: Residues, params: SecAggParams, survivors: int) -> None:
    surplus = total.tensor.dtype.itemsize * 8 - params.modulus_bits
    if not (np.all(total.tensor << surplus == np.array(survivors, total.tensor.dtype) << surplus)):
        raise SystemExit("the sum is wrong: no figure of this run may be believed")
