"""The vector layout: exactness, roundings, refusals, digest."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from arithmetic.errors import ParameterError, RangeError
from arithmetic.layout import Array, FlatUpdate, Kind, TensorEntry, VectorSpec


def entry(name: str, shape: tuple[int, ...], dtype: str = "float32", kind: Kind = Kind.FLOAT) -> TensorEntry:
    return TensorEntry(name, shape, dtype, kind)


# A BatchNorm layer, a frozen weight, a tie, an empty tensor, a float16 and a bool, interleaved.
SPEC = VectorSpec(
    (
        entry("weight", (2, 3)),
        entry("bn.running_mean", (3,)),
        entry("bn.num_batches_tracked", (), "int64", Kind.INTEGER),
        entry("frozen", (4,), "float32", Kind.FROZEN),
        entry("empty", (0, 5)),
        TensorEntry("head", (2, 3), "float32", Kind.TIED, "weight"),
        entry("half", (2,), "float16"),
        entry("seen", (2,), "bool", Kind.INTEGER),
    )
)


def zeros(spec: VectorSpec) -> dict[str, Array]:
    return {item.name: np.zeros(item.shape, item.carried) for item in spec.entries}


def one(dtype: str, kind: Kind, length: int = 1) -> VectorSpec:
    return VectorSpec((entry("x", (length,), dtype, kind),))


def add(dtype: str, old: Any, mean: Any) -> Array:
    kind = Kind.FLOAT if "float" in dtype else Kind.INTEGER
    spec = one(dtype, kind, len(old))
    means = np.array(mean, dtype=np.float64)
    none = np.zeros(0)
    real, whole = (means, none) if kind is Kind.FLOAT else (none, means)
    return spec.apply_mean({"x": np.array(old, spec.entries[0].carried)}, real, whole)["x"]


def test_lengths_leave_out_frozen_tied_and_empty() -> None:
    assert SPEC.tensor_length == 6 + 3 + 0 + 2
    assert SPEC.integer_length == 1 + 2


def test_elements_stand_in_entry_order_and_c_order() -> None:
    new, old = zeros(SPEC), zeros(SPEC)
    new["weight"] = np.arange(6, dtype=np.float32).reshape(2, 3)
    new["head"] = np.full((2, 3), 77, np.float32)
    new["frozen"] += 99
    new["bn.running_mean"] = np.array([6, 7, 8], np.float32)
    new["bn.num_batches_tracked"] = np.array(5)
    new["half"] = np.array([9, 10], np.float16)
    new["seen"] = np.array([True, False])
    old["seen"] = np.array([False, True])
    update = SPEC.flatten_update(new, old)
    assert update.tensor.tolist() == list(range(11))
    assert update.integers.tolist() == [5, 1, -1]


def test_fortran_order_and_strides_do_not_matter() -> None:
    spec = VectorSpec((entry("w", (2, 3)),))
    plain = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(
        spec.flatten_update({"w": np.asfortranarray(plain)}, {"w": np.zeros_like(plain)}).tensor,
        np.arange(6.0),
    )


def test_result_has_declared_dtypes_copies_ties_keeps_frozen_and_shares_nothing() -> None:
    old = zeros(SPEC)
    old["frozen"] += 3
    old["head"] += 50
    new = SPEC.apply_mean(old, np.arange(11.0), np.array([2.5, 1.0, 0.49]))
    assert list(new) == [item.name for item in SPEC.entries]
    assert all(new[item.name].dtype == item.carried for item in SPEC.entries)
    assert all(new[item.name].shape == item.shape for item in SPEC.entries)
    assert np.array_equal(new["head"], new["weight"])
    assert np.array_equal(new["frozen"], old["frozen"])
    assert new["bn.num_batches_tracked"] == 2
    assert new["seen"].tolist() == [True, False]
    for name in new:
        assert not np.shares_memory(new[name], old[name])
    assert not np.shares_memory(new["head"], new["weight"])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), dtype=st.sampled_from(["float16", "float32"]))
def test_one_client_round_trip_is_exact_for_small_floats(data: st.DataObject, dtype: str) -> None:
    """With |exponents| close, local - global is exact in float64, so global + (local - global) is local."""
    numbers = hnp.arrays(np.dtype(dtype), 7, elements=st.floats(-1000, 1000, width=16, allow_nan=False))
    local, old = data.draw(numbers), data.draw(numbers)
    spec = one(dtype, Kind.FLOAT, 7)
    update = spec.flatten_update({"x": local}, {"x": old})
    back = spec.apply_mean({"x": old}, update.tensor, np.zeros(0))["x"]
    assert np.array_equal(back, local)
    assert back.dtype == local.dtype


@settings(max_examples=60, deadline=None)
@given(
    dtype=st.sampled_from(["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool"]),
    data=st.data(),
)
def test_integers_round_trip_exactly(dtype: str, data: st.DataObject) -> None:
    """A counter's difference is below 2^53 in life: int64 is drawn from half of that."""
    limit = st.integers(-(2**52), 2**52) if dtype == "int64" else None
    numbers = hnp.arrays(np.dtype(dtype), 5, elements=limit)
    local, old = data.draw(numbers), data.draw(numbers)
    spec = one(dtype, Kind.INTEGER, 5)
    update = spec.flatten_update({"x": local}, {"x": old})
    assert update.integers.tolist() == [int(a) - int(b) for a, b in zip(local, old, strict=True)]
    back = spec.apply_mean({"x": old}, np.zeros(0), update.integers.astype(np.float64))["x"]
    assert back.tolist() == local.tolist()
    assert back.dtype == local.dtype


