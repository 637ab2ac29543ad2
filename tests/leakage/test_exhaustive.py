"""Leakage, exhaustive: with every choice of masks enumerated, the server's whole view depends on the inputs
only through the sum over the survivors. Equality of multisets, nothing statistical.

Masks are residues mod a small prime q. One coordinate of the vector stands for one choice of all masks, so a
single run of the real steps covers all q^6 (n = 3) or q^10 (n = 4) choices: `add_masks`, the one place where a
mask meets a vector, adds the enumerated residues instead of a key stream; everything else is the real client
and server code.

The view: the masked vector of every client that shared keys (also of those that the server then calls
dropped, whose vector may come late) and, for each owner of whom the clients reveal even one share, the secret
behind it: a seed uncovers the self mask, a mask key all pairwise masks of its owner.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

import secagg.client.r2_masked_input as client_r2
import secagg.server.r4_unmasking as server_r4
from secagg.client.r4_unmasking import reveal_shares
from secagg.client.states import AwaitingShares, AwaitingSurvivors
from secagg.masks import Mask, Residues, pairwise_mask_seed, self_mask_seed
from secagg.messages import InputMasked, SharesDelivered, SharesRevealed, UnmaskingRequested
from secagg.params import Agreement, SecAggParams
from secagg.server.r2_masked_input import InputCollection
from secagg.server.r4_unmasking import ShareRecovery
from tests.support.cohort import Cohort, ShakeEntropy, Vector
from tests.support.residues import unpacked

Words = np.ndarray[Any, Any]
Numbers = tuple[int, ...]


class Enumeration:
    """n clients that have shared keys, and all choices of their masks mod `prime`."""

    def __init__(self, size: int, prime: int) -> None:
        self.size, self.prime = size, prime
        self.everybody = tuple(range(1, size + 1))
        self.pairs = tuple(combinations(self.everybody, 2))
        self.choices = prime ** (size + len(self.pairs))
        digits = np.indices((prime,) * (size + len(self.pairs)), dtype=np.uint16).reshape(-1, self.choices)
        self.selfs = dict(zip(self.everybody, digits[:size], strict=True))
        self.shared = dict(zip(self.pairs, digits[size:], strict=True))
        params = self.params()
        # Two survivors are below what parameters admit: only here, for all survivor sets of three clients.
        object.__setattr__(params, "min_survivors", 2 if size == 3 else 3)
        self._prepare(params)
        self.masked: dict[tuple[int, int], tuple[AwaitingSurvivors, InputMasked]] = {}

    def params(self) -> SecAggParams:
        """Of a session that is all right; a vector has one coordinate for each choice."""
        return SecAggParams.complete(self.size, 16, self.choices, 0, 2)

    def _prepare(self, params: SecAggParams) -> None:
        """Real r0 and r1 of a session; the states of the clients stay at r2, before any mask."""
        cohort = Cohort(self.params(), {client: Vector((0,) * self.choices, ()) for client in self.everybody})
        cohort.run(dict.fromkeys(self.everybody, "r4"))
        states = {c: AwaitingShares.from_bytes(cohort.states["r2", c]) for c in self.everybody}
        self.states = {c: replace(state, params=params) for c, state in states.items()}
        self.delivered = {c: SharesDelivered.from_bytes(cohort.requests["r2", c]) for c in self.everybody}
        opened = cohort.collection
        agreed: Agreement = opened.agreement
        # The context stays that of the session as it ran: parameters are swapped after it was fixed.
        self.agreement = _Agreed(agreed, params)
        assert isinstance(opened, InputCollection | ShareRecovery)
        self.dealt = opened._dealt
        self.residues: dict[bytes, Words] = {}
        for c, state in states.items():
            self.residues[self_mask_seed(state.seed, state.context, c).tensor] = self.selfs[c]
        for low, high in self.pairs:
            own, peer = states[low], states[low].peers[high]
            seed = pairwise_mask_seed(own.keys.mask.private, peer.mask, own.context, low, high)
            self.residues[seed.tensor] = self.shared[low, high]

    def add_masks(self, total: Residues, masks: Iterable[Mask], workers: int = 1) -> None:
        """In the place of the key stream: choice number j of each mask at coordinate j, mod `prime`."""
        for mask in masks:
            drawn = self.residues[mask.seed.tensor].astype(np.int64)
            total.tensor[:] = (total.tensor.astype(np.int64) + mask.sign * drawn) % self.prime

    def mask(self, client: int, number: int) -> tuple[AwaitingSurvivors, InputMasked]:
        """The real r2 step of a client with input `number`; pure, hence run once for every number."""
        if (client, number) not in self.masked:
            vector = Residues(np.full(self.choices, number, dtype="<u2"), np.zeros(0, dtype="<u8"))
            self.masked[client, number] = client_r2.mask_input(
                self.states[client], self.delivered[client], vector
            )
        return self.masked[client, number]

    def serve(self, inputs: Numbers, survivors: Numbers) -> tuple[Words, Words]:
        """(view, sum): one row of the view for every choice of masks; the server's sum for every choice."""
        columns, states = [], {}
        collection = self.collection()
        for client, number in zip(self.everybody, inputs, strict=True):
            states[client], message = self.mask(client, number)
            columns.append(unpacked(message.tensor, self.choices, 16))
            if client in survivors:
                collection.receive(client, message)
        recovery, replies = self.revealed(collection, {client: states[client] for client in survivors})
        seeds, keys = set[int](), set[int]()
        for client, sent in replies.items():
            reply = SharesRevealed.from_bytes(sent)
            recovery.receive(client, reply)
            seeds |= set(reply.self_mask)
            keys |= set(reply.mask_key)
        columns += [self.selfs[owner] for owner in sorted(seeds)]
        columns += [self.shared[pair] for pair in self.pairs if keys & set(pair)]
        total = recovery.close().total.tensor % self.prime
        return self.multiset(columns), total

    def collection(self) -> InputCollection:
        """The server's r2."""
        return InputCollection(self.agreement, {c: c for c in self.everybody}, self.dealt)

    def revealed(
        self, collection: InputCollection, states: dict[int, AwaitingSurvivors]
    ) -> tuple[ShareRecovery, dict[int, bytes]]:
        """What follows r2, and every survivor's reply to it, by the real steps."""
        recovery, requests = collection.close()
        replies = {}
        for client, state in states.items():
            request = UnmaskingRequested.from_bytes(requests[client].to_bytes())
            replies[client] = reveal_shares(state, request, ShakeEntropy("next", client))[1].to_bytes()
        return recovery, replies

    def multiset(self, columns: list[Words]) -> Words:
        """Rows of the view as sorted numbers: equal arrays are equal multisets."""
        codes = np.zeros(self.choices, dtype=np.int64)
        for column in columns:
            codes = codes * self.prime + column
        return np.sort(codes)


