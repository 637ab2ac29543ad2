"""The ring's vector: the residues of a masked session, there and back, with room for everybody's sum."""

import numpy as np
import pytest
from flwr.app import ConfigRecord

from arithmetic.errors import ParameterError
from arithmetic.residues import from_signed
from wire.records import pack_arrays
from wire.ring import numbers_of, packing_of, parts_of, subject_of

EDGES = np.array([0, 1, -1, 2**53 + 1, -(2**53) - 1, 2**62, -(2**62)], dtype=np.int64)


def test_residues_become_numbers_and_sums_become_residues() -> None:
    words = from_signed(EDGES, 64)
    assert numbers_of(words) == EDGES.tolist()
    tensor, scalars = parts_of(EDGES.tolist(), 3)
    assert tensor.tolist() == EDGES[:3].tolist()
    assert np.array_equal(scalars, words[3:])


@pytest.mark.parametrize("parties", [3, 5, 1024])
def test_the_packing_holds_every_sum_that_64_bits_hold(parties: int) -> None:
    packing = packing_of(25, parties, 2048)
    most = (2**63 - 1) // parties
    assert packing.plaintexts == 1
    vectors = [[most, -most] + [0] * 23] * parties
    total = [sum(column) for column in zip(*map(packing.pack, vectors), strict=True)]
    sums = packing.levels(total)
    assert sums[:2] == [parties * most, -parties * most]
    assert parts_of(sums, 1)[0].tolist() == [parties * most]


def test_a_vector_without_entries_or_parties_is_refused() -> None:
    for length, parties in ((0, 3), (25, 0)):
        with pytest.raises(ParameterError):
            packing_of(length, parties, 2048)


def test_the_subject_names_model_and_configuration() -> None:
    model = {"weight": np.arange(3.0)}
    other = {"weight": np.arange(3.0) + 1}
    config, another = ConfigRecord({"seed": 1}), ConfigRecord({"seed": 2})
    subjects = {subject_of(pack_arrays(m), c) for m in (model, other) for c in (config, another)}
    assert len(subjects) == 4
    assert all(len(subject) == 32 for subject in subjects)
