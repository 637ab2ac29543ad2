"""The vector layout: which numbers of a model enter the sum, where, and how they come back.

Decides, for every named tensor, whether it is summed as a real (`FLOAT`), summed exactly as an
integer (`INTEGER`), or left out (`FROZEN`, `TIED`), and in which order the elements stand (entry
order, each tensor in C order). Both sides compare `digest`. Refuses to know torch (see
`clients.updates`), the fixed-point encoding, weights of clients and the protocol.

    FLOAT    trainable reals, real buffers (BatchNorm statistics): `tensor`, float64, length d
    INTEGER  integer and boolean buffers (num_batches_tracked): `integers`, int64, length m
    FROZEN   parameters that are not trained: not summed, copied from the global model
    TIED     a second name of an earlier entry: not summed, copied from it on the way out

A tensor of size zero is legal and takes no place. numpy has no bfloat16: a tensor declared
`bfloat16` is carried as float32 and rounded to the nearest bfloat16 (ties to even) on the way out,
so that both sides hold the same numbers.
"""

import enum
import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from arithmetic.errors import ParameterError, RangeError

Array = NDArray[Any]

FLOAT_DTYPES: Final = ("float16", "bfloat16", "float32", "float64")
INTEGER_DTYPES: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool")
_LABEL: Final = b"chorus/vector-spec/v1"
_SAFE: Final = 2**62  # below this in size, global + mean cannot leave int64


class Kind(enum.Enum):
    """How a tensor takes part in the sum."""

    FLOAT = "float"
    INTEGER = "integer"
    FROZEN = "frozen"
    TIED = "tied"