class _Agreed:
    """An agreement whose context and graph are fixed, with the parameters of this test."""

    def __init__(self, agreed: Agreement, params: SecAggParams) -> None:
        self.session = replace(agreed.session, params=params)
        self.advertised = agreed.advertised
        self.graph, self.context = agreed.graph, agreed.context


@pytest.fixture
def enumerate_masks(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Enumeration]:
    """An enumeration whose masks are the ones that the real steps add."""

    def build(size: int, prime: int) -> Enumeration:
        enumeration = Enumeration(size, prime)
        monkeypatch.setattr(client_r2, "add_masks", enumeration.add_masks)
        monkeypatch.setattr(server_r4, "add_masks", enumeration.add_masks)
        return enumeration

    return build


def counted(inputs: Numbers, survivors: Numbers, prime: int) -> int:
    """The sum over the survivors mod `prime`, in plain integers."""
    return sum(inputs[client - 1] for client in survivors) % prime


def view_depends_on_the_sum_alone(enumeration: Enumeration, survivors: Numbers, tried: list[Numbers]) -> bool:
    """Whether any two of the inputs tried give one multiset of views exactly when they have one sum."""
    prime, views = enumeration.prime, dict[int, Words]()
    for inputs in tried:
        view, _ = enumeration.serve(inputs, survivors)
        known = views.setdefault(counted(inputs, survivors, prime), view)
        if not np.array_equal(known, view):
            return False
    return len({view.tobytes() for view in views.values()}) == len(views)


def sum_is_exact(enumeration: Enumeration, survivors: Numbers, inputs: Numbers) -> bool:
    """Whether the server reads the true sum, whatever the masks."""
    _, total = enumeration.serve(inputs, survivors)
    return bool((total == counted(inputs, survivors, enumeration.prime)).all())


TRIPLES = list(product(range(5), repeat=3))
FEW = [(0, 0, 0), (1, 4, 0), (0, 1, 4), (2, 2, 1), (3, 3, 4), (4, 0, 2), (1, 0, 0), (0, 0, 1)]


