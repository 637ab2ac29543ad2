"""Files that a crash leaves whole, and locks that end with their process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app import durable
from app.durable import held, write_whole


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_whole(path, b"one", b"", b"two")
    assert path.read_bytes() == b"onetwo"
    write_whole(path, b"three")
    assert path.read_bytes() == b"three"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_file_and_folder_are_put_on_disk_in_this_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, steps = tmp_path / "file", list[str]()
    sync, rename = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        sync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(self, target)

    monkeypatch.setattr(durable.os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_whole(path, b"data")
    assert steps == ["file", "rename", "folder"]


def test_a_lock_is_one_processs_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"kept")
    code = (
        "import sys, pathlib; from app.durable import held\n"
        "with held(pathlib.Path(sys.argv[1])) as alone: print(alone, flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=Path(durable.__file__).parent.parent,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"
    with held(path) as alone:
        assert not alone
    other.send_signal(signal.SIGKILL)
    other.communicate()
    with held(path) as alone, held(path) as twice:
        assert (alone, twice) == (True, False)
    with held(path) as alone:
        assert alone
    assert path.read_bytes() == b"kept"
