"""What dies is started again, and what is stopped leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.deployment import supervision
from app.deployment.programs import Program
from app.deployment.supervision import Running, Supervisor
from arithmetic.errors import SetupError

# A supervisor of a program that counts its lives, dies by itself twice, then leaves a stubborn grandchild behind.
PROGRAM = """
import os, sys
from pathlib import Path
from app.deployment import supervision
from app.deployment.programs import Program

supervision._FIRST_WAIT = 0.1
state = Path(sys.argv[1])
child = (
    "import os, subprocess, sys, time; open('lives', 'a').write(f'{os.getpid()} {os.getcwd()}\\\\n');"
    "lives = len(open('lives').readlines());"
    "lives > 2 or sys.exit(7);"
    "p = subprocess.Popen([sys.executable, '-c', 'import signal, time;"
    " signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)'], start_new_session=True);"
    "open('grandchild', 'w').write(str(p.pid)); print('up', flush=True); time.sleep(60)"
)
supervision.take_charge()
supervisor = supervision.Supervisor(state, dict(os.environ), print, lambda one, code: f"saw {code}")
supervisor.start(Program("child", (sys.executable, "-c", child)))
try:
    supervisor.run()
except supervision.Stopped as stopped:
    print("left", supervisor.stop(), flush=True)
    sys.exit(stopped.exit_code)
"""

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="orphans are adopted on Linux only"
)


def _started(tmp_path: Path, repository: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=repository, stdout=subprocess.PIPE, text=True
    )
    end = time.monotonic() + 30
    while not (tmp_path / "grandchild").exists() or not (tmp_path / "grandchild").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
    return process


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_it_restarts_what_dies_and_ends_everything_by_id(
    tmp_path: Path, repository: Path, number: signal.Signals, code: int
) -> None:
    process = _started(tmp_path, repository)
    lives = [line.split() for line in (tmp_path / "lives").read_text().splitlines()]
    grandchild = int((tmp_path / "grandchild").read_text())
    assert len(lives) == 3
    assert {folder for _, folder in lives} == {str(tmp_path)}
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == code
    assert "child ended (exit code 7); again in" in said
    assert "saw 7" in said
    assert said.splitlines()[-1] == "left []"
    assert not any(_alive(pid) for pid in (grandchild, *(int(pid) for pid, _ in lives)))


def test_a_program_does_not_outlive_a_supervisor_that_is_killed(tmp_path: Path, repository: Path) -> None:
    process = _started(tmp_path, repository)
    child = int((tmp_path / "lives").read_text().splitlines()[-1].split()[0])
    assert _alive(child)
    process.kill()
    process.communicate(timeout=30)
    try:
        end = time.monotonic() + 10
        while _alive(child):
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        os.kill(int((tmp_path / "grandchild").read_text()), signal.SIGKILL)


def test_waits_double_and_a_last_word_is_of_the_present_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    words: list[str] = []
    now = [1000.0]
    monkeypatch.setattr(supervision.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(supervision.time, "sleep", lambda _: None)

    def died(one: Running, code: int) -> str:
        words.append(one.said())
        return ""

    supervisor = Supervisor(tmp_path, dict(os.environ), said.append, died)
    one = supervisor.start(
        Program("child", (sys.executable, "-c", "import os; print(os.getpid(), flush=True)"))
    )
    for _ in range(8):
        assert one.process is not None
        one.process.wait(10)
        supervisor.turn()
        now[0] += one.wait
        supervisor.turn()
    assert one.process is not None
    one.process.wait(10)
    waits = [line.partition("again in ")[2].split()[0] for line in said]
    assert waits == ["1", "2", "4", "8", "16", "30", "30", "30"]
    assert all(len(word.split()) == 1 for word in words), "an earlier life's words were heard"
    assert len(set(words)) == 8


def test_a_program_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, {}, print, lambda one, code: "")
    with pytest.raises(SetupError, match="nobody cannot be started"):
        supervisor.start(Program("nobody", (str(tmp_path / "no such program"),)))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match="name another place with --state"):
        supervision.make_folders([tmp_path / "file" / "state"])
