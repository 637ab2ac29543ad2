"""The page of private predictions: who may use it, what it carries, and what a real browser makes of it."""

import http.client
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from app.predictions.page.about import about
from app.predictions.page.carrier import ONLINE, Carrier
from app.predictions.page.server import PageServer
from arithmetic.errors import ConfigError
from predictions import reference
from predictions.asking import MaskedAnswer, mask_input, unmask
from predictions.errors import LinkFailed, QueryRefused
from predictions.limits import Limits
from predictions.program import Answer
from predictions.values import to_integers
from tests.support.browser import Browser
from tests.support.drawing_servers import SIDE, drawing_model, drawing_servers
from tests.support.three_servers import Stage, served


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with drawing_servers() as running:
        yield running


@contextmanager
def paged(stage: Stage) -> Iterator[PageServer]:
    with PageServer(stage.kit(), "drawings") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(10)


@pytest.fixture(scope="module")
def page(stage: Stage) -> Iterator[PageServer]:
    with paged(stage) as server:
        yield server


def ask(page: PageServer, verb: str, place: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", page.server_address[1], timeout=30)
    own = {"Origin": page.origin} | headers
    try:
        connection.request(verb, place, body, {name: value for name, value in own.items() if value})
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def pictures(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).uniform(-0.5, 2.0, (rows, 1, SIDE, SIDE))


@pytest.mark.parametrize("answer", [Answer.LOGITS, Answer.LABEL])
def test_what_is_carried_is_a_whole_query(page: PageServer, answer: Answer) -> None:
    program, weights = drawing_model()
    inputs, query = to_integers(program, pictures(3)), os.urandom(16).hex()

    def step(party: str, verb: str, body: bytes) -> bytes:
        place = f"/{page.path}/{party}/{verb}?query={query}&answer={answer}&rows=3"
        status, content = ask(page, "POST", place, body)
        assert status == 200, content
        return content

    with ThreadPoolExecutor(2) as pool:  # either server waits for the other, so both are asked at once
        seeds = list(pool.map(lambda party: step(party, "ask", b""), ONLINE))
        masked = bytes(mask_input(program, inputs, *seeds))
        told = list(pool.map(lambda party: step(party, "input", masked), ONLINE))
    found = unmask(program, 3, answer, *(MaskedAnswer.from_bytes(program, 3, answer, one) for one in told))
    exact = reference.evaluate(program, weights, inputs)
    if answer is Answer.LABEL:
        assert found.tolist() == exact.argmax(1).tolist()
    else:
        assert np.abs(found - exact).max() <= 4


def test_a_query_is_answered_once(page: PageServer) -> None:
    status, content = ask(page, "POST", f"/{page.path}/online-1/input?query={os.urandom(16).hex()}", b"x")
    assert status == 502
    assert json.loads(content)["code"] == LinkFailed.code


@pytest.mark.parametrize(
    ("place", "headers"),
    [
        ("/kit.json", {}),
        ("/wrong/kit.json", {}),
        ("/{path}/nothing.json", {}),
        ("/{path}/../kit.json", {}),
        ("/{path}/kit.json", {"Host": "example.org"}),
        ("/{path}/kit.json", {"Host": "localhost:80"}),
    ],
)
def test_who_does_not_know_the_path_or_comes_from_elsewhere_gets_nothing(
    page: PageServer, place: str, headers: dict[str, str]
) -> None:
    assert ask(page, "GET", place.format(path=page.path), **headers) == (404, b"")


@pytest.mark.parametrize("origin", ["", "null", "http://example.org", "http://127.0.0.1:1"])
def test_another_origin_may_not_ask(page: PageServer, origin: str) -> None:
    place = f"/{page.path}/online-1/ask?query={os.urandom(16).hex()}"
    assert ask(page, "POST", place, Origin=origin) == (404, b"")


@pytest.mark.parametrize(
    "place",
    [
        "online-1/ask?query=00&rows=1",
        "online-1/ask?query={query}&rows=0",
        "online-1/ask?query={query}&rows=99999",
        "online-1/ask?query={query}&rows=x",
        "online-1/ask?query={query}&answer=weights",
        "online-1/ask?query={query}&answer=count",
        "online-1/shutdown?query={query}",
        "online-1/ask",
    ],
)
def test_what_there_is_not_is_refused_in_one_sentence(page: PageServer, place: str) -> None:
    whole = f"/{page.path}/" + place.format(query=os.urandom(16).hex())
    status, content = ask(page, "POST", whole)
    assert (status, json.loads(content)["code"]) == (502, ConfigError.code)


def test_the_helper_and_strangers_are_no_places_to_ask(page: PageServer) -> None:
    for party in ("helper", "owner", "online-3"):
        assert ask(page, "POST", f"/{page.path}/{party}/ask?query={os.urandom(16).hex()}")[0] == 404


def test_a_body_too_large_is_not_read(page: PageServer) -> None:
    place = f"/{page.path}/online-1/input?query={os.urandom(16).hex()}"
    status, content = ask(page, "POST", place, **{"Content-Length": str(1 << 30)})
    assert (status, json.loads(content)["code"]) == (502, ConfigError.code)


def test_the_owners_limits_hold_on_the_page_as_well() -> None:
    limits = Limits(frozenset({Answer.LABEL}), 8, 0, 0.0)
    with drawing_servers(limits) as stage:
        carrier = Carrier(stage.kit(), 3.0)
        with pytest.raises(QueryRefused, match="logits"):
            carrier.ask(ONLINE[0], os.urandom(16), Answer.LOGITS, 1)
        carrier.close()
        assert about(stage.kit(), "")["allowed"] == ["label"]


def test_a_model_that_takes_no_picture_is_refused() -> None:
    with served() as stage, pytest.raises(ConfigError, match="predict query"):
        about(stage.kit(), "")


def draw(browser: Browser, where: str) -> None:
    """A line across or down, by pointer events as a hand makes them."""
    browser.driver.execute_script(
        """
        const board = document.getElementById("drawing"), box = board.getBoundingClientRect();
        document.getElementById("pen").value = 40;
        const tell = (kind, x, y) => board.dispatchEvent(new PointerEvent(kind, {
            clientX: box.left + x * box.width, clientY: box.top + y * box.height, pointerId: 1, bubbles: true}));
        board.setPointerCapture = () => {};
        const lines = {across: [.1, .2, .9, .2], down: [.2, .1, .2, .9]}[arguments[0]];
        tell("pointerdown", lines[0], lines[1]);
        for (let part = 0; part <= 1; part += .05) {
            tell("pointermove", lines[0] + part * (lines[2] - lines[0]), lines[1] + part * (lines[3] - lines[1]));
        }
        tell("pointerup", lines[2], lines[3]);
        """,
        where,
    )


def shown(browser: Browser, canvas: str) -> np.ndarray:
    """Shades of a canvas, (pixels,)."""
    data = browser.driver.execute_script(
        "const c = document.getElementById(arguments[0]);"
        "return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)",
        canvas,
    )
    return np.array(data).reshape(-1, 4)[:, 0]


@pytest.mark.slow
def test_a_browser_masks_asks_unmasks_and_shows_noise(
    browser: Browser, page: PageServer, tmp_path: Path
) -> None:
    program, weights = drawing_model()
    browser.open(page.address)
    browser.wait_for("#ask:enabled")
    browser.element("#ask").click()
    assert "Draw something" in browser.text("#said")
    draw(browser, "across")
    browser.element("#ask").click()
    browser.wait_for(".bar")
    assert "Answered" in browser.text("#said")
    asked = browser.driver.execute_script("return integers(pixels())")
    logits = reference.evaluate(program, weights, np.array(asked).reshape(1, 1, SIDE, SIDE))[0]
    assert logits.argmax() == 0
    assert browser.text("#answer") == "0"
    assert browser.text("#canaries") == "1 right"
    assert int(browser.text("#bytes").replace(",", "")) > 2 * 2 * 8 * SIDE * SIDE
    noise = [shown(browser, name) for name in ("first-masked", "first-share", "second-share")]
    for one in noise:
        assert len(np.unique(one)) > 80
        assert abs(one.mean() - 127.5) < 5 * 74 / SIDE
    assert (shown(browser, "second-masked") == noise[0]).all()
    assert (shown(browser, "helper-first") == noise[1]).all()
    browser.element("[data-two]").click()
    drawn = np.array(browser.driver.execute_script("return pixels()"))
    assert np.abs(shown(browser, "revealed") - 255 * drawn).max() <= 2
    assert browser.complaints() == []


@pytest.mark.slow
def test_a_browser_gives_no_answer_that_a_canary_or_a_server_gainsays(
    browser: Browser, page: PageServer
) -> None:
    browser.open(page.address)
    browser.wait_for("#ask:enabled")
    draw(browser, "down")
    for broken, said in (
        (
            "for (const one of kit.canaries) one.logits[1] += 2 * one.tolerance[1] + 50",
            "canary came back wrong",
        ),
        (
            "const carried = carry; carry = async (party, verb, values, body) => {"
            " const told = await carried(party, verb, values, body);"
            " if (party === 'online-2' && verb === 'input') told.octets[told.octets.length - 1] ^= 1; return told; }",
            "computed different things",
        ),
    ):
        browser.driver.execute_script(broken)
        browser.element("#ask").click()
        assert said in browser.wait_for(".refused").text
        assert browser.text("#answer") == "–"
        browser.driver.execute_script("say('')")


@pytest.mark.slow
def test_a_browser_says_when_a_server_is_gone(browser: Browser) -> None:
    with drawing_servers() as stage, paged(stage) as page:
        browser.open(page.address)
        browser.wait_for("#ask:enabled")
        draw(browser, "down")
        for party in list(stage.servers):
            stage.stop(party)
            stage.servers.pop(party)
        browser.element("#ask").click()
        assert browser.wait_for(".refused", 30).text.startswith("STATE: online-")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_page_fits_desks_and_phones(browser: Browser, page: PageServer, width: int, dark: bool) -> None:
    browser.shown_as(width, dark=dark)
    browser.open(page.address)
    browser.wait_for("#ask:enabled")
    assert browser.page_size()[0] <= width
