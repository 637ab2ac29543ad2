"""One's turn: open the predecessor's hop, add one's own vector, seal the sum to the next, or hand over the total.

Decides: whether this is the ring that all members signed, one's own place in it, and that what came is the
predecessor's sum of exactly those before. Only then is the vector encrypted.
Refuses to know: what the vector means, and the sum.
"""

from collections.abc import Sequence

from paillier.ciphertext import Ciphertext, add_plain, encrypt
from paillier.errors import BrokenHop
from paillier.randomisers import Randomiser
from paillier.ring.circle import Circle, commitment, revealing
from paillier.ring.hospital.states import AwaitingHop, HandedOn
from paillier.ring.messages import HopRequested, HopSealed, PartialSum, SumHanded, sums_bytes
from secagg.errors import MalformedMessage, NotAuthentic, OutOfTurn, SuspectServer
from secagg.primitives import BadCiphertext, is_signed, same, seal, unseal
from secagg.signatory import Signatory


def hand_on(
    state: AwaitingHop,
    request: HopRequested,
    values: Sequence[float],
    randomiser: Randomiser,
    signatory: Signatory,
) -> tuple[HandedOn, HopSealed | SumHanded]:
    """Add one's vector and hand the sum on; the last hands it to the key holder.

    Args:
        state: consumed.
        request: all nonces, and the predecessor's hop.
        values: this hospital's vector, of the packing's length, each within its bound.
        randomiser: under the terms' public key.
        signatory: this hospital's place in the roster.

    Raises:
        OutOfTurn: another session.
        SuspectServer: nonces that are not those committed to, or a hop where none is due, or none where one is.
        NotAuthentic: a nonce that its member did not sign for this ring.
        BrokenHop: what came does not open as the predecessor's sum for this place.
        InvalidCiphertext: the predecessor sealed a number that is no ciphertext.
        RangeError: the vector cannot be encoded; nothing was sent.
    """
    terms = state.terms
    if not same(request.session, terms.session):
        raise OutOfTurn("the hop is of another session; the key holder must invite again")
    circle = _closed(state, request, signatory)
    position = circle.position(state.member)
    before = _opened(state, circle, request.sealed, position)
    plaintexts = terms.packing.pack(values)
    if before:
        pairs = zip(before, plaintexts, strict=True)
        sums = tuple(add_plain(terms.public, each, plaintext, randomiser) for each, plaintext in pairs)
    else:
        sums = tuple(encrypt(terms.public, plaintext, randomiser) for plaintext in plaintexts)
    return HandedOn(terms), _handed(state, circle, position, sums, signatory)


def _closed(state: AwaitingHop, request: HopRequested, signatory: Signatory) -> Circle:
    """The order, once every nonce is the one committed to and every member signed for the same ring."""
    terms, context = state.terms, state.proposed.context(state.terms)
    if len(request.revealed) != len(terms.members):
        raise SuspectServer("a hop comes with the nonces of all members of the ring; nothing was added")
    nonces = {}
    for joined, revealed in zip(state.proposed.joined, request.revealed, strict=True):
        member = joined.member
        if not same(commitment(terms, member, revealed.nonce), joined.commitment):
            raise SuspectServer(
                f"the nonce of member {member} is not the one it committed to; nothing was added"
            )
        key = signatory.roster.member(member).key
        if not is_signed(key, revealing(context, member, revealed.nonce), revealed.signature):
            raise NotAuthentic(f"member {member} of the roster did not sign for this ring; nothing was added")
        nonces[member] = revealed.nonce
    return Circle.of(terms, context, nonces)


def _opened(state: AwaitingHop, circle: Circle, sealed: bytes, position: int) -> tuple[Ciphertext, ...]:
    """The predecessor's sum; nothing for the first."""
    if (position == 1) != (not sealed):
        raise SuspectServer(
            f"this hospital is number {position} in the ring: the first starts a sum and all others go on with one; "
            "nothing was added"
        )
    if position == 1:
        return ()
    public = _channels(state)[circle.order[position - 2]]
    key = circle.key(state.channel.private, public, position - 1)
    try:
        partial = PartialSum.from_bytes(unseal(key, sealed, circle.label(position - 1)), state.terms)
    except (BadCiphertext, MalformedMessage) as error:
        raise BrokenHop(
            "what came is not the sum that the hospital before sealed for this one; start the ring again"
        ) from error
    if partial.count != position - 1:
        raise BrokenHop(
            f"the sum holds {partial.count} vectors and {position - 1} were due; start the ring again"
        )
    return partial.sums


def _handed(
    state: AwaitingHop, circle: Circle, position: int, sums: tuple[Ciphertext, ...], signatory: Signatory
) -> HopSealed | SumHanded:
    terms = state.terms
    if position == circle.size:
        signature = signatory.key.sign(circle.handing(sums_bytes(terms, sums)))
        return SumHanded(terms.session, sums, signature)
    key = circle.key(state.channel.private, _channels(state)[circle.order[position]], position)
    plaintext = PartialSum(position, sums).to_bytes(terms)
    return HopSealed(terms.session, seal(key, plaintext, circle.label(position)))


def _channels(state: AwaitingHop) -> dict[int, bytes]:
    """Member -> X25519 public key."""
    return {each.member: each.channel for each in state.proposed.joined}
