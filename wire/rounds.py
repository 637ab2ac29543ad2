"""Protocol rounds and the Flower actions that carry them.

Decides: the names. Flower routes a message to the handler of its action, so no stage strings are parsed
anywhere.
Refuses to know: what a round does.
"""

from enum import StrEnum


class ProtocolRound(StrEnum):
    """A step of secure aggregation; r3 is taken against an active server alone."""

    ADVERTISE_KEYS = "r0"
    SHARE_KEYS = "r1"
    MASKED_INPUT = "r2"
    CONSISTENCY_CHECK = "r3"
    UNMASKING = "r4"

    @property
    def action(self) -> str:
        """The Flower action, `share_keys` for r1."""
        return self.name.lower()

    @property
    def message_type(self) -> str:
        """The Flower message type, `train.share_keys` for r1."""
        return f"train.{self.action}"


class RingStep(StrEnum):
    """A step of the hospitals' ring; `hop` is asked of one hospital after the other."""

    ROLL_CALL = "roll call"
    JOIN = "join"
    REVEAL = "reveal"
    HOP = "hop"

    @property
    def action(self) -> str:
        """The Flower action, `ring_join`."""
        return f"ring_{self.name.lower()}"

    @property
    def message_type(self) -> str:
        """The Flower message type, `train.ring_join`."""
        return f"train.{self.action}"


Trip = ProtocolRound | RingStep


class Purpose(StrEnum):
    """What a session sums: updates and metrics, metrics alone, or what was asked of the rows of a table."""

    TRAINING = "training"
    EVALUATION = "evaluation"
    ANALYTICS = "analytics"
