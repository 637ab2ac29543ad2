"""r1, server: collect sealed shares and sort them by recipient.

Decides: who is in U2. Refuses to know: what is sealed.
"""

from secagg.errors import CohortTooSmall, MalformedMessage
from secagg.keys import PublicKeys
from secagg.messages import SharesDelivered, SharesSealed
from secagg.params import Agreement
from secagg.sealed import CIPHERTEXT_BYTES
from secagg.server.collection import Collection
from secagg.server.r2_masked_input import InputCollection
from secagg.server.r3_consistency_check import Members
from secagg.server.r4_unmasking import Dealt


class ShareCollection(Collection):
    """Sealed shares and commitments of the cohort.

    Attributes:
        members: who of the roster the clients are, in an active session.
    """

    def __init__(
        self,
        agreement: Agreement,
        indices: dict[int, int],
        keys: dict[int, PublicKeys],
        members: Members | None = None,
    ) -> None:
        super().__init__(indices)
        self.agreement = agreement
        self.members = members
        self._graph = agreement.graph
        self._keys = keys
        self._dealt: dict[int, Dealt] = {}
        self._sealed: dict[int, dict[int, bytes]] = {index: {} for index in keys}

    def receive(self, client: int, message: SharesSealed) -> None:
        """Take one client's sealed shares.

        Raises:
            OutOfTurn: not due.
            MalformedMessage: the recipients are not exactly its neighbours.
        """
        index = self._check_turn(client)
        if tuple(sorted(message.sealed)) != self._graph.neighbours(index):
            raise MalformedMessage(
                f"client {client} did not share with exactly its neighbours; it is dropped"
            )
        tags = {holder: sealed[CIPHERTEXT_BYTES:] for holder, sealed in message.sealed.items()}
        self._dealt[index] = Dealt(self._keys[index], message.commitment, tags)
        for recipient, sealed in message.sealed.items():
            self._sealed[recipient][index] = sealed
        self._completed(client)

    def close(self) -> tuple[InputCollection, dict[int, SharesDelivered]]:
        """Fix U2; what to send to whom.

        Raises:
            CohortTooSmall: fewer than the session needs survivors.
        """
        self._close()
        least = self.agreement.session.params.min_survivors
        if self.heard < least:
            raise CohortTooSmall("shared keys", self.heard, least)
        sharers = frozenset(self._dealt)
        following = self._only(sharers)
        delivered = {
            client: SharesDelivered(
                self.agreement.session.identifier, self.agreement.advertised, sharers, self._sealed[index]
            )
            for client, index in following.items()
        }
        return InputCollection(self.agreement, following, self._dealt, self.members), delivered
