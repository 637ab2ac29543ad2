"""r0, client: make fresh keys for the session one is invited to.

Decides: nothing but the keys. Refuses to know: who else takes part; that comes in r1.
"""

from secagg.client.states import AwaitingCohort, SecretKeys
from secagg.errors import OutOfTurn
from secagg.messages import Invitation, KeysAdvertised
from secagg.params import SESSION_BYTES
from secagg.primitives import Entropy


def advertise_keys(invitation: Invitation, entropy: Entropy) -> tuple[AwaitingCohort, KeysAdvertised]:
    """Bonawitz et al., CCS 2017, figure 4, round 0: generate key pairs, send (c_u^PK || s_u^PK).

    Raises:
        OutOfTurn: the session identifier is all zero.
    """
    identifier = invitation.session.identifier
    if identifier == bytes(SESSION_BYTES):
        raise OutOfTurn("the session has no identifier; the server must open a new one")
    keys = SecretKeys.generate(entropy)
    return AwaitingCohort(identifier, keys), KeysAdvertised(keys.public)
