"""docs/commands.md, as someone new types it: one run after the other command, in the page's order."""

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support import commands_page

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.simulation
def test_the_commands_of_the_page_in_their_order(tmp_path: Path) -> None:
    said = {}
    for command in commands_page.ALL:
        words = shlex.split(command)
        done = subprocess.run(
            [str(ROOT / words[0]), *words[1:]],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, command + done.stdout + done.stderr
        said[" ".join(words[1:3])] = done.stdout
    assert "2 of 2 rounds aggregated" in said["run -c"]
    assert "expected: 3 trips a round; a client sends 31.7 kB and receives 42.1 kB a round" in said["run -c"]
    assert "finished" in said["ls"]
    assert "round 2/2" in said["watch --plain"]
    assert "good: a run can start" in said["config check"]
    assert "3 of 3 rounds aggregated" in said["resume -c"]
    assert (tmp_path / "view.svg").read_text(encoding="utf-8").startswith("<svg")
    assert "WRONG" not in said["doctor"]
    assert "would free" in said["clean"]


def test_the_picture_of_the_page_is_there() -> None:
    assert (ROOT / "docs" / "pictures" / "live.svg").read_text(encoding="utf-8").startswith("<svg")
