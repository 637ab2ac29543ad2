"""A few thousand damaged messages on every push, and parsers broken on purpose, which the same run must find."""

import random
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from secagg.errors import MalformedMessage
from tests.fuzz.__main__ import MOST_FINDINGS, fuzz
from tests.fuzz.mutations import damaged
from tests.fuzz.targets import ReadWrongly, Target, targets

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = sorted(targets())


@pytest.mark.parametrize("name", NAMES)
def test_damaged_input_meets_typed_errors_only_and_soon(name: str) -> None:
    record = fuzz(name, targets()[name], 300, seed=20)
    assert record.findings == []
    assert record.inputs == 300
    assert record.taken or record.refused


def test_the_same_seed_gives_the_same_inputs_and_another_seed_others() -> None:
    valid = [bytes(range(200)), b"x" * 90]
    runs = [
        [damaged(valid, chance) for _ in range(50)] for chance in map(random.Random, ("a/1", "a/1", "a/2"))
    ]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert len(set(runs[0])) > 40


def sleeping(data: bytes) -> None:
    begun = time.thread_time()
    while time.thread_time() - begun < 0.006:
        pass


def failing(error: Exception, data: bytes) -> None:
    raise error


@pytest.mark.parametrize(
    ("read", "says"),
    [
        (partial(failing, KeyError("own")), "KeyError"),
        (partial(failing, MemoryError()), "MemoryError"),
        (partial(failing, RecursionError()), "RecursionError"),
        (partial(failing, ReadWrongly("other bytes")), "other bytes"),
        (partial(failing, MalformedMessage("two\nlines")), "says"),
        (partial(failing, MalformedMessage("")), "says"),
        (sleeping, "ms"),
    ],
    ids=["untyped", "memory", "recursion", "wrongly", "lines", "silent", "slow"],
)
def test_a_parser_that_is_broken_is_found(read: Any, says: str) -> None:
    record = fuzz("broken", Target(partial(damaged, [bytes(40)]), read), 30, seed=1)
    assert len(record.findings) == MOST_FINDINGS
    assert says in record.findings[0]
    assert record.inputs == MOST_FINDINGS


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="no /proc here: address space cannot be capped"
)
def test_a_parser_that_takes_more_than_64_mb_is_found() -> None:
    program = (
        "from tests.fuzz.__main__ import cap_memory, fuzz; from tests.fuzz.targets import Target; cap_memory();"
        "record = fuzz('broken', Target(lambda chance: 70 << 20, bytearray), 1, 1);"
        "small = fuzz('sound', Target(lambda chance: 1 << 20, bytearray), 1, 1);"
        "print(record.findings[0][:11], small.findings)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["MemoryError", "[]"]
