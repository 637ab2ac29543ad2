"""r0, client: make fresh keys for the session one is invited to.

Decides: the keys, and that a client with a place in a roster serves no session that does without. Refuses to know:
who else takes part; that comes in r1.
"""

from secagg.client.states import AwaitingCohort, CarryingKeys, SecretKeys
from secagg.errors import OutOfTurn, Refused
from secagg.messages import Invitation, KeysAdvertised
from secagg.params import SESSION_BYTES, SecAggParams
from secagg.primitives import Entropy
from secagg.signatory import Signatory


def advertise_keys(
    invitation: Invitation, entropy: Entropy, signatory: Signatory | None = None
) -> tuple[AwaitingCohort, KeysAdvertised]:
    """Bonawitz et al., CCS 2017, figure 4, round 0: generate key pairs, send (c_u^PK || s_u^PK), signed.

    Args:
        invitation: to which session.
        entropy: source of the keys.
        signatory: the client's place in the roster, if it has one.

    Raises:
        OutOfTurn: the session identifier is all zero.
        Refused: the session wants signatures of a client that has no place in a roster, or none of one that has.
    """
    identifier = invitation.session.identifier
    check_adversary(invitation.session.params, signatory)
    if identifier == bytes(SESSION_BYTES):
        raise OutOfTurn("the session has no identifier; the server must open a new one")
    state = AwaitingCohort(identifier, SecretKeys.generate(entropy))
    return state, advertised(state, signatory)


def advertised(state: AwaitingCohort | CarryingKeys, signatory: Signatory | None) -> KeysAdvertised:
    """The public halves of fresh keys, signed where the client has a place in a roster."""
    keys = state.keys.public
    return KeysAdvertised(keys, signatory.vouch(keys, state.origin) if signatory else None)


def check_adversary(params: SecAggParams, signatory: Signatory | None) -> None:
    """An active session and a place in a roster go together.

    Raises:
        Refused: one without the other.
    """
    if params.is_active and signatory is None:
        raise Refused(
            "the session is against an active server, and this client has no place in a roster; give its node an "
            "identity key and a roster"
        )
    if signatory is not None and not params.is_active:
        raise Refused(
            "this client goes by a roster and the session does without signatures; run against an active adversary"
        )
