"""What is true of every command: it speaks JSON, has a page, and its mistakes have the right exit code."""

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

from app.cli import app
from app.commands import watching
from tests.app.commands.conftest import Type

ROOT = Path(__file__).resolve().parent.parent.parent.parent


def commands(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    for word, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{name}{word} ")
        elif not command.hidden:
            yield f"{name}{word}", command


ALL = dict(commands(typer.main.get_group(app)))
OURS = {
    "run", "resume", "watch", "ls", "stop", "clean", "config show", "config check", "ledger", "verify", "provision",
    "provision-request", "server", "node", "doctor", "report",
}  # fmt: skip


def test_the_commands_are_these() -> None:
    """`predict` joins where its package is there."""
    assert set(ALL) >= OURS
    assert {name.split()[0] for name in set(ALL) - OURS} <= {"predict"}


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_command_speaks_json_and_is_on_the_page(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in ALL[name].params)
    assert f"\n| `{name}" in (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def test_an_unknown_command_or_option_is_the_users(chorus: Type) -> None:
    for arguments in (["nonsense"], ["ls", "--nonsense"], ["config"], ["run", "more"]):
        done = chorus(*arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("CH-C05  ")
        assert done.err.count("\n") == 1


def test_a_mistake_is_an_object_where_json_was_asked_for(chorus: Type) -> None:
    done = chorus("config", "check", "-c", "learning-rat=1", "--json")
    assert done.code == 2
    told = json.loads(done.err)["error"]
    assert told["code"] == "CH-C01"
    assert told["message"] == (
        'Unknown setting "learning-rat" (from -c). Did you mean "learning-rate"? All settings: chorus config show'
    )


def test_a_fault_of_ours_is_told_as_one_and_debug_says_where(
    chorus: Type, monkeypatch: pytest.MonkeyPatch, runs: Path
) -> None:
    def broken(_: Path) -> None:
        raise ZeroDivisionError("inner")

    monkeypatch.setattr(watching, "all_runs", broken)
    quiet, loud = chorus("ls"), chorus("ls", "--debug")
    assert (quiet.code, loud.code) == (1, 1)
    assert quiet.err.startswith("CH-X01  ")
    assert quiet.err.count("\n") == 1
    assert "Traceback" in loud.err
    assert "in broken" in loud.err


def test_debug_says_where_a_users_mistake_was_found(chorus: Type) -> None:
    done = chorus("--debug", "config", "check", "-c", "rounds=0")
    assert done.code == 2
    assert "Traceback" in done.err
    assert done.err.splitlines()[-1].startswith("CH-C02  ")
