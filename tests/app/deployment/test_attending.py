"""What a node looks at before it starts anything."""

import time
from pathlib import Path

import pytest

from app.deployment import attending, probe
from app.deployment.attending import (
    NodeStart,
    check_clock,
    check_data,
    check_device,
    check_version,
    part_of,
    settings_of,
)
from app.deployment.kit import NodeKit
from arithmetic.errors import ChorusError, ConfigError, SetupError


def test_a_start_wins_over_the_kit(made: Path, tmp_path: Path) -> None:
    node = NodeKit.open(made / "nodes" / "hospital-1", time.time())
    plain = settings_of(node, NodeStart(node.folder))
    assert (plain.device, plain.superlink, plain.part) == ("auto", "localhost:8000", None)
    assert (plain.data, plain.state) == (node.folder / "data", node.folder / "state")
    assert 1024 < plain.port < 65536
    said = settings_of(node, NodeStart(node.folder, tmp_path, tmp_path, "cuda:1", "a:1", 7, "2/3"))
    assert (said.device, said.superlink, said.part, said.port) == ("cuda:1", "a:1", (1, 3), 7)
    assert (said.data, said.state) == (tmp_path, tmp_path)


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "a/3", "1/b", "-1/3", "1/3/5", "²/3", "1/99999999"])
def test_what_is_no_part_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="is no part; write I/N"):
        part_of(text)
    assert part_of("3/3") == (2, 3)


def test_data_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    check_data(tmp_path)
    with pytest.raises(SetupError, match="there is no data at"):
        check_data(tmp_path / "nothing")


def test_a_device_that_is_not_there_is_named_before_anything_starts() -> None:
    import torch

    check_device("auto")
    check_device("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(SetupError, match="device is cuda:0"):
            check_device("cuda:0")
    with pytest.raises(ConfigError, match="did you mean cuda"):
        check_device("cudda")


def test_clocks_apart_are_named_with_the_side() -> None:
    check_clock(probe.Found("", None), 60)
    check_clock(probe.Found("", -59.0), 60)
    with pytest.raises(SetupError, match="86400 s behind the server's"):
        check_clock(probe.Found("", 86_400.0), 300)
    with pytest.raises(SetupError, match="86400 s ahead of the server's"):
        check_clock(probe.Found("", -86_400.0), 300)


def test_version_skew_is_a_view_with_both_versions() -> None:
    check_version("", "1.41.0")
    check_version("1.41.3", "1.41.0")
    with pytest.raises(ChorusError, match=r"Flower 1\.42\.0 and this node 1\.41\.0") as caught:
        check_version("1.42.0", "1.41.0")
    assert caught.value.code == "VIEW"


def test_a_server_that_is_not_up_yet_is_waited_for(made: Path) -> None:
    from bench.plain.launched import free_ports

    said: list[str] = []
    (port,) = free_ports(1)
    attending.greet(f"127.0.0.1:{port}", made / "server" / "ca.crt", said.append)
    assert len(said) == 1
    assert said[0].startswith("waiting: nobody answers at 127.0.0.1")
