"""Why one of Flower's programs ended, in one typed line, from the last words in its log.

Decides: which of its endings a restart cannot mend. Refuses to start or end anything.
"""

import re
from typing import Final

from arithmetic.errors import ChorusError, SetupError
from secagg.errors import NotAuthentic, SuspectServer

# What Flower 1.41 prints, of which program, and what it means; the first that is found counts. A TLS connection that
# breaks off is not among them: that is how a SuperLink that is killed looks from a node.
_ENDINGS: Final[tuple[tuple[str, str, type[ChorusError], str], ...]] = (
    (
        "supernode superexec",
        r"runtime version mismatch|Runtime version compatibility check failed",
        SuspectServer,
        "node and server run different minor versions of Flower; install the same constraints.txt on both",
    ),
    (
        "supernode",
        r"Failed to activate SuperNode|Invalid SuperNode authentication",
        NotAuthentic,
        "the SuperLink does not know this node's key; see that its node.pub lies in the server kit's nodes/",
    ),
    (
        "supernode superexec",
        r"CERTIFICATE_VERIFY_FAILED",
        SetupError,
        "the SuperLink's certificate is not to be trusted; scripts/doctor says why",
    ),
    (
        "superlink supernode",
        r"address already in use|EADDRINUSE",
        SetupError,
        "the port is busy; end what listens there or choose another with --port",
    ),
    (
        "superlink",
        r"unable to open database|disk I/O error|No space left|readonly database",
        SetupError,
        "the state folder cannot be written; free the disk, or name another one with --state",
    ),
)


def cause(program: str, said: str) -> ChorusError | None:
    """The typed reason in what a program said last; None where it is none that a person must mend.

    Args:
        program: superlink, superexec or supernode.
        said: its last words.
    """
    for programs, pattern, kind, sentence in _ENDINGS:
        if program in programs.split() and re.search(pattern, said):
            return kind(sentence)
    return None
