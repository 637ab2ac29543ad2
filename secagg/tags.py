"""Share tags: what an owner binds itself to for each share it deals, so that a false share has one author.

Decides: the tag, and that a holder checks it when its shares open (r2) and the server when they are revealed
(r4). A share that does not give its tag is its holder's lie; shares that all give their tags and yet do not
rebuild the secret are their owner's.
Refuses to know: what is done to whoever lied.

In Bonawitz et al. (CCS 2017) one false share spoils the sum, and verifiable sharing usually costs group
operations. A hash is enough here, since only the server must be convinced, and a share is uniform: its tag says
nothing to whoever holds fewer than t of them.
"""

from enum import StrEnum

from arithmetic.field import to_bytes
from secagg.primitives import digest, same

TAG_BYTES = 16


class ShareKind(StrEnum):
    """Which secret a share is of."""

    MASK_KEY = "mask key"
    SELF_MASK = "self mask"


def tag(share: int, kind: ShareKind, context: bytes, owner: int, holder: int) -> bytes:
    """The tag of one share, 16 bytes."""
    named = owner.to_bytes(8, "big") + holder.to_bytes(8, "big")
    return digest("share tag", context, kind.encode(), named, to_bytes(share))[:TAG_BYTES]


def tag_pair(mask_key: int, self_mask: int, context: bytes, owner: int, holder: int) -> bytes:
    """The tags of both shares that `owner` deals to `holder`, 32 bytes."""
    first = tag(mask_key, ShareKind.MASK_KEY, context, owner, holder)
    return first + tag(self_mask, ShareKind.SELF_MASK, context, owner, holder)


def is_dealt(pair: bytes, share: int, kind: ShareKind, context: bytes, owner: int, holder: int) -> bool:
    """Whether `share` is what `owner` bound itself to with `pair`."""
    due = pair[:TAG_BYTES] if kind is ShareKind.MASK_KEY else pair[TAG_BYTES:]
    return same(due, tag(share, kind, context, owner, holder))
