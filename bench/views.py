"""What a server sees of two inputs with one sum, and what it and one client know between them.

Sessions of four clients against an active server, all five protocol rounds, every message and state as bytes
(`tests.support.cohort`). A vector is many short blocks, each under mask words of its own, and every client's input is
the same in all of them: a block is one run of the masking, a session one of everything else.

Decides: the two inputs, what a party that keeps to the protocol can strip from a vector, and the ways of masking that
are broken on purpose.
Refuses to know: statistics (`bench.leakage`).
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from itertools import combinations
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

import secagg.client.r2_masked_input as r2
import secagg.masks
import secagg.server.r4_unmasking as r4
from secagg.bounds import Adversary
from secagg.client.states import AwaitingShares
from secagg.masks import Mask, MaskSeed, Residues, Sign, add_masks, pairwise_sign, self_mask_seed
from secagg.messages import InputMasked
from secagg.params import SecAggParams
from secagg.primitives import KeyStream, PrivateKey, derive_key
from tests.support.cohort import Cohort, Vector, check_exact
from tests.support.residues import unpacked

CLIENTS = (1, 2, 3, 4)
BLOCK = 2
LATE = 4
Octets = npt.NDArray[np.uint8]
Inputs = tuple[dict[int, int], dict[int, int]]


@dataclass(frozen=True)
class Views:
    """Of many sessions.

    Attributes:
        label: shape (runs,), which of the two inputs, for every block.
        colluder: shape (runs,), the client that has one input in both cases.
        server: shape (runs, columns), words of the server's view of a block.
        coalition: likewise, once `colluder` adds what it knows; its own columns are left out.
        messages: shape (sessions, bytes), every other byte the clients sent; `session_label` belongs to it.
    """

    label: Octets
    colluder: Octets
    server: Octets
    coalition: Octets
    messages: Octets
    session_label: Octets


def collect(sessions: int, blocks: int, late: bool = False, seed: object = 0) -> Views:
    """Play `sessions` sessions of `blocks` blocks each.

    Args:
        sessions: how many; labels and colluders take turns.
        blocks: in a vector.
        late: whether client 4's vector comes when it has been called dropped: the server has it, and its mask key.
        seed: of all entropy, so that a figure can be had again.

    Raises:
        AssertionError: a sum was not exact.
    """
    params = SecAggParams.complete(4, 8, BLOCK * blocks, 1, 3, Adversary.ACTIVE, 1)
    cohort = Cohort(params, dict.fromkeys(CLIENTS, Vector((), ())), seed=seed)
    if late:
        cohort.tamper = lambda at, way, who, data: None if (at, way, who) == ("r2", "up", LATE) else data
    labels, colluders, server, coalition, messages = [], [], [], [], []
    for number in range(sessions):
        label, colluder = number % 2, CLIENTS[number // 2 % 4]
        numbers = pair_of_inputs(colluder, late)[label]
        cohort.inputs = {c: Vector((n,) * params.tensor_length, (n,)) for c, n in numbers.items()}
        outcome = cohort.run()
        if number % 50 == 0:
            check_exact(outcome, params, cohort.inputs, survivors_of(late))
        knowledge = Knowledge(cohort, LATE if late else 0)
        labels.append(label)
        colluders.append(colluder)
        server.append(knowledge.columns(0))
        coalition.append(knowledge.columns(colluder))
        messages.append(knowledge.messages())
    return Views(
        np.repeat(np.array(labels, np.uint8), blocks), np.repeat(np.array(colluders, np.uint8), blocks),
        np.concatenate(server), np.concatenate(coalition), np.stack(messages), np.array(labels, np.uint8),
    )  # fmt: skip


def survivors_of(late: bool) -> frozenset[int]:
    """Who is in the sum."""
    return frozenset(CLIENTS) - ({LATE} if late else set())


def pair_of_inputs(colluder: int, late: bool) -> Inputs:
    """Two inputs, by client, that have one sum over the survivors and one number of the colluder."""
    honest = [client for client in CLIENTS if client != colluder and client in survivors_of(late)]
    first = [21, -21, *[0] * len(honest)][: len(honest)]
    left, right = dict(zip(honest, first, strict=True)), dict(zip(honest, first[::-1], strict=True))
    # Who comes late is in no sum: its input may be anything at all.
    apart = {LATE: 3}, {LATE: 30}
    return apart[0] | left | {colluder: 5}, apart[1] | right | {colluder: 5}


class Knowledge:
    """The last session of a cohort, as the server holds it at its end.

    The server rebuilt the survivors' self-mask seeds and, of who was late, the mask key. That it did is what
    `check_exact` shows; here both are read from the clients' states.
    """

    def __init__(self, cohort: Cohort, late: int) -> None:
        self._cohort, self._late = cohort, late
        self._clients = tuple(cohort.inputs)
        self._states = {c: AwaitingShares.from_bytes(cohort.states["r2", c]) for c in self._clients}
        self._pairs: dict[tuple[int, int], MaskSeed] = {}

    def columns(self, colluder: int) -> Octets:
        """(blocks, columns): words as sent, with all known masks off, and sums and differences of two clients.

        Args:
            colluder: who works with the server; 0 for nobody.
        """
        honest = [client for client in self._clients if client != colluder]
        sent = [self._sent(client).tensor for client in honest]
        bare = [self.bare(client, {self._late, colluder}).tensor for client in honest]
        joint = [made for a, b in combinations(bare, 2) for made in (a + b, a - b)]
        return np.concatenate([words.reshape(-1, BLOCK) for words in (*sent, *bare, *joint)], axis=1)

    def messages(self) -> Octets:
        """Every reply but the vectors, and the scalars with the known masks off; of one length for every session.

        r0 is left out: later sessions of a cohort do without, their keys having come with r4.
        """
        told = sorted(key for key in self._cohort.replies if key[0] in ("r1", "r3", "r4"))
        scalars = [self.bare(client, {self._late}).scalars.tobytes() for client in self._clients]
        return np.frombuffer(b"".join([*map(self._cohort.replies.__getitem__, told), *scalars]), np.uint8)

    def _sent(self, client: int) -> Residues:
        params = self._cohort.params
        message = InputMasked.from_bytes(self._cohort.replies["r2", client], params)
        tensor = unpacked(message.tensor, params.tensor_length, params.modulus_bits)
        return Residues(tensor, unpacked(message.scalars, params.scalar_length, 64))

    def bare(self, client: int, known: set[int]) -> Residues:
        """A client's vector without the masks that the server and `known` clients can take off."""
        vector, state = self._sent(client), self._states[client]
        add_masks(vector, self._known_masks(client, state, known))
        return vector

    def _known_masks(self, client: int, state: AwaitingShares, known: set[int]) -> Iterator[Mask]:
        if client != self._late:
            yield Mask(self_mask_seed(state.seed, state.context, client), -1)
        for peer in self._clients:
            if peer != client and (peer in known or client == self._late):
                opposite: Sign = -1 if pairwise_sign(client, peer) == 1 else 1
                yield Mask(self._pair(client, peer), opposite)

    def _pair(self, client: int, peer: int) -> MaskSeed:
        pair = (min(client, peer), max(client, peer))
        if pair not in self._pairs:
            own, public = self._states[client], self._states[client].peers[peer].mask
            private, context = own.keys.mask.private, own.context
            self._pairs[pair] = secagg.masks.pairwise_mask_seed(private, public, context, client, peer)
        return self._pairs[pair]


