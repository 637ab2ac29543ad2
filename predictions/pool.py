"""Lots that wait for their query: one-time material, in memory alone.

Decides: that a lot is popped before it is used and nothing puts it back, that lots die with the epoch they were made
in, and that whoever delivers waits while the memory for them is full. Refuses to know: what a lot is good for.
"""

import threading
import time

from predictions.errors import LinkFailed
from predictions.online import Lot


class Pool:
    """Lots of one epoch, by number.

    Args:
        most_bytes: of corrections at once; a single larger lot is taken when there is no other.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._lots: dict[int, Lot] = {}
        self._bytes = 0
        self._changed = threading.Condition()
        self.epoch = b""

    def begin(self, epoch: bytes) -> None:
        """Start an epoch; lots of an earlier one are gone."""
        with self._changed:
            self._forget(epoch)

    def end(self) -> None:
        """End the epoch: every lot is thrown away, and whoever waits for one is told."""
        with self._changed:
            self._forget(b"")

    def put(self, epoch: bytes, number: int, lot: Lot) -> None:
        """Add a lot; waits while there is no room. One of an epoch that ended is thrown away."""
        size = len(lot.corrections)
        with self._changed:
            while self.epoch == epoch and self._lots and self._bytes + size > self._most_bytes:
                self._changed.wait()
            if self.epoch == epoch:
                self._lots[number] = lot
                self._bytes += size
                self._changed.notify_all()

    def take(self, epoch: bytes, number: int, patience: float) -> Lot:
        """Pop a lot; waits until it is there.

        Args:
            epoch: in which it was ordered.
            number: of the lot.
            patience: seconds.

        Raises:
            LinkFailed: its epoch has ended, or it did not come.
        """
        end = time.monotonic() + patience
        with self._changed:
            while self.epoch == epoch and number not in self._lots:
                left = end - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise LinkFailed("the helper's material did not come in time; ask again")
            if self.epoch != epoch:
                raise LinkFailed("the link to the helper broke, and all material with it; ask again")
            return self._pop(number)

    def join(self, epoch: bytes, patience: float) -> None:
        """Wait until an epoch has begun here that has begun elsewhere.

        Raises:
            LinkFailed: it does not.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.epoch == epoch, patience):
                raise LinkFailed("the second server has no link to the helper; ask again when all are up")

    def burn(self, number: int) -> None:
        """Throw a lot away, if it is there."""
        with self._changed:
            if number in self._lots:
                self._pop(number)

    def await_epoch(self, patience: float) -> bytes:
        """The epoch; waits until there is one.

        Raises:
            LinkFailed: none began.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self.epoch, patience):
                raise LinkFailed("the helper, or the other online server, is away; ask again when all are up")
            return self.epoch

    def _pop(self, number: int) -> Lot:
        lot = self._lots.pop(number)
        self._bytes -= len(lot.corrections)
        self._changed.notify_all()
        return lot

    def _forget(self, epoch: bytes) -> None:
        self._lots.clear()
        self._bytes = 0
        self.epoch = epoch
        self._changed.notify_all()
