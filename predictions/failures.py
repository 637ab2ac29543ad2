"""How a failure travels: its type and one sentence, in place of the frame that will not come.

Decides: which types may travel, that no sentence does which could hold anything of an input, and that what a peer says
is cut and cleaned before anybody reads it. Refuses to know: sockets.
"""

import json
import ssl
from typing import Final

from arithmetic.errors import ChorusError
from predictions.errors import FrameRejected, LinkFailed, PredictionRange, QueryRefused
from predictions.frames import Frame, Kind

MOST_WHY: Final = 1024
_MOST_SENTENCE: Final = 300
_KINDS: Final = {one.__name__: one for one in (LinkFailed, FrameRejected, QueryRefused, PredictionRange)}


def failure(error: ChorusError) -> bytes:
    """What a party sends of an error."""
    kind = type(error).__name__ if type(error).__name__ in _KINDS else LinkFailed.__name__
    why = str(error) if error.shareable else "the query failed; ask again"
    return json.dumps({"kind": kind, "why": why[:_MOST_SENTENCE]}).encode()


def told(frame: Frame) -> Frame:
    """The frame.

    Raises:
        ChorusError: it says why there is none.
    """
    if frame.kind is not Kind.FAILED:
        return frame
    try:
        found = json.loads(bytes(frame.payload))
        kind, why = (
            _KINDS[found["kind"]],
            "".join(c for c in str(found["why"])[:_MOST_SENTENCE] if c.isprintable()),
        )
    except (ValueError, KeyError, TypeError):
        kind, why = LinkFailed, "the other side failed and did not say why; ask again"
    raise kind(why)


def reason(error: Exception) -> str:
    """Why a connection broke, in a few words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'ended'}"
    return getattr(error, "strerror", None) or "it was closed"
