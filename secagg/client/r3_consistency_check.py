"""r3, client: sign who survived, once, so that nobody can be told otherwise (active sessions).

Decides: whether these can be the survivors. Refuses to know: what the others were told; r4 shows their signatures.
"""

from secagg.client.states import AwaitingSignatures, AwaitingSurvivors
from secagg.errors import CohortTooSmall, OutOfTurn, SuspectServer
from secagg.messages import SurvivorsAnnounced, SurvivorsSigned
from secagg.primitives import same
from secagg.signatory import Signatory


def sign_survivors(
    state: AwaitingSurvivors, announced: SurvivorsAnnounced, signatory: Signatory
) -> tuple[AwaitingSignatures, SurvivorsSigned]:
    """Bonawitz et al., CCS 2017, figure 4, round 3: sign U3; ours binds model and configuration by the context.

    Args:
        state: consumed; a second announcement, with whatever list, finds nothing.
        announced: who survived r2.
        signatory: the client's place in the roster.

    Raises:
        OutOfTurn, SuspectServer, CohortTooSmall: as `check_survivors`.
    """
    check_survivors(state, announced.session, announced.size, announced.survivors)
    view = state.view(announced.survivors)
    return AwaitingSignatures(state, announced.survivors), SurvivorsSigned(signatory.endorse(view))


def check_survivors(state: AwaitingSurvivors, session: bytes, size: int, survivors: frozenset[int]) -> None:
    """Whether an honest server could name these survivors to this client.

    Raises:
        OutOfTurn: a request of another session.
        SuspectServer: a survivor that never shared keys, or this client named as dropped.
        CohortTooSmall: fewer survivors than agreed.
    """
    if not same(session, state.session):
        raise OutOfTurn("this request is of another session; no share was revealed")
    if size != state.advertised or not survivors <= state.sharers:
        raise SuspectServer("the survivors named are not of those that shared keys; no share was revealed")
    if state.index not in survivors:
        raise SuspectServer("this client is named as dropped; no share was revealed")
    if len(survivors) < state.params.min_survivors:
        raise CohortTooSmall("sent a masked input", len(survivors), state.params.min_survivors)
    close = len(survivors & set(state.self_mask))
    if close < state.params.threshold:
        raise CohortTooSmall("of this neighbourhood sent a masked input", close, state.params.threshold)
