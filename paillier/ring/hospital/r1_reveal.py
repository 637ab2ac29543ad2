"""Revealing one's nonce, once every member has committed to its own.

Decides: whether the proposal is a ring of the members of the terms, each with a key it signed for them.
Refuses to know: the order, which follows from nonces that are not known yet.
"""

from paillier.ring.circle import joining, revealing
from paillier.ring.hospital.states import AwaitingHop, AwaitingRing
from paillier.ring.messages import Revealed, RingProposed
from secagg.errors import Misbehaviour, NotAuthentic, OutOfTurn, SuspectServer
from secagg.primitives import BadKey, check_public_key, is_signed, same
from secagg.signatory import Signatory


def reveal(state: AwaitingRing, proposed: RingProposed, signatory: Signatory) -> tuple[AwaitingHop, Revealed]:
    """Check the ring one was shown, then open the commitment and sign for all of it.

    Args:
        state: consumed.
        proposed: everybody's keys and commitments, as the key holder shows them.
        signatory: this hospital's place in the roster.

    Raises:
        OutOfTurn: another session.
        SuspectServer: not the members of the terms, one's own part altered, or a key or commitment shown twice.
        NotAuthentic: a key that its member did not sign for these terms.
        Misbehaviour: a member's key has low order.
    """
    terms, joined = state.terms, proposed.joined
    if not same(proposed.session, terms.session):
        raise OutOfTurn("the proposed ring is of another session; the key holder must invite again")
    if tuple(each.member for each in joined) != terms.members or state.joined not in joined:
        raise SuspectServer(
            "the proposed ring is not of the members that were invited, or shows this hospital altered; "
            "nothing was added"
        )
    for parts in ([each.channel for each in joined], [each.commitment for each in joined]):
        if len(set(parts)) < len(parts):
            raise SuspectServer("two members of the ring are shown with the same key or commitment")
    for each in joined:
        statement = joining(terms, each.member, each.channel, each.commitment)
        if not is_signed(signatory.roster.member(each.member).key, statement, each.signature):
            raise NotAuthentic(
                f"the key shown for member {each.member} of the roster is not signed by it for this ring"
            )
        try:
            check_public_key(each.channel)
        except BadKey as error:
            raise Misbehaviour(each.member, f"member {each.member}: {error}; nothing was added") from error
    statement = revealing(proposed.context(terms), signatory.number, state.nonce)
    following = AwaitingHop(terms, signatory.number, state.channel, proposed)
    return following, Revealed(state.nonce, signatory.key.sign(statement))
