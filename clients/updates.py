"""Between a torch model and named numpy arrays: what the layout is, read out, written in.

Decides the `VectorSpec` of a model from its `state_dict` (so non-persistent buffers are absent, and
parametrised weights appear as their originals): which tensors are trained, frozen, tied or integer.
Refuses to know training, fixed point and Flower.
"""

import itertools
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from arithmetic.errors import ParameterError
from arithmetic.layout import FLOAT_DTYPES, INTEGER_DTYPES, Kind, TensorEntry, VectorSpec

Array = NDArray[Any]
_NAMES: Final = {getattr(torch, name): name for name in (*FLOAT_DTYPES, *INTEGER_DTYPES)}


def spec_of(model: nn.Module) -> VectorSpec:
    """Give the layout of `model`, entries in `state_dict` order.

    Raises:
        ParameterError: a state that is no tensor, a lazy parameter not yet shaped, a dtype without
            a place (complex, float8), or two tensors that share part of their memory without being
            the same.
    """
    entries: list[TensorEntry] = []
    first: dict[tuple[object, ...], str] = {}
    tensors = _tensors(model)
    for name, tensor in tensors.items():
        place = _place(tensor) if tensor.numel() else (id(tensor),)
        alias_of = first.setdefault(place, name)
        kind = Kind.TIED if alias_of != name else _kind(tensor)
        entries.append(
            TensorEntry(
                name,
                tuple(tensor.shape),
                _dtype(name, tensor),
                kind,
                "" if alias_of == name else alias_of,
            )
        )
    _check_overlaps({name: tensors[name] for name in first.values()})
    return VectorSpec(tuple(entries))


def arrays_of(model: nn.Module) -> dict[str, Array]:
    """Give copies of the model's state: on the CPU, contiguous, in the carried dtypes."""
    arrays: dict[str, Array] = {}
    for name, tensor in _tensors(model).items():
        _dtype(name, tensor)
        plain = tensor.detach().to("cpu")
        plain = plain.float() if plain.dtype is torch.bfloat16 else plain
        arrays[name] = np.array(plain.numpy(), order="C")
    return arrays


def load_arrays(model: nn.Module, arrays: Mapping[str, Array], spec: VectorSpec | None = None) -> None:
    """Write `arrays` into the model, in place, wherever it is; nothing is written unless all fits.

    Args:
        model: what is written into.
        arrays: name -> array, as `arrays_of` gives them.
        spec: the model's own layout, for a caller that has it at hand.

    Raises:
        ParameterError: a name missing or extra, a wrong shape or dtype.
    """
    (spec or spec_of(model)).check(arrays, "arrays to load")
    with torch.no_grad():
        for name, tensor in _tensors(model).items():
            array = arrays[name]
            # from_numpy wants writable memory in native order; a received buffer is read-only.
            source = torch.from_numpy(np.array(array, order="C") if not array.flags.writeable else array)
            tensor.copy_(source)


def _tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    state: dict[str, object] = model.state_dict(keep_vars=True)
    found: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ParameterError(
                f"state {name!r} is a {type(value).__name__}, not a tensor; "
                "drop get_extra_state from the model"
            )
        if isinstance(value, (nn.UninitializedParameter, nn.UninitializedBuffer)):
            raise ParameterError(
                f"parameter {name!r} has no shape yet; give the layer its sizes, "
                "or call the model once in `model`"
            )
        found[name] = value
    return found


def _kind(tensor: torch.Tensor) -> Kind:
    if isinstance(tensor, nn.Parameter) and not tensor.requires_grad:
        return Kind.FROZEN
    return Kind.FLOAT if tensor.is_floating_point() else Kind.INTEGER


def _dtype(name: str, tensor: torch.Tensor) -> str:
    known = _NAMES.get(tensor.dtype)
    if known is None:
        raise ParameterError(
            f"tensor {name!r} has dtype {tensor.dtype}, which has no place in the sum; "
            f"use one of {', '.join(_NAMES.values())}, or a buffer with persistent=False"
        )
    return known


def _place(tensor: torch.Tensor) -> tuple[object, ...]:
    """The memory a tensor stands in: equal for two names of one tensor, different otherwise."""
    return (
        str(tensor.device),
        tensor.data_ptr(),
        tensor.dtype,
        tuple(tensor.shape),
        tensor.stride(),
    )


def _check_overlaps(distinct: Mapping[str, torch.Tensor]) -> None:
    """Refuse partial sharing (a transposed tie): it would be twice in the sum."""
    spans = sorted(
        (str(t.device), t.data_ptr(), t.data_ptr() + _extent(t), name)
        for name, t in distinct.items()
        if t.numel()
    )
    for (device, _, end, name), (other_device, start, _, other) in itertools.pairwise(spans):
        if device == other_device and start < end:
            raise ParameterError(
                f"tensors {name!r} and {other!r} share memory without being equal; "
                "tie whole parameters (`a.weight = b.weight`) and transpose in forward"
            )


def _extent(tensor: torch.Tensor) -> int:
    last = sum((side - 1) * step for side, step in zip(tensor.shape, tensor.stride(), strict=True))
    return (last + 1) * tensor.element_size()
