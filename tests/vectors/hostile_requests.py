"""What a server may send, and the client's step that must refuse it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from secagg.errors import (
    CohortTooSmall,
    MalformedMessage,
    Misbehaviour,
    OutOfTurn,
    Refused,
    SuspectServer,
    VersionSkew,
)
from secagg.keys import PublicKeys, cohort_digest
from secagg.messages import (
    CohortAnnounced,
    Invitation,
    KeysAdvertised,
    SharesDelivered,
    SurvivorsAnnounced,
    UnmaskingRequested,
)
from secagg.params import FORMAT_VERSION, SecAggParams
from tests.vectors.cases import Case
from tests.vectors.replay import Replay

P = 2**255 - 19
LOW_ORDER = (0, 1, P - 1, 325606250916557431795983626356110631294008115727848805560023387167927233504)
KINDS = {
    "r0": Invitation, "r1": CohortAnnounced, "r2": SharesDelivered, "r3": SurvivorsAnnounced, "r4": UnmaskingRequested,
}  # fmt: skip
CURIOUS, NEXT, SPARSE, ACTIVE, AHEAD, ACTIVE_SPARSE = (
    "curious-complete", "curious-next", "curious-sparse", "active-complete", "active-ahead", "active-sparse",
)  # fmt: skip
# Indices of a complete session are those of its clients, 101 the first; the client that is attacked has index 1.
VICTIM = 101


def bytes_of(step: str, session: str, side: str, message: bytes, client: int) -> Iterator[Case]:
    """What is wrong with bytes, whatever they mean."""
    wrong: tuple[tuple[str, bytes, Any], ...] = (
        ("nothing at all", b"", MalformedMessage),
        ("only a tag", message[:1], MalformedMessage),
        ("half of the message", message[: len(message) // 2], MalformedMessage),
        ("one byte short", message[:-1], MalformedMessage),
        ("one byte too long", message + b"\x00", MalformedMessage),
        ("another tag", b"\x7f" + message[1:], MalformedMessage),
        ("another version", bytes((message[0], message[1] + 1)) + message[2:], VersionSkew),
        ("bytes of a file of numpy", b"\x93NUMPY\x01\x00" + message[8:], MalformedMessage),
    )
    for what, data, error in wrong:
        yield Case(what, session, side, step, client, error, data)


def requests(replays: Mapping[str, Replay]) -> Iterator[Case]:
    """Every case of every client step."""
    for step in ("r0", "r1", "r2", "r3", "r4"):
        yield from bytes_of(step, ACTIVE, "client", replays[ACTIVE].request(step, VICTIM), VICTIM)
    yield from _r0(replays)
    yield from _r1(replays)


def parsed_request(replays: Mapping[str, Replay], session: str, step: str, client: int = VICTIM) -> Any:
    return KINDS[step].from_bytes(replays[session].request(step, client))


def _r0(replays: Mapping[str, Replay]) -> Iterator[Case]:
    invited = replays[CURIOUS].request("r0", VICTIM)
    at = 2 + 32 + 8 + 2  # tag and version, session, server round, tag and version of the parameters

    def put(place: int, width: int, value: int, data: bytes = invited) -> bytes:
        return data[: at + place] + value.to_bytes(width, "big") + data[at + place + width :]

    numbers = (
        ("a cohort of two", 0, 4, 2),
        ("a cohort of more than 2^20", 0, 4, 2**20 + 1),
        ("threshold 0", 4, 4, 0),
        ("threshold 1", 4, 4, 1),
        ("a threshold above the cohort", 4, 4, 6),
        ("no neighbours", 8, 4, 0),
        ("an odd number of neighbours", 8, 4, 3),
        ("more neighbours than clients", 8, 4, 5),
        ("fewer survivors than the threshold", 12, 4, 2),
        ("more survivors than the cohort", 12, 4, 6),
        ("a modulus of 7 bits", 16, 1, 7),
        ("a modulus of 65 bits", 16, 1, 65),
        ("a vector of 2^40 entries", 17, 8, 2**40),
        ("2^40 scalars", 25, 8, 2**40),
        ("as many colluders as the threshold", 34, 4, 3),
        ("a whole cohort of colluders", 34, 4, 5),
    )
    for what, place, width, value in numbers:
        yield Case(what, CURIOUS, "client", "r0", VICTIM, Refused, put(place, width, value))
    active = replays[ACTIVE].request("r0", VICTIM)
    yield Case(
        "a server that is neither curious nor active",
        CURIOUS,
        "client",
        "r0",
        VICTIM,
        MalformedMessage,
        put(33, 1, 2),
    )
    low = put(12, 4, 3, put(4, 4, 2, active))
    yield Case("twice the threshold not above the cohort", ACTIVE, "client", "r0", VICTIM, Refused, low)
    yield Case(
        "a session without an identifier",
        CURIOUS,
        "client",
        "r0",
        VICTIM,
        OutOfTurn,
        invited[:2] + bytes(32) + invited[34:],
    )
    yield Case(
        "signatures asked of a client without a roster",
        ACTIVE,
        "client",
        "r0",
        VICTIM,
        Refused,
        active,
        roster="none",
    )
    yield Case(
        "no signatures asked of a client with a roster",
        CURIOUS,
        "client",
        "r0",
        VICTIM,
        Refused,
        invited,
        roster=ACTIVE,
    )
    assert SecAggParams.from_bytes(invited[42:]) == replays[CURIOUS].params
    assert invited[43] == FORMAT_VERSION


def shown(
    cohort: CohortAnnounced, changes: Mapping[int, PublicKeys | None], fit: bool = True
) -> CohortAnnounced:
    """Other keys at some places (None: none), under the digest that belongs to them."""
    keys = {index: changes.get(index, pair) for index, pair in cohort.keys.items()}
    kept = {index: pair for index, pair in keys.items() if pair is not None}
    return replace(cohort, keys=kept, cohort_digest=cohort_digest(kept) if fit else cohort.cohort_digest)


def _r1(replays: Mapping[str, Replay]) -> Iterator[Case]:
    cohort: CohortAnnounced = parsed_request(replays, CURIOUS, "r1")
    data, one, two, three = cohort.to_bytes(), cohort.keys[1], cohort.keys[2], cohort.keys[3]
    flipped = bytes((two.mask[0] ^ 1,)) + two.mask[1:]

    def case(what: str, error: Any, changed: CohortAnnounced | bytes, **more: Any) -> Case:
        message = changed if isinstance(changed, bytes) else changed.to_bytes()
        return Case(what, more.pop("session", CURIOUS), "client", "r1", VICTIM, error, message, **more)

    yield case("own keys missing", SuspectServer, shown(cohort, {1: None}))
    yield case("own mask key altered", SuspectServer, shown(cohort, {1: PublicKeys(flipped, one.channel)}))
    yield case("own channel key altered", SuspectServer, shown(cohort, {1: PublicKeys(one.mask, flipped)}))
    yield case(
        "own keys exchanged for each other",
        SuspectServer,
        shown(cohort, {1: PublicKeys(one.channel, one.mask)}),
    )
    yield case("a peer with own keys", SuspectServer, shown(cohort, {2: one}))
    yield case(
        "a peer with own mask key as its channel key",
        SuspectServer,
        shown(cohort, {2: PublicKeys(two.mask, one.mask)}),
    )
    yield case(
        "two peers with one mask key", SuspectServer, shown(cohort, {2: PublicKeys(three.mask, two.channel)})
    )
    yield case(
        "a peer whose two keys are one", SuspectServer, shown(cohort, {2: PublicKeys(two.mask, two.mask)})
    )
    yield case(
        "a digest that is not of the keys",
        SuspectServer,
        shown(cohort, {2: PublicKeys(flipped, two.channel)}, fit=False),
    )
    for u in LOW_ORDER:
        bad = PublicKeys(u.to_bytes(32, "little"), two.channel)
        yield case(f"a mask key of low order {str(u)[:6]}", Misbehaviour, shown(cohort, {2: bad}), culprit=2)
    for what, u in (("the prime plus nine", P + 9), ("the top bit", 2**255 + 9), ("all ones", 2**256 - 1)):
        bad = PublicKeys(two.mask, u.to_bytes(32, "little"))
        yield case(
            f"a channel key that is not canonical, {what}", Misbehaviour, shown(cohort, {2: bad}), culprit=2
        )
    few = replace(shown(cohort, {3: None, 4: None, 5: None}), advertised=2)
    yield case("fewer clients than survivors are due", CohortTooSmall, few)
    yield case("a neighbour left out", SuspectServer, shown(cohort, {3: None}))
    at = 2 + 32 + 8 + 40
    yield case(
        "more clients than the cohort holds",
        MalformedMessage,
        data[:at] + (6).to_bytes(4, "big") + data[at + 4 :],
    )
    yield case("no clients", MalformedMessage, data[:at] + bytes(4) + data[at + 4 :])
    first = at + 4 + 32 + 4
    yield case("an index of zero", MalformedMessage, data[:first] + bytes(4) + data[first + 4 :])
    yield case(
        "an index twice", MalformedMessage, data[: first + 68] + (1).to_bytes(4, "big") + data[first + 72 :]
    )
    last = first + 4 * 68
    yield case(
        "an index beyond the cohort",
        MalformedMessage,
        data[:last] + (6).to_bytes(4, "big") + data[last + 4 :],
    )
    count = first - 4
    yield case(
        "a count of a million keys",
        MalformedMessage,
        data[:count] + (10**6).to_bytes(4, "big") + data[count + 4 :],
    )
    other = replace(cohort, session=replace(cohort.session, identifier=bytes(31) + b"\x01"))
    yield case("keys of another session", OutOfTurn, other)
    none = replace(cohort, session=replace(cohort.session, identifier=bytes(32)))
    yield case("a cohort without a session", OutOfTurn, none)
    following = parsed_request(replays, NEXT, "r1")
    done = replace(
        following, session=replace(following.session, identifier=replays[CURIOUS].session.identifier)
    )
    yield case("the session that is finished", OutOfTurn, done, session=NEXT)
    near = parsed_request(replays, SPARSE, "r1")
    gone = next(index for index in near.keys if near.keys[index] != _own(replays, SPARSE))
    yield case(
        "a sparse graph without a neighbour",
        SuspectServer,
        shown(near, {gone: None}, fit=False),
        session=SPARSE,
    )
    stranger = next(index for index in range(1, near.advertised + 1) if index not in near.keys)
    more = replace(near, keys=dict(sorted({**near.keys, stranger: PublicKeys(flipped, two.channel)}.items())))
    yield case("a sparse graph with a stranger", SuspectServer, more, session=SPARSE)
    yield case("a curious session for a client with a roster", Refused, data, roster=ACTIVE)


def _own(replays: Mapping[str, Replay], session: str) -> PublicKeys:
    return KeysAdvertised.from_bytes(replays[session].reply("r0", VICTIM)).keys
