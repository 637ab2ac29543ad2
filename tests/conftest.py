"""Fixtures that more than one package's tests use."""

import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomli_w

from tests.support.browser import Browser, started

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def repository() -> Path:
    """The tree under test."""
    return ROOT


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    """A real browser, one a module; its tests are skipped where none can be had."""
    with started() as found:
        yield found


@pytest.fixture
def browser(window: Browser) -> Browser:
    """The module's browser as it is at its start: a desk at noon, scripts allowed (tests/support/browser.py)."""
    window.shown_as()
    window.scripts(allowed=True)
    window.complaints()
    return window


@pytest.fixture
def tiny_app(tmp_path: Path) -> Path:
    """A throw-away Flower app that keeps our configuration and run directory, but trains nothing.

    Its ServerApp writes the events of a run; the key `task` says how it ends: `digits` well, `failing` by
    a typed failure, `crashing` by an exception, `silent` by leaving without a word, `waiting` never.
    """
    tree = tmp_path / "tiny"
    for package in ("app", "arithmetic", "clients", "privacy", "secagg", "strategies", "wire"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__", "tasks"))
    for name in ("server_app.py", "client_app.py"):
        shutil.copy(ROOT / "tests" / "app" / "tiny" / name, tree / "app" / name)
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for patterns in ("fab-include", "fab-exclude"):
        # Flower refuses a pattern that matches no file, and most of ours have none here.
        pyproject["tool"]["flwr"]["app"].pop(patterns, None)
    (tree / "pyproject.toml").write_text(tomli_w.dumps(pyproject))
    shutil.copy(ROOT / "LICENSE", tree / "LICENSE")
    (tree / "README.md").write_text("A throw-away app.\n")
    return tree
