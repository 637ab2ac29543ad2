"""Between our own server's Flower records and named arrays.

Decides: nothing of the protocol. These records are made on this server; a peer's bytes go through `wire.records`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from numpy.typing import NDArray

from strategies.errors import StrategyNotSupported


def one_request(messages: list[Message], arrays: ArrayRecord) -> tuple[list[int], ConfigRecord]:
    """The nodes the inner strategy chose, and the one configuration it wants them to have.

    Raises:
        StrategyNotSupported: it asks nobody, or does not treat the cohort alike.
    """
    if not messages:
        raise StrategyNotSupported(
            "the inner strategy asks nobody to train; give it a fraction_train above 0"
        )
    configs = [list(message.content.config_records.values()) for message in messages]
    models = [list(message.content.array_records.values()) for message in messages]
    if any(found != configs[0] for found in configs) or any(found != [arrays] for found in models):
        raise StrategyNotSupported(
            "the inner strategy gives clients models or configurations of their own, which cannot share one "
            "sum; use one that treats the cohort alike"
        )
    nodes = [message.metadata.dst_node_id for message in messages]
    return nodes, configs[0][0] if configs[0] else ConfigRecord()


def ndarrays_of(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """Arrays by name."""
    return {name: array.numpy() for name, array in record.items()}


def record_of(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """The inverse of `ndarrays_of`."""
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def number_of(value: object) -> float | None:
    """A metric as a float, if it is one number."""
    return float(value) if isinstance(value, int | float) else None
