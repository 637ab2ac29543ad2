"""r3 at the server: whose signatures it takes, and who is asked to unmask."""

import pytest

from secagg.bounds import Adversary
from secagg.errors import CohortTooSmall, NotAuthentic, OutOfTurn, ParameterError
from secagg.messages import SurvivorsSigned, UnmaskingRequested
from secagg.params import SecAggParams
from secagg.server.r3_consistency_check import SignatureCollection
from tests.support.cohort import Arrival, Cohort, check_exact, oracle_inputs, run_session

CLIENTS = (1, 2, 3, 4, 5)
EVERYBODY = frozenset(CLIENTS)
PARAMS = SecAggParams.complete(5, 24, 8, 3, 3, Adversary.ACTIVE)
INPUTS = oracle_inputs(CLIENTS, 8)


def test_all_are_shown_all_signatures() -> None:
    cohort = Cohort(PARAMS, INPUTS)
    check_exact(cohort.run(), PARAMS, INPUTS, EVERYBODY)
    requests = {cohort.requests["r4", client] for client in CLIENTS}
    assert len(requests) == 1
    shown = UnmaskingRequested.from_bytes(requests.pop()).signatures
    assert shown == {c: SurvivorsSigned.from_bytes(cohort.replies["r3", c]).signature for c in CLIENTS}


def test_whoever_does_not_sign_stays_in_the_sum_and_is_asked_nothing() -> None:
    cohort = Cohort(PARAMS, INPUTS)
    outcome = cohort.run({2: "r3", 5: "r3"})
    check_exact(outcome, PARAMS, INPUTS, EVERYBODY)
    assert {client for at, client in cohort.requests if at == "r4"} == {1, 3, 4}
    request = UnmaskingRequested.from_bytes(cohort.requests["r4", 1])
    assert request.survivors == EVERYBODY
    assert set(request.signatures) == {1, 3, 4}
    assert outcome.unmasked is not None
    assert set(outcome.unmasked.next_keys) == {1, 3, 4}


@pytest.mark.parametrize("signing", [2, 3])
def test_exactly_the_threshold_signs_and_one_less(signing: int) -> None:
    outcome = run_session(PARAMS, INPUTS, dict.fromkeys(CLIENTS[signing:], "r3"))
    if signing == 3:
        check_exact(outcome, PARAMS, INPUTS, EVERYBODY)
        return
    assert isinstance(outcome.error, CohortTooSmall)
    assert (outcome.error.survivors, outcome.error.threshold) == (2, 3)
    assert outcome.unmasked is None


@pytest.mark.parametrize("silent", [3, 4])
def test_in_a_regular_graph_as_many_sign_as_must_survive(silent: int) -> None:
    clients = tuple(range(1, 13))
    params, inputs = SecAggParams(12, 5, 8, 9, 24, 15, 3, Adversary.ACTIVE), oracle_inputs(clients, 15)
    outcome = run_session(params, inputs, dict.fromkeys(clients[:silent], "r3"))
    assert len(outcome.heard["r3"]) == 12 - silent
    if silent == 3:
        check_exact(outcome, params, inputs, frozenset(clients))
    else:
        assert isinstance(outcome.error, CohortTooSmall)
        assert (outcome.error.survivors, outcome.error.threshold) == (8, 9)


@pytest.mark.parametrize("what", ["zeros", "flipped", "another's"])
def test_a_signature_that_does_not_check_drops_its_sender(what: str) -> None:
    first: list[bytes] = []

    def hook(at: str, way: str, client: int, data: bytes) -> Arrival:
        if (at, way) != ("r3", "up"):
            return data
        first.append(data)
        wrong = {
            "zeros": data[:2] + bytes(64),
            "flipped": data[:-1] + bytes([data[-1] ^ 1]),
            "another's": first[0],
        }
        return wrong[what] if client == 2 else data

    outcome = run_session(PARAMS, INPUTS, tamper=hook)
    assert isinstance(outcome.refused["r3", 2], NotAuthentic)
    assert set(outcome.refused) == {("r3", 2)}
    assert outcome.heard["r3"] == EVERYBODY - {2}
    check_exact(outcome, PARAMS, INPUTS, EVERYBODY)


def test_the_unasked_the_twice_heard_and_the_late_are_out_of_turn() -> None:
    cohort = Cohort(PARAMS, INPUTS)
    found: list[SignatureCollection] = []

    def hook(at: str, way: str, client: int, data: bytes) -> Arrival:
        if (at, way) != ("r3", "up"):
            return data
        found.append(cohort.collection)
        with pytest.raises(OutOfTurn):
            cohort.collection.receive(99, SurvivorsSigned.from_bytes(data))
        return (data, data) if client == 3 else data

    cohort.tamper = hook
    outcome = cohort.run()
    assert isinstance(outcome.refused["r3", 3], OutOfTurn)
    check_exact(outcome, PARAMS, INPUTS, EVERYBODY)
    with pytest.raises(OutOfTurn):
        found[0].receive(1, SurvivorsSigned(bytes(64)))
    with pytest.raises(OutOfTurn):
        found[0].close()


def test_a_curious_session_collects_no_signatures() -> None:
    params = SecAggParams.complete(5, 24, 8, 3, 3)
    cohort = Cohort(params, INPUTS)

    def hook(at: str, way: str, client: int, data: bytes) -> Arrival:
        if (at, way, client) == ("r2", "up", 5):
            with pytest.raises(ParameterError, match="active server only"):
                cohort.collection.close_active()
        return data

    cohort.tamper = hook
    check_exact(cohort.run(), params, INPUTS, EVERYBODY)
