"""The course of one server round in the hospitals' ring: each step asked, heard and told.

Decides: that an answer that does not check costs its sender the ring, and that one that says it was shown something
wrong (a seal that does not open, a signature or a view that is not right) ends the server round: it may be right, and
going on without it could cost it its vector.
Refuses to know: which step follows which (`strategies.ring_session`), and what is in a message.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from flwr.app import ArrayRecord, ConfigRecord, RecordDict

from arithmetic.errors import ChorusError, RangeError
from strategies.course import Line
from strategies.errors import RingEnded
from strategies.exchange import Refusal, exchange
from wire.records import message_in, record_bytes, request_record
from wire.rounds import Purpose, RingStep, Trip

Reply = TypeVar("Reply")

# How the line of such an error begins: BrokenHop and InvalidCiphertext, NotAuthentic, SuspectServer and ForeignKey.
_ENDING = ("CRYPTO:", "AUTH:", "VIEW:")


@dataclass
class Account:
    """What one sum cost.

    Attributes:
        completed: step -> hospitals that completed it, in the last ring.
        bytes_up: payload bytes received over all rings of the server round; `bytes_down` sent.
    """

    completed: Counter[Trip] = field(default_factory=Counter)
    bytes_up: int = 0
    bytes_down: int = 0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall time so far."""
        return time.monotonic() - self.started


@dataclass
class RingCourse:
    """The running account of one server round.

    Attributes:
        model: the packed global model; it and `config` go with `reveal`.
    """

    line: Line
    model: ArrayRecord
    config: ConfigRecord
    server_round: int
    purpose: Purpose
    account: Account = field(default_factory=Account)

    def opened(self, session: bytes) -> None:
        """A ring begins, the first or one after a drop."""
        self.account.completed.clear()
        self.line.emit(
            "session_opened", server_round=self.server_round, purpose=self.purpose, session=session.hex()
        )

    def ask(
        self, step: RingStep, messages: Mapping[int, bytes], parse: Callable[[int, bytes], Reply]
    ) -> dict[int, Reply]:
        """Ask every node of `messages`; node -> what `parse` made of its answer, where it had one that checks.

        Raises:
            RingEnded: a hospital refused what it was shown.
            RangeError: as `parse` raises it, of a total: there is nobody to skip.
        """
        line, started, refused = self.line, time.monotonic(), dict[int, str]()
        requests = {node: self._request(step, message) for node, message in messages.items()}
        deadlines, parsed, alarmed, up = line.deadlines, dict[int, Reply](), list[int](), 0
        deadline = deadlines.training if step is RingStep.REVEAL else deadlines.protocol_round
        replies = exchange(
            line.grid, requests, step, self.server_round, deadline, deadlines.poll_interval,
            line.expected.get(step, 0.0), line.stopped, line.emit,
        )  # fmt: skip
        for node, reply in replies:
            if isinstance(reply, Refusal):
                refused[node] = reply.reason
                alarmed += [node] if reply.reason.startswith(_ENDING) else []
                continue
            up += record_bytes(reply)
            try:
                parsed[node] = parse(node, message_in(reply))
            except RangeError:
                raise
            except ChorusError as error:
                refused[node] = error.line
        seconds = time.monotonic() - started
        if len(parsed) == len(messages):
            line.expected[step] = seconds
        missing = sorted(set(requests) - set(parsed) - set(refused))
        self._tell(step, requests, len(parsed), missing, refused, up, seconds)
        if alarmed and step is not RingStep.ROLL_CALL:
            raise RingEnded(f"node {alarmed[0]} refused what it was shown in the ring: {refused[alarmed[0]]}")
        return parsed

    def _request(self, step: RingStep, message: bytes) -> RecordDict:
        if step is RingStep.REVEAL:
            return request_record(message, self.model, self.config)
        return request_record(message, None, None)

    def _tell(
        self,
        step: RingStep,
        requests: Mapping[int, RecordDict],
        answered: int,
        missing: list[int],
        refused: Mapping[int, str],
        up: int,
        seconds: float,
    ) -> None:
        down, account = sum(record_bytes(content) for content in requests.values()), self.account
        account.bytes_up, account.bytes_down = account.bytes_up + up, account.bytes_down + down
        account.completed[step] += answered
        self.line.emit(
            "protocol_round", server_round=self.server_round, purpose=self.purpose, protocol_round=step,
            asked=len(requests), answered=answered, missing=missing,
            refused={str(node): reason for node, reason in refused.items()}, bytes_up=up, bytes_down=down,
            seconds=round(seconds, 3),
        )  # fmt: skip
