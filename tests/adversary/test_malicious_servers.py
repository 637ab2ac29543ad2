"""Servers that attack, with colluding clients: no share misused, no sum but the one that was agreed on, and the honest
clients' answer by its code.
"""

from random import Random

import pytest

from secagg.bounds import Adversary
from tests.adversary import server_strategies, server_strategies_later
from tests.adversary.hostile import Hostile, Stage
from tests.simulator.quick import computed_once
from tests.simulator.setting import drawn_params

STRATEGIES = tuple(
    found
    for module in (server_strategies, server_strategies_later)
    for found in vars(module).values()
    if getattr(found, "__module__", "") == module.__name__ and getattr(found, "refusals", None) is not None
    if found not in (server_strategies.ToTheVictim, server_strategies_later.DeliveredToTheVictim)
)
NAMES = [strategy.__name__ for strategy in STRATEGIES]


def play(strategy: type[Hostile], seed: int) -> tuple[set[str], int]:
    """(codes with which honest clients refused, sums that came out)."""
    chance = Random(f"{strategy.__name__} {seed}")
    params = drawn_params(chance, Adversary.ACTIVE, chance.choice((0, 1, 1, 2)))
    while strategy.sparse and params.is_complete:
        params = drawn_params(chance, Adversary.ACTIVE, 0)
    server = strategy(Stage.set_for(chance, params))
    server.attack()
    return server.codes_met, server.check()


def check(strategy: type[Hostile], seeds: range) -> int:
    codes, sums = set[str](), 0
    with computed_once():
        for seed in seeds:
            met, found = play(strategy, seed)
            codes, sums = codes | met, sums + found
    # Where messages are lost there may be too few to hide among, or too few who sign, whatever the attack.
    assert strategy.refusals <= codes <= strategy.refusals | {"QUORUM", "VIEW"}
    return sums


def test_there_are_as_many_attacks_as_were_promised() -> None:
    assert len(STRATEGIES) >= 25
    assert all(strategy.__doc__ for strategy in STRATEGIES)


def test_a_server_that_keeps_to_the_protocol_has_its_sums() -> None:
    assert check(Hostile, range(20)) > 20


@pytest.mark.parametrize("strategy", STRATEGIES, ids=NAMES)
def test_a_server_that_attacks(strategy: type[Hostile]) -> None:
    check(strategy, range(10))


@pytest.mark.nightly
@pytest.mark.parametrize("strategy", STRATEGIES, ids=NAMES)
def test_a_server_that_attacks_under_a_thousand_seeds(strategy: type[Hostile]) -> None:
    check(strategy, range(1000))
