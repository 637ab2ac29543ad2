"""Clients that tell the server what they hold: as many as the threshold rebuild a client's secrets, and its own noise.

The first test mounts the attack on an honest session; the others hold that a run whose terms name so many colluders, or
any in a sparse graph, starts on no server and has no client's data.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from arithmetic.errors import ParameterError
from arithmetic.residues import to_signed
from clients import steps
from secagg.client.states import AwaitingShares, AwaitingSurvivors
from secagg.masks import (
    Mask,
    MaskSeed,
    Residues,
    add_masks,
    pairwise_mask_seed,
    pairwise_sign,
    self_mask_seed,
)
from secagg.primitives import PrivateKey
from secagg.shamir import rebuild
from tests.support.private_run import (
    R1,
    SILENT,
    VICTIM,
    charged,
    configured,
    ledger_path,
    plan_of,
    private_trial,
    refusal,
)
from tests.support.run import Trial

TEN: dict[str, Any] = {"clients": 10, "min-cohort": 10}
NOISE_ALONE: dict[str, Any] = {
    "task": SILENT, "batch-size": 1, "max-examples": 2, "sampling-probability": 1.0,
}  # fmt: skip
SHARED = ["distributed", "client", "local+client"]
Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Seen:
    """One client of a session: its states around r2, its vector before the masks (nobody's to know) and after."""

    before: AwaitingShares
    after: AwaitingSurvivors
    plain: Words
    masked: Words


def observed(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> dict[int, Seen]:
    """Every client of one session, by its index."""
    honest, found = steps.mask_step, dict[int, Seen]()

    def spy(state: AwaitingShares, delivered: Any, residues: Residues) -> Any:
        plain = residues.tensor.copy()
        following, reply = honest(state, delivered, residues)
        found[following.index] = Seen(state, following, plain, residues.tensor.copy())
        return following, reply

    with monkeypatch.context() as patch:
        patch.setattr(steps, "mask_step", spy)
        assert trial.session() is not None
    return found


def secret(shares: dict[int, int]) -> bytes:
    """What the shares of these indices rebuild."""
    found = rebuild(shares)
    assert found is not None
    return found


def unmasked(seen: dict[int, Seen], victim: int, seed: bytes, pairwise: dict[int, MaskSeed]) -> Words:
    """One client's masked vector without the masks of its own seed and of these seeds by peer."""
    context = seen[victim].before.context

    def masks() -> Iterator[Mask]:
        yield Mask(self_mask_seed(seed, context, victim), -1)
        for peer, shared in pairwise.items():
            yield Mask(shared, -pairwise_sign(victim, peer))

    vector = Residues(seen[victim].masked.copy(), np.zeros(0, dtype=np.uint64))
    add_masks(vector, masks())
    return vector.tensor


def rebuilt(seen: dict[int, Seen], victim: int, colluders: Sequence[int]) -> Words:
    """What the server makes of one client's vector, with the shares that the colluders hold of both its secrets."""
    seed = secret({index: seen[index].after.self_mask[victim] for index in colluders})
    key = PrivateKey(secret({index: seen[index].after.mask_key[victim] for index in colluders}))
    public = {peer: keys.mask for index in colluders for peer, keys in seen[index].before.peers.items()}
    del public[victim]
    context = seen[victim].before.context
    pairwise = {
        peer: pairwise_mask_seed(key, theirs, context, victim, peer) for peer, theirs in public.items()
    }
    return unmasked(seen, victim, seed, pairwise)


def isolated(seen: dict[int, Seen], victim: int) -> Words:
    """The same with the seed that r4 gives the server anyway, and the keys of the victim's neighbours alone."""
    neighbours, mine = seen[victim].before.peers, seen[victim].before.keys.mask.public
    seed = secret({index: seen[index].after.self_mask[victim] for index in (victim, *neighbours)})
    pairwise = {}
    for peer in neighbours:
        theirs = seen[peer].before
        key = PrivateKey(theirs.keys.mask.private)
        pairwise[peer] = pairwise_mask_seed(key, mine, theirs.context, peer, victim)
    return unmasked(seen, victim, seed, pairwise)


def test_threshold_colluders_are_left_with_one_clients_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that names no colluders: its noise is that of the sum, and seven of ten strip all of it but a share."""
    trial = private_trial("distributed", tmp_path, TEN | NOISE_ALONE)
    seen, plan = observed(trial, monkeypatch), plan_of(trial)
    assert trial.params.threshold == 7
    found = rebuilt(seen, 10, range(1, 8))
    assert np.array_equal(found, seen[10].plain)
    multiplier = np.std(to_signed(found, 32)) / math.sqrt(plan.norm_squared)
    assert multiplier == pytest.approx(plan.noise_multiplier / math.sqrt(10), rel=0.02)
    assert not np.array_equal(rebuilt(seen, 10, range(1, 7)), seen[10].plain)


@pytest.mark.parametrize("mode", SHARED)
@pytest.mark.parametrize("colluders", [7, 8])
def test_no_server_starts_a_run_with_threshold_colluders(mode: str, colluders: int) -> None:
    words = f"threshold = 7 does not hold against {colluders} colluders .* choose {colluders + 1} or more"
    with pytest.raises(ParameterError, match=words):
        private_trial(mode, "", TEN | {"colluders": colluders})


@pytest.mark.parametrize("mode", SHARED)
@pytest.mark.parametrize("colluders", [7, 8])
def test_no_client_works_in_a_run_with_threshold_colluders(mode: str, colluders: int, tmp_path: Path) -> None:
    """The client plans for itself, whatever the server thinks."""
    trial = private_trial(mode, tmp_path, TEN | {"min-cohort": 9, "training-deadline": 5.0})
    reason = refusal(trial, configured("colluders", colluders))
    assert reason.startswith(f"POLICY: {colluders} colluders hold the 7 shares")
    assert not ledger_path(tmp_path, VICTIM).exists()


@pytest.mark.parametrize("mode", SHARED)
def test_one_colluder_fewer_is_what_the_noise_is_made_for(mode: str, tmp_path: Path) -> None:
    asked, norm = {"distributed": (1.5, 0.8)}.get(mode, (1.2, 0.2))
    trial = private_trial(mode, tmp_path, TEN | {"colluders": 6})
    assert trial.params.neighbours == 9
    assert trial.session() is not None
    assert trial.trip(R1)["refused"] == {}
    plan = plan_of(trial)
    assert math.sqrt(10 - 6) * plan.share / plan.scale >= asked * norm
    shares = [each for each in charged(tmp_path, 0) if each.slack]
    assert shares
    assert {each.colluders for each in shares} == {6}
    assert shares[0].noise_multiplier == plan.noise_multiplier


def test_in_a_sparse_graph_a_clients_neighbours_are_left_with_its_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two colluders of ten, far below any threshold, cut one client off."""
    trial = private_trial("distributed", tmp_path, {"clients": 10, "neighbours": 2} | NOISE_ALONE)
    seen, plan = observed(trial, monkeypatch), plan_of(trial)
    found = isolated(seen, 10)
    assert len(seen[10].before.peers) == 2
    assert np.array_equal(found, seen[10].plain)
    multiplier = np.std(to_signed(found, 32)) / math.sqrt(plan.norm_squared)
    assert multiplier < plan.noise_multiplier / math.sqrt(trial.params.min_survivors) * 1.02


@pytest.mark.parametrize("mode", SHARED)
@pytest.mark.parametrize(
    "sparse", [{"neighbours": 2}, {"neighbours": 8}, {"corrupt-fraction": 0.05, "dropout-fraction": 0.05}]
)
def test_no_server_starts_a_run_with_colluders_in_a_sparse_graph(mode: str, sparse: dict[str, Any]) -> None:
    clients = 1000 if "corrupt-fraction" in sparse else 10
    assert private_trial(mode, "", {"clients": clients, "delta": 1e-5} | sparse)
    with pytest.raises(ParameterError, match="in a sparse graph colluders can cut"):
        private_trial(mode, "", {"clients": clients, "delta": 1e-5, "colluders": 1} | sparse)


@pytest.mark.parametrize("mode", SHARED)
def test_no_client_works_in_a_sparse_graph_with_colluders(mode: str, tmp_path: Path) -> None:
    trial = private_trial(mode, tmp_path, {"clients": 10, "neighbours": 8})
    reason = refusal(trial, configured("colluders", 1))
    assert reason.startswith("POLICY: in a sparse graph colluders can cut the others into parts")
    assert not ledger_path(tmp_path, VICTIM).exists()
