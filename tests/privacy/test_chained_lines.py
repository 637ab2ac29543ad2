"""Chained lines: nothing parses but what was written, in its order, to its end."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.chained_lines import START, entries_of, line_of
from privacy.errors import LedgerDamaged

values = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=20))
entry_lists = st.lists(
    st.dictionaries(st.text(max_size=5).filter(lambda key: key != "chain"), values), max_size=6
)


def written(entries: list[dict[str, object]]) -> list[bytes]:
    lines, chain = [], START
    for entry in entries:
        line, chain = line_of(entry, chain)
        lines.append(line)
    return lines


THREE = written([{"a": 1}, {"a": 2.5, "b": "x"}, {"a": 3}])


@given(entry_lists)
def test_what_was_written_is_read(entries: list[dict[str, object]]) -> None:
    lines = written(entries)
    read, chain = entries_of(b"".join(lines))
    assert read == entries
    assert chain == (json.loads(lines[-1])["chain"] if lines else START)


@given(entry_lists.filter(bool), st.data())
def test_a_flipped_bit_is_seen(entries: list[dict[str, object]], data: st.DataObject) -> None:
    content = bytearray(b"".join(written(entries)))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(LedgerDamaged):
        entries_of(bytes(content))


def test_every_cut_is_seen_or_leaves_whole_lines() -> None:
    content = b"".join(THREE)
    ends = {sum(map(len, THREE[:count])): count for count in range(4)}
    for size in range(len(content) + 1):
        if size in ends:
            assert len(entries_of(content[:size])[0]) == ends[size]
        else:
            with pytest.raises(LedgerDamaged, match="cut the file to"):
                entries_of(content[:size])


def test_the_advice_for_a_torn_line_mends_it() -> None:
    content = b"".join(THREE)[:-7]
    with pytest.raises(LedgerDamaged, match=f"cut the file to {len(THREE[0]) + len(THREE[1])} bytes"):
        entries_of(content)


@pytest.mark.parametrize(
    "content",
    [
        THREE[1] + THREE[2],  # the first is gone
        THREE[0] + THREE[2],  # one in the middle
        THREE[0] + THREE[0],  # twice
        THREE[0] + THREE[2] + THREE[1],  # another order
        THREE[0] + b"\n" + THREE[1],
        THREE[0].replace(b"{", b"{ ", 1),  # the same object in another spelling
        THREE[0].replace(b"\n", b"\r\n"),
        b"[]\n",
        b'"chain"\n',
        b"{}\n",
        b'{"a":NaN,"chain":""}\n',
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b"9" * 5000 + b"\n",
    ],
)
def test_other_bytes_are_refused_with_the_number_of_the_line(content: bytes) -> None:
    with pytest.raises(LedgerDamaged, match=r"line [12] "):
        entries_of(content)


def test_a_nan_is_never_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        line_of({"a": math.nan}, START)
