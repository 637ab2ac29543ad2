"""What the first online server knows of lots: which are free, which are on their way, which to order.

Decides: which lot a query uses, how many are made ahead for a size of batch that was asked, and which are thrown away
when memory is short: those of the size asked longest ago. Refuses to know: seeds and links.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from predictions.messages import Order
from predictions.online import Lot
from predictions.pool import Pool
from predictions.program import Answer


@dataclass
class _Shelf:
    """Lots for one kind of answer and size of batch: numbers of those ordered ahead; bytes of one."""

    numbers: deque[int] = field(default_factory=deque)
    size: int = 0


class Stock:
    """Used by the threads of all clients.

    Args:
        pool: where lots arrive.
        order: tells the helper.
        ahead: lots made ahead for each kind and size; 0 makes every lot on demand.
        most_bytes: of corrections that lots made ahead may take at the second server.
    """

    def __init__(self, pool: Pool, order: Callable[[Order], None], ahead: int, most_bytes: int) -> None:
        self._pool, self._order = pool, order
        self._ahead, self._most_bytes = ahead, most_bytes
        self._shelves: OrderedDict[tuple[Answer, int], _Shelf] = OrderedDict()
        self._epoch = b""
        self._next = 0
        self._lock = threading.Lock()

    def take(self, answer: Answer, rows: int, patience: float) -> tuple[bytes, int, Lot]:
        """Pop a lot: one made ahead, or one made now; its epoch, its number and itself.

        Raises:
            LinkFailed: the helper is away, or goes away.
        """
        epoch = self._pool.await_epoch(patience)
        with self._lock:
            self._turn_to(epoch)
            shelf = self._shelves.get((answer, rows))
            number = shelf.numbers.popleft() if shelf and shelf.numbers else None
            if number is None:
                number = self._new(answer, rows, urgent=True)
        lot, size = self._pool.take(epoch, number, patience)
        with self._lock:
            if epoch == self._epoch:
                self._shelves.setdefault((answer, rows), _Shelf()).size = size
        return epoch, number, lot

    def refill(self, answer: Answer, rows: int) -> None:
        """Order what is to be made ahead for the next query like this one.

        Raises:
            LinkFailed: the link to the helper broke.
        """
        with self._lock:
            shelf = self._shelves.get((answer, rows))
            if shelf is None or self._pool.epoch != self._epoch:
                return
            self._shelves.move_to_end((answer, rows))
            while len(shelf.numbers) < self._ahead and self._make_room(shelf):
                shelf.numbers.append(self._new(answer, rows, urgent=False))

    def _make_room(self, wanted: _Shelf) -> bool:
        """Throw lots away until one more has room; whether it has."""
        for (answer, _), shelf in list(self._shelves.items()):
            while self._held() + wanted.size > self._most_bytes and shelf is not wanted and shelf.numbers:
                number = shelf.numbers.popleft()
                self._pool.burn(number)
                self._order(Order(number, answer, 0))
        return self._held() + wanted.size <= self._most_bytes

    def _held(self) -> int:
        return sum(len(shelf.numbers) * shelf.size for shelf in self._shelves.values())

    def _new(self, answer: Answer, rows: int, *, urgent: bool) -> int:
        number, self._next = self._next, self._next + 1
        self._order(Order(number, answer, rows, urgent))
        return number

    def _turn_to(self, epoch: bytes) -> None:
        """Lots of another epoch are gone; numbers are never used again, in any."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._shelves.clear()
