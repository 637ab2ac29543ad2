"""One protocol round through Flower's grid: push, then pull until everyone answered or the deadline passed.

Decides: how long to wait and whose reply it is. A reply belongs to the client that was asked by the
message it answers; the sender it names is a hint that is not used. Time in which nobody could answer,
because the SuperLink itself was away (`strategies.link`), is not the clients' and does not count.
Refuses to know: what is asked and answered.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import Event

import httpx
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

from strategies.errors import LinkLost
from strategies.events import Emit, silent
from strategies.link import LONGEST_OUTAGE, RETURN, Link
from wire.records import REASON_LENGTH
from wire.rounds import Trip

LONGEST_EXTENSION = LONGEST_OUTAGE + RETURN  # of a deadline, however often the SuperLink is away
_TTL_MARGIN = LONGEST_EXTENSION + 60.0
_PULLED_AT_ONCE = 16
_FIRST_PAUSE = 0.01
_EARLY = 0.8  # of what it took the last time; so a trip that became faster is found out round by round
_log = logging.getLogger("chorus.server")


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
    protocol_round: Trip,
    server_round: int,
    deadline: float,
    poll_interval: float,
    expected: float = 0.0,
    stopped: Event | None = None,
    emit: Emit = silent,
) -> Iterator[tuple[int, RecordDict | Refusal]]:
    """Ask every client of `requests`; yield (client, its reply) as they arrive, each client once at most.

    Args:
        grid: Flower's grid.
        requests: node id -> content.
        protocol_round: which action to address.
        server_round: sent along as the message's group.
        deadline: seconds from when all is sent, on the monotonic clock; replies after it are never looked at. It is
            put off by the time that the SuperLink was away, `LONGEST_EXTENSION` seconds at most.
        poll_interval: most seconds between two pulls; the first come sooner.
        expected: seconds until everyone had answered the last time; looking long before is work that, on one host,
            is taken from the clients.
        stopped: once set, nothing more is waited for.
        emit: receives `link_lost` and `link_back` when the SuperLink goes away and comes back.

    Raises:
        LinkLost: the SuperLink stayed away for `LONGEST_OUTAGE` seconds.
    """
    link = Link(grid, emit)
    wait = (stopped or Event()).wait
    messages = [
        Message(
            content, node, protocol_round.message_type, ttl=deadline + _TTL_MARGIN, group_id=str(server_round)
        )
        for node, content in requests.items()
    ]
    pushed = set(link.push(messages))
    sent, before = time.monotonic(), link.away
    end = sent + deadline
    # A reply belongs to whom the question went, by the identifier that pushing gave the question. A grid may
    # leave out or blank what it could not store, so nothing is inferred from positions.
    asked = {message.metadata.message_id: message.metadata.dst_node_id for message in messages}
    pending = {key: node for key, node in asked.items() if key in pushed}
    pause = min(max(_FIRST_PAUSE, _EARLY * expected), poll_interval)
    if pending and expected:
        wait(min(pause, deadline / 2))
        pause = _FIRST_PAUSE
    while pending and time.monotonic() < end and not (stopped and stopped.is_set()):
        missing = len(pending)
        for key, reply in _arrived(link, list(pending)):
            node = pending.pop(key, None)
            if node is not None:
                yield node, reply
        end = sent + deadline + min(link.away - before, LONGEST_EXTENSION)
        if pending:
            # Look again soon while replies come in, and ever more rarely while none do.
            pause = _FIRST_PAUSE if len(pending) < missing else pause * 1.5
            pause = min(pause, poll_interval)
            wait(min(pause, max(end - time.monotonic(), 0)))


def _arrived(link: Link, keys: list[str]) -> Iterator[tuple[str, RecordDict | Refusal]]:
    """Replies that have come, a few at a time: what is held at once does not grow with the cohort."""
    for start in range(0, len(keys), _PULLED_AT_ONCE):
        slice_ = keys[start : start + _PULLED_AT_ONCE]
        try:
            yield from map(_read, link.pull(slice_))
        except LinkLost:
            raise
        except Exception as error:  # noqa: BLE001 - one reply that Flower cannot parse must not end the run
            _log.warning("a reply could not be read (%s); asking one by one", type(error).__name__)
            yield from _one_by_one(link, slice_)


def _one_by_one(link: Link, keys: list[str]) -> Iterator[tuple[str, RecordDict | Refusal]]:
    for key in keys:
        try:
            yield from map(_read, link.pull([key]))
        except LinkLost:
            raise
        except httpx.HTTPStatusError as error:
            # The SuperLink's fault (it is starting again, say), or one reply's: nobody is blamed, and it is asked
            # for once more at the next look. Who stays unreadable is missing when the deadline passes.
            _log.warning("the SuperLink answered HTTP %d", error.response.status_code)
        except Exception:  # noqa: BLE001 - as above; the sender of this one is out
            yield key, Refusal("FORMAT: the reply could not be read")


def _read(reply: Message) -> tuple[str, RecordDict | Refusal]:
    # Never raises: what a pull has handed out is gone, so one empty reply would cost its neighbours theirs.
    reason = reply.error.reason if reply.has_error() else "a reply with neither content nor error"
    content = reply.content if reply.has_content() else Refusal(printable(reason))
    return reply.metadata.reply_to_message_id, content
