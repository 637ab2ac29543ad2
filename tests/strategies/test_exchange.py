"""One protocol round over the grid: whose reply it is, and how long to wait."""

import time
from collections.abc import Callable, Iterable
from threading import Event, Timer
from typing import Any, ClassVar

import httpx
import pytest
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from strategies import exchange as module
from strategies.errors import LinkLost
from strategies.exchange import Refusal, exchange, printable
from strategies.link import Link
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
    assert time.monotonic() - started < 20


def test_it_waits_no_longer_than_the_deadline_for_the_silent(grid: LocalGrid) -> None:
    grid.after = lambda m: None if m.metadata.src_node_id == grid.ids[1] else m
    started = time.monotonic()
    assert [node for node, _ in asked(grid, 0.3, 0.05)] == [grid.ids[0], grid.ids[2]]
    assert 0.3 <= time.monotonic() - started < 20


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
    assert time.monotonic() - started < 20


@pytest.fixture
def prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outages of tenths of a second."""
    monkeypatch.setattr(module, "Link", lambda grid, emit: Link(grid, emit, 1.0, 0.05))


def away_for(grid: LocalGrid, seconds: float) -> None:
    """Whoever asks in the next seconds waits until they are over, as Flower's grid does it."""
    end = time.monotonic() + seconds
    pull, nodes = grid.pull_messages, grid.get_node_ids

    def pulled(identifiers: Iterable[str]) -> Iterable[Message]:
        time.sleep(max(0.0, end - time.monotonic()))
        return pull(identifiers)

    def seen() -> Iterable[int]:
        time.sleep(max(0.0, end - time.monotonic()))
        return nodes()

    grid.pull_messages, grid.get_node_ids = pulled, seen  # type: ignore[method-assign]


@pytest.mark.usefixtures("prompt")
def test_time_in_which_the_superlink_was_away_is_not_the_clients(
    grid: LocalGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The late one answers 0.3 s after the SuperLink came back, long past the deadline of 0.1 s."""
    monkeypatch.setattr("strategies.link.RETURN", 1.0)
    late: list[Message] = []

    def later(reply: Message) -> Message | None:
        if reply.metadata.src_node_id != grid.ids[2]:
            return reply
        late.append(reply)
        return None

    grid.after = later
    away_for(grid, 0.6)
    told: list[str] = []
    found = []
    requests = {node: request_record(b"ask", None, None) for node in grid.ids}
    for node, _ in exchange(grid, requests, R2, 7, 0.1, 0.01, emit=lambda event, **_: told.append(event)):
        found.append(node)
        if len(found) == 2:
            Timer(0.3, setattr, [grid, "injected", late]).start()
    assert found == grid.ids
    assert told == ["link_lost", "link_back"]


@pytest.mark.usefixtures("prompt")
def test_a_superlink_that_stays_away_ends_the_exchange(grid: LocalGrid) -> None:
    away_for(grid, 3.0)
    started = time.monotonic()
    with pytest.raises(LinkLost):
        asked(grid, deadline=0.1)
    assert time.monotonic() - started < 20


def test_no_outage_puts_a_deadline_off_for_ever(grid: LocalGrid, monkeypatch: pytest.MonkeyPatch) -> None:
    class Flapping(Link):
        def pull(self, identifiers: Iterable[str]) -> list[Message]:
            self.away += 1.0
            return super().pull(identifiers)

    monkeypatch.setattr(module, "Link", Flapping)
    monkeypatch.setattr(module, "LONGEST_EXTENSION", 0.3)
    grid.after = lambda m: None
    started = time.monotonic()
    assert asked(grid, deadline=0.1) == []
    assert 0.4 <= time.monotonic() - started < 20


def failing(grid: LocalGrid, fails: Callable[[list[str]], bool]) -> None:
    """The SuperLink answers HTTP 500 to pulls of which `fails` says so."""
    pull = grid.pull_messages

    def pulled(identifiers: Iterable[str]) -> Iterable[Message]:
        if fails(list(identifiers)):
            request = httpx.Request("POST", "http://127.0.0.1")
            raise httpx.HTTPStatusError("", request=request, response=httpx.Response(500))
        return pull(identifiers)

    grid.pull_messages = pulled  # type: ignore[method-assign]


def test_a_superlink_that_errs_while_it_starts_costs_nobody_the_round(grid: LocalGrid) -> None:
    errors = iter(range(9))
    failing(grid, lambda _: next(errors, None) is not None)
    assert [node for node, _ in asked(grid, 5.0)] == grid.ids
    assert not any(isinstance(reply, Refusal) for _, reply in asked(grid))


def test_a_reply_that_the_superlink_cannot_give_costs_its_sender_alone(grid: LocalGrid) -> None:
    failing(grid, lambda keys: "message-2" in keys)
    assert [node for node, _ in asked(grid, 0.2)] == [grid.ids[0], grid.ids[2]]


def test_a_reply_that_flower_cannot_parse_is_a_refusal_of_its_sender(grid: LocalGrid) -> None:
    pull = grid.pull_messages

    def broken(identifiers: Iterable[str]) -> Iterable[Message]:
        if "message-2" in (keys := list(identifiers)):
            raise ValueError("not a message")
        return pull(keys)

    grid.pull_messages = broken  # type: ignore[method-assign]
    assert [type(reply) for _, reply in asked(grid)].count(Refusal) == 1
