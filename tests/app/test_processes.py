"""Orphans in other sessions are found and ended by id."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="subreaper is Linux")

# A parent that leaves a stubborn grandchild in a session of its own, as Ray and SuperExec do.
PROGRAM = """
import os, subprocess, sys, time
from app.processes import adopt_orphans, descendants, end_descendants

stubborn = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); time.sleep(60)"
)
parent = (
    "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', sys.argv[1]],"
    "start_new_session=True, stdout=subprocess.PIPE,"
    "stderr=subprocess.DEVNULL); p.stdout.readline(); print(p.pid)"
)
adopt_orphans()
said = subprocess.run([sys.executable, "-c", parent, stubborn], capture_output=True, text=True)
orphan = int(said.stdout)
assert descendants(os.getpid()) == [orphan], descendants(os.getpid())
begin = time.monotonic()
assert end_descendants(grace=0.3) == []
assert 0.3 <= time.monotonic() - begin < 20
assert descendants(os.getpid()) == []
assert not os.path.exists(f"/proc/{orphan}"), "not even a zombie"
print("done")
"""


def test_an_orphan_in_another_session_that_ignores_sigterm_is_ended(repository: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=repository,
        timeout=30,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout == "done\n", answer.stderr
