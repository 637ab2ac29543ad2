"""Links between the server and each client: a queue each way, and what happens to a message on it.

Decides: when a message arrives, in which order, how often and with which bytes. Who was tampered with is known to the
watch, which then blames nobody for it. Refuses to know: what the bytes mean.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random

from tests.simulator.clock import Clock
from tests.simulator.faults import Fault, Weather
from wire.rounds import ProtocolRound

LONG = 2000.0  # past every deadline


@dataclass(frozen=True)
class Envelope:
    """A request or a reply, as Flower carries it.

    Attributes:
        request: number of the request that this is, or that it answers.
        client: whom it goes to, or comes from.
        run: of the server; a client knows nothing of other runs.
        digests: of the model and the configuration that come along.
        refusal: code of an error reply.
    """

    request: int
    client: int
    trip: ProtocolRound
    run: int
    server_round: int
    payload: bytes
    digests: tuple[bytes, bytes] = (b"", b"")
    refusal: str = ""


class Past:
    """Every message that was sent one way, for those who put another in its place."""

    def __init__(self) -> None:
        self._sent: dict[ProtocolRound, list[Envelope]] = {}

    def keep(self, envelope: Envelope) -> None:
        """Remember one."""
        self._sent.setdefault(envelope.trip, []).append(envelope)

    def other(self, envelope: Envelope, chance: Random, of_another: bool) -> Envelope | None:
        """One of the same protocol round: another client's, or of this client's past."""
        found = [
            each
            for each in self._sent.get(envelope.trip, ())
            if (each.client != envelope.client) == of_another and each.request != envelope.request
        ]
        return chance.choice(found) if found else None


class Link:
    """One client's queue, one way."""

    def __init__(
        self,
        clock: Clock,
        weather: Weather,
        past: Past,
        deliver: Callable[[Envelope], None],
        tampered: Callable[[Envelope, Fault], None],
    ) -> None:
        self._clock = clock
        self._weather = weather
        self._past = past
        self._deliver = deliver
        self._tampered = tampered
        self._queue: deque[Envelope] = deque()

    def send(self, envelope: Envelope) -> None:
        """Put it on its way, as the weather lets it."""
        weather, chance = self._weather, self._weather.chance
        if weather.strikes(Fault.DROP):
            return
        if not envelope.refusal:
            if weather.strikes(Fault.STALE) and (old := self._past.other(envelope, chance, False)):
                self._queue.append(old)
                self._clock.after(0.04, self._take)
            self._past.keep(envelope)
            envelope = self._changed(envelope)
        if weather.strikes(Fault.DELAY):
            late = envelope
            self._clock.after(LONG * chance.random(), lambda: self._deliver(late))
            return
        at = chance.randrange(len(self._queue) + 1) if weather.strikes(Fault.REORDER) else len(self._queue)
        self._queue.insert(at, envelope)
        self._clock.after(0.05 + chance.random(), self._take)
        if weather.strikes(Fault.DUPLICATE):
            self._queue.append(envelope)
            self._clock.after(0.05 + chance.random() * chance.choice((1.0, 100.0)), self._take)

    def _take(self) -> None:
        self._deliver(self._queue.popleft())

    def _changed(self, envelope: Envelope) -> Envelope:
        weather, chance = self._weather, self._weather.chance
        if weather.strikes(Fault.CORRUPT):
            return self._noted(envelope, corrupted(envelope, chance), Fault.CORRUPT)
        if weather.strikes(Fault.TRUNCATE):
            cut = replace(envelope, payload=envelope.payload[: chance.randrange(len(envelope.payload))])
            return self._noted(envelope, cut, Fault.TRUNCATE)
        for fault in (Fault.CROSS, Fault.REPLAY):
            if weather.strikes(fault):
                other = self._past.other(envelope, chance, fault is Fault.CROSS)
                if other is not None:
                    self._tampered(other, fault)  # two that say the same: nobody knows whose words they were
                    return self._noted(envelope, replace(envelope, payload=other.payload), fault)
        return envelope

    def _noted(self, envelope: Envelope, changed: Envelope, fault: Fault) -> Envelope:
        if changed != envelope:
            self._tampered(envelope, fault)
        return changed


def corrupted(envelope: Envelope, chance: Random) -> Envelope:
    """One bit of the message, or of the model or configuration that come with it."""
    model, config = envelope.digests
    parts = [envelope.payload, model, config]
    which = chance.choices((0, 1, 2), weights=[4, *(1 if part else 0 for part in (model, config))])[0]
    part = bytearray(parts[which])
    part[chance.randrange(len(part))] ^= 1 << chance.randrange(8)
    parts[which] = bytes(part)
    return replace(envelope, payload=parts[0], digests=(parts[1], parts[2]))
