"""Why one of Flower's programs ended, in one typed line, from the last words in its log.

Decides: which of its endings a restart cannot mend. Refuses to start or end anything.
"""

import re
from typing import Final

from arithmetic.errors import ChorusError, SetupError
from secagg.errors import NotAuthentic, SuspectServer

# What Flower 1.41 prints, and what it means; the first that is found counts.
_ENDINGS: Final[tuple[tuple[str, type[ChorusError], str], ...]] = (
    (
        r"runtime version mismatch|Flower runtime version",
        SuspectServer,
        "node and server run different minor versions of Flower; install the same constraints.txt on both",
    ),
    (
        r"Failed to activate SuperNode|Invalid SuperNode authentication|401 Unauthorized",
        NotAuthentic,
        "the SuperLink does not know this node's key; see that its node.pub lies in the server kit's nodes/",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|SSL/TLS handshake error",
        SetupError,
        "TLS to the SuperLink failed; scripts/doctor node KIT says why",
    ),
    (
        r"[Aa]ddress already in use|EADDRINUSE",
        SetupError,
        "the port is busy; end what listens there or choose another with --port",
    ),
    (
        r"database is locked|unable to open database|disk I/O error|No space left",
        SetupError,
        "the state folder cannot be written; free the disk, or name another one with --state",
    ),
)


def cause(said: str) -> ChorusError | None:
    """The typed reason in what a program said last; None where it is none that a person must mend."""
    for pattern, kind, sentence in _ENDINGS:
        if re.search(pattern, said):
            return kind(sentence)
    return None
