"""A client's steps: what is taken out of a request, which pure step it goes through, and what is kept until the next.

Decides: the order of a client's checks in r1 (what costs nothing first, the data last), and that a state is gone from
the store before its step runs.
Refuses to know: cryptography (`secagg.client`), torch (`clients.work`, imported by r1 alone), and what becomes of an
error (`clients.handlers`).
"""

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import Context, RecordDict

from arithmetic.residues import word_type
from clients import demonstration, pending
from clients.demonstration import Demonstration
from clients.identity import signatory_of
from clients.local_log import LocalLog
from clients.place import is_simulated, partition_of
from clients.witness import Witness
from secagg.client.r0_advertise_keys import advertise_keys as advertise_step
from secagg.client.r1_share_keys import agreement_of
from secagg.client.r1_share_keys import share_keys as share_step
from secagg.client.r2_masked_input import mask_input as mask_step
from secagg.client.r3_consistency_check import sign_survivors as sign_step
from secagg.client.r4_unmasking import reveal_shares as reveal_step
from secagg.client.states import (
    AwaitingCohort,
    AwaitingShares,
    AwaitingSignatures,
    AwaitingSurvivors,
    CarryingKeys,
)
from secagg.errors import ChorusError, MalformedMessage, OutOfTurn, Refused, SuspectServer
from secagg.graph import MOST_CLIENTS
from secagg.masks import Residues
from secagg.messages import (
    CohortAnnounced,
    Invitation,
    SharesDelivered,
    SurvivorsAnnounced,
    UnmaskingRequested,
    session_named,
)
from secagg.params import SecAggParams, Session
from wire import kept_state
from wire.records import (
    CONFIG_KEY,
    MODEL_KEY,
    PROTOCOL_KEY,
    config_digest,
    message_in,
    message_of,
    model_digest,
    unpack_arrays,
)
from wire.rounds import ProtocolRound, Trip
from wire.settings import Assignment

if TYPE_CHECKING:
    from clients.analytics import Answer
    from clients.policy import Policy
    from clients.work import Arrays, Done, Node
    from wire.inquiry import Inquiry


def advertise(content: RecordDict, context: Context, server_round: int) -> bytes:
    """r0: fresh keys; whatever an unfinished session left is wiped."""
    wipe(context)
    invitation = Invitation.from_bytes(message_in(content))
    state, reply = advertise_step(invitation, os.urandom, signatory_of(context))
    kept_state.put(context.state, ProtocolRound.SHARE_KEYS, state.to_bytes())
    return reply.to_bytes()


def share(content: RecordDict, context: Context, server_round: int) -> bytes:
    """r1: check the cohort and the policy, share the keys, do the work, keep its vector."""
    kept, _ = _take(context, ProtocolRound.SHARE_KEYS)
    demonstration.check(context.run_config, is_simulated(context))
    signatory = signatory_of(context)
    most = len(signatory.roster.members) if signatory else MOST_CLIENTS
    cohort = CohortAnnounced.from_bytes(message_in(content, MODEL_KEY, CONFIG_KEY), most)
    from wire.inquiry import Inquiry, assigned  # pydantic: this trip only

    assignment = assigned(content[CONFIG_KEY])
    arrays = unpack_arrays(content[MODEL_KEY])
    if cohort.session.server_round != server_round:
        raise SuspectServer("the session and its message name different server rounds; nothing was shared")
    if server_round <= kept_state.last_round_of(context.state):
        raise OutOfTurn("this server round is finished at this client; the server must go on to the next")
    from clients.policy import Policy

    policy = Policy.of_node(context.node_config)
    policy.check_session(cohort.session.params)
    policy.check_job(assignment.job)
    policy.check_terms(assignment.terms)
    digests = (
        model_digest(content.array_records[MODEL_KEY]),
        config_digest(content.config_records[CONFIG_KEY]),
    )
    state, reply = share_step(_parse_keys(kept), cohort, *digests, os.urandom, signatory)
    done = (
        _answer(assignment, context, policy, cohort.session)
        if isinstance(assignment, Inquiry)
        else _work(arrays, assignment, context, policy, cohort.session)
    )
    if done.layout:  # an answer has none, and must not make the client forget its model's
        kept_state.keep_layout(context.state, done.layout)
    kept_state.begin_round(context.state, server_round)
    LocalLog.of(context.run_config, context.node_config, is_simulated(context)).trained(
        assignment.purpose, server_round, done.device, done.examples, done.notes, done.metrics
    )
    agreement = agreement_of(cohort, *digests)
    witness = Witness.of(context, signatory)
    witness.joined(context, agreement, state.index, assignment, policy.digest, done.ledger)
    vector = pending.keep(done.vector.tensor.tobytes() + done.vector.scalars.tobytes(), context.node_id)
    kept_state.put(context.state, ProtocolRound.MASKED_INPUT, state.to_bytes(), vector)
    return reply.to_bytes()


def _work(
    arrays: "Arrays", assignment: Assignment, context: Context, policy: "Policy", session: Session
) -> "Done":
    """Judge and train the model."""
    from clients.work import work  # torch: this trip only

    return work(arrays, assignment, node_of(context, policy), session.params, session.server_round)


