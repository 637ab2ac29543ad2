"""r1, server: collect sealed shares and sort them by recipient.

Decides: who is in U2. Refuses to know: what is sealed.
"""

from secagg.errors import CohortTooSmall, MalformedMessage
from secagg.messages import PublicKeys, SharesDelivered, SharesSealed
from secagg.params import Agreement
from secagg.server.collection import Collection
from secagg.server.r2_masked_input import InputCollection


class ShareCollection(Collection):
    """Sealed shares and commitments of the cohort."""

    def __init__(self, agreement: Agreement, indices: dict[int, int], keys: dict[int, PublicKeys]) -> None:
        super().__init__(indices)
        self.agreement = agreement
        self._graph = agreement.graph
        self._keys = keys
        self._commitments: dict[int, bytes] = {}
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
        self._commitments[index] = message.commitment
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
        sharers = frozenset(self._commitments)
        following = self._only(sharers)
        delivered = {
            client: SharesDelivered(self.agreement.advertised, sharers, self._sealed[index])
            for client, index in following.items()
        }
        keys = {index: self._keys[index] for index in sharers}
        return InputCollection(self.agreement, following, keys, self._commitments), delivered
