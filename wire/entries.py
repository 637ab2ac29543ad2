"""Entries of a transcript as JSON: one spelling each, and no reading of anything else.

Decides: which kinds a node writes and which a server, how an entry becomes a line's object and back, and how the
fields that both sides share are filled. Refuses to know: what the fields are (`wire.entry_kinds`), chains, signatures
and files (`wire.transcript`).
"""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from pydantic import ValidationError

from arithmetic.errors import ParameterError
from privacy.terms import PrivacyTerms
from secagg.params import CODE_VERSION, Agreement
from secagg.primitives import digest
from wire.entry_kinds import (
    Entry,
    Failed,
    Joined,
    Masked,
    Opened,
    Refused,
    Revealed,
    RoundEnded,
    SessionOpened,
    Sharers,
    Signed,
    Summed,
    Survivors,
)
from wire.rounds import Purpose

OF_NODES: Final[tuple[type[Entry], ...]] = (Joined, Masked, Signed, Revealed, Refused)
OF_SERVERS: Final[tuple[type[Entry], ...]] = (
    SessionOpened, Sharers, Survivors, Summed, Failed, RoundEnded,
)  # fmt: skip
_ALL: Final[tuple[type[Entry], ...]] = (Opened, *OF_NODES, *OF_SERVERS)
KINDS: Final[Mapping[str, type[Entry]]] = {each.kind: each for each in _ALL}


def entry_of(kind: str, fields: Mapping[str, object]) -> Entry:
    """The entry of a kind with these fields.

    Raises:
        TypeError: no such kind; a field is missing, unknown, or not of its type.
    """
    if kind not in KINDS:
        raise TypeError(f"a transcript has no entries of kind {kind!r:.40}, but {', '.join(KINDS)}")
    try:
        return KINDS[kind].model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise TypeError(f"{kind}: {where} must not enter a transcript: {first['msg']}") from None


def to_json(entry: Entry) -> dict[str, object]:
    """Its line, without chain and signature."""
    return {"kind": entry.kind, **entry.model_dump(mode="json")}


def from_json(table: Mapping[str, object]) -> Entry:
    """The inverse of `to_json`.

    Raises:
        ValueError: it is not what `to_json` writes.
    """
    kind = KINDS.get(str(table.get("kind")))
    if kind is None:
        raise ValueError("no kind of entry")
    fields = {key: value for key, value in table.items() if key != "kind"}
    try:
        entry = kind.model_validate_json(json.dumps(fields))
    except (ValidationError, ParameterError) as error:
        raise ValueError(f"no {kind.kind}") from error
    if to_json(entry) != table:
        raise ValueError(f"not how a {kind.kind} is written")
    return entry


def agreed(
    agreement: Agreement,
    *,
    run: str,
    purpose: Purpose,
    terms: PrivacyTerms,
    max_examples: int,
    roster: bytes = b"",
) -> dict[str, object]:
    """The fields that `joined` and `session` have in common.

    Args:
        agreement: what the session's context is the digest of.
        run: its name, the same on both sides.
        purpose: of the session.
        terms: as they came in the training configuration.
        max_examples: likewise.
        roster: its digest; empty without one.
    """
    session = agreement.session
    return {
        "run": run, "session": session.identifier.hex(), "server_round": session.server_round, "purpose": purpose,
        "advertised": agreement.advertised, "context": agreement.context.hex(),
        "cohort": agreement.cohort_digest.hex(), "model": agreement.model_digest.hex(),
        "config": agreement.config_digest.hex(), "roster": roster.hex(), "standing": agreement.standing.hex(),
        "params": session.params, "terms": terms, "max_examples": max_examples, "code": CODE_VERSION.decode(),
    }  # fmt: skip


def set_digest(members: Iterable[int]) -> str:
    """SHA-256 of a set of clients by their indices, 1..2^20, in hexadecimal."""
    return digest("set of clients", *(member.to_bytes(4, "big") for member in sorted(members))).hex()
