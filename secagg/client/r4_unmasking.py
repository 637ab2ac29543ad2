"""r4, client: reveal, for each peer, one share and never both.

Decides: which of its two shares a peer's fate asks for. The request is a set of survivors, so a peer has
one fate.
Refuses to know: what the server does with the shares.
"""

from secagg.client.states import AwaitingSurvivors, CarryingKeys, SecretKeys
from secagg.errors import CohortTooSmall, OutOfTurn, SuspectServer
from secagg.messages import SharesRevealed, UnmaskingRequested
from secagg.primitives import Entropy, same


def reveal_shares(
    state: AwaitingSurvivors, request: UnmaskingRequested, entropy: Entropy
) -> tuple[CarryingKeys, SharesRevealed]:
    """Figure 4, round 4: shares of b_v for survivors, shares of s_v^SK for the dropped; and keys for the
    next session.

    Args:
        state: consumed; a second request, with whatever list, finds nothing.
        request: who survived r2.
        entropy: source of the next session's keys.

    Raises:
        OutOfTurn: a request of another session.
        SuspectServer: a survivor that never shared keys, or this client named as dropped.
        CohortTooSmall: fewer survivors than agreed; no share leaves.
    """
    if not same(request.session, state.session):
        raise OutOfTurn("this request is of another session; no share was revealed")
    survivors = request.survivors
    if request.size != state.advertised or not survivors <= state.sharers:
        raise SuspectServer("the survivors named are not of those that shared keys; no share was revealed")
    if state.index not in survivors:
        raise SuspectServer("this client is named as dropped; no share was revealed")
    if len(survivors) < state.params.min_survivors:
        raise CohortTooSmall("sent a masked input", len(survivors), state.params.min_survivors)
    close = len(survivors & set(state.self_mask))
    if close < state.params.threshold:
        raise CohortTooSmall("of this neighbourhood sent a masked input", close, state.params.threshold)
    keys = SecretKeys.generate(entropy)
    revealed = SharesRevealed(
        {owner: share for owner, share in state.self_mask.items() if owner in survivors},
        {owner: share for owner, share in state.mask_key.items() if owner not in survivors},
        keys.public,
    )
    return CarryingKeys(state.session, keys), revealed
