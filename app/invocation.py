"""By what name this command line was called, so that what it proposes can be typed as it stands.

Decides nothing else, and refuses to know what is proposed.
"""

import sys
from pathlib import Path


def command() -> str:
    """`chorus` where it was called so, and else the front in scripts/."""
    return "chorus" if Path(sys.argv[0]).name == "chorus" else "scripts/chorus"
