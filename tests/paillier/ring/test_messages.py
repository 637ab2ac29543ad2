"""Messages and kept states: what is written is read, and nothing else is."""

from collections.abc import Callable

import pytest

from paillier.errors import InvalidCiphertext
from paillier.ring.hospital.states import AwaitingHop, AwaitingRing, HandedOn
from paillier.ring.messages import (
    HopRequested,
    HopSealed,
    Invitation,
    Joined,
    PartialSum,
    Restart,
    Revealed,
    RingProposed,
    SumHanded,
    sealed_bytes,
)
from secagg.errors import MalformedMessage
from tests.paillier.hospitals import PAIR, Ring

RING = Ring(4)
_dropped: list[int] = []
_states: list[tuple[str, bytes]] = []


def _arrives(moment: str, member: int, data: bytes) -> bytes | None:
    if moment in ("to reveal", "to hop"):
        _states.append((moment, RING.hospitals[member].state))
    if moment == "hop" and not _dropped:
        _dropped.append(member)
        _states.append((moment, RING.hospitals[member].state))
    return None if member in _dropped else data


RING.arrives = _arrives
RING.finished()
assert RING.circulating is not None
TERMS = RING.circulating.terms
SENT = {
    moment: [data for at, _, data in RING.trace if at == moment] for moment in {at for at, _, _ in RING.trace}
}
STATE = dict(_states)

Read = Callable[[object], object]
KINDS: dict[str, tuple[bytes, Read, Callable[..., bytes]]] = {
    "invitation": (SENT["to join"][0], Invitation.from_bytes, Invitation.to_bytes),
    "restart": (SENT["to join"][-1], Restart.from_bytes, Restart.to_bytes),
    "joined": (SENT["join"][0], Joined.from_bytes, Joined.to_bytes),
    "proposal": (SENT["to reveal"][0], RingProposed.from_bytes, RingProposed.to_bytes),
    "revealed": (SENT["reveal"][0], Revealed.from_bytes, Revealed.to_bytes),
    "first request": (SENT["to hop"][0], lambda d: HopRequested.from_bytes(d, TERMS), HopRequested.to_bytes),
    "last request": (SENT["to hop"][-1], lambda d: HopRequested.from_bytes(d, TERMS), HopRequested.to_bytes),
    "hop": (SENT["hop"][-2], lambda d: HopSealed.from_bytes(d, TERMS), HopSealed.to_bytes),
    "sum": (SENT["hop"][-1], lambda d: SumHanded.from_bytes(d, TERMS), lambda m: m.to_bytes(TERMS)),
    "state before the proposal": (STATE["to reveal"], AwaitingRing.from_bytes, AwaitingRing.to_bytes),
    "state before the hop": (STATE["to hop"], AwaitingHop.from_bytes, AwaitingHop.to_bytes),
    "state after the hop": (STATE["hop"], HandedOn.from_bytes, HandedOn.to_bytes),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_and_written_again_the_same(kind: str) -> None:
    data, read, write = KINDS[kind]
    assert write(read(data)) == data


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_shorter_longer_or_of_another_kind_is_read(kind: str) -> None:
    data, read, _ = KINDS[kind]
    others = [other for name, (other, _, _) in KINDS.items() if other[:1] != data[:1]]
    for wrong in [data[:size] for size in range(0, len(data), 3)] + [data[:-1], data + b"\0", *others]:
        with pytest.raises(MalformedMessage):
            read(wrong)
    for wrong in (None, "text", 5, [data]):
        with pytest.raises(MalformedMessage):
            read(wrong)


def test_a_sealed_hop_of_any_other_length_than_the_terms_give_is_not_read() -> None:
    due = sealed_bytes(TERMS)
    assert due == 2 + 4 + 512 + 16
    for size in (0, 1, due - 1, due + 1, 1 << 20):
        with pytest.raises(MalformedMessage):
            HopSealed.from_bytes(HopSealed(TERMS.session, bytes(size)).to_bytes(), TERMS)
    with pytest.raises(MalformedMessage):
        HopRequested.from_bytes(HopRequested(TERMS.session, (), bytes(due + 1)).to_bytes(), TERMS)


@pytest.mark.parametrize("value", [0, PAIR.p, PAIR.public.n, PAIR.public.n**2, (1 << 4096) - 1])
def test_a_partial_sum_or_total_with_a_number_that_is_no_ciphertext_is_not_read(value: int) -> None:
    data = b"\x66\x01" + (1).to_bytes(4, "big") + value.to_bytes(512, "big")
    with pytest.raises(InvalidCiphertext):
        PartialSum.from_bytes(data, TERMS)
    with pytest.raises(InvalidCiphertext):
        SumHanded.from_bytes(b"\x68\x01" + TERMS.session + bytes(64) + value.to_bytes(512, "big"), TERMS)


def test_a_partial_sum_of_nobody_is_not_read() -> None:
    with pytest.raises(MalformedMessage):
        PartialSum.from_bytes(b"\x66\x01" + bytes(4) + (1).to_bytes(512, "big"), TERMS)


def test_states_hide_their_secrets() -> None:
    waiting, closed = AwaitingRing.from_bytes(STATE["to reveal"]), AwaitingHop.from_bytes(STATE["to hop"])
    for state, secrets in (
        (waiting, (waiting.nonce, waiting.channel.private)),
        (closed, (closed.channel.private,)),
    ):
        for secret in secrets:
            assert repr(secret) not in repr(state)
            assert secret.hex() not in repr(state)
