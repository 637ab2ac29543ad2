"""Files of keys are written once and read only while they are their owner's alone."""

import os
import stat
from pathlib import Path

import pytest

from app.deployment import files
from arithmetic.errors import ConfigError, SetupError


def test_nothing_is_written_over(tmp_path: Path) -> None:
    files.write_new(tmp_path / "key", b"first", files.SECRET)
    with pytest.raises(ConfigError, match="nothing is written over"):
        files.write_new(tmp_path / "key", b"second", files.SECRET)
    assert (tmp_path / "key").read_bytes() == b"first"
    with pytest.raises(ConfigError, match="nothing is written over"):
        files.new_folder(tmp_path)


def test_modes_are_exact_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        files.write_new(tmp_path / "key", b"x", files.SECRET)
        folder = files.new_folder(tmp_path / "a" / "folder")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o777])
def test_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    files.write_new(tmp_path / "key", b"x", files.SECRET)
    assert files.read_secret(tmp_path / "key") == b"x"
    (tmp_path / "key").chmod(mode)
    with pytest.raises(SetupError, match=f"mode {mode:04o}.*chmod 600"):
        files.read_secret(tmp_path / "key")


def test_what_is_missing_or_no_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(ConfigError, match=f"{path} is missing"):
            files.read(path)


def test_a_replacement_is_whole(tmp_path: Path) -> None:
    files.write_new(tmp_path / "roster.json", "old")
    files.replace(tmp_path / "roster.json", "new")
    assert (tmp_path / "roster.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["roster.json"]
