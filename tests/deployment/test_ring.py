"""The hospitals' ring on a real SuperLink and three real SuperNodes: every hop is a process of its own."""

from collections.abc import Iterator
from typing import Any

import pytest
from safetensors.numpy import load_file

from app.simulated_roster import lay_identities
from bench.plain.launched import ROOT
from tests.deployment.stack import Stack, running

pytestmark = [pytest.mark.deployment, pytest.mark.slow, pytest.mark.nightly]

NODES = 3
TASK = (
    f'clients={NODES} task="diabetes" partition="dirichlet" local-epochs=1 batch-size=200 momentum=0.0 '
    'rounding="nearest" device="cpu"'
)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, str]]:
    """A SuperLink, and three SuperNodes with an identity each; the run keys that name their roster."""
    folder = tmp_path_factory.mktemp("ring")
    keys = lay_identities(folder, NODES)
    named = " ".join(f'{key}="{value}"' for key, value in keys.items())

    def own(number: int) -> str:
        return f'identity-key="{folder / "identities"}/{number}.pem" {named}'

    with running(Stack(folder, NODES, node_config=own)) as stack:
        yield stack, named


@pytest.fixture(scope="module")
def events(deployment: tuple[Stack, str]) -> list[dict[str, Any]]:
    """What a run of two server rounds wrote."""
    return _run(deployment, f'job="ring" paillier-bits=2048 rounds=2 round-deadline=120.0 {TASK}', "ring")


def _run(deployment: tuple[Stack, str], settings: str, name: str) -> list[dict[str, Any]]:
    stack, named = deployment
    submitted = stack.submit(ROOT, f"{settings} {named}", name)
    assert submitted.await_end(400) == "run_finished", submitted.events
    return submitted.events


def _weights(stack: Stack, name: str) -> dict[str, list[float]]:
    model = load_file(stack.folder / name / "model.safetensors")
    return {key: array.ravel().tolist() for key, array in model.items()}


def test_two_server_rounds_go_around(events: list[dict[str, Any]]) -> None:
    assert events[-1]["rounds_aggregated"] == 2
    rounds = [event for event in events if event["event"] == "round_finished"]
    assert [(each["joined"], each["revealed"], each["added"]) for each in rounds] == [(NODES,) * 3] * 3
    assert not [event for event in events if event["event"] == "ring_restarted"]
    losses = [each["loss"] for each in rounds]
    assert losses == sorted(losses, reverse=True)
    steps = [event["protocol_round"] for event in events if event["event"] == "protocol_round"]
    assert steps == ["roll call", *["join", "reveal", *["hop"] * NODES] * 3]


def test_masks_give_the_same_weights_on_the_same_nodes(
    deployment: tuple[Stack, str], events: list[dict[str, Any]]
) -> None:
    _run(deployment, f"modulus-bits=64 rounds=2 round-deadline=120.0 {TASK}", "masks")
    ring, masks = (_weights(deployment[0], name) for name in ("ring", "masks"))
    assert sum(map(len, ring.values())) == 11
    assert all(any(part) for part in ring.values())
    assert ring == masks
