"""r4, client: reveal, for each peer, one share and never both.

Decides: which of its two shares a peer's fate asks for. The request is a set of survivors, so a peer has
one fate; in an active session enough others signed the same set.
Refuses to know: what the server does with the shares.
"""

from secagg.client.r0_advertise_keys import advertised
from secagg.client.r3_consistency_check import check_survivors
from secagg.client.states import AwaitingSignatures, AwaitingSurvivors, CarryingKeys, SecretKeys
from secagg.errors import OutOfTurn, SuspectServer
from secagg.messages import SharesRevealed, UnmaskingRequested
from secagg.primitives import Entropy
from secagg.signatory import Signatory, is_endorsed


def reveal_shares(
    state: AwaitingSurvivors | AwaitingSignatures,
    request: UnmaskingRequested,
    entropy: Entropy,
    signatory: Signatory | None = None,
) -> tuple[CarryingKeys, SharesRevealed]:
    """Figure 4, round 4: shares of b_v for survivors, shares of s_v^SK for the dropped; and keys for the
    next session.

    Args:
        state: consumed; a second request, with whatever list, finds nothing.
        request: who survived r2, and in an active session who signed so.
        entropy: source of the next session's keys.
        signatory: the client's place in the roster, in an active session.

    Raises:
        OutOfTurn, CohortTooSmall: as `check_survivors`; nothing was signed yet in an active session.
        SuspectServer: as `check_survivors`; or others than this client signed, or too few signatures.
    """
    told = state.told if isinstance(state, AwaitingSignatures) else state
    check_survivors(told, request.session, request.size, request.survivors)
    if isinstance(state, AwaitingSignatures) and signatory is not None:
        _check_endorsed(state, request, signatory)
    elif told.params.is_active:
        raise OutOfTurn("this client has not signed who survived; no share was revealed")
    survivors = request.survivors
    carrying = CarryingKeys(told.session, SecretKeys.generate(entropy))
    revealed = SharesRevealed(
        {owner: share for owner, share in told.self_mask.items() if owner in survivors},
        {owner: share for owner, share in told.mask_key.items() if owner not in survivors},
        advertised(carrying, signatory),
    )
    return carrying, revealed


def _check_endorsed(state: AwaitingSignatures, request: UnmaskingRequested, signatory: Signatory) -> None:
    """Figure 4, round 4: "verify that U4 is a subset of U3, |U4| >= t", and every signature on the set one signed."""
    told, due = state.told, state.params.signatures
    if request.survivors != state.survivors:
        raise SuspectServer("these are not the survivors this client signed; no share was revealed")
    if not set(request.signatures) <= request.survivors:
        raise SuspectServer("somebody who did not survive signed who did; no share was revealed")
    view, found = told.view(state.survivors), 0
    for index, signature in request.signatures.items():
        member = told.members[index - 1]
        if member != signatory.number and not is_endorsed(signatory.roster, member, view, signature):
            raise SuspectServer(
                f"member {member} of the roster was told of other survivors, or did not sign; no share was revealed"
            )
        found += 1
    if found < due:
        raise SuspectServer(f"{found} clients signed who survived, {due} are needed; no share was revealed")
