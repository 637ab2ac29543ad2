"""Memory that was freed is kept."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import resource
from predictions.allocator import keep_freed_memory
assert keep_freed_memory()
faults = []
for _ in range(6):
    arrays = [bytearray(b"x" * (20 << 20)) for _ in range(4)]
    del arrays
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(faults[-1] - faults[2])
"""


def _faults(program: str, repository: Path) -> int:
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")
def test_batches_after_the_first_get_no_fresh_pages(repository: Path) -> None:
    assert _faults(_PROGRAM, repository) < 2000
    assert _faults(_PROGRAM.replace("assert keep_freed_memory()", ""), repository) > 20_000
