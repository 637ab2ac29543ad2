"""From a masked bit and a masked value to their masked product: `y * b`, b in {0, 1}, under a fresh mask.

Decides: with b = B ^ d, B public and d the helper's, `y * b` is `y d` where B = 0 and `y - y d` where B = 1; y d is
`m d - l d` for y = m - l, so shares of d and l d are enough. Within one ring m and the shares of l are words as they
are. From 2^bits to 2^64 the carry is known: y in [0, 2^(bits - 1)) is `m - l + 2^bits l_top (1 - m_top)`, l as an
integer (where l_top = 1 and m_top = 0, m has wrapped, and nowhere else).
Refuses to know: where bits come from (`predictions.steps.comparison`).
"""

from collections.abc import Generator

import numpy as np
import numpy.typing as npt

from predictions.material import Dealer, Hand, Masked, Masks
from predictions.ring import WIDE, Octets, Words, reduced, word

Bits = npt.NDArray[np.uint8]


def prepare_product(dealer: Dealer, masks: Words, hidden: Bits, bits: int) -> Masks:
    """Deal the material of products within one ring.

    Args:
        dealer: of the lot.
        masks: l mod 2^bits, shape (count,).
        hidden: d, shape (count,).
        bits: of the ring.

    Returns:
        Masks of the products.
    """
    choice = hidden.astype(word(bits))
    dealer.share_words(np.stack([choice, choice * masks]), bits)
    return dealer.words(masks.shape, bits)


def product(hand: Hand, chosen: Bits, value: Masked, bits: int) -> tuple[Words, Words]:
    """Shares of the masked product, to be opened, and of its mask.

    Args:
        hand: of this server.
        chosen: B, shape (count,).
        value: y mod 2^bits, shape (count,).
        bits: of the ring.
    """
    choice, mixed = hand.shared_words((2, *value.masked.shape), bits)
    mask = hand.words(value.masked.shape, bits)
    whole = value.masked - value.share if hand.first else -value.share
    return reduced(_either(chosen, whole, value.masked * choice - mixed) + mask, bits), mask


def prepare_wide_product(dealer: Dealer, masks: Words, hidden: Bits, bits: int) -> Masks:
    """Deal the material of products that leave 2^bits for 2^64; arguments as for `prepare_product`."""
    choice = hidden.astype(np.uint64)
    whole = _integer_and_carry(masks, bits)
    dealer.share_words(np.concatenate([choice[np.newaxis], whole, whole * choice]), WIDE)
    return dealer.words(masks.shape, WIDE)


def wide_product(hand: Hand, chosen: Bits, masked: Words, bits: int) -> Generator[bytes, Octets, Masked]:
    """`y * b` mod 2^64 for y mod 2^bits, in [0, 2^(bits - 1)) wherever b = 1.

    Args:
        hand: of this server.
        chosen: B, shape (count,).
        masked: m mod 2^bits, shape (count,).
        bits: of the ring that it leaves.
    """
    choice, integer, carry, mixed, mixed_carry = hand.shared_words((5, *masked.shape), WIDE)
    mask = hand.words(masked.shape, WIDE)
    public = masked.astype(np.uint64)
    kept = _kept(public, bits)
    whole = (carry & kept) - integer
    if hand.first:
        whole += public
    mine = _either(chosen, whole, public * choice - mixed + (mixed_carry & kept)) + mask
    (opened,) = yield from hand.open_words((mine, WIDE))
    return Masked(opened, mask)


def prepare_lift(dealer: Dealer, masks: Words, bits: int) -> Masks:
    """Deal the material that takes any small value to 2^64."""
    dealer.share_words(_integer_and_carry(masks, bits), WIDE)
    return dealer.words(masks.shape, WIDE)


def lift(hand: Hand, masked: Words, bits: int) -> Generator[bytes, Octets, Masked]:
    """A small value y in 2^64, for y mod 2^bits with |y| < 2^(bits - 2): the value is made positive first."""
    offset = 1 << (bits - 2)
    public = reduced(masked + masked.dtype.type(offset), bits).astype(np.uint64)
    integer, carry = hand.shared_words((2, *masked.shape), WIDE)
    mask = hand.words(masked.shape, WIDE)
    mine = (carry & _kept(public, bits)) - integer + mask
    if hand.first:
        mine += public - np.uint64(offset)
    (opened,) = yield from hand.open_words((mine, WIDE))
    return Masked(opened, mask)


def _integer_and_carry(masks: Words, bits: int) -> Words:
    """The mask as an integer, and `2^bits l_top`, shape (2, count)."""
    integer = masks.astype(np.uint64)
    return np.stack([integer, (integer >> np.uint64(bits - 1)) << np.uint64(bits)])


def _kept(public: Words, bits: int) -> Words:
    """All ones where m_top = 0: there a carry counts."""
    return (public >> np.uint64(bits - 1)) - np.uint64(1)


def _either(chosen: Bits, whole: Words, part: Words) -> Words:
    """`part` where `chosen` is 0, `whole - part` where it is 1; without branches, so that it runs in registers."""
    flip = -chosen.astype(part.dtype)
    return ((part ^ flip) - flip) + (whole & flip)