@pytest.mark.parametrize(
    ("dtype", "old", "mean", "expected"),
    [
        ("int64", [0, 1, 2, 3], [0.5, 0.5, 0.5, 0.5], [0, 2, 2, 4]),  # half to even, of the result
        ("int64", [0, 1, 0, 1], [-0.5, -0.5, -1.5, -1.5], [0, 0, -2, 0]),
        ("int64", [0, 1, 10], [0.49999999999999994, -0.49999999999999994, 2.51], [0, 1, 13]),
        (
            "int64",
            [2**62 + 1, -(2**62) - 1],
            [2.0**61, -(2.0**61)],
            [2**62 + 2**61 + 1, -(2**62) - 2**61 - 1],
        ),
        ("int64", [2**63 - 1, -(2**63), 0], [1.0, -1.0, 1e300], [2**63 - 1, -(2**63), 2**63 - 1]),
        ("int64", [2**53 + 1], [0.5], [2**53 + 2]),  # a tie, though 2^53 + 1.5 is no float64
        ("uint8", [250, 3, 7], [10.0, -10.0, 0.2], [255, 0, 7]),
        ("int8", [120, -120], [100.0, -100.0], [127, -128]),
        ("bool", [False, False, True, True], [0.5, 0.499, -0.5, -0.501], [True, False, True, False]),
    ],
)
def test_integer_rounding_and_clamping(dtype: str, old: Any, mean: Any, expected: Any) -> None:
    assert add(dtype, old, mean).tolist() == expected


def test_minus_zero_denormals_and_ulps_come_through() -> None:
    tiny = np.float32(1e-45)
    spec = one("float32", Kind.FLOAT, 4)
    one_up = np.nextafter(np.float32(1), np.float32(2))
    local = np.array([-0.0, tiny, -tiny, one_up], np.float32)
    old = np.array([0.0, 0.0, 0.0, 1.0], np.float32)
    update = spec.flatten_update({"x": local}, {"x": old}).tensor
    assert update.tolist() == [0.0, float(tiny), -float(tiny), float(np.float64(one_up) - 1)]
    back = spec.apply_mean({"x": old}, update, np.zeros(0))["x"]
    assert np.array_equal(back, local)


def test_a_denormal_below_half_the_smallest_rounds_to_zero() -> None:
    assert add("float32", [0.0], [2.0**-150]).tolist() == [0.0]
    assert add("float16", [0.0, 0.0], [2.0**-24, 2.0**-26]).tolist() == [2.0**-24, 0.0]


