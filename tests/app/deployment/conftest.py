"""A federation of three nodes, made once: tests that change a kit take a copy."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.deployment.provisioning import Plan, provision

NAMES = ("hospital-1", "hospital-2", "hospital-3")


def plan_for(out: Path, **changes: object) -> Plan:
    """A plan of three nodes and a server on this machine."""
    values = {
        "hosts": ("localhost",), "nodes": NAMES, "requests": (), "out": out, "port": 8000, "days": 30,
        "federation": "test",
    }  # fmt: skip
    return Plan(**(values | changes))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    out = tmp_path_factory.mktemp("made") / "federation"
    provision(plan_for(out), datetime.now(UTC))
    return out


@pytest.fixture
def federation(made: Path, tmp_path: Path) -> Path:
    """A copy, to be spoiled at will."""
    return Path(shutil.copytree(made, tmp_path / "federation"))
