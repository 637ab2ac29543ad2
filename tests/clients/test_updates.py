"""Between models and arrays: kinds, ties, refusals, and no shared memory."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from arithmetic.errors import ParameterError
from arithmetic.layout import Kind
from clients.updates import arrays_of, load_arrays, spec_of


class Everything(nn.Module):
    """BatchNorm, frozen, tied, empty, non-persistent and boolean state in one model."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.bn = nn.BatchNorm1d(4)
        self.frozen = nn.Linear(4, 4)
        self.frozen.requires_grad_(False)
        self.empty = nn.Parameter(torch.zeros(0, 3))
        self.empty_too = nn.Parameter(torch.zeros(0, 3))
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("seen", torch.tensor([True, False]))
        self.register_buffer("mask", torch.full((2,), -torch.inf), persistent=False)


def test_kinds_in_state_dict_order() -> None:
    spec = spec_of(Everything())
    kinds = {entry.name: (entry.kind, entry.dtype, entry.shape) for entry in spec.entries}
    assert list(kinds) == list(Everything().state_dict())
    assert kinds["bn.weight"] == (Kind.FLOAT, "float32", (4,))
    assert kinds["bn.running_var"] == (Kind.FLOAT, "float32", (4,))
    assert kinds["bn.num_batches_tracked"] == (Kind.INTEGER, "int64", ())
    assert kinds["frozen.weight"] == (Kind.FROZEN, "float32", (4, 4))
    assert kinds["empty"] == (Kind.FLOAT, "float32", (0, 3))
    assert kinds["empty_too"][0] is Kind.FLOAT
    assert kinds["seen"] == (Kind.INTEGER, "bool", (2,))
    assert kinds["head.weight"][0] is Kind.TIED
    assert next(e for e in spec.entries if e.name == "head.weight").alias_of == "embed.weight"
    assert "mask" not in kinds


def test_two_models_of_one_class_have_one_digest() -> None:
    assert spec_of(Everything()).digest == spec_of(Everything()).digest


def test_tie_by_shared_storage_is_seen() -> None:
    model = nn.ModuleList([nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)])
    first, second = model[0], model[1]
    assert isinstance(first, nn.Linear)
    assert isinstance(second, nn.Linear)
    second.weight = nn.Parameter(first.weight.data)
    assert [entry.kind for entry in spec_of(model).entries] == [Kind.FLOAT, Kind.TIED]


def test_parametrised_weights_appear_as_their_originals() -> None:
    model = nn.utils.parametrizations.weight_norm(nn.Linear(3, 2))
    names = [entry.name for entry in spec_of(model).entries]
    assert names == [
        "bias", "parametrizations.weight.original0", "parametrizations.weight.original1",
    ]  # fmt: skip
    before = arrays_of(model)
    load_arrays(model, {name: array + 1 for name, array in before.items()})
    assert np.array_equal(arrays_of(model)["bias"], before["bias"] + 1)


def test_neighbours_in_one_storage_are_not_overlaps() -> None:
    storage = torch.zeros(6)
    model = nn.ParameterList([nn.Parameter(storage[:3]), nn.Parameter(storage[3:])])
    assert spec_of(model).tensor_length == 6


@pytest.mark.parametrize("cut", [lambda w: w.t(), lambda w: w[1:], lambda w: w.reshape(4, 3)[:2]])
def test_partial_sharing_is_refused(cut: Callable[[torch.Tensor], torch.Tensor]) -> None:
    weight = torch.zeros(3, 4)
    model = nn.ParameterList([nn.Parameter(weight), nn.Parameter(cut(weight))])
    with pytest.raises(ParameterError, match="share memory"):
        spec_of(model)


def test_states_without_a_place_are_refused() -> None:
    class Extra(nn.Module):
        def get_extra_state(self) -> str:
            return "x"

    with pytest.raises(ParameterError, match="get_extra_state"):
        spec_of(Extra())
    with pytest.raises(ParameterError, match="no shape yet"):
        spec_of(nn.LazyLinear(3))
    for call in (spec_of, arrays_of):
        with pytest.raises(ParameterError, match="complex64"):
            call(nn.ParameterList([nn.Parameter(torch.zeros(2, dtype=torch.complex64))]))


def test_round_trip_into_another_model() -> None:
    source, target = Everything(), Everything()
    with torch.no_grad():
        source.bn.num_batches_tracked.fill_(7)  # type: ignore[union-attr]
        source.seen.logical_not_()
    load_arrays(target, arrays_of(source))
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, target.state_dict()[name])
    assert target.head.weight is target.embed.weight


def test_arrays_are_copies_and_contiguous() -> None:
    model = nn.Linear(3, 2)
    arrays = arrays_of(model)
    before = arrays["weight"].copy()
    with torch.no_grad():
        model.weight.add_(1)
    assert np.array_equal(arrays["weight"], before)
    swapped = nn.ParameterList([nn.Parameter(torch.zeros(2, 3).t())])
    assert arrays_of(swapped)["0"].flags.c_contiguous
    load_arrays(model, arrays)
    arrays["weight"] += 5
    assert torch.equal(model.weight, torch.from_numpy(before))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_round_trip_bit_for_bit(dtype: torch.dtype) -> None:
    model = nn.Linear(40, 40).to(dtype)
    spec, old = spec_of(model), arrays_of(model)
    with torch.no_grad():
        model.weight.mul_(1.01)
    local = arrays_of(model)
    update = spec.flatten_update(local, old)
    new = spec.apply_mean(old, update.tensor, update.integers.astype(np.float64))
    other = nn.Linear(40, 40).to(dtype)
    load_arrays(other, new)
    assert torch.equal(other.weight, model.weight)


def test_read_only_arrays_load_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    model = nn.Linear(3, 2)
    arrays = {
        name: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
        for name, array in arrays_of(model).items()
    }
    load_arrays(model, arrays)
    assert not recwarn.list


@pytest.mark.parametrize(
    "bad",
    [
        {"weight": np.zeros((2, 3), np.float32)},
        {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(3, np.float32)},
        {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(2, np.float64)},
        {
            "weight": np.zeros((2, 3), np.float32),
            "bias": np.zeros(2, np.float32),
            "more": np.zeros(1, np.float32),
        },
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(bad: dict[str, np.ndarray]) -> None:
    model = nn.Linear(3, 2)
    before = arrays_of(model)
    with pytest.raises(ParameterError):
        load_arrays(model, bad)
    after = arrays_of(model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
