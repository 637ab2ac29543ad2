"""The SuperLink's list of nodes is made equal to the kit's, whatever it was."""

import httpx
import pytest
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListNodesResponse,
    RegisterNodeRequest,
    UnregisterNodeRequest,
)
from flwr.proto.node_pb2 import NodeInfo

from app.deployment.registry import make_equal, registered
from arithmetic.errors import SetupError


class Link:
    """Keeps a list as a SuperLink does: a key twice is refused, who left stays, unregistered."""

    def __init__(self) -> None:
        self.nodes: dict[int, tuple[bytes, str]] = {}
        self.calls = 0

    def ListNodes(self, request: ListNodesRequest) -> ListNodesResponse:  # noqa: N802
        infos = [
            NodeInfo(node_id=node, public_key=key, status=status)
            for node, (key, status) in self.nodes.items()
        ]
        return ListNodesResponse(nodes_info=infos)

    def RegisterNode(self, request: RegisterNodeRequest) -> None:  # noqa: N802
        self.calls += 1
        if request.public_key in [key for key, _ in self.nodes.values()]:
            raise httpx.HTTPError("in use")
        self.nodes[len(self.nodes) + 1] = (request.public_key, "registered")

    def UnregisterNode(self, request: UnregisterNodeRequest) -> None:  # noqa: N802
        self.calls += 1
        key, _ = self.nodes[request.node_id]
        self.nodes[request.node_id] = (key, "unregistered")


def test_it_registers_what_is_missing_and_nothing_twice() -> None:
    link, wanted = Link(), {"a": b"A", "b": b"B"}
    assert make_equal(link, wanted) == (["a", "b"], 0)
    assert make_equal(link, wanted) == ([], 0)
    assert link.calls == 2
    link.nodes[1] = (b"A", "online")
    assert make_equal(link, wanted | {"c": b"C"}) == (["c"], 0)


def test_it_unregisters_what_the_kit_has_no_more() -> None:
    link = Link()
    make_equal(link, {"a": b"A", "b": b"B"})
    assert make_equal(link, {"b": b"B"}) == ([], 1)
    assert registered(link) == {b"B": 2}
    assert make_equal(link, {"b": b"B"}) == ([], 0)


def test_a_superlink_that_refuses_is_one_line() -> None:
    link = Link()
    make_equal(link, {"a": b"A"})
    make_equal(link, {})
    with pytest.raises(SetupError, match=r"does not take a node's key \(in use\)"):
        make_equal(link, {"a": b"A"})
