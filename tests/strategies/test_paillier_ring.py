"""Sums around the ring against the same sums under masks, over the same hospitals; whoever drops is skipped."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message

from arithmetic.errors import ParameterError
from paillier.ciphertext import decrypt
from paillier.ring.messages import HopSealed, SumHanded
from secagg.errors import ChorusError
from strategies.errors import NothingAggregated
from tests.support.ring_run import PAIR, QUICK, at_step, ring_trial
from tests.support.run import Trial, copied, swallow
from wire.records import message_in
from wire.rounds import RingStep

ROLL_CALL, JOIN, REVEAL, HOP = RingStep


def masked_trial(overrides: dict[str, Any] | None = None) -> Trial:
    """The same run under masks."""
    asked = QUICK | {"job": "train", "modulus-bits": 64, "paillier-bits": 3072} | (overrides or {})
    return Trial(asked)


def test_ring_and_masks_give_the_same_weights_bit_by_bit(tmp_path: Path) -> None:
    ring, masked = ring_trial(tmp_path, {"rounds": 3}), masked_trial({"rounds": 3})
    ours, theirs = copied(ring.start().arrays), copied(masked.start().arrays)
    assert ours.keys() == theirs.keys()
    assert sum(array.size for array in ours.values()) == 11
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name
    assert not np.array_equal(ours["weight"], ring.initial["weight"])
    found = [trial.named("round_finished") for trial in (ring, masked)]
    same = ("loss", "metrics", "train_loss", "encoding_bound", "saturated", "weights_clamped")
    assert [[each[key] for key in same] for each in found[0]] == [[each[key] for key in same] for each in found[1]]
