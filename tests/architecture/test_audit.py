"""scripts/audit: what pip-audit says, or plainly that it said nothing."""

import os
import subprocess
from pathlib import Path

import pytest


def audit(repository: Path, tool: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(repository / "scripts" / "audit")],
        capture_output=True,
        text=True,
        env={**os.environ, "PIP_AUDIT": str(tool)},
    )


@pytest.mark.parametrize(
    ("says", "code", "due"),
    [
        ("No known vulnerabilities found", 0, 0),
        ("Found 2 known vulnerabilities in 1 package", 1, 1),
        ("ConnectionError: Max retries exceeded", 1, 3),
    ],
    ids=["none", "some", "unreachable"],
)
def test_the_audit_tells_weaknesses_from_silence(
    repository: Path, tmp_path: Path, says: str, code: int, due: int
) -> None:
    tool = tmp_path / "pip-audit"
    tool.write_text(f"#!/bin/sh\necho '{says}'\nexit {code}\n")
    tool.chmod(0o755)
    done = audit(repository, tool)
    assert done.returncode == due
    assert says in done.stdout
    assert ("nothing was audited" in done.stderr) is (due == 3)


def test_the_audit_says_when_it_cannot_be_done(repository: Path, tmp_path: Path) -> None:
    done = audit(repository, tmp_path / "absent")
    assert done.returncode == 3
    assert "pip install pip-audit" in done.stderr
