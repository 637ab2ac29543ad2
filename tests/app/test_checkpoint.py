"""Snapshots on disk: back bit for bit, and whatever else lies there is refused by name."""

import contextlib
import errno
import json
import os
import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import durable
from app.checkpoint import Checkpoints, NoCheckpoint
from app.config import RunConfig
from app.run_directory import RunDirectory
from strategies.snapshot import Snapshot
from tests.support.resumed import Killed, begin, events_of, go_on, killed_at, model_of, serve
from wire.rounds import ProtocolRound, Purpose

SNAPSHOT = Snapshot(
    server_round=7,
    model={"z.weight": np.arange(6, dtype=np.float32).reshape(2, 3).T, "a": np.array(7), "none": np.zeros((0, 7))},
    inner={
        "momentum_vector": {"0": np.array([1e-300, -0.0, np.pi]), "1": np.array(True)},
        "current_arrays": {"z.weight": np.float16([1.5]), "a": np.array(2**60)},
    },
    adapted=0.1 + 0.2,
    aggregated=(1, 2, 5),
    planned={Purpose.TRAINING: 10},
    group_of={2**64 - 1: 0, 3: 1},
    asked=9,
)  # fmt: skip


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path, RunConfig())


def checkpoints(directory: RunDirectory, **keys: Any) -> Checkpoints:
    return Checkpoints(directory, RunConfig.parse(keys))


def written(directory: RunDirectory, *rounds: int) -> Path:
    """Checkpoints of these server rounds; the file of the last."""
    kept = checkpoints(directory)
    for number in rounds:
        kept.keep(replace(SNAPSHOT, server_round=number))
    return directory.checkpoints / f"{rounds[-1]}.checkpoint"


def names(directory: RunDirectory) -> list[str]:
    return sorted(path.name for path in directory.checkpoints.iterdir())


def reasons(directory: RunDirectory) -> list[str]:
    return [event["reason"] for event in events_of(directory, "checkpoint_refused")]


def test_a_snapshot_comes_back_bit_for_bit_in_its_order(directory: RunDirectory) -> None:
    checkpoints(directory).keep(SNAPSHOT)
    found = checkpoints(directory).latest()
    assert replace(found, model={}, inner={}) == replace(SNAPSHOT, model={}, inner={})
    assert list(found.model) == list(SNAPSHOT.model)
    assert {at: list(arrays) for at, arrays in found.inner.items()} == {
        at: list(arrays) for at, arrays in SNAPSHOT.inner.items()
    }
    pairs = [(found.model, SNAPSHOT.model), *((found.inner[at], SNAPSHOT.inner[at]) for at in SNAPSHOT.inner)]
    for ours, theirs in pairs:
        for name, array in theirs.items():
            assert (ours[name].dtype, ours[name].shape) == (array.dtype, array.shape)
            assert ours[name].tobytes() == array.tobytes()


def test_numbers_come_back_exactly(directory: RunDirectory) -> None:
    rng = random.Random(3)
    for _ in range(200):
        adapted = rng.random() * 2.0 ** rng.randint(-40, 40)
        checkpoints(directory).keep(replace(SNAPSHOT, adapted=adapted))
        assert checkpoints(directory).latest().adapted == adapted


def test_the_last_two_are_kept(directory: RunDirectory) -> None:
    written(directory, 0, 1, 2, 3)
    assert names(directory) == ["2.checkpoint", "3.checkpoint"]
    again = checkpoints(directory)
    assert again.latest().server_round == 3
    again.keep(replace(SNAPSHOT, server_round=3))
    again.keep(replace(SNAPSHOT, server_round=4))
    assert names(directory) == ["3.checkpoint", "4.checkpoint"]
    assert events_of(directory, "checkpoint_failed") == []


