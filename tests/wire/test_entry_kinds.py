"""Kinds of entries: nothing that looks like a secret finds a field."""

import math
from typing import Any

import numpy as np
import pytest

from privacy.terms import PrivacyTerms
from wire.entries import KINDS, entry_of
from wire.entry_kinds import LONGEST_SENTENCE, Refused, Summed

SESSION = "ab" * 32
MASKED: dict[str, Any] = {
    "session": SESSION, "sharers": 4, "sharers_digest": "cd" * 32, "self_masks": 1, "pairwise_masks": 3,
}  # fmt: skip
REFUSED: dict[str, Any] = {"session": "", "protocol_round": "r1", "code": "VIEW", "sentence": "no"}
SUMMED: dict[str, Any] = {"session": SESSION, "survivors": 3, "revealed": {3, 1, 2}, "verdict": "exact"}


@pytest.mark.parametrize(
    "value",
    [
        bytes(32), bytearray(32), memoryview(bytes(32)), np.zeros(8), 2**64, -1, True, 1.0, math.nan, None, "4", [4],
        {"a": 1}, object(),
    ],
)  # fmt: skip
def test_a_count_is_a_small_whole_number(value: Any) -> None:
    with pytest.raises(TypeError, match="pairwise_masks must not enter"):
        entry_of("masked", MASKED | {"pairwise_masks": value})


@pytest.mark.parametrize(
    "value", [bytes(32), "AB" * 32, "ab" * 31, "ab" * 33, "ab" * 32 + "\n", "", 5, None, ["ab" * 32]]
)
def test_a_digest_is_64_hexadecimal_digits(value: Any) -> None:
    with pytest.raises(TypeError, match="session must not enter"):
        entry_of("masked", MASKED | {"session": value})


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("name", ["secret", "seed", "share", "chain", "signature", "kind"])
def test_no_kind_takes_a_field_it_does_not_name(kind: str, name: str) -> None:
    fields = {each: object() for each in KINDS[kind].model_fields} | {name: "ab" * 32}
    with pytest.raises(TypeError):
        entry_of(kind, fields)
    if kind == "masked":
        with pytest.raises(TypeError, match=f"{name} must not enter"):
            entry_of(kind, MASKED | {name: "ab" * 32})


@pytest.mark.parametrize("name", sorted(MASKED))
def test_every_field_is_due(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must not enter a transcript: Field required"):
        entry_of("masked", {key: value for key, value in MASKED.items() if key != name})


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(TypeError, match="no entries of kind 'secret', but opened, joined"):
        entry_of("secret", {})


@pytest.mark.parametrize(
    "terms",
    [
        PrivacyTerms(rounds=2**80),
        PrivacyTerms(colluders=0, noise_multiplier=b"k" * 32),  # type: ignore[arg-type]
        PrivacyTerms(clipping_norm=math.inf),
        PrivacyTerms(delta="ab" * 32),  # type: ignore[arg-type]
    ],
)
def test_terms_that_no_mode_looks_at_hide_nothing(terms: PrivacyTerms) -> None:
    from tests.support.told_run import hexed

    fields = dict.fromkeys(KINDS["joined"].model_fields, hexed("")) | {"terms": terms}
    with pytest.raises(TypeError):
        entry_of("joined", fields)
    # It is the terms that are refused, not only what stands around them.
    model = KINDS["joined"]
    with pytest.raises(ValueError, match="terms"):
        model.__pydantic_validator__.validate_assignment(model.model_construct(), "terms", terms)


def test_a_sentence_is_one_line_that_is_cut() -> None:
    entry = entry_of("refused", REFUSED | {"sentence": "a\n{}\x1b[31m " + "b" * 500})
    assert isinstance(entry, Refused)
    assert entry.sentence.startswith("a {}?[31m b")
    assert len(entry.sentence) == LONGEST_SENTENCE
    with pytest.raises(TypeError):
        entry_of("refused", REFUSED | {"sentence": b"bytes"})


def test_a_set_of_clients_stands_in_order() -> None:
    entry = entry_of("summed", SUMMED)
    assert isinstance(entry, Summed)
    assert entry.revealed == (1, 2, 3)


@pytest.mark.parametrize("members", [{0}, {2**20 + 1}, {True}, {1.5}, {b"k" * 32}, b"\x01\x02", "12"])
def test_a_set_of_clients_holds_indices(members: Any) -> None:
    with pytest.raises(TypeError, match="revealed"):
        entry_of("summed", SUMMED | {"revealed": members})
