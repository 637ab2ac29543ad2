"""A server dies at each of its messages: a failure by type, burnt material, and the next query works."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import predictions.helper_server
import predictions.online_server
from predictions.credentials import FIRST, HELPER, SECOND
from predictions.errors import AnswerRejected, FrameRejected, LinkFailed
from predictions.first_server import Work
from predictions.frames import NO_QUERY, Kind
from predictions.link import Link
from predictions.online import evaluate
from predictions.preparation import prepare
from predictions.program import Answer
from tests.support.three_servers import Stage, allowed, exact_logits, inputs, served, small_model

_EXCHANGES = 5
_HELPER = [(HELPER, Kind.READY, 0), (HELPER, Kind.READY, 1), (HELPER, Kind.DELIVERY, 0), (HELPER, Kind.LOT, 0),
           (HELPER, Kind.LOT, 1), (HELPER, Kind.DELIVERY, 1), (HELPER, Kind.LOT, 2)]  # fmt: skip
_ONLINE = [
    (party, kind, number)
    for party in (FIRST, SECOND)
    for kind, numbers in ((Kind.MASK, 1), (Kind.EXCHANGE, _EXCHANGES), (Kind.ANSWER, 1))
    for number in range(numbers)
]
POINTS = [*_HELPER, (FIRST, Kind.ORDER, 0), (FIRST, Kind.BEGIN, 0), *_ONLINE]


class Killer:
    """Ends a server in place of its `number`-th message of a kind."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.armed = stage, False
        self.party, self.kind, self.left = "", Kind.FAILED, 0

    def arm(self, party: str, kind: Kind, number: int) -> None:
        self.party, self.kind, self.left, self.armed = party, kind, number, True

    def at(self, link: Link, kind: Kind) -> None:
        if not self.armed or kind is not self.kind or self._sender(link) != self.party:
            return
        if self.left:
            self.left -= 1
            return
        self.armed = False
        self.stage.kill(self.party)
        link.close()
        raise LinkFailed("killed")

    def _sender(self, link: Link) -> str:
        """Links to clients end at the port of whoever listens; the rest goes by what is sent to whom."""
        if link.peer.startswith("client/"):
            port = link._connection.getsockname()[1]
            return next((party for party, one in self.stage.addresses.items() if one.port == port), "")
        senders = {
            Kind.READY: HELPER,
            Kind.DELIVERY: HELPER,
            Kind.LOT: HELPER,
            Kind.BEGIN: FIRST,
            Kind.ORDER: FIRST,
        }
        if self.kind is Kind.READY and link.peer == HELPER:
            return ""
        return senders.get(self.kind, FIRST if link.peer == SECOND else SECOND)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with served(Work(ahead=0), patience=1.5) as running:
        yield running


@pytest.fixture
def killer(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Killer:
    killing, send = Killer(stage), Link.send

    def sending(self: Link, kind: Kind, payload: Any = b"", query: bytes = NO_QUERY, step: int = 0) -> None:
        killing.at(self, kind)
        send(self, kind, payload, query, step)

    monkeypatch.setattr(Link, "send", sending)
    return killing


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bytes]]:
    """Every seed of the helper's, and every lot and masked input that an online server began with."""
    seen: dict[str, list[bytes]] = {"made": [], "1": [], "2": [], "masked": []}

    def preparing(program: Any, model: Any, rows: int, answer: Answer, one: bytes, other: bytes) -> bytes:
        seen["made"] += [one, other]
        return prepare(program, model, rows, answer, one, other)

    def evaluating(program: Any, model: Any, lot: Any, masked: memoryview, answer: Answer) -> Any:
        seen[str(model.party)].append(lot.seed)
        if model.party == 1:
            seen["masked"].append(bytes(masked))
        return evaluate(program, model, lot, masked, answer)

    monkeypatch.setattr(predictions.helper_server, "prepare", preparing)
    monkeypatch.setattr(predictions.online_server, "evaluate", evaluating)
    return seen


def right(stage: Stage, rows: np.ndarray) -> bool:
    """Whether an answer was given; one that was is right."""
    with stage.client() as client:
        found = client.query(rows, Answer.LOGITS).answers * small_model()[0].wires[-1].scale
    assert (np.abs(found - exact_logits(rows)) <= allowed(rows)).all()
    return True


@pytest.mark.parametrize(("party", "kind", "number"), POINTS, ids=lambda one: getattr(one, "name", str(one)))
def test_a_server_that_dies_at_a_message_costs_one_query(
    stage: Stage, killer: Killer, used: dict[str, list[bytes]], party: str, kind: Kind, number: int
) -> None:
    rows = inputs(3, seed=number)
    assert right(stage, rows)
    if kind is Kind.READY:  # comes when an epoch begins
        stage.kill(SECOND)
        killer.arm(party, kind, number)
        stage.start(SECOND)
    else:
        killer.arm(party, kind, number)
    with pytest.raises((LinkFailed, FrameRejected, AnswerRejected)):
        right(stage, rows)
    assert not killer.armed, "the message never came"
    stage.start(party)
    assert right(stage, rows)
    for name, seeds in used.items():
        assert len(set(seeds)) == len(seeds), f"{name}: something was used a second time"
    assert set(used["1"]) | set(used["2"]) <= set(used["made"])
    assert not set(used["1"]) & set(used["2"])
