"""Carrying the ring's messages: everybody's keys to everybody, then the sum from hospital to hospital.

Decides: whose answer counts; a member whose answer is missing or wrong dropped. The hospitals check all of it again;
here it is checked so that a faulty member is named before others see its words.
Refuses to know: what is in a hop.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from paillier.errors import HospitalDropped
from paillier.ring.circle import Circle, commitment, joining, revealing
from paillier.ring.holder.states import AwaitingJoins, AwaitingReveals, Circulating
from paillier.ring.messages import HopRequested, HopSealed, Joined, Revealed, RingProposed
from paillier.ring.terms import Terms
from secagg.errors import OutOfTurn
from secagg.primitives import BadKey, check_public_key, is_signed, same
from secagg.roster import Roster


def propose(state: AwaitingJoins, replies: Mapping[int, Joined]) -> tuple[AwaitingReveals, RingProposed]:
    """Show everybody what everybody joined with.

    Args:
        state: consumed.
        replies: member -> what it answered; who did not is left out.

    Raises:
        HospitalDropped: names every member without a valid answer.
    """
    terms, roster = state.terms, state.roster
    _check_all(
        member for member in terms.members if not _has_joined(terms, roster, member, replies.get(member))
    )
    proposed = RingProposed(terms.session, tuple(replies[member] for member in terms.members))
    return AwaitingReveals(terms, roster, proposed), proposed


def circulate(state: AwaitingReveals, replies: Mapping[int, Revealed]) -> tuple[Circulating, HopRequested]:
    """Close the ring: the nonces give the order, and the first hospital is asked.

    Args:
        state: consumed.
        replies: member -> what it answered.

    Raises:
        HospitalDropped: names every member without a valid answer.
    """
    terms, roster, context = state.terms, state.roster, state.proposed.context(state.terms)
    _check_all(
        joined.member
        for joined in state.proposed.joined
        if not _has_revealed(terms, roster, context, joined, replies.get(joined.member))
    )
    circle = Circle.of(terms, context, {member: replies[member].nonce for member in terms.members})
    revealed = tuple(replies[member] for member in terms.members)
    following = Circulating(terms, roster, circle, revealed, position=1, sealed=b"")
    return following, following.request


def pass_on(state: Circulating, reply: HopSealed) -> tuple[Circulating, HopRequested]:
    """Carry one hospital's hop to the next.

    Args:
        state: consumed.
        reply: of the member whose turn it was.

    Raises:
        OutOfTurn: a hop of another session, or one where the sum is due.
    """
    if state.is_last or not same(reply.session, state.terms.session):
        raise OutOfTurn("this hop is not due now; it was dropped")
    following = replace(state, position=state.position + 1, sealed=reply.sealed)
    return following, following.request


def _check_all(dropped: Iterable[int]) -> None:
    named = frozenset(dropped)
    if named:
        raise HospitalDropped(named)


def _has_joined(terms: Terms, roster: Roster, member: int, reply: Joined | None) -> bool:
    if reply is None or reply.member != member:
        return False
    try:
        check_public_key(reply.channel)
    except BadKey:
        return False
    statement = joining(terms, member, reply.channel, reply.commitment)
    return is_signed(roster.member(member).key, statement, reply.signature)


def _has_revealed(
    terms: Terms, roster: Roster, context: bytes, joined: Joined, reply: Revealed | None
) -> bool:
    member = joined.member
    if reply is None or not same(commitment(terms, member, reply.nonce), joined.commitment):
        return False
    return is_signed(roster.member(member).key, revealing(context, member, reply.nonce), reply.signature)
