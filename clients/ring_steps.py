"""A hospital's steps in the ring: what is taken out of a request, which pure step it goes through, what is kept.

Decides: the order of a hospital's checks (what costs nothing first, the data last), that a state is gone from the store
before its step runs, and that the vector of a server round is made once: a ring that starts again after a drop sums the
same vector, kept until the next server round. Refuses to know: cryptography (`paillier`), torch (`clients.ring_work`,
imported where the vector is made), and what becomes of an error (`clients.handlers`).

The key holder's public key is the one whose digest the node config names (`paillier-key`, 64 hex digits); where it
names none, the first that this client meets in the run.
"""

import os
import re
from functools import lru_cache
from typing import Final

import numpy as np
from flwr.app import Context, RecordDict

from clients import pending
from clients.identity import IdentityUnusable, signatory_of
from clients.place import is_simulated
from clients.policy import Policy
from clients.steps import wipe
from paillier.keys import PublicKey
from paillier.randomisers import FixedBase, Randomiser, fresh_powers
from paillier.ring import roll_call as rolls
from paillier.ring.hospital.r0_join import join as join_step
from paillier.ring.hospital.r0_join import rejoin as rejoin_step
from paillier.ring.hospital.r1_reveal import reveal as reveal_step
from paillier.ring.hospital.r2_hop import hand_on as hop_step
from paillier.ring.hospital.states import AwaitingHop, AwaitingRing, HandedOn, Waiting
from paillier.ring.messages import HopRequested, HopSealed, Invitation, Restart, RingProposed, is_restart
from paillier.ring.terms import Terms
from secagg.errors import MalformedMessage, OutOfTurn, Refused, SuspectServer
from secagg.primitives import same
from secagg.signatory import Signatory
from wire import kept_state
from wire.records import CONFIG_KEY, MODEL_KEY, message_in, unpack_arrays
from wire.ring import numbers_of, subject_of
from wire.rounds import RingStep
from wire.settings import Assignment

NODE_KEY: Final = "paillier-key"


def roll_call(content: RecordDict, context: Context, server_round: int) -> bytes:
    """Answer with the number in the roster; nothing is kept."""
    call = rolls.RollCall.from_bytes(message_in(content))
    return rolls.answer(call, _place(context)).to_bytes()


def join(content: RecordDict, context: Context, server_round: int) -> bytes:
    """Join; an invitation wipes what an unfinished session left, a restart follows the session it names."""
    message = message_in(content)
    _, kept, vector = kept_state.take(context.state)
    place = _place(context)
    if is_restart(message):
        restart = Restart.from_bytes(message)
        _check_terms(restart.terms, context, server_round)
        pinned = _pinned(context, restart.terms.public)
        state, reply = rejoin_step(_waiting(kept), restart, place, pinned, os.urandom)
    else:
        wipe(context)
        vector = b""
        invitation = Invitation.from_bytes(message)
        _check_terms(invitation.terms, context, server_round)
        if server_round <= kept_state.last_round_of(context.state):
            raise OutOfTurn("this server round is finished at this client; the server must go on to the next")
        pinned = _pinned(context, invitation.terms.public)
        state, reply = join_step(invitation, place, pinned, os.urandom)
    kept_state.put(context.state, RingStep.REVEAL, state.to_bytes(), vector)
    return reply.to_bytes()


def reveal(content: RecordDict, context: Context, server_round: int) -> bytes:
    """Check the ring, sign for it, and make the vector unless a ring before this one has had it made."""
    kept, vector = _take(context, RingStep.REVEAL)
    state = AwaitingRing.from_bytes(kept)
    proposed = RingProposed.from_bytes(message_in(content, MODEL_KEY, CONFIG_KEY))
    assignment, arrays = Assignment.from_record(content[CONFIG_KEY]), unpack_arrays(content[MODEL_KEY])
    subject = subject_of(content.array_records[MODEL_KEY], content.config_records[CONFIG_KEY])
    if not same(subject, state.terms.subject):
        raise SuspectServer("the model is not the one that all hospitals signed for; nothing was added")
    following, reply = reveal_step(state, proposed, _place(context))
    if not vector:
        from clients.ring_work import vector_of  # torch: this trip only

        made = vector_of(arrays, assignment, context, state.terms, server_round)
        vector = pending.keep(made, context.node_id)
    kept_state.put(context.state, RingStep.HOP, following.to_bytes(), vector)
    return reply.to_bytes()


def hop(content: RecordDict, context: Context, server_round: int) -> bytes:
    """Add the vector. A second request finds no state to hop with: its key would be used twice."""
    kept, vector = _take(context, RingStep.HOP)
    state = AwaitingHop.from_bytes(kept)
    request = HopRequested.from_bytes(message_in(content), state.terms)
    words = pending.take(vector)
    values, randomiser = numbers_of(np.frombuffer(words, dtype="<u8")), _randomiser(context, state.terms)
    following, reply = hop_step(state, request, values, randomiser, _place(context))
    # What left with the reply counts, whatever becomes of the ring: of this server round only restarts may follow.
    kept_state.begin_round(context.state, server_round)
    kept_state.finish_round(context.state)
    kept = pending.keep(words, context.node_id)
    kept_state.put(context.state, RingStep.JOIN, following.to_bytes(), kept)
    return reply.to_bytes() if isinstance(reply, HopSealed) else reply.to_bytes(state.terms)


def _place(context: Context) -> Signatory:
    """This hospital's place in its roster.

    Raises:
        Refused: it has none.
    """
    signatory = signatory_of(context)
    if signatory is None:
        raise Refused(
            "this node has no identity, and in the ring everybody signs; give it a place in the roster"
        )
    return signatory


def _check_terms(terms: Terms, context: Context, server_round: int) -> None:
    """What the node says to a ring, before anything is signed."""
    if terms.server_round != server_round:
        raise SuspectServer("the ring and its message name different server rounds; nothing was added")
    Policy.of_node(context.node_config).check_ring(len(terms.members))


def _pinned(context: Context, public: PublicKey) -> bytes:
    """The digest that the key holder's key must have."""
    named = context.node_config.get(NODE_KEY)
    if named:
        if not re.fullmatch("[0-9a-f]{64}", str(named)):
            raise IdentityUnusable(
                f"{NODE_KEY} is not 64 hex digits; copy the digest that the key holder names"
            )
        return bytes.fromhex(str(named))
    if not kept_state.pinned_in(context.state):
        kept_state.pin(context.state, public.digest)
    return kept_state.pinned_in(context.state)


def _take(context: Context, step: RingStep) -> tuple[bytes, bytes]:
    """The state that awaits this step and the vector kept beside it; the store is empty afterwards."""
    awaited, state, vector = kept_state.take(context.state)
    if awaited != step.value:
        pending.drop(vector)
        raise OutOfTurn(f"{step} is not due at this hospital; it waits for a new ring")
    return state, vector


def _waiting(kept: bytes) -> Waiting:
    for kind in (AwaitingRing, AwaitingHop, HandedOn):
        try:
            return kind.from_bytes(kept)
        except MalformedMessage:
            continue
    raise OutOfTurn("this hospital is in no ring that could start again; the key holder must invite anew")


def _randomiser(context: Context, terms: Terms) -> Randomiser:
    """A table in a worker that lives on; in a process of one message it would cost more than it saves."""
    return _table(terms.public) if is_simulated(context) else fresh_powers(terms.public, os.urandom)


@lru_cache(maxsize=2)
def _table(public: PublicKey) -> FixedBase:
    return FixedBase(public, os.urandom)
