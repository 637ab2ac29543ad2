"""Two inputs with one sum: nothing the server sees tells them apart, alone or with a client; broken masks do.

Few runs here, and bounds for as few; `python -m bench.leakage` and the test for the night make over 10^6 of them, where
the area under the curve stays within 0.5 +- 0.005.
"""

import numpy as np
import pytest

from bench.leakage import BLOCKS, SESSIONS, Verdict, judged, on_messages, verdicts
from bench.views import CLIENTS, VARIANTS, Views, collect, pair_of_inputs, survivors_of

WHO = ["server", *(f"server and client {client}" for client in CLIENTS)]


def found(views: Views) -> dict[str, Verdict]:
    return dict(verdicts(views))


@pytest.fixture(scope="module", params=["all survive", "one comes late"])
def views(request: pytest.FixtureRequest) -> Views:
    return collect(24, BLOCKS, late=request.param == "one comes late", seed="fixed")


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("colluder", CLIENTS)
def test_the_inputs_differ_and_their_sums_do_not(colluder: int, late: bool) -> None:
    left, right = pair_of_inputs(colluder, late)
    assert left != right
    assert left[colluder] == right[colluder]
    assert sum(left[each] for each in survivors_of(late)) == sum(right[each] for each in survivors_of(late))
    differing = [client for client in CLIENTS if left[client] != right[client]]
    assert len(differing) >= 2


def test_views_are_laid_out_as_told(views: Views) -> None:
    runs = 24 * BLOCKS
    assert views.label.shape == views.colluder.shape == (runs,)
    assert views.server.shape == (runs, 2 * (4 + 4 + 12))
    assert views.coalition.shape == (runs, 2 * (3 + 3 + 6))
    assert set(views.colluder.tolist()) == set(CLIENTS)
    assert views.messages.shape[0] == 24
    assert views.messages.shape[1] > 1000


def test_two_inputs_with_one_sum_cannot_be_told_apart(views: Views) -> None:
    verdict = found(views)
    assert list(verdict) == WHO
    assert {who for who, each in verdict.items() if each.found} == set()


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "as it is"])
def test_masks_that_are_broken_on_purpose_are_found(name: str) -> None:
    with VARIANTS[name]():
        views = collect(16, BLOCKS, late=name == "a mask word a bit short", seed="broken")
    assert judged(views.server, views.label).found


def test_inputs_with_two_sums_can_be_told_apart() -> None:
    """The statistics see what there is to see: the sum itself."""
    rng = np.random.default_rng(1)
    label = np.repeat(np.arange(2, dtype=np.uint8), 1000)
    masks = rng.integers(0, 256, (2000, 2), dtype=np.uint8)
    total = (masks.sum(axis=1, dtype=np.uint8) + 20 * label).astype(np.uint8)
    assert not judged(masks, label).found
    assert judged(np.column_stack([masks, total - masks[:, 0] - masks[:, 1]]), label).found


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("late", [False, True])
def test_a_million_runs(late: bool) -> None:
    views = collect(SESSIONS, BLOCKS, late)
    verdict = found(views)
    assert verdict["server"].runs > 10**6
    for who in WHO:
        assert not verdict[who].found, who
        assert verdict[who].distance <= 0.005, who
    assert not on_messages(views)[1].found
