"""Files and bytes of models: they come back whole, and hostile ones give typed errors, never anything else."""

import copy
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from arithmetic.errors import SetupError
from predictions.conversion import convert
from predictions.errors import ModelRejected
from predictions.model_file import digest, from_bytes, load, save, to_bytes
from predictions.program import Program
from predictions.weights import Weights
from tests.support.networks import network


@pytest.fixture(scope="module")
def model() -> tuple[Program, tuple[Weights, ...]]:
    return convert(*network("residual"))


def test_a_model_comes_back_from_its_file(model: tuple[Program, tuple[Weights, ...]], tmp_path: Path) -> None:
    path = tmp_path / "model"
    save(path, *model)
    save(path, *model)
    program, weights = load(path)
    assert program == model[0]
    for ours, theirs in zip(weights, model[1], strict=True):
        assert np.array_equal(ours.matrix, theirs.matrix)
        assert np.array_equal(ours.bias, theirs.bias)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_program_is_the_same_bytes(model: tuple[Program, tuple[Weights, ...]]) -> None:
    again = from_bytes(to_bytes(model[0]))
    assert again == model[0]
    assert to_bytes(again) == to_bytes(model[0])
    assert digest(again) == digest(model[0])
    other, _ = convert(*network("depthwise"))
    assert digest(other) != digest(model[0])
    whole, _ = convert(nn.Linear(3, 2), (3,), 0, 1)  # a range in whole numbers
    assert digest(whole) == digest(from_bytes(to_bytes(whole)))


@pytest.mark.parametrize("cut", [0, 1, 50, 200, -1, -5000])
def test_a_torn_file_is_refused(model: tuple[Program, tuple[Weights, ...]], tmp_path: Path, cut: int) -> None:
    path = tmp_path / "model"
    save(path, *model)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ModelRejected, match=r"torn|no model"):
        load(path)


def test_every_changed_byte_is_refused(model: tuple[Program, tuple[Weights, ...]], tmp_path: Path) -> None:
    path = tmp_path / "model"
    save(path, *model)
    whole = path.read_bytes()
    for place in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ModelRejected):
            load(path)


def test_a_file_of_another_format_or_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with pytest.raises(SetupError, match="cannot be read"):
        load(path)
    path.write_bytes(json.dumps({"format": 2, "sha256": ""}).encode() + b"\n")
    with pytest.raises(ModelRejected, match="is of format 2, and this version reads 1"):
        load(path)
    with pytest.raises(SetupError, match="cannot be written"):
        save(tmp_path / "none" / "model", *convert(*network("one layer")))


def _set(place: str, value: object) -> Callable[[Any], None]:
    """Put a value at a place such as `wires/0/bits`."""

    def change(table: Any) -> None:
        *path, last = [int(part) if part.isdigit() else part for part in place.split("/")]
        for part in path:
            table = table[part]
        table[last] = value

    return change


