"""Flower handlers of the client: one per protocol round, thin shells around the pure steps.

Decides: what becomes of an error (a typed reply of one line, the state wiped, never a traceback to the
server), and that a reply carries one protocol message and nothing else.
Refuses to know: cryptography (`secagg.client`), torch (`clients.work`, imported by r1 alone).
"""

import logging
import os
from collections.abc import Callable

import numpy as np
from flwr.app import Context, Error, Message, RecordDict

from arithmetic.residues import word_type
from clients import pending
from clients.drops import parse_drops, vanishes
from clients.local_log import LocalLog
from secagg.client.r0_advertise_keys import advertise_keys as advertise_step
from secagg.client.r1_share_keys import share_keys as share_step
from secagg.client.r2_masked_input import mask_input as mask_step
from secagg.client.r4_unmasking import reveal_shares as reveal_step
from secagg.client.states import AwaitingCohort, AwaitingShares, AwaitingSurvivors, CarryingKeys
from secagg.errors import ChorusError, MalformedMessage, OutOfTurn, SuspectServer
from secagg.masks import Residues
from secagg.messages import CohortAnnounced, Invitation, SharesDelivered, UnmaskingRequested
from secagg.params import SecAggParams
from wire import kept_state
from wire.records import (
    CONFIG_KEY,
    MODEL_KEY,
    REASON_LENGTH,
    config_digest,
    message_in,
    model_digest,
    reply_record,
    unpack_arrays,
)
from wire.rounds import ProtocolRound
from wire.settings import Assignment

Step = Callable[[RecordDict, Context, int], bytes]

_log = logging.getLogger("chorus.client")
# Flower's own error codes stay below 1000.
_ERROR_CODES = {
    code: 1000 + at
    for at, code in enumerate(
        ("FORMAT", "AUTH", "STATE", "VIEW", "POLICY", "CRYPTO", "SHARE", "RANGE", "QUORUM", "CONFIG", "ENV")
    )
}

_SAYS = {
    "RANGE": "a number cannot enter the sum, or there is no data; see the client's own log, lower learning-rate",
    "CONFIG": "the task or its settings cannot be used here; see the client's own log",
    "ENV": "the client cannot take part; see its own log",
}


def advertise_keys(message: Message, context: Context) -> Message:
    """r0: make fresh keys for a new session; whatever an unfinished one left is wiped."""
    return _answer(message, context, ProtocolRound.ADVERTISE_KEYS, _advertise)


def share_keys(message: Message, context: Context) -> Message:
    """r1: check the cohort, judge and train the model, keep the encoded update, share the keys."""
    return _answer(message, context, ProtocolRound.SHARE_KEYS, _share)


def masked_input(message: Message, context: Context) -> Message:
    """r2: mask the kept update and send it."""
    return _answer(message, context, ProtocolRound.MASKED_INPUT, _mask)


def unmasking(message: Message, context: Context) -> Message:
    """r4: reveal one share a peer, and keys for the next session."""
    return _answer(message, context, ProtocolRound.UNMASKING, _reveal)


def _answer(message: Message, context: Context, protocol_round: ProtocolRound, step: Step) -> Message:
    """Run one step; any error wipes the state and becomes one printable line."""
    try:
        if message.metadata.dst_node_id != context.node_id:
            raise MalformedMessage("this message is addressed to another node")
        server_round = _server_round(message.metadata.group_id)
        if _vanishes(context, protocol_round, server_round):
            _wipe(context)
            return _refusal(message, "ENV", "vanished on request (drop)")
        return Message(reply_record(step(message.content, context, server_round)), reply_to=message)
    except ChorusError as error:
        _wipe(context)
        _log.warning("%s in %s", error.line, protocol_round)
        return _refusal(message, error.code, _shown(error))
    except Exception:  # noqa: BLE001 - the text of an unforeseen error may hold data: it stays here
        _wipe(context)
        _log.exception("the client failed in %s", protocol_round)
        return _refusal(message, "ENV", _SAYS["ENV"])


def refuse(message: Message, context: Context) -> Message:
    """Any message that belongs to no protocol round: the client leaves its session."""
    _wipe(context)
    return _refusal(
        message, OutOfTurn.code, "no protocol round has this name; the client waits for a new session"
    )


def _shown(error: ChorusError) -> str:
    """What the server may read: the protocol's own sentences, and of any other error its kind alone.

    The text of a local error may hold numbers, names or paths of the data; it stays in the client's log.
    """
    return str(error) if error.shareable else _SAYS.get(error.code, _SAYS["ENV"])


def _refusal(message: Message, code: str, text: str) -> Message:
    number = _ERROR_CODES.get(code, _ERROR_CODES["ENV"])
    return Message(Error(number, f"{code}: {text}"[:REASON_LENGTH]), reply_to=message)


def _advertise(content: RecordDict, context: Context, server_round: int) -> bytes:
    _wipe(context)
    invitation = Invitation.from_bytes(message_in(content))
    state, reply = advertise_step(invitation, os.urandom)
    kept_state.put(context.state, ProtocolRound.SHARE_KEYS, state.to_bytes())
    return reply.to_bytes()


