"""What both online servers do with a query: check it against the limits, hand out a sub-seed, evaluate, answer.

Decides: the order in which client, lot and lane meet, that a lot is used by one query whatever becomes of it, and that
a count is told once, at its end. Refuses to know: where lots come from (`first_server`, `second_server`).
"""

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Final

from arithmetic.errors import ChorusError
from predictions.asking import MaskedAnswer, sub_seed
from predictions.credentials import CLIENT
from predictions.errors import LinkFailed, QueryRefused
from predictions.frames import Kind
from predictions.limits import Meter
from predictions.link import FOREVER, Link
from predictions.messages import NO_EVALUATION, Ask
from predictions.model_shares import OnlineModel, weight_shapes
from predictions.online import Lot, evaluate
from predictions.primitives import KEY_BYTES, Digest
from predictions.program import Answer, Program
from predictions.quotas import kept_account
from predictions.server import Place, Server
from predictions.sharing import Part, Sharing

_ENDING: Final = 10.0
_MOST_COUNTS: Final = 8


@dataclass(frozen=True)
class Model:
    """What an online server serves now."""

    sharing: Sharing
    part: OnlineModel = field(repr=False)
    meter: Meter


class Counts:
    """Counts that one client has begun over one link; they end with it."""

    def __init__(self) -> None:
        self._running: dict[bytes, tuple[int, Digest]] = {}

    def add(self, ask: Ask, told: MaskedAnswer) -> bytes:
        """Add a batch; what the client is told of it: nothing, but at the end.

        Raises:
            QueryRefused: too many counts were begun and not ended.
        """
        if ask.evaluation == NO_EVALUATION:
            return told.to_bytes()
        if ask.evaluation not in self._running and len(self._running) >= _MOST_COUNTS:
            raise QueryRefused(f"{_MOST_COUNTS} counts are open; end one of them first")
        total, digest = self._running.pop(ask.evaluation, (0, Digest("count")))
        digest.update(memoryview(told.digest))
        total += int.from_bytes(told.share, "little")
        if not ask.last:
            self._running[ask.evaluation] = (total, digest)
            return b""
        share = (total % (1 << 8 * len(told.share))).to_bytes(len(told.share), "little")
        return MaskedAnswer(told.masked, share, digest.value()).to_bytes()


class OnlineServer(Server):
    """What the first and the second online server share."""

    number: int

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.model: Model | None = None
        self._running = 0
        self._changed = threading.Condition()

    @abstractmethod
    def serve_query(self, client: Link, query: bytes, ask: Ask, model: Model, counts: Counts) -> None:
        """Answer one query that the limits allow."""

    def part_bytes(self, sharing: Sharing) -> int:
        """The party, a seed, then a matrix and a bias for each linear step."""
        words = sum(outputs * (fan_in + 1) for outputs, fan_in in weight_shapes(sharing.program))
        return 1 + KEY_BYTES + 8 * words

    def install(self, part: Part) -> None:
        """Take a part of a model; what clients have used of its quota is taken up, too."""
        content = OnlineModel.from_bytes(part.sharing.program, part.content)
        if content.party != self.number:
            raise QueryRefused(f"the part is not that of {self.place.party}; share the model anew")
        account = kept_account(self.place.keeper, part.sharing.name)
        self.model = Model(
            part.sharing, content, Meter(part.sharing.limits, account.load(), account.save, time.monotonic)
        )

    def finish(self) -> None:
        """Let running queries end."""
        with self._changed:
            self._changed.wait_for(lambda: not self._running, _ENDING)

    def attend_client(self, client: Link) -> None:
        """Serve a client until it hangs up."""
        counts = Counts()
        while True:
            frame = client.receive({Kind.ASK: (Ask.BYTES, Ask.BYTES)}, patience=FOREVER)
            ask = Ask.from_bytes(frame.payload)
            try:
                with self._busy():
                    model = self._meant(ask)
                    model.meter.charge(client.peer, ask.answer, ask.rows)
                    self.serve_query(client, frame.query, ask, model, counts)
            except ChorusError as error:
                self.count("refused" if isinstance(error, QueryRefused) else "failed")
                self.complain(f"query of {client.peer} not answered: {error.line}")
                client.fail(error, frame.query)
            else:
                self.count("examples", ask.rows)
                self.after_query(ask, self.count("queries", ask.last))

    def after_query(self, ask: Ask, answered: int) -> None:
        """Called when a query was answered and its client has heard; so many were by now."""

    def answer(
        self, client: Link, query: bytes, ask: Ask, model: Model, lot: Lot, lane: Link, counts: Counts
    ) -> None:
        """Give the client its sub-seed, take its input, evaluate, and tell it this server's side of the answer.

        Raises:
            ChorusError: whatever goes wrong with client or lane; the lot is used up in any case.
        """
        program = model.sharing.program
        client.send(Kind.MASK, sub_seed(lot.seed), query)
        least, most = input_bytes(program, ask)
        masked = client.receive({Kind.INPUT: (least, most)}, query).payload
        steps = evaluate(program, model.part, lot, masked, ask.answer)
        step = 0
        try:
            message = next(steps)
            while True:
                message = steps.send(lane.exchange(message, query, step))
                step += 1
        except StopIteration as stop:
            told: MaskedAnswer = stop.value
        client.send(Kind.ANSWER, counts.add(ask, told), query)

    def _meant(self, ask: Ask) -> Model:
        model = self.model
        if model is None:
            raise QueryRefused("no model is shared yet; ask its owner")
        if ask.sharing != model.sharing.identifier:
            raise QueryRefused("the kit is of another sharing of a model; ask the owner for its new one")
        return model

    @contextmanager
    def _busy(self) -> Iterator[None]:
        with self._changed:
            if self.ending.is_set():
                raise LinkFailed("the server ends; ask again when it is back")
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()


def input_bytes(program: Program, ask: Ask) -> tuple[int, int]:
    """Least and largest length of the masked input of a query: with a count, labels ride behind."""
    words = ask.rows * prod(program.wires[0].shape)
    return 8 * words, 8 * (words + (ask.rows if ask.answer is Answer.COUNT else 0))


def is_client(party: str) -> bool:
    """Whether a party may ask."""
    return party.startswith(CLIENT) and len(party) > len(CLIENT)
