"""Bytes to records and back by an allow-list."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from hypothesis import given
from hypothesis import strategies as st

from secagg.errors import MalformedMessage
from wire.records import (
    CONFIG_KEY,
    MODEL_KEY,
    config_digest,
    message_in,
    message_of,
    model_digest,
    pack_arrays,
    record_bytes,
    reply_record,
    request_record,
    unpack_arrays,
)


def over_the_wire(content: RecordDict) -> RecordDict:
    return recorddict_from_proto(recorddict_to_proto(content))


@given(st.binary(max_size=300))
def test_a_message_comes_back_as_it_was(message: bytes) -> None:
    assert message_in(over_the_wire(reply_record(message))) == message


def test_a_request_with_a_model_holds_three_records_and_nothing_else() -> None:
    content = over_the_wire(request_record(b"m", pack_arrays({}), ConfigRecord({"a": 1})))
    assert message_in(content, MODEL_KEY, CONFIG_KEY) == b"m"
    for others in ((), (MODEL_KEY,), (MODEL_KEY, CONFIG_KEY, "more")):
        with pytest.raises(MalformedMessage):
            message_in(content, *others)


def test_a_request_without_a_model_holds_the_message_alone() -> None:
    assert message_in(over_the_wire(request_record(b"m", None, None))) == b"m"


def raw(data: bytes, **changes: Any) -> Array:
    fields: dict[str, Any] = {
        "dtype": "uint8",
        "shape": (len(data),),
        "stype": "chorus.message",
        "data": data,
    }
    return Array(**(fields | changes))


@pytest.mark.parametrize(
    "record",
    [
        ArrayRecord(), ConfigRecord({"message": b"x"}), MetricRecord({"message": 1}), b"x", None,
        ArrayRecord({"other": raw(b"x")}), ArrayRecord({"message": raw(b"x"), "more": raw(b"x")}),
        ArrayRecord({"message": raw(b"x", dtype="int8")}), ArrayRecord({"message": raw(b"x", shape=(2,))}),
        ArrayRecord({"message": raw(b"x", shape=())}), ArrayRecord({"message": raw(b"x", shape=(1, 1))}),
        ArrayRecord({"message": raw(b"x", stype="numpy.ndarray")}),
        ArrayRecord({"message": Array(np.zeros(1))}),
    ],
    ids=range(13),
)  # fmt: skip
def test_anything_but_one_array_of_bytes_is_refused(record: Any) -> None:
    with pytest.raises(MalformedMessage):
        message_of(record)


MODEL: dict[str, np.ndarray[Any, Any]] = {
    "w": np.arange(6, dtype=np.float32).reshape(2, 3), "scalar": np.array(3, np.int64),
    "empty": np.zeros((0, 7), np.float32), "flags": np.array([True, False]), "half": np.ones(3, np.float16),
    "big": np.arange(3, dtype=">f8"), "strided": np.arange(10, dtype=np.int32)[::3],
}  # fmt: skip


def test_a_model_comes_back_as_it_was_and_cannot_be_written() -> None:
    record = over_the_wire(RecordDict({"arrays": pack_arrays(MODEL)})).array_records["arrays"]
    found = unpack_arrays(record)
    assert list(found) == list(MODEL)
    for name, array in MODEL.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].shape == array.shape
        assert found[name].dtype == array.dtype.newbyteorder("<")
        assert not found[name].flags.writeable


def model(**changes: Any) -> Array:
    fields: dict[str, Any] = {"dtype": "float32", "shape": (2,), "stype": "chorus.raw", "data": bytes(8)}
    return Array(**(fields | changes))


@pytest.mark.parametrize(
    "array",
    [
        model(data=bytes(7)), model(data=bytes(9)), model(shape=(3,)), model(shape=(-1, -2)),
        model(shape=(10**12,)),
        model(dtype="object"), model(dtype="float128"), model(dtype="<f4"), model(dtype="O"), model(dtype=""),
        model(dtype="complex64"), model(dtype="str"), model(stype="numpy.ndarray"), model(stype=""),
        Array(np.zeros(2, np.float32)),
    ],
    ids=range(15),
)  # fmt: skip
def test_an_array_that_is_not_what_it_says_is_refused(array: Array) -> None:
    with pytest.raises(MalformedMessage) as caught:
        unpack_arrays(ArrayRecord({"\x1b[31m" + "n" * 1000: array}))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 200


def test_a_model_that_is_no_array_record_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        unpack_arrays(ConfigRecord())


def test_the_size_counts_arrays_only() -> None:
    assert (
        record_bytes(request_record(b"12345", pack_arrays({"w": np.zeros(4)}), ConfigRecord({"k": "v"})))
        == 37
    )


def test_the_model_digest_changes_with_name_type_shape_order_and_value() -> None:
    base = {"a": np.arange(4, dtype=np.float32), "b": np.zeros(2)}
    variants: list[dict[str, Any]] = [
        base, {"b": base["b"], "a": base["a"]}, {"c": base["a"], "b": base["b"]}, {"a": base["a"]},
        base | {"a": base["a"].reshape(2, 2)}, base | {"a": base["a"].view(np.int32)},
        base | {"a": np.nextafter(base["a"], 9)}, base | {"b": -base["b"]},
    ]  # fmt: skip
    digests = {model_digest(pack_arrays(variant)) for variant in variants}
    assert len(digests) == len(variants)
    assert all(len(found) == 32 for found in digests)
    assert model_digest(over_the_wire(RecordDict({"m": pack_arrays(base)})).array_records["m"]) in digests


def test_the_config_digest_is_the_same_on_both_sides_and_changes_with_every_value() -> None:
    base: dict[str, Any] = {"a": 1, "b": 0.1, "c": "x", "d": b"y", "e": True, "f": [1, 2], "g": -0.0}
    there = over_the_wire(RecordDict({"c": ConfigRecord(base)})).config_records["c"]
    reversed_ = ConfigRecord(dict(reversed(list(base.items()))))
    assert config_digest(ConfigRecord(base)) == config_digest(there) == config_digest(reversed_)
    changes: list[dict[str, Any]] = [
        {"a": 2}, {"a": 1.0}, {"a": True}, {"b": 0.1 + 2**-56}, {"c": "y"}, {"c": b"x"}, {"d": "y"}, {"e": 1},
        {"e": False}, {"f": [2, 1]}, {"g": 0.0}, {"h": 0},
    ]  # fmt: skip
    assert len({config_digest(ConfigRecord(base | change)) for change in ({}, *changes)}) == 13
