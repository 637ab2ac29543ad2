"""The commands of Flower's programs: taken by Flower's own parsers, and complete."""

import sys
import time
from pathlib import Path

import pytest
from flwr.common.config import parse_config_args
from flwr.supercore.cli.flower_superexec import _parse_args as parse_superexec
from flwr.superlink.cli.flower_superlink import _parse_args_run_superlink as parse_superlink
from flwr.supernode.cli.flower_supernode import _parse_args_run_supernode as parse_supernode

from app.deployment import programs
from app.deployment.kit import NodeKit, ServerKit
from app.deployment.programs import NodeSettings
from arithmetic.errors import ConfigError


@pytest.fixture
def node(made: Path) -> NodeKit:
    return NodeKit.open(made / "nodes" / "hospital-1", time.time())


@pytest.fixture
def server(made: Path) -> ServerKit:
    return ServerKit.open(made / "server", time.time())


def settings(tmp_path: Path, **changes: object) -> NodeSettings:
    values = {
        "data": tmp_path,
        "device": "cuda:0",
        "state": tmp_path / "state",
        "superlink": "a:1",
        "port": 9094,
    }
    return NodeSettings(**(values | changes))


def test_the_superlink_is_fenced_and_survives_being_killed(server: ServerKit, tmp_path: Path) -> None:
    program = programs.superlink_program(server, tmp_path, "0.0.0.0", 8000)
    assert Path(program.command[0]).name == "flower-superlink"
    args = parse_superlink().parse_args(program.command[1:])
    assert args.enable_supernode_auth
    assert not args.insecure
    assert args.isolation == "process"
    assert args.database == str(tmp_path / "superlink.db")
    assert args.runtime_dependency_install is False
    for file in (args.ssl_certfile, args.ssl_keyfile, args.ssl_ca_certfile, args.superexec_auth_secret_file):
        assert Path(file).is_file()
    assert (args.host, args.port) == ("0.0.0.0", 8000)


def test_the_superexec_finds_its_superlink_through_tls(server: ServerKit) -> None:
    args = parse_superexec().parse_args(programs.superexec_program(server, "127.0.0.1:8000").command[1:])
    assert args.runtime_api_address == "127.0.0.1:8000"
    assert not args.insecure
    assert Path(args.root_certificates).is_file()
    assert Path(args.superexec_auth_secret_file).is_file()
    assert args.runtime_dependency_install is False


def test_a_supernode_tells_its_clients_all_of_its_own_place(node: NodeKit, tmp_path: Path) -> None:
    args = parse_supernode().parse_args(programs.supernode_program(node, settings(tmp_path)).command[1:])
    assert not args.insecure
    assert (args.superlink, args.host, args.port) == ("a:1", "127.0.0.1", 9094)
    assert args.runtime_dependency_install is False
    table = parse_config_args([args.node_config])
    assert table == programs.node_table(node, settings(tmp_path))
    assert set(table) == {
        "identity-key", "roster", "roster-authority", "transcript", "data-path", "privacy-ledger", "privacy-policy",
        "client-log", "device",
    }  # fmt: skip
    assert table["device"] == "cuda:0"
    assert table["roster-authority"] == node.authority.hex()
    paths = [value for key, value in table.items() if key not in ("device", "roster-authority")]
    assert all(Path(path).is_absolute() for path in paths)
    for key in ("identity-key", "roster", "privacy-policy"):
        assert Path(table[key]).is_file()


def test_a_part_of_shared_data_is_told_in_numbers(node: NodeKit, tmp_path: Path) -> None:
    table = parse_config_args(
        [programs.node_config(programs.node_table(node, settings(tmp_path, part=(0, 3))))]
    )
    assert (table["partition-id"], table["num-partitions"]) == (0, 3)


@pytest.mark.parametrize("name", ["with space", "back\\slash", "equals=sign", "#hash", "x.toml", "ünï"])
def test_odd_paths_survive_flowers_parser(name: str) -> None:
    assert parse_config_args([programs.node_config({"data-path": f"/a/{name}", "n": 1})]) == {
        "data-path": f"/a/{name}",
        "n": 1,
    }


@pytest.mark.parametrize("name", ["quote'", 'double"', "line\nend"])
def test_paths_that_would_not_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"data-path = .*quote or a line's end"):
        programs.node_config({"data-path": f"/a/{name}"})


def test_the_environment_is_quiet_and_its_own(tmp_path: Path) -> None:
    env = programs.environment(
        tmp_path, {"PATH": "/x", "FLWR_HOME": "/z", "PYTHONPATH": "/y", "CUDA_VISIBLE_DEVICES": "1"}
    )
    assert env["FLWR_HOME"] == str(tmp_path / "flower")
    assert (env["FLWR_TELEMETRY_ENABLED"], env["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"]) == ("0", "1")
    assert "PYTHONPATH" not in env
    assert env["CUDA_VISIBLE_DEVICES"] == "1"
    assert env["PATH"].startswith(str(Path(sys.executable).parent))


def test_who_listens_everywhere_is_reached_on_loopback() -> None:
    assert programs.loopback("0.0.0.0", 1) == "127.0.0.1:1"
    assert programs.loopback("::", 1) == "[::1]:1"
    assert programs.loopback("10.0.0.7", 1) == "10.0.0.7:1"