CHANGES: dict[str, Callable[[Any], None]] = {
    f"{place} = {json.dumps(value)[:30]}": _set(place, value)
    for place, value in [
        ("wires", []),
        ("wires", {}),
        ("wires/0", None),
        ("wires/0/bits", 63),
        ("wires/0/bits", 32),
        ("wires/0/bits", True),
        ("wires/0/bits", 64.0),
        ("wires/1/bits", 7),
        ("wires/1/bits", 44),
        ("wires/1/bound", 1e6),
        ("wires/1/bound", -1.0),
        ("wires/0/shape", []),
        ("wires/0/shape", [1] * 9),
        ("wires/0/shape", [1, -28, 28]),
        ("wires/0/shape", [2**20, 2**20, 2**20]),
        ("wires/0/shape", [1, "28", 28]),
        ("wires/0/scale", 0),
        ("wires/0/scale", -1.0),
        ("wires/0/scale", 1e30),
        ("wires/0/more", 1),
        ("low", 2.0),
        ("low", "0"),
        ("high", 1e300),
        ("high", 10**400),
        ("more", 1),
        ("operations", []),
        ("operations/0", []),
        ("operations/0/kind", "Execute"),
        ("operations/0/kind", ["Linear"]),
        ("operations/0/kind", "Linear"),
        ("operations/0/source", 1),
        ("operations/0/source", -1),
        ("operations/0/source", 99),
        ("operations/0/target", 0),
        ("operations/0/target", 2),
        ("operations/0/target", 10**9),
        ("operations/0/weights", 1),
        ("operations/0/weights", 9),
        ("operations/0/shift", 63),
        ("operations/0/shift", -1),
        ("operations/0/kernel", [3]),
        ("operations/0/kernel", [0, 3]),
        ("operations/0/kernel", [10**6, 10**6]),
        ("operations/0/stride", [0, 0]),
        ("operations/0/padding", [-1, 1]),
        ("operations/0/padding", [10**9, 10**9]),
        ("operations/0/dilation", [0, 1]),
        ("operations/0/groups", 0),
        ("operations/0/groups", 4),
        ("operations/0/groups", -1),
    ]
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_program_that_breaks_the_contract_is_refused(
    model: tuple[Program, tuple[Weights, ...]], name: str
) -> None:
    table = json.loads(to_bytes(model[0]))
    CHANGES[name](table)
    with pytest.raises(ModelRejected):
        from_bytes(json.dumps(table).encode())


LAYER_NORM_CHANGES: dict[str, Callable[[Any], None]] = {
    f"{place} = {value}": _set(place, value)
    for place, value in [
        ("operations/2/epsilon", 0.0),
        ("operations/2/epsilon", 1e9),
        ("operations/2/epsilon", -1e-5),
        ("wires/2/bound", 0.0),
        ("wires/2/scale", 2.0**-40),
        ("wires/2/bits", 40),
        ("wires/3/bound", 0.0),
        ("wires/3/bound", 1e12),
        ("wires/3/scale", 2.0**-30),
        ("wires/3/bits", 40),
    ]
}


@pytest.mark.parametrize("name", LAYER_NORM_CHANGES)
def test_a_layer_norm_that_cannot_be_planned_is_refused(name: str) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.LayerNorm(8), nn.Linear(8, 3))
    table = json.loads(to_bytes(convert(module, (1, 3, 3), 0.0, 1.0)[0]))
    assert table["operations"][2]["kind"] == "LayerNorm"
    LAYER_NORM_CHANGES[name](table)
    with pytest.raises(ModelRejected):
        from_bytes(json.dumps(table).encode())


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"null", b"{", b"\xff", b"[" * 100_000, b" " * 2**21, b'{"low": NaN}', b"1" * 5000],
    ids=["empty", "list", "null", "torn", "no text", "deep", "long", "NaN", "huge number"],
)
def test_bytes_that_are_no_program_are_refused(data: bytes) -> None:
    with pytest.raises(ModelRejected):
        from_bytes(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.data(), json_values)
def test_no_replaced_field_gives_anything_but_a_program_or_a_refusal(data: st.DataObject, value: Any) -> None:
    table = copy.deepcopy(TABLE)
    inner: Any = table
    while isinstance(inner, dict | list) and inner:
        keys = list(inner) if isinstance(inner, dict) else range(len(inner))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(inner[key], dict | list):
            inner[key] = value
            break
        inner = inner[key]
    try:
        assert isinstance(from_bytes(json.dumps(table).encode()), Program)
    except ModelRejected:
        pass


TABLE = json.loads(to_bytes(convert(*network("depthwise"))[0]))


def test_weights_of_another_model_are_refused(
    model: tuple[Program, tuple[Weights, ...]], tmp_path: Path
) -> None:
    program, weights = model
    for wrong in (weights[:-1], (*weights[1:], weights[0]), ()):
        with pytest.raises(ModelRejected, match=r"do not go with|are not"):
            save(tmp_path / "model", program, wrong)
    assert not list(tmp_path.iterdir())
