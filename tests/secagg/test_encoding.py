"""Bytes of fields: what a reader takes and how it refuses."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secagg.encoding import Reader, Writer
from secagg.errors import MalformedMessage

TAG, VERSION = 0x42, 7


def reader(body: bytes) -> Reader:
    return Reader(bytes((TAG, VERSION)) + body, TAG, VERSION, "test")


def test_bytes_of_a_message_by_hand() -> None:
    writer = Writer(TAG, VERSION).number(1, 1).number(0x0203, 4).raw(b"xyz").members({1, 3, 10}, 10)
    assert writer.finish() == b"\x42\x07" + b"\x01" + b"\x00\x00\x02\x03" + b"xyz" + b"\x05\x02"


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("number"), st.integers(1, 33).flatmap(
                lambda width: st.tuples(st.just(width), st.integers(0, 256**width - 1)))),
            st.tuples(st.just("raw"), st.binary(max_size=50)),
            st.tuples(st.just("members"), st.integers(1, 70).flatmap(
                lambda size: st.tuples(st.just(size), st.frozensets(st.integers(1, size))))),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_fields_round_trip_in_order(fields: list[tuple[str, object]]) -> None:
    writer = Writer(TAG, VERSION)
    for kind, value in fields:
        if kind == "number":
            width, number = value  # type: ignore[misc]
            writer.number(number, width)
        elif kind == "raw":
            writer.raw(value)  # type: ignore[arg-type]
        else:
            size, chosen = value  # type: ignore[misc]
            writer.members(chosen, size)
    data = writer.finish()
    for buffer in (data, memoryview(data)):
        found = Reader(buffer, TAG, VERSION, "test")
        for kind, value in fields:
            if kind == "number":
                assert found.number(value[0]) == value[1]  # type: ignore[index]
            elif kind == "raw":
                assert found.raw(len(value)) == value  # type: ignore[arg-type]
            else:
                assert found.members(value[0]) == value[1]  # type: ignore[index]
        found.finish()


@pytest.mark.parametrize(
    "data", [None, "B\x07", 5, 0.0, True, [66, 7], (66, 7), {}, {66}, object(), bytearray(b"\x42\x07")]
)
def test_other_types_are_refused_by_name(data: object) -> None:
    with pytest.raises(MalformedMessage, match=f"is bytes, not {type(data).__name__}"):
        Reader(data, TAG, VERSION, "test")


@pytest.mark.parametrize("data", [b"", b"\x42", b"\x42\x08", b"\x41\x07", b"\x07\x42", bytes(100)])
def test_other_tags_and_versions_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        Reader(data, TAG, VERSION, "test")


def test_a_field_longer_than_the_rest_is_refused_before_anything_is_copied() -> None:
    for size in (4, 10**9, 10**18, 2**70):
        tracemalloc.start()
        with pytest.raises(MalformedMessage, match="3 left"):
            reader(b"abc").raw(size)
        with pytest.raises(MalformedMessage):
            reader(b"abc").number(size)
        with pytest.raises(MalformedMessage):
            reader(b"abc").members(8 * size)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100_000


def test_a_refused_field_takes_nothing_away() -> None:
    source = reader(b"abc")
    with pytest.raises(MalformedMessage):
        source.raw(4)
    assert source.raw(3) == b"abc"
    source.finish()


def test_view_does_not_copy_and_raw_does() -> None:
    data = bytes((TAG, VERSION)) + b"abcdef"
    source = Reader(data, TAG, VERSION, "test")
    view = source.view(3)
    assert isinstance(view, memoryview)
    assert view.obj is data
    assert type(source.raw(3)) is bytes


@pytest.mark.parametrize(("least", "most"), [(6, None), (0, 4), (6, 9)])
def test_numbers_out_of_range_are_refused(least: int, most: int | None) -> None:
    with pytest.raises(MalformedMessage, match="out of range: 5"):
        reader(b"\x05").number(1, least, most)


def test_numbers_at_their_limits_pass() -> None:
    assert reader(b"\x05").number(1, 5, 5) == 5
    assert reader(b"\xff\xff").number(2) == 65535
    assert reader(b"\x00").number(1) == 0


def test_a_set_is_a_bitmap_lowest_bit_first() -> None:
    assert reader(b"\x01").members(1) == {1}
    assert reader(b"\x80\x01").members(9) == {8, 9}
    assert reader(b"\x00").members(8) == frozenset()
    assert reader(b"").members(0) == frozenset()


@pytest.mark.parametrize("size", range(1, 17))
def test_bits_beyond_the_size_are_refused(size: int) -> None:
    width = (size + 7) // 8
    for bit in range(8 * width):
        body = (1 << bit).to_bytes(width, "little")
        if bit < size:
            assert reader(body).members(size) == {bit + 1}
        else:
            with pytest.raises(MalformedMessage, match="beyond the cohort"):
                reader(body).members(size)


@given(st.integers(1, 40).flatmap(lambda size: st.tuples(st.just(size), st.frozensets(st.integers(1, size)))))
def test_every_set_has_one_form_whatever_its_order(case: tuple[int, frozenset[int]]) -> None:
    size, chosen = case
    forms = {
        Writer(TAG, VERSION).members(order, size).finish()
        for order in (sorted(chosen), sorted(chosen, reverse=True), [*chosen, *chosen])
    }
    assert len(forms) == 1
    assert len(forms.pop()) == 2 + (size + 7) // 8


@pytest.mark.parametrize(("index", "size"), [(0, 8), (0, 3), (-1, 8), (4, 3), (8, 7)])
def test_a_writer_never_writes_what_a_reader_would_read_differently(index: int, size: int) -> None:
    try:
        data = Writer(TAG, VERSION).members({index}, size).finish()
    except (ValueError, IndexError, MalformedMessage):
        return
    assert Reader(data, TAG, VERSION, "test").members(size) == {index}


@pytest.mark.parametrize("surplus", [1, 2, 1000])
def test_whatever_is_left_over_is_refused(surplus: int) -> None:
    source = reader(b"a" + bytes(surplus))
    source.raw(1)
    with pytest.raises(MalformedMessage, match=f"{surplus} bytes too many"):
        source.finish()


@pytest.mark.parametrize(("value", "width"), [(256, 1), (-1, 4), (2**64, 8)])
def test_a_writer_takes_no_number_that_does_not_fit(value: int, width: int) -> None:
    with pytest.raises(OverflowError):
        Writer(TAG, VERSION).number(value, width)
