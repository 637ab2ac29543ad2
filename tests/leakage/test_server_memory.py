"""The memory of a server's process at the end of a session: no client's private key, pairwise mask or vector.

The server of `bench.separate` has a process of its own; it is stopped, read through /proc (what a core file would hold)
and killed. What it is meant to know is found there, so the search searches.
"""

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from arithmetic.residues import word_type
from bench.separate import SeparateServer
from bench.session import Client, Requests
from secagg.client.states import AwaitingShares
from secagg.masks import Residues, pairwise_mask_seed
from secagg.params import SecAggParams

PARAMS = SecAggParams.complete(4, 24, 64, 2, 3)
CLIENTS = (1, 2, 3, 4)


def memory_of(process: int) -> list[bytes]:
    """Every writable stretch of a process's memory.

    Raises:
        OSError: this system does not let us.
    """
    found = []
    with open(f"/proc/{process}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{process}/maps").read_text().splitlines():
            place, rights = line.split()[:2]
            start, end = (int(each, 16) for each in place.split("-"))
            if rights.startswith("rw") and "[v" not in line:
                memory.seek(start)
                found.append(memory.read(end - start))
    return found


def vectors() -> dict[int, Residues]:
    """Random vectors of which every entry sums to the number of clients, as the server of the bench checks."""
    rng = np.random.default_rng(int.from_bytes(os.urandom(8), "big"))
    tensors = {c: rng.integers(0, 1 << 24, PARAMS.tensor_length, dtype=np.uint64) for c in CLIENTS[:-1]}
    tensors[4] = (4 - sum(tensors.values(), np.uint64(0))) % (1 << 24)
    ones = np.ones(PARAMS.scalar_length, dtype="<u8")
    return {c: Residues(tensor.astype(word_type(24)), ones.copy()) for c, tensor in tensors.items()}


def protocol_round(server: SeparateServer, clients: dict[int, Client], requests: Requests) -> Requests:
    for client in CLIENTS:
        server.receive(client, clients[client].answer(requests[client]))
    return server.close()


def secrets_of(states: dict[int, AwaitingShares], inputs: dict[int, bytes]) -> dict[str, list[bytes]]:
    """By name; in the clear nowhere but on the clients."""
    found: dict[str, list[bytes]] = {"private keys": [], "pairwise mask seeds": [], "vectors": []}
    for client, state in states.items():
        found["private keys"] += [state.keys.mask.private, state.keys.channel.private]
        found["vectors"] += [inputs[client][at : at + 32] for at in (0, 64, 128)]
        for peer, keys in state.peers.items():
            seed = pairwise_mask_seed(state.keys.mask.private, keys.mask, state.context, client, peer)
            found["pairwise mask seeds"] += [seed.tensor, seed.scalars]
    return found


def test_a_servers_memory_holds_no_secret_of_a_client() -> None:
    server = SeparateServer(PARAMS)
    process: subprocess.Popen[bytes] = server._process
    try:
        made = vectors()
        inputs = {c: vector.tensor.tobytes() for c, vector in made.items()}
        clients = {c: Client(lambda _, c=c: made[c]) for c in CLIENTS}  # type: ignore[misc]
        requests = protocol_round(server, clients, server.begin())
        requests = protocol_round(server, clients, requests)
        states = {c: client._state for c, client in clients.items()}
        requests = protocol_round(server, clients, requests)
        assert protocol_round(server, clients, requests) == {}
        os.kill(process.pid, signal.SIGSTOP)
        try:
            memory = memory_of(process.pid)
        except OSError as error:
            pytest.skip(f"the memory of another process cannot be read here: {error.strerror}")
    finally:
        process.kill()
        process.wait()
        server._to.close()
        server._from.close()
    public = [state.keys.public.mask for state in states.values()]
    assert all(any(key in part for part in memory) for key in public)
    # The self-mask seeds are the server's to rebuild, and it has just done so.
    assert any(state.seed in part for part in memory for state in states.values())
    for name, needles in secrets_of(states, inputs).items():
        assert [needle for needle in needles if any(needle in part for part in memory)] == [], name