def test_after_a_damaged_one_the_good_one_before_is_not_the_one_that_goes(directory: RunDirectory) -> None:
    written(directory, 1, 2).write_bytes(b"torn")
    again = checkpoints(directory)
    assert again.latest().server_round == 1
    again.keep(replace(SNAPSHOT, server_round=2))
    assert names(directory) == ["1.checkpoint", "2.checkpoint"]
    assert checkpoints(directory).latest().server_round == 2


def test_every_torn_file_is_refused(directory: RunDirectory) -> None:
    newest = written(directory, 1, 2)
    whole = newest.read_bytes()
    lengths = [*range(0, len(whole), 37), len(whole) - 1]
    for length in lengths:
        newest.write_bytes(whole[:length])
        assert checkpoints(directory).latest().server_round == 1
    newest.write_bytes(whole + b"x")
    assert checkpoints(directory).latest().server_round == 1
    assert reasons(directory) == ["2.checkpoint is torn or was changed"] * (len(lengths) + 1)


def test_every_flipped_bit_is_refused(directory: RunDirectory) -> None:
    newest = written(directory, 1, 2)
    whole = newest.read_bytes()
    header = whole.index(b"\n") + 1
    places = [*range(header), *range(header, len(whole), 53), len(whole) - 1]
    for place in places:
        for bit in range(8):
            newest.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            assert checkpoints(directory).latest().server_round == 1, (place, bit)
    assert len(reasons(directory)) == 8 * len(places)
    newest.write_bytes(whole)
    assert checkpoints(directory).latest().server_round == 2


def rewritten(change: Callable[[dict[str, Any]], None]) -> Callable[[bytes], bytes]:
    def edit(whole: bytes) -> bytes:
        line, _, rest = whole.partition(b"\n")
        header = json.loads(line)
        change(header)
        return json.dumps(header).encode() + b"\n" + rest

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (rewritten(lambda header: header.update(format=0)), "is of format 0, and this version reads 1"),
        (rewritten(lambda header: header.update(format=2)), "is of format 2, and this version reads 1"),
        (rewritten(lambda header: header.update(format=True)), "is torn or was changed"),
        (rewritten(lambda header: header.update(run="another")), "is of another run"),
        (rewritten(lambda header: header.update(configuration="0" * 64)), "is of another configuration"),
        (rewritten(lambda header: header.update(more=1)), "is torn or was changed"),
        (rewritten(lambda header: header.pop("run")), "is torn or was changed"),
        (lambda whole: b"[]\n" + whole, "is torn or was changed"),
        (lambda whole: b"\x80\x04K\x01.", "is torn or was changed"),
        (lambda whole: b"", "is torn or was changed"),
        (lambda whole: b"[" * 100_000 + b"\n", "is torn or was changed"),
        (lambda whole: b"[" * 4000 + b"\n", "is torn or was changed"),
        (lambda whole: whole.replace(b'{"format":1', b'{"format": 1'), ""),
    ],
)
def test_what_is_not_this_runs_is_refused_by_name_and_the_one_before_is_used(
    edit: Callable[[bytes], bytes], words: str, directory: RunDirectory
) -> None:
    newest = written(directory, 1, 2)
    newest.write_bytes(edit(newest.read_bytes()))
    assert checkpoints(directory).latest().server_round == (1 if words else 2)
    assert reasons(directory) == ([f"2.checkpoint {words}"] if words else [])
    assert all(event["code"] == "ENV" for event in events_of(directory, "checkpoint_refused"))


def test_files_of_another_run_and_of_another_configuration_are_refused(
    directory: RunDirectory, tmp_path: Path
) -> None:
    other = RunDirectory.create(tmp_path, RunConfig())
    directory.checkpoints.mkdir()
    written(other, 1).rename(directory.checkpoints / "1.checkpoint")
    with pytest.raises(NoCheckpoint, match=rf"no checkpoint of run {directory.id} can be used"):
        checkpoints(directory).latest()
    written(directory, 2)
    with pytest.raises(NoCheckpoint):
        checkpoints(directory, seed=1).latest()
    assert [reason.split(" is of ")[1] for reason in reasons(directory)] == [
        "another run", "another configuration", "another run",
    ]  # fmt: skip
    assert checkpoints(directory, device="cpu", rounds=20).latest().server_round == 2


