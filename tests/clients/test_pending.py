"""Where the encoded update waits between r1 and r2."""

import os
import stat
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from arithmetic.errors import SetupError
from clients import pending


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(pending, "SMALL", 8)
    return tmp_path / f"chorus-{os.getuid()}"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("vector", [b"", b"12345678"])
def test_a_small_vector_stays_in_the_state(vector: bytes, folder: Path) -> None:
    kept = pending.keep(vector, 7)
    assert not folder.exists()
    assert pending.take(kept) == vector
    pending.drop(kept)


def test_a_large_vector_is_a_file_of_the_owner_alone_read_once(folder: Path) -> None:
    old = os.umask(0)
    try:
        kept = pending.keep(b"123456789", 7)
    finally:
        os.umask(old)
    (path,) = folder.iterdir()
    assert mode(path) == 0o600
    assert mode(folder) == 0o700
    assert len(kept) < 300
    assert pending.take(kept) == b"123456789"
    assert not path.exists()
    with pytest.raises(SetupError, match="is gone"):
        pending.take(kept)


def test_two_clients_of_one_machine_do_not_meet() -> None:
    first, second = pending.keep(b"a" * 9, 1), pending.keep(b"b" * 9, 11)
    assert pending.take(second) == b"b" * 9
    assert pending.take(first) == b"a" * 9


def test_dropped_unread(folder: Path) -> None:
    kept = pending.keep(b"123456789", 7)
    pending.drop(kept)
    pending.drop(kept)
    pending.drop(b"")
    assert list(folder.iterdir()) == []


def test_a_file_that_cannot_be_read_is_deleted_all_the_same(folder: Path) -> None:
    kept = pending.keep(b"123456789", 7)
    (path,) = folder.iterdir()
    path.unlink()
    with pytest.raises(SetupError):
        pending.take(kept)


def test_a_folder_others_can_look_into_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(SetupError, match="can be read by others"):
        pending.keep(b"123456789", 7)
    assert list(folder.iterdir()) == []


def test_a_link_in_the_folders_place_is_refused(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)
    with pytest.raises(SetupError):
        pending.keep(b"123456789", 7)
    assert list(elsewhere.iterdir()) == []


def test_what_a_killed_client_left_is_swept_when_it_starts_again(folder: Path) -> None:
    pending.keep(b"123456789", 7)
    (stale,) = folder.iterdir()
    others = pending.keep(b"abcdefghi", 77), pending.keep(b"ihgfedcba", 70)
    (folder / "other").write_text("not ours")
    fresh = pending.keep(b"fedcbahgi", 7)
    assert not stale.exists()
    assert len(list(folder.iterdir())) == 4
    assert pending.take(fresh) == b"fedcbahgi"
    assert [pending.take(kept) for kept in others] == [b"abcdefghi", b"ihgfedcba"]


def test_sweeping_where_nothing_ever_was_makes_no_folder(folder: Path) -> None:
    pending.sweep(7)
    assert not folder.exists()


def test_no_room_is_said_and_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, mode: str) -> NoReturn:
        os.close(descriptor)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(SetupError, match="No space left"):
        pending.keep(b"123456789", 7)
    assert list(folder.iterdir()) == []
