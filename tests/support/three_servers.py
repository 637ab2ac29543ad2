"""Three servers on loopback in this process, a client and an owner: what tests of serving stand on."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import torch
from torch import nn

from app.deployment import certificates
from predictions import owner, reference
from predictions.client import Client, Kit
from predictions.conversion import convert
from predictions.credentials import FIRST, HELPER, OWNER, SCHEME, SECOND, SERVERS, Credentials
from predictions.first_server import FirstServer, Work
from predictions.helper_server import HelperServer
from predictions.limits import Limits
from predictions.link import Address
from predictions.online_server import OnlineServer
from predictions.program import Program
from predictions.second_server import SecondServer
from predictions.server import Place, Server
from predictions.tolerance import tolerance
from predictions.values import to_integers
from predictions.weights import Weights

CLIENTS = ("client/alice", "client/bob")
PATIENCE = 3.0


@lru_cache(maxsize=1)
def credentials() -> dict[str, Credentials]:
    """One authority's certificates for everybody."""
    folder, now = Path(mkdtemp(prefix="chorus-predictions-")), datetime.now(UTC)
    ca = certificates.make_ca("tests", now)
    (folder / "ca.crt").write_bytes(ca.public)
    found = {}
    for party in (*SERVERS, OWNER, *CLIENTS):
        pair, name = certificates.make_party_certificate(ca, SCHEME + party, now, 2), party.replace("/", "-")
        (folder / f"{name}.crt").write_bytes(pair.public)
        (folder / f"{name}.key").write_bytes(pair.private)
        found[party] = Credentials(folder / "ca.crt", folder / f"{name}.crt", folder / f"{name}.key")
    return found


@lru_cache(maxsize=1)
def small_model() -> tuple[Program, tuple[Weights, ...]]:
    """Eight inputs in [-1, 1], one hidden layer, four classes."""
    torch.manual_seed(7)
    network = nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 4))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(3)
    program, weights = convert(network, (8,), -1.0, 1.0)
    return program, tuple(weights)


def inputs(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (rows, 8))


class Memory:
    """A keeper whose files outlive its server."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        return self.files.get(name)

    def write(self, name: str, content: bytes) -> None:
        self.files[name] = content


@dataclass
class Stage:
    """Servers by party; `start` and `stop` one as its process would."""

    work: Work = field(default_factory=lambda: Work())
    limits: Limits = field(default_factory=Limits)
    addresses: dict[str, Address] = field(default_factory=dict)
    servers: dict[str, Server] = field(default_factory=dict)
    threads: dict[str, threading.Thread] = field(default_factory=dict)
    keepers: dict[str, Memory] = field(default_factory=lambda: {party: Memory() for party in SERVERS})
    lines: list[str] = field(default_factory=list)
    prepared: owner.Prepared | None = None
    patience: float = PATIENCE

    def start(self, party: str) -> None:
        where = self.addresses.get(party, Address("127.0.0.1", 0))
        place = Place(
            party,
            where,
            self.addresses,
            credentials()[party],
            self.keepers[party],
            self.lines.append,
            self.patience,
        )
        follows = bool(self.work.requests)
        if party == HELPER:
            server: Server = HelperServer(place, follows=follows)
        elif party == FIRST:
            server = FirstServer(place, self.work)
        else:
            server = SecondServer(place, self.work.most_bytes, follows=follows)
        self.addresses[party] = Address("127.0.0.1", server.open())
        self.servers[party] = server
        self.threads[party] = threading.Thread(target=server.wait, daemon=True)
        self.threads[party].start()

    def stop(self, party: str) -> None:
        self.servers[party].ending.set()
        self.threads[party].join(10)

    def kill(self, party: str) -> None:
        """End a server as a crash would: every link at once, nothing told to anybody."""
        server = self.servers.pop(party)
        server._listener.close()
        if isinstance(server, OnlineServer) and server._supply is not None:
            server._supply.close()
        if isinstance(server, FirstServer):
            server._lanes.close()

    def share(self) -> owner.Prepared:
        prepared = owner.prepare_sharing(*small_model(), self.limits)
        owner.Owner(self.addresses, credentials()[OWNER], PATIENCE).share(prepared)
        self.prepared = prepared
        return prepared

    def kit(self, name: str = CLIENTS[0]) -> Kit:
        assert self.prepared is not None
        return Kit(self.prepared.sharing, self.prepared.canaries, self.addresses, credentials()[name])

    def client(self, name: str = CLIENTS[0]) -> Client:
        return Client(self.kit(name), 2 * PATIENCE)


@contextlib.contextmanager
def served(
    work: Work | None = None, limits: Limits | None = None, patience: float = PATIENCE
) -> Iterator[Stage]:
    """Three servers with a shared model."""
    stage = Stage(work or Work(), limits or Limits(), patience=patience)
    try:
        for party in (HELPER, SECOND, FIRST):
            stage.start(party)
        stage.share()
        yield stage
    finally:
        for party in list(stage.servers):
            stage.stop(party)


def exact_logits(rows: np.ndarray) -> np.ndarray:
    """In plain fixed point, as integers."""
    program, weights = small_model()
    return reference.evaluate(program, weights, to_integers(program, rows))


def allowed(rows: np.ndarray) -> np.ndarray:
    """Units that honest logits may be off."""
    program, weights = small_model()
    return tolerance(program, weights, to_integers(program, rows))