def _answer(inquiry: "Inquiry", context: Context, policy: "Policy", session: Session) -> "Answer":
    """Sum over the node's table."""
    from clients.analytics import Purse, answer
    from clients.analytics_table import Place
    from clients.spending import place_of

    simulated = is_simulated(context)
    data_path = str(context.node_config.get("data-path", "")) or inquiry.data_path
    place = Place(data_path, *partition_of(context), simulated)
    ledger = place_of(context.run_config, context.node_config, simulated)
    purse = Purse(str(context.run_id), ledger, policy)
    return answer(inquiry, place, purse, session.params, session.server_round)


def node_of(context: Context, policy: "Policy") -> "Node":
    """What the node says about its place; imports torch."""
    from clients.spending import place_of
    from clients.work import Node

    simulated = is_simulated(context)
    return Node(
        str(context.node_config.get("data-path", "")), *partition_of(context), simulated, str(context.run_id),
        place_of(context.run_config, context.node_config, simulated), policy,
        kept_state.layout_of(context.state), str(context.node_config.get("device", "")),
    )  # fmt: skip


def mask(content: RecordDict, context: Context, server_round: int) -> bytes:
    """r2: mask the kept vector."""
    kept, vector = _take(context, ProtocolRound.MASKED_INPUT)
    state = AwaitingShares.from_bytes(kept)
    residues = _residues(pending.take(vector), state.params)
    shown = Demonstration(
        context.run_config, is_simulated(context), partition_of(context)[0], residues.tensor,
        state.params.modulus_bits,
    )  # fmt: skip
    following, reply = mask_step(
        state, SharesDelivered.from_bytes(message_in(content), state.advertised), residues
    )
    shown.masked(reply.tensor, server_round)
    Witness.of(context, signatory_of(context)).masked(state, following)
    awaited = ProtocolRound.CONSISTENCY_CHECK if state.params.is_active else ProtocolRound.UNMASKING
    kept_state.put(context.state, awaited, following.to_bytes())
    return reply.to_bytes()


def sign(content: RecordDict, context: Context, server_round: int) -> bytes:
    """r3: sign who survived."""
    kept, _ = _take(context, ProtocolRound.CONSISTENCY_CHECK)
    state, signatory = AwaitingSurvivors.from_bytes(kept), signatory_of(context)
    if signatory is None:
        raise Refused("this client has lost its place in the roster since r2; give its node all of it back")
    announced = SurvivorsAnnounced.from_bytes(message_in(content), state.advertised)
    following, reply = sign_step(state, announced, signatory)
    Witness.of(context, signatory).signed(announced.session, announced.survivors)
    kept_state.put(context.state, ProtocolRound.UNMASKING, following.to_bytes())
    return reply.to_bytes()


def reveal(content: RecordDict, context: Context, server_round: int) -> bytes:
    """r4: reveal one share a peer."""
    kept, _ = _take(context, ProtocolRound.UNMASKING)
    state = _parse_survivors(kept)
    request = UnmaskingRequested.from_bytes(message_in(content), state.advertised)
    signatory = signatory_of(context)
    following, reply = reveal_step(state, request, os.urandom, signatory)
    Witness.of(context, signatory).revealed(request.session, request.survivors, reply)
    kept_state.put(context.state, ProtocolRound.SHARE_KEYS, following.to_bytes())
    kept_state.finish_round(context.state)
    return reply.to_bytes()


def witness_refusal(
    content: RecordDict, context: Context, protocol_round: Trip, code: str, sentence: str
) -> None:
    """Put on record why the client left; not where its identity is what fails, for no line could be signed.

    A transcript knows no steps of the ring.
    """
    if not isinstance(protocol_round, ProtocolRound):
        return
    with suppress(ChorusError):
        witness = Witness.of(context, signatory_of(context))
        if witness.path is None:
            return
        session = b""
        with suppress(MalformedMessage):
            session = session_named(message_of(content.get(PROTOCOL_KEY)))
        witness.refused(session, protocol_round, code, sentence)


def wipe(context: Context) -> None:
    """Forget everything of an unfinished session."""
    pending.drop(kept_state.take(context.state)[2])
    pending.sweep(context.node_id)


def _take(context: Context, protocol_round: ProtocolRound) -> tuple[bytes, bytes]:
    """The state that awaits this round and the update kept beside it; the store is empty afterwards."""
    awaited, state, update = kept_state.take(context.state)
    if awaited != protocol_round.value:
        pending.drop(update)
        raise OutOfTurn(f"{protocol_round} is not due at this client; it waits for a new session")
    return state, update


def _parse_keys(kept: bytes) -> AwaitingCohort | CarryingKeys:
    try:
        return AwaitingCohort.from_bytes(kept)
    except MalformedMessage:
        return CarryingKeys.from_bytes(kept)


def _parse_survivors(kept: bytes) -> AwaitingSurvivors | AwaitingSignatures:
    try:
        return AwaitingSurvivors.from_bytes(kept)
    except MalformedMessage:
        return AwaitingSignatures.from_bytes(kept)


def _residues(vector: bytes, params: SecAggParams) -> Residues:
    """The kept update as writable words."""
    words = np.frombuffer(bytearray(vector), dtype=np.uint8)
    cut = params.tensor_length * word_type(params.modulus_bits).itemsize
    return Residues(words[:cut].view(word_type(params.modulus_bits)), words[cut:].view(word_type(64)))