def test_there_are_fifteen_thousand_choices_of_masks(
    enumerate_masks: Callable[[int, int], Enumeration],
) -> None:
    enumeration = enumerate_masks(3, 5)
    assert enumeration.choices == 5**6
    assert len({column.tobytes() for column in enumeration.residues.values()}) == 6
    columns = [*enumeration.selfs.values(), *enumeration.shared.values()]
    assert len(set(enumeration.multiset(columns).tolist())) == 5**6


@pytest.mark.parametrize("survivors", [(1, 2, 3), (1, 2), (1, 3), (2, 3)])
def test_three_clients_modulus_five(
    survivors: Numbers, enumerate_masks: Callable[[int, int], Enumeration]
) -> None:
    enumeration = enumerate_masks(3, 5)
    assert view_depends_on_the_sum_alone(enumeration, survivors, TRIPLES)
    assert all(sum_is_exact(enumeration, survivors, inputs) for inputs in TRIPLES)


@pytest.mark.parametrize("survivors", [(1, 2, 3, 4), (2, 3, 4), (1, 2, 4)])
def test_four_clients_modulus_three_at_the_least_survivors_allowed(
    survivors: Numbers, enumerate_masks: Callable[[int, int], Enumeration]
) -> None:
    enumeration = enumerate_masks(4, 3)
    tried = [(0, 0, 0, 0), (1, 2, 0, 0), (0, 1, 1, 1), (2, 2, 2, 1), (1, 0, 0, 0), (0, 2, 0, 2), (0, 0, 0, 2)]
    assert view_depends_on_the_sum_alone(enumeration, survivors, tried)
    assert all(sum_is_exact(enumeration, survivors, inputs) for inputs in tried)


# Negative controls: each of them breaks one rule of the protocol, and the property above must notice.


def test_control_a_wrong_sign_rule_breaks_the_sum(
    enumerate_masks: Callable[[int, int], Enumeration], monkeypatch: pytest.MonkeyPatch
) -> None:
    enumeration = enumerate_masks(3, 5)
    monkeypatch.setattr(client_r2, "pairwise_sign", lambda own, peer: 1)
    assert not sum_is_exact(enumeration, (1, 2, 3), (1, 2, 3))


def test_control_without_self_masks_a_late_vector_is_read(
    enumerate_masks: Callable[[int, int], Enumeration], monkeypatch: pytest.MonkeyPatch
) -> None:
    enumeration = enumerate_masks(3, 5)
    for number in enumeration.everybody:
        enumeration.selfs[number][:] = 0
    assert sum_is_exact(enumeration, (1, 2), (1, 2, 3))
    assert not view_depends_on_the_sum_alone(enumeration, (1, 2), FEW)


def test_control_without_pairwise_masks_single_inputs_are_read(
    enumerate_masks: Callable[[int, int], Enumeration],
) -> None:
    enumeration = enumerate_masks(3, 5)
    for pair in enumeration.pairs:
        enumeration.shared[pair][:] = 0
    assert sum_is_exact(enumeration, (1, 2, 3), (1, 2, 3))
    assert not view_depends_on_the_sum_alone(enumeration, (1, 2, 3), FEW)


def test_control_one_pairwise_mask_missing_among_three(
    enumerate_masks: Callable[[int, int], Enumeration],
) -> None:
    enumeration = enumerate_masks(3, 5)
    enumeration.shared[1, 2][:] = 0
    enumeration.shared[1, 3][:] = 0
    assert not view_depends_on_the_sum_alone(enumeration, (1, 2, 3), FEW)


def test_control_both_shares_of_a_peer_uncover_its_late_vector(
    enumerate_masks: Callable[[int, int], Enumeration], monkeypatch: pytest.MonkeyPatch
) -> None:
    enumeration = enumerate_masks(3, 5)
    plain = enumeration.multiset

    def also_both(columns: list[Words]) -> Words:
        return plain([*columns, enumeration.selfs[3]])

    monkeypatch.setattr(enumeration, "multiset", also_both)
    assert not view_depends_on_the_sum_alone(enumeration, (1, 2), FEW)


def test_control_masks_with_one_value_missing(enumerate_masks: Callable[[int, int], Enumeration]) -> None:
    """An off-by-one in the range of masks (never the largest residue) shows."""
    enumeration = enumerate_masks(3, 5)
    for column in (*enumeration.selfs.values(), *enumeration.shared.values()):
        column[column == 4] = 3
    assert not view_depends_on_the_sum_alone(enumeration, (1, 2, 3), FEW)
