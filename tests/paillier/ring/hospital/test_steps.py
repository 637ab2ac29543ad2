"""What a hospital refuses before anything of its data leaves: wrong terms, wrong rings, a key holder that lies."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from paillier.ciphertext import Ciphertext, encrypt
from paillier.errors import BrokenHop, ForeignKey, InvalidCiphertext
from paillier.packing import Packing
from paillier.ring.circle import Circle, commitment, joining
from paillier.ring.holder.r0_open import restart
from paillier.ring.holder.states import AwaitingJoins
from paillier.ring.hospital.r0_join import join, rejoin
from paillier.ring.hospital.r1_reveal import reveal
from paillier.ring.hospital.r2_hop import hand_on
from paillier.ring.hospital.states import AwaitingHop, AwaitingRing
from paillier.ring.messages import (
    HopRequested,
    Invitation,
    Joined,
    PartialSum,
    Restart,
    Revealed,
    RingProposed,
)
from paillier.ring.terms import Terms
from secagg.errors import Misbehaviour, NotAuthentic, OutOfTurn, RangeError, SuspectServer
from secagg.primitives import KeyPair, SigningKey, seal
from secagg.roster import Roster
from secagg.signatory import Signatory
from tests.paillier.hospitals import PACKING, PAIR, SUBJECT, federation, vector_of
from tests.paillier.made import pair_of, quick
from tests.support.streams import stream

ROSTER, KEYS = federation(5)
PLACES = {number: Signatory.of(ROSTER, key) for number, key in enumerate(KEYS, start=1)}
TERMS = Terms(b"s" * 32, 7, SUBJECT, ROSTER.digest, (1, 2, 3, 4), PAIR.public, PACKING)
PINNED = PAIR.public.digest


def _joined(terms: Terms = TERMS, seed: int = 0) -> dict[int, tuple[AwaitingRing, Joined]]:
    return {
        member: join(Invitation(terms), PLACES[member], PINNED, stream(50 * seed + member))
        for member in terms.members
    }


ALL = _joined()
PROPOSED = RingProposed(TERMS.session, tuple(joined for _, joined in ALL.values()))
CLOSED = {member: reveal(state, PROPOSED, PLACES[member]) for member, (state, _) in ALL.items()}
REVEALED = tuple(revealed for _, revealed in CLOSED.values())


NONCES = {member: revealed.nonce for member, (_, revealed) in CLOSED.items()}
CIRCLE = Circle.of(TERMS, PROPOSED.context(TERMS), NONCES)
ORDER = CIRCLE.order
FIRST = ORDER[0]


def _hop(member: int, request: HopRequested, state: AwaitingHop | None = None) -> None:
    hand_on(state or CLOSED[member][0], request, vector_of(member), quick(2048), PLACES[member])


# Joining.


def test_a_key_that_was_not_expected_is_refused() -> None:
    packing = Packing(4, 6, 1 << 20, 20, 3072)
    other = replace(TERMS, public=pair_of(3072).public, packing=packing)
    with pytest.raises(ForeignKey) as caught:
        join(Invitation(other), PLACES[1], PINNED, stream(1))
    assert caught.value.code == "VIEW"


def test_another_roster_is_refused() -> None:
    with pytest.raises(SuspectServer):
        join(Invitation(replace(TERMS, roster=b"q" * 32)), PLACES[1], PINNED, stream(1))


def test_a_ring_without_this_hospital_is_refused() -> None:
    with pytest.raises(SuspectServer):
        join(Invitation(TERMS), PLACES[5], PINNED, stream(1))


@pytest.mark.parametrize("members", [(1, 2, 6), (1, 2, 1 << 20)])
def test_a_stranger_in_the_ring_is_refused(members: tuple[int, ...]) -> None:
    with pytest.raises(NotAuthentic):
        join(Invitation(replace(TERMS, members=members)), PLACES[1], PINNED, stream(1))


def test_a_revoked_member_in_the_ring_is_refused() -> None:
    members = tuple(replace(each, revoked=number == 3) for number, each in enumerate(ROSTER.members, start=1))
    roster = Roster("ring", 2, 0, members)
    with pytest.raises(NotAuthentic):
        join(
            Invitation(replace(TERMS, roster=roster.digest)), Signatory.of(roster, KEYS[0]), PINNED, stream(1)
        )


# A restart.

LEFT = replace(TERMS, session=b"t" * 32, members=(1, 3, 4))
RESTART = Restart(LEFT, TERMS.session, (2,))
STATES = {"before the proposal": ALL[1][0], "before the hop": CLOSED[1][0]}


@pytest.mark.parametrize("moment", STATES)
def test_a_restart_is_joined_with_fresh_key_and_nonce(moment: str) -> None:
    state, joined = rejoin(STATES[moment], RESTART, PLACES[1], PINNED, stream(99))
    assert state.terms == LEFT
    assert joined.channel != ALL[1][1].channel
    assert state.nonce != ALL[1][0].nonce


BAD_RESTARTS: dict[str, Restart] = {
    "the same session": replace(RESTART, terms=replace(LEFT, session=TERMS.session)),
    "of another session": replace(RESTART, failed=b"u" * 32),
    "nobody skipped": replace(RESTART, terms=replace(TERMS, session=b"t" * 32), skipped=(5,)),
    "somebody else skipped": replace(RESTART, skipped=(3,)),
    "more skipped than named": replace(RESTART, terms=replace(LEFT, members=(1, 3, 5))),
    "this hospital skipped": replace(RESTART, terms=replace(LEFT, members=(2, 3, 4)), skipped=(1,)),
    "a newcomer": replace(RESTART, terms=replace(LEFT, members=(1, 3, 4, 5))),
    "another server round": replace(RESTART, terms=replace(LEFT, server_round=8)),
    "another subject": replace(RESTART, terms=replace(LEFT, subject=b"n" * 32)),
    "another packing": replace(RESTART, terms=replace(LEFT, packing=replace(PACKING, fraction_bits=21))),
    "another roster": replace(RESTART, terms=replace(LEFT, roster=b"q" * 32)),
    "so many skipped that two are left": replace(RESTART, skipped=(2, 3)),
}


@pytest.mark.parametrize("name", BAD_RESTARTS)
def test_a_restart_that_changes_anything_else_is_refused(name: str) -> None:
    expected = OutOfTurn if "session" in name else SuspectServer
    with pytest.raises(expected):
        rejoin(CLOSED[1][0], BAD_RESTARTS[name], PLACES[1], PINNED, stream(1))


def test_the_key_holders_restart_is_the_one_that_hospitals_take() -> None:
    state, message = restart(AwaitingJoins(TERMS, ROSTER), [2], stream(3))
    joined, _ = rejoin(CLOSED[1][0], message, PLACES[1], PINNED, stream(1))
    assert joined.terms == state.terms


# The proposal.


def _with(member: int, changed: Joined) -> RingProposed:
    return replace(
        PROPOSED, joined=tuple(changed if each.member == member else each for each in PROPOSED.joined)
    )


def _signed(member: int, channel: bytes, committed: bytes, key: SigningKey | None = None) -> Joined:
    signature = (key or KEYS[member - 1]).sign(joining(TERMS, member, channel, committed))
    return Joined(member, channel, committed, signature)


SECOND = ALL[2][1]
OWN = KeyPair.generate(stream(77))
BAD_PROPOSALS: dict[str, tuple[Callable[[], RingProposed], type[Exception]]] = {
    "another session": (lambda: replace(PROPOSED, session=b"t" * 32), OutOfTurn),
    "one left out": (lambda: replace(PROPOSED, joined=PROPOSED.joined[:-1]), SuspectServer),
    "one twice": (lambda: replace(PROPOSED, joined=PROPOSED.joined[:-1] + PROPOSED.joined[:1]), SuspectServer),
    "another order": (lambda: replace(PROPOSED, joined=PROPOSED.joined[::-1]), SuspectServer),
    "one's own key altered": (lambda: _with(1, _signed(1, OWN.public, b"c" * 32)), SuspectServer),
    "a key of the key holder's own": (lambda: _with(2, replace(SECOND, channel=OWN.public)), NotAuthentic),
    "a key signed by another member": (
        lambda: _with(2, _signed(2, OWN.public, SECOND.commitment, KEYS[2])), NotAuthentic
    ),
    "a key of another session": (
        lambda: _with(2, _joined(replace(TERMS, session=b"t" * 32), 1)[2][1]), NotAuthentic
    ),
    "another commitment": (lambda: _with(2, replace(SECOND, commitment=b"c" * 32)), NotAuthentic),
    "the key of another": (lambda: _with(2, _signed(2, ALL[3][1].channel, SECOND.commitment)), SuspectServer),
    "the commitment of another": (lambda: _with(2, _signed(2, OWN.public, ALL[3][1].commitment)), SuspectServer),
    "a key of low order": (lambda: _with(2, _signed(2, bytes(32), SECOND.commitment)), Misbehaviour),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_PROPOSALS)
def test_a_proposal_that_no_honest_key_holder_makes_is_refused(name: str) -> None:
    proposed, expected = BAD_PROPOSALS[name]
    with pytest.raises(expected):
        reveal(ALL[1][0], proposed(), PLACES[1])


# The hop.


def _revealed(member: int, changed: Revealed) -> HopRequested:
    pairs = zip(TERMS.members, REVEALED, strict=True)
    return HopRequested(TERMS.session, tuple(changed if who == member else each for who, each in pairs), b"")


GOOD = HopRequested(TERMS.session, REVEALED, b"")


def test_the_first_starts_a_sum_and_nobody_else_does() -> None:
    _hop(FIRST, GOOD)
    for member in ORDER[1:]:
        with pytest.raises(SuspectServer):
            _hop(member, GOOD)
    with pytest.raises(SuspectServer):
        _hop(FIRST, replace(GOOD, sealed=bytes(534)))


def test_nonces_are_those_committed_to_and_signed_for_this_ring() -> None:
    other = ORDER[1]
    good = REVEALED[TERMS.members.index(other)]
    with pytest.raises(SuspectServer):
        _hop(FIRST, _revealed(other, replace(good, nonce=b"n" * 32)))
    with pytest.raises(NotAuthentic):
        _hop(FIRST, _revealed(other, replace(good, signature=bytes(64))))
    with pytest.raises(SuspectServer):
        _hop(FIRST, replace(GOOD, revealed=REVEALED[:-1]))
    with pytest.raises(SuspectServer):
        _hop(FIRST, replace(GOOD, revealed=REVEALED[::-1]))
    with pytest.raises(OutOfTurn):
        _hop(FIRST, replace(GOOD, session=b"t" * 32))


def test_two_who_were_shown_different_rings_notice() -> None:
    """The key holder and one member sign two keys for it, and show one to some and the other to others."""
    colluder, victim = ORDER[1], FIRST
    nonce = b"n" * 32
    second = _signed(colluder, OWN.public, commitment(TERMS, colluder, nonce))
    shown = _with(colluder, second)
    state, own = reveal(ALL[victim][0], shown, PLACES[victim])
    statements = {who: each for who, each in zip(TERMS.members, REVEALED, strict=True)}
    statements[victim] = own
    colluding = AwaitingRing(TERMS, second, OWN, nonce)
    statements[colluder] = reveal(colluding, shown, PLACES[colluder])[1]
    request = HopRequested(TERMS.session, tuple(statements[who] for who in TERMS.members), b"")
    with pytest.raises(NotAuthentic):
        _hop(victim, request, state)


def test_a_vector_that_cannot_be_encoded_leaves_nothing() -> None:
    for values in ([1.0] * 3, [1.0, 2.0, 3.0, float("nan")], [2.0**21, 0.0, 0.0, 0.0]):
        with pytest.raises(RangeError):
            hand_on(CLOSED[FIRST][0], GOOD, values, quick(2048), PLACES[FIRST])


def _sealed(data: bytes) -> HopRequested:
    """What a first hospital that does as it likes seals to the second, with its own rightful key."""
    second = ALL[ORDER[1]][1].channel
    key = CIRCLE.key(CLOSED[FIRST][0].channel.private, second, 1)
    return replace(GOOD, sealed=seal(key, data, CIRCLE.label(1)))


ONE = encrypt(PAIR.public, 5, quick(2048))


def test_what_a_predecessor_seals_wrongly_is_refused() -> None:
    second = ORDER[1]
    _hop(second, _sealed(PartialSum(1, (ONE,)).to_bytes(TERMS)))
    for count in (2, 3):
        with pytest.raises(BrokenHop):
            _hop(second, _sealed(PartialSum(count, (ONE,)).to_bytes(TERMS)))
    for sums in ((), (ONE, ONE)):
        with pytest.raises(BrokenHop):
            _hop(second, _sealed(PartialSum(1, sums).to_bytes(TERMS)))
    for number in (0, PAIR.p, PAIR.public.n):
        wrong = Ciphertext(PAIR.public.digest, number)
        with pytest.raises(InvalidCiphertext):
            _hop(second, _sealed(PartialSum(1, (wrong,)).to_bytes(TERMS)))
    with pytest.raises(BrokenHop):
        _hop(second, _sealed(b"anything"))
