"""What the key holder keeps between two messages: one frozen type a moment, nothing secret among it.

Decides: whom it waits for. Refuses to know: the private key, until the sum is handed over.
"""

from dataclasses import dataclass

from paillier.ring.circle import Circle
from paillier.ring.messages import HopRequested, Revealed, RingProposed
from paillier.ring.terms import Terms
from secagg.roster import Roster


@dataclass(frozen=True)
class AwaitingJoins:
    """Everybody was invited."""

    terms: Terms
    roster: Roster


@dataclass(frozen=True)
class AwaitingReveals:
    """Everybody was shown the same proposal."""

    terms: Terms
    roster: Roster
    proposed: RingProposed


@dataclass(frozen=True)
class Circulating:
    """The sum is with the hospital at `position`.

    Attributes:
        circle: the order.
        revealed: everybody's nonce and signature, in ascending order of members.
        sealed: what goes to that hospital; empty for the first.
    """

    terms: Terms
    roster: Roster
    circle: Circle
    revealed: tuple[Revealed, ...]
    position: int
    sealed: bytes

    @property
    def turn(self) -> int:
        """The member whose answer is due."""
        return self.circle.order[self.position - 1]

    @property
    def is_last(self) -> bool:
        """Whether that answer is the sum."""
        return self.position == self.circle.size

    @property
    def request(self) -> HopRequested:
        """What that member is sent."""
        return HopRequested(self.terms.session, self.revealed, self.sealed)


Waiting = AwaitingJoins | AwaitingReveals | Circulating
