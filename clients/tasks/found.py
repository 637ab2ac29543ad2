"""What a trial of a task found, in words a user reads.

Decides: how a batch and a task are described. Refuses to know what was tried (`clients.tasks.trial`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Found:
    """What a trial came upon.

    Attributes:
        parameters: numbers that are trained.
        training, validation: examples of the client tried.
        batch: shapes and dtypes of a batch, for people.
        remarks: what is no fault, and may not be meant.
    """

    parameters: int
    training: int
    validation: int
    batch: str
    remarks: tuple[str, ...]

    @property
    def line(self) -> str:
        """All of it in one line."""
        parts = (
            f"{self.parameters} parameters",
            f"client 0 has {self.training} examples and {self.validation} to judge by",
            f"a batch is {self.batch}",
            *self.remarks,
        )
        return "; ".join(parts)


def shown(batch: Any) -> str:  # noqa: ANN401 - a batch is the task's own
    """Shapes and dtypes of a batch."""
    return " and ".join(
        f"{str(leaf.dtype).removeprefix('torch.')} {tuple(leaf.shape)}"
        if isinstance(leaf, torch.Tensor)
        else type(leaf).__name__
        for leaf in leaves(batch)
    )


def leaves(batch: Any) -> Iterator[Any]:  # noqa: ANN401 - a batch is the task's own
    """All that a batch holds, however it is nested."""
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, list | tuple):
        for part in batch:
            yield from leaves(part)
    else:
        yield batch