def test_float16_rounds_once_and_refuses_to_overflow() -> None:
    assert add("float16", [1.0], [2.0**-11]).tolist() == [1.0]  # tie to even
    assert add("float16", [1.0], [2.0**-11 + 2.0**-30]).tolist() == [1.0 + 2.0**-10]
    with pytest.raises(RangeError, match="infinity"):
        add("float16", [65504.0], [100.0])


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(1.0, 1.0), (1 + 2**-8, 1.0), (1 + 3 * 2**-8, 1 + 2**-6), (-(1 + 2**-8 + 2**-16), -(1 + 2**-7))],
)
def test_bfloat16_is_float32_rounded_to_eight_bits(value: float, rounded: float) -> None:
    result = add("bfloat16", [0.0], [value])
    assert result.dtype == np.float32
    assert result.tolist() == [rounded]


def test_bfloat16_refuses_to_overflow() -> None:
    with pytest.raises(RangeError):
        add("bfloat16", [3.3895314e38], [2e36])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_never_enters_the_update(bad: float) -> None:
    local, old = zeros(SPEC), zeros(SPEC)
    local["bn.running_mean"][1] = bad
    with pytest.raises(RangeError, match="running_mean"):
        SPEC.flatten_update(local, old)
    with pytest.raises(RangeError):
        SPEC.flatten_update(old, local)


def test_two_infinities_do_not_cancel_and_float64_overflow_is_seen() -> None:
    spec = one("float64", Kind.FLOAT)
    both = {"x": np.array([np.inf])}
    with pytest.raises(RangeError, match="non-persistent"):
        spec.flatten_update(both, both)
    with pytest.raises(RangeError):
        spec.flatten_update({"x": np.array([1.7e308])}, {"x": np.array([-1.7e308])})


def test_nan_in_a_frozen_tensor_is_not_our_business() -> None:
    local = zeros(SPEC)
    local["frozen"][:] = np.nan
    assert not SPEC.flatten_update(local, zeros(SPEC)).tensor.any()


