"""r2, server: add up masked vectors as they arrive.

Decides: who is in U3. One accumulator, whatever the cohort: memory O(d), not O(n d).
Refuses to know: anything of a vector but its length; under its masks each is uniform.
"""

from arithmetic.packing import add_packed, check_packed
from secagg.errors import CohortTooSmall, ParameterError
from secagg.masks import empty
from secagg.messages import InputMasked, SurvivorsAnnounced, UnmaskingRequested
from secagg.params import Agreement
from secagg.server.collection import Collection
from secagg.server.r3_consistency_check import Members, SignatureCollection
from secagg.server.r4_unmasking import Dealt, ShareRecovery
from secagg.signatory import View


class InputCollection(Collection):
    """The running sum of masked vectors."""

    def __init__(
        self,
        agreement: Agreement,
        indices: dict[int, int],
        dealt: dict[int, Dealt],
        members: Members | None = None,
    ) -> None:
        super().__init__(indices)
        self.agreement = agreement
        self._members = members
        params = agreement.session.params
        self._dealt = dealt
        self._names = {index: client for client, index in indices.items()}
        self._survivors: set[int] = set()
        self._total = empty(params.tensor_length, params.scalar_length, params.modulus_bits)

    def receive(self, client: int, message: InputMasked) -> None:
        """Fold one masked vector in.

        Raises:
            OutOfTurn: not due.
            RangeError: not of the agreed lengths, or bits set behind the last entry. The sum is as it was.
        """
        index = self._check_turn(client)
        params = self.agreement.session.params
        # Both parts are checked before either is added: a vector is in the sum whole or not at all.
        check_packed(message.tensor, params.tensor_length, params.modulus_bits)
        check_packed(message.scalars, params.scalar_length, 64)
        add_packed(self._total.tensor, message.tensor, params.modulus_bits)
        add_packed(self._total.scalars, message.scalars, 64)
        self._survivors.add(index)
        self._completed(client)

    def close(self) -> tuple[ShareRecovery, dict[int, UnmaskingRequested]]:
        """Fix U3, of a curious session; what to send to whom.

        Raises:
            CohortTooSmall: fewer survivors than agreed, or survivors that fall apart into several parts of the
                graph, each of which would show a sum of its own; everything stays masked.
        """
        following, survivors = self._fixed()
        session = self.agreement.session
        request = UnmaskingRequested(session.identifier, self.agreement.advertised, survivors)
        return self._recovery(following), dict.fromkeys(following, request)

    def close_active(self) -> tuple[SignatureCollection, dict[int, SurvivorsAnnounced]]:
        """Fix U3, of an active session; what to send to whom.

        Raises:
            CohortTooSmall: as `close`.
            ParameterError: the session is not an active one.
        """
        if self._members is None:
            raise ParameterError("survivors are signed in a session against an active server only")
        following, survivors = self._fixed()
        session, sharers = self.agreement.session, frozenset(self._dealt)
        view = View(self.agreement.context, self.agreement.advertised, sharers, survivors)
        announced = SurvivorsAnnounced(session.identifier, self.agreement.advertised, survivors)
        collection = SignatureCollection(self._recovery(following), view, self._members)
        return collection, dict.fromkeys(following, announced)

    def _recovery(self, following: dict[int, int]) -> ShareRecovery:
        return ShareRecovery(self.agreement, following, self._dealt, self._total, self._names)

    def _fixed(self) -> tuple[dict[int, int], frozenset[int]]:
        """The survivors, by identifier and by index."""
        self._close()
        least = self.agreement.session.params.min_survivors
        if self.heard < least:
            raise CohortTooSmall("sent a masked input", self.heard, least)
        survivors = frozenset(self._survivors)
        connected = self._connected(survivors)
        if connected < len(survivors):
            raise CohortTooSmall("in one connected part sent a masked input", connected, len(survivors))
        return self._only(survivors), survivors

    def _connected(self, survivors: frozenset[int]) -> int:
        """Survivors that pairwise masks connect to the first one.

        Bell et al., CCS 2020: the graph of the survivors must be connected, or parts of the sum come out alone.
        """
        graph = self.agreement.graph
        if graph.is_complete:
            return len(survivors)
        seen, waiting = set[int](), [min(survivors)]
        while waiting:
            index = waiting.pop()
            if index not in seen:
                seen.add(index)
                waiting += survivors.intersection(graph.neighbours(index)) - seen
        return len(seen)
