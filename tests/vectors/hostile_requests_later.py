"""What a server may send once keys are shared: false shares, false survivors, false signatures."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from secagg.client.states import AwaitingShares, AwaitingSurvivors
from secagg.errors import CohortTooSmall, MalformedMessage, Misbehaviour, OutOfTurn, SuspectServer
from secagg.messages import SharesDelivered, SurvivorsAnnounced, UnmaskingRequested
from secagg.sealed import CIPHERTEXT_BYTES
from tests.vectors.cases import Case
from tests.vectors.hostile_requests import (
    ACTIVE,
    ACTIVE_SPARSE,
    CURIOUS,
    NEXT,
    SPARSE,
    VICTIM,
    parsed_request,
)
from tests.vectors.replay import Replay

ELSEWHERE = bytes(31) + b"\x01"


def later_requests(replays: Mapping[str, Replay]) -> Iterator[Case]:
    """Every case of r2, r3 and r4 at a client."""
    yield from _r2(replays)
    yield from _r3(replays)
    yield from _r4(replays)
    yield from _r4_signed(replays)


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def _r2(replays: Mapping[str, Replay]) -> Iterator[Case]:
    told: SharesDelivered = parsed_request(replays, CURIOUS, "r2")
    sealed = told.sealed

    def case(what: str, error: Any, changed: Any, **more: Any) -> Case:
        message = changed if isinstance(changed, bytes) else changed.to_bytes()
        return Case(what, more.pop("session", CURIOUS), "client", "r2", VICTIM, error, message, **more)

    yield case("shares of another session", OutOfTurn, replace(told, session=ELSEWHERE))
    yield case("a cohort of another size", SuspectServer, replace(told, size=told.size + 1))
    yield case("itself not among the sharers", SuspectServer, replace(told, sharers=told.sharers - {1}))
    yield case("shares of a live neighbour missing", SuspectServer, replace(told, sealed=_without(sealed, 2)))
    yield case("shares of somebody who shared none", SuspectServer, replace(told, sharers=told.sharers - {2}))
    two = replace(told, sharers=frozenset({1, 2}), sealed={2: sealed[2]})
    yield case("fewer sharers than survivors are due", CohortTooSmall, two)
    for what, at in (
        ("the ciphertext", 0), ("the second share", 40), ("the tag of the cipher", CIPHERTEXT_BYTES - 1),
        ("the tag of the mask key's share", CIPHERTEXT_BYTES), ("the tag of the seed's share", CIPHERTEXT_BYTES + 31),
    ):  # fmt: skip
        bad = {**sealed, 2: _flipped(sealed[2], at)}
        yield case(f"a flip in {what}", Misbehaviour, replace(told, sealed=bad), culprit=2)
    yield case(
        "a ciphertext of zeros",
        Misbehaviour,
        replace(told, sealed={**sealed, 2: bytes(len(sealed[2]))}),
        culprit=2,
    )
    other: SharesDelivered = parsed_request(replays, CURIOUS, "r2", 103)
    yield case(
        "shares sealed to somebody else",
        Misbehaviour,
        replace(told, sealed={**sealed, 2: other.sealed[2]}),
        culprit=2,
    )
    twice = {**sealed, 2: sealed[3]}
    yield case("shares of one peer as another's", Misbehaviour, replace(told, sealed=twice), culprit=2)
    swapped = {**sealed, 2: sealed[3], 3: sealed[2]}
    yield case("the shares of two peers exchanged", Misbehaviour, replace(told, sealed=swapped), culprit=2)
    old: SharesDelivered = parsed_request(replays, NEXT, "r2")
    replayed = {**sealed, 3: old.sealed[3]}
    yield case("shares of another session's peer", Misbehaviour, replace(told, sealed=replayed), culprit=3)
    none = {peer: bytes(len(each)) for peer, each in sealed.items()}
    yield case("no shares that open", SuspectServer, replace(told, sealed=none))
    data = told.to_bytes()
    beyond = data[:38] + bytes((data[38] | 0x80,)) + data[39:]
    yield case("a sharer beyond the cohort", MalformedMessage, beyond)
    yield case("a cohort of nobody", MalformedMessage, data[:34] + bytes(4) + data[38:])
    yield case("a cohort of four thousand million", MalformedMessage, data[:34] + b"\xff" * 4 + data[38:])
    yield case("shares without an order", MalformedMessage, _first_index(data, 39, 5))
    yield case("no state is kept", OutOfTurn, told, state=None)
    active: SharesDelivered = parsed_request(replays, ACTIVE, "r2")
    many = {peer: _flipped(each, 0) if peer in (2, 3) else each for peer, each in active.sealed.items()}
    yield case("more bad shares than colluders", SuspectServer, replace(active, sealed=many), session=ACTIVE)
    kept = replays[SPARSE].kept("r2", VICTIM)
    assert kept is not None
    state = AwaitingShares.from_bytes(kept)
    near = min(state.peers)
    shown = {**state.peers, near: replace(state.peers[near], mask=_flipped(state.peers[near].mask, 0))}
    misled = replace(state, peers=shown).to_bytes()
    honest = replays[SPARSE].request("r2", VICTIM)
    what = "a neighbour that was shown with another mask key"
    yield case(what, Misbehaviour, honest, session=SPARSE, state=misled, culprit=near)
    wide: SharesDelivered = parsed_request(replays, SPARSE, "r2")
    around = dict(list(wide.sealed.items())[:3])
    few = replace(wide, sharers=frozenset({1, *around}), sealed=around)
    yield case("fewer sharers than survivors are due, all close by", CohortTooSmall, few, session=SPARSE)
    few: SharesDelivered = parsed_request(replays, ACTIVE_SPARSE, "r2")
    two_of = dict(list(few.sealed.items())[:2])
    gone = few.sharers - (set(few.sealed) - set(two_of))
    close = replace(few, sharers=gone, sealed=two_of)
    yield case("too few sharers in the neighbourhood", CohortTooSmall, close, session=ACTIVE_SPARSE)


def _without(table: Mapping[int, bytes], gone: int) -> dict[int, bytes]:
    return {index: each for index, each in table.items() if index != gone}


def _first_index(data: bytes, count_at: int, index: int) -> bytes:
    """The first entry behind a count under another index."""
    return data[: count_at + 4] + index.to_bytes(4, "big") + data[count_at + 8 :]


def _told(step: str, session: str, told: Any) -> Iterator[Case]:
    """What no survivors can be, in r3 and in a curious r4 alike."""

    def case(what: str, error: Any, **changes: Any) -> Case:
        return Case(what, session, "client", step, VICTIM, error, replace(told, **changes).to_bytes())

    yield case("survivors of another session", OutOfTurn, session=ELSEWHERE)
    yield case("survivors of no session", OutOfTurn, session=bytes(32))
    yield case("survivors of a larger cohort", SuspectServer, size=told.size + 1)
    yield case("itself named as dropped", SuspectServer, survivors=told.survivors - {1})
    yield case("nobody survived", SuspectServer, survivors=frozenset())
    yield case("one survivor", CohortTooSmall, survivors=frozenset({1}))
    yield case("fewer survivors than agreed", CohortTooSmall, survivors=frozenset({1, 2}))


def _r3(replays: Mapping[str, Replay]) -> Iterator[Case]:
    told: SurvivorsAnnounced = parsed_request(replays, ACTIVE, "r3")
    yield from _told("r3", ACTIVE, told)
    data = told.to_bytes()
    yield Case(
        "a survivor beyond the cohort", ACTIVE, "client", "r3", VICTIM, MalformedMessage, data[:-1] + b"\xff"
    )
    near: SurvivorsAnnounced = parsed_request(replays, ACTIVE_SPARSE, "r3")
    neighbours = sorted(parsed_request(replays, ACTIVE_SPARSE, "r2").sealed)
    far = replace(near, survivors=near.survivors - set(neighbours[:2]))
    yield Case(
        "too few survivors in the neighbourhood",
        ACTIVE_SPARSE,
        "client",
        "r3",
        VICTIM,
        CohortTooSmall,
        far.to_bytes(),
    )
    yield Case("no state is kept", ACTIVE, "client", "r3", VICTIM, OutOfTurn, data, state=None)


def _r4(replays: Mapping[str, Replay]) -> Iterator[Case]:
    told: UnmaskingRequested = parsed_request(replays, CURIOUS, "r4")
    yield from _told("r4", CURIOUS, told)
    late: UnmaskingRequested = parsed_request(replays, NEXT, "r4")
    never = replace(late, survivors=frozenset(range(1, late.size + 1)))
    yield Case(
        "a survivor that never shared keys", NEXT, "client", "r4", VICTIM, SuspectServer, never.to_bytes()
    )
    near: UnmaskingRequested = parsed_request(replays, SPARSE, "r4")
    neighbours = sorted(parsed_request(replays, SPARSE, "r2").sealed)
    around = replace(near, survivors=frozenset({1, *neighbours[:3]}))
    yield Case(
        "fewer survivors than agreed, all close by", SPARSE, "client", "r4", VICTIM, CohortTooSmall, around.to_bytes()
    )  # fmt: skip
    far = replace(near, survivors=near.survivors - set(neighbours[:3]))
    yield Case(
        "too few survivors in the neighbourhood",
        SPARSE,
        "client",
        "r4",
        VICTIM,
        CohortTooSmall,
        far.to_bytes(),
    )
    yield Case(
        "no state is kept, a second request",
        CURIOUS,
        "client",
        "r4",
        VICTIM,
        OutOfTurn,
        told.to_bytes(),
        state=None,
    )


def _r4_signed(replays: Mapping[str, Replay]) -> Iterator[Case]:
    told: UnmaskingRequested = parsed_request(replays, ACTIVE, "r4")
    signatures, replay = told.signatures, replays[ACTIVE]

    def case(what: str, error: Any, **changes: Any) -> Case:
        state = changes.pop("state", "recorded")
        message = replace(told, **changes).to_bytes()
        return Case(what, ACTIVE, "client", "r4", VICTIM, error, message, state=state)

    yield case("signed survivors of another session", OutOfTurn, session=ELSEWHERE)
    yield case("other survivors than were signed", SuspectServer, survivors=told.survivors - {4})
    yield case("a dropped client among the survivors", SuspectServer, survivors=told.survivors | {5})
    yield case("no signatures", SuspectServer, signatures={})
    few = dict(list(signatures.items())[:2])
    yield case("fewer signatures than are due", SuspectServer, signatures=few)
    for at in (0, 32, 63):
        bad = {**signatures, 2: _flipped(signatures[2], at)}
        yield case(f"a signature with a flip in byte {at}", SuspectServer, signatures=bad)
    swapped = {**signatures, 2: signatures[3], 3: signatures[2]}
    yield case("two signatures exchanged", SuspectServer, signatures=swapped)
    yield case(
        "a signature by one who did not survive", SuspectServer, signatures={**signatures, 5: signatures[2]}
    )
    old: UnmaskingRequested = parsed_request(replays, "active-again", "r4")
    yield case("signatures of another session", SuspectServer, signatures=old.signatures)
    who = replay.signatory(102)
    assert who is not None
    unsigned = replay.kept("r3", VICTIM)
    assert unsigned is not None
    view = AwaitingSurvivors.from_bytes(unsigned).view(told.survivors - {3})
    yield case(
        "a signature on other survivors", SuspectServer, signatures={**signatures, 2: who.endorse(view)}
    )
    yield case("shares asked before anything is signed", OutOfTurn, state=unsigned)
    yield case("no state is kept, a second signed request", OutOfTurn, state=None)
    data = told.to_bytes()
    count = 2 + 32 + 4 + 1
    again = data[: count + 4 + 68] + (1).to_bytes(4, "big") + data[count + 4 + 72 :]
    yield Case("a signature twice", ACTIVE, "client", "r4", VICTIM, MalformedMessage, again)
    zero = data[: count + 4] + bytes(4) + data[count + 8 :]
    yield Case("a signature of nobody", ACTIVE, "client", "r4", VICTIM, MalformedMessage, zero)
