"""Two thousand seeds of the simulator: what must hold does, whatever goes wrong."""

import pytest

from tests.simulator.faults import Fault
from tests.simulator.quick import computed_once
from tests.simulator.runs import play
from tests.simulator.world import World

PARTS, IN_A_PART = 8, 250


@pytest.mark.parametrize("part", range(PARTS))
def test_what_must_hold_does_under_every_seed(part: int) -> None:
    tally = play(range(part * IN_A_PART, (part + 1) * IN_A_PART))
    assert not tally.violations
    assert tally.sums > IN_A_PART  # the calm sessions alone are one each
    assert set(tally.faults) == {str(fault) for fault in Fault}
    assert {"STATE", "FORMAT", "VIEW", "QUORUM", "ENV", "AUTH", "CRYPTO"} <= set(tally.refusals)


def traced(seed: int) -> list[str]:
    lines: list[str] = []
    World(seed, lines.append).play()
    return lines


def test_a_seed_is_replayed_line_by_line() -> None:
    with computed_once():
        for seed in range(20):
            assert traced(seed) == traced(seed)
        assert len({tuple(traced(seed)) for seed in range(20)}) == 20


def test_what_is_computed_once_is_what_the_library_computes() -> None:
    for seed in range(12):
        with computed_once():
            quick = traced(seed)
        assert quick == traced(seed)


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(40))
def test_what_must_hold_does_under_a_hundred_thousand_seeds(part: int) -> None:
    tally = play(range(2500 * part, 2500 * (part + 1)))
    assert not tally.violations
