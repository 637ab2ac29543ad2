"""The file of a roster: JSON that people can read, with the authority's signature beside what it signs.

Decides: the file's grammar, and that nothing comes out of it before its signature has been checked.
Refuses to know: where the file lies and whose identity key belongs to it.

    {"federation": "...", "serial": 1, "not-after": 0, "members": [{"name": "...", "key": "<hex>", "revoked": false}],
     "signature": "<hex>"}
"""

import json
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arithmetic.errors import ConfigError, ParameterError
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster

MOST_BYTES: Final = 64 << 20

_Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_STRICT = ConfigDict(
    strict=True, frozen=True, extra="forbid", alias_generator=lambda name: name.replace("_", "-")
)


class RosterUnusable(ConfigError):
    """A file that is no roster: the node takes part in nothing."""


class _Member(BaseModel):
    model_config = _STRICT
    name: str
    key: _Key
    revoked: bool = False


class _File(BaseModel):
    model_config = _STRICT
    federation: str
    serial: int
    not_after: int = 0
    members: list[_Member]
    signature: Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


def roster_text(roster: Roster, authority: SigningKey) -> str:
    """The roster's file, signed."""
    members = [{"name": m.name, "key": m.key.hex(), "revoked": m.revoked} for m in roster.members]
    table = {
        "federation": roster.federation, "serial": roster.serial, "not-after": roster.not_after, "members": members,
        "signature": roster.sign(authority).hex(),
    }  # fmt: skip
    return json.dumps(table, indent=1) + "\n"


def parse_roster(data: bytes, authority: bytes) -> Roster:
    """The roster in a file that `authority` signed.

    Args:
        data: at most 64 MiB of UTF-8.
        authority: Ed25519 public key of whoever signs rosters, 32 bytes, from the node's own config.

    Raises:
        RosterUnusable: it is no roster; one sentence.
        NotAuthentic: a roster, but not the authority's.
    """
    if len(data) > MOST_BYTES:
        raise RosterUnusable(f"the roster is longer than {MOST_BYTES} bytes; name the right file")
    try:
        parsed = _File.model_validate(json.loads(data, object_pairs_hook=_once))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        # A key that is one too many stands here as the file spells it, whatever that is.
        where = ".".join(
            ascii(part)[1:-1][:80] if isinstance(part, str) else str(part) for part in first["loc"]
        )
        raise RosterUnusable(f"the roster cannot be used: {where}: {first['msg']}; get it anew") from None
    except (ValueError, RecursionError):
        raise RosterUnusable("the roster is no JSON in UTF-8; get it anew") from None
    members = tuple(Member(m.name, bytes.fromhex(m.key), m.revoked) for m in parsed.members)
    try:
        roster = Roster(parsed.federation, parsed.serial, parsed.not_after, members)
    except ParameterError as error:
        raise RosterUnusable(f"the roster cannot be used: {error}") from None
    roster.check_signed(authority, bytes.fromhex(parsed.signature))
    return roster


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no key stands twice: two readers must not see two rosters."""
    table = dict(pairs)
    if len(table) < len(pairs):
        raise ValueError("a key stands twice")
    return table