@dataclass(frozen=True)
class TensorEntry:
    """One named tensor; `alias_of` names the earlier entry that a TIED one repeats."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: Kind
    alias_of: str = ""

    def __post_init__(self) -> None:
        """Raise ParameterError for a dtype the kind cannot carry, a bad shape, a stray alias."""
        either = FLOAT_DTYPES + INTEGER_DTYPES
        allowed = {Kind.FLOAT: FLOAT_DTYPES, Kind.INTEGER: INTEGER_DTYPES}.get(self.kind, either)
        if self.dtype not in allowed:
            raise ParameterError(
                f"tensor {self.name!r} of kind {self.kind.value} is {self.dtype}; use {allowed}"
            )
        if not self.name or any(type(side) is not int or side < 0 for side in self.shape):
            raise ParameterError(f"tensor {self.name!r} of shape {self.shape} needs a name, sides >= 0")
        if (self.kind is Kind.TIED) != bool(self.alias_of):
            raise ParameterError(f"tensor {self.name!r}: a tied tensor, and no other, has an alias_of")

    @property
    def size(self) -> int:
        """Number of elements; 1 for shape (), 0 when any side is 0."""
        return math.prod(self.shape)

    @property
    def carried(self) -> np.dtype[Any]:
        """The numpy dtype that carries this tensor: the declared one, float32 for bfloat16."""
        return np.dtype("float32" if self.dtype == "bfloat16" else self.dtype)


@dataclass(frozen=True)
class FlatUpdate:
    """local - global: `tensor` float64 (d,), finite; `integers` int64 (m,), exact."""

    tensor: NDArray[np.float64]
    integers: NDArray[np.int64]


@dataclass(frozen=True)
class VectorSpec:
    """The ordered entries of one model; equal digests mean equal layouts."""

    entries: tuple[TensorEntry, ...]

    def __post_init__(self) -> None:
        """Raise ParameterError on a repeated name or a wrong alias."""
        seen: dict[str, TensorEntry] = {}
        for entry in self.entries:
            if entry.name in seen:
                raise ParameterError(f"tensor {entry.name!r} is listed twice; names are unique")
            if entry.kind is Kind.TIED:
                _check_alias(entry, seen.get(entry.alias_of))
            seen[entry.name] = entry

    @cached_property
    def tensor_length(self) -> int:
        """d: number of reals in the tensor part."""
        return sum(entry.size for entry, _ in self._slices(Kind.FLOAT))

    @cached_property
    def integer_length(self) -> int:
        """m: number of exact 64-bit scalars."""
        return sum(entry.size for entry, _ in self._slices(Kind.INTEGER))

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 (32 bytes) of the fields, each length-prefixed, integers big-endian."""
        state = hashlib.sha256(_LABEL + len(self.entries).to_bytes(8, "big"))
        for entry in self.entries:
            for text in (entry.name, entry.dtype, entry.kind.value, entry.alias_of):
                field = text.encode("utf-8", "surrogatepass")
                state.update(len(field).to_bytes(8, "big") + field)
            for number in (len(entry.shape), *entry.shape):
                state.update(number.to_bytes(8, "big"))
        return state.digest()

    def flatten_update(self, local: Mapping[str, Array], global_: Mapping[str, Array]) -> FlatUpdate:
        """Give local - global as one vector; the only copy made is the answer itself.

        Reals are subtracted in float64 (one rounding); -0.0 is 0.0. Integers are exact.

        Raises:
            ParameterError: a name missing or extra, a wrong shape or dtype, on either side.
            RangeError: a NaN or infinity in the difference, or an integer difference outside int64.
        """
        self.check(local, "local model")
        self.check(global_, "global model")
        tensor = np.empty(self.tensor_length, dtype=np.float64)
        integers = np.empty(self.integer_length, dtype=np.int64)
        with np.errstate(all="ignore"):
            for entry, part in self._slices(Kind.FLOAT):
                out = tensor[part].reshape(entry.shape)
                np.subtract(local[entry.name], global_[entry.name], out=out, dtype=np.float64)
                _check_finite(entry.name, out)
            for entry, part in self._slices(Kind.INTEGER):
                integers[part] = _integer_difference(entry.name, local, global_)
        return FlatUpdate(tensor, integers)

    def apply_mean(
        self,
        global_: Mapping[str, Array],
        mean_tensor: NDArray[np.float64],
        mean_integers: NDArray[np.float64],
    ) -> dict[str, Array]:
        """Give the new global model, global + mean, as fresh arrays of the declared dtypes.

        Integers are global + mean rounded half to even and clamped to the dtype; a boolean is true
        from 0.5 up. Tied entries are copied from what they repeat, frozen ones from the global
        model. `mean_tensor` is float64 (d,), `mean_integers` float64 (m,).

        Raises:
            ParameterError: arrays or means that do not fit this layout.
            RangeError: a result not finite in its dtype, or a mean of integers not finite.
        """
        self.check(global_, "global model")
        _check_length("mean_tensor", mean_tensor, self.tensor_length)
        _check_length("mean_integers", mean_integers, self.integer_length)
        _check_finite("mean_integers", mean_integers)
        new = dict.fromkeys((entry.name for entry in self.entries), mean_tensor)  # fixes the order
        for entry, part in self._slices(Kind.FLOAT):
            new[entry.name] = _add_real(entry, global_[entry.name], mean_tensor[part])
        for entry, part in self._slices(Kind.INTEGER):
            new[entry.name] = _add_integer(entry, global_[entry.name], mean_integers[part])
        for entry, _ in self._slices(Kind.FROZEN):
            new[entry.name] = np.array(global_[entry.name], order="C")
        for entry, _ in self._slices(Kind.TIED):
            new[entry.name] = np.array(new[entry.alias_of], order="C")
        return new

    def conform(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Give copies in the declared dtypes (a server optimiser may widen), as `apply_mean` does.

        Raises:
            ParameterError: a name missing or extra, a wrong shape.
            RangeError: a value that is not finite in its dtype.
        """
        self.check(arrays, "model", dtypes=False)
        return {entry.name: _conform(entry, arrays[entry.name]) for entry in self.entries}

    def check(self, arrays: Mapping[str, Array], whose: str, dtypes: bool = True) -> None:
        """Raise ParameterError unless names, shapes and (if asked) carried dtypes are these."""
        names = {entry.name for entry in self.entries}
        missing, extra = sorted(names - arrays.keys()), sorted(arrays.keys() - names)
        if missing or extra:
            raise ParameterError(
                f"the {whose} does not fit the layout: {len(missing)} missing {missing[:3]}, "
                f"{len(extra)} unexpected {extra[:3]}; both sides must build the same model"
            )
        for entry in self.entries:
            array = arrays[entry.name]
            if array.shape != entry.shape or (dtypes and array.dtype != entry.carried):
                raise ParameterError(
                    f"tensor {entry.name!r} of the {whose} is {array.dtype} {array.shape}, not "
                    f"{entry.carried} {entry.shape}; both sides must build the same model"
                )

    def _slices(self, kind: Kind) -> Iterator[tuple[TensorEntry, slice]]:
        start = 0
        for entry in self.entries:
            if entry.kind is kind:
                yield entry, slice(start, start + entry.size)
                start += entry.size


def _check_alias(entry: TensorEntry, target: TensorEntry | None) -> None:
    if target is None or target.kind is Kind.TIED:
        raise ParameterError(
            f"tensor {entry.name!r} is tied to {entry.alias_of!r}; name an earlier, untied entry"
        )
    if (target.shape, target.dtype) != (entry.shape, entry.dtype):
        raise ParameterError(f"tied {entry.name!r} and {target.name!r} differ in shape or dtype")


def _check_length(name: str, vector: Array, length: int) -> None:
    if vector.shape != (length,) or vector.dtype != np.float64:
        raise ParameterError(f"{name} is {vector.dtype} {vector.shape}, not float64 ({length},)")


def _check_finite(name: str, values: Array) -> None:
    if not np.isfinite(values).all():
        raise RangeError(
            f"{name!r} holds a NaN or an infinity, so nothing is computed with it; lower "
            "learning-rate, or keep a constant with infinities in a non-persistent buffer"
        )


def _integer_difference(
    name: str, local: Mapping[str, Array], global_: Mapping[str, Array]
) -> NDArray[np.int64]:
    new = local[name].astype(np.int64).reshape(-1)
    old = global_[name].astype(np.int64).reshape(-1)
    difference = new - old  # wraps when it does not fit
    if (((new ^ old) & (new ^ difference)) < 0).any():
        raise RangeError(f"integer tensor {name!r} moved by over 63 bits; reset that counter")
    return difference


def _add_real(entry: TensorEntry, old: Array, mean: Array) -> Array:
    new = np.empty(entry.shape, entry.carried)
    with np.errstate(all="ignore"):
        # The ufunc adds in float64 and casts block by block: one rounding, no float64 copy.
        np.add(old, mean.reshape(entry.shape), out=new, dtype=np.float64, casting="same_kind")
        if entry.dtype == "bfloat16":
            _round_to_bfloat16(new)
    _check_finite(entry.name, new)
    return new


def _round_to_bfloat16(values: Array) -> None:
    """Round float32 in place to the nearest bfloat16, ties to even (keep the top 16 bits)."""
    bits = values.view(np.uint32)
    bits += np.where(np.isfinite(values), 0x7FFF + ((bits >> 16) & 1), 0).astype(np.uint32)
    bits &= np.uint32(0xFFFF0000)


def _add_integer(entry: TensorEntry, old: Array, mean: Array) -> Array:
    if entry.dtype == "bool":
        return np.asarray(old + mean.reshape(entry.shape) >= 0.5, dtype=np.bool_)
    whole = np.rint(mean)
    rest = mean - whole  # exact, and +-0.5 only at a true tie
    wide = object if _beyond(whole) or _beyond(old) else np.int64
    base = old.reshape(-1).astype(wide) + np.array([int(value) for value in whole], dtype=wide)
    base = base + ((np.abs(rest) == 0.5) & (base % 2 == 1)) * np.sign(rest).astype(np.int64)
    limits = np.iinfo(entry.carried)
    new: Array = np.minimum(np.maximum(base, int(limits.min)), int(limits.max))
    return new.astype(entry.carried).reshape(entry.shape)


def _conform(entry: TensorEntry, array: Array) -> Array:
    if array.dtype == entry.carried and entry.dtype != "bfloat16":
        return np.array(array, order="C")
    old = np.zeros(entry.shape, entry.carried)
    if entry.dtype in FLOAT_DTYPES:
        return _add_real(entry, old, array)
    _check_finite(entry.name, array)
    return _add_integer(entry, old, array.reshape(-1).astype(np.float64))


def _beyond(values: Array) -> bool:
    return bool(values.size) and (int(values.max()) > _SAFE or int(values.min()) < -_SAFE)
