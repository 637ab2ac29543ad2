"""The pages as a person sees them: everything is said, nothing is loaded, and no peer's text is more than text."""

import json
import re
from pathlib import Path

import pytest

from app.config import RunConfig
from app.report.compare import comparison, differing
from app.report.page import page, state_of
from app.report.spent import spent
from app.report.story import Story, read_story
from app.run_directory import RunDirectory
from tests.support.browser import Browser
from tests.support.reported import HOSTILE, failed_run, private_run, shown_run


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return read_story(shown_run(tmp_path_factory.mktemp("runs") / "shown"))


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Story:
    return read_story(private_run(tmp_path_factory.mktemp("runs") / "private"))


def written(text: str, folder: Path) -> Path:
    path = folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_page_loads_and_runs_nothing(shown: Story, private: Story) -> None:
    for text in (page(shown), page(private), comparison(shown, private)):
        assert "<script" not in text
        assert not re.findall(r"""(?:src|href)\s*=|url\(|@import|\bon\w+\s*=""", text)
        assert "default-src 'none'" in text


def test_every_picture_says_what_it_shows(shown: Story) -> None:
    pictures = re.findall(r'<svg[^>]*role="img" aria-label="([^"]+)"', page(shown))
    assert len(pictures) == len(re.findall("<svg", page(shown))) >= 6
    assert any("from" in said and "to" in said for said in pictures)


def test_a_page_tells_the_run(shown: Story) -> None:
    text = page(shown)
    for said in (
        "3 of 3 server rounds gave a model", "No differential privacy", "What the client had",
        "What the server received",
        "r2 masked input", "masks were removed: 1", "vanished on request", "resume", "max-examples", "flwr 1.",
        "of data split, initial model",
    ):  # fmt: skip
        assert said in text, said


def test_a_guarantee_stands_with_its_whole_sentence_and_its_curve(private: Story) -> None:
    text = page(private)
    assert "Example-level differential privacy with epsilon" in text
    assert "under add/remove-one example" in text
    assert "the most that any of 3 clients spent" in text
    assert "The dashed line is epsilon = 3." in text
    assert "demonstration=true" not in text


def test_what_a_peer_wrote_stays_text(tmp_path: Path, browser: Browser) -> None:
    story = read_story(failed_run(tmp_path / "run", HOSTILE))
    browser.open(written(page(story), tmp_path))
    assert browser.driver.title.endswith("run")
    assert browser.elements("script, img") == []
    assert "<script>" in browser.text("main")
    assert "\x1b" not in page(story)
    assert browser.complaints() == []


def test_a_failed_run_says_why_and_how_it_goes_on(tmp_path: Path) -> None:
    directory = failed_run(tmp_path / "run")
    directory.checkpoints.mkdir()
    (directory.checkpoints / "0.checkpoint").write_bytes(b"")
    story = read_story(directory)
    state = state_of(story)
    assert (state.kind, state.word) == ("bad", "failed")
    assert "QUORUM: 3 of 5 clients" in state.sentence
    assert "Continue it from its last checkpoint." in page(story)


def test_a_run_that_is_going_on_and_one_that_was_stopped(tmp_path: Path) -> None:
    directory = RunDirectory.at(tmp_path / "run", RunConfig())
    with directory.at_work(directory.events):
        assert state_of(read_story(directory)).word == "still going"
    assert state_of(read_story(directory)).word == "stopped"
    assert "after 0 server rounds" in page(read_story(directory))


def test_an_early_end_is_told_with_its_reason(tmp_path: Path) -> None:
    directory = RunDirectory.at(tmp_path / "run", RunConfig(patience=2))
    told = {"rounds_aggregated": 4, "seconds": 2.0, "stopped": "none of the last 2 judged models"}
    directory.emit("run_finished", **told, ended_by={"patience": 2})
    state = state_of(read_story(directory))
    assert state.word == "ended early"
    assert "none of the last 2 judged models" in state.sentence
    assert "-c patience=0" in page(read_story(directory))


def test_two_runs_side_by_side_name_what_differs(shown: Story, private: Story) -> None:
    keys = {key for key, _ in differing(shown, private)}
    assert {"task", "privacy", "epsilon", "rounds", "drop", "demonstration", "seed"} <= keys
    assert not {"clients" if shown.config.clients == private.config.clients else "", "run-dir"} & keys
    text = comparison(shown, private)
    assert text.count('<td class="v">3 of 3</td>') == 1
    assert differing(shown, shown) == []
    assert "same settings" in comparison(shown, shown)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390], ids=["desk", "phone"])
def test_a_page_fits_its_window_and_is_readable(
    width: int, dark: bool, shown: Story, tmp_path: Path, browser: Browser
) -> None:
    browser.scripts(allowed=False)
    browser.shown_as(width=width, dark=dark)
    for text in (page(shown), comparison(shown, shown)):
        browser.open(written(text, tmp_path))
        assert browser.page_size()[0] <= width
        assert browser.complaints() == []
    browser.open(written(page(shown), tmp_path))
    smallest = min(float(each.rect["height"]) for each in browser.elements("svg text"))
    assert smallest >= 9
    colours = [browser.element("body").value_of_css_property(name) for name in ("color", "background-color")]
    ink, paper = (_lightness(colour) for colour in colours)
    assert (ink > 0.8 and paper < 0.2) if dark else (ink < 0.2 and paper > 0.8)


def test_details_open_without_a_script(shown: Story, tmp_path: Path, browser: Browser) -> None:
    browser.scripts(allowed=False)
    browser.open(written(page(shown), tmp_path))
    assert "encoding-bound" not in browser.text("main")
    browser.element("details summary").click()
    assert "encoding-bound" in browser.text("main")


def test_ten_thousand_rounds_make_a_page_that_a_phone_can_open(tmp_path: Path) -> None:
    directory = RunDirectory.at(tmp_path / "run", RunConfig(rounds=10_000))
    line = {
        "event": "round_finished",
        "purpose": "training",
        "shares": 10,
        "masked": 10,
        "unmasked": 10,
        "time": 1.0,
    }
    with directory.events.open("w") as file:
        for number in range(1, 10_001):
            masked = 7 if number == 5003 else 10
            told = line | {
                "server_round": number,
                "accuracy": number / 10_000,
                "loss": 1 / number,
                "masked": masked,
            }
            file.write(json.dumps(told) + "\n")
    text = page(read_story(directory))
    assert len(text) < 400_000
    assert "masks were removed: 3" in text
    assert "Each column is the worst of 84 rounds." in text
    assert re.search('<rect class="f1"', text)
    assert "The 9500 rounds before these stand in metrics.jsonl." in text


def test_the_ledgers_of_a_run_that_is_going_on_are_left_alone(private: Story, tmp_path: Path) -> None:
    from privacy.ledger import charges_of

    directory = private.directory
    with directory.at_work(directory.events):
        assert spent(private).curves == ()
        assert "announced" in spent(private).whose
    assert len(charges_of(directory.path / "ledgers" / "0.jsonl")) == 2
    assert spent(private).curves


def _lightness(colour: str) -> float:
    red, green, blue = map(float, re.findall(r"[\d.]+", colour)[:3])
    return (0.2126 * red + 0.7152 * green + 0.0722 * blue) / 255
