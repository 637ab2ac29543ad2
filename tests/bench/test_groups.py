"""The ten-thousand-client benchmark in its quick mode: the sum is exact, and a wrong one ends the run."""

import numpy as np
import pytest

from bench.groups import _check, groups
from bench.population import contribution
from strategies.groups import RoundTotal


def _total(nodes: list[int]) -> RoundTotal:
    total = RoundTotal()
    total.tensor = sum((contribution(node, 50) for node in nodes), np.zeros(50, dtype=np.int64))
    total.scalars, total.survivors = [np.array([sum(nodes)], dtype="<u8")], len(nodes)
    return total


@pytest.mark.slow
def test_a_quick_run_gives_three_rows_a_size() -> None:
    rows = list(groups(quick=True))
    assert [row.unit for row in rows] == ["s", "s", "MB"] * 2
    assert all(row.ours > 0 for row in rows)
    assert all("5% dropping at every protocol round" in row.case for row in rows)


def test_contributions_tell_clients_apart() -> None:
    vectors = [contribution(node, 1000) for node in (1, 2, 3, 5000)]
    assert all(abs(vector).max() <= 1 << 15 for vector in vectors)
    for at, one in enumerate(vectors):
        for other in vectors[at + 1 :]:
            assert np.count_nonzero(one == other) < 20


def test_an_exact_sum_passes_and_any_other_ends_the_run() -> None:
    _check(_total([1, 2, 3]), {1, 2, 3}, 50)
    for nodes, summed in (([1, 2, 3], {1, 2, 4}), ([1, 2], {1, 2, 3}), ([1, 1, 3], {1, 3})):
        with pytest.raises(SystemExit, match="wrong"):
            _check(_total(nodes), summed, 50)
    off = _total([1, 2, 3])
    off.tensor[7] += 1
    with pytest.raises(SystemExit, match="wrong"):
        _check(off, {1, 2, 3}, 50)
