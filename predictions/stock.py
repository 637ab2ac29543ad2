"""What the first online server knows of lots: which are free, which are on their way, which to order.

Decides: which lot a query uses, how many are made ahead for a size of batch that was asked, and which are thrown away
when memory is short: those of the size asked longest ago. Refuses to know: seeds and links.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable

from predictions.errors import QueryRefused
from predictions.messages import Order
from predictions.online import Lot
from predictions.pool import Pool
from predictions.program import Answer


class Stock:
    """Used by the threads of all clients.

    Args:
        pool: where lots arrive.
        order: tells the helper.
        size: bytes of corrections at the second server, of a lot for an answer and so many rows.
        ahead: lots made ahead for each kind and size; 0 makes every lot on demand.
        most_bytes: of corrections that lots made ahead may take at the second server.
    """

    def __init__(
        self,
        pool: Pool,
        order: Callable[[Order], None],
        size: Callable[[Answer, int], int],
        ahead: int,
        most_bytes: int,
    ) -> None:
        self._pool, self._order, self._size = pool, order, size
        self._ahead, self._most_bytes = ahead, most_bytes
        self._shelves: OrderedDict[tuple[Answer, int], deque[int]] = OrderedDict()
        self._epoch = b""
        self._next = 0
        self._lock = threading.Lock()

    def take(self, answer: Answer, rows: int, patience: float) -> tuple[bytes, int, Lot]:
        """Pop a lot: one made ahead, or one made now; its epoch, its number and itself.

        Raises:
            QueryRefused: the batch needs more memory than there is.
            LinkFailed: the helper is away, or goes away.
        """
        size = self._size(answer, rows)
        if size > self._most_bytes:
            raise QueryRefused(
                f"a batch of {rows} takes {size >> 20} MiB of material, and servers keep {self._most_bytes >> 20}; ask "
                "fewer at once"
            )
        epoch = self._pool.await_epoch(patience)
        with self._lock:
            self._turn_to(epoch)
            shelf = self._shelves.setdefault((answer, rows), deque())
            number = shelf.popleft() if shelf else self._new(answer, rows, urgent=True)
        return epoch, number, self._pool.take(epoch, number, patience)

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
            while len(shelf) < self._ahead and self._make_room(answer, rows):
                shelf.append(self._new(answer, rows, urgent=False))

    def _make_room(self, answer: Answer, rows: int) -> bool:
        """Throw lots of other batches away until one more has room; whether it has."""
        room = self._most_bytes - self._size(answer, rows)
        room -= sum(len(shelf) * self._size(*batch) for batch, shelf in self._shelves.items())
        for batch, shelf in self._shelves.items():
            while room < 0 and batch != (answer, rows) and shelf:
                number = shelf.popleft()
                self._pool.burn(number)
                self._order(Order(number, batch[0], 0))
                room += self._size(*batch)
        return room >= 0

    def _new(self, answer: Answer, rows: int, *, urgent: bool) -> int:
        number, self._next = self._next, self._next + 1
        self._order(Order(number, answer, rows, urgent))
        return number

    def _turn_to(self, epoch: bytes) -> None:
        """Lots of another epoch are gone; numbers are never used again, in any."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._shelves.clear()