def test_a_renamed_file_is_refused(directory: RunDirectory) -> None:
    written(directory, 1, 2).rename(directory.checkpoints / "9.checkpoint")
    assert checkpoints(directory).latest().server_round == 1
    assert reasons(directory) == ["9.checkpoint is of server round 2: it was renamed"]


@pytest.mark.parametrize("numbers", [b"{}", b"[]", b"", b'{"server_round": 2}', None])
def test_a_file_that_is_whole_and_holds_something_else_is_refused(
    numbers: bytes | None, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(directory, 1)
    honest = Checkpoints._parts

    def parts(self: Checkpoints, snapshot: Snapshot) -> tuple[bytes, bytes, bytes]:
        import hashlib

        _, said, tensors = honest(self, snapshot)
        body = (said, tensors[:-1]) if numbers is None else (numbers + b"\n", tensors)
        header = self._header(hashlib.sha256(b"".join(body)).hexdigest())
        return (json.dumps(header).encode() + b"\n", *body)

    monkeypatch.setattr(Checkpoints, "_parts", parts)
    written(directory, 2)
    assert checkpoints(directory).latest().server_round == 1
    assert reasons(directory) == ["2.checkpoint does not hold what this version writes"]


def test_other_names_are_not_looked_at_and_what_a_killed_writer_left_goes(directory: RunDirectory) -> None:
    written(directory, 1)
    for name in ("x.checkpoint", "01.checkpoint", "-1.checkpoint", "²3.checkpoint", ".2.checkpoint-99.tmp"):
        (directory.checkpoints / name).write_bytes(b"")
    assert checkpoints(directory).latest().server_round == 1
    assert reasons(directory) == []
    assert ".2.checkpoint-99.tmp" not in names(directory)


class Disk:
    """Makes writing fail, at one of its steps, while it is full."""

    def __init__(self, patch: pytest.MonkeyPatch, step: str, number: int) -> None:
        self.full = True
        honest = getattr(os, step) if step != "replace" else Path.replace

        def maybe(*args: Any) -> Any:
            if self.full:
                raise OSError(number, os.strerror(number))
            return honest(*args)

        patch.setattr(Path if step == "replace" else os, step, maybe)


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_disk_that_takes_nothing_leaves_the_old_one_and_the_snapshot_waits(
    step: str, number: int, directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = checkpoints(directory)
    kept.keep(replace(SNAPSHOT, server_round=1))
    before = (directory.checkpoints / "1.checkpoint").read_bytes()
    disk = Disk(monkeypatch, step, number)
    kept.keep(replace(SNAPSHOT, server_round=2))
    kept.keep(replace(SNAPSHOT, server_round=3))
    assert (directory.checkpoints / "1.checkpoint").read_bytes() == before
    assert names(directory) == ["1.checkpoint"]
    failed = events_of(directory, "checkpoint_failed")
    assert [(event["server_round"], event["code"]) for event in failed] == [(2, "ENV"), (3, "ENV")]
    assert os.strerror(number) in failed[0]["reason"]
    disk.full = False
    kept.retry()
    kept.retry()
    assert names(directory) == ["1.checkpoint", "3.checkpoint"]
    assert checkpoints(directory).latest().server_round == 3


def test_a_folder_that_cannot_be_made_is_told_of_and_tried_again(directory: RunDirectory) -> None:
    directory.checkpoints.write_text("in the way")
    kept = checkpoints(directory)
    kept.keep(SNAPSHOT)
    assert len(events_of(directory, "checkpoint_failed")) == 1
    directory.checkpoints.unlink()
    kept.retry()
    assert checkpoints(directory).latest().server_round == 7


def test_a_disk_that_is_full_for_a_while_costs_no_server_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed, victim = (begin(tmp_path / name, rounds=4) for name in "ab")
    serve(undisturbed)
    honest = durable.write_whole

    def sometimes(path: Path, *parts: bytes) -> None:
        if path.name in ("2.checkpoint", "4.checkpoint") and not (victim.path / "room").exists():
            (victim.path / "room").touch() if path.name == "4.checkpoint" else None
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(path, *parts)

    monkeypatch.setattr("app.checkpoint.write_whole", sometimes)
    serve(victim)
    assert [event["server_round"] for event in events_of(victim, "checkpoint_failed")] == [2, 4]
    assert model_of(victim) == model_of(undisturbed)
    assert names(victim) == ["3.checkpoint", "4.checkpoint"]
    assert len(events_of(victim, "round_finished")) == 5


def test_when_even_the_final_model_cannot_be_written_the_run_ends_typed_and_can_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = begin(tmp_path / "run", rounds=3)
    honest = durable.write_whole

    def full(path: Path, *parts: bytes) -> None:
        if path.name not in ("0.checkpoint", "1.checkpoint"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(path, *parts)

    with monkeypatch.context() as patch:
        patch.setattr("app.checkpoint.write_whole", full)
        patch.setattr("app.run_directory.write_whole", full)
        with pytest.raises(
            RuntimeError, match=r"^ENV: the final model cannot be written .*No space left"
        ) as caught:
            serve(victim)
        assert "\n" not in str(caught.value)
    # After rounds 2 and 3, and once more at the end.
    assert [event["server_round"] for event in events_of(victim, "checkpoint_failed")] == [2, 3, 3]
    assert events_of(victim, "run_failed")[0]["code"] == "ENV"
    assert not victim.model.exists()
    go_on(victim)
    assert events_of(victim, "run_finished")[0]["rounds_aggregated"] == 3


def test_events_that_the_disk_does_not_take_wait_for_it(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.emit("one")
    with monkeypatch.context() as patch:
        disk = Disk(patch, "write", errno.ENOSPC)
        directory.emit("two")
        directory.emit("round_finished", server_round=1)
        disk.full = False
        assert events_of(directory, "two") == []
    directory.emit("three")
    lines = [json.loads(line)["event"] for line in directory.events.read_text().splitlines()]
    assert lines == ["one", "two", "round_finished", "three"]
    assert len(directory.metrics.read_text().splitlines()) == 1


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Root may write into every folder: for a while this process is nobody special."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_read_only_folder_is_told_of_and_the_old_one_stands() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o777)
        with nobody():
            directory = RunDirectory.create(Path(place) / "runs", RunConfig())
            kept = checkpoints(directory)
            kept.keep(replace(SNAPSHOT, server_round=1))
            directory.checkpoints.chmod(0o500)
            kept.keep(replace(SNAPSHOT, server_round=2))
            assert "Permission denied" in events_of(directory, "checkpoint_failed")[0]["reason"]
            assert names(directory) == ["1.checkpoint"]
            assert checkpoints(directory).latest().server_round == 1
            directory.checkpoints.chmod(0o700)
            kept.retry()
            assert checkpoints(directory).latest().server_round == 2


def test_no_key_and_no_masked_input_is_in_a_checkpoint(tmp_path: Path) -> None:
    """It holds models, numbers and ids: nothing of what the server received from a client."""
    from tests.support.grep import hits
    from tests.support.local_grid import LocalGrid

    directory, grids = begin(tmp_path / "run", rounds=2), list[LocalGrid]()
    with pytest.raises(Killed):
        serve(directory, killed_at(ProtocolRound("r4"), 2), grids)
    haystack = b"".join(path.read_bytes() for path in directory.checkpoints.iterdir())
    received = [r.content["chorus"]["message"].data for r in grids[0].received]  # type: ignore[index,union-attr]
    needles = {data[at : at + 16] for data in received for at in range(2, len(data) - 16, 16)}
    needles = {needle for needle in needles if len(set(needle)) > 8}
    assert len(needles) > 100
    assert hits(needles, haystack) == []
