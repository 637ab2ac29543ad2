"""The client's handlers: what is kept, what is answered, what is said when something fails."""

import logging
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message, RecordDict

from app.simulated_roster import lay_identities
from clients import handlers, pending, steps
from secagg.client.states import (
    AwaitingCohort,
    AwaitingShares,
    AwaitingSignatures,
    AwaitingSurvivors,
    CarryingKeys,
)
from secagg.errors import MalformedMessage
from secagg.messages import Invitation, KeysAdvertised
from secagg.params import Session
from tests.support.run import Trial, at
from wire import kept_state
from wire.records import message_in, request_record
from wire.rounds import ProtocolRound

R0, R1, R2, R3, R4 = ProtocolRound


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def invitation(trial: Trial, node: int, identifier: bytes = b"s" * 32, group: str = "1") -> Message:
    content = request_record(Invitation(Session(identifier, 1, trial.params)).to_bytes(), None, None)
    message = Message(content, node, R0.message_type, group_id=group)
    message.metadata.__dict__["_message_id"] = "m"
    return message


def test_what_is_kept_after_each_protocol_round() -> None:
    trial = Trial()
    node = trial.grid.ids[0]
    kept: dict[str, tuple[str, Any]] = {}
    kinds = {R0: AwaitingCohort, R1: AwaitingShares, R2: AwaitingSurvivors, R4: CarryingKeys}

    def look(reply: Message) -> Message:
        if reply.metadata.src_node_id == node:
            step = next(s for s in ProtocolRound if s.message_type == reply.metadata.message_type)
            store = RecordDict(dict(trial.grid.contexts[node].state))
            awaited, state, update = kept_state.take(store)
            kinds[step].from_bytes(state)  # type: ignore[attr-defined]
            kept[step] = (awaited, len(update) > 0)
        return reply

    trial.grid.after = look
    assert trial.session() is not None
    assert kept == {"r0": ("r1", False), "r1": ("r2", True), "r2": ("r4", False), "r4": ("r1", False)}


def test_what_is_kept_in_an_active_session(tmp_path: Path) -> None:
    """The state of r3 holds the shares still, and gives way to one that has signed."""
    keys = lay_identities(tmp_path, 5)
    trial = Trial({"adversary": "active", "run-dir": str(tmp_path), **keys})
    node = trial.grid.ids[0]
    kept: dict[str, tuple[str, type]] = {}
    kinds = (AwaitingCohort, AwaitingShares, AwaitingSurvivors, AwaitingSignatures, CarryingKeys)

    def look(reply: Message) -> Message:
        if reply.metadata.src_node_id == node:
            step = next(s for s in ProtocolRound if s.message_type == reply.metadata.message_type)
            awaited, state, _ = kept_state.take(RecordDict(dict(trial.grid.contexts[node].state)))
            kept[step] = (awaited, next(kind for kind in kinds if parses(kind, state)))
        return reply

    trial.grid.after = look
    assert trial.session() is not None
    assert kept == {
        "r0": ("r1", AwaitingCohort), "r1": ("r2", AwaitingShares), "r2": ("r3", AwaitingSurvivors),
        "r3": ("r4", AwaitingSignatures), "r4": ("r1", CarryingKeys),
    }  # fmt: skip
    assert kept_state.last_round_of(trial.grid.contexts[node].state) == 1


def parses(kind: Any, state: bytes) -> bool:
    try:
        kind.from_bytes(state)
    except MalformedMessage:
        return False
    return True


@pytest.mark.parametrize("step", [R3, R4])
def test_an_identity_lost_on_the_way_is_said_and_nothing_is_revealed(
    step: ProtocolRound, tmp_path: Path
) -> None:
    keys = lay_identities(tmp_path, 5)
    trial = Trial({"adversary": "active", "run-dir": str(tmp_path), **keys})
    node = trial.grid.ids[0]

    def lose(message: Message) -> Message:
        (tmp_path / "identities" / "0.pem").unlink()
        return message

    trial.grid.before = at(step, lose, node)
    assert trial.session() is not None
    # A local file's name is nobody else's business.
    assert trial.trip(step)["refused"][str(node)] == "CONFIG: " + handlers._SAYS["CONFIG"]
    assert kept_state.take(RecordDict(dict(trial.grid.contexts[node].state)))[0] == ""


def test_r3_is_not_due_in_a_curious_session_nor_r4_before_it_in_an_active_one(tmp_path: Path) -> None:
    curious, active = (
        Trial(),
        Trial({"adversary": "active", "run-dir": str(tmp_path), **lay_identities(tmp_path, 5)}),
    )
    for trial, instead, due in ((curious, R3, R4), (active, R4, R3)):
        node = trial.grid.ids[0]

        def other(message: Message, instead: ProtocolRound = instead) -> Message:
            message.metadata.__dict__["_message_type"] = instead.message_type
            return message

        trial.grid.before = at(due, other, node)
        assert trial.session() is not None
        reply = next(r for r in trial.grid.received if r.has_error())
        assert reply.error.reason.startswith(f"STATE: {instead} is not due")


