"""Splitting one public data set among simulated clients: IID, or skewed by label (Dirichlet).

Decides which example goes to which client. Every client computes the whole split from the same
public seed, so nothing is sent; the seed is public and numpy's generator is enough, since no secret
hangs on it. Refuses to know what an example is.

Rule: client sizes are equal to within one, in both kinds, so a client is empty only when there are
    fewer examples than clients (then the first `examples` clients hold one each).
"""

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arithmetic.errors import ParameterError

PARTITIONS: Final = ("iid", "dirichlet")


def partition_indices(
    labels: ArrayLike, num_partitions: int, partition: str, alpha: float, seed: int
) -> list[NDArray[np.int64]]:
    """Give each client its example indices: every index in exactly one list, each list sorted.

    `dirichlet` follows Hsu et al. 2019 (arXiv:1909.06335, section 3): client i draws its label mix
    q_i ~ Dir(alpha * p), p the label frequencies of the whole set (they sum to 1, so alpha 0.5 is
    strongly skewed and alpha 100 nearly IID), then takes its examples by q_i without replacement; a
    label that runs out is left out and q_i renormalised.

    Args:
        labels: one integer label an example, shape (examples,).
        num_partitions: number of clients, >= 1.
        partition: "iid" or "dirichlet".
        alpha: concentration, finite and > 0; read by "dirichlet" only.
        seed: >= 0; the same arguments give the same split with the same numpy.

    Raises:
        ParameterError: an argument outside the above.
    """
    targets = np.asarray(labels)
    _check(targets, num_partitions, partition, alpha, seed)
    rng = np.random.default_rng([seed, num_partitions])
    order = rng.permutation(len(targets))
    if partition == "iid":
        parts = np.array_split(order, num_partitions)
    else:
        parts = _dirichlet(targets, order, num_partitions, alpha, rng)
    return [np.sort(part).astype(np.int64) for part in parts]


def split_validation(
    indices: NDArray[np.int64], fraction: float, seed: int, partition_id: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split one client's indices into (train, validation), each sorted.

    Validation gets round(fraction * examples), but at least one example when there are two or more,
    and never the last one left for training: a single example trains.

    Raises:
        ParameterError: a fraction outside 0 < fraction < 1.
    """
    if not 0.0 < fraction < 1.0:
        raise ParameterError(f"validation-fraction is {fraction}; choose 0 < validation-fraction < 1")
    held = min(max(round(fraction * len(indices)), 1), max(len(indices) - 1, 0))
    order = np.random.default_rng([seed, partition_id, 1]).permutation(indices)
    return np.sort(order[held:]), np.sort(order[:held])


def _check(targets: NDArray[np.int64], count: int, partition: str, alpha: float, seed: int) -> None:
    if targets.ndim != 1 or (targets.size and targets.dtype.kind not in "iu"):
        raise ParameterError(f"labels are {targets.dtype} {targets.shape}; give one integer an example")
    if count < 1:
        raise ParameterError(f"num_partitions is {count}; there must be at least one client")
    if partition not in PARTITIONS:
        raise ParameterError(f"partition is {partition!r}; choose one of {', '.join(PARTITIONS)}")
    if partition == "dirichlet" and not (math.isfinite(alpha) and alpha > 0.0):
        raise ParameterError(f"dirichlet-alpha is {alpha}; choose a finite number above 0")
    if seed < 0:
        raise ParameterError(f"seed is {seed}; choose an integer from 0 up")


def _dirichlet(
    targets: NDArray[np.int64],
    order: NDArray[np.int64],
    num_partitions: int,
    alpha: float,
    rng: np.random.Generator,
) -> list[NDArray[np.int64]]:
    classes, counts = np.unique(targets, return_counts=True)
    pools = [order[targets[order] == label] for label in classes]
    left = counts.astype(np.int64)
    concentration = np.maximum(alpha * counts / max(len(targets), 1), 1e-6)
    parts: list[NDArray[np.int64]] = []
    for share in np.array_split(order, num_partitions):
        mix = rng.dirichlet(concentration) if len(classes) else np.zeros(0)
        taken = _take(len(share), mix, left, rng)
        parts.append(
            np.concatenate(
                [pool[n - k : n] for pool, n, k in zip(pools, left, taken, strict=True)]
                + [np.zeros(0, dtype=np.int64)]
            )
        )
        left = left - taken
    return parts


def _take(
    size: int, mix: NDArray[np.float64], left: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """How many of each label one client takes: `size` in all, by `mix`, never more than `left`."""
    taken = np.zeros_like(left)
    while (missing := size - int(taken.sum())) > 0:
        free = left - taken
        weights = np.where(free > 0, mix, 0.0)
        if not weights.sum() > 0.0:  # its labels ran out (or the mix underflowed): take what is left
            weights = free.astype(np.float64)
        drawn = rng.multinomial(missing, weights / weights.sum())
        taken = taken + np.minimum(drawn, free)
    return taken
