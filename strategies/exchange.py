"""One protocol round through Flower's grid: push, then pull until everyone answered or the deadline passed.

Decides: how long to wait and whose reply it is. A reply belongs to the client that was asked by the
message it answers; the sender it names is a hint that is not used.
Refuses to know: what is asked and answered.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from wire.rounds import ProtocolRound

REASON_LENGTH = 200
_TTL_MARGIN = 60.0


@dataclass(frozen=True)
class Refusal:
    """An error reply, cut to printable characters."""

    reason: str


def printable(text: str | None) -> str:
    """At most 200 printable ASCII characters: no control codes, no right-to-left marks, no line ends."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in (text or "no reason given")[:REASON_LENGTH])
    return plain.strip()


def exchange(
    grid: Grid,
    requests: Mapping[int, RecordDict],
    protocol_round: ProtocolRound,
    server_round: int,
    deadline: float,
    poll_interval: float,
) -> Iterator[tuple[int, RecordDict | Refusal]]:
    """Ask every client of `requests`; yield (client, its reply) as they arrive, each client once at most.

    Args:
        grid: Flower's grid.
        requests: node id -> content.
        protocol_round: which action to address.
        server_round: sent along as the message's group.
        deadline: seconds from now, on the monotonic clock; replies after it are never looked at.
        poll_interval: seconds between two pulls.
    """
    end = time.monotonic() + deadline
    messages = [
        Message(
            content, node, protocol_round.message_type, ttl=deadline + _TTL_MARGIN, group_id=str(server_round)
        )
        for node, content in requests.items()
    ]
    identifiers = list(grid.push_messages(messages))
    pending = {key: node for key, node in zip(identifiers, requests, strict=False) if key}
    while pending and time.monotonic() < end:
        for reply in grid.pull_messages(list(pending)):
            node = pending.pop(reply.metadata.reply_to_message_id, None)
            if node is not None:
                yield node, Refusal(printable(reply.error.reason)) if reply.has_error() else reply.content
        if pending:
            time.sleep(min(poll_interval, max(end - time.monotonic(), 0)))
