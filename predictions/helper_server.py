"""The helper: makes lots of one-time material on order and hands each online server its side of them.

Decides: epochs (both online servers linked, both with this sharing), the order of orders, and that one thread does all
of an epoch, so that nothing is made while a message is half sent. What it cannot deliver it stops making: sockets that
are full are the back-pressure. Refuses to know: queries, clients and any masked value.
"""

import heapq
import os
import select
import threading
from dataclasses import dataclass, field
from typing import Final

from predictions.credentials import FIRST, SECOND
from predictions.errors import FrameRejected, LinkFailed, QueryRefused
from predictions.frames import Frame, Kind
from predictions.limits import MOST_ROWS
from predictions.link import Link
from predictions.messages import IDENTIFIER_BYTES, Order
from predictions.model_shares import HelperModel
from predictions.preparation import prepare
from predictions.server import Place, Server
from predictions.sharing import Part, Sharing

_MOST_ORDERS: Final = 1024
_SEED_BYTES: Final = 32


@dataclass
class _Epoch:
    """Both links, and what was ordered over the first."""

    sharing: Sharing
    model: HelperModel
    first: Link
    second: Link
    identifier: bytes = field(default_factory=lambda: os.urandom(IDENTIFIER_BYTES))
    orders: list[tuple[int, int, Order]] = field(default_factory=list)
    arrived: int = 0

    def add(self, order: Order) -> None:
        """What a query waits for first, then the rest, then what is to be thrown away.

        Raises:
            FrameRejected: more orders than an honest server has open, or for no possible batch.
        """
        if len(self.orders) >= _MOST_ORDERS or order.rows > MOST_ROWS:
            raise FrameRejected("more was ordered than can be; run one version on all machines")
        rank = 2 if not order.rows else 0 if order.urgent else 1
        self.arrived += 1
        heapq.heappush(self.orders, (rank, self.arrived, order))

    def make(self) -> None:
        """Make the next lot, and deliver it."""
        order = heapq.heappop(self.orders)[2]
        if not order.rows:
            for link in (self.second, self.first):
                link.send(Kind.DELIVERY, order.to_bytes())
            return
        seeds = os.urandom(_SEED_BYTES), os.urandom(_SEED_BYTES)
        corrections = prepare(self.sharing.program, self.model, order.rows, order.answer, *seeds)
        delivery = order.to_bytes()
        # The second first: when the first has its seed, the lot can be used.
        self.second.send(Kind.DELIVERY, delivery)
        self.second.send(Kind.LOT, seeds[1])
        self.second.send(Kind.LOT, corrections)
        self.first.send(Kind.DELIVERY, delivery)
        self.first.send(Kind.LOT, seeds[0])

    def close(self) -> None:
        """End it; both servers throw all of its lots away."""
        self.first.close()
        self.second.close()


class HelperServer(Server):
    """P0.

    Args:
        place: where it runs.
        follows: whether it ends when the first online server has served all requests.
    """

    def __init__(self, place: Place, *, follows: bool = False) -> None:
        super().__init__(place)
        self._follows = follows
        self._pairing = threading.Lock()
        self._waiting: dict[str, tuple[Link, threading.Event]] = {}
        self._epoch: _Epoch | None = None
        self._model: tuple[Sharing, HelperModel] | None = None

    def part_bytes(self, sharing: Sharing) -> int:
        """Two seeds."""
        return 2 * _SEED_BYTES

    def install(self, part: Part) -> None:
        """Take the seeds of a sharing; the epoch of the one before ends."""
        model = HelperModel.from_bytes(part.sharing.program, part.content)
        with self._pairing:
            self._model = (part.sharing, model)
        self.drop_links(FIRST, SECOND)

    def finish(self) -> None:
        """Nothing is left to be done: whatever is half made is of no use."""

    def attend(self, link: Link) -> None:
        """Serve an online server."""
        if link.peer not in (FIRST, SECOND):
            raise QueryRefused("the helper serves the two online servers; ask those")
        told = link.receive({Kind.READY: (IDENTIFIER_BYTES, IDENTIFIER_BYTES)})
        over = threading.Event()
        with self._pairing:
            if self._model is None or self._model[0].identifier != told.payload:
                raise QueryRefused("the servers have parts of different sharings; share the model anew")
            before = self._waiting.pop(link.peer, None)
            if self._epoch is not None:
                self._epoch.close()
            self._waiting[link.peer] = (link, over)
            epoch, others = self._paired(self._model)
        if before is not None:
            before[1].set()
        if epoch is None:
            over.wait()
            return
        try:
            self._run(epoch)
        finally:
            epoch.close()
            for event in others:
                event.set()

    def _paired(self, model: tuple[Sharing, HelperModel]) -> tuple[_Epoch | None, list[threading.Event]]:
        """An epoch, as soon as both servers wait for one."""
        if len(self._waiting) < 2:
            return None, []
        (first, one), (second, other) = self._waiting.pop(FIRST), self._waiting.pop(SECOND)
        self._epoch = _Epoch(*model, first, second)
        return self._epoch, [one, other]

    def _run(self, epoch: _Epoch) -> None:
        self.count("epochs")
        poll = select.poll()
        poll.register(epoch.first, select.POLLIN)
        poll.register(epoch.second, select.POLLIN)
        for link in (epoch.second, epoch.first):
            link.send(Kind.READY, epoch.identifier)
        while True:
            for number, _ in poll.poll(0 if epoch.orders else None):
                if number != epoch.first.fileno():
                    raise LinkFailed(f"{SECOND} went away; all material for it is gone with it")
                frame = epoch.first.receive({Kind.ORDER: (Order.BYTES, Order.BYTES), Kind.BYE: (0, 0)})
                if self._told_to_end(frame):
                    return
                if frame.kind is Kind.ORDER:
                    epoch.add(Order.from_bytes(frame.payload))
            if epoch.orders:
                epoch.make()
                self.count("lots")

    def _told_to_end(self, frame: Frame) -> bool:
        if frame.kind is Kind.BYE and self._follows:
            self.ending.set()
        return frame.kind is Kind.BYE and self._follows
