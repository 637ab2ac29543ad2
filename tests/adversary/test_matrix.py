"""Every message in every state, on both sides.

A client that is sent a message for which it does not wait leaves its session: a code, nothing kept, and neither vector
nor share. A server that is sent a reply for which it does not wait drops it: a code, and the others are summed.
"""

import os
from pathlib import Path
from typing import Any

import pytest
from flwr.app import Message, RecordDict

from secagg.encoding import Writer
from secagg.messages import Invitation, SurvivorsAnnounced, UnmaskingRequested
from secagg.params import SecAggParams, Session
from tests.support.active_run import active_trial
from tests.support.malicious_server import R0, R1, R2, R3, R4, MaliciousServer
from tests.support.run import Trial, at
from wire.records import message_in, message_record, reply_record, request_record
from wire.rounds import ProtocolRound

# What a client keeps, and the protocol round for which it waits.
STATES = {
    "nothing kept": None,
    "AwaitingCohort": R1,
    "CarryingKeys": R1,
    "AwaitingShares": R2,
    "AwaitingSurvivors": R3,
    "AwaitingSignatures": R4,
}
CURIOUS_STATES = {
    "nothing kept": None,
    "AwaitingCohort": R1,
    "CarryingKeys": R1,
    "AwaitingShares": R2,
    "AwaitingSurvivors": R4,
}
MESSAGES = [
    *("r0", "r1", "r2", "r3", "r4"),
    *("other r0", "other r1", "other r2", "other r3", "other r4"),
    *("unknown action", "error", "for another node", "query", "evaluate"),
]


class Course(MaliciousServer):
    """An honest course that stops before protocol round `last` and shows what it would have sent next."""

    last: ProtocolRound | None = None

    def attack(self) -> None:
        """Keep every request."""
        self.requests: dict[tuple[ProtocolRound, int], RecordDict] = {}
        super().attack()

    def ask(self, protocol_round: ProtocolRound, requests: Any, group: str = "") -> dict[int, bytes]:
        """None from `last` on."""
        self.requests |= {(protocol_round, node): self._written(each) for node, each in requests.items()}
        if self.last is not None and protocol_round >= self.last:
            return {}
        return super().ask(protocol_round, requests, group)


def stopped(trial: Trial, last: ProtocolRound | None, server_round: int = 1) -> Course:
    course = Course(trial)
    course.last = last
    course.strike(server_round)
    return course


def trial_of(kind: str, run_dir: Path) -> Trial:
    run_dir.mkdir()
    short = {"training-deadline": 0.3}  # a client that is not heard is waited for
    return active_trial(run_dir, short) if kind == "active" else Trial(short)


def curious_requests(trial: Trial) -> dict[ProtocolRound, RecordDict]:
    """What the honest server of a curious session sends to one client."""
    found: dict[ProtocolRound, RecordDict] = {}
    kinds = {step.message_type: step for step in ProtocolRound}

    def keep(message: Message) -> Message:
        found.setdefault(kinds[message.metadata.message_type], message.content)
        return message

    node = trial.grid.ids[0]
    trial.grid.before = lambda m: keep(m) if m.metadata.dst_node_id == node else m
    assert trial.session() is not None
    return found


def active_requests(trial: Trial) -> dict[ProtocolRound, RecordDict]:
    course = stopped(trial, None)
    return {step: course.requests[step, trial.grid.ids[0]] for step in ProtocolRound}


