"""Lots are used once, die with their epoch, and wait for room; what is asked again is made ahead."""

import threading
import time

import pytest

from predictions.errors import LinkFailed, QueryRefused
from predictions.messages import Order
from predictions.online import Lot
from predictions.pool import Pool
from predictions.program import Answer
from predictions.stock import Stock

EPOCH = b"e" * 16


def lot(size: int = 10) -> Lot:
    return Lot(1, b"s" * 32, bytes(size))


def test_a_lot_is_taken_once() -> None:
    pool = Pool(100)
    pool.begin(EPOCH)
    pool.put(EPOCH, 3, lot())
    pool.take(EPOCH, 3, 0.1)
    with pytest.raises(LinkFailed, match="did not come in time"):
        pool.take(EPOCH, 3, 0.05)


def test_lots_die_with_their_epoch() -> None:
    pool = Pool(100)
    pool.begin(EPOCH)
    pool.put(EPOCH, 0, lot())
    pool.end()
    with pytest.raises(LinkFailed, match="all material with it"):
        pool.take(EPOCH, 0, 0.1)
    pool.begin(b"f" * 16)
    with pytest.raises(LinkFailed):
        pool.take(EPOCH, 0, 0.1)
    pool.put(EPOCH, 1, lot())  # late, of the epoch before
    with pytest.raises(LinkFailed, match="in time"):
        pool.take(b"f" * 16, 1, 0.05)


def test_whoever_waits_for_a_lot_hears_that_its_epoch_ended() -> None:
    pool, heard = Pool(100), []
    pool.begin(EPOCH)

    def wait() -> None:
        try:
            pool.take(EPOCH, 0, 30)
        except LinkFailed as error:
            heard.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    pool.end()
    thread.join(5)
    assert heard == ["the link to the helper broke, and all material with it; ask again"]


def test_a_full_pool_holds_up_whoever_delivers_until_there_is_room() -> None:
    pool, delivered = Pool(25), []
    pool.begin(EPOCH)

    def deliver() -> None:
        for number in range(4):
            pool.put(EPOCH, number, lot())
            delivered.append(number)

    thread = threading.Thread(target=deliver)
    thread.start()
    time.sleep(0.1)
    assert delivered == [0, 1]
    pool.take(EPOCH, 0, 1)
    pool.take(EPOCH, 2, 5)
    thread.join(5)
    assert delivered == [0, 1, 2, 3]


def test_a_lot_larger_than_the_pool_is_taken_alone() -> None:
    pool = Pool(5)
    pool.begin(EPOCH)
    pool.put(EPOCH, 0, lot())
    assert len(pool.take(EPOCH, 0, 1).corrections) == 10


def test_nobody_asks_before_there_is_an_epoch() -> None:
    with pytest.raises(LinkFailed, match="is away"):
        Pool(5).await_epoch(0.01)


class Helper:
    """Delivers what is ordered at once."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.orders: list[Order] = []

    def order(self, order: Order) -> None:
        self.orders.append(order)
        if order.rows:
            self.pool.put(EPOCH, order.number, lot(0))


def stock(ahead: int, most: int, size: int = 10) -> tuple[Stock, Helper, Pool]:
    pool = Pool(1000)
    pool.begin(EPOCH)
    helper = Helper(pool)
    return Stock(pool, helper.order, lambda answer, rows: size, ahead, most), helper, pool


def test_what_was_asked_is_made_ahead_for_the_next_query() -> None:
    shelves, helper, _ = stock(ahead=2, most=100)
    numbers = []
    for _ in range(3):
        numbers.append(shelves.take(Answer.LABEL, 4, 1)[1])
        shelves.refill(Answer.LABEL, 4)
    assert numbers == [0, 1, 2]
    assert [one.urgent for one in helper.orders] == [True, False, False, False, False]


def test_nothing_is_made_ahead_when_that_is_the_wish() -> None:
    shelves, helper, _ = stock(ahead=0, most=100)
    shelves.take(Answer.LABEL, 4, 1)
    shelves.refill(Answer.LABEL, 4)
    assert len(helper.orders) == 1


def test_lots_of_the_size_asked_longest_ago_make_room() -> None:
    shelves, helper, pool = stock(ahead=1, most=20)
    for rows in (1, 2, 3):
        shelves.take(Answer.LABEL, rows, 1)
        shelves.refill(Answer.LABEL, rows)
    burnt = [one.number for one in helper.orders if not one.rows]
    assert burnt == [1]  # made ahead for one row
    with pytest.raises(LinkFailed):
        pool.take(EPOCH, 1, 0.01)


def test_a_batch_that_no_memory_holds_is_refused() -> None:
    shelves, helper, _ = stock(ahead=1, most=9)
    with pytest.raises(QueryRefused, match="ask fewer at once"):
        shelves.take(Answer.LABEL, 1, 1)
    assert not helper.orders


def test_no_number_is_given_twice_even_in_another_epoch() -> None:
    shelves, _, pool = stock(ahead=1, most=100)
    first = shelves.take(Answer.LABEL, 1, 1)[1]
    shelves.refill(Answer.LABEL, 1)
    pool.end()
    pool.begin(EPOCH)  # even if an epoch's name came again
    assert shelves.take(Answer.LABEL, 2, 1)[1] > first
