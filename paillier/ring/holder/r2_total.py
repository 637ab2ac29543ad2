"""Opening the total, the only thing that the private key is used on.

Decides: that the last hospital handed it over for this ring. Refuses to know: what the numbers mean.
"""

from paillier.ciphertext import decrypt
from paillier.errors import ForeignKey
from paillier.keys import PrivateKey
from paillier.ring.holder.states import Circulating
from paillier.ring.messages import SumHanded, sums_bytes
from secagg.errors import NotAuthentic, OutOfTurn
from secagg.primitives import is_signed, same


def finish(state: Circulating, reply: SumHanded, private: PrivateKey) -> list[float]:
    """The sum of all hospitals' vectors as floats; raises as `finish_exactly`."""
    return state.terms.packing.reals(finish_exactly(state, reply, private))


def finish_exactly(state: Circulating, reply: SumHanded, private: PrivateKey) -> list[int]:
    """The sum of all hospitals' vectors in multiples of 2^-fraction_bits.

    Args:
        state: consumed.
        reply: of the last hospital.
        private: the key behind the terms' public key.

    Raises:
        OutOfTurn: a sum of another session, or before its turn.
        ForeignKey: the private key is of another pair.
        NotAuthentic: not signed by the last hospital for this ring.
        RangeError: no sum of so many vectors within the bound; no number of it is given out.
    """
    terms, circle = state.terms, state.circle
    if not state.is_last or not same(reply.session, terms.session):
        raise OutOfTurn("this sum is not due now; it was dropped")
    if private.public.digest != terms.public.digest:
        raise ForeignKey("the private key is not that of the ring's public key; nothing was decrypted")
    statement = circle.handing(sums_bytes(terms, reply.sums))
    if not is_signed(state.roster.member(state.turn).key, statement, reply.signature):
        raise NotAuthentic(
            f"the sum is not signed by member {state.turn} of the roster, the last of this ring; it was dropped"
        )
    return terms.packing.levels([decrypt(private, each) for each in reply.sums])