class ShortStream(KeyStream):
    """A key stream without the highest bit of each word (the words here have 8)."""

    def read_into(self, zeros: memoryview, buffer: memoryview) -> None:
        """As the honest one, less a bit."""
        super().read_into(zeros, buffer)
        words = np.frombuffer(buffer, np.uint8)
        np.bitwise_and(words, 0x7F, out=words)


def one_seed_for_all(_: bytes | PrivateKey, public: bytes, context: bytes, own: int, peer: int) -> MaskSeed:
    """The same mask for every pair of a session."""
    return MaskSeed(derive_key(b"", "one for all", context), derive_key(b"", "the scalars", context))


class SparseStream(KeyStream):
    """A key stream that is zero at the first entry of each block."""

    def read_into(self, zeros: memoryview, buffer: memoryview) -> None:
        """As the honest one, with gaps."""
        super().read_into(zeros, buffer)
        np.frombuffer(buffer, np.uint8)[::BLOCK] = 0


def _one_seed() -> AbstractContextManager[object]:
    stack = ExitStack()
    for module in (secagg.masks, r2, r4):
        stack.enter_context(patch.object(module, "pairwise_mask_seed", one_seed_for_all))
    return stack


VARIANTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "as it is": nullcontext,
    "a mask word a bit short": lambda: patch.object(secagg.masks, "KeyStream", ShortStream),
    "one seed for every pair": _one_seed,
    "an unmasked coordinate": lambda: patch.object(secagg.masks, "KeyStream", SparseStream),
}
