"""Clients that lie, among honest ones and under faults: no wrong sum, no honest client blamed, and the liar met by the
code that its lie deserves.
"""

from random import Random

import pytest

from secagg.bounds import Adversary
from tests.adversary.client_strategies import STRATEGIES, MaliciousClient, VanishesAfterSharing
from tests.simulator.faults import Fault
from tests.simulator.quick import computed_once
from tests.simulator.setting import NODES, Setting, drawn_params
from tests.simulator.world import Made, World

FAULTS = frozenset({Fault.DROP, Fault.CRASH_BEFORE, Fault.CRASH_AFTER, Fault.DELAY})
NAMES = [strategy.__name__ for strategy in STRATEGIES]


def play(strategy: type[MaliciousClient], seed: int) -> tuple[set[str], bool, bool]:
    """(codes with which the server met the liars, whether it blamed one, whether clients did)."""
    chance = Random(f"{strategy.__name__} {seed}")
    params = drawn_params(chance, Adversary.ACTIVE if strategy.only_active else None)
    clients = NODES[: params.cohort]
    liars = frozenset(chance.sample(clients, 2 if params.cohort > 4 and chance.random() < 0.3 else 1))
    rate = chance.choice((0.0, 0.0, 0.03, 0.1))
    setting = Setting(params, clients, FAULTS, rate, chance.choice((1, 2)), params.min_survivors)
    cast: dict[int, Made] = dict.fromkeys(liars, strategy)
    if strategy.needs_dropped:
        cast[min(set(clients) - liars)] = VanishesAfterSharing
    world = World(seed, None, setting, cast)
    world.watch.liars = liars
    world.play()
    honest = frozenset(clients) - liars
    if not strategy.ends_sessions and params.is_complete and len(honest) >= params.least_advertised:
        assert honest <= set(world.last_sum)
    codes = {code for liar in liars for code in world.answers.get(liar, ())}
    return codes, bool(world.watch.blamed), bool(world.watch.accused)


def check(strategy: type[MaliciousClient], seeds: range) -> None:
    codes, blamed, accused = set[str](), False, False
    with computed_once():
        for seed in seeds:
            met, by_server, by_clients = play(strategy, seed)
            codes, blamed, accused = codes | met, blamed or by_server, accused or by_clients
    # A reply that comes after the deadline, or a second one, is out of turn whatever it says.
    assert strategy.answers <= codes <= strategy.answers | {"STATE"}
    assert blamed == (strategy.is_blamed == "server")
    assert accused == (strategy.is_blamed == "clients")


def test_there_are_as_many_attacks_as_were_promised() -> None:
    assert len(STRATEGIES) >= 15
    assert all(strategy.__doc__ for strategy in STRATEGIES)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=NAMES)
def test_a_client_that_lies(strategy: type[MaliciousClient]) -> None:
    check(strategy, range(12))


@pytest.mark.nightly
@pytest.mark.parametrize("strategy", STRATEGIES, ids=NAMES)
def test_a_client_that_lies_under_a_thousand_seeds(strategy: type[MaliciousClient]) -> None:
    check(strategy, range(1000))
