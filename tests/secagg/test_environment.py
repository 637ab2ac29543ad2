"""Row 88 of the bad inputs: whatever the interpreter's flags and the machine's locale, the same bytes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SESSION = """
import hashlib, random
from tests.support.cohort import Cohort, Vector
from secagg.params import SecAggParams
params = SecAggParams.complete(5, 24, 40, 6)
inputs = {10 * n: Vector(tuple(range(n, n + 40)), (n,) * 6) for n in range(1, 6)}
cohort = Cohort(params, inputs, seed=7)
outcome = cohort.run({20: "r2"})
assert outcome.unmasked is not None
state = hashlib.sha256()
for record in (cohort.requests, cohort.states, cohort.replies):
    for key in sorted(record):
        state.update(repr(key).encode() + (record[key] or b"-"))
state.update(outcome.unmasked.total.tensor.tobytes())
print(state.hexdigest(), len(cohort.replies), flush=True)
"""
VARIANTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "optimised": (["-O"], {}),
    "optimised twice": (["-OO"], {}),
    "hash seed 1": ([], {"PYTHONHASHSEED": "1"}),
    "hash seed 4294967295": ([], {"PYTHONHASHSEED": "4294967295"}),
    "locale C": ([], {"LC_ALL": "C", "LANG": "C"}),
    "locale tr_TR": ([], {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"}),
    "no UTF-8 mode": (["-X", "utf8=0"], {"LC_ALL": "C"}),
    "another time zone": ([], {"TZ": "Pacific/Kiritimati"}),
}


def session(flags: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, *flags, "-c", SESSION], cwd=ROOT, env=os.environ | environment, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def plain() -> str:
    said = session([], {"PYTHONHASHSEED": "0"})
    assert said.endswith(" 18"), said  # 5 + 5 + 4 + 4 replies
    return said


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_session_is_the_same_bytes(variant: str, plain: str) -> None:
    assert session(*VARIANTS[variant]) == plain
