"""What a server that lies may show of a signed cohort, and the client's r1 that must refuse it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from secagg.errors import MalformedMessage, NotAuthentic, SuspectServer
from secagg.messages import CohortAnnounced
from secagg.signatory import Origin
from tests.vectors.cases import Case
from tests.vectors.hostile_requests import ACTIVE, ACTIVE_SPARSE, AHEAD, VICTIM, parsed_request, shown
from tests.vectors.replay import Replay


def signed_requests(replays: Mapping[str, Replay]) -> Iterator[Case]:
    """Every case of r1 in an active session."""
    cohort: CohortAnnounced = parsed_request(replays, ACTIVE, "r1")
    vouched = cohort.vouched
    assert vouched is not None
    replay, members = replays[ACTIVE], vouched.members

    def case(what: str, error: Any, **changes: Any) -> Case:
        more = {key: changes.pop(key) for key in ("roster", "revoked") if key in changes}
        place = {key: changes.pop(key) for key in ("keys", "cohort_digest") if key in changes}
        message = replace(cohort, vouched=replace(vouched, **changes), **place).to_bytes()
        # `roster` of a message is a digest, of a case a name.
        return Case(what, ACTIVE, "client", "r1", VICTIM, error, message, **more)

    def signed(origin: Origin, by: int = 102) -> dict[int, bytes]:
        who = replay.signatory(by)
        assert who is not None
        return {**vouched.signatures, 2: who.vouch(cohort.keys[2], origin).signature}

    own = Origin(cohort.session.identifier, ahead=False)
    assert signed(own) == vouched.signatures
    yield case(
        "a signature of another session", NotAuthentic, signatures=signed(Origin(bytes(31) + b"\x01", False))
    )
    yield case("a signature for keys sent ahead", NotAuthentic, signatures=signed(Origin(own.session, True)))
    yield case("a signature by another member", NotAuthentic, signatures=signed(own, by=103))
    yield case("a signature of zeros", NotAuthentic, signatures={**vouched.signatures, 2: bytes(64)})
    for at in (0, 31, 32, 63):
        broken = bytearray(vouched.signatures[2])
        broken[at] ^= 1
        yield case(
            f"a signature with a flip in byte {at}",
            NotAuthentic,
            signatures={**vouched.signatures, 2: bytes(broken)},
        )
    s = int.from_bytes(vouched.signatures[2][32:], "little") + 2**252 + 27742317777372353535851937790883648493
    lifted = vouched.signatures[2][:32] + s.to_bytes(32, "little")
    yield case(
        "a signature with S above the order", NotAuthentic, signatures={**vouched.signatures, 2: lifted}
    )
    swapped = {**vouched.signatures, 2: vouched.signatures[3], 3: vouched.signatures[2]}
    yield case("two signatures exchanged", NotAuthentic, signatures=swapped)
    yield case("a member twice", SuspectServer, members=(members[0], members[2], *members[2:]))
    yield case("a member that the roster has not", NotAuthentic, members=(members[0], 999, *members[2:]))
    yield case("a member of number zero", MalformedMessage, members=(members[0], 0, *members[2:]))
    yield case("this client as another member", SuspectServer, members=(1, *members[1:]))
    bare = replace(cohort, vouched=replace(vouched, roster=bytes(32))).to_bytes()
    yield Case("another roster", ACTIVE, "client", "r1", VICTIM, SuspectServer, bare)
    yield from _revoked(replay, cohort, members[1])
    part = shown(cohort, {4: None})
    kept = {index: signature for index, signature in vouched.signatures.items() if index != 4}
    message = replace(
        part, cohort_digest=cohort.cohort_digest, vouched=replace(vouched, signatures=kept)
    ).to_bytes()
    yield Case("a part of the cohort", ACTIVE, "client", "r1", VICTIM, SuspectServer, message)
    near = parsed_request(replays, ACTIVE_SPARSE, "r1")
    assert near.vouched is not None
    hidden = next(index for index in near.keys if index != 1)
    kept = {index: each for index, each in near.vouched.signatures.items() if index != hidden}
    part = replace(
        near,
        keys={i: pair for i, pair in near.keys.items() if i != hidden},
        vouched=replace(near.vouched, signatures=kept),
    )
    yield Case(
        "a part of a sparse cohort", ACTIVE_SPARSE, "client", "r1", VICTIM, SuspectServer, part.to_bytes()
    )
    old: CohortAnnounced = parsed_request(replays, AHEAD, "r1")
    assert old.vouched is not None
    second = replays[AHEAD].signatory(102)
    assert second is not None
    again = second.vouch(old.keys[2], Origin(old.session.identifier, ahead=False)).signature
    message = replace(
        old, vouched=replace(old.vouched, signatures={**old.vouched.signatures, 2: again})
    ).to_bytes()
    yield Case(
        "a key of this session among keys sent ahead", AHEAD, "client", "r1", VICTIM, NotAuthentic, message
    )


def _revoked(replay: Replay, cohort: CohortAnnounced, member: int) -> Iterator[Case]:
    """All is signed anew under a roster in which one member is revoked, which that member's keys do not survive."""
    assert cohort.vouched is not None
    people = {index: replay.signatory(100 + index) for index in cohort.keys}
    victim = replay.signatory(VICTIM, revoked=(member,))
    assert victim is not None
    signatures = {}
    for index, keys in cohort.keys.items():
        who = people[index]
        assert who is not None
        under = replace(who, roster=victim.roster)
        signatures[index] = under.vouch(keys, Origin(cohort.session.identifier, ahead=False)).signature
    vouched = replace(cohort.vouched, roster=victim.roster.digest, signatures=signatures)
    message = replace(cohort, vouched=vouched).to_bytes()
    yield Case(
        "a member that is revoked", ACTIVE, "client", "r1", VICTIM, NotAuthentic, message, revoked=(member,)
    )
