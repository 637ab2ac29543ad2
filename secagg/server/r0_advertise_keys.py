"""r0, server: collect public keys, fix the cohort and its graph.

Decides: who is in U1 and under which index. A key that could not serve, or that in an active session no member of
the roster vouches for, is dropped here, before anyone is shown it.
Refuses to know: how a key came; with this session's r0, or ahead with the r4 of the one before.
"""

from collections.abc import Iterable

from secagg.errors import CohortTooSmall, Misbehaviour, NotAuthentic, ParameterError
from secagg.keys import PublicKeys, cohort_digest
from secagg.messages import CohortAnnounced, Invitation, KeysAdvertised, Vouched
from secagg.params import Agreement, Session
from secagg.primitives import BadKey, check_public_key
from secagg.roster import Roster
from secagg.server.collection import Collection
from secagg.server.r1_share_keys import ShareCollection
from secagg.server.r3_consistency_check import Members
from secagg.signatory import Credential, Origin, check_vouched, standing


class KeyCollection(Collection):
    """Public keys of the clients that were invited.

    Attributes:
        roster: of an active session.

    Args:
        session: which one.
        invited: the clients' identifiers.
        roster: in an active session, and only there.
        ahead: identifier of the finished session with which everybody sent its keys ahead; empty where they come
            with this session's r0.

    Raises:
        ParameterError: more clients than the session's parameters leave headroom for; or no roster where one is due.
    """

    def __init__(
        self, session: Session, invited: Iterable[int], roster: Roster | None = None, ahead: bytes = b""
    ) -> None:
        super().__init__({client: client for client in invited})
        if session.params.is_active != (roster is not None):
            raise ParameterError(
                "a session against an active server has a roster, and no other; give or leave it out"
            )
        if len(self.indices) > session.params.cohort:
            raise ParameterError(
                f"{len(self.indices)} clients are invited, the parameters are for {session.params.cohort}; make "
                "parameters for the larger cohort"
            )
        self.session = session
        self.roster = roster
        self._origin = Origin(ahead or session.identifier, bool(ahead))
        self._keys: dict[int, PublicKeys] = {}
        self._credentials: dict[int, Credential] = {}
        self._seen: set[int] = set()
        self._known: set[bytes] = set()

    @property
    def invitation(self) -> Invitation:
        """What to send to every client whose keys are not at hand."""
        return Invitation(self.session)

    def receive(self, client: int, message: KeysAdvertised) -> None:
        """Take one client's keys.

        Raises:
            OutOfTurn: not due.
            Misbehaviour: a key of low order, not canonical, or already advertised in this session.
            NotAuthentic: no member of the roster vouches for them, or one that is in the cohort already.
        """
        self._check_turn(client)
        keys = message.keys
        for key in (keys.mask, keys.channel):
            try:
                check_public_key(key)
            except BadKey as error:
                raise Misbehaviour(client, f"client {client}: {error}; it is not in the cohort") from error
        if keys.mask == keys.channel or {keys.mask, keys.channel} & self._known:
            raise Misbehaviour(client, f"client {client} advertised a key twice; it is not in the cohort")
        if self.roster:
            self._check_member(client, message, self.roster)
        self._known |= {keys.mask, keys.channel}
        self._keys[client] = keys
        self._completed(client)

    def _check_member(self, client: int, message: KeysAdvertised, roster: Roster) -> None:
        """Roster members only, each once."""
        credential = message.credential
        if credential is None:
            raise NotAuthentic(
                f"client {client} did not sign its keys; give its node an identity key and the roster"
            )
        check_vouched(roster, message.keys, credential, self._origin)
        if credential.member in self._seen:
            raise NotAuthentic(
                f"client {client} is member {credential.member} of the roster, who is here already"
            )
        self._credentials[client] = credential
        self._seen.add(credential.member)

    def close(
        self, model_digest: bytes, config_digest: bytes
    ) -> tuple[ShareCollection, dict[int, CohortAnnounced]]:
        """Fix the cohort; what to send to whom.

        Raises:
            CohortTooSmall: fewer keys than the session needs survivors.
        """
        self._close()
        least = self.session.params.least_advertised
        if self.heard < least:
            raise CohortTooSmall("advertised keys", self.heard, least)
        indices = {client: at for at, client in enumerate(sorted(self._keys), start=1)}
        keys = {indices[client]: pair for client, pair in self._keys.items()}
        shown, members = (
            cohort_digest(keys),
            [self._credentials[each].member for each in indices if self.roster],
        )
        stand = standing(self.roster.digest, members) if self.roster else b""
        agreement = Agreement(self.session, len(keys), shown, model_digest, config_digest, stand)
        graph, announced = agreement.graph, {}
        signatures = {indices[each]: credential.signature for each, credential in self._credentials.items()}
        vouched = Vouched(self.roster.digest, tuple(members), signatures) if self.roster else None
        for client, index in indices.items():
            # Against an active server everybody checks that all that is signed later is of these very keys.
            visible = keys if vouched else {p: keys[p] for p in sorted([index, *graph.neighbours(index)])}
            announced[client] = CohortAnnounced(self.session, len(keys), shown, visible, vouched)
        people = Members(self.roster, tuple(members)) if self.roster else None
        return ShareCollection(agreement, indices, keys, people), announced
