"""Flower handlers of the client: one per protocol round, thin shells around the pure steps.

Decides: what becomes of an error (a typed reply of one line, the state wiped, never a traceback to the
server), and that a reply carries one protocol message and nothing else.
Refuses to know: what a step does (`clients.steps`).
"""

import logging
from collections.abc import Callable

from flwr.app import Context, Error, Message, RecordDict

from clients import steps
from clients.drops import parse_drops, vanishes
from clients.place import is_simulated, partition_of, text_of
from secagg.errors import ChorusError, MalformedMessage, OutOfTurn
from wire.records import REASON_LENGTH, reply_record
from wire.rounds import ProtocolRound, RingStep, Trip

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
    return answer(message, context, ProtocolRound.ADVERTISE_KEYS, steps.advertise)


def share_keys(message: Message, context: Context) -> Message:
    """r1: check the cohort, judge and train the model, keep the encoded update, share the keys."""
    return answer(message, context, ProtocolRound.SHARE_KEYS, steps.share)


def masked_input(message: Message, context: Context) -> Message:
    """r2: mask the kept update and send it."""
    return answer(message, context, ProtocolRound.MASKED_INPUT, steps.mask)


def consistency_check(message: Message, context: Context) -> Message:
    """r3, against an active server: sign who survived."""
    return answer(message, context, ProtocolRound.CONSISTENCY_CHECK, steps.sign)


def unmasking(message: Message, context: Context) -> Message:
    """r4: reveal one share a peer, and keys for the next session."""
    return answer(message, context, ProtocolRound.UNMASKING, steps.reveal)


def answer(message: Message, context: Context, protocol_round: Trip, step: Step) -> Message:
    """Run one step; any error wipes the state and becomes one printable line."""
    try:
        if message.metadata.dst_node_id != context.node_id:
            raise MalformedMessage("this message is addressed to another node")
        server_round = _server_round(message.metadata.group_id)
        if _vanishes(context, protocol_round, server_round):
            steps.wipe(context)
            return _refusal(message, "ENV", "vanished on request (drop)")
        return Message(reply_record(step(message.content, context, server_round)), reply_to=message)
    except ChorusError as error:
        steps.wipe(context)
        _log.warning("%s in %s", error.line, protocol_round)
        steps.witness_refusal(message.content, context, protocol_round, error.code, _shown(error))
        return _refusal(message, error.code, _shown(error))
    except Exception:  # noqa: BLE001 - the text of an unforeseen error may hold data: it stays here
        steps.wipe(context)
        _log.exception("the client failed in %s", protocol_round)
        steps.witness_refusal(message.content, context, protocol_round, "ENV", _SAYS["ENV"])
        return _refusal(message, "ENV", _SAYS["ENV"])


def refuse(message: Message, context: Context) -> Message:
    """Any message that belongs to no protocol round: the client leaves its session."""
    steps.wipe(context)
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


def _server_round(group: str) -> int:
    if not (group.isascii() and group.isdigit() and len(group) <= 9):
        raise MalformedMessage("a message names its server round")
    return int(group)


def _vanishes(context: Context, protocol_round: Trip, server_round: int) -> bool:
    """Whether the fault demonstration takes this simulated client away now."""
    drops = text_of(context, "drop")
    if not drops or not is_simulated(context) or protocol_round is RingStep.ROLL_CALL:
        return False
    return vanishes(parse_drops(drops), partition_of(context)[0], protocol_round.value, server_round)
