"""What a real server received in a real run: the exact sum, and nothing of one client in any form."""

import json
from pathlib import Path

import numpy as np
import pytest

from arithmetic.residues import word_type
from secagg.client.states import AwaitingCohort, AwaitingShares, AwaitingSurvivors, CarryingKeys
from secagg.errors import MalformedMessage
from tests.support.grep import forms, hits, windows
from tests.support.launched import Finished

pytestmark = pytest.mark.simulation

BITS = 24


def _client_files(record: Path, kind: str) -> list[Path]:
    return sorted(record.glob(f"clients/*/*.{kind}"))


def _of_round(record: Path, node: int, server_round: int, kind: str) -> bytes:
    (path,) = record.glob(f"clients/{node}/{server_round}-*.{kind}")
    return path.read_bytes()


def _everything_the_server_has(record: Path, directory: Path) -> bytes:
    received = [path.read_bytes() for path in sorted((record / "server").glob("*.re*"))]
    kept = [directory / name for name in ("events.jsonl", "metrics.jsonl", "config.toml", "superlink.log")]
    return b"\n".join(received + [path.read_bytes() for path in kept])


def _secrets(state: bytes) -> list[bytes]:
    """Private keys, seeds and shares in one kept state."""
    for kind in (AwaitingCohort, CarryingKeys, AwaitingShares, AwaitingSurvivors):
        try:
            parsed = kind.from_bytes(state)
        except MalformedMessage:
            continue
        found = []
        if isinstance(parsed, AwaitingCohort | CarryingKeys | AwaitingShares):
            found += [parsed.keys.mask.private, parsed.keys.channel.private]
        if isinstance(parsed, AwaitingShares):
            found += [parsed.seed]
        return found
    raise AssertionError("a kept state that is none of ours")


def test_the_run_ended_well(recorded_run: tuple[Finished, Path]) -> None:
    finished, record = recorded_run
    assert finished.exit_code == 0, finished.output + finished.errors
    assert len(list((record / "server").glob("*.reply"))) > 40


@pytest.mark.parametrize(("server_round", "survivors"), [(1, 6), (2, 3), (3, 6)])
def test_the_decoded_sum_is_the_plain_integer_sum(
    recorded_run: tuple[Finished, Path], server_round: int, survivors: int
) -> None:
    """One client vanished at r1 and two at r2 of server round 2: the sum of the other three, bit for bit."""
    _, record = recorded_run
    (path,) = (p for p in record.glob(f"server/sum-{server_round}-*.json") if not p.stem.endswith("-0"))
    nodes = json.loads(path.read_text())
    assert len(nodes) == survivors
    word, mask = word_type(BITS), np.uint64(2**BITS - 1)
    parts = [np.frombuffer(_of_round(record, node, server_round, "words"), word) for node in nodes]
    decoded = np.frombuffer(path.with_suffix(".tensor").read_bytes(), word)
    plain = sum(part.astype(np.uint64) for part in parts)
    assert np.array_equal(decoded & mask, plain & mask)
    scalars = [np.frombuffer(_of_round(record, node, server_round, "scalars"), "<u8") for node in nodes]
    total = np.frombuffer(path.with_suffix(".scalars").read_bytes(), "<u8")
    assert np.array_equal(total, sum(scalars[1:], scalars[0]))


def test_no_secret_in_anything_the_server_received(recorded_run: tuple[Finished, Path]) -> None:
    finished, record = recorded_run
    haystack = _everything_the_server_has(record, finished.directory)
    states = [path.read_bytes() for path in _client_files(record, "state")]
    secrets = {secret for state in states for secret in _secrets(state)}
    assert len(secrets) > 40
    assert hits(secrets, haystack) == []


@pytest.mark.parametrize(("kind", "dtype"), [("update", "<f8"), ("weights", "<f4"), ("words", "<u4")])
def test_no_update_in_anything_the_server_received(
    recorded_run: tuple[Finished, Path], kind: str, dtype: str
) -> None:
    """Updates as float64 and float32, trained weights, residues before masking: unpacked and packed."""
    finished, record = recorded_run
    haystack = _everything_the_server_has(record, finished.directory)
    needles: list[bytes] = []
    for at, path in enumerate(_client_files(record, kind)):
        array = np.frombuffer(path.read_bytes(), dtype)
        needles += windows(array, 20, at)
        if kind == "update":
            needles += windows(array.astype("<f4"), 20, at)
        if kind == "words":
            packed = np.ascontiguousarray(array.view(np.uint8).reshape(-1, 4)[:, :3]).reshape(-1)
            needles += windows(packed, 20, at)
    assert len(needles) > 200
    assert hits(needles, haystack) == []


def test_the_search_finds_what_is_there(recorded_run: tuple[Finished, Path]) -> None:
    """The same search, over the same bytes with one update planted in each form."""
    finished, record = recorded_run
    haystack = _everything_the_server_has(record, finished.directory)
    array = np.frombuffer(_client_files(record, "update")[0].read_bytes(), "<f8")
    for needle in windows(array, 3, 7):
        for form in forms(needle):
            assert hits([needle], haystack + b"x" + form + b"y") == [needle]
