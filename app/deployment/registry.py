"""Which nodes the SuperLink knows: made equal to the public keys in the server's kit, again and again.

Decides: that a key in the kit is registered, and one that is in it no more is unregistered. It goes through Flower's
own API, because `flwr supernode register` cannot say whether a key is registered already.
Refuses to know the roster: this is the fence around the server's port, not the root of trust.
"""

from pathlib import Path
from typing import Final, Protocol

import httpx
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListNodesResponse,
    RegisterNodeRequest,
    UnregisterNodeRequest,
)
from flwr.supercore.constant import NodeStatus
from flwr.supercore.control import ControlHttpClient

from arithmetic.errors import SetupError

_PATIENCE: Final = 10.0


class Control(Protocol):
    """The three calls of Flower's Control API that are needed here."""

    def ListNodes(self, request: ListNodesRequest) -> ListNodesResponse: ...  # noqa: N802, D102
    def RegisterNode(self, request: RegisterNodeRequest) -> object: ...  # noqa: N802, D102
    def UnregisterNode(self, request: UnregisterNodeRequest) -> object: ...  # noqa: N802, D102


def connect(address: str, ca: Path) -> ControlHttpClient:
    """A client of the SuperLink at `address` (`host:port`), through TLS."""
    return ControlHttpClient.from_server_address(address, False, ca.read_bytes(), interceptors=[])


def registered(control: Control) -> dict[bytes, int]:
    """Node ids by public key, of every node that the SuperLink knows.

    Raises:
        SetupError: it does not answer as a SuperLink of this version.
    """
    try:
        nodes = control.ListNodes(ListNodesRequest()).nodes_info
    except (httpx.HTTPError, RuntimeError, ValueError) as error:
        raise SetupError(
            f"the SuperLink does not say which nodes it knows ({_short(error)}); see its log"
        ) from None
    return {bytes(node.public_key): node.node_id for node in nodes if node.status != NodeStatus.UNREGISTERED}


def make_equal(control: Control, wanted: dict[str, bytes]) -> tuple[list[str], int]:
    """Register what is missing, unregister what is not wanted.

    Args:
        control: of the SuperLink.
        wanted: public keys in PEM by the node's name.

    Returns:
        Names newly registered, and how many nodes were unregistered.

    Raises:
        SetupError: the SuperLink refuses.
    """
    known = registered(control)
    missing = {name: key for name, key in wanted.items() if key not in known}
    surplus = [node for key, node in known.items() if key not in wanted.values()]
    try:
        for name, key in missing.items():
            control.RegisterNode(RegisterNodeRequest(public_key=key, name=name))
        for node in surplus:
            control.UnregisterNode(UnregisterNodeRequest(node_id=node))
    except (httpx.HTTPError, RuntimeError, ValueError) as error:
        raise SetupError(f"the SuperLink does not take a node's key ({_short(error)}); see its log") from None
    return sorted(missing), len(surplus)


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
