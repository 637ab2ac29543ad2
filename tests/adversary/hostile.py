"""A malicious server face to face with the simulator's clients, and what it must not come to hold.

Decides: what a session with it may yield: no secret of an honest client twice, no sum over fewer than were agreed on,
one sum at most. It has every reply, all that its colluders hold and as many sessions as it likes.
Refuses to know: which attack it is (`tests.adversary.server_strategies`).
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from random import Random
from types import SimpleNamespace
from typing import Any, ClassVar

from flwr.app import Array, ArrayRecord, ConfigRecord

from secagg.masks import Residues
from secagg.messages import UnmaskingRequested
from secagg.params import SESSION_BYTES, SecAggParams
from secagg.signatory import View
from tests.simulator.client_node import ClientNode
from tests.simulator.faults import Fault, Weather
from tests.simulator.invariants import Watch
from tests.simulator.network import Envelope
from tests.simulator.quick import KeyPool
from tests.simulator.setting import NODES, places
from tests.simulator.world import inputs_of, policy_of
from tests.support.cohort import decoded, plain_sum
from tests.support.loot import Loot
from tests.support.malicious_server import MaliciousServer
from wire.records import config_digest, model_digest
from wire.rounds import ProtocolRound

R0, R1, R2, R3, R4 = ProtocolRound
MODEL = ArrayRecord({"w": Array("float32", (1,), "chorus.raw", bytes(4))})
CONFIG = ConfigRecord({"local-epochs": 1})
OTHER = b"X" * 32


class Colluder(ClientNode):
    """Keeps to the protocol, and tells the server all that it holds."""

    def sent(self, trip: ProtocolRound, reply: Any, state: Any) -> bytes | tuple[bytes, ...]:
        """As an honest one, once the shares are kept."""
        if trip is R2:
            self.held = state
        return super().sent(trip, reply, state)


@dataclass
class Stage:
    """Clients that a malicious server meets under one seed, some of which collude with it."""

    chance: Random
    params: SecAggParams
    weather: Weather
    watch: Watch
    nodes: Mapping[int, ClientNode]
    colluders: frozenset[int]

    @classmethod
    def set_for(cls, chance: Random, params: SecAggParams) -> "Stage":
        """The honest and the others; now and then a message is lost."""
        clients = NODES[: params.cohort]
        colluders = frozenset(chance.sample(clients, params.colluders))
        inputs = inputs_of(clients, params.tensor_length)
        watch = Watch(params, inputs, params.min_survivors, colluders, server_lies=True)
        pool, policy = KeyPool(chance), policy_of(params.min_survivors)
        nodes = {
            client: (Colluder if client in colluders else ClientNode)(
                client, place, policy, inputs[client], pool.entropy, watch, lambda: 0.0
            )
            for client, place in zip(clients, places(len(clients)), strict=True)
        }
        weather = Weather(chance, frozenset({Fault.DROP}), chance.choice((0.0, 0.0, 0.05)))
        return cls(chance, params, weather, watch, nodes, colluders)


class Hostile(MaliciousServer):
    """The honest course, by a server that keeps everything; a subclass is an attack.

    Attributes:
        refusals: codes with which honest clients may refuse, where the attack is met.
        seatings: of every session: node -> index.
        sparse: the attack is on a sparse graph.
        victim: one honest client.
    """

    refusals: ClassVar[frozenset[str]] = frozenset()
    sparse: ClassVar[bool] = False

    def __init__(self, stage: Stage) -> None:
        self.stage, self.chance = stage, stage.chance
        self.trial: Any = SimpleNamespace(
            settings=SimpleNamespace(roster=places(stage.params.cohort)[0].roster)
        )
        self.params, self.model, self.config = stage.params, MODEL, CONFIG
        self.nodes = sorted(stage.nodes)
        self.loot, self.answers, self.indices, self.server_round = [], {}, {}, 1
        self.codes_met: set[str] = set()
        self.seatings: list[dict[int, int]] = []
        self.victim = self.chance.choice(sorted(set(self.nodes) - stage.colluders))

    def attack(self) -> None:
        """Two sessions, the second with whatever the first has left."""
        for _ in range(2):
            self.play(self.fresh())
            self.server_round += 1

    def fresh(self) -> bytes:
        """A session identifier."""
        return self.chance.randbytes(SESSION_BYTES)

    def digests_for(self, node: int) -> tuple[bytes, bytes]:
        """Of the model and the configuration that one client is shown."""
        return model_digest(self.model), config_digest(self.config)

    def ask(
        self, protocol_round: ProtocolRound, requests: Mapping[int, Any], group: str = ""
    ) -> dict[int, bytes]:
        """Send requests; the replies that are no refusals."""
        replies = {}
        for node, each in requests.items():
            if self.stage.weather.strikes(Fault.DROP):
                continue
            payload = each if isinstance(each, bytes) else each.to_bytes()
            digests = self.digests_for(node) if protocol_round is R1 else (b"", b"")
            request = Envelope(0, node, protocol_round, 1, int(group or self.server_round), payload, digests)
            reply, code = self.stage.nodes[node].answer(request)
            self.answers[protocol_round, node] = code or reply  # type: ignore[assignment]
            if code and node not in self.stage.colluders:
                self.codes_met.add(code)
            if not code:
                replies[node] = reply
        return replies  # type: ignore[return-value]

    def deliver(self) -> None:
        """r2, after which colluders show what they hold."""
        super().deliver()
        for node in self.stage.colluders & set(self.indices):
            held = getattr(self.stage.nodes[node], "held", None)
            if held is not None and held.context == self.loot[-1].agreement.context:
                self.loot[-1].keep(held.index, held.self_mask, held.mask_key)

    def signatures_for(self, index: int) -> dict[int, bytes]:
        """Of everybody who was told the same, and of the colluders, who sign anything."""
        loot, mine = self.loot[-1], self.survivors_for(index)
        found = super().signatures_for(index)
        view = View(loot.agreement.context, len(self.indices), frozenset(loot.sealed), mine)
        for node in self.stage.colluders & set(self.indices):
            place = self.stage.nodes[node].place
            if self.indices[node] in mine and place is not None:
                found[self.indices[node]] = place.endorse(view)
        return dict(sorted(found.items()))

    def request(self, index: int, survivors: frozenset[int]) -> UnmaskingRequested:
        """r4 with other survivors than were announced."""
        return UnmaskingRequested(self.identifier, len(self.indices), survivors, self.signatures_for(index))

    @property
    def victims_index(self) -> int:
        """In the session under way; 0 where it has none."""
        return self.indices.get(self.victim, 0)

    def share(self, announced: Mapping[int, Any]) -> None:
        """r1; who has which index is fixed."""
        self.seatings.append(dict(self.indices))
        super().share(announced)

    def check(self) -> int:
        """What it must not hold; gives the number of sums that came out."""
        return sum(self._check_session(*each) for each in zip(self.loot, self.seatings, strict=True))

    def _check_session(self, loot: Loot, seating: Mapping[int, int]) -> int:
        require, params = self.stage.watch.require, self.params
        stripped = loot.stripped_bare() - {seating[node] for node in self.stage.colluders & set(seating)}
        require(not stripped, f"I1: both secrets of {stripped} came out")
        names = {index: node for node, index in seating.items()}
        found = [part for part, total in loot.sums().items() if self._is_sum(total, {names[i] for i in part})]
        require(len(found) <= 1, f"I7: {len(found)} sums of one session came out")
        for part in found:
            require(len(part) >= params.min_survivors, f"I4: a sum over {len(part)} came out")
        return len(found)

    def _is_sum(self, total: Residues, clients: Set[int]) -> bool:
        """Whether the vectors' sum is what came out. Where clients heard of different sharers, other masks are on
        their vectors than the server reckons with, and what it takes off them leaves noise.
        """
        return decoded(total, self.params) == plain_sum(self.stage.watch.inputs, frozenset(clients))
