"""Partitions: every example once, deterministic, balanced, skewed as asked."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.errors import ParameterError
from clients.partition import partition_indices, split_validation

LABELS = np.arange(1000) % 10


@settings(max_examples=80, deadline=None)
@given(
    labels=st.lists(st.integers(0, 4), max_size=60),
    clients=st.integers(1, 20),
    partition=st.sampled_from(["iid", "dirichlet"]),
    alpha=st.sampled_from([1e-6, 1e-3, 0.5, 100.0, 1e6]),
    seed=st.integers(0, 2**63 - 1),
)
def test_every_example_once_and_nobody_empty_if_avoidable(
    labels: list[int], clients: int, partition: str, alpha: float, seed: int
) -> None:
    parts = partition_indices(labels, clients, partition, alpha, seed)
    assert len(parts) == clients
    assert sorted(int(i) for part in parts for i in part) == list(range(len(labels)))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    if len(labels) >= clients:
        assert min(sizes) >= 1
    again = partition_indices(labels, clients, partition, alpha, seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


@pytest.mark.parametrize("partition", ["iid", "dirichlet"])
def test_another_seed_is_another_split(partition: str) -> None:
    one = partition_indices(LABELS, 10, partition, 0.5, 0)
    two = partition_indices(LABELS, 10, partition, 0.5, 1)
    assert any(not np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_alpha_sets_the_skew() -> None:
    def largest_share(alpha: float) -> float:
        parts = partition_indices(LABELS, 10, "dirichlet", alpha, 0)
        return float(np.mean([np.bincount(LABELS[part], minlength=10).max() for part in parts]))

    assert largest_share(1000.0) < 25 < largest_share(1.0) < largest_share(0.01) <= 100


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"num_partitions": 0}, "at least one"),
        ({"partition": "dirchlet"}, "dirichlet"),
        ({"alpha": 0.0}, "dirichlet-alpha"),
        ({"alpha": float("nan")}, "dirichlet-alpha"),
        ({"alpha": float("inf")}, "dirichlet-alpha"),
        ({"seed": -1}, "seed"),
        ({"labels": np.zeros((2, 2), np.int64)}, "labels"),
        ({"labels": np.zeros(3)}, "labels"),
    ],
)
def test_arguments_out_of_range_are_refused(change: dict[str, Any], match: str) -> None:
    arguments: dict[str, Any] = {
        "labels": LABELS, "num_partitions": 3, "partition": "dirichlet", "alpha": 0.5, "seed": 0,
    }  # fmt: skip
    with pytest.raises(ParameterError, match=match):
        partition_indices(**(arguments | change))


@pytest.mark.parametrize(
    ("examples", "fraction", "held"),
    [(0, 0.2, 0), (1, 0.2, 0), (1, 0.99, 0), (2, 0.01, 1), (2, 0.99, 1), (10, 0.2, 2), (10, 0.99, 9)],
)
def test_validation_split_keeps_one_to_train_on(examples: int, fraction: float, held: int) -> None:
    indices = np.arange(examples, dtype=np.int64) * 3
    train, validation = split_validation(indices, fraction, 0, 0)
    assert len(validation) == held
    assert sorted([*train, *validation]) == list(indices)


def test_validation_split_is_by_seed_and_client() -> None:
    indices = np.arange(100, dtype=np.int64)
    base = split_validation(indices, 0.2, 0, 0)[1]
    assert np.array_equal(base, split_validation(indices, 0.2, 0, 0)[1])
    assert not np.array_equal(base, split_validation(indices, 0.2, 1, 0)[1])
    assert not np.array_equal(base, split_validation(indices, 0.2, 0, 1)[1])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ParameterError, match="validation-fraction"):
        split_validation(np.arange(3, dtype=np.int64), fraction, 0, 0)