class Stand:
    """One client in one state, with the messages that it could be sent."""

    def __init__(self, kind: str, state: str, folder: Path, other: dict[ProtocolRound, RecordDict]) -> None:
        self.trial = trial_of(kind, folder / "own")
        self.other = other
        self.node = self.trial.grid.ids[0]
        self.own: dict[ProtocolRound, RecordDict] = {}
        self.group = "1"
        states = STATES if kind == "active" else CURIOUS_STATES
        awaited = states[state]
        if state == "CarryingKeys":
            self._finish()
        elif awaited is not None:
            self._until(awaited)
        assert self.kept == (state != "nothing kept")

    def _finish(self) -> None:
        """A whole session; the next one's r1 is due."""
        assert self.trial.session() is not None
        self.group = "2"
        self._until(R1, 2)

    def _until(self, awaited: ProtocolRound, server_round: int = 1) -> None:
        """The honest server, whose request of `awaited` this client does not see."""
        kinds = {step.message_type: step for step in ProtocolRound}

        def hold(message: Message) -> Message | None:
            step = kinds[message.metadata.message_type]
            if message.metadata.dst_node_id == self.node:
                self.own[step] = message.content
                return None if step is awaited else message
            return message

        self.trial.grid.before = hold
        self.trial.session(server_round)

    @property
    def kept(self) -> bool:
        """Whether the client waits for anything."""
        return "chorus" in self.trial.grid.contexts[self.node].state

    def content(self, name: str) -> RecordDict:
        """Of a message; for rounds that this session has not come to, one that fits it as well as can be."""
        step = ProtocolRound(name[-2:])
        if name.startswith("other"):
            return self.other.get(step) or plain(SurvivorsAnnounced(bytes(32), 5, frozenset({1, 2, 3, 4})))
        return self.own.get(step) or self._made_up(step)

    def _made_up(self, step: ProtocolRound) -> RecordDict:
        params, identifier = self.trial.params, os.urandom(32)
        everybody = frozenset(range(1, 6))
        if step is R0:
            return plain(Invitation(Session(identifier, int(self.group), params)))
        if step is R3:
            return plain(SurvivorsAnnounced(identifier, 5, everybody))
        if step is R4:
            return plain(UnmaskingRequested(identifier, 5, everybody))
        return self.other.get(step) or plain(UnmaskingRequested(identifier, 5, everybody))

    def send(self, name: str) -> Message:
        """The client's answer."""
        node, group = self.node, self.group
        if name in ("unknown action", "query", "evaluate"):
            kind = {"unknown action": "train", "query": "query", "evaluate": "evaluate"}[name]
            return self.ask(Message(self.content("r1"), node, kind, group_id=group))
        if name == "error":
            message = Message(RecordDict(), node, R2.message_type, group_id=group)
            return self.ask(message)
        if name == "for another node":
            content = self.content("r1" if R1 in self.own else "r0")
            return self.ask(Message(content, node + 1, R1.message_type, group_id=group))
        step = ProtocolRound(name[-2:])
        return self.ask(Message(self.content(name), node, step.message_type, group_id=group))

    def ask(self, message: Message) -> Message:
        """Through the grid's serialisation of contexts."""
        return self.trial.grid.ask(self.node, message)


Requests = dict[str, dict[ProtocolRound, RecordDict]]


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> Requests:
    """Of a session of either kind, to one client."""
    folder = tmp_path_factory.mktemp("requests")
    return {
        "active": active_requests(trial_of("active", folder / "active")),
        "curious": curious_requests(trial_of("curious", folder / "curious")),
    }


def plain(message: Any) -> RecordDict:
    return request_record(message.to_bytes(), None, None)


def expected(kind: str, state: str, name: str) -> str:
    """The code, or "goes on"."""
    awaited = (STATES if kind == "active" else CURIOUS_STATES)[state]
    if name in ("unknown action", "query", "evaluate"):
        return "STATE"
    if name == "for another node":
        return "FORMAT"
    if name == "error":  # an r2 without any record
        return "FORMAT" if awaited is R2 else "STATE"
    step = ProtocolRound(name[-2:])
    if name == "r0":
        return "goes on"  # an invitation is for everybody; it wipes what was there
    if name == "other r0":
        return "POLICY"  # a roster and signatures go together
    if step is not awaited:
        return "STATE"
    if not name.startswith("other"):
        return "goes on"
    # Of the other kind, hence of another session: not the one the keys are for, nor of the server round that is due.
    return "VIEW" if state == "CarryingKeys" else "STATE"


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize(
    ("kind", "state"),
    [*(("active", state) for state in STATES), *(("curious", state) for state in CURIOUS_STATES)],
)
def test_every_message_in_every_state_of_a_client(
    kind: str, state: str, name: str, tmp_path: Path, requests: Requests
) -> None:
    stand = Stand(kind, state, tmp_path, requests["curious" if kind == "active" else "active"])
    reply = stand.send(name)
    due = expected(kind, state, name)
    if due != "goes on":
        assert reply.has_error(), f"{name} in {state} was answered"
        assert str(reply.error.reason).partition(":")[0] == due
        assert not stand.kept
        return
    assert not reply.has_error(), reply.error
    tags = {R0: 0x11, R1: 0x13, R2: 0x15, R3: 0x17, R4: 0x19}
    assert message_in(reply.content)[0] == tags[ProtocolRound(name)]
    assert stand.kept
    # The same request again finds nothing, but for an invitation.
    again = stand.send(name)
    assert again.has_error() == (name != "r0")
    assert stand.kept == (name == "r0")


