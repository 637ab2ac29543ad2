"""An online server's side of the helper: keeps a link to it, and takes what it delivers.

Decides: when the link is opened anew, and that every break ends the epoch and all its lots. Refuses to know: which
query a lot is for.
"""

import threading
from collections.abc import Callable
from typing import Final

from arithmetic.errors import ChorusError
from predictions.errors import LinkFailed
from predictions.frames import Kind
from predictions.link import FOREVER, Link
from predictions.messages import IDENTIFIER_BYTES, Order
from predictions.online import Lot
from predictions.pool import Pool

_SEED_BYTES: Final = 32
_PAUSES: Final = (0.05, 0.1, 0.2, 0.5)


class Supply:
    """Runs a thread until it is closed.

    Args:
        connect: opens a link to the helper.
        sharing: which sharing lots are for.
        pool: is given the lots.
        size: bytes of corrections that belong to an order; 0 at the first server, which gets none.
        say: takes a line when the helper comes and goes.
    """

    def __init__(
        self,
        connect: Callable[[], Link],
        sharing: bytes,
        pool: Pool,
        size: Callable[[Order], int],
        say: Callable[[str], None],
    ) -> None:
        self._connect, self._sharing, self._pool = connect, sharing, pool
        self._size, self._say = size, say
        self._link: Link | None = None
        self._lock = threading.Lock()  # TLS takes one thread at a time: orders go out while nothing is read
        self._closed = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def order(self, order: Order) -> None:
        """Ask the helper for a lot.

        Raises:
            LinkFailed: there is no link.
        """
        self._send(Kind.ORDER, order.to_bytes())

    def bye(self) -> None:
        """Tell the helper that all requests were served."""
        self._send(Kind.BYE, b"")

    def close(self) -> None:
        """End the link, the epoch and the thread."""
        self._closed.set()
        if self._link is not None:
            self._link.close()
        self._pool.end()

    def _send(self, kind: Kind, payload: bytes) -> None:
        link = self._link
        if link is None:
            raise LinkFailed("the helper is away; ask again when it is back")
        with self._lock:
            link.send(kind, payload)

    def _run(self) -> None:
        failures, said = 0, ""
        while not self._closed.is_set():
            try:
                with self._connect() as link:
                    self._link = link
                    self._take(link)
            except ChorusError as error:
                if self._pool.epoch:
                    failures, said = 0, ""
                if error.line != said:
                    said = error.line
                    self._say(said)
            self._pool.end()
            self._closed.wait(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1

    def _take(self, link: Link) -> None:
        link.send(Kind.READY, self._sharing)
        ready = link.receive({Kind.READY: (IDENTIFIER_BYTES, IDENTIFIER_BYTES)}, patience=FOREVER)
        epoch = bytes(ready.payload)
        self._pool.begin(epoch)
        self._say("the helper is there")
        due = {Kind.DELIVERY: (Order.BYTES, Order.BYTES)}
        while not self._closed.is_set():
            link.await_bytes()
            with self._lock:
                order = Order.from_bytes(link.receive(due).payload)
                lot = self._lot(link, order) if order.rows else None
            if lot is None:
                self._pool.burn(order.number)
            else:
                self._pool.put(epoch, order.number, lot)

    def _lot(self, link: Link, order: Order) -> Lot:
        seed = bytes(link.receive({Kind.LOT: (_SEED_BYTES, _SEED_BYTES)}).payload)
        size = self._size(order)
        corrections = link.receive({Kind.LOT: (size, size)}).payload if size else b""
        return Lot(order.rows, seed, corrections)
