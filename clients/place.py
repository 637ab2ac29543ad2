"""A client's place: what the node config says of it, and whether it is one of many on one machine.

Decides: that the node's own word wins over the run's, and that a client is simulated only where Flower says so and no
data of the node's own is named.
Refuses to know: what the settings do.
"""

from flwr.app import Context

from secagg.errors import MalformedMessage


def is_simulated(context: Context) -> bool:
    """Whether this is one of many clients in one process tree."""
    return "partition-id" in context.node_config and not context.node_config.get("data-path")


def partition_of(context: Context) -> tuple[int, int]:
    """Partition id and count; a node that says nothing holds all of its own data.

    Raises:
        MalformedMessage: what the node config says is no whole number.
    """
    found = [
        context.node_config.get(key, default) for key, default in (("partition-id", 0), ("num-partitions", 1))
    ]
    if not all(type(value) is int for value in found):
        raise MalformedMessage("partition-id and num-partitions in the node config are whole numbers")
    return int(found[0]), int(found[1])


def text_of(context: Context, key: str) -> str:
    """A text setting; the node's own wins over the run's."""
    value = context.node_config.get(key) or context.run_config.get(key, "")
    return value if isinstance(value, str) else ""
