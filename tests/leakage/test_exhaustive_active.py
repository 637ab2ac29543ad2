"""Leakage, exhaustive, against an active server: as `test_exhaustive`, with signed keys and the consistency check.

What an active session adds to the server's view are signatures on the survivors. They are a function of who took part:
every choice of masks and of inputs gives the same bytes, so the view is the one enumerated there and nothing more.
"""

from collections.abc import Callable

import pytest

import secagg.client.r2_masked_input as client_r2
import secagg.server.r4_unmasking as server_r4
from secagg.bounds import Adversary
from secagg.client.r3_consistency_check import sign_survivors
from secagg.client.r4_unmasking import reveal_shares
from secagg.client.states import AwaitingSurvivors
from secagg.messages import SurvivorsAnnounced, SurvivorsSigned, UnmaskingRequested
from secagg.params import SecAggParams
from secagg.server.r2_masked_input import InputCollection
from secagg.server.r3_consistency_check import Members
from secagg.server.r4_unmasking import ShareRecovery
from tests.leakage.test_exhaustive import (
    FEW,
    TRIPLES,
    Enumeration,
    Numbers,
    sum_is_exact,
    view_depends_on_the_sum_alone,
)
from tests.support.cohort import ShakeEntropy, signatories_of


class ActiveEnumeration(Enumeration):
    """The same choices of masks, in a session whose clients have a place in a roster.

    Attributes:
        signed: every reply of r3 and r4 that the server got, by protocol round, client and survivors.
    """

    def __init__(self, size: int, prime: int) -> None:
        self.places = signatories_of(tuple(range(1, size + 1)))
        self.signed: dict[tuple[str, int, frozenset[int]], set[bytes]] = {}
        super().__init__(size, prime)

    def params(self) -> SecAggParams:
        threshold = self.size // 2 + 1
        return SecAggParams.complete(self.size, 16, self.choices, 0, threshold, Adversary.ACTIVE)

    def collection(self) -> InputCollection:
        numbers = tuple(self.places[client].number for client in self.everybody)
        members = Members(self.places[1].roster, numbers)
        return InputCollection(self.agreement, {c: c for c in self.everybody}, self.dealt, members)

    def revealed(
        self, collection: InputCollection, states: dict[int, AwaitingSurvivors]
    ) -> tuple[ShareRecovery, dict[int, bytes]]:
        signatures, announced = collection.close_active()
        waiting, replies, survivors = {}, {}, frozenset(states)
        for client, state in states.items():
            shown = SurvivorsAnnounced.from_bytes(announced[client].to_bytes())
            waiting[client], signed = sign_survivors(state, shown, self.places[client])
            self._keep("r3", client, survivors, signed.to_bytes())
            signatures.receive(client, SurvivorsSigned.from_bytes(signed.to_bytes()))
        recovery, requests = signatures.close()
        for client, told in waiting.items():
            request = UnmaskingRequested.from_bytes(requests[client].to_bytes())
            entropy = ShakeEntropy("next", client)
            replies[client] = reveal_shares(told, request, entropy, self.places[client])[1].to_bytes()
            self._keep("r4", client, survivors, replies[client])
        return recovery, replies

    def _keep(self, protocol_round: str, client: int, survivors: frozenset[int], sent: bytes) -> None:
        self.signed.setdefault((protocol_round, client, survivors), set()).add(sent)


@pytest.fixture
def enumerate_active(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], ActiveEnumeration]:
    """An enumeration whose masks are the ones that the real steps add."""

    def build(size: int, prime: int) -> ActiveEnumeration:
        enumeration = ActiveEnumeration(size, prime)
        monkeypatch.setattr(client_r2, "add_masks", enumeration.add_masks)
        monkeypatch.setattr(server_r4, "add_masks", enumeration.add_masks)
        return enumeration

    return build


@pytest.mark.parametrize("survivors", [(1, 2, 3), (1, 2), (1, 3), (2, 3)])
def test_three_clients_modulus_five(
    survivors: Numbers, enumerate_active: Callable[[int, int], ActiveEnumeration]
) -> None:
    enumeration = enumerate_active(3, 5)
    assert view_depends_on_the_sum_alone(enumeration, survivors, TRIPLES)
    assert all(sum_is_exact(enumeration, survivors, inputs) for inputs in TRIPLES[::5])
    assert {(at, client) for at, client, _ in enumeration.signed} == {
        (at, client) for at in ("r3", "r4") for client in survivors
    }
    assert all(len(sent) == 1 for sent in enumeration.signed.values())


@pytest.mark.parametrize("survivors", [(1, 2, 3, 4), (2, 3, 4)])
def test_four_clients_modulus_three_at_the_least_survivors_allowed(
    survivors: Numbers, enumerate_active: Callable[[int, int], ActiveEnumeration]
) -> None:
    enumeration = enumerate_active(4, 3)
    tried = [(0, 0, 0, 0), (1, 2, 0, 0), (0, 1, 1, 1), (2, 2, 2, 1), (1, 0, 0, 0), (0, 2, 0, 2), (0, 0, 0, 2)]
    assert view_depends_on_the_sum_alone(enumeration, survivors, tried)
    assert all(sum_is_exact(enumeration, survivors, inputs) for inputs in tried)
    assert all(len(sent) == 1 for sent in enumeration.signed.values())


def test_control_without_self_masks_a_late_vector_is_read(
    enumerate_active: Callable[[int, int], ActiveEnumeration],
) -> None:
    enumeration = enumerate_active(3, 5)
    for number in enumeration.everybody:
        enumeration.selfs[number][:] = 0
    assert sum_is_exact(enumeration, (1, 2), (1, 2, 3))
    assert not view_depends_on_the_sum_alone(enumeration, (1, 2), FEW)


def test_control_without_pairwise_masks_single_inputs_are_read(
    enumerate_active: Callable[[int, int], ActiveEnumeration],
) -> None:
    enumeration = enumerate_active(3, 5)
    for pair in enumeration.pairs:
        enumeration.shared[pair][:] = 0
    assert sum_is_exact(enumeration, (1, 2, 3), (1, 2, 3))
    assert not view_depends_on_the_sum_alone(enumeration, (1, 2, 3), FEW)
