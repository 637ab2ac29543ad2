"""JSON lines of which each carries a digest of all before it. Decides what parses; knows no files, no privacy.

A line is one JSON object in one canonical spelling, `chain` among its keys: the SHA-256 of the chain of the line
before and of the object without it. A torn, edited, missing or repeated line does not follow from the one before.
The digest has no key: it catches accidents and careless edits, not somebody who writes the file anew.
"""

import hashlib
import json
from collections.abc import Mapping

from privacy.errors import LedgerDamaged

START = ""
_CHAIN = "chain"


def line_of(entry: Mapping[str, object], chain: str) -> tuple[bytes, str]:
    """The line of an entry that follows `chain` (`START` before the first), and the chain after it."""
    after = hashlib.sha256(chain.encode() + _canonical(entry)).hexdigest()
    return _canonical({**entry, _CHAIN: after}) + b"\n", after


def entries_of(data: bytes) -> tuple[list[dict[str, object]], str]:
    """All entries, and the chain after the last.

    Raises:
        LedgerDamaged: something is not a whole line, or does not follow from the line before.
    """
    lines = data.split(b"\n")
    torn = lines.pop()
    entries, chain = [], START
    for number, line in enumerate(lines, start=1):
        entry, chain = entry_of(line, chain, number)
        entries.append(entry)
    if torn:
        raise LedgerDamaged(
            f"its last line is torn: {len(torn)} bytes without an end; if the machine lost power while it was "
            f"written, nothing was released for it: keep a copy, then cut the file to {len(data) - len(torn)} bytes"
        )
    return entries, chain


def entry_of(line: bytes, chain: str, number: int) -> tuple[dict[str, object], str]:
    """One entry and the chain after it, if the line is what `line_of` writes after `chain`.

    Args:
        line: without its end.
        chain: of the line before, `START` for the first.
        number: of the line, from 1, for the error.

    Raises:
        LedgerDamaged: it does not follow from the line before.
    """
    try:
        entry = json.loads(line)
        entry.pop(_CHAIN)
        written, after = line_of(entry, chain)
    except (ValueError, RecursionError, AttributeError, KeyError, TypeError):
        written, after = b"", chain
    if written != line + b"\n":
        raise LedgerDamaged(
            f"line {number} does not follow from the one before: it was edited or damaged; restore what it was, or "
            "count this data as spent"
        )
    return entry, after


def _canonical(entry: Mapping[str, object]) -> bytes:
    """The one spelling: sorted keys, no spaces, ASCII; no NaN (ValueError)."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
