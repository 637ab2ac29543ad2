"""A hospital's steps: what is kept, what a second or early request gets, whom the node's policy keeps out."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from flwr.app import Message, RecordDict

from clients.handlers import _SAYS
from paillier.ring.hospital.states import AwaitingHop, AwaitingRing, HandedOn
from secagg.errors import MalformedMessage
from tests.support.ring_run import at_step, forget_tables, ring_trial
from tests.support.run import Trial
from wire import kept_state
from wire.records import message_in, request_record
from wire.rounds import RingStep

ROLL_CALL, JOIN, REVEAL, HOP = RingStep


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def kept_by(trial: Trial, node: int) -> tuple[str, bytes, bytes]:
    """What the hospital keeps, left where it is."""
    return kept_state.take(RecordDict(dict(trial.grid.contexts[node].state)))


def said(reply: Message) -> str:
    assert reply.has_error()
    return str(reply.error.reason)


def parses(kind: type[AwaitingRing | AwaitingHop | HandedOn], data: bytes) -> bool:
    try:
        kind.from_bytes(data)
    except MalformedMessage:
        return False
    return True


def test_what_is_kept_after_each_step(tmp_path: Path) -> None:
    trial, kept = ring_trial(tmp_path), dict[str, tuple[str, str, bool]]()
    node = trial.grid.ids[0]

    def look(message: Message) -> Message:
        awaited, state, vector = kept_by(trial, node)
        (kind,) = (each for each in (AwaitingRing, AwaitingHop, HandedOn) if parses(each, state))
        kept[message.metadata.message_type] = (awaited, kind.__name__, bool(vector))
        return message

    for step in (JOIN, REVEAL, HOP):
        before = trial.grid.after
        hook = at_step(step, look, node)
        trial.grid.after = lambda m, hook=hook, before=before: hook(before(m))  # type: ignore[misc]
    assert trial.session() is not None
    assert kept == {
        JOIN.message_type: ("reveal", "AwaitingRing", False), REVEAL.message_type: ("hop", "AwaitingHop", True),
        HOP.message_type: ("join", "HandedOn", True),
    }  # fmt: skip
    assert kept_state.last_round_of(trial.grid.contexts[node].state) == 1


def recorded(trial: Trial, step: RingStep) -> list[Message]:
    """Every request of a step, kept while a session runs."""
    found: list[Message] = []

    def keep(message: Message) -> Message:
        found.append(message)
        return message

    trial.grid.before = at_step(step, keep)
    assert trial.session() is not None
    trial.grid.before = lambda message: message
    return found


@pytest.mark.parametrize("step", [REVEAL, HOP])
def test_a_request_that_comes_twice_finds_nothing(step: RingStep, tmp_path: Path) -> None:
    """A hop that was answered twice would use one key and nonce twice."""
    trial = ring_trial(tmp_path)
    for message in recorded(trial, step):
        node = message.metadata.dst_node_id
        reply = trial.grid.ask(node, message)
        assert said(reply).startswith(f"STATE: {step} is not due at this hospital")
        assert kept_by(trial, node)[0] == ""


def test_an_invitation_to_a_server_round_that_is_done_is_refused(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    for message in recorded(trial, JOIN):
        reply = trial.grid.ask(message.metadata.dst_node_id, message)
        assert "this server round is finished at this client" in said(reply)


def test_a_message_of_another_server_round_is_refused(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    (message, *_) = recorded(trial, JOIN)
    message.metadata.__dict__["_group_id"] = "7"
    assert "name different server rounds" in said(trial.grid.ask(message.metadata.dst_node_id, message))


@pytest.mark.parametrize("data", [b"", b"\x60\x01", b"\x61\x01" + bytes(40), b"\x00" * 100])
@pytest.mark.parametrize("step", list(RingStep))
def test_bytes_that_are_no_message_are_refused_in_one_line(
    step: RingStep, data: bytes, tmp_path: Path
) -> None:
    trial = ring_trial(tmp_path)
    node = trial.grid.ids[0]
    message = Message(request_record(data, None, None), node, step.message_type, group_id="1")
    message.metadata.__dict__["_message_id"] = "m"
    reason = said(trial.grid.ask(node, message))
    assert reason.startswith(("FORMAT: ", "STATE: "))
    assert reason.isprintable()


def policy(text: str) -> Callable[[Trial, Path], None]:
    def lay(trial: Trial, folder: Path) -> None:
        (folder / "policy.toml").write_text(text)
        trial.grid.contexts[trial.grid.ids[0]].node_config["privacy-policy"] = str(folder / "policy.toml")

    return lay


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('adversary = "active"\n', "does not hold against a server that lies about who dropped"),
        ("min-cohort = 6\n", "the ring would open a sum of 5 hospitals"),
        ("min-threshold = 2\n", "one neighbour and the key holder of a ring learn a hospital's vector"),
        ("tolerated-colluders = 1\n", "one neighbour and the key holder of a ring learn a hospital's vector"),
        ("min-colluders = 1\n", "the run has no differential privacy"),
        ('tasks = ["digits"]\n', "the task of the run is 'diabetes'"),
        ("max-parameters = 10\n", "the model has 11 parameters"),
    ],
)
def test_a_policy_keeps_its_node_out_of_rings_it_does_not_allow(
    text: str, reason: str, tmp_path: Path
) -> None:
    trial = ring_trial(tmp_path)
    policy(text)(trial, tmp_path)
    assert trial.session() is not None
    node = str(trial.grid.ids[0])
    (line,) = (event["refused"][node] for event in trial.named("protocol_round") if node in event["refused"])
    assert line.startswith("POLICY: policy line 1")
    assert reason in line
    (finished,) = trial.named("round_finished")
    assert finished["added"] == 4


def test_a_policy_of_as_many_hospitals_lets_its_node_in_but_not_after_a_drop(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    policy("min-cohort = 5\n")(trial, tmp_path)
    trial.grid.after = at_step(HOP, lambda message: None, trial.grid.ids[4])
    assert trial.session() is not None
    assert [event["left"] for event in trial.named("ring_restarted")] == [4, 3]
    assert trial.named("round_finished")[0]["added"] == 3


def test_a_node_without_an_identity_is_in_no_ring(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    node = trial.grid.ids[2]
    (tmp_path / "identities" / "2.pem").unlink()
    assert trial.session() is not None
    called = trial.named("protocol_round")[0]
    assert called["refused"] == {str(node): "CONFIG: " + _SAYS["CONFIG"]}
    assert trial.named("round_finished")[0]["added"] == 4


def test_a_key_that_the_node_config_misspells_stays_on_the_node(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    trial.grid.contexts[trial.grid.ids[0]].node_config["paillier-key"] = "12ab"
    assert trial.session() is not None
    refused = next(event for event in trial.named("protocol_round") if event["refused"])
    assert list(refused["refused"].values()) == ["CONFIG: " + _SAYS["CONFIG"]]


def test_a_worker_makes_one_table_for_all_its_hospitals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clients import ring_steps

    made: list[object] = []
    real = ring_steps.FixedBase
    monkeypatch.setattr(ring_steps, "FixedBase", lambda *args: made.append(args) or real(*args))
    forget_tables()
    trial = ring_trial(tmp_path, {"rounds": 2})
    trial.start()
    assert len(made) == 1
    for node in trial.grid.ids:
        assert sum(len(str(record)) for record in trial.grid.contexts[node].state.values()) < 20_000


def test_joining_and_hopping_load_no_torch() -> None:
    import subprocess
    import sys

    code = "import sys, app.client_app, clients.ring_steps; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    code = "import sys, app.client_app; print('gmpy2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_reply_is_one_message_and_nothing_else(tmp_path: Path) -> None:
    trial = ring_trial(tmp_path)
    trial.start()
    for reply in trial.grid.received:
        assert list(reply.content) == ["chorus"]
        assert message_in(reply.content)