def test_integer_difference_that_wraps_is_refused() -> None:
    spec = one("int64", Kind.INTEGER)
    with pytest.raises(RangeError, match="63 bits"):
        spec.flatten_update({"x": np.array([2**63 - 1])}, {"x": np.array([-1])})
    largest = spec.flatten_update({"x": np.array([2**63 - 1])}, {"x": np.array([0])})
    assert largest.integers.tolist() == [2**63 - 1]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda m: m.pop("weight"), "1 missing"),
        (lambda m: m.update(more=np.zeros(1)), "1 unexpected"),
        (lambda m: m.update(weight=np.zeros((3, 2), np.float32)), r"\(3, 2\)"),
        (lambda m: m.update(weight=np.zeros((2, 3), np.float64)), "float64"),
        (lambda m: m.update(seen=np.zeros(2, np.int64)), "seen"),
        (lambda m: m.update(head=np.zeros((1,), np.float32)), "head"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_on_either_side(change: Any, match: str) -> None:
    bad, good = zeros(SPEC), zeros(SPEC)
    change(bad)
    for local, old in ((bad, good), (good, bad)):
        with pytest.raises(ParameterError, match=match):
            SPEC.flatten_update(local, old)
    with pytest.raises(ParameterError, match=match):
        SPEC.apply_mean(bad, np.zeros(11), np.zeros(3))


@pytest.mark.parametrize(
    ("tensor", "integers", "error"),
    [
        (np.zeros(10), np.zeros(3), ParameterError),
        (np.zeros((11, 1)), np.zeros(3), ParameterError),
        (np.zeros(11, np.float32), np.zeros(3), ParameterError),
        (np.zeros(11), np.zeros(3, np.int64), ParameterError),
        (np.full(11, np.nan), np.zeros(3), RangeError),
        (np.zeros(11), np.full(3, np.inf), RangeError),
    ],
)
def test_means_that_do_not_fit_are_refused(tensor: Any, integers: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        SPEC.apply_mean(zeros(SPEC), tensor, integers)


@pytest.mark.parametrize(
    "make",
    [
        lambda: entry("x", (1,), "complex64"),
        lambda: entry("x", (1,), "int64"),
        lambda: entry("x", (1,), "float32", Kind.INTEGER),
        lambda: entry("x", (1,), "uint64", Kind.INTEGER),
        lambda: entry("x", (-1,)),
        lambda: entry("", (1,)),
        lambda: entry("x", (True,)),
        lambda: entry("x", (1,), "float32", Kind.TIED),
        lambda: TensorEntry("x", (1,), "float32", Kind.FLOAT, "y"),
        lambda: VectorSpec((entry("x", (1,)), entry("x", (1,)))),
        lambda: VectorSpec((TensorEntry("x", (1,), "float32", Kind.TIED, "y"), entry("y", (1,)))),
        lambda: VectorSpec((entry("y", (2,)), TensorEntry("x", (1,), "float32", Kind.TIED, "y"))),
    ],
)
def test_layouts_that_cannot_be_are_refused(make: Any) -> None:
    with pytest.raises(ParameterError):
        make()


def test_digest_sees_every_field_and_never_moves() -> None:
    a = entry("a", (2, 3))
    specs = [
        VectorSpec(()),
        VectorSpec((a,)),
        VectorSpec((entry("b", (2, 3)),)),
        VectorSpec((entry("a", (3, 2)),)),
        VectorSpec((entry("a", (6,)),)),
        VectorSpec((entry("a", (2, 3), "float16"),)),
        VectorSpec((entry("a", (2, 3), "float32", Kind.FROZEN),)),
        VectorSpec((a, TensorEntry("t", (2, 3), "float32", Kind.TIED, "a"))),
        VectorSpec((a, entry("b", (1,)))),
        VectorSpec((entry("b", (1,)), a)),
    ]
    assert len({spec.digest for spec in specs}) == len(specs)
    assert all(len(spec.digest) == 32 for spec in specs)
    # A change of this value is a change of the protocol: both sides compare it.
    assert VectorSpec((a,)).digest.hex() == PINNED


PINNED = "12f9120fcccedc8c7447751dc49f30912b2e3f2a10b03d4fe22b90c5f25ebde7"


def test_conform_narrows_as_apply_mean_does() -> None:
    wide = {item.name: np.zeros(item.shape, np.float64) for item in SPEC.entries}
    wide["bn.num_batches_tracked"] += 2.5
    wide["seen"] += np.array([0.5, 0.4])
    wide["half"] += 1 + 2.0**-11
    new = SPEC.conform(wide)
    assert all(new[item.name].dtype == item.carried for item in SPEC.entries)
    assert new["bn.num_batches_tracked"] == 2
    assert new["seen"].tolist() == [True, False]
    assert new["half"].tolist() == [1.0, 1.0]
    wide["weight"][0, 0] = 1e300
    with pytest.raises(RangeError, match="weight"):
        SPEC.conform(wide)


def test_conform_leaves_exact_dtypes_exact_and_copies() -> None:
    spec = one("int64", Kind.INTEGER)
    old = {"x": np.array([2**62 + 1])}
    assert spec.conform(old)["x"].tolist() == [2**62 + 1]
    assert not np.shares_memory(spec.conform(old)["x"], old["x"])


def test_memory_is_the_answer_and_little_more() -> None:
    spec = VectorSpec(tuple(entry(f"layer{number}", (50_000,)) for number in range(20)))
    local, old = zeros(spec), zeros(spec)
    tracemalloc.start()
    update: FlatUpdate = spec.flatten_update(local, old)
    flat_peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    spec.apply_mean(old, update.tensor, np.zeros(0))
    mean_peak = tracemalloc.get_traced_memory()[1] - before
    tracemalloc.stop()
    assert flat_peak < 1.2 * 8 * spec.tensor_length
    assert mean_peak < 1.2 * 4 * spec.tensor_length
