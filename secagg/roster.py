"""The roster: who belongs to the federation, each by name and Ed25519 identity key; signed offline.

Decides: what a roster is and what its signature covers. A member is known by its number, 1..n, its place in the
list; whoever left stays in the list, revoked, so that numbers never move.
Refuses to know: files, clocks (the caller says what time it is), and which members take part in a session.

The server hands out public keys, and a server that lies hands out its own. So the root of trust is a list that
somebody else signed, with a key that is kept off every machine of the federation (Bonawitz et al., CCS 2017,
section 6.2: a public key infrastructure that the server does not run).
"""

import base64
from dataclasses import dataclass, field
from functools import cached_property

from arithmetic.errors import ParameterError
from secagg.bounds import LEAST_COHORT, check_whole
from secagg.encoding import Writer
from secagg.errors import NotAuthentic
from secagg.graph import MOST_CLIENTS
from secagg.primitives import BadKey, SigningKey, check_identity, digest, is_signed

FORMAT_VERSION = 1
LONGEST_NAME = 64
_TAG_ROSTER = 0x30
_MOST_SERIAL, _MOST_TIME = 2**32 - 1, 2**40
_READ_OUT, _GROUP = 20, 4


@dataclass(frozen=True)
class Member:
    """One client of the federation.

    Attributes:
        name: for people; 1..64 printable ASCII characters without spaces.
        key: Ed25519 public key, 32 bytes.
        revoked: left, or lost its key; nothing it signs counts any more.
    """

    name: str
    key: bytes
    revoked: bool = False


@dataclass(frozen=True)
class Roster:
    """A federation's members.

    Attributes:
        federation: its name, as a member's.
        serial: grows with every new roster of the federation, 1..2^32 - 1.
        not_after: seconds since 1970 from which on it is no roster any more; 0 for never.
        members: 3..2^20.

    Raises:
        ParameterError: fewer than three members, a name or key that stands twice, or a key that could not serve.
    """

    federation: str
    serial: int
    not_after: int
    members: tuple[Member, ...]
    _numbers: dict[bytes, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what nobody should sign."""
        check_whole("serial of the roster", self.serial, 1, _MOST_SERIAL)
        check_whole("not-after of the roster", self.not_after, 0, _MOST_TIME)
        check_whole("members of the roster", len(self.members), LEAST_COHORT, MOST_CLIENTS)
        _check_name(self.federation)
        for member in self.members:
            _check_name(member.name)
            try:
                check_identity(member.key)
            except BadKey as error:
                raise ParameterError(
                    f"roster, member {member.name}: {error}; let it make a new one"
                ) from error
        for what in ("name", "key"):
            if len({getattr(member, what) for member in self.members}) < len(self.members):
                raise ParameterError(f"a {what} stands twice in the roster; every member has its own")
        numbers = {member.key: number for number, member in enumerate(self.members, start=1)}
        object.__setattr__(self, "_numbers", numbers)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of everything in it, 32 bytes; enters every session's context."""
        return digest("roster", self.to_bytes())

    @property
    def fingerprint(self) -> str:
        """The first 100 bits of the digest in base32, five groups of four: short enough to read out."""
        text = base64.b32encode(self.digest).decode()[:_READ_OUT]
        return "-".join(text[at : at + _GROUP] for at in range(0, _READ_OUT, _GROUP))

    def to_bytes(self) -> bytes:
        """Canonical form: what is signed."""
        writer = _text(Writer(_TAG_ROSTER, FORMAT_VERSION), self.federation)
        writer.number(self.serial, 4).number(self.not_after, 8).number(len(self.members), 4)
        for member in self.members:
            _text(writer, member.name).raw(member.key).number(int(member.revoked), 1)
        return writer.finish()

    def sign(self, authority: SigningKey) -> bytes:
        """The authority's signature, 64 bytes."""
        return authority.sign(digest("signed roster", self.to_bytes()))

    def check_signed(self, authority: bytes, signature: bytes) -> None:
        """Whether the authority, by its public key, signed this.

        Raises:
            NotAuthentic: it did not.
        """
        if not is_signed(authority, digest("signed roster", self.to_bytes()), signature):
            raise NotAuthentic(
                "the roster's signature is not that of the authority this node knows; get the roster anew from whoever "
                "runs the federation and compare fingerprints"
            )

    def check_time(self, now: float) -> None:
        """Whether it still counts at `now`, seconds since 1970.

        Raises:
            NotAuthentic: it expired.
        """
        if self.not_after and now >= self.not_after:
            raise NotAuthentic("the roster has expired; ask whoever runs the federation for a new one")

    def number_of(self, key: bytes) -> int:
        """The number of the member with this identity key, 1..n.

        Raises:
            NotAuthentic: there is none, or it is revoked.
        """
        number = self._numbers.get(key, 0)
        if not number:
            raise NotAuthentic("this identity key is not in the roster; ask for a roster that names it")
        self.member(number)
        return number

    def member(self, number: int) -> Member:
        """A member that counts.

        Raises:
            NotAuthentic: no such number, or it is revoked.
        """
        if not 1 <= number <= len(self.members):
            raise NotAuthentic(f"there is no member {number} in the roster")
        found = self.members[number - 1]
        if found.revoked:
            raise NotAuthentic(f"member {number} of the roster is revoked")
        return found


def _check_name(name: str) -> None:
    if not (0 < len(name) <= LONGEST_NAME and all("!" <= c <= "~" for c in name)):
        raise ParameterError(
            f"{name[:80]!r} is no name in a roster; choose 1 to {LONGEST_NAME} printable ASCII characters, no spaces"
        )


def _text(writer: Writer, text: str) -> Writer:
    return writer.number(len(text), 1).raw(text.encode("ascii"))