def _share(content: RecordDict, context: Context, server_round: int) -> bytes:
    kept, _ = _take(context, ProtocolRound.SHARE_KEYS)
    cohort = CohortAnnounced.from_bytes(message_in(content, MODEL_KEY, CONFIG_KEY))
    assignment = Assignment.from_record(content[CONFIG_KEY])
    arrays = unpack_arrays(content[MODEL_KEY])
    if cohort.session.server_round != server_round:
        raise SuspectServer("the session and its message name different server rounds; nothing was shared")
    from clients.policy import Policy

    policy = Policy.of_node(context.node_config)
    policy.check_session(cohort.session.params)
    policy.check_terms(assignment.terms)
    digests = (
        model_digest(content.array_records[MODEL_KEY]),
        config_digest(content.config_records[CONFIG_KEY]),
    )
    state, reply = share_step(_parse_keys(kept), cohort, *digests, os.urandom)
    from clients.spending import place_of
    from clients.work import Node, work  # torch: this trip only

    partition, partitions = _partition(context)
    simulated = _simulated(context)
    node = Node(
        str(context.node_config.get("data-path", "")), partition, partitions, simulated, str(context.run_id),
        place_of(context.run_config, context.node_config, simulated), policy,
        kept_state.layout_of(context.state),
    )  # fmt: skip
    done = work(arrays, assignment, node, cohort.session.params, cohort.session.server_round)
    kept_state.keep_layout(context.state, done.layout)
    LocalLog.of(context.run_config, context.node_config, node.simulated).trained(
        assignment.purpose, server_round, done.device, done.examples, done.notes
    )
    vector = pending.keep(done.vector.tensor.tobytes() + done.vector.scalars.tobytes(), context.node_id)
    kept_state.put(context.state, ProtocolRound.MASKED_INPUT, state.to_bytes(), vector)
    return reply.to_bytes()


def _mask(content: RecordDict, context: Context, server_round: int) -> bytes:
    kept, vector = _take(context, ProtocolRound.MASKED_INPUT)
    state = AwaitingShares.from_bytes(kept)
    residues = _residues(pending.take(vector), state.params)
    following, reply = mask_step(
        state, SharesDelivered.from_bytes(message_in(content), state.advertised), residues
    )
    kept_state.put(context.state, ProtocolRound.UNMASKING, following.to_bytes())
    return reply.to_bytes()


def _reveal(content: RecordDict, context: Context, server_round: int) -> bytes:
    kept, _ = _take(context, ProtocolRound.UNMASKING)
    state = AwaitingSurvivors.from_bytes(kept)
    request = UnmaskingRequested.from_bytes(message_in(content), state.advertised)
    following, reply = reveal_step(state, request, os.urandom)
    kept_state.put(context.state, ProtocolRound.SHARE_KEYS, following.to_bytes())
    return reply.to_bytes()


def _take(context: Context, protocol_round: ProtocolRound) -> tuple[bytes, bytes]:
    """The state that awaits this round and the update kept beside it; the store is empty afterwards."""
    awaited, state, update = kept_state.take(context.state)
    if awaited != protocol_round.value:
        pending.drop(update)
        raise OutOfTurn(f"{protocol_round} is not due at this client; it waits for a new session")
    return state, update


def _wipe(context: Context) -> None:
    """Forget everything of an unfinished session."""
    pending.drop(kept_state.take(context.state)[2])
    pending.sweep(context.node_id)


def _parse_keys(kept: bytes) -> AwaitingCohort | CarryingKeys:
    try:
        return AwaitingCohort.from_bytes(kept)
    except MalformedMessage:
        return CarryingKeys.from_bytes(kept)


def _residues(vector: bytes, params: SecAggParams) -> Residues:
    """The kept update as writable words."""
    words = np.frombuffer(bytearray(vector), dtype=np.uint8)
    cut = params.tensor_length * word_type(params.modulus_bits).itemsize
    return Residues(words[:cut].view(word_type(params.modulus_bits)), words[cut:].view(word_type(64)))


def _server_round(group: str) -> int:
    if not (group.isascii() and group.isdigit() and len(group) <= 9):
        raise MalformedMessage("a message names its server round")
    return int(group)


def _vanishes(context: Context, protocol_round: ProtocolRound, server_round: int) -> bool:
    """Whether the fault demonstration takes this simulated client away now."""
    drops = _text(context, "drop")
    if not drops or not _simulated(context):
        return False
    return vanishes(parse_drops(drops), _partition(context)[0], protocol_round.value, server_round)


def _simulated(context: Context) -> bool:
    return "partition-id" in context.node_config and not context.node_config.get("data-path")


def _partition(context: Context) -> tuple[int, int]:
    """Partition id and count; a node that says nothing holds all of its own data."""
    found = [
        context.node_config.get(key, default) for key, default in (("partition-id", 0), ("num-partitions", 1))
    ]
    if not all(type(value) is int for value in found):
        raise MalformedMessage("partition-id and num-partitions in the node config are whole numbers")
    return int(found[0]), int(found[1])


def _text(context: Context, key: str) -> str:
    """A text setting; the node's own wins over the run's."""
    value = context.node_config.get(key) or context.run_config.get(key, "")
    return value if isinstance(value, str) else ""
