"""Programs and models as bytes: strict JSON for what is public, safetensors for the integers.

Decides: the bytes, the digest by which two parties see that they mean the same program, and that every field of a
file or message is checked before anything is allocated for it. A model's file is its owner's secret: it is made for
its owner alone to read, and shared by no one. Refuses to know: shares and servers.

A file is one line of JSON (format, SHA-256 of all that follows), one line with the program, and the integers.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from arithmetic.errors import SetupError
from predictions.errors import ModelRejected
from predictions.program import Operation, Program, Wire
from predictions.validity import check
from predictions.weights import Weights

FORMAT: Final = 1
MOST_PROGRAM_BYTES: Final = 2**20
MOST_FILE_BYTES: Final = 2**31

_OPERATIONS: Final[Mapping[str, type]] = {kind.__name__: kind for kind in get_args(Operation)}
_MOST_INTEGER: Final = 2**31


def to_bytes(program: Program) -> bytes:
    """The one line that stands for a program: the same program is the same bytes."""
    operations = [{"kind": type(each).__name__, **dataclasses.asdict(each)} for each in program.operations]
    wires = [dataclasses.asdict(wire) for wire in program.wires]
    written = {"wires": wires, "operations": operations, "low": program.low, "high": program.high}
    return json.dumps(written, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()


def from_bytes(data: bytes) -> Program:
    """The program that `to_bytes` wrote.

    Args:
        data: of any origin.

    Raises:
        ModelRejected: no such bytes, or a program that breaks the contract.
    """
    if len(data) > MOST_PROGRAM_BYTES:
        raise ModelRejected(f"a program has at most {MOST_PROGRAM_BYTES} bytes, not {len(data)}")
    try:
        table = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise ModelRejected("the program is no JSON") from None
    program = _program(table)
    check(program)
    return program


def digest(program: Program) -> bytes:
    """32 bytes, SHA-256: owner, servers and askers compare it before anything is shared."""
    return hashlib.sha256(to_bytes(program)).digest()


def save(path: Path, program: Program, weights: tuple[Weights, ...]) -> None:
    """Write a model for its owner alone to read (mode 0600), whole or not at all.

    Args:
        path: of the file; one that is there is replaced.
        program: what it computes.
        weights: its integers.

    Raises:
        ModelRejected: weights that do not go with the program.
        SetupError: the file cannot be written.
    """
    check(program, weights)
    tensors = {f"{number}.matrix": held.matrix for number, held in enumerate(weights)}
    tensors |= {f"{number}.bias": held.bias for number, held in enumerate(weights)}
    body = (
        to_bytes(program)
        + b"\n"
        + save_tensors({name: np.ascontiguousarray(each) for name, each in tensors.items()})
    )
    head = json.dumps({"format": FORMAT, "sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n"
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write_private(fresh, head + body)
        fresh.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
        raise SetupError(
            f"the model {str(path)!r} cannot be written ({error.strerror}); name another place"
        ) from None


def load(path: Path) -> tuple[Program, tuple[Weights, ...]]:
    """The model that `save` wrote.

    Args:
        path: of the file.

    Raises:
        ModelRejected: the file is torn, changed, of another format, or holds something else.
        SetupError: it cannot be read.
    """
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise ModelRejected(f"{path.name} is larger than {MOST_FILE_BYTES} bytes; convert the model anew")
        head, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise SetupError(
            f"the model {str(path)!r} cannot be read ({error.strerror}); name a file that `save` wrote"
        ) from None
    _check_head(path.name, head, body)
    line, _, tensors = body.partition(b"\n")
    program = from_bytes(line)
    weights = _weights(path.name, tensors)
    check(program, weights)
    return program, weights


def _write_private(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _check_head(name: str, head: bytes, body: bytes) -> None:
    try:
        table = json.loads(head) if len(head) <= 256 else None
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict) or set(table) != {"format", "sha256"} or type(table["format"]) is not int:
        raise ModelRejected(f"{name} is no model of private predictions; convert one")
    if table["format"] != FORMAT:
        raise ModelRejected(
            f"{name} is of format {table['format']}, and this version reads {FORMAT}; convert the model anew"
        )
    if table["sha256"] != hashlib.sha256(body).hexdigest():
        raise ModelRejected(f"{name} is torn or was changed; convert the model anew")


def _weights(name: str, tensors: bytes) -> tuple[Weights, ...]:
    try:
        arrays = load_tensors(tensors)
    except (SafetensorError, KeyError, ValueError, TypeError):
        raise ModelRejected(
            f"{name} does not hold what this version writes; convert the model anew"
        ) from None
    count = len(arrays) // 2
    expected = {f"{number}.{part}" for number in range(count) for part in ("matrix", "bias")}
    ok = set(arrays) == expected and all(each.dtype == np.int64 for each in arrays.values())
    if not ok or any(
        arrays[f"{number}.matrix"].ndim != 2
        or arrays[f"{number}.bias"].shape != arrays[f"{number}.matrix"].shape[:1]
        for number in range(count)
    ):
        raise ModelRejected(f"{name} holds other arrays than a model has; convert the model anew")
    return tuple(Weights(arrays[f"{number}.matrix"], arrays[f"{number}.bias"]) for number in range(count))


def _program(table: object) -> Program:
    fields = _fields(table, ("wires", "operations", "low", "high"), "the program")
    wires, operations = fields["wires"], fields["operations"]
    if not isinstance(wires, list) or not isinstance(operations, list):
        raise ModelRejected("wires and operations of a program are lists")
    return Program(
        tuple(_record(Wire, wire, f"wire {number}") for number, wire in enumerate(wires)),
        tuple(_operation(each, f"operation {number}") for number, each in enumerate(operations)),
        _value(float, fields["low"], "low"),
        _value(float, fields["high"], "high"),
    )


def _operation(table: object, where: str) -> Operation:
    kind = table.pop("kind", None) if isinstance(table, dict) else None
    if not isinstance(kind, str) or kind not in _OPERATIONS:
        raise ModelRejected(f"{where} is of no kind that there is")
    operation: Operation = _record(_OPERATIONS[kind], table, f"{where} ({kind})")
    return operation


def _record(kind: type, table: object, where: str) -> Any:  # noqa: ANN401 - an instance of `kind`
    hints = get_type_hints(kind)
    fields = _fields(table, tuple(hints), where)
    return kind(**{name: _value(hint, fields[name], f"{name} of {where}") for name, hint in hints.items()})


def _fields(table: object, names: tuple[str, ...], where: str) -> dict[str, Any]:
    if not isinstance(table, dict) or set(table) != set(names):
        raise ModelRejected(f"{where} has other fields than {', '.join(names)}")
    return table


def _value(hint: Any, value: Any, where: str) -> Any:  # noqa: ANN401 - JSON, by the type it must have
    if get_origin(hint) is tuple:
        parts = get_args(hint)
        if (
            not isinstance(value, list)
            or len(value) > 8
            or (parts[1] is not ... and len(value) != len(parts))
        ):
            raise ModelRejected(f"{where} is no list of that length")
        return tuple(_value(parts[0], each, where) for each in value)
    if hint is float and type(value) in (int, float) and abs(value) < 2.0**100 and math.isfinite(value):
        return float(value)
    if hint is int and type(value) is int and abs(value) < _MOST_INTEGER:
        return value
    raise ModelRejected(f"{where} is no number of its kind")
