"""Transcripts: on disk and chained, signed where there is a key, never in a node's way; and no edit goes unseen."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import wire.transcript
from arithmetic.errors import ChorusError
from privacy.ledger_file import LedgerFile
from secagg.primitives import SigningKey
from tests.support.told_run import ToldRun, change, forge, leaves, tables_of
from wire.entry_kinds import VANISHED
from wire.transcript import Transcript, TranscriptError, read_transcript

KEY, OTHER = SigningKey(b"\x01" * 32), SigningKey(b"\x02" * 32)
MODELS = {"model_before": "ab" * 32, "model_after": "cd" * 32}
FAILED: dict[str, Any] = {"session": "ab" * 32, "code": "QUORUM"}
WRITER = """
import sys
from pathlib import Path
from wire.transcript import Transcript
number = 0
while True:
    with Transcript.open(Path(sys.argv[1]), None) as told:
        told.append("round", run=sys.argv[2], server_round=number, model_before="ab" * 32, model_after="ab" * 32)
    print(number, flush=True)
    number += 1
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "transcript.jsonl"


def write(path: Path, lines: int, signer: SigningKey | None = KEY) -> None:
    with Transcript.open(path, signer) as told:
        for _ in range(lines):
            told.append("failed", **FAILED)


def faultless(path: Path) -> int:
    reading = read_transcript(path.read_bytes())
    assert reading.fault == ""
    return len(reading.lines)


def test_lines_are_read_back_in_order(path: Path) -> None:
    with Transcript.open(path, KEY) as told:
        for number in range(3):
            told.append("round", run="run", server_round=number, **MODELS)
    reading = read_transcript(path.read_bytes())
    assert [line.number for line in reading.lines] == [2, 3, 4]
    assert [line.entry.model_dump()["server_round"] for line in reading.lines] == [0, 1, 2]
    assert reading.opened is not None
    assert reading.opened.key == KEY.public.hex()
    assert reading.opened.before == ""
    assert [line.chain for line in reading.lines] == [
        json.loads(raw)["chain"] for raw in path.read_bytes().splitlines()[1:]
    ]


def test_a_transcript_goes_on_where_it_stopped(path: Path) -> None:
    for _ in range(3):
        write(path, 2)
    assert faultless(path) == 6
    assert os.listdir(path.parent).count("transcript.jsonl.1") == 0


def test_it_is_nobody_elses_to_read(path: Path) -> None:
    write(path, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_is_on_disk_when_append_returns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    with Transcript.open(path, KEY) as told:
        monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_size))
        told.append("failed", **FAILED)
        assert synced == [path.stat().st_size]


def test_nothing_but_a_kinds_fields_is_written(path: Path) -> None:
    with Transcript.open(path, KEY) as told:
        size = path.stat().st_size
        for kind, fields in (
            ("failed", FAILED | {"seed": "ab" * 32}),
            ("failed", {"session": bytes(32), "code": "QUORUM"}),
            ("failed", {"session": "ab" * 32}),
            ("secret", FAILED),
        ):
            with pytest.raises(TypeError):
                told.append(kind, **fields)
        assert path.stat().st_size == size
        told.append("failed", **FAILED)
    assert faultless(path) == 1


@pytest.mark.parametrize("signer", [KEY, None])
def test_a_torn_last_line_starts_a_new_file_that_names_the_old(path: Path, signer: SigningKey | None) -> None:
    write(path, 3, signer)
    whole = path.read_bytes()
    for cut in range(1, 80):
        path.write_bytes(whole[:-cut])
        aside = path.with_name(f"{path.name}.{cut}")
        write(path, 1, signer)
        assert aside.read_bytes() == whole[:-cut]
        reading = read_transcript(path.read_bytes())
        assert reading.opened is not None
        assert reading.opened.before == hashlib.sha256(whole[:-cut]).hexdigest()
        assert (len(reading.lines), reading.fault) == (1, "")


@pytest.mark.parametrize("content", [b"", b"\n", b"{}\n", b"no transcript", bytes(4096)])
def test_what_is_no_transcript_is_put_aside(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    write(path, 1)
    assert faultless(path) == 1
    assert path.with_name("transcript.jsonl.1").read_bytes() == content


def test_an_edited_file_is_put_aside(path: Path) -> None:
    write(path, 3)
    path.write_bytes(path.read_bytes().replace(b"QUORUM", b"VIEW", 1))
    write(path, 1)
    assert faultless(path) == 1
    assert path.with_name("transcript.jsonl.1").exists()


@pytest.mark.parametrize("later", [OTHER, None])
def test_another_key_starts_a_file_of_its_own(path: Path, later: SigningKey | None) -> None:
    write(path, 2)
    write(path, 1, later)
    assert faultless(path) == 1
    assert faultless(path.with_name("transcript.jsonl.1")) == 2


def test_a_file_that_vanished_is_told(path: Path) -> None:
    write(path, 2)
    path.unlink()
    write(path, 1)
    opened = read_transcript(path.read_bytes()).opened
    assert opened is not None
    assert opened.before == VANISHED


def test_a_file_that_changes_while_it_is_open_costs_one_line(path: Path) -> None:
    with Transcript.open(path, KEY) as told:
        told.append("failed", **FAILED)
        with path.open("ab") as file:
            file.write(b"x")
        with pytest.raises(TranscriptError, match="changed while it was open"):
            told.append("failed", **FAILED)
        told.append("failed", **FAILED)
    assert faultless(path) == 1
    assert path.with_name("transcript.jsonl.1").exists()


def test_a_full_disk_is_one_line_and_the_next_append_tries_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with Transcript.open(path, KEY) as told:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(TranscriptError, match="No space left on device") as caught:
                told.append("failed", **FAILED)
        assert caught.value.line.startswith("ENV: the transcript transcript.jsonl cannot be written")
        told.append("failed", **FAILED)
    assert faultless(path) == 1


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TranscriptError, match="No such file"):
        Transcript.open(tmp_path / "no" / "such" / "transcript.jsonl", None)
    write(tmp_path / "one" / "transcript.jsonl", 1)
    with pytest.raises(TranscriptError):
        Transcript.open(tmp_path, None)


