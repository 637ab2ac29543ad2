"""A frame is what was sent, next, on this link, for this step, or it is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictions.errors import FrameRejected
from predictions.frames import HEADER_BYTES, NO_QUERY, Expected, Frame, Kind, Opener, Sealer

SECRET = bytes(range(64))
QUERY, OTHER = b"q" * 16, b"o" * 16
ANY = {Kind.EXCHANGE: (0, 1 << 20)}


def read(
    opener: Opener, data: bytes | bytearray, expected: Expected = ANY, query: bytes = QUERY, step: int = 0
) -> Frame:
    """What a link does, from memory; data that ends early fails as a link would."""
    reading, view = opener.reading(expected, query, step), memoryview(data)
    try:
        wanted = next(reading)
        while True:
            if len(view) < len(wanted):
                raise EOFError
            wanted[:] = view[: len(wanted)]
            view = view[len(wanted) :]
            wanted = reading.send(None)
    except StopIteration as stop:
        return stop.value


def pair(direction: str = "forth") -> tuple[Sealer, Opener]:
    return Sealer(SECRET, direction), Opener(SECRET, direction)


@given(st.binary(max_size=3000), st.integers(0, 2**32 - 1))
def test_a_frame_arrives_as_it_was_sent(payload: bytes, step: int) -> None:
    sealer, opener = pair()
    frame = read(opener, sealer.seal(Kind.EXCHANGE, QUERY, step, payload), step=step)
    assert (frame.kind, frame.query, frame.step, bytes(frame.payload)) == (
        Kind.EXCHANGE,
        QUERY,
        step,
        payload,
    )


@given(st.data())
def test_one_flipped_bit_anywhere_is_refused(data: st.DataObject) -> None:
    sealer, opener = pair()
    sealed = sealer.seal(Kind.EXCHANGE, QUERY, 0, b"some payload")
    place = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[place // 8] ^= 1 << place % 8
    with pytest.raises(
        (FrameRejected, EOFError)
    ):  # a longer length within bounds waits for bytes that never come
        read(opener, sealed)


def test_a_replayed_frame_is_refused() -> None:
    sealer, opener = pair()
    sealed = sealer.seal(Kind.EXCHANGE, QUERY, 0, b"once")
    read(opener, sealed)
    with pytest.raises(FrameRejected, match="frame 0 came in place of frame 1"):
        read(opener, sealed)


def test_swapped_frames_are_refused() -> None:
    sealer, opener = pair()
    sealer.seal(Kind.EXCHANGE, QUERY, 0, b"first")
    second = sealer.seal(Kind.EXCHANGE, QUERY, 1, b"second")
    with pytest.raises(FrameRejected, match="in place of"):
        read(opener, second, step=1)


@pytest.mark.parametrize("cut", [1, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 3])
def test_a_truncated_frame_gives_nothing(cut: int) -> None:
    sealer, opener = pair()
    with pytest.raises(EOFError):
        read(opener, sealer.seal(Kind.EXCHANGE, QUERY, 0, b"payload")[:cut])


def test_two_frames_glued_by_a_truncation_are_refused() -> None:
    sealer, opener = pair()
    one, other = (sealer.seal(Kind.EXCHANGE, QUERY, 0, b"payload") for _ in range(2))
    with pytest.raises(FrameRejected, match="tag"):
        read(opener, one[:-4] + other)


def test_a_length_is_refused_before_memory_is_taken_for_it() -> None:
    sealer, opener = pair()
    sealed = sealer.seal(Kind.EXCHANGE, QUERY, 0, b"")
    sealed[24:32] = (1 << 60).to_bytes(8, "big")
    with pytest.raises(FrameRejected, match=f"{1 << 60} bytes came where 0 to {1 << 20} are due"):
        read(opener, sealed)


@pytest.mark.parametrize("length", [7, 9])
def test_another_length_than_the_one_expected_is_refused(length: int) -> None:
    sealer, opener = pair()
    sealed = sealer.seal(Kind.EXCHANGE, QUERY, 0, bytes(length))
    with pytest.raises(FrameRejected, match="8 to 8 are due"):
        read(opener, sealed, {Kind.EXCHANGE: (8, 8)})


def test_a_kind_that_is_not_due_is_refused() -> None:
    sealer, opener = pair()
    with pytest.raises(FrameRejected, match="kind 4 came where none is due"):
        read(opener, sealer.seal(Kind.STATUS, QUERY, 0, b""))


def test_a_frame_of_another_query_or_step_is_refused() -> None:
    for query, step in ((OTHER, 0), (QUERY, 1)):
        sealer, opener = pair()
        with pytest.raises(FrameRejected, match="another query or step"):
            read(opener, sealer.seal(Kind.EXCHANGE, query, step, b""))


def test_a_failure_is_read_whoevers_it_is() -> None:
    sealer, opener = pair()
    sealed = sealer.seal(Kind.FAILED, NO_QUERY, 0, b"{}")
    assert read(opener, sealed, {Kind.FAILED: (2, 2)}, step=5).kind is Kind.FAILED


def test_frames_of_another_link_or_direction_are_refused() -> None:
    for sealer in (Sealer(bytes(64), "forth"), Sealer(SECRET, "back")):
        with pytest.raises(FrameRejected, match="tag"):
            read(Opener(SECRET, "forth"), sealer.seal(Kind.EXCHANGE, QUERY, 0, b"x"))


def test_payloads_do_not_show() -> None:
    sealer, opener = pair()
    assert "secret" not in repr(read(opener, sealer.seal(Kind.EXCHANGE, QUERY, 0, b"secret")))
