"""The bound around the grid: an outage is waited out, one without end is an error, and slow is not away."""

import threading
import time
from collections.abc import Iterable
from typing import Any

import httpx
import pytest
from flwr.app import Message
from flwr.supercore.run import RunNotRunningException

from strategies import link as module
from strategies.errors import LinkLost
from strategies.link import RETURN, Link
from tests.support.local_grid import LocalGrid
from tests.support.plain_app import app

REQUEST = httpx.Request("POST", "http://127.0.0.1")


class Away(LocalGrid):
    """A grid whose calls end only while `there` is set, as Flower's do; `asked` counts pulls."""

    def __init__(self) -> None:
        super().__init__(app, 3, {})
        self.there = threading.Event()
        self.asked = 0

    def get_node_ids(self) -> Iterable[int]:
        self.there.wait(30)
        return super().get_node_ids()

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self.asked += 1
        self.there.wait(30)
        return super().pull_messages(message_ids)


class Raising(LocalGrid):
    """A grid whose calls raise `error` as often as `times` says."""

    def __init__(self, error: BaseException, times: int) -> None:
        super().__init__(app, 3, {})
        self.error, self.times = error, times

    def _tried(self) -> None:
        self.times -= 1
        if self.times >= 0:
            raise self.error

    def get_node_ids(self) -> Iterable[int]:
        self._tried()
        return super().get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        self._tried()
        return super().push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self._tried()
        return super().pull_messages(message_ids)


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.01)


def linked(grid: LocalGrid, longest: float = 10.0) -> tuple[Link, list[tuple[str, Any]]]:
    told: list[tuple[str, Any]] = []
    return Link(grid, lambda event, **fields: told.append((event, fields)), longest, 0.05), told


def test_an_answer_that_comes_at_once_is_just_that() -> None:
    link, told = linked(LocalGrid(app, 3, {}))
    assert link.nodes() == [1001, 1008, 1015]
    assert link.push([]) == []
    assert link.pull([]) == []
    assert (told, link.away) == ([], 0.0)


def test_an_outage_is_waited_out_told_of_and_measured() -> None:
    grid = Away()
    link, told = linked(grid)
    threading.Timer(0.6, grid.there.set).start()
    assert link.nodes() == grid.ids
    assert [event for event, _ in told] == ["link_lost", "link_back"]
    assert 0.5 < told[1][1]["seconds"] < 5
    assert link.away == pytest.approx(told[1][1]["seconds"] + RETURN, abs=0.01)


def test_a_pull_is_made_once_however_long_it_takes() -> None:
    grid = Away()
    link, _ = linked(grid)
    threading.Timer(0.5, grid.there.set).start()
    link.pull([])
    assert grid.asked == 1


def test_a_link_that_stays_away_is_lost_with_a_typed_error() -> None:
    grid = Away()
    link, told = linked(grid, 0.3)
    started = time.monotonic()
    with pytest.raises(LinkLost, match=r"has not answered for 0\.3 s") as caught:
        link.pull([])
    assert time.monotonic() - started < 20
    assert caught.value.code == "ENV"
    assert [event for event, _ in told] == ["link_lost"]
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "link")
    grid.there.set()


def test_a_slow_call_is_no_outage_while_others_are_answered() -> None:
    grid = LocalGrid(app, 3, {})
    link, told = linked(grid, 0.3)
    link._ask(lambda: time.sleep(1.0))
    assert (told, link.away) == ([], 0.0)


@pytest.mark.parametrize("error", [ConnectionRefusedError(), httpx.ConnectError("no"), TimeoutError()])
def test_a_grid_that_raises_in_place_of_waiting_is_asked_again(error: Exception) -> None:
    link, _ = linked(Raising(error, 3))
    assert link.nodes() == [1001, 1008, 1015]


def test_a_grid_that_raises_for_ever_is_lost() -> None:
    link, _ = linked(Raising(ConnectionRefusedError(), 10**9), 0.3)
    with pytest.raises(LinkLost):
        link.push([])


@pytest.mark.parametrize("ask", [lambda link: link.nodes(), lambda link: link.push([])])
def test_a_call_that_is_refused_is_a_typed_error(ask: Any) -> None:
    error = httpx.HTTPStatusError("", request=REQUEST, response=httpx.Response(500))
    link, _ = linked(Raising(error, 1))
    with pytest.raises(LinkLost, match="HTTP 500"):
        ask(link)


@pytest.mark.parametrize("error", [ValueError("what Flower cannot parse"), RunNotRunningException()])
def test_any_other_error_is_raised_as_it_is(error: BaseException) -> None:
    link, _ = linked(Raising(error, 1))
    with pytest.raises(type(error)):
        link.pull([])
