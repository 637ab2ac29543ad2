"""The same bytes and the same refusals without asserts, under any hash seed and locale, and without a warning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
QUIET = ["-q", "-p", "no:cacheprovider", "-p", "no:xdist"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_kit_is_the_same_without_asserts_under_another_hash_seed_and_locale() -> None:
    """Every honest byte and every refusal, so no check of ours is an `assert` (threats.md, 88)."""
    done = run(
        "-O",
        "-m",
        "tests.vectors",
        "--check",
        PYTHONHASHSEED="12345",
        LC_ALL="tr_TR.UTF-8",
        LANG="tr_TR.UTF-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "files as the code makes them" in done.stdout


@pytest.mark.nightly
def test_the_core_holds_without_asserts() -> None:
    tests = ("tests/secagg", "tests/arithmetic")
    done = run(
        "-O", "-m", "pytest", *QUIET, "-m", "not slow and not nightly", *tests, PYTHONHASHSEED="1", LC_ALL="C"
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.nightly
def test_the_core_gives_no_warning() -> None:
    tests = ("tests/secagg", "tests/arithmetic")
    done = run("-W", "error", "-m", "pytest", *QUIET, "-W", "error", "-m", "not slow and not nightly", *tests)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
