"""The error tree of the protocol. Every error carries a stable `code` and one line: what happened, why,
what to do.

    ChorusError                (arithmetic.errors)
      ParameterError  CONFIG   the caller's: parameters that cannot work together
      RangeError      RANGE    the caller's: a number that must not enter the sum
      ProtocolError
        OutOfTurn         STATE    a message for a moment that is not now: repeated, skipped, stale
        MalformedMessage  FORMAT   bytes that are not the message they claim to be
          VersionSkew     VIEW     the message, but of another version of the format
        CohortTooSmall    QUORUM   fewer survivors than the threshold: nobody's fault, nothing is unmasked
        SuspectServer     VIEW     the server showed something that an honest one never shows
        Refused           POLICY   parameters below what this side accepts
        NotAuthentic      AUTH     a key or signature that is not that of whom it is said to be of
        Misbehaviour      CRYPTO   a peer's bytes do not check; `culprit` names it
          Unrecoverable   SHARE    a client dealt shares that do not rebuild what it is bound to

What an error does (drop one reply, end the round, refuse to start) is decided where it is caught, never here.
"""

from arithmetic.errors import ChorusError, ParameterError, RangeError

__all__ = [
    "ChorusError",
    "CohortTooSmall",
    "MalformedMessage",
    "Misbehaviour",
    "NotAuthentic",
    "OutOfTurn",
    "ParameterError",
    "ProtocolError",
    "RangeError",
    "Refused",
    "SuspectServer",
    "Unrecoverable",
    "VersionSkew",
]


class ProtocolError(ChorusError):
    """Something in the course of a session went wrong; its text speaks of the protocol alone."""

    code = "STATE"
    shareable = True


class OutOfTurn(ProtocolError):
    """A message that is not due at this moment: repeated, skipped, stale or from another session."""

    code = "STATE"


class MalformedMessage(ProtocolError):
    """Bytes that are not the message they claim to be."""

    code = "FORMAT"


class VersionSkew(MalformedMessage):
    """The two sides run versions of the code that do not speak with each other."""

    code = "VIEW"


class SuspectServer(ProtocolError):
    """The server showed a view that no honest server shows."""

    code = "VIEW"


class Refused(ProtocolError):
    """Parameters below what this side accepts."""

    code = "POLICY"


class NotAuthentic(ProtocolError):
    """A key or a signature is not that of the member of the roster it is said to be of."""

    code = "AUTH"


class CohortTooSmall(ProtocolError):
    """Fewer clients than the threshold completed a protocol round; nothing is unmasked.

    Attributes:
        survivors: how many completed it.
        threshold: how many were needed.
    """

    code = "QUORUM"

    def __init__(self, what: str, survivors: int, threshold: int, why: str = "") -> None:
        super().__init__(
            f"{survivors} clients {what}, {threshold} are needed; nothing was unmasked and the model is "
            "unchanged. "
            + (
                f"Most others said {why}"
                if why
                else "Wait for more, raise the deadline or lower the threshold"
            )
        )
        self.what = what
        self.survivors = survivors
        self.threshold = threshold

    def because(self, why: str) -> "CohortTooSmall":
        """The same, with what most of the others said."""
        return CohortTooSmall(self.what, self.survivors, self.threshold, why)


class Misbehaviour(ProtocolError):
    """A peer's bytes do not check.

    Attributes:
        culprit: the peer, as the side that raises names it: its index 1..n on a client, the identifier its
            caller uses on the server.
    """

    code = "CRYPTO"

    def __init__(self, culprit: int, what: str) -> None:
        super().__init__(what)
        self.culprit = culprit


class Unrecoverable(Misbehaviour):
    """A client dealt shares that all give their tags and yet do not rebuild its secret; the sum is not computed."""

    code = "SHARE"
