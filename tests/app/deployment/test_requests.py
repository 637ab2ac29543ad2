"""A node that makes its own keys sends public halves, and nobody on the way can change one."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.deployment import requests
from app.deployment.kit import NodeKit
from app.deployment.provisioning import provision
from arithmetic.errors import ConfigError
from tests.app.deployment.conftest import plan_for


def test_kits_of_requests_hold_no_keys_and_work_where_the_keys_are(tmp_path: Path) -> None:
    made = [requests.make_request(tmp_path / name, name) for name in ("a", "b", "c")]
    found = tuple(requests.read_request(path) for _, path in made)
    assert [one.fingerprint for one in found] == [one.fingerprint for one, _ in made]
    provision(plan_for(tmp_path / "out", nodes=(), requests=found), datetime.now(UTC))
    kit = tmp_path / "out" / "nodes" / "b"
    assert not list((tmp_path / "out" / "nodes").rglob("*.key"))
    assert not list((tmp_path / "out" / "nodes").rglob("*.pem"))
    for path in kit.iterdir():
        target = tmp_path / "b" / path.name
        if path.is_file():
            assert not target.exists() or target.read_bytes() == path.read_bytes(), (
                "the copy would lose something"
            )
            target.write_bytes(path.read_bytes())
    assert NodeKit.open(tmp_path / "b", time.time()).number == 2


def test_a_request_holds_nothing_private(tmp_path: Path) -> None:
    _, path = requests.make_request(tmp_path / "a", "a")
    table = json.loads(path.read_text())
    assert set(table) == {"name", "identity", "node-key", "signature"}
    for private in ("identity.pem", "node.key"):
        for line in (tmp_path / "a" / private).read_text().splitlines()[1:-1]:
            assert len(line) < 20 or line not in path.read_text()


@pytest.mark.parametrize("key", ["name", "identity", "node-key", "signature"])
def test_a_request_that_was_changed_on_the_way_is_refused(tmp_path: Path, key: str) -> None:
    _, path = requests.make_request(tmp_path / "a", "a")
    _, other = requests.make_request(tmp_path / "b", "b")
    table = json.loads(path.read_text())
    table[key] = json.loads(other.read_text())[key]
    with pytest.raises(ConfigError, match="changed after its node signed it"):
        requests.Request.parse(json.dumps(table).encode(), "a.request.json")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"name": 1}', b"[" * 100_000])
def test_what_is_no_request_is_named(data: bytes) -> None:
    with pytest.raises(ConfigError, match=r"a\.request\.json is no request"):
        requests.Request.parse(data, "a.request.json")


def test_keys_are_never_written_over(tmp_path: Path) -> None:
    requests.make_request(tmp_path / "a", "a")
    before = (tmp_path / "a" / "identity.pem").read_bytes()
    with pytest.raises(ConfigError, match="nothing is written over"):
        requests.make_request(tmp_path / "a", "a")
    assert (tmp_path / "a" / "identity.pem").read_bytes() == before
