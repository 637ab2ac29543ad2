"""One protocol round over the grid: whose reply it is, and how long to wait."""

import time
from collections.abc import Iterable
from threading import Event, Timer
from typing import Any, ClassVar

import pytest
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from strategies.exchange import Refusal, exchange, printable
from tests.support.local_grid import LocalGrid
from wire.records import message_in, reply_record, request_record
from wire.rounds import ProtocolRound

R2 = ProtocolRound.MASKED_INPUT
echo = ClientApp()


@echo.train(R2.action)
def answer(message: Message, context: Context) -> Message:
    return Message(reply_record(str(context.node_id).encode()), reply_to=message)


@pytest.fixture
def grid() -> LocalGrid:
    return LocalGrid(echo, 3, {})


def asked(
    grid: LocalGrid, deadline: float = 0.1, poll: float = 0.01
) -> list[tuple[int, RecordDict | Refusal]]:
    requests = {node: request_record(b"ask", None, None) for node in grid.ids}
    return list(exchange(grid, requests, R2, 7, deadline, poll))


def test_every_client_is_asked_once_and_yielded_with_its_own_reply(grid: LocalGrid) -> None:
    found = asked(grid)
    assert [node for node, _ in found] == grid.ids
    assert [message_in(reply) for _, reply in found] == [str(node).encode() for node in grid.ids]  # type: ignore[arg-type]
    assert {m.metadata.message_type for m in grid.sent} == {"train.masked_input"}
    assert {m.metadata.group_id for m in grid.sent} == {"7"}


def test_it_does_not_wait_longer_than_the_last_reply(grid: LocalGrid) -> None:
    started = time.monotonic()
    assert len(asked(grid, deadline=30.0)) == 3
    assert time.monotonic() - started < 5


def test_it_waits_no_longer_than_the_deadline_for_the_silent(grid: LocalGrid) -> None:
    grid.after = lambda m: None if m.metadata.src_node_id == grid.ids[1] else m
    started = time.monotonic()
    assert [node for node, _ in asked(grid, 0.3, 0.05)] == [grid.ids[0], grid.ids[2]]
    assert 0.3 <= time.monotonic() - started < 2.5


def test_a_node_that_is_gone_is_silent(grid: LocalGrid) -> None:
    grid.online.discard(grid.ids[0])
    assert [node for node, _ in asked(grid)] == grid.ids[1:]


def test_sending_may_take_longer_than_the_deadline(grid: LocalGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    push = grid.push_messages

    def slowly(messages: Iterable[Message]) -> Iterable[str]:
        time.sleep(0.2)
        return push(messages)

    monkeypatch.setattr(grid, "push_messages", slowly)
    assert len(asked(grid, deadline=0.1)) == 3


def test_a_message_that_could_not_be_pushed_is_silent_and_shifts_nobody(
    grid: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    push = grid.push_messages

    def partly(messages: Iterable[Message]) -> Iterable[Any]:
        identifiers: list[Any] = list(push(messages))
        identifiers[0] = None  # as Flower says it: the order is kept
        return identifiers

    monkeypatch.setattr(grid, "push_messages", partly)
    found = asked(grid)
    assert (
        [(node, message_in(reply)) for node, reply in found]
        == [  # type: ignore[arg-type]
            (node, str(node).encode()) for node in grid.ids[1:]
        ]
    )


def test_nobody_to_ask_is_no_trip(grid: LocalGrid) -> None:
    assert list(exchange(grid, {}, R2, 1, 10.0, 0.01)) == []
    assert grid.sent == []


def test_an_error_reply_is_a_refusal(grid: LocalGrid) -> None:
    grid.before = lambda m: Message(RecordDict(), m.metadata.dst_node_id, "train.unknown")

    def refuse(reply: Message) -> Message:
        failed = Message(Error(1000, "FORMAT: no\n\x1b[1m"), reply_to=reply)
        failed.metadata.__dict__["_reply_to_message_id"] = "message-1"
        return failed

    grid.after = refuse
    assert asked(grid)[0] == (grid.ids[0], Refusal("FORMAT: no??[1m"))


def test_a_reply_with_neither_content_nor_error_is_a_refusal(grid: LocalGrid) -> None:
    pull = grid.pull_messages

    def emptied(identifiers: Iterable[str]) -> Iterable[Message]:
        for reply in pull(identifiers):
            reply.__dict__["_content"] = None
            yield reply

    grid.pull_messages = emptied  # type: ignore[method-assign]
    assert [type(reply) for _, reply in asked(grid)] == 3 * [Refusal]


@pytest.mark.parametrize("text", [None, "", "a" * 10**6, "\x00\x1b\u202e\r\n", "\ud7ff" * 300, "  x  "])
def test_printable_is_short_plain_and_one_line(text: str | None) -> None:
    found = printable(text)
    assert len(found) <= 200
    assert found.isascii()
    assert found.isprintable()
    assert found == found.strip()


def test_printable_says_so_when_there_is_no_reason() -> None:
    assert printable(None) == printable("") == "no reason given"


@pytest.mark.parametrize(("expected", "first"), [(0.0, None), (0.1, 0.08), (60.0, 0.2), (0.001, 0.01)])
def test_the_first_look_comes_shortly_before_the_last_reply_is_due(
    grid: LocalGrid, expected: float, first: float | None
) -> None:
    class Watched(Event):
        slept: ClassVar[list[float]] = []

        def wait(self, timeout: float | None = None) -> bool:
            self.slept.append(timeout or 0.0)
            return False

    Watched.slept.clear()
    requests = {node: request_record(b"ask", None, None) for node in grid.ids}
    assert len(list(exchange(grid, requests, R2, 7, 30.0, 0.2, expected, Watched()))) == 3
    assert Watched.slept == ([] if first is None else [pytest.approx(first)])


def test_a_late_first_look_still_leaves_half_of_the_deadline(grid: LocalGrid) -> None:
    requests = {node: request_record(b"ask", None, None) for node in grid.ids}
    assert len(list(exchange(grid, requests, R2, 7, 0.1, 10.0, 100.0))) == 3


def test_once_stopped_nothing_more_is_waited_for(grid: LocalGrid) -> None:
    grid.after = lambda m: None
    stopped = Event()
    Timer(0.2, stopped.set).start()
    requests = {node: request_record(b"ask", None, None) for node in grid.ids}
    started = time.monotonic()
    assert not list(exchange(grid, requests, R2, 7, 60.0, 10.0, 0.0, stopped))
    assert time.monotonic() - started < 5
