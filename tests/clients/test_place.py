"""A client's place: the node's word before the run's, and who counts as simulated."""

from typing import Any

import pytest
from flwr.app import Context, RecordDict

from clients.place import is_simulated, partition_of, text_of
from secagg.errors import MalformedMessage


def context(node: dict[str, Any], run: dict[str, Any] | None = None) -> Context:
    return Context(1, 2, node, RecordDict(), run or {})


@pytest.mark.parametrize(
    ("node", "simulated"),
    [
        ({}, False),
        ({"partition-id": 0}, True),
        ({"partition-id": 3, "num-partitions": 5}, True),
        ({"partition-id": 0, "data-path": ""}, True),
        ({"partition-id": 0, "data-path": "/data"}, False),
        ({"data-path": "/data"}, False),
        ({"num-partitions": 5}, False),
    ],
)
def test_a_client_is_simulated_where_flower_says_so_and_no_data_is_its_own(
    node: dict[str, Any], simulated: bool
) -> None:
    assert is_simulated(context(node)) is simulated
    assert is_simulated(context(node, {"partition-id": 1, "data-path": "/data"})) is simulated


def test_a_node_that_says_nothing_holds_all_of_its_own_data() -> None:
    assert partition_of(context({})) == (0, 1)
    assert partition_of(context({"partition-id": 2, "num-partitions": 7})) == (2, 7)
    assert partition_of(context({}, {"partition-id": 2, "num-partitions": 7})) == (0, 1)


@pytest.mark.parametrize("key", ["partition-id", "num-partitions"])
@pytest.mark.parametrize("value", ["1", 1.0, True, b"1", ""])
def test_a_partition_is_a_whole_number(key: str, value: Any) -> None:
    with pytest.raises(MalformedMessage, match="whole numbers"):
        partition_of(context({key: value}))


def test_the_nodes_own_text_wins_over_the_runs() -> None:
    assert text_of(context({"drop": "own"}, {"drop": "run"}), "drop") == "own"
    assert text_of(context({"drop": ""}, {"drop": "run"}), "drop") == "run"
    assert text_of(context({}, {"drop": "run"}), "drop") == "run"
    assert text_of(context({}), "drop") == ""


@pytest.mark.parametrize("value", [1, 1.5, True, b"bytes"])
def test_what_is_no_text_is_none(value: Any) -> None:
    assert text_of(context({"drop": value}), "drop") == ""
    assert text_of(context({}, {"drop": value}), "drop") == ""
