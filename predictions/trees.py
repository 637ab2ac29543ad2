"""Shapes of comparisons: in which blocks the bits are compared, and how blocks are put together.

Decides: two trees for every ring. The quick one takes one exchange less, the lean one about half the material; which
is better depends on how many comparisons run side by side, and that is public. Refuses to know: masks.
"""

from dataclasses import dataclass
from functools import cache

_LEAN_WIDTH = 4
_MANY = 1 << 14
_MOST_BLOCKS = 9


@dataclass(frozen=True)
class Tree:
    """How the low bits of a residue are compared, the most significant first.

    Args:
        blocks: runs of (width in bits, how many of them).
        levels: for each exchange after the first look, sizes of the groups that are put together; their sum is the
            number of groups of the level before, and the last level has one group.
    """

    blocks: tuple[tuple[int, int], ...]
    levels: tuple[tuple[int, ...], ...]


def tree_of(bits: int, count: int) -> Tree:
    """The tree for `count` comparisons side by side in 2^bits."""
    return lean(bits) if count >= _MANY else quick(bits)


@cache
def quick(bits: int) -> Tree:
    """All blocks are put together in one exchange, with the least material that this takes."""
    low = bits - 1
    blocks = min(range(1, min(low, _MOST_BLOCKS) + 1), key=lambda blocks: _planes(low, blocks))
    return Tree(_spread(low, blocks), ((blocks,),) if blocks > 1 else ())


@cache
def lean(bits: int) -> Tree:
    """Blocks of four bits, groups of four."""
    groups = -(-(bits - 1) // _LEAN_WIDTH)
    blocks, levels = _spread(bits - 1, groups), []
    while groups > 1:
        together = -(-groups // _LEAN_WIDTH)
        levels.append(tuple(size for size, count in _spread(groups, together) for _ in range(count)))
        groups = together
    return Tree(blocks, tuple(levels))


def _spread(total: int, parts: int) -> tuple[tuple[int, int], ...]:
    """`total` in `parts` as even as can be, as runs of (size, how many)."""
    least, more = divmod(total, parts)
    return tuple((size, count) for size, count in ((least + 1, more), (least, parts - more)) if count)


def _planes(low: int, blocks: int) -> int:
    """Shared bits of a comparison: products of masks within blocks, then among blocks."""
    within = sum(count * ((1 << width) - 1) for width, count in _spread(low, blocks))
    return within + 3 * (1 << (blocks - 1))
