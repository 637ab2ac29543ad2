"""What the server looks at before it starts, and how a changed kit reaches what runs."""

import socket
import time
from pathlib import Path

import pytest

from app.deployment import serving
from app.deployment.kit import ServerKit
from app.deployment.membership import Federation
from app.deployment.programs import Program
from app.deployment.serving import Caretaker, ServerStart, serve
from app.deployment.supervision import Running
from arithmetic.errors import SetupError
from secagg.errors import NotAuthentic


def test_a_busy_port_is_one_line_and_nothing_was_started(made: Path, tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        start = ServerStart(made / "server", tmp_path / "state", "127.0.0.1", holder.getsockname()[1])
        with pytest.raises(SetupError, match="cannot listen on"):
            serve(start, print)
    assert not (tmp_path / "state" / "logs").exists()


def test_a_new_roster_reaches_the_server_apps(
    federation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_BETWEEN_LOOKS", 0.0)
    kit = ServerKit.open(federation / "server", time.time())
    caretaker = Caretaker(kit, "127.0.0.1:1", tmp_path, "superexec", print)
    caretaker.look()
    assert (tmp_path / "roster.json").read_bytes() == (federation / "server" / "roster.json").read_bytes()
    Federation.open(federation).add("hospital-4")
    caretaker.look()
    assert b"hospital-4" in (tmp_path / "roster.json").read_bytes()


def test_keys_that_changed_are_registered_and_a_failure_is_said_and_tried_again(
    federation: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.deployment import registry

    monkeypatch.setattr(serving, "_BETWEEN_LOOKS", 0.0)
    said: list[str] = []
    asked: list[list[str]] = []

    def make_equal(_control: object, wanted: dict[str, bytes]) -> tuple[list[str], int]:
        asked.append(sorted(wanted))
        if len(asked) == 1:
            raise SetupError("not yet")
        return sorted(wanted), 0

    monkeypatch.setattr(registry, "make_equal", make_equal)
    kit = ServerKit.open(federation / "server", time.time())
    caretaker = Caretaker(kit, "127.0.0.1:1", tmp_path, "superlink", said.append)
    for _ in range(3):
        caretaker.look()
    assert len(asked) == 2, "nothing changed, so nobody was asked again"
    Federation.open(federation).add("hospital-4")
    caretaker.look()
    assert asked[-1] == ["hospital-1", "hospital-2", "hospital-3", "hospital-4"]
    assert said[0] == "ENV: not yet"
    assert not (tmp_path / "roster.json").exists(), "the SuperLink's part has no ServerApps"


def test_a_key_that_is_not_known_yet_is_tried_three_times(tmp_path: Path) -> None:
    """Nodes and server may start together: the SuperLink answers a moment before it is told of the keys."""
    log = tmp_path / "supernode.log"
    log.write_text("[code: 2004] Failed to activate SuperNode.")
    one = Running(Program("supernode", ()), log)
    for one.wait in (1.0, 2.0):
        assert serving.died(one, 1).startswith("AUTH: ")
    one.wait = 4.0
    with pytest.raises(NotAuthentic, match=r"node\.pub"):
        serving.died(one, 1)
