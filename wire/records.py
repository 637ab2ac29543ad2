"""Bytes to Flower records and back, by an allow-list.

Decides: that a reply is one array of bytes under one key and nothing else, and that arrays of the model
travel as raw little-endian numbers with a checked header. Nothing a peer sent is ever unpickled or given
to `np.load`.
Refuses to know: what the bytes mean (`secagg.messages`).
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from secagg.errors import MalformedMessage
from secagg.primitives import digest

Arrays = Mapping[str, npt.NDArray[Any]]

REASON_LENGTH = 200  # characters of an error reply, on either side
PROTOCOL_KEY = "chorus"
MODEL_KEY = "arrays"
CONFIG_KEY = "config"
_MESSAGE_KEY = "message"
_MESSAGE_TYPE = "chorus.message"
_RAW_TYPE = "chorus.raw"
_MOST_SIDES, _LONGEST_SIDE = 32, 1 << 33
_DTYPES = (
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
    "bool",
)  # fmt: skip


def message_record(message: bytes) -> ArrayRecord:
    """The record that carries one protocol message."""
    return ArrayRecord({_MESSAGE_KEY: Array("uint8", (len(message),), _MESSAGE_TYPE, message)})


def message_of(record: object) -> bytes:
    """The protocol message in a record.

    Raises:
        MalformedMessage: anything but exactly one array of bytes.
    """
    if not isinstance(record, ArrayRecord) or list(record) != [_MESSAGE_KEY]:
        raise MalformedMessage("a protocol record holds one message and nothing else")
    array = record[_MESSAGE_KEY]
    if array.stype != _MESSAGE_TYPE or array.dtype != "uint8" or tuple(array.shape) != (len(array.data),):
        raise MalformedMessage("a protocol message is raw bytes of the length it declares")
    return bytes(array.data)


def reply_record(message: bytes) -> RecordDict:
    """A whole reply: the protocol message alone."""
    return RecordDict({PROTOCOL_KEY: message_record(message)})


def request_record(message: bytes, arrays: ArrayRecord | None, config: ConfigRecord | None) -> RecordDict:
    """A whole request; model and configuration go with r1 only."""
    records: dict[str, ArrayRecord | ConfigRecord] = {PROTOCOL_KEY: message_record(message)}
    if arrays is not None and config is not None:
        records |= {MODEL_KEY: arrays, CONFIG_KEY: config}
    return RecordDict(dict(records))


def message_in(content: RecordDict, *others: str) -> bytes:
    """The protocol message of a request or reply that holds exactly the records named.

    Raises:
        MalformedMessage: a record is missing or too many.
    """
    if set(content) != {PROTOCOL_KEY, *others}:
        raise MalformedMessage(f"a message holds {', '.join((PROTOCOL_KEY, *others))} and nothing else")
    return message_of(content[PROTOCOL_KEY])


def pack_arrays(arrays: Arrays) -> ArrayRecord:
    """Arrays as raw little-endian bytes, in their order."""
    packed = {}
    for name, array in arrays.items():
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        packed[name] = Array(array.dtype.name, tuple(array.shape), _RAW_TYPE, plain.tobytes())
    return ArrayRecord(packed)


def unpack_arrays(record: object) -> dict[str, npt.NDArray[Any]]:
    """The inverse of `pack_arrays`; read-only views of the received bytes.

    Raises:
        MalformedMessage: a type that is not allowed, or a length that is not what type and shape say.
    """
    if not isinstance(record, ArrayRecord):
        raise MalformedMessage("the model travels as an array record")
    arrays = {}
    for name, array in record.items():
        if array.stype != _RAW_TYPE or array.dtype not in _DTYPES:
            raise MalformedMessage(f"array {name[:80]!r} is of a type that is not accepted")
        dtype = np.dtype(array.dtype).newbyteorder("<")
        shape = tuple(array.shape)
        fits = len(shape) <= _MOST_SIDES and all(0 <= side <= _LONGEST_SIDE for side in shape)
        if not fits or math.prod(shape) * dtype.itemsize != len(array.data):
            raise MalformedMessage(f"array {name[:80]!r} is not of the size its shape says")
        arrays[name] = np.frombuffer(array.data, dtype=dtype).reshape(shape)
    return arrays


def record_bytes(content: RecordDict) -> int:
    """Bytes of the arrays in a message: what dominates its size on the wire."""
    return sum(len(array.data) for record in content.array_records.values() for array in record.values())


def model_digest(record: ArrayRecord) -> bytes:
    """Digest of names, types, shapes and bytes of a packed model."""
    parts: list[bytes] = []
    for name, array in record.items():
        parts += [name.encode(), array.dtype.encode(), repr(tuple(array.shape)).encode(), array.data]
    return digest("model", *parts)


def config_digest(config: ConfigRecord) -> bytes:
    """Digest of a training configuration, whatever the order of its keys."""
    parts = [
        f"{key}\x00{type(value).__name__}\x00{value!r}".encode() for key, value in sorted(config.items())
    ]
    return digest("training config", *parts)