# The server.

REPLIES = ["r0", "r1", "r2", "r3", "r4", "nothing", "request", "noise"]


def reply_of(name: str, recorded: dict[ProtocolRound, bytes]) -> bytes:
    if name == "nothing":
        return b""
    if name == "request":
        return Invitation(Session(bytes(32), 1, SecAggParams.complete(5, 24, 8, 0))).to_bytes()
    if name == "noise":
        return Writer(0x19, 2).raw(os.urandom(200)).finish()
    return recorded[ProtocolRound(name)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[ProtocolRound, bytes]:
    """The third client's replies, of another session."""
    trial, found = active_trial(tmp_path_factory.mktemp("replies")), {}
    kinds = {step.message_type: step for step in ProtocolRound}

    def keep(message: Message) -> Message:
        if message.metadata.src_node_id == trial.grid.ids[2]:
            found.setdefault(kinds[message.metadata.message_type], message_in(message.content))
        return message

    trial.grid.after = keep
    assert trial.session() is not None
    return found


@pytest.mark.parametrize("name", REPLIES)
@pytest.mark.parametrize("step", ProtocolRound)
def test_every_reply_in_every_collection_of_the_server(
    step: ProtocolRound, name: str, tmp_path: Path, recorded: dict[ProtocolRound, bytes]
) -> None:
    """Replies of another session: r1's and r2's are as long as they should be and fit no key of this one."""
    trial = active_trial(tmp_path)
    bad = trial.grid.ids[2]

    def replaced(message: Message) -> Message:
        message.content = reply_record(reply_of(name, recorded))
        return message

    trial.grid.after = at(step, replaced, bad)
    done = trial.session()
    if name != step:
        assert done is not None
        assert trial.trip(step)["refused"][str(bad)].startswith("FORMAT")
        assert trial.named("round_finished")[0]["unmasked"] == (5 if step >= R3 else 4) - (step >= R3)
        return
    code, goes_on = {
        R0: ("AUTH", True),  # signed by a member of another roster
        R1: ("", False),  # sealed for other keys: nobody opens them, no vector leaves
        R2: ("", False),  # of the right length, it is a vector; under other masks it spoils the counts
        R3: ("AUTH", True),
        R4: ("", True),  # false shares are found and named, and the sum needs them not
    }[step]
    assert (done is not None) == goes_on
    refused = trial.trip(step)["refused"]
    assert refused.get(str(bad), "").partition(":")[0] == code
    if not goes_on:
        assert trial.named("round_failed")[0]["code"] == {R1: "QUORUM", R2: "RANGE"}[step]
    if step is R4:
        assert {event["culprit"] for event in trial.named("misbehaviour")} == {bad}


@pytest.mark.parametrize("step", ProtocolRound)
def test_an_error_reply_in_every_collection(step: ProtocolRound, tmp_path: Path) -> None:
    """And a client's own refusal is a drop with its code."""
    trial = active_trial(tmp_path)

    def refuse(message: Message) -> Message:
        message.content["chorus"] = message_record(b"")
        return message

    trial.grid.before = at(step, refuse, trial.grid.ids[2])
    assert trial.session() is not None
    assert trial.trip(step)["refused"][str(trial.grid.ids[2])].startswith("FORMAT")
    assert trial.named("round_finished")[0]["masked"] == (5 if step >= R3 else 4)
