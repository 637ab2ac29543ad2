"""What a strategy tells about itself while it runs: named events with ids and counts, never a secret.

Decides: the shape of the callback. Refuses to know: where events go (a file, a screen, nowhere).
"""

from typing import Protocol


class Emit(Protocol):
    """Receives one event."""

    def __call__(self, event: str, **fields: object) -> None:
        """Take `event` and its fields."""


def silent(event: str, **fields: object) -> None:
    """An `Emit` that drops everything."""
