"""Who shares secrets and pairwise masks with whom: everybody, or a random k-regular Harary graph.

Decides: the graph, as a function of the number of clients, the degree and a public seed, alike on every
machine.
Refuses to know: any secret, where the seed comes from, and which degree is enough (`secagg.bounds`).

Clients stand in a circle in an order that the seed alone decides, and each knows the k/2 next on either
side (Harary 1962; Bell et al., CCS 2020, section 3). With k odd, which needs n even, the one opposite as
well. n is the number of clients that advertised keys, not the number that was planned: an even k fits any
n > k + 1, and every n <= k + 1 makes the graph complete.

The order: word i of SHAKE-256("chorus graph order 1" | seed | n in 4 bytes | attempt in 4 bytes), 8
bytes each, belongs to client i; clients stand in ascending order of their words. All integers are
big-endian. If two words are equal, which happens for a million clients once in 2^25 sessions, attempt
grows by one from zero. Distinct words in random order are a uniform permutation, without any bias.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from arithmetic.errors import ParameterError

SEED_BYTES = 32
MOST_CLIENTS = 1 << 20
_LABEL = b"chorus graph order 1"
_COMPLETE, _REGULAR = 0, 1
# Graphs of sessions under way at once; an order of 10^6 clients takes 16 MB.
_ORDERS_KEPT = 4


@dataclass(frozen=True)
class Graph:
    """An undirected graph over clients 1..n, every one of degree k; nobody is its own neighbour.

    Make it with `complete` or `random_regular`.

    Attributes:
        n: clients, 2..2^20.
        k: neighbours of each client, 2..n - 2; or n - 1, the complete graph.
        seed: 32 public bytes; empty for the complete graph, which needs none.

    Raises:
        ParameterError: no such graph.
    """

    n: int
    k: int
    seed: bytes

    def __post_init__(self) -> None:
        """Refuse what is no graph of this kind."""
        if not 2 <= self.n <= MOST_CLIENTS:
            raise ParameterError(
                f"a graph over {self.n} clients cannot work; let 2 to {MOST_CLIENTS} clients take part"
            )
        if self.is_complete:
            return
        if not 2 <= self.k < self.n - 1:
            raise ParameterError(
                f"{self.k} neighbours cannot be drawn among {self.n} clients; choose from 2 to {self.n - 2}, "
                "or the complete graph"
            )
        if self.k % 2 and self.n % 2:
            raise ParameterError(
                f"{self.n} clients cannot all have {self.k} neighbours, both being odd; choose an even number"
            )
        if len(self.seed) != SEED_BYTES:
            raise ParameterError(
                f"the graph's seed has {len(self.seed)} bytes, not {SEED_BYTES}; pass a SHA-256 digest"
            )

    @classmethod
    def complete(cls, n: int) -> Self:
        """Everybody is everybody's neighbour.

        Raises:
            ParameterError: n outside 2..2^20.
        """
        return cls(n, n - 1, b"")

    @classmethod
    def random_regular(cls, n: int, k: int, seed: bytes) -> Self:
        """Every client has k neighbours, everyone with the same probability; complete where k >= n - 1.

        Args:
            n: clients, 2..2^20.
            k: neighbours, >= 2; even unless n is.
            seed: 32 bytes, public, and known to nobody before the clients' places are taken.

        Raises:
            ParameterError: no such graph.
        """
        return cls.complete(n) if k >= n - 1 else cls(n, k, seed)

    @property
    def is_complete(self) -> bool:
        """Whether everybody is everybody's neighbour."""
        return self.k == self.n - 1 and not self.seed

    def neighbours(self, index: int) -> tuple[int, ...]:
        """The k neighbours of client `index` (1..n), ascending, without itself.

        Raises:
            ParameterError: no such client.
        """
        if not 1 <= index <= self.n:
            raise ParameterError(f"there is no client {index} in a graph over clients 1 to {self.n}")
        if self.is_complete:
            return (*range(1, index), *range(index + 1, self.n + 1))
        order, place = _order(self.n, self.seed)
        around = int(place[index - 1]) + _offsets(self.n, self.k)
        return tuple(np.sort(order.take(around, mode="wrap")).tolist())

    def to_bytes(self) -> bytes:
        """Canonical form, for hashing: kind (1 byte: 0 complete, 1 regular), n and k (4 bytes each), seed.

        The seed is 32 bytes in a regular graph and absent in a complete one, so no two graphs share a
        form; integers are big-endian. 9 or 41 bytes.
        """
        kind = _COMPLETE if self.is_complete else _REGULAR
        return bytes((kind,)) + self.n.to_bytes(4, "big") + self.k.to_bytes(4, "big") + self.seed


@lru_cache(maxsize=_ORDERS_KEPT)
def _order(n: int, seed: bytes) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clients (1..n) in the order of the circle, and of each client its place (0..n - 1)."""
    attempt = 0
    while True:
        prefix = _LABEL + seed + n.to_bytes(4, "big") + attempt.to_bytes(4, "big")
        words = np.frombuffer(hashlib.shake_256(prefix).digest(8 * n), dtype=">u8")
        sequence = np.argsort(words, kind="stable").astype(np.int64)
        ranked = words[sequence]
        if not np.any(ranked[1:] == ranked[:-1]):
            break
        attempt += 1
    place = np.empty(n, dtype=np.int64)
    place[sequence] = np.arange(n, dtype=np.int64)
    order = sequence + 1
    order.flags.writeable = place.flags.writeable = False
    return order, place


@lru_cache(maxsize=_ORDERS_KEPT)
def _offsets(n: int, k: int) -> NDArray[np.int64]:
    """How far along the circle the neighbours of anybody stand."""
    half = k // 2
    opposite = [n // 2] if k % 2 else []
    offsets = np.array([*range(-half, 0), *range(1, half + 1), *opposite], dtype=np.int64)
    offsets.flags.writeable = False
    return offsets