def test_a_transcript_that_is_held_too_long_is_one_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, 1)
    held = LedgerFile.open(path)
    monkeypatch.setattr(wire.transcript, "_PATIENCE", 0.05)
    with pytest.raises(TranscriptError, match="held by another process"):
        Transcript.open(path, KEY)
    held.close()
    write(path, 1)


def test_two_processes_take_turns_and_one_that_is_killed_breaks_nothing(path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for name in ("a", "b")
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            for _ in range(5):
                assert writer.stdout.readline()
        time.sleep(0.1)
        writers[0].send_signal(signal.SIGKILL)
        assert writers[1].stdout is not None
        for _ in range(3):
            assert writers[1].stdout.readline()
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    files = [path, *path.parent.glob("transcript.jsonl.?")]
    readings = [read_transcript(each.read_bytes()) for each in files]
    assert all(reading.torn or not reading.fault for reading in readings)
    for name in ("a", "b"):
        mine = [line.entry.model_dump() for reading in reversed(readings) for line in reading.lines]
        numbers = [each["server_round"] for each in mine if each["run"] == name]
        assert numbers[:5] == [0, 1, 2, 3, 4]


def test_every_edit_of_a_line_is_found_at_that_line(tmp_path: Path) -> None:
    """By somebody who leaves the chains as they are."""
    told = ToldRun(tmp_path, active=True)
    for path in (told.nodes[0], told.server):
        raw = path.read_bytes().splitlines(keepends=True)
        for at, line in enumerate(raw):
            for place in leaves(json.loads(line)):
                table = json.loads(line)
                change(table, place)
                edited = json.dumps(table, sort_keys=True, separators=(",", ":")).encode() + b"\n"
                reading = read_transcript(b"".join([*raw[:at], edited, *raw[at + 1 :]]))
                assert reading.fault == f"line {at + 1}: it does not follow from the one before"


def test_whoever_chains_all_anew_has_no_key_to_sign_with(tmp_path: Path) -> None:
    path = ToldRun(tmp_path, active=True).nodes[0]
    lines = len(tables_of(path))
    whole = path.read_bytes()
    for at in range(lines):
        for place in leaves(tables_of(path)[at]):
            tables = tables_of(path)
            change(tables[at], place)
            forge(path, tables)
            assert read_transcript(path.read_bytes()).fault.startswith(f"line {at + 1}: "), place
            path.write_bytes(whole)


@pytest.mark.parametrize("signed", [True, False])
def test_lines_dropped_swapped_or_repeated_are_found(tmp_path: Path, signed: bool) -> None:
    path = ToldRun(tmp_path, active=signed).nodes[0]
    raw = path.read_bytes().splitlines(keepends=True)
    for at in range(len(raw) - 1):
        for other in (
            [*raw[:at], *raw[at + 1 :]],
            [*raw[:at], raw[at + 1], raw[at], *raw[at + 2 :]],
        ):
            assert read_transcript(b"".join(other)).fault.startswith(f"line {at + 1}: ")
        repeated = [*raw[: at + 1], *raw[at:]]
        assert read_transcript(b"".join(repeated)).fault.startswith(f"line {at + 2}: ")


def test_signed_lines_cannot_be_moved_or_dropped_by_chaining_anew(tmp_path: Path) -> None:
    path = ToldRun(tmp_path, active=True).nodes[0]
    tables = tables_of(path)
    for at in range(1, len(tables) - 1):
        forge(path, [*tables[:at], *tables[at + 1 :]])
        assert read_transcript(path.read_bytes()).fault.startswith(f"line {at + 1}: its signature")
        forge(path, [*tables[:at], tables[at + 1], tables[at], *tables[at + 2 :]])
        assert read_transcript(path.read_bytes()).fault.startswith(f"line {at + 1}: its signature")


def test_a_line_of_another_file_of_the_same_key_does_not_fit(tmp_path: Path) -> None:
    write(tmp_path / "one", 3)
    write(tmp_path / "two", 1)
    one, two = tables_of(tmp_path / "one"), tables_of(tmp_path / "two")
    forge(tmp_path / "two", [*two, one[2]])
    assert read_transcript((tmp_path / "two").read_bytes()).fault.startswith("line 3: its signature")


@pytest.mark.parametrize("signature", ["", "00", "zz" * 64, "AB" * 64, 5, None, "00" * 64])
def test_what_is_no_signature_is_refused(path: Path, signature: Any) -> None:
    write(path, 1)
    tables = tables_of(path)
    tables[1]["signature"] = signature
    forge(path, tables)
    assert read_transcript(path.read_bytes()).fault.startswith(
        "line 2: its signature" if signature else "line 2: it is not"
    )


def test_a_truncated_file_names_its_torn_line(path: Path) -> None:
    write(path, 2)
    whole = path.read_bytes()
    ends = {at + 1 for at, byte in enumerate(whole) if byte == 10}
    for size in range(len(whole)):
        reading = read_transcript(whole[:size])
        assert (reading.fault == "") is (size in ends)
        assert reading.torn is (size > 0 and size not in ends)


def test_a_transcript_error_is_the_projects_own() -> None:
    assert issubclass(TranscriptError, ChorusError)
    assert TranscriptError.code == "ENV"
