"""What a client may send, and the server's step that must refuse it; and rounds that too few completed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from arithmetic.errors import RangeError
from arithmetic.field import ELEMENT_BYTES, PRIME
from secagg.client.states import AwaitingSurvivors
from secagg.errors import (
    CohortTooSmall,
    MalformedMessage,
    Misbehaviour,
    NotAuthentic,
    OutOfTurn,
    Unrecoverable,
)
from secagg.keys import PublicKeys
from secagg.messages import KeysAdvertised, SharesRevealed, SharesSealed, SurvivorsSigned
from secagg.signatory import Credential, Origin
from tests.vectors.cases import Case
from tests.vectors.hostile_requests import (
    ACTIVE,
    ACTIVE_SPARSE,
    AHEAD,
    CURIOUS,
    LOW_ORDER,
    NEXT,
    SPARSE,
    P,
    bytes_of,
)
from tests.vectors.replay import Replay

LIAR = 102


def replies(replays: Mapping[str, Replay]) -> Iterator[Case]:
    """Every case of every server step."""
    for step in ("r0", "r1", "r2", "r3", "r4"):
        reply = replays[ACTIVE].reply(step, LIAR)
        yield from bytes_of(step, ACTIVE, "server", reply, LIAR)
        yield Case("a reply of nobody who was asked", ACTIVE, "server", step, 999, OutOfTurn, reply)
        yield Case("a second reply", ACTIVE, "server", step, LIAR, OutOfTurn, reply, heard=(LIAR,))
    yield from _r0(replays)
    yield from _r1(replays)
    yield from _r2(replays)
    yield from _r3(replays)
    yield from _r4(replays)
    yield from _closing(replays)


def _r0(replays: Mapping[str, Replay]) -> Iterator[Case]:
    keys = KeysAdvertised.from_bytes(replays[CURIOUS].reply("r0", LIAR)).keys
    first = KeysAdvertised.from_bytes(replays[CURIOUS].reply("r0", 101)).keys

    def case(what: str, pair: PublicKeys) -> Case:
        message = KeysAdvertised(pair).to_bytes()
        return Case(what, CURIOUS, "server", "r0", LIAR, Misbehaviour, message, LIAR, heard=(101,))

    for u in LOW_ORDER:
        yield case(
            f"a mask key of low order {str(u)[:6]}", PublicKeys(u.to_bytes(32, "little"), keys.channel)
        )
        yield case(
            f"a channel key of low order {str(u)[:6]}", PublicKeys(keys.mask, u.to_bytes(32, "little"))
        )
    for what, u in (("the prime", P), ("the prime plus nine", P + 9), ("the top bit", 2**255 + 9)):
        yield case(f"a key that is not canonical, {what}", PublicKeys(u.to_bytes(32, "little"), keys.channel))
    yield case("two keys that are one", PublicKeys(keys.mask, keys.mask))
    yield case("the mask key of another client", PublicKeys(first.mask, keys.channel))
    yield case("the mask key of another client as channel key", PublicKeys(keys.mask, first.mask))
    yield from _r0_signed(replays)


def _r0_signed(replays: Mapping[str, Replay]) -> Iterator[Case]:
    replay = replays[ACTIVE]
    advertised = KeysAdvertised.from_bytes(replay.reply("r0", LIAR))
    keys, credential, who = advertised.keys, advertised.credential, replay.signatory(LIAR)
    assert who is not None
    assert credential is not None
    session = replay.session.identifier
    own = KeysAdvertised.from_bytes(replay.reply("r0", 101)).keys

    def case(what: str, changed: Credential | None, pair: PublicKeys = keys, **more: Any) -> Case:
        message = KeysAdvertised(pair, changed).to_bytes()
        return Case(what, ACTIVE, "server", "r0", LIAR, NotAuthentic, message, **more)

    yield case("keys without a signature", None)
    yield case("keys signed for another session", who.vouch(keys, Origin(bytes(31) + b"\x01", ahead=False)))
    yield case("keys signed as sent ahead", who.vouch(keys, Origin(session, ahead=True)))
    yield case("another member's number", replace(credential, member=credential.member - 1))
    yield case("a number that the roster has not", replace(credential, member=999))
    yield case("a signature of zeros", replace(credential, signature=bytes(64)))
    yield case("a signature on other keys", who.vouch(own, Origin(session, ahead=False)))
    first = replay.signatory(101)
    assert first is not None
    twin = first.vouch(keys, Origin(session, ahead=False))
    yield case("a member that is here already", twin, heard=(101,))
    raw = KeysAdvertised(keys, credential).to_bytes()
    zero = raw[:67] + bytes(4) + raw[71:]
    yield Case("a member of number zero", ACTIVE, "server", "r0", LIAR, MalformedMessage, zero)
    odd = raw[:66] + b"\x02" + raw[67:]
    yield Case(
        "a credential that is neither there nor not", ACTIVE, "server", "r0", LIAR, MalformedMessage, odd
    )


def _r1(replays: Mapping[str, Replay]) -> Iterator[Case]:
    for session in (CURIOUS, SPARSE):
        dealt = SharesSealed.from_bytes(replays[session].reply("r1", LIAR))
        sealed, some = dealt.sealed, next(iter(dealt.sealed.values()))
        strangers = [index for index in range(1, 6) if index not in sealed and index != 2]
        changes = [
            ("shares for nobody", {}),
            ("a neighbour without shares", dict(list(sealed.items())[1:])),
            ("shares for itself", dict(sorted({**sealed, 2: some}.items()))),
            ("shares for a client that is not there", {**sealed, 99: some}),
        ]
        if strangers:
            other = dict(list(sealed.items())[1:])
            changes.append(("shares for a stranger", dict(sorted({**other, strangers[0]: some}.items()))))
        for what, changed in changes:
            message = replace(dealt, sealed=changed).to_bytes()
            name = f"{what}, {session.split('-')[1]} graph"
            yield Case(name, session, "server", "r1", LIAR, MalformedMessage, message)
    data = replays[CURIOUS].reply("r1", LIAR)
    million = data[:34] + (10**6).to_bytes(4, "big") + data[38:]
    yield Case("a million recipients", CURIOUS, "server", "r1", LIAR, MalformedMessage, million)
    zero = data[:38] + bytes(4) + data[42:]
    yield Case("a recipient of index zero", CURIOUS, "server", "r1", LIAR, MalformedMessage, zero)


def _r2(replays: Mapping[str, Replay]) -> Iterator[Case]:
    for session in (CURIOUS, ACTIVE_SPARSE):
        data = replays[session].reply("r2", LIAR)
        tensor = -(-replays[session].params.tensor_length * replays[session].params.modulus_bits // 8)
        short = data[: 2 + tensor - 1] + data[2 + tensor :]
        yield Case(
            f"a byte of the tensor missing, {session}", session, "server", "r2", LIAR, MalformedMessage, short
        )
        yield Case(
            f"eight bytes too many, {session}",
            session,
            "server",
            "r2",
            LIAR,
            MalformedMessage,
            data + bytes(8),
        )
    data, params = replays[ACTIVE_SPARSE].reply("r2", LIAR), replays[ACTIVE_SPARSE].params
    last = 2 + -(-params.tensor_length * params.modulus_bits // 8) - 1
    assert params.tensor_length * params.modulus_bits % 8
    for bit in (2, 7):
        set_behind = data[:last] + bytes((data[last] | 1 << bit,)) + data[last + 1 :]
        yield Case(
            f"bit {bit} set behind the last entry",
            ACTIVE_SPARSE,
            "server",
            "r2",
            LIAR,
            RangeError,
            set_behind,
        )
    late = Case(
        "a vector of a client that shared no keys",
        NEXT,
        "server",
        "r2",
        LIAR,
        OutOfTurn,
        replays[NEXT].reply("r2", 101),
    )
    yield late


def _r3(replays: Mapping[str, Replay]) -> Iterator[Case]:
    replay = replays[ACTIVE]
    own = SurvivorsSigned.from_bytes(replay.reply("r3", LIAR)).signature
    other = SurvivorsSigned.from_bytes(replay.reply("r3", 103)).signature
    old = SurvivorsSigned.from_bytes(replays["active-again"].reply("r3", LIAR)).signature
    kept, who = replay.kept("r3", LIAR), replay.signatory(LIAR)
    assert kept is not None
    assert who is not None
    state = AwaitingSurvivors.from_bytes(kept)
    fewer = who.endorse(state.view(frozenset({1, 2, 3})))
    elsewhere = who.endorse(replace(state.view(frozenset({1, 2, 3, 4})), context=bytes(32)))
    for what, signature in (
        ("the signature of another client", other), ("a signature of another session", old),
        ("a signature on fewer survivors", fewer), ("a signature under another context", elsewhere),
        ("a signature of zeros", bytes(64)), ("a flip in R", bytes((own[0] ^ 1,)) + own[1:]),
        ("a flip in S", own[:63] + bytes((own[63] ^ 1,))),
    ):  # fmt: skip
        yield Case(what, ACTIVE, "server", "r3", LIAR, NotAuthentic, SurvivorsSigned(signature).to_bytes())


def _r4(replays: Mapping[str, Replay]) -> Iterator[Case]:
    shares = SharesRevealed.from_bytes(replays[CURIOUS].reply("r4", LIAR))
    mine, keys = shares.self_mask, shares.mask_key
    assert keys, "client 104 dropped after r1"
    gone, value = next(iter(keys.items()))

    def case(what: str, error: Any = MalformedMessage, culprit: int = 0, **changes: Any) -> Case:
        message = replace(shares, **changes).to_bytes()
        return Case(what, CURIOUS, "server", "r4", LIAR, error, message, culprit)

    yield case("no shares", self_mask={}, mask_key={})
    yield case("a survivor's share missing", self_mask={i: s for i, s in mine.items() if i != 1})
    yield case("the dropped client's share missing", mask_key={})
    yield case("the seed's share of the dropped client", self_mask={**mine, gone: value}, mask_key={})
    yield case(
        "the mask key's share of a survivor",
        self_mask={i: s for i, s in mine.items() if i != 1},
        mask_key={1: mine[1], **keys},
    )
    yield case("a share of a client that is not there", self_mask={**mine, 77: 1})
    yield case("its own share missing", self_mask={i: s for i, s in mine.items() if i != 2})
    for u in LOW_ORDER[:2]:
        pair = PublicKeys(shares.following.keys.mask, u.to_bytes(32, "little"))
        yield case(f"a next key of low order {u}", Misbehaviour, LIAR, following=KeysAdvertised(pair))
    data = shares.to_bytes()
    first = 2 + 64 + 1 + 4  # tag and version, next keys, no credential, count
    entry = 4 + 1 + ELEMENT_BYTES
    for what, number in (("the prime", PRIME), ("all ones", 2 ** (8 * ELEMENT_BYTES) - 1)):
        big = data[: first + 5] + number.to_bytes(ELEMENT_BYTES, "big") + data[first + entry :]
        yield Case(
            f"a share that is no element, {what}", CURIOUS, "server", "r4", LIAR, MalformedMessage, big
        )
    odd = data[: first + 4] + b"\x02" + data[first + 5 :]
    yield Case("a share of a third kind", CURIOUS, "server", "r4", LIAR, MalformedMessage, odd)
    both = (
        data[: first - 4]
        + (len(mine) + len(keys) + 1).to_bytes(4, "big")
        + data[first : first + entry]
        + data[first : first + 4]
        + b"\x01"
        + data[first + 5 :]
    )
    yield Case("both shares of one client", CURIOUS, "server", "r4", LIAR, MalformedMessage, both)


def _closing(replays: Mapping[str, Replay]) -> Iterator[Case]:
    """Nobody's message is wrong, but there are too few; or what was dealt rebuilds nothing."""
    for session in (CURIOUS, ACTIVE):
        for step in replays[session].rounds:
            yield Case(
                f"two replies only, {session}", session, "server", step, 0, CohortTooSmall, heard=(101, 102)
            )
            yield Case(f"no reply at all, {session}", session, "server", step, 0, CohortTooSmall)
    yield Case(
        "three survivors of a sparse graph",
        ACTIVE_SPARSE,
        "server",
        "r2",
        0,
        CohortTooSmall,
        heard=(101, 102, 103),
    )
    yield Case(
        "two keys only, the others sent ahead none",
        AHEAD,
        "server",
        "r3",
        0,
        CohortTooSmall,
        heard=(101, 103),
    )
    dealt = SharesSealed.from_bytes(replays[CURIOUS].reply("r1", LIAR))
    message = replace(dealt, commitment=bytes(32)).to_bytes()
    yield Case(
        "a commitment that no seed gives", CURIOUS, "server", "r4", 0, Unrecoverable, culprit=LIAR,
        heard=(101, 102, 103), replies={f"r1/{LIAR}": message},
    )  # fmt: skip
