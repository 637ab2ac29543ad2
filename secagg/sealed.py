"""Sealed shares on the wire: the same block in what a client sends in r1 and in what it is sent in r2.

Decides: its bytes. Refuses to know: what is sealed, and by whom.
"""

from arithmetic.field import ELEMENT_BYTES
from secagg.encoding import Reader, Writer
from secagg.graph import MOST_CLIENTS
from secagg.primitives import TAG_BYTES
from secagg.tags import TAG_BYTES as SHARE_TAG_BYTES

CIPHERTEXT_BYTES = 2 * ELEMENT_BYTES + TAG_BYTES
# Ciphertext of two shares, then the tags that bind their owner to them (`tags.tag_pair`).
SEALED_BYTES = CIPHERTEXT_BYTES + 2 * SHARE_TAG_BYTES


def write_sealed(writer: Writer, sealed: dict[int, bytes]) -> Writer:
    """Append a count, then each recipient's or sender's index and block, ascending."""
    writer.number(len(sealed), 4)
    for index, ciphertext in sorted(sealed.items()):
        writer.number(index, 4).raw(ciphertext)
    return writer


def read_sealed(reader: Reader) -> dict[int, bytes]:
    """The next block; raises MalformedMessage unless the indices ascend."""
    sealed: dict[int, bytes] = {}
    least = 1
    for _ in range(reader.number(4, most=MOST_CLIENTS)):
        index = reader.number(4, least, MOST_CLIENTS)
        sealed[index] = reader.raw(SEALED_BYTES)
        least = index + 1
    return sealed
