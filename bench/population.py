"""Ten thousand clients on one machine: a grid whose clients run the real steps in processes of their own.

Decides: what a client of the population puts in (a vector that follows from its number), who drops when, and by what
name a dropped client is known to the server (an error reply, as Flower gives for a client that crashed). The server's
process holds nothing of the clients', so that its memory is its own.
Refuses to know: groups and sums; `bench.groups` holds the server's real code against this grid.
"""

import multiprocessing
import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Error, Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from arithmetic.residues import from_signed
from bench.session import Client
from secagg.masks import Residues
from secagg.params import SecAggParams
from wire.records import PROTOCOL_KEY, message_of, reply_record
from wire.rounds import ProtocolRound

_ROUNDS = {each.message_type: each for each in ProtocolRound if each is not ProtocolRound.CONSISTENCY_CHECK}
_KEY, _HEAD = 40, 48  # bytes of a message's identifier; of that and the client's number
_LARGEST = 1 << 15


def contribution(node: int, length: int) -> npt.NDArray[np.int64]:
    """What client `node` puts in: signed 16-bit entries that look like nobody else's, shape (length,)."""
    entries = np.arange(length, dtype=np.uint64) * np.uint64(2 * node + 1) + np.uint64(node * 40_503)
    mixed = (entries * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(48)
    return mixed.astype(np.int64) - _LARGEST


@dataclass
class _Worker:
    """One process of clients, and the lock under which the server writes to it."""

    process: Any
    pipe: Connection
    writing: threading.Lock = field(default_factory=threading.Lock)


class PopulationGrid(Grid):
    """Clients 1..n in `workers` processes.

    Args:
        clients: n.
        drop: probability that a client that is asked does not complete that protocol round.
        digests: of the model and the configuration, as every client sees them.
        workers: processes.
        seed: picks who drops.

    Attributes:
        summed: clients whose masked input reached the server.
    """

    def __init__(
        self, clients: int, drop: float, digests: tuple[bytes, bytes], workers: int, seed: int = 1
    ) -> None:
        TaskIdentity.run_id = TaskIdentity.task_id = TaskIdentity.node_id = 1
        self.ids = list(range(1, clients + 1))
        self.summed: set[int] = set()
        self._drop, self._dice = drop, random.Random(seed)
        self._pushed = 0
        self._asked: dict[str, Message] = {}
        self._replies: dict[str, bytes | None] = {}
        self._lock = threading.Lock()
        self._workers = [_start(digests) for _ in range(workers)]
        for worker in self._workers:
            threading.Thread(target=self._listen, args=(worker.pipe,), daemon=True).start()

    def close(self) -> None:
        """End the clients' processes."""
        for worker in self._workers:
            worker.pipe.send_bytes(b"")
            worker.process.join()

    def get_node_ids(self) -> Iterable[int]:
        """Everybody."""
        return list(self.ids)

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Everybody."""
        return [NodeInfo(node_id=node) for node in self.ids]

    @property
    def run(self) -> Run:
        """Not needed here."""
        raise NotImplementedError

    def set_run(self, run: Run) -> None:
        """Not needed here."""
        raise NotImplementedError

    def create_message(self, *args: object, **kwargs: object) -> Message:
        """Not needed here."""
        raise NotImplementedError

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Not needed here."""
        raise NotImplementedError

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hand requests to the clients; each client asked may drop now."""
        return [self._push(message) for message in messages]

    def _push(self, message: Message) -> str:
        node, step = message.metadata.dst_node_id, _ROUNDS[message.metadata.message_type]
        with self._lock:
            self._pushed += 1
            key = f"{self._pushed:x}-{step}-{node}"
            message.metadata.__dict__["_message_id"] = key
            self._asked[key] = message
            dropped = self._dice.random() < self._drop
            if dropped:
                self._replies[key] = None
            elif step is ProtocolRound.MASKED_INPUT:
                self.summed.add(node)
        if not dropped:
            head = key.encode().ljust(_KEY) + node.to_bytes(_HEAD - _KEY, "big")
            worker = self._workers[node % len(self._workers)]
            with worker.writing:
                worker.pipe.send_bytes(head + message_of(message.content[PROTOCOL_KEY]))
        message.content = RecordDict()
        return key

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that have come; one of a dropped client is an error."""
        with self._lock:
            keys = [key for key in message_ids if key in self._replies]
            found = [(self._asked.pop(key), self._replies.pop(key)) for key in keys]
        for request, reply in found:
            if reply is None:
                yield Message(Error(0, "the client crashed"), reply_to=request)
            else:
                yield Message(reply_record(reply), reply_to=request)

    def _listen(self, pipe: Connection) -> None:
        while True:
            try:
                data = pipe.recv_bytes()
            except EOFError:
                return
            with self._lock:
                self._replies[data[:_KEY].decode().strip()] = data[_KEY:]


def _start(digests: tuple[bytes, bytes]) -> _Worker:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, *digests), daemon=True
    )
    process.start()
    theirs.close()
    ours.recv_bytes()  # its imports are done
    return _Worker(process, ours)


def _serve(pipe: Connection, model_digest: bytes, config_digest: bytes) -> None:
    """The clients of one process: answer until an empty message comes."""
    clients: dict[int, Client] = {}
    pipe.send_bytes(b"ready")
    while True:
        data = pipe.recv_bytes()
        if not data:
            return
        key, node, message = data[:_KEY], int.from_bytes(data[_KEY:_HEAD], "big"), data[_HEAD:]
        if node not in clients:
            clients[node] = Client(partial(_input, node), model_digest, config_digest)
        pipe.send_bytes(key + clients[node].answer(message))


def _input(node: int, params: SecAggParams) -> Residues:
    """A client's contribution, and its number in every scalar."""
    tensor = from_signed(contribution(node, params.tensor_length), params.modulus_bits)
    return Residues(tensor, np.full(params.scalar_length, node, dtype="<u8"))
