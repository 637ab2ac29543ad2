"""The client: asks both online servers, and believes an answer only when both and every canary say so.

Decides: what is checked before an answer is given, and that a query that failed leaves nothing that a later one could
meet. Refuses to know: where inputs come from and how answers are shown.
"""

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from types import TracebackType
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from arithmetic.errors import ConfigError
from predictions import canaries as hidden
from predictions.asking import MaskedAnswer, mask_input, unmask
from predictions.canaries import Canaries
from predictions.credentials import FIRST, SECOND, Credentials
from predictions.frames import QUERY_BYTES, Expected, Kind
from predictions.link import PATIENCE, Address, Link
from predictions.messages import Ask
from predictions.primitives import KEY_BYTES
from predictions.program import Answer, Program
from predictions.sharing import Sharing
from predictions.values import to_integers, to_logits

Integers = NDArray[np.int64]
_ONLINE: Final = (FIRST, SECOND)


@dataclass(frozen=True)
class Kit:
    """What a client needs.

    Args:
        sharing: as the owner published it.
        canaries: of the owner, for this client.
        servers: addresses of both online servers, by party.
        credentials: its own.
    """

    sharing: Sharing
    canaries: Canaries
    servers: dict[str, Address]
    credentials: Credentials


@dataclass(frozen=True)
class Reply:
    """What a query gave.

    Args:
        answers: labels (rows,) or logits (rows, classes), for the client's own rows; or a count (1,).
        seconds: from the first byte to the last.
        sent: bytes, to both servers; `received`: from both.
        canaries: how many rode along.
    """

    answers: NDArray[np.int64] | NDArray[np.float64] = field(repr=False)
    seconds: float
    sent: int
    received: int
    canaries: int


class Client:
    """Asks, one query after another; a context manager. For several at once take several.

    Args:
        kit: the client's.
        patience: seconds to wait for a server.
    """

    def __init__(self, kit: Kit, patience: float = 2 * PATIENCE) -> None:
        self.kit = kit
        self._patience = patience
        self._links: tuple[Link, ...] = ()
        self._sent = self._received = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the links; the next query opens new ones."""
        (self._sent, self._received), links, self._links = self.moved, self._links, ()
        for link in links:
            link.close()

    def query(
        self, inputs: NDArray[np.generic], answer: Answer = Answer.LABEL, canaries: int | None = None
    ) -> Reply:
        """Ask about a batch.

        Args:
            inputs: numbers (rows, *shape), prepared as the owner did.
            answer: logits or labels.
            canaries: how many ride along; None: one for every eight rows, and one at least; 0 checks nothing.

        Raises:
            PredictionRange: inputs the model was not proven for; nothing was sent.
            QueryRefused: the owner's limits do not allow it.
            LinkFailed, FrameRejected: a server is gone, or does not keep to the protocol.
            AnswerRejected: the servers disagree, or a canary came back wrong.
        """
        if answer is Answer.COUNT:
            raise ConfigError("a count is asked with `count_right`, of a labelled set")
        program = self.kit.sharing.program
        integers = to_integers(program, inputs)
        number = hidden.number_for(len(integers)) if canaries is None else canaries
        mixed = hidden.mix(integers, self.kit.canaries, number)
        begun, before = time.perf_counter(), self.moved
        ask = Ask(self.kit.sharing.identifier, answer, len(mixed.inputs))
        told = self._guarded(lambda: self._asked(ask, mixed.inputs, None))
        found = unmask(program, ask.rows, answer, *told)
        own = hidden.checked(found, mixed, self.kit.canaries, answer)
        sent, received = self.moved
        return Reply(
            to_logits(program, own) if answer is Answer.LOGITS else own,
            time.perf_counter() - begun, sent - before[0], received - before[1], number,
        )  # fmt: skip

    def ask_count(self, ask: Ask, inputs: Integers, labels: Integers) -> int | None:
        """Ask one batch of a count (`evaluation`); the count at its last batch, else None.

        Args:
            ask: the batch.
            inputs: integers of wire 0, (rows, *shape).
            labels: (rows,); -1 does not count.

        Raises:
            ChorusError: as `query`, but for canaries.
        """
        program = self.kit.sharing.program
        told = self._guarded(lambda: self._asked(ask, inputs, labels))
        if not ask.last:
            return None
        return int(unmask(program, ask.rows, Answer.COUNT, *told)[0])

    def _guarded(self, asked: Callable[[], list[MaskedAnswer]]) -> list[MaskedAnswer]:
        try:
            return asked()
        except BaseException:
            self.close()  # whatever is still on its way belongs to no query any more
            raise

    def _asked(self, ask: Ask, inputs: Integers, labels: Integers | None) -> list[MaskedAnswer]:
        links, query, program = self._connected(), os.urandom(QUERY_BYTES), self.kit.sharing.program
        for link in links:
            link.send(Kind.ASK, ask.to_bytes(), query)
        seeds = [bytes(seed) for seed in self._from_both({Kind.MASK: (KEY_BYTES, KEY_BYTES)}, query)]
        masked = mask_input(program, inputs, seeds[0], seeds[1], labels)
        for link in links:
            link.send(Kind.INPUT, masked, query)
        most = answer_bytes(program, ask) if ask.last else 0
        told = self._from_both({Kind.ANSWER: (0, most)}, query)
        if not ask.last:
            return []
        return [MaskedAnswer.from_bytes(program, ask.rows, ask.answer, one) for one in told]

    def _from_both(self, expected: Expected, query: bytes) -> list[memoryview]:
        """A frame of each server; what one fails with is heard while the other is still silent."""
        found: dict[Link, memoryview] = {}
        while len(found) < len(self._links):
            waiting = [link for link in self._links if link not in found]
            ready = select.select(waiting, [], [], self._patience)[0] or waiting
            found |= {link: link.receive(expected, query).payload for link in ready}
        return [found[link] for link in self._links]

    def _connected(self) -> tuple[Link, ...]:
        if self._links and not all(link.idle_and_open for link in self._links):
            self.close()
        while len(self._links) < len(_ONLINE):
            party = _ONLINE[len(self._links)]
            link = Link.connect(self.kit.servers[party], self.kit.credentials, party, self._patience)
            self._links = (*self._links, link)
        return self._links

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes sent and received so far, over all links."""
        return self._sent + sum(link.sent for link in self._links), self._received + sum(
            link.received for link in self._links
        )


def answer_bytes(program: Program, ask: Ask) -> int:
    """Most bytes of one server's side of an answer: a digest, a length, and two words a number."""
    classes = prod(program.wires[program.operations[-1].target].shape)
    numbers = {Answer.LOGITS: ask.rows * classes, Answer.LABEL: ask.rows, Answer.COUNT: 1}[ask.answer]
    return 64 + 16 * numbers
