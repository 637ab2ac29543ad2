"""What passes on the wire, and what each server is told: no secret in any of it; a line that is cut costs one query."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import predictions.helper_server
from predictions.client import Client
from predictions.credentials import FIRST, SECOND
from predictions.errors import LinkFailed
from predictions.frames import NO_QUERY, Kind
from predictions.link import Link
from predictions.preparation import prepare
from predictions.program import Answer
from predictions.values import to_integers
from tests.support.relay import Relay
from tests.support.three_servers import Stage, exact_logits, inputs, served, small_model


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Kind, bytes]]:
    """Every payload that anybody sends: to whom, as what."""
    seen: list[tuple[str, Kind, bytes]] = []
    send = Link.send

    def sending(self: Link, kind: Kind, payload: Any = b"", query: bytes = NO_QUERY, step: int = 0) -> None:
        seen.append((self.peer, kind, bytes(payload)))
        send(self, kind, payload, query, step)

    monkeypatch.setattr(Link, "send", sending)
    return seen


@pytest.fixture
def seeds(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Of every lot."""
    made: list[bytes] = []

    def preparing(program: Any, model: Any, rows: int, answer: Answer, one: bytes, other: bytes) -> bytes:
        made.extend((one, other))
        return prepare(program, model, rows, answer, one, other)

    monkeypatch.setattr(predictions.helper_server, "prepare", preparing)
    return made


@pytest.fixture
def relayed(told: object, seeds: object) -> Iterator[tuple[Stage, Relay, Relay]]:
    """Servers, with somebody on both of the client's lines."""
    with served() as stage:
        relays = Relay(stage.addresses[FIRST]), Relay(stage.addresses[SECOND])
        yield stage, *relays
        for relay in relays:
            relay.close()


def query(stage: Stage, relays: tuple[Relay, Relay], rows: np.ndarray, answer: Answer) -> list[Any]:
    on_the_wire = {FIRST: relays[0].address, SECOND: relays[1].address}
    with Client(replace(stage.kit(), servers=on_the_wire), 5) as client:
        return client.query(rows, answer).answers.tolist()


def secrets_of(rows: np.ndarray, canaries: np.ndarray) -> list[bytes]:
    """Rows of inputs and weights, and answers, as any side would write them: eight bytes a number, or four."""
    program, weights = small_model()
    tables = [to_integers(program, rows), canaries, exact_logits(rows)]
    tables += [one.matrix for one in weights]
    found = [row.tobytes() for table in tables for row in table.reshape(len(table), -1)]
    found += [row.astype(np.float32).tobytes() for row in rows]
    found += [row.astype(np.float64).tobytes() for row in rows]
    return (
        found + [one.matrix.T.copy().tobytes() for one in weights] + [one.bias.tobytes() for one in weights]
    )


def test_nothing_secret_is_sent_to_any_server_or_passes_in_the_clear(
    relayed: tuple[Stage, Relay, Relay], told: list[tuple[str, Kind, bytes]], seeds: list[bytes]
) -> None:
    stage, *relays = relayed
    rows = inputs(6, seed=9)
    query(stage, (relays[0], relays[1]), rows, Answer.LOGITS)
    payloads = [payload for _, _, payload in told]
    assert sum(map(len, payloads)) > 1000
    canaries = stage.kit().canaries.inputs
    for secret in secrets_of(rows, canaries):
        assert not any(secret in payload for payload in payloads)
    # In the clear nothing of the frames passes either: neither payloads, nor lots' seeds, nor frames' own marks.
    wire = b"".join(relays[0].passed + relays[1].passed)
    assert len(wire) > 1000
    long = [payload for peer, _, payload in told if len(payload) >= 16 and peer != "helper"]
    for secret in [*long, *seeds, b"CHP\x01", *secrets_of(rows, canaries)]:
        assert secret not in wire


def test_seeds_go_to_one_server_each_and_the_helper_gets_orders_alone(
    relayed: tuple[Stage, Relay, Relay], told: list[tuple[str, Kind, bytes]], seeds: list[bytes]
) -> None:
    stage, *relays = relayed
    query(stage, (relays[0], relays[1]), inputs(3), Answer.LABEL)
    for number, seed in enumerate(seeds):
        heard = {peer for peer, _, payload in told if seed in payload}
        assert heard <= {(FIRST, SECOND)[number % 2]}
    kinds = {kind for peer, kind, _ in told if peer == "helper"}
    assert kinds <= {Kind.OFFER, Kind.SHARE, Kind.READY, Kind.ORDER}
    part = next(payload for peer, kind, payload in told if peer == "helper" and kind is Kind.SHARE)
    assert len(part) == 64


@pytest.mark.parametrize("line", [0, 1])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.97])
def test_a_line_that_is_cut_costs_one_query(
    relayed: tuple[Stage, Relay, Relay], line: int, part: float
) -> None:
    stage, *relays = relayed
    both = (relays[0], relays[1])
    rows = inputs(3)
    query(stage, both, rows, Answer.LABEL)
    relays[line].cut_after = int(part * sum(map(len, relays[line].passed)))
    with pytest.raises(LinkFailed):
        query(stage, both, rows, Answer.LABEL)
    assert query(stage, both, rows, Answer.LABEL) == exact_logits(rows).argmax(1).tolist()