def test_a_reply_is_one_message_and_nothing_else() -> None:
    trial = Trial()
    trial.start()
    for reply in trial.grid.received:
        assert list(reply.content) == ["chorus"]
        assert message_in(reply.content)


def test_keys_are_fresh_for_every_invitation() -> None:
    trial = Trial()
    node = trial.grid.ids[0]
    replies = [trial.grid.ask(node, invitation(trial, node)) for _ in range(2)]
    keys = [KeysAdvertised.from_bytes(message_in(reply.content)).keys for reply in replies]
    assert len({keys[0].mask, keys[0].channel, keys[1].mask, keys[1].channel}) == 4


def test_an_invitation_wipes_what_an_unfinished_session_left() -> None:
    trial = Trial()
    node = trial.grid.ids[0]
    trial.grid.before = at(R4, lambda message: None)
    trial.session()
    assert kept_state.take(RecordDict(dict(trial.grid.contexts[node].state)))[0] == "r4"
    trial.grid.ask(node, invitation(trial, node))
    assert kept_state.take(RecordDict(dict(trial.grid.contexts[node].state)))[0] == "r1"


def test_a_session_without_identifier_is_out_of_turn() -> None:
    trial = Trial()
    node = trial.grid.ids[0]
    assert trial.grid.ask(node, invitation(trial, node, bytes(32))).error.reason.startswith("STATE: ")  # type: ignore[union-attr]


def test_the_fault_demonstration_takes_simulated_clients_only() -> None:
    for place, vanished in (({}, True), ({"data-path": "/data"}, False)):
        trial = Trial({"drop": "1@r0:round1"})
        node = trial.grid.ids[0]
        trial.grid.contexts[node].node_config.update(place)
        assert trial.grid.ask(node, invitation(trial, node)).has_error() == vanished
        assert not trial.grid.ask(node, invitation(trial, node, group="2")).has_error()


@pytest.mark.parametrize(
    "place", [{"partition-id": "0"}, {"partition-id": 0.0}, {"num-partitions": "5"}, {"partition-id": True}]
)
def test_a_node_configuration_of_the_wrong_type_is_said(place: dict[str, Any]) -> None:
    trial = Trial()
    node = trial.grid.ids[1]
    trial.grid.contexts[node].node_config.update(place)
    assert trial.session() is not None
    assert "partition-id and num-partitions" in trial.trip(R1)["refused"][str(node)]


def test_a_client_beyond_the_partitions_abstains_and_says_why_in_its_own_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trial = Trial({"task": "digits", "clients": 4, "threshold": 3})
    node = trial.grid.ids[1]
    trial.grid.contexts[node].node_config["partition-id"] = 4
    assert trial.session() is not None
    assert trial.trip(R1)["refused"][str(node)] == "CONFIG: " + handlers._SAYS["CONFIG"]
    assert "partition-id is 4 of 4 partitions" in caplog.text


def test_an_unforeseen_error_stays_in_the_clients_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(*_: Any) -> Any:
        raise KeyError("patient 4711")

    monkeypatch.setattr(steps, "advertise_step", explode)
    trial = Trial()
    node = trial.grid.ids[0]
    with caplog.at_level(logging.ERROR, "chorus.client"):
        reply = trial.grid.ask(node, invitation(trial, node))
    assert reply.error.reason == "ENV: " + handlers._SAYS["ENV"]
    assert "patient 4711" in caplog.text
    assert "chorus" not in trial.grid.contexts[node].state


def test_a_large_vector_waits_in_a_private_file_and_the_sum_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = Trial()
    monkeypatch.setattr(pending, "SMALL", 16)
    large = Trial()
    waiting: list[int] = []

    def look(message: Message) -> Message:
        waiting.append(len(list(pending._folder().glob("pending-*"))))
        return message

    before = len(list(pending._folder().glob("pending-*")))
    large.grid.before = at(R2, look)
    left, right = small.session(), large.session()
    assert left is not None
    assert right is not None
    assert waiting == [before + 5 - done for done in range(5)]
    assert len(list(pending._folder().glob("pending-*"))) == before
    bound = small.named("round_finished")[0]["error_bound"]
    assert all(abs(left[n].numpy() - right[n].numpy()).max(initial=0) <= 2 * bound for n in left)
    state = next(iter(large.grid.contexts.values())).state
    assert b"pending-" not in repr(state).encode()


@pytest.mark.parametrize("step", [R0, R1, R2, R4])
def test_a_session_that_breaks_off_leaves_no_file_behind(
    step: ProtocolRound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pending, "SMALL", 16)
    before = set(pending._folder().glob("pending-*"))
    trial = Trial()

    def hostile(message: Message) -> Message:
        message.content = RecordDict()
        return message

    trial.grid.before = at(step, hostile)
    assert trial.session(1) is None
    trial.grid.before = at(R2, lambda message: None, group="2")
    assert trial.session(2) is None
    assert len(set(pending._folder().glob("pending-*")) - before) == 5
    assert trial.session(3) is not None  # r0 of the next session wipes what r2 never fetched
    assert set(pending._folder().glob("pending-*")) == before


def test_importing_the_client_app_imports_no_torch() -> None:
    code = "import sys, app.client_app; sys.exit('torch' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0
