"""r2, server: add up masked vectors as they arrive.

Decides: who is in U3. One accumulator, whatever the cohort: memory O(d), not O(n d).
Refuses to know: anything of a vector but its length; under its masks each is uniform.
"""

from arithmetic.residues import unpack
from secagg.errors import CohortTooSmall
from secagg.masks import empty
from secagg.messages import InputMasked, PublicKeys, UnmaskingRequested
from secagg.params import Agreement
from secagg.server.collection import Collection
from secagg.server.r4_unmasking import ShareRecovery


class InputCollection(Collection):
    """The running sum of masked vectors."""

    def __init__(
        self,
        agreement: Agreement,
        indices: dict[int, int],
        keys: dict[int, PublicKeys],
        commitments: dict[int, bytes],
    ) -> None:
        super().__init__(indices)
        self.agreement = agreement
        params = agreement.session.params
        self._keys = keys
        self._commitments = commitments
        self._survivors: set[int] = set()
        self._total = empty(params.tensor_length, params.scalar_length, params.modulus_bits)

    def receive(self, client: int, message: InputMasked) -> None:
        """Fold one masked vector in.

        Raises:
            OutOfTurn: not due; the sum is as it was.
        """
        index = self._check_turn(client)
        params = self.agreement.session.params
        self._total.tensor += unpack(message.tensor, params.tensor_length, params.modulus_bits)
        self._total.scalars += unpack(message.scalars, params.scalar_length, 64)
        self._survivors.add(index)
        self._completed(client)

    def close(self) -> tuple[ShareRecovery, dict[int, UnmaskingRequested]]:
        """Fix U3; what to send to whom.

        Raises:
            CohortTooSmall: fewer survivors than agreed; the sum stays masked.
        """
        self._close()
        least = self.agreement.session.params.min_survivors
        if self.heard < least:
            raise CohortTooSmall("sent a masked input", self.heard, least)
        survivors = frozenset(self._survivors)
        following = self._only(survivors)
        request = UnmaskingRequested(self.agreement.advertised, survivors)
        recovery = ShareRecovery(self.agreement, following, self._keys, self._commitments, self._total)
        return recovery, dict.fromkeys(following, request)
