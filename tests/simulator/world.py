"""One seed, played from beginning to end: clients, links, server, faults, and the watch over them.

Decides: in which order things happen: the seed alone does. After the sessions under faults come calm ones, of which
the second at the latest sums everybody: whatever went wrong left nothing behind.
Refuses to know: what a strategy of a malicious party does (`tests.adversary`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from random import Random

from clients.policy import Policy
from secagg.errors import ChorusError
from secagg.server.collection import Collection
from secagg.signatory import Signatory
from tests.simulator.client_node import ClientNode, Store
from tests.simulator.clock import Clock
from tests.simulator.faults import Fault, Weather
from tests.simulator.foretold import Foretold
from tests.simulator.invariants import Watch
from tests.simulator.network import Envelope, Link, Past
from tests.simulator.quick import KeyPool
from tests.simulator.server_node import ServerNode
from tests.simulator.setting import DAY, ROSTER_LASTS, Setting, drawn, places
from tests.support.cohort import Vector, oracle_inputs
from wire.rounds import ProtocolRound

R0, R1, R2, R3, R4 = ProtocolRound
Say = Callable[[str], None]
Made = Callable[..., ClientNode]
_CALM_SESSIONS = 2
_JUMPS = (DAY, -DAY, 3600.0, -3600.0, 20 * DAY)


@dataclass(frozen=True)
class Played:
    """What came of a seed.

    Attributes:
        sums: sessions that ended with a sum; `ends` all of them; `counted` clients in the last sum.
        checks: how often something was required.
        struck: faults.
        codes: with which a step, or a session, ended.
    """

    sums: int
    ends: int
    counted: int
    checks: int
    struck: Mapping[Fault, int]
    codes: frozenset[str]


@lru_cache
def policy_of(least: int) -> Policy:
    return Policy.parse(f"min-cohort = {least}\n")


@lru_cache
def inputs_of(clients: tuple[int, ...], length: int) -> dict[int, Vector]:
    return oracle_inputs(clients, length)


class World:
    """Everything under one seed.

    Attributes:
        answers: client -> codes with which the server met its replies.

    Args:
        say: receives a line for everything that happens.
        setting: in the place of the one that the seed draws.
        cast: client -> what makes it, where it is not an honest one.
    """

    def __init__(
        self,
        seed: int,
        say: Say | None = None,
        setting: Setting | None = None,
        cast: Mapping[int, Made] | None = None,
    ) -> None:
        self.chance = Random(seed)
        self.setting = setting or drawn(self.chance)
        self.clock = Clock()
        self.weather = Weather(self.chance, self.setting.kinds, self.setting.rate)
        params, clients = self.setting.params, self.setting.clients
        inputs = inputs_of(clients, params.tensor_length)
        cast = cast or {}
        self.watch = Watch(params, inputs, self.setting.least, cast)
        self.codes: set[str] = set()
        self.answers: dict[int, set[str]] = {}
        self._say = say
        self._skew = dict.fromkeys(clients, 0.0)
        self._awake = dict.fromkeys(clients, 0.0)
        self._ends: list[tuple[int, ...]] = []
        self._planned = 0
        self._pool = KeyPool(self.chance)
        signatories: tuple[Signatory | None, ...] = (None,) * len(clients)
        if params.is_active:
            signatories = places(len(clients))
        self.nodes = {
            client: cast.get(client, ClientNode)(
                client, signatory, policy_of(self.setting.least), inputs[client], self._pool.entropy, self.watch,
                lambda client=client: self.clock.now + self._skew[client],
            )
            for client, signatory in zip(clients, signatories, strict=True)
        }  # fmt: skip
        self.foretold = Foretold(params, self.watch) if self.setting.is_benign and not cast else None
        roster = signatories[0].roster if signatories[0] else None
        courses = (self, *((self.foretold,) if self.foretold else ()))
        self.server = ServerNode(
            params, clients, roster, self.clock, self.weather, self.watch, courses, self._ask, self._over
        )
        down, up = Past(), Past()
        self._down = {c: self._link(down, self._deliver) for c in clients}
        self._up = {c: self._link(up, self.server.receive) for c in clients}

    def _link(self, past: Past, deliver: Callable[[Envelope], None]) -> Link:
        return Link(self.clock, self.weather, past, deliver, self._tampered)

    def play(self) -> Played:
        """The sessions under faults, then calm ones."""
        self.say(f"{self.setting}")
        self._run(self.setting.sessions)
        self._becalm()
        everybody = tuple(sorted(self.setting.clients))
        for _ in range(_CALM_SESSIONS):
            self._run(1)
            if self.last_sum == everybody:
                break
        if not self.watch.liars:
            self.watch.require(
                self.last_sum == everybody, f"liveness: {self.last_sum} in the sum of the last calm session"
            )
        sums = [end for end in self._ends if end]
        return Played(
            len(sums), len(self._ends), len(self._ends[-1]), self.watch.checks, self.weather.struck,
            frozenset(self.codes),
        )  # fmt: skip

    @property
    def last_sum(self) -> tuple[int, ...]:
        """Clients in the sum of the last session; empty where there is none."""
        return self._ends[-1]

    def _run(self, sessions: int) -> None:
        self._planned = len(self._ends) + sessions
        self.clock.after(0.0, self._open)
        self.clock.run()
        self.watch.require(len(self._ends) == self._planned, "liveness: a session did not end")

    def _open(self) -> None:
        self.say(f"session {len(self._ends) + 1} opens{', calm' if self.weather.calm else ''}")
        self.server.open(self.chance)

    def _over(self, summed: tuple[int, ...]) -> None:
        self._ends.append(summed)
        if len(self._ends) < self._planned:
            self.clock.after(1.0, self._open)

    def _becalm(self) -> None:
        self.weather.calm = True
        self.server.awake = 0.0
        for client, node in self.nodes.items():
            self._skew[client] = self._awake[client] = 0.0
            node.disk_fails = False

    # Messages.

    def _ask(self, request: Envelope) -> None:
        self._down[request.client].send(request)

    def _tampered(self, envelope: Envelope, fault: Fault) -> None:
        self.watch.tainted(envelope.client)
        self.say(f"{envelope.trip} of client {envelope.client}: {fault}")

    def _deliver(self, request: Envelope) -> None:
        client, now = request.client, self.clock.now
        if self.weather.strikes(Fault.PAUSE_CLIENT):
            self._awake[client] = now + self.chance.choice((1.0, 10.0, 100.0))
            self.say(f"client {client} pauses")
        if now < self._awake[client]:
            self.clock.after(self._awake[client] - now, lambda: self._step(request))
        else:
            self._step(request)

    def _step(self, request: Envelope) -> None:
        """What a client does with a request, and what happens to it meanwhile."""
        client, node = request.client, self.nodes[request.client]
        self._strike(request, node)
        if self.weather.strikes(Fault.CRASH_BEFORE):
            self._crash(request, "before")
            return
        if self.weather.strikes(Fault.CRASH_UNSAVED):
            self._unsaved(request, node)
            return
        expected = self._foretell(request, node)
        reply, code = node.answer(request)
        self.say(f"{request.trip} -> client {client}: {code or 'answers'}")
        if code:
            self.codes.add(code)
        if expected is not None:
            self.watch.require(
                code == expected,
                f"I11: client {client} says {code or 'yes'!r} in {request.trip}, not {expected or 'yes'!r}",
            )
        if self.foretold and not code and isinstance(reply, bytes):
            self.foretold.answered(request, reply)
        if self.weather.strikes(Fault.CRASH_AFTER):
            self._crash(request, "after")
            return
        busy = self.chance.uniform(1.0, 120.0) if request.trip is R1 else 0.1
        for each in reply if isinstance(reply, tuple) else (reply,):
            back = replace(request, payload=each, digests=(b"", b""), refusal=code)
            self.clock.after(busy, partial(self._up[client].send, back))

    def _strike(self, request: Envelope, node: ClientNode) -> None:
        if self.weather.strikes(Fault.CLOCK):
            self._skew[request.client] += self.chance.choice(_JUMPS)
            self.say(f"the clock of client {request.client} jumps to {self._skew[request.client]:+g} s")
        if request.trip in (R1, R2) and self.weather.strikes(Fault.DISK_CLIENT):
            node.disk_fails = True

    def _foretell(self, request: Envelope, node: ClientNode) -> str | None:
        if self.foretold is None:
            return None
        late = node.wall_clock() >= ROSTER_LASTS
        return self.foretold.code(request, late, node.disk_fails)

    def _crash(self, request: Envelope, when: str) -> None:
        self.say(f"client {request.client} crashes {when} {request.trip}")
        node = self.nodes[request.client]
        node.stores.clear()
        node.disk_fails = False
        if self.foretold:
            for run in range(1, self.server.run + 1):
                self.foretold.lost(request.client, run)

    def _unsaved(self, request: Envelope, node: ClientNode) -> None:
        """The process dies before it has handed anything over."""
        self.say(f"client {request.client} crashes within {request.trip}")
        before = Store(node.store(request.run))
        self.watch.muted = True
        node.answer(request)
        self.watch.muted, node.disk_fails = False, False
        node.stores[request.run] = before

    # As a course of the server's, for the trace.

    def say(self, line: str) -> None:
        """Tell what happens."""
        if self._say:
            self._say(f"{self.clock.now:9.2f}  {line}")

    def asked(self, request: Envelope) -> None:
        """A request is on its way."""

    def heard(self, trip: ProtocolRound, client: int, due: bool, error: ChorusError | None) -> None:
        """A reply came."""
        if error:
            self.codes.add(error.code)
            self.answers.setdefault(client, set()).add(error.code)
        self.say(f"{trip} <- client {client}: {error.line if error else 'counts'}")

    def closed(self, trip: ProtocolRound, collection: Collection, error: ChorusError | None) -> None:
        """A protocol round has ended."""
        self.say(f"{trip} closes with {collection.heard}{': ' + error.line if error else ''}")

    def ended(self, error: ChorusError | None) -> None:
        """The session is over."""
        self.say(f"the session ends: {error.line if error else 'summed, or the server crashed'}")
