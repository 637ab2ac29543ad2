"""The IDX reader against hostile files."""

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from arithmetic.errors import SetupError
from clients.tasks.idx import find_idx, read_idx


def idx(*sizes: int, body: bytes | None = None, magic: bytes | None = None) -> bytes:
    magic = bytes([0, 0, 8, len(sizes)]) if magic is None else magic
    body = bytes(range(int(np.prod(sizes)) % 256)) if body is None else body
    return magic + struct.pack(f">{len(sizes)}I", *sizes) + body


@pytest.fixture(params=["plain", "gzip"])
def packed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "gzip")


def write(folder: Path, content: bytes, packed: bool) -> Path:
    path = folder / "file"
    path.write_bytes(gzip.compress(content) if packed else content)
    return path


def test_good_files_read_exactly(tmp_path: Path, packed: bool) -> None:
    body = bytes(range(24))
    images = read_idx(write(tmp_path, idx(2, 3, 4, body=body), packed), (3, 4))
    assert images.tolist() == np.arange(24).reshape(2, 3, 4).tolist()
    assert read_idx(write(tmp_path, idx(0, 3, 4, body=b""), packed), (3, 4)).shape == (0, 3, 4)
    assert read_idx(write(tmp_path, idx(3, body=b"\1\2\3"), packed), ()).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "ends"),
        (b"\0\0\x08", "ends"),
        (idx(2, 3, 4, body=bytes(23)), "ends 1 bytes early"),
        (idx(2, 3, 4, body=bytes(25)), "goes on"),
        (idx(24, body=bytes(24)), "starts with 00000801"),
        (idx(2, 3, 4, body=bytes(24), magic=b"\0\0\x0d\3"), "starts with 00000d03"),
        (idx(2, 3, 4, body=bytes(24), magic=b"\x93NUM"), "starts with"),
        (idx(2, 4, 3, body=bytes(24)), r"shape \(4, 3\)"),
        (idx(2, 2**31, 2**31, body=bytes(24)), "shape"),
        (idx(10**6 + 1, 3, 4, body=bytes(24)), "claims 1000001"),
        (idx(2**32 - 1, 3, 4, body=bytes(24)), "claims 4294967295"),
        (b"PK\3\4" + bytes(40), "starts with 504b0304"),
        (b"\x80\4" + bytes(40), "starts with"),
    ],
)
def test_hostile_files_are_refused_by_name(tmp_path: Path, packed: bool, content: bytes, why: str) -> None:
    path = write(tmp_path, content, packed)
    with pytest.raises(SetupError, match=why) as caught:
        read_idx(path, (3, 4))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("claim", [10**6, 2**32 - 1])
def test_58_a_large_claim_allocates_nothing(tmp_path: Path, packed: bool, claim: int) -> None:
    """10^6 x 1000 x 1000 claims 10^12 bytes; the file holds a dozen."""
    path = write(tmp_path, idx(claim, 1000, 1000, body=bytes(12)), packed)
    tracemalloc.start()
    with pytest.raises(SetupError):
        read_idx(path, (1000, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_broken_gzip_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(idx(200, 3, 4, body=np.random.default_rng(0).bytes(2400)))
    path = tmp_path / "file"
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for content in (whole[:-30], whole[: len(whole) // 2], b"\x1f\x8b", bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(SetupError):
            read_idx(path, (3, 4))


def test_zip_bomb_stops_at_the_claim(tmp_path: Path) -> None:
    path = write(tmp_path, idx(1, 3, 4, body=bytes(50_000_000)), packed=True)
    tracemalloc.start()
    with pytest.raises(SetupError, match="goes on"):
        read_idx(path, (3, 4))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_missing_file_or_folder_is_typed(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="cannot be read"):
        read_idx(tmp_path / "none", (3, 4))
    with pytest.raises(SetupError, match="cannot be read"):
        read_idx(tmp_path, (3, 4))


def test_plain_name_wins_over_gz(tmp_path: Path) -> None:
    assert find_idx(tmp_path, "a") is None
    (tmp_path / "a.gz").touch()
    assert find_idx(tmp_path, "a") == tmp_path / "a.gz"
    (tmp_path / "a").touch()
    assert find_idx(tmp_path, "a") == tmp_path / "a"
