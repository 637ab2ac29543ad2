"""Whole rings: the sum is that of who stayed, whoever drops whenever; what is altered or replayed gives no sum."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest

from paillier.ciphertext import add_plain, decrypt, encrypt
from paillier.errors import BrokenHop, ForeignKey
from paillier.randomisers import fresh_powers
from paillier.ring.holder.r2_total import finish
from paillier.ring.hospital.states import AwaitingHop
from paillier.ring.messages import HopRequested, HopSealed, PartialSum, SumHanded, sums_bytes
from paillier.ring.terms import LEAST_HOSPITALS, Terms
from secagg.errors import ChorusError, CohortTooSmall, NotAuthentic, OutOfTurn, RangeError
from secagg.primitives import BadCiphertext, unseal
from tests.paillier.hospitals import PAIR, Hospital, Ring, refused, sum_of
from tests.paillier.made import pair_of, quick
from tests.support.streams import stream

SIZES = (3, 4, 5)


@pytest.mark.parametrize("size", SIZES)
def test_the_total_is_everybodys_sum(size: int) -> None:
    ring = Ring(size)
    total, sessions = ring.finished()
    assert total == sum_of(range(1, size + 1))
    assert sessions == [tuple(range(1, size + 1))]


def _expect(ring: Ring, dropper: int) -> None:
    stayed = [member for member in ring.hospitals if member != dropper]
    if len(stayed) < LEAST_HOSPITALS:
        with pytest.raises(CohortTooSmall) as caught:
            ring.finished()
        assert caught.value.code == "QUORUM"
        return
    total, sessions = ring.finished()
    assert total == sum_of(stayed)
    assert sessions == [tuple(ring.hospitals), tuple(stayed)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("moment", ["to join", "join", "to reveal", "reveal"])
def test_whoever_drops_while_the_ring_forms_is_skipped(size: int, moment: str) -> None:
    for dropper in range(1, size + 1):
        gone = {dropper}
        ring = Ring(size, arrives=lambda at, who, data, g=gone: None if at == moment and who in g else data)
        _expect(ring, dropper)


@pytest.mark.parametrize("moment", ["to hop", "hop"])
@pytest.mark.parametrize(("size", "hop"), [(size, hop) for size in SIZES for hop in range(1, size + 1)])
def test_whoever_drops_at_any_hop_is_skipped(size: int, hop: int, moment: str) -> None:
    dropped: list[int] = []
    hops = itertools.count(1)

    def arrives(at: str, who: int, data: bytes) -> bytes | None:
        if at == moment and not dropped and next(hops) == hop:
            dropped.append(who)
        return None if dropped and who == dropped[0] else data

    ring = Ring(size, arrives=arrives)
    try:
        total, sessions = ring.finished()
    except CohortTooSmall:
        assert size == LEAST_HOSPITALS
        return
    stayed = [member for member in ring.hospitals if member != dropped[0]]
    assert total == sum_of(stayed)
    assert sessions[-1] == tuple(stayed)
    assert size > LEAST_HOSPITALS


@pytest.mark.parametrize(("first", "second"), list(itertools.product(range(1, 6), range(1, 5))))
def test_two_who_drop_one_after_the_other_are_both_skipped(first: int, second: int) -> None:
    """Five hospitals; one drops at any hop of the first ring, another at any hop of the second."""
    dropped: list[int] = []
    hops = {0: itertools.count(1), 1: itertools.count(1)}

    def arrives(at: str, who: int, data: bytes) -> bytes | None:
        if at == "hop" and len(dropped) < 2 and next(hops[len(dropped)]) == (first, second)[len(dropped)]:
            dropped.append(who)
        return None if who in dropped else data

    total, sessions = Ring(5, arrives=arrives).finished()
    stayed = [member for member in range(1, 6) if member not in dropped]
    assert total == sum_of(stayed)
    assert [len(session) for session in sessions] == [5, 4, 3]


def test_a_restart_shares_no_key_nonce_order_or_sum_with_the_session_that_failed() -> None:
    hops: list[int] = []

    def arrives(at: str, who: int, data: bytes) -> bytes | None:
        if at == "hop":
            hops.append(who)
        return None if at == "hop" and len(hops) == 5 else data

    ring = Ring(5, arrives=arrives)
    ring.finished()
    sent: dict[tuple[str, int], list[bytes]] = {}
    for moment, member, data in ring.trace:
        if not moment.startswith("to "):
            sent.setdefault((moment, member), []).append(data)
    for member in set(hops[:4]):
        before, after = sent["join", member]
        assert before[6:70] != after[6:70]  # key and commitment
        assert before[6:38] != after[6:38]
        first, second = sent["reveal", member]
        assert first[2:34] != second[2:34]
        assert len(set(sent["hop", member])) == 2


def test_over_many_rings_everybody_stands_everywhere() -> None:
    """480 rings of three, up to the first request: each of the six orders about as often (chi squared, p = 1e-6)."""
    orders: Counter[tuple[int, ...]] = Counter()

    class Enough(Exception):
        pass

    def arrives(at: str, who: int, data: bytes) -> bytes:
        if at == "to hop":
            raise Enough
        return data

    for seed in range(480):
        ring = Ring(3, seed=seed, arrives=arrives)
        with pytest.raises(Enough):
            ring.finished()
        assert ring.circulating is not None
        orders[ring.circulating.circle.order] += 1
    assert set(orders) == set(itertools.permutations((1, 2, 3)))
    assert sum((count - 80) ** 2 / 80 for count in orders.values()) < 36.0


# What an altered, replayed or swapped message does: a typed error at whoever reads it, and never a sum.


def _stopped_at(ring: Ring, moment: str, place: int) -> tuple[Hospital, bytes]:
    """The hospital that receives the `place`-th message of this moment, before it reads it, and the message."""
    seen = itertools.count(1)

    class Reached(Exception):
        pass

    def arrives(at: str, who: int, data: bytes) -> bytes:
        if at == moment and next(seen) == place:
            raise Reached
        return data

    ring.arrives = arrives
    with pytest.raises(Reached):
        ring.finished()
    _, member, data = ring.trace[-1]
    return ring.hospitals[member], data


def _flips(data: bytes, every: int = 1) -> list[bytes]:
    flipped = []
    for at in range(0, len(data), every):
        changed = bytearray(data)
        changed[at] ^= 1 << at % 8
        flipped.append(bytes(changed))
    return flipped


@pytest.mark.parametrize("place", [1, 2, 3])
def test_every_byte_of_a_hop_request_counts(place: int) -> None:
    hospital, data = _stopped_at(Ring(3), "to hop", place)
    kept = hospital.state
    codes = set()
    for changed in [*_flips(data), data[:-1], data + b"\0", data[:2], b""]:
        hospital.state = kept
        error = refused(hospital.hand_on, changed)
        assert error is not None
        assert hospital.state == kept
        codes.add(error.code)
    assert codes == {"FORMAT", "STATE", "VIEW", "AUTH"} | ({"CRYPTO"} if place > 1 else set())
    assert refused(hospital.hand_on, data) is None


def test_every_byte_of_a_proposal_counts() -> None:
    hospital, data = _stopped_at(Ring(3), "to reveal", 2)
    kept = hospital.state
    for changed in [*_flips(data), data[:-1], data + b"\0", b""]:
        hospital.state = kept
        assert refused(hospital.reveal, changed) is not None
    assert refused(hospital.reveal, data) is None


@pytest.mark.parametrize(("moment", "every"), [("to join", 1), ("join", 1), ("reveal", 1), ("hop", 7)])
def test_every_byte_that_one_hospital_sees_or_sends_otherwise_ends_without_a_sum(
    moment: str, every: int
) -> None:
    """An invitation altered for one; what one joined with, revealed or handed on altered before it arrives."""
    recorded = Ring(3)
    recorded.finished()
    (at, member, data), *_ = [each for each in recorded.trace if each[0] == moment and each[1] == 2]
    for changed in _flips(data, every):
        ring = Ring(3, arrives=lambda a, w, d, c=changed: c if (a, w) == (at, member) else d)
        with pytest.raises(ChorusError):
            ring.finished()


def test_a_message_of_another_session_is_refused_everywhere() -> None:
    """Everything that was said in another session of the same hospitals, at every point of this one."""
    for other in (Ring(3, seed=1), Ring(3, seed=2, server_round=2)):
        other.finished()
        recorded = [each for each in other.trace if each[0] != "to join"]
        for moment, member, data in recorded:
            ring = Ring(3, arrives=lambda a, w, d, x=(moment, member, data): x[2] if (a, w) == x[:2] else d)
            with pytest.raises(ChorusError):
                ring.finished()


def test_a_hop_fits_only_its_own_place_ring_and_recipient() -> None:
    """Sealed hops of this and of another session, in every request but the one they are for."""
    rings = [Ring(4), Ring(4, seed=1)]
    for ring in rings:
        ring.finished()
    hops = [data for ring in rings for moment, _, data in ring.trace if moment == "hop"]
    assert len(hops) == 8
    for place in (2, 3, 4):
        hospital, data = _stopped_at(Ring(4), "to hop", place)
        kept = hospital.state
        due = HopRequested.from_bytes(data, _terms(hospital))
        for number, hop in enumerate(hops, start=1):
            try:
                sealed = HopSealed.from_bytes(hop, _terms(hospital)).sealed
            except ChorusError:
                continue  # the sum of the last is no hop
            hospital.state = kept
            error = refused(hospital.hand_on, HopRequested(due.session, due.revealed, sealed).to_bytes())
            assert error is None if number == place - 1 else isinstance(error, BrokenHop)


def _terms(hospital: Hospital) -> Terms:
    """Those that it awaits a hop under."""
    return AwaitingHop.from_bytes(hospital.state).terms


def test_the_key_holder_cannot_open_what_the_first_hospital_hands_on() -> None:
    ring = Ring(3)
    states = {}

    def arrives(at: str, who: int, data: bytes) -> bytes:
        if at == "to hop":
            states[who] = ring.hospitals[who].state
        return data

    ring.arrives = arrives
    ring.finished()
    assert ring.circulating is not None
    terms, circle = ring.circulating.terms, ring.circulating.circle
    first, second = circle.order[:2]
    (hop,) = [data for moment, who, data in ring.trace if moment == "hop" and who == first]
    sealed = HopSealed.from_bytes(hop, terms).sealed
    # The second hospital's key opens it, and with the private key of the cipher that is the first one's vector.
    sender, recipient = (AwaitingHop.from_bytes(states[who]) for who in (first, second))
    key = circle.key(recipient.channel.private, sender.channel.public, 1)
    partial = PartialSum.from_bytes(unseal(key, sealed, circle.label(1)), terms)
    assert terms.packing.unpack([decrypt(PAIR, each) for each in partial.sums]) == sum_of([first])
    # The key holder has every message, the private key of the cipher and everything public: none of it is the key.
    numbers = [int(each.value).to_bytes(512, "big") for each in partial.sums]
    assert all(
        number[at : at + 16] not in data for _, _, data in ring.trace for number in numbers for at in (0, 256)
    )
    known = [data[at : at + 32] for _, _, data in ring.trace for at in range(len(data) - 31)]
    known += [PAIR.public.digest, circle.digest, bytes(32)]
    known += [half.to_bytes(128, "big")[:32] for half in (PAIR.p, PAIR.q)]
    for guess in set(known):
        with pytest.raises(BadCiphertext):
            unseal(guess, sealed, circle.label(1))


def test_hops_are_of_one_length_whatever_is_in_them() -> None:
    ring = Ring(5)
    ring.finished()
    hops = [data for moment, _, data in ring.trace if moment == "hop"]
    assert len({len(data) for data in hops[:-1]}) == 1
    for moment in ("join", "reveal"):
        assert len({len(data) for at, _, data in ring.trace if at == moment}) == 1


def test_the_sum_counts_only_as_the_last_ones_own() -> None:
    """The hospital before the last knows the ciphertexts of a sum too; it cannot sign for the last."""
    ring = Ring(3)
    ring.finished()
    assert ring.circulating is not None
    state, terms = ring.circulating, ring.circulating.terms
    total = SumHanded.from_bytes(ring.trace[-1][2], terms)
    assert finish(state, total, PAIR) == sum_of([1, 2, 3])
    other = ring.hospitals[state.circle.order[1]].signatory.key
    forged = other.sign(state.circle.handing(sums_bytes(terms, total.sums)))
    with pytest.raises(NotAuthentic):
        finish(state, SumHanded(terms.session, total.sums, forged), PAIR)
    raised = tuple(add_plain(terms.public, each, 1, quick(2048)) for each in total.sums)
    with pytest.raises(NotAuthentic):
        finish(state, SumHanded(terms.session, raised, total.signature), PAIR)
    with pytest.raises(ForeignKey):
        finish(state, total, pair_of(3072))
    with pytest.raises(OutOfTurn):
        finish(replace(state, position=2), total, PAIR)
    with pytest.raises(OutOfTurn):
        finish(state, replace(total, session=b"x" * 32), PAIR)


def test_a_hospital_that_adds_more_than_all_together_may_is_noticed_and_no_number_leaves() -> None:
    ring = Ring(3)
    ring.finished()
    assert ring.circulating is not None
    state, terms = ring.circulating, ring.circulating.terms
    last = ring.hospitals[state.turn].signatory.key
    much = terms.packing.parties * terms.packing.largest + 1
    sums = (encrypt(terms.public, much, quick(2048)),)
    signature = last.sign(state.circle.handing(sums_bytes(terms, sums)))
    with pytest.raises(RangeError):
        finish(state, SumHanded(terms.session, sums, signature), PAIR)


def _view(order: tuple[int, ...], vectors: dict[int, list[float]], middle: int) -> list[bytes]:
    """Everything that the hospital at this place receives, all randomness being the same in every call."""
    ring = Ring(5)
    for member, hospital in ring.hospitals.items():
        hospital.vector = vectors[member]
        hospital.randomiser = fresh_powers(PAIR.public, stream(member))
    total, _ = ring.finished()
    assert total == [sum(column) for column in zip(*vectors.values(), strict=True)]
    return [data for moment, who, data in ring.trace if moment.startswith("to ") and who == order[middle - 1]]


def test_a_middle_hospital_sees_nothing_but_a_ciphertext_of_the_sum_before_it() -> None:
    """With the same randomness its view is the same bytes, however that sum came about and whatever comes after."""
    first = Ring(5)
    first.finished()
    assert first.circulating is not None
    order = first.circulating.circle.order
    base = {member: [1.0 * member, 2.0, -3.0, 0.0] for member in order}
    views = _view(order, base, 3)
    split = base | {
        order[0]: [500.0, 0.0, 0.0, 9.0],
        order[1]: [order[0] + order[1] - 500.0, 4.0, -6.0, -9.0],
    }
    assert _view(order, split, 3) == views
    after = base | {order[3]: [77.0] * 4, order[4]: [-1e5, 0.5, 0.25, 8.0]}
    assert _view(order, after, 3) == views
    assert _view(order, base | {order[0]: [0.0] * 4}, 3) != views
