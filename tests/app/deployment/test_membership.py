"""Who joins and leaves: serials grow, numbers never move, and nothing works without the authority's folder."""

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.deployment import requests
from app.deployment.kit import NodeKit, ServerKit
from app.deployment.membership import Federation
from arithmetic.errors import ChorusError, ConfigError


def test_a_node_joins_and_another_leaves(federation: Path) -> None:
    Federation.open(federation).add("hospital-4")
    roster = Federation.open(federation).revoke("hospital-2")
    assert roster.serial == 3
    assert [member.name for member in roster.members] == [f"hospital-{n}" for n in (1, 2, 3, 4)]
    assert [NodeKit.open(federation / "nodes" / f"hospital-{n}", time.time()).number for n in (1, 3, 4)] == [
        1,
        3,
        4,
    ]
    with pytest.raises(ChorusError, match="member 2 of the roster is revoked"):
        NodeKit.open(federation / "nodes" / "hospital-2", time.time())
    server = ServerKit.open(federation / "server", time.time())
    assert sorted(server.node_keys()) == ["hospital-1", "hospital-3", "hospital-4"]
    assert server.roster.fingerprint == roster.fingerprint


def test_a_node_joins_by_its_request(federation: Path, tmp_path: Path) -> None:
    request, path = requests.make_request(tmp_path / "own", "hospital-4")
    roster = Federation.open(federation).add(requests.read_request(path))
    assert roster.members[3].key == request.identity
    assert not (federation / "nodes" / "hospital-4" / "node.key").exists()


def test_what_cannot_change_is_refused_and_nothing_is_written(federation: Path) -> None:
    before = (federation / "server" / "roster.json").read_bytes()
    opened = Federation.open(federation)
    with pytest.raises(ConfigError, match="is in the roster, or was"):
        opened.add("hospital-1")
    with pytest.raises(ConfigError, match="is no member"):
        opened.revoke("hospital-9")
    with pytest.raises(ConfigError, match="fewer than 3 nodes would be left"):
        opened.revoke("hospital-1")
    assert (federation / "server" / "roster.json").read_bytes() == before
    shutil.rmtree(federation / "authority")
    with pytest.raises(ConfigError, match="bring back the authority's folder"):
        Federation.open(federation)


def test_papers_are_renewed(federation: Path) -> None:
    later = datetime.now(UTC) + timedelta(days=29)
    roster = Federation.open(federation).renew(later, 30)
    assert roster.serial == 2
    after = (later + timedelta(days=29)).timestamp()
    ServerKit.open(federation / "server", after)
    NodeKit.open(federation / "nodes" / "hospital-1", after)


def test_an_authority_of_another_federation_signs_nothing(federation: Path, tmp_path: Path) -> None:
    from app.deployment.provisioning import provision
    from tests.app.deployment.conftest import plan_for

    provision(plan_for(tmp_path / "other"), datetime.now(UTC))
    shutil.rmtree(federation / "authority")
    shutil.copytree(tmp_path / "other" / "authority", federation / "authority")
    with pytest.raises(ChorusError, match="signature is not that of the authority"):
        Federation.open(federation)
