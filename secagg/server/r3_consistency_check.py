"""r3, server: collect every survivor's signature on who survived, and show them to all (active sessions).

Decides: who is still heard in r4: whoever signed. The sum stays that over U3.
Refuses to know: shares and masks; the recovery is handed through.
"""

from dataclasses import dataclass

from secagg.errors import CohortTooSmall, NotAuthentic
from secagg.messages import SurvivorsSigned, UnmaskingRequested
from secagg.roster import Roster
from secagg.server.collection import Collection
from secagg.server.r4_unmasking import ShareRecovery
from secagg.signatory import View, is_endorsed


@dataclass(frozen=True)
class Members:
    """Which member of the roster each client of the cohort is, in the order of their indices."""

    roster: Roster
    numbers: tuple[int, ...]


class SignatureCollection(Collection):
    """Signatures of the survivors on one view."""

    def __init__(self, recovery: ShareRecovery, view: View, members: Members) -> None:
        super().__init__(dict(recovery.indices))
        self.agreement = recovery.agreement
        self._recovery = recovery
        self._view = view
        self._members = members
        self._signatures: dict[int, bytes] = {}

    def receive(self, client: int, message: SurvivorsSigned) -> None:
        """Take one survivor's signature.

        Raises:
            OutOfTurn: not due.
            NotAuthentic: it is not its signature on the view that all were sent.
        """
        index = self._check_turn(client)
        number = self._members.numbers[index - 1]
        if not is_endorsed(self._members.roster, number, self._view, message.signature):
            raise NotAuthentic(f"client {client} did not sign who survived; it is dropped")
        self._signatures[index] = message.signature
        self._completed(client)

    def close(self) -> tuple[ShareRecovery, dict[int, UnmaskingRequested]]:
        """Fix who is asked to unmask; what to send to whom.

        Raises:
            CohortTooSmall: fewer signatures than the clients want to see; everything stays masked.
        """
        self._close()
        due = self.agreement.session.params.signatures
        if self.heard < due:
            raise CohortTooSmall("signed who survived", self.heard, due)
        identifier, view = self.agreement.session.identifier, self._view
        request = UnmaskingRequested(identifier, view.size, view.survivors, self._signatures)
        following = self._only(self._signatures)
        self._recovery.ask_only(following)
        return self._recovery, dict.fromkeys(following, request)
