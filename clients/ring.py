"""Flower handlers of the hospitals' ring: one per step, thin shells as `clients.handlers` has them.

Decides: nothing of its own. Refuses to know: what a step does (`clients.ring_steps`, which loads big integers: it is
imported by whoever is in a ring, and by nobody else).
"""

from flwr.app import Context, Message

from clients.handlers import answer
from wire.rounds import RingStep


def roll_call(message: Message, context: Context) -> Message:
    """Say which member of the roster this is."""
    from clients import ring_steps

    return answer(message, context, RingStep.ROLL_CALL, ring_steps.roll_call)


def join(message: Message, context: Context) -> Message:
    """Join a ring, or the one that follows it without those who dropped."""
    from clients import ring_steps

    return answer(message, context, RingStep.JOIN, ring_steps.join)


def reveal(message: Message, context: Context) -> Message:
    """Check the ring that was shown and sign for it; train the model and keep the vector."""
    from clients import ring_steps

    return answer(message, context, RingStep.REVEAL, ring_steps.reveal)


def hop(message: Message, context: Context) -> Message:
    """Add the kept vector to the sum and hand it on."""
    from clients import ring_steps

    return answer(message, context, RingStep.HOP, ring_steps.hop)
