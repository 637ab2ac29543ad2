"""Share, serve, query, shut down: three servers on loopback in one process."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from predictions import owner
from predictions.client import Client
from predictions.credentials import FIRST, HELPER, OWNER, SECOND, SERVERS
from predictions.errors import FrameRejected, LinkFailed, PredictionRange, QueryRefused
from predictions.evaluation import count_right
from predictions.first_server import Work
from predictions.limits import Limits
from predictions.link import Link
from predictions.program import Answer
from tests.support.three_servers import (
    CLIENTS,
    PATIENCE,
    Stage,
    allowed,
    credentials,
    exact_logits,
    inputs,
    served,
    small_model,
)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with served(limits=Limits(rows=64)) as running:
        yield running


def test_labels_are_those_of_plain_fixed_point(stage: Stage) -> None:
    rows = inputs(30, seed=1)
    with stage.client() as client:
        reply = client.query(rows)
    assert reply.answers.tolist() == exact_logits(rows).argmax(1).tolist()
    assert reply.canaries == 4
    assert reply.sent > 8 * 8 * 34 * 2


@pytest.mark.parametrize("rows", [1, 2, 17])
def test_logits_are_those_of_plain_fixed_point_up_to_rounding(stage: Stage, rows: int) -> None:
    asked = inputs(rows, seed=rows)
    with stage.client() as client:
        for _ in range(2):  # a lot made on demand, and one made ahead
            found = client.query(asked, Answer.LOGITS).answers * small_model()[0].wires[-1].scale
            assert (np.abs(found - exact_logits(asked)) <= allowed(asked)).all()


def test_a_count_over_several_batches_is_told_once_and_right(stage: Stage) -> None:
    rows = inputs(50, seed=2)
    labels = exact_logits(rows).argmax(1)
    labels[:13] = (labels[:13] + 1) % 4
    with stage.client() as client:
        told = count_right(client, rows, labels, rows=16)
    assert (told.right, told.examples) == (37, 50)


def test_clients_at_once_get_their_own_answers(stage: Stage) -> None:
    wrong: list[str] = []

    def ask(name: str, seed: int) -> None:
        rows = inputs(5, seed)
        with stage.client(name) as client:
            answers = [client.query(rows).answers.tolist() for _ in range(4)]
        wrong.extend(name for one in answers if one != exact_logits(rows).argmax(1).tolist())

    threads = [threading.Thread(target=ask, args=(CLIENTS[seed % 2], seed)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong


def test_inputs_outside_the_range_never_leave(stage: Stage) -> None:
    with stage.client() as client:
        with pytest.raises(PredictionRange):
            client.query(np.full((1, 8), 2.0))
        assert client.moved == (0, 0)


def test_a_batch_above_the_limit_is_refused_and_the_link_lives_on(stage: Stage) -> None:
    with stage.client() as client:
        with pytest.raises(QueryRefused, match="too large"):
            client.query(inputs(64))
        assert len(client.query(inputs(3)).answers) == 3


def test_a_kit_of_another_sharing_is_refused(stage: Stage) -> None:
    kit = stage.kit()
    other = owner.prepare_sharing(*small_model(), Limits())
    stale = type(kit)(other.sharing, other.canaries, kit.servers, kit.credentials)
    with Client(stale, PATIENCE) as client, pytest.raises(QueryRefused, match="another sharing"):
        client.query(inputs(1))


@pytest.mark.parametrize("party", SERVERS)
def test_a_client_can_neither_share_nor_shut_down(stage: Stage, party: str) -> None:
    intruder = owner.Owner(stage.addresses, credentials()[CLIENTS[0]], PATIENCE)
    with pytest.raises((FrameRejected, QueryRefused, LinkFailed)):
        intruder.shut_down(party)
    assert not stage.servers[party].ending.is_set()


def test_a_client_cannot_pose_as_a_server(stage: Stage) -> None:
    for party, message in ((HELPER, "serves the two online servers"),):
        with (
            Link.connect(stage.addresses[party], credentials()[CLIENTS[0]], party, PATIENCE) as link,
            pytest.raises(QueryRefused, match=message),
        ):
            link.receive({})


def test_one_servers_address_given_for_another_is_found_out(stage: Stage) -> None:
    with pytest.raises(LinkFailed, match="answered at the address of"):
        Link.connect(stage.addresses[SECOND], credentials()[CLIENTS[0]], FIRST, PATIENCE)


def test_the_log_says_who_asked_how_much_and_nothing_of_what(stage: Stage) -> None:
    told = "\n".join(stage.lines)
    assert "was given its part of model" in told
    assert not any(character in told for character in ("[", "array", "b'"))


def test_the_owner_sees_counts_alone(stage: Stage) -> None:
    speaker = owner.Owner(stage.addresses, credentials()[OWNER], PATIENCE)
    for party in SERVERS:
        assert set(speaker.status(party)) <= {"queries", "examples", "refused", "failed", "lots", "epochs"}


def test_a_quota_outlives_a_restart_and_is_each_clients_own() -> None:
    with served(limits=Limits(quota=8)) as stage:
        with stage.client() as client:
            client.query(inputs(4))
        for party in SERVERS:
            stage.kill(party)
            stage.start(party)
        with stage.client() as client, pytest.raises(QueryRefused, match="quota"):
            client.query(inputs(4))
        with stage.client(CLIENTS[1]) as client:
            client.query(inputs(4))


def test_an_answer_that_the_owner_does_not_allow_is_refused() -> None:
    limits = Limits(frozenset({Answer.LABEL}))
    refused = pytest.raises(QueryRefused, match="ask for label")
    with served(limits=limits) as stage, stage.client() as client, refused:
        client.query(inputs(1), Answer.LOGITS)


def test_a_new_sharing_takes_the_place_of_the_old() -> None:
    with served() as stage:
        with stage.client() as client:
            client.query(inputs(1))
            before = stage.prepared
            stage.share()
            assert stage.prepared is not before
            with pytest.raises(QueryRefused, match="another sharing"):
                client.query(inputs(1))
        with stage.client() as client:
            assert len(client.query(inputs(2)).answers) == 2


def test_servers_end_after_the_requests_they_were_started_for() -> None:
    with served(Work(requests=2)) as stage:
        with stage.client() as client:
            client.query(inputs(1))
            client.query(inputs(1))
        for party in SERVERS:
            stage.threads[party].join(10)
            assert not stage.threads[party].is_alive()


def test_the_owner_shuts_all_three_down() -> None:
    with served() as stage:
        speaker = owner.Owner(stage.addresses, credentials()[OWNER], PATIENCE)
        for party in SERVERS:
            speaker.shut_down(party)
            stage.threads[party].join(10)
            assert not stage.threads[party].is_alive()
        with stage.client() as client, pytest.raises(LinkFailed, match="cannot be reached"):
            client.query(inputs(1))
