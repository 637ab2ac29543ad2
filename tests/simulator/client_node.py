"""A client's node: the real steps, the real store and policy, behind a shell as thin as `clients.handlers`.

Decides: nothing of the protocol. What is modelled here and not run is what `clients.steps` adds to the pure steps: the
order of r1's checks, that a state is taken out before its step runs, that any error wipes what is left, that a server
round is not had twice; and training, which takes time and may find no room on the disk.
Refuses to know: links, other clients, what the server does.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from arithmetic.errors import SetupError
from arithmetic.residues import word_type
from clients.policy import Policy
from secagg.client.r0_advertise_keys import advertise_keys
from secagg.client.r1_share_keys import share_keys
from secagg.client.r2_masked_input import mask_input
from secagg.client.r3_consistency_check import sign_survivors
from secagg.client.r4_unmasking import reveal_shares
from secagg.client.states import (
    AwaitingCohort,
    AwaitingShares,
    AwaitingSignatures,
    AwaitingSurvivors,
    CarryingKeys,
)
from secagg.errors import ChorusError, MalformedMessage, OutOfTurn, Refused, SuspectServer
from secagg.masks import Residues
from secagg.messages import (
    CohortAnnounced,
    Invitation,
    SharesDelivered,
    SurvivorsAnnounced,
    UnmaskingRequested,
)
from secagg.params import SecAggParams
from secagg.signatory import Signatory
from tests.simulator.invariants import Violation, Watch
from tests.simulator.network import Envelope
from tests.support.cohort import Vector
from wire import kept_state
from wire.rounds import ProtocolRound

R0, R1, R2, R3, R4 = ProtocolRound


class Store(dict[str, Any]):
    """What `wire.kept_state` needs of Flower's `RecordDict`, which takes a fourth of a seed's time."""

    @property
    def config_records(self) -> "Store":
        """There are no others."""
        return self


class ClientNode:
    """One client.

    Attributes:
        place: in the roster, in active sessions.
        stores: run -> what is kept of it.
        wall_clock: what time it is there.
        disk_fails: at the next step that writes or reads the update.
    """

    def __init__(
        self,
        client: int,
        signatory: Signatory | None,
        policy: Policy,
        vector: Vector,
        entropy: Callable[[ProtocolRound, int], bytes],
        watch: Watch,
        wall_clock: Callable[[], float],
    ) -> None:
        self.client = client
        self.stores: dict[int, Any] = {}
        self.disk_fails = False
        self.place = signatory
        self._policy = policy
        self._vector = vector
        self._entropy = entropy
        self._watch = watch
        self.wall_clock = wall_clock

    def store(self, run: int) -> Any:
        """What is kept of one run."""
        return self.stores.setdefault(run, Store())

    def answer(self, request: Envelope) -> tuple[bytes | tuple[bytes, ...], str]:
        """(reply, or several; code of a refusal). As `clients.handlers.answer`."""
        store = self.store(request.run)
        try:
            return _STEPS[request.trip](self, request, store), ""
        except ChorusError as error:
            kept_state.take(store)
            self._watch.client_left(self.client, request, error, store)
            return b"", error.code
        except Violation:
            raise
        except Exception as error:
            self._watch.broken(f"client {self.client} in {request.trip}: {error!r}", error)
            raise

    def _signatory(self) -> Signatory | None:
        if self.place is not None:
            self.place.roster.check_time(self.wall_clock())
        return self.place

    def _advertise(self, request: Envelope, store: Any) -> Any:
        kept_state.take(store)
        invitation = Invitation.from_bytes(request.payload)
        state, reply = advertise_keys(invitation, self._drawing(R0), self._signatory())
        kept_state.put(store, R1, state.to_bytes())
        self._watch.advertised(self.client, state.keys)
        return self.sent(R0, reply, state)

    def _share(self, request: Envelope, store: Any) -> Any:
        kept, _ = self._take(store, R1)
        signatory = self._signatory()
        cohort = CohortAnnounced.from_bytes(request.payload)
        if cohort.session.server_round != request.server_round:
            raise SuspectServer("the session and its message name different server rounds")
        if request.server_round <= kept_state.last_round_of(store):
            raise OutOfTurn("this server round is finished at this client")
        self._policy.check_session(cohort.session.params)
        before = (AwaitingCohort if kept[:1] == b"\x20" else CarryingKeys).from_bytes(kept)
        state, reply = share_keys(before, cohort, *request.digests, self._drawing(R1), signatory)
        self._use_disk()
        kept_state.begin_round(store, request.server_round)
        vector = self._vector_for(state.params)
        kept_state.put(store, R2, state.to_bytes(), vector.tensor.tobytes() + vector.scalars.tobytes())
        self._watch.shared(self.client, cohort, request.digests, state)
        return self.sent(R1, reply, state)

    def _mask(self, request: Envelope, store: Any) -> Any:
        kept, update = self._take(store, R2)
        state = AwaitingShares.from_bytes(kept)
        self._use_disk()
        delivered = SharesDelivered.from_bytes(request.payload, state.advertised)
        following, reply = mask_input(state, delivered, _residues(update, state.params))
        self._signatory()
        kept_state.put(store, R3 if state.params.is_active else R4, following.to_bytes())
        self._watch.masked(self.client, state, following, reply.to_bytes())
        return self.sent(R2, reply, following)

    def _sign(self, request: Envelope, store: Any) -> Any:
        kept, _ = self._take(store, R3)
        state, signatory = AwaitingSurvivors.from_bytes(kept), self._signatory()
        if signatory is None:
            raise Refused("this client has no place in a roster")
        announced = SurvivorsAnnounced.from_bytes(request.payload, state.advertised)
        following, reply = sign_survivors(state, announced, signatory)
        kept_state.put(store, R4, following.to_bytes())
        return self.sent(R3, reply, following)

    def _reveal(self, request: Envelope, store: Any) -> Any:
        kept, _ = self._take(store, R4)
        parse = AwaitingSurvivors if kept[:1] == b"\x23" else AwaitingSignatures
        state = parse.from_bytes(kept)
        asked = UnmaskingRequested.from_bytes(request.payload, state.advertised)
        following, reply = reveal_shares(state, asked, self._drawing(R4), self._signatory())
        kept_state.put(store, R1, following.to_bytes())
        kept_state.finish_round(store)
        told = state.told if isinstance(state, AwaitingSignatures) else state
        self._watch.revealed(self.client, told, asked.survivors, reply, following, store)
        return self.sent(R4, reply, told)

    def sent(self, trip: ProtocolRound, reply: Any, state: Any) -> bytes | tuple[bytes, ...]:
        """What leaves; an honest client sends what its step says."""
        written: bytes = reply.to_bytes()
        return written

    def _take(self, store: Any, due: ProtocolRound) -> tuple[bytes, bytes]:
        awaited, state, update = kept_state.take(store)
        if awaited != due.value:
            raise OutOfTurn(f"{due} is not due at this client")
        return state, update

    def _drawing(self, trip: ProtocolRound) -> Callable[[int], bytes]:
        return lambda size: self._entropy(trip, size)

    def _use_disk(self) -> None:
        if self.disk_fails:
            self.disk_fails = False
            raise SetupError("no room for what waits for r2")

    def _vector_for(self, params: SecAggParams) -> Residues:
        # An honest client's update has the layout of its own model, whatever a server says of lengths.
        return self._vector.residues(params)


_STEPS: dict[ProtocolRound, Callable[[ClientNode, Envelope, Any], Any]] = {
    R0: ClientNode._advertise, R1: ClientNode._share, R2: ClientNode._mask, R3: ClientNode._sign,
    R4: ClientNode._reveal,
}  # fmt: skip


def _residues(update: bytes, params: SecAggParams) -> Residues:
    """As `clients.steps` reads the update that waited."""
    words = np.frombuffer(bytearray(update), dtype=np.uint8)
    word = word_type(params.modulus_bits)
    cut = params.tensor_length * word.itemsize
    if len(words) < cut or (len(words) - cut) % 8:
        raise MalformedMessage("the update is of another length")
    return Residues(words[:cut].view(word), words[cut:].view(word_type(64)))
