"""Digests that two versions compare, pinned: whoever changes one changes the wire format, and has to say so."""

import numpy as np
from flwr.app import ConfigRecord, RecordDict

from arithmetic.layout import Kind, TensorEntry, VectorSpec
from arithmetic.residues import to_signed
from wire.kept_state import begin_round, finish_round, keep_layout, pin, put
from wire.questions import Bounds, Question, Summand
from wire.records import config_digest, model_digest, pack_arrays, reply_record, request_record
from wire.rounds import ProtocolRound, Purpose
from wire.scalars import FRACTION_BITS, ScalarLayout
from wire.settings import Job, agreed_record, layout_digest

SPEC = VectorSpec(
    (
        TensorEntry("weight", (2, 3), "float32", Kind.FLOAT),
        TensorEntry("count", (), "int64", Kind.INTEGER),
        TensorEntry("tied", (2, 3), "float32", Kind.TIED, "weight"),
    )
)
TRAINING = ScalarLayout.of(Purpose.TRAINING, ("accuracy",), 1, adaptive_clipping=True)


def test_the_scalars_of_a_training_session_are_these() -> None:
    whole = ("evaluation examples", "weight", "weights clamped")
    fractions = ("evaluation loss", "evaluation metric accuracy", "training loss * weight")
    found = dict(zip(TRAINING.names, TRAINING.fraction_bits, strict=True))
    assert [found[name] for name in whole] == [0, 0, 0]
    assert [found[name] for name in fractions] == [FRACTION_BITS] * 3
    above = [name for name in TRAINING.names if name.startswith("entries above bound / 4^")]
    assert [found[name] for name in above] == [0] * len(above)
    assert found["updates within the clipping norm, with noise"] == 0
    assert set(found) == {*whole, *fractions, *above, "updates within the clipping norm, with noise"}
    assert TRAINING.length == len(TRAINING.names) + 1


def test_layouts_have_the_digests_that_other_versions_know() -> None:
    assert SPEC.digest.hex() == "94193fa20b7ab93f740d3dbe18c9b603b1541e292f35478d0cd28478142b6a62"
    assert TRAINING.digest.hex() == "c0466dce8316a6627a2078c39515a8bba6fd480a7bca52a62c98a9c40d687fef"
    assert (
        ScalarLayout.of(Purpose.EVALUATION, (), 0).digest.hex()
        == "a2d79006677a0bfd15a5c787430c7690d06a5afa410ffd81b545aeec3eb06220"
    )
    assert (
        layout_digest(SPEC, TRAINING).hex()
        == "82ab84d209d9b903d0bf6cee9279c9ce463a1e9ad85c42c7408f21c133357b0e"
    )


def test_models_and_configurations_have_the_digests_that_other_versions_know() -> None:
    model = pack_arrays(
        {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(7, np.int64)}
    )
    assert model_digest(model).hex() == "2153a91f7f1dd894cba62a2c39eb923f60e8394945779493b0afb1011810e80c"
    config = ConfigRecord({"b": 1, "a": "text", "rate": 0.5, "on": True, "raw": b"\x00\x01"})
    assert config_digest(config).hex() == "c367658c149c0af7756f98a8411c24c178998bd846e436e329767c0ec3addee5"


def test_sums_travel_as_limbs_of_32_bits_the_last_with_the_sign() -> None:
    question = Question(
        table="a.csv",
        columns={"x": Bounds(low=-1.0, high=1.0)},
        sums=(Summand(), Summand(of=("x",)), Summand(of=("x", "x"))),
    )
    words = question.encode([7, -(2**33) + 5, 2**130 + 2**32 + 1], cohort=3)
    assert to_signed(words, 64).tolist() == [7, 5, 2**32 - 2, -1, 1, 1, 0, 0, 4]
    # 1.0 has the exponent 1 in frexp: a value counts in steps of 2^-51 of it.
    assert question.exact(question.sums[1], 2**51) == 1


def test_records_have_the_keys_and_types_that_other_versions_know() -> None:
    reply = reply_record(b"abc")
    assert list(reply) == ["chorus"]
    message = reply.array_records["chorus"]["message"]
    assert (message.dtype, tuple(message.shape), message.stype, message.data) == (
        "uint8", (3,), "chorus.message", b"abc",
    )  # fmt: skip
    model = pack_arrays({"weight": np.zeros(2, np.float32)})
    assert (model["weight"].dtype, tuple(model["weight"].shape), model["weight"].stype) == (
        "float32",
        (2,),
        "chorus.raw",
    )
    assert set(request_record(b"abc", model, ConfigRecord({}))) == {"chorus", "arrays", "config"}
    agreed = agreed_record(ConfigRecord({}), Purpose.TRAINING, Job.TRAIN, b"d", {"encoding-bound": 1.0})
    assert dict(agreed) == {
        "purpose": "training",
        "job": "train",
        "layout-digest": b"d",
        "encoding-bound": 1.0,
    }


def test_what_a_node_keeps_is_found_by_the_version_that_follows() -> None:
    store = RecordDict()
    put(store, ProtocolRound.MASKED_INPUT, b"state", b"update")
    begin_round(store, 3)
    finish_round(store)
    keep_layout(store, b"layout")
    pin(store, b"key")
    assert dict(store.config_records["chorus"]) == {"awaited": "r2", "state": b"state", "update": b"update"}
    assert dict(store.config_records["chorus run"]) == {
        "begun": 3,
        "round": 3,
        "layout": b"layout",
        "pinned": b"key",
    }


def test_a_name_that_is_no_text_has_a_digest_of_its_own() -> None:
    lone = [
        VectorSpec((TensorEntry(name, (2,), "float32", Kind.FLOAT),)).digest
        for name in ("\ud800", "\udfff", "?")
    ]
    assert len(set(lone)) == 3
