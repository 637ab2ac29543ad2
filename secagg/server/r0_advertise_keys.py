"""r0, server: collect public keys, fix the cohort and its graph.

Decides: who is in U1 and under which index. A key that could not serve is dropped here, before anyone is
shown it.
Refuses to know: whether a key came with this session's r0 or rode on the r4 of an earlier one.
"""

from collections.abc import Iterable

from secagg.errors import CohortTooSmall, Misbehaviour, ParameterError
from secagg.keys import PublicKeys, cohort_digest
from secagg.messages import CohortAnnounced, Invitation
from secagg.params import Agreement, Session
from secagg.primitives import BadKey, check_public_key
from secagg.server.collection import Collection
from secagg.server.r1_share_keys import ShareCollection


class KeyCollection(Collection):
    """Public keys of the clients that were invited.

    Raises:
        ParameterError: more of them than the session's parameters leave headroom for.
    """

    def __init__(self, session: Session, invited: Iterable[int]) -> None:
        super().__init__({client: client for client in invited})
        if len(self.indices) > session.params.cohort:
            raise ParameterError(
                f"{len(self.indices)} clients are invited, the parameters are for {session.params.cohort}; make "
                "parameters for the larger cohort"
            )
        self.session = session
        self._keys: dict[int, PublicKeys] = {}
        self._known: set[bytes] = set()

    @property
    def invitation(self) -> Invitation:
        """What to send to every client whose keys are not at hand."""
        return Invitation(self.session)

    def receive(self, client: int, keys: PublicKeys) -> None:
        """Take one client's keys.

        Raises:
            OutOfTurn: not due.
            Misbehaviour: a key of low order, not canonical, or already advertised in this session.
        """
        self._check_turn(client)
        for key in (keys.mask, keys.channel):
            try:
                check_public_key(key)
            except BadKey as error:
                raise Misbehaviour(client, f"client {client}: {error}; it is not in the cohort") from error
        if keys.mask == keys.channel or {keys.mask, keys.channel} & self._known:
            raise Misbehaviour(client, f"client {client} advertised a key twice; it is not in the cohort")
        self._known |= {keys.mask, keys.channel}
        self._keys[client] = keys
        self._completed(client)

    def close(
        self, model_digest: bytes, config_digest: bytes
    ) -> tuple[ShareCollection, dict[int, CohortAnnounced]]:
        """Fix the cohort; what to send to whom.

        Raises:
            CohortTooSmall: fewer keys than the session needs survivors.
        """
        self._close()
        params = self.session.params
        least = max(params.min_survivors, params.threshold)
        if self.heard < least:
            raise CohortTooSmall("advertised keys", self.heard, least)
        indices = {client: at for at, client in enumerate(sorted(self._keys), start=1)}
        keys = {indices[client]: pair for client, pair in self._keys.items()}
        shown = cohort_digest(keys)
        agreement = Agreement(self.session, len(keys), shown, model_digest, config_digest)
        graph, announced = agreement.graph, {}
        for client, index in indices.items():
            visible = {peer: keys[peer] for peer in sorted([index, *graph.neighbours(index)])}
            announced[client] = CohortAnnounced(self.session, len(keys), shown, visible)
        return ShareCollection(agreement, indices, keys), announced
