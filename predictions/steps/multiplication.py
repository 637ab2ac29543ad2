"""Products of two secret values, and their exact or truncated opening.

Decides: with x = m - l and y = n - k, `x y` is `m n - m k - n l + l k`, of which the helper shares l k and each
online server computes the rest with its shares of l and k (masked evaluation: Patra et al., ABY2.0, 2021,
section 3.1). Refuses to know: what is multiplied, and matrices, whose product takes one term less
(`predictions.steps.linear`).
"""

from collections.abc import Generator

from predictions.material import Dealer, Hand, Masked, Masks
from predictions.ring import WIDE, Octets, Words
from predictions.steps import truncation


def prepare(dealer: Dealer, left: Masks, right: Masks) -> None:
    """Deal the material of elementwise products mod 2^64; shapes broadcast."""
    dealer.share_words((left.first + left.second) * (right.first + right.second), WIDE)


def evaluate(hand: Hand, left: Masked, right: Masked) -> Words:
    """This server's share of the elementwise products."""
    public = left.masked * right.masked
    crossed = hand.shared_words(public.shape, WIDE)
    mine: Words = crossed - left.masked * right.share - right.masked * left.share
    return mine + public if hand.first else mine


def prepare_opening(dealer: Dealer, shape: tuple[int, ...]) -> Masks:
    """Masks under which shares are opened mod 2^64."""
    return dealer.words(shape, WIDE)


def opened(hand: Hand, share: Words) -> Generator[bytes, Octets, Masked]:
    """The wire whose shares the servers hold."""
    mask = hand.words(share.shape, WIDE)
    (masked,) = yield from hand.open_words((share + mask, WIDE))
    return Masked(masked, mask)


def prepare_truncation(dealer: Dealer, shape: tuple[int, ...], shift: int, bits: int) -> Masks:
    """Deal the material that truncates shares by `shift` >= 1 bits into 2^bits."""
    own = dealer.words(shape, WIDE)
    return truncation.prepare(dealer, own.first + own.second, shift - 1, bits)


def truncated(hand: Hand, share: Words, shift: int, bits: int) -> Generator[bytes, Octets, Masked]:
    """The wire of `floor(x / 2^shift)` mod 2^bits, at most a unit off, whose shares of x the servers hold."""
    return (yield from truncation.evaluate(hand, share + hand.words(share.shape, WIDE), shift - 1, bits))
