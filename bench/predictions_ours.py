"""Our side of `bench.predictions`: three servers as processes, as `predict serve` starts them, and a client that asks.

Decides: what counts. A query's seconds are the client's: masking, TLS to two servers, the protocol with its tags and
digests, canaries at their default (one for every eight examples, at least one, on top of the batch), unmasking and
checking. With preparation: nothing is made ahead, so that the client waits for the helper too. Online: one lot lies
ready. Refuses to know: how peers are measured.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from app.predictions.kits import CLIENTS_FOLDER, OWNER_FOLDER, PartyKit, server_folders
from app.predictions.ownership import ToShare, loopback_kits, prepare, share
from app.predictions.processes import running
from bench.predictions_networks import Case
from predictions.asking import mask_input, sub_seed
from predictions.canaries import number_for
from predictions.client import Client
from predictions.credentials import FIRST, HELPER, SECOND
from predictions.limits import Limits
from predictions.model_shares import HelperModel, OnlineModel
from predictions.online import Lot, evaluate
from predictions.owner import Owner, Prepared
from predictions.preparation import prepare as make_lot
from predictions.primitives import KEY_BYTES
from predictions.program import Answer
from predictions.values import to_integers

_CLIENT = "bench"
_OPENING = 3  # examples of a first query, of a size that no case has: it opens links
_READY = 60.0  # seconds


@dataclass(frozen=True)
class Traffic:
    """What moves for one query, tags and headers of frames aside.

    Attributes:
        exchanges: of one message each way between the online servers, one after the other.
        bytes: that both send in them.
        corrections: bytes that the helper sends to the second server, ahead of the query.
    """

    exchanges: int
    bytes: int
    corrections: int


@dataclass(frozen=True)
class Timed:
    """Queries of one batch.

    Attributes:
        seconds: of each query, warm.
        error: largest difference of a logit from float64.
        client_bytes: that the client sent and received in one.
        largest: absolute logit.
    """

    seconds: tuple[float, ...]
    error: float
    client_bytes: int
    largest: float


class Servers:
    """Three running servers, and the owner's and a client's way to them.

    Args:
        root: folder of their kits.
        ahead: lots that they make ahead, 0 or 1.
    """

    def __init__(self, root: Path, ahead: int) -> None:
        self._root, self._ahead = root, ahead
        kit = PartyKit.open(root / OWNER_FOLDER)
        self._owner = Owner(kit.servers, kit.credentials)
        self._sizes: set[int] = set()
        self._due = 0

    def take(self, prepared: Prepared) -> None:
        """Hand a model to the servers and the client's kit."""
        share(prepared, self._root, "", _silent)
        self._sizes, self._due = set(), self._lots()

    def ask(self, case: Case, batch: int, repeats: int) -> Timed:
        """Time queries of logits after one to warm up."""
        with self.client() as client:
            self._timed(client, case, batch, 1)
            return self._timed(client, case, batch, repeats)

    def ask_twice(self, case: Case, batch: int) -> tuple[float, float]:
        """Seconds of the first batch of a size, whose material is made then, and of the next, with its lot ready."""
        with self.client() as client:
            self._timed(client, case, _OPENING, 1)
            return self._timed(client, case, batch, 1).seconds[0], self._timed(
                client, case, batch, 1
            ).seconds[0]

    def client(self) -> Client:
        """One that asks the servers."""
        return Client(PartyKit.open(self._root / CLIENTS_FOLDER / _CLIENT).for_client(), patience=_READY)

    def _timed(self, client: Client, case: Case, batch: int, repeats: int) -> Timed:
        """Queries of one client; each leaves when what servers make ahead is there."""
        inputs, wanted = case.inputs[:batch].numpy(), case.logits[:batch].numpy()
        seconds, error = [], 0.0
        for _ in range(repeats):
            reply = client.query(inputs, Answer.LOGITS)
            seconds.append(reply.seconds)
            error = max(error, float(np.abs(reply.answers - wanted).max()))
            self._await_lots(batch)
        return Timed(tuple(seconds), error, reply.sent + reply.received, float(np.abs(wanted).max()))

    def _await_lots(self, batch: int) -> None:
        """Wait until all lots are made, and a little for the last to arrive."""
        self._due += self._ahead + (batch not in self._sizes) if self._ahead else 1
        self._sizes.add(batch)
        end = time.monotonic() + _READY
        while self._lots() < self._due:
            if time.monotonic() > end:
                raise SystemExit("the helper made nothing ahead; online figures would be wrong")
            time.sleep(0.01)
        time.sleep(0.05)

    def _lots(self) -> int:
        return self._owner.status(HELPER).get("lots", 0)


@contextlib.contextmanager
def servers(folder: Path, ahead: int) -> Iterator[Servers]:
    """Three servers on loopback that make so many lots ahead, ended with the block."""
    loopback_kits(folder, [_CLIENT])
    with running(server_folders(folder), ("--ahead", str(ahead)), _silent):
        yield Servers(folder, ahead)


def prepared(case: Case) -> Prepared:
    """The network, converted and cut."""
    samples = case.calibration.numpy()
    return prepare(ToShare(case.model, 0.0, 1.0, samples), Limits())


def traffic(case: Case, made: Prepared, batch: int) -> Traffic:
    """What one query of `batch` examples and their canaries moves, counted in memory."""
    program, rows = made.sharing.program, batch + number_for(batch)
    content = [made.parts[party].content for party in (HELPER, FIRST, SECOND)]
    helper = HelperModel.from_bytes(program, content[0])
    seeds = os.urandom(KEY_BYTES), os.urandom(KEY_BYTES)
    corrections = make_lot(program, helper, rows, Answer.LOGITS, *seeds)
    inputs = to_integers(program, np.resize(case.inputs.numpy(), (rows, *program.wires[0].shape)))
    masked = mask_input(program, inputs, sub_seed(seeds[0]), sub_seed(seeds[1]))
    lots = Lot(rows, seeds[0], b""), Lot(rows, seeds[1], corrections)
    sides = [
        evaluate(program, OnlineModel.from_bytes(program, part), lot, masked, Answer.LOGITS)
        for part, lot in zip(content[1:], lots, strict=True)
    ]
    sizes, messages = [], [next(side) for side in sides]
    with contextlib.suppress(StopIteration):
        while True:
            sizes.append(sum(map(len, messages)))
            messages = [side.send(other) for side, other in zip(sides, reversed(messages), strict=True)]
    return Traffic(len(sizes), sum(sizes), len(corrections))


def _silent(line: str) -> None:
    """Lines of servers' logs are nobody's here."""
