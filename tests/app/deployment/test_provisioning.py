"""A federation's folders: complete, for their owners alone, each private half in exactly one of them."""

import stat
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.deployment.kit import NodeKit, ServerKit
from app.deployment.provisioning import provision
from arithmetic.errors import ChorusError, ConfigError
from tests.app.deployment.conftest import NAMES, plan_for

SECRETS = (
    "authority.pem",
    "ca.key",
    "server.key",
    "superexec.secret",
    "node.key",
    "identity.pem",
    "policy.toml",
)


def test_every_kit_opens_and_all_show_one_roster(made: Path) -> None:
    server = ServerKit.open(made / "server", time.time())
    nodes = [NodeKit.open(made / "nodes" / name, time.time()) for name in NAMES]
    assert [node.number for node in nodes] == [1, 2, 3]
    assert [node.name for node in nodes] == list(NAMES)
    assert {node.roster.fingerprint for node in nodes} == {server.roster.fingerprint}
    assert sorted(server.node_keys()) == sorted(NAMES)
    assert nodes[0].superlink == "localhost:8000"
    assert nodes[0].data == made / "nodes" / NAMES[0] / "data"


def test_secrets_and_folders_are_for_their_owner_alone(made: Path) -> None:
    for path in [made, *made.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir() or path.name in SECRETS:
            assert mode & 0o077 == 0, path
    assert {path.name for path in made.rglob("*") if path.name in SECRETS} == set(SECRETS)


def test_every_private_key_lies_in_one_place(made: Path) -> None:
    """Neither a whole file nor a line of a private key stands anywhere else."""
    everything = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    private = [path for path in everything if path.suffix in (".key", ".pem", ".secret")]
    assert len(private) == 2 + 2 + 2 * len(NAMES)
    for path in private:
        for line in everything[path].splitlines():
            if len(line) >= 40 and not line.startswith((b"-----", b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmU")):
                holders = [other for other, content in everything.items() if line in content]
                assert holders == [path]


def test_nothing_is_written_over(made: Path) -> None:
    before = {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="nothing is written over"):
        provision(plan_for(made), datetime.now(UTC))
    assert before == {path: path.read_bytes() for path in made.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"nodes": ("a", "b")}, "2 nodes are too few"),
        ({"nodes": ("a", "b", "b")}, "stands twice"),
        ({"nodes": ("a", "b", "../c")}, "no name for a node"),
        ({"nodes": ("a", "b", "C")}, "no name for a node"),
        ({"hosts": ()}, "the server has no name"),
        ({"hosts": ("not a host",)}, "no host name and no address"),
        ({"days": 0}, "--days 0 cannot be used"),
        ({"days": 4000}, "--days 4000 cannot be used"),
        ({"federation": "two words"}, "no name"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path: Path, changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ChorusError, match=complaint) as caught:
        provision(plan_for(tmp_path / "out", **changes), datetime.now(UTC))
    assert caught.value.code == "CONFIG"
