"""Memory of a server's process: what was freed is kept for the next batch.

Decides: glibc's malloc neither maps large arrays one by one nor gives memory back between batches. Otherwise the
kernel clears some hundred megabytes of fresh pages for every large batch, a quarter of all work. Where there is no
glibc nothing changes. Refuses to know: what the memory is for.
"""

import ctypes
from typing import Final

# malloc.h of glibc: parameters of mallopt, and the most that it takes for the second.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MOST_MAPPED: Final = 32 << 20
_NEVER: Final = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keep freed memory, for the life of this process; whether the C library could be told so."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    settings = ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _MOST_MAPPED), (_M_TRIM_THRESHOLD, _NEVER))
    return all([mallopt(name, value) == 1 for name, value in settings])
