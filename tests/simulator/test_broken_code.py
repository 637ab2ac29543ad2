"""The code broken on purpose, one check at a time: the simulator finds it, and says which invariant went."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any
from unittest.mock import patch

import pytest

from secagg.bounds import Adversary
from secagg.client import r2_masked_input as client_r2
from secagg.client import r3_consistency_check as client_r3
from secagg.client import r4_unmasking as client_r4
from secagg.messages import UnmaskingRequested
from secagg.params import Agreement
from secagg.primitives import digest
from secagg.roster import Roster
from secagg.server import r4_unmasking as server_r4
from secagg.server.collection import Collection
from secagg.server.r2_masked_input import InputCollection
from secagg.server.r3_consistency_check import SignatureCollection
from secagg.server.r4_unmasking import ShareRecovery
from tests.adversary.hostile import Stage
from tests.adversary.server_strategies_later import SplitSurvivors
from tests.simulator.invariants import Violation
from tests.simulator.quick import computed_once
from tests.simulator.setting import drawn_params
from tests.simulator.world import World
from wire import kept_state

SEEDS = range(400)
FAST = 4


def always(*arguments: object) -> bool:
    return True


def nothing(*arguments: object) -> None:
    pass


def whoever_signed(signatures: SignatureCollection) -> tuple[ShareRecovery, dict[int, UnmaskingRequested]]:
    """The close of r3 without a count."""
    signatures._close()
    view, following = signatures._view, signatures._only(signatures._signatures)
    identifier = signatures.agreement.session.identifier
    request = UnmaskingRequested(identifier, view.size, view.survivors, signatures._signatures)
    signatures._recovery.ask_only(following)
    return signatures._recovery, dict.fromkeys(following, request)


def twice_or_late(collection: Collection, client: int) -> int:
    return collection.indices[client]


def in_one_part(collection: InputCollection, survivors: frozenset[int]) -> int:
    return len(survivors)


def without_the_model(agreement: Agreement) -> bytes:
    return digest("context", agreement.session.identifier, agreement.cohort_digest, agreement.standing)


def kept(store: Any, take: Callable[..., Any] = kept_state.take) -> Any:
    """The state is read and stays."""
    before = dict(store)
    found = take(store)
    store.update(before)
    return found


def same_sign(own: int, peer: int) -> int:
    return 1


@dataclass(frozen=True)
class Broken:
    """A check taken away.

    Attributes:
        changes: (where, name, what stands there instead).
        found_by: invariants of which one goes first.
    """

    name: str
    changes: tuple[tuple[Any, str, Any], ...]
    found_by: tuple[str, ...]

    @contextmanager
    def code(self) -> Iterator[None]:
        """The code, broken."""
        with ExitStack() as stack:
            for where, name, instead in self.changes:
                stack.enter_context(patch.object(where, name, instead))
            stack.enter_context(computed_once())
            yield


BROKEN = (
    Broken("replies count twice and late", ((Collection, "_check_turn", twice_or_late),), ("I11", "I4")),
    Broken("a mask is removed with the wrong sign", ((server_r4, "pairwise_sign", same_sign),), ("I4",)),
    Broken(
        "rebuilt secrets are believed", ((server_r4, "is_dealt", always), (server_r4, "same", always)), ("I4", "I10")
    ),
    Broken("a state outlives its step", ((kept_state, "take", kept),), ("I11", "I5", "I1")),
    Broken("shares are believed without their tags", ((server_r4, "is_dealt", always),), ("I10",)),
    Broken("a client does not look at tags", ((client_r2, "same", always),), ("I11", "I10")),
    Broken("parts of a graph are summed apart", ((InputCollection, "_connected", in_one_part),), ("I11",)),
    Broken("the model is not in the context", ((Agreement, "context", property(without_the_model)),), ("I7",)),
    Broken("r4 of any session is answered", ((client_r3, "same", always),), ("I11",)),
    Broken("an expired roster counts", ((Roster, "check_time", nothing),), ("I11",)),
    Broken("an error that is not ours", ((client_r2, "BadCiphertext", KeyError),), ("I6",)),
    Broken("signatures are not counted", ((SignatureCollection, "close", whoever_signed),), ("I11",)),
)  # fmt: skip


def play(seeds: range) -> None:
    for seed in seeds:
        World(seed).play()


def attack(seeds: range) -> None:
    for seed in seeds:
        server = SplitSurvivors(Stage.set_for(Random(seed), drawn_params(Random(seed), Adversary.ACTIVE, 1)))
        server.attack()
        server.check()


def cases() -> list[Any]:
    """The first few are found within a second or two."""
    nightly = pytest.mark.nightly
    return [
        pytest.param(broken, id=broken.name, marks=[nightly] if at >= FAST else [])
        for at, broken in enumerate(BROKEN)
    ]


@pytest.mark.parametrize("broken", cases())
def test_broken_code_is_found(broken: Broken) -> None:
    with broken.code(), pytest.raises(Violation) as found:
        play(SEEDS)
    assert str(found.value).startswith(broken.found_by)


def test_two_views_are_found_where_clients_do_not_check_signatures() -> None:
    with computed_once():
        attack(range(20))
        with patch.object(client_r4, "is_endorsed", always), pytest.raises(Violation, match=r"I[17]: "):
            attack(range(20))
