"""A real browser for tests of pages: Debian's chromium, headless, driven by selenium.

    def test_a_page(browser: Browser) -> None:          # fixture of tests/conftest.py
        browser.open(tmp_path / "report.html")          # or "http://127.0.0.1:1234/"
        assert "accuracy" in browser.text("main")
        browser.element("#ask").click()                 # a selenium WebElement: click, send_keys, is_displayed
        browser.wait_for("#answer")                     # until it is shown
        browser.screenshot(tmp_path / "page.png")       # the whole page
        assert browser.complaints() == []               # what the console says of errors

    browser.shown_as(width=390, dark=True)              # a phone at night; the default is a desk at noon
    browser.scripts(allowed=False)                      # for the next page

As a command it makes the pictures of docs/:

    .venv/bin/python -m tests.support.browser runs/<id>/report.html docs/pictures/report.png --height 1400

Decides: that the browser reaches nothing but this machine, and starts with a profile of its own that goes with it.
Where there is no browser or no selenium, a test is skipped and says what is missing.
Refuses to know: what a page shows.
"""

import argparse
import base64
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.remote.webelement import WebElement

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # Chromium refuses to start for root with one; it shows our own pages alone
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)


def missing() -> str:
    """What a browser test lacks on this machine; "" where it can be run."""
    if not importlib.util.find_spec("selenium"):
        return "selenium is not installed; it is of the extra 'test'"
    if not _program(*_BROWSERS):
        return "no chromium is installed; with Debian: apt-get install chromium chromium-driver"
    if not _program("chromedriver"):
        return "no chromedriver is installed; with Debian: apt-get install chromium-driver"
    return ""


def _program(*names: str) -> str:
    return next((path for name in names if (path := shutil.which(name))), "")


class Browser:
    """One window.

    Attributes:
        driver: selenium's own, for what has no method here.
    """

    def __init__(self, driver: "Chrome") -> None:
        self.driver = driver

    def open(self, place: Path | str) -> None:
        """Show a file, or an address on this machine, and wait until it is there."""
        self.driver.get(place.absolute().as_uri() if isinstance(place, Path) else place)

    def text(self, selector: str = "body") -> str:
        """What a person reads in the first element that the CSS selector names."""
        return self.element(selector).text

    def element(self, selector: str) -> "WebElement":
        """The first element that the CSS selector names."""
        return self.driver.find_element("css selector", selector)

    def elements(self, selector: str) -> "list[WebElement]":
        """All of them."""
        return self.driver.find_elements("css selector", selector)

    def wait_for(self, selector: str, seconds: float = 20.0) -> "WebElement":
        """The element, once it is shown."""
        from selenium.webdriver.support.expected_conditions import visibility_of_element_located
        from selenium.webdriver.support.wait import WebDriverWait

        shown: WebElement = WebDriverWait(self.driver, seconds).until(
            visibility_of_element_located(("css selector", selector))
        )
        return shown

    def shown_as(self, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """The window in CSS pixels (up to 500 wide it is a phone) and the colours its owner likes."""
        phone = width <= 500
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        colours = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[colours])

    def scripts(self, allowed: bool) -> None:
        """Whether pages that are opened from now on run any; `width` and the like of this class need none."""
        self.command("Emulation.setScriptExecutionDisabled", value=not allowed)

    def page_size(self) -> tuple[int, int]:
        """Width and height of the whole page in CSS pixels; wider than the window is a page that scrolls sideways."""
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        return round(size["width"]), round(size["height"])

    def screenshot(self, path: Path, height: int | None = None) -> Path:
        """The page from its top as a PNG: the whole of it, or so many CSS pixels."""
        width, whole = self.page_size()
        clip = {"x": 0, "y": 0, "width": width, "height": min(height or whole, whole), "scale": 1}
        shot = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def complaints(self) -> list[str]:
        """Errors of the console since the last call: a script's, or a file that could not be had."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]

    def command(self, name: str, **arguments: object) -> dict[str, Any]:
        """A command of Chromium's own protocol."""
        found: dict[str, Any] = self.driver.execute_cdp_cmd(name, arguments)
        return found


@contextmanager
def started() -> Iterator[Browser]:
    """A browser that ends with the block; skips the test where there is none."""
    lacking = missing()
    if lacking:
        pytest.skip(f"needs a browser: {lacking}")
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = _program(*_BROWSERS)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        driver = Chrome(options, ChromeService(_program("chromedriver")))
        try:
            found = Browser(driver)
            found.shown_as()
            yield found
        finally:
            driver.quit()


def main() -> None:
    """`python -m tests.support.browser PAGE PNG`: a picture of a page, or of the top of it."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("png", type=Path)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument(
        "--height", type=int, default=None, help="CSS pixels from the top; default: all of it"
    )
    parser.add_argument("--dark", action="store_true")
    asked = parser.parse_args()
    lacking = missing()
    if lacking:
        raise SystemExit(f"ENV: needs a browser: {lacking}")
    with started() as browser:
        browser.shown_as(asked.width, dark=asked.dark)
        browser.open(asked.page)
        print(browser.screenshot(asked.png, asked.height))


if __name__ == "__main__":
    main()
