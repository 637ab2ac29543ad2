"""Whole sessions: the exact sum over the survivors, or the refusal that arithmetic predicts. Nothing else."""

from collections.abc import Mapping
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arithmetic.residues import LEAST_BITS, MOST_BITS
from secagg.bounds import Adversary
from secagg.client.r2_masked_input import mask_input
from secagg.client.states import (
    AwaitingCohort,
    AwaitingShares,
    AwaitingSignatures,
    AwaitingSurvivors,
    CarryingKeys,
)
from secagg.errors import CohortTooSmall, OutOfTurn, ParameterError
from secagg.masks import Residues
from secagg.messages import KeysAdvertised, SharesDelivered, SharesRevealed
from secagg.params import SecAggParams
from tests.support.cohort import (
    ACTIVE_ROUNDS,
    ROUNDS,
    Cohort,
    Memo,
    Outcome,
    Vector,
    check_exact,
    oracle_inputs,
    plain_sum,
    run_session,
)

LENGTH = 8
CURIOUS, ACTIVE = Adversary
FATES = (*ACTIVE_ROUNDS, "never")
CURIOUS_FATES = (*ROUNDS, "never")
# Identifiers of nodes are not indices: they are large and out of order.
NODES = (977, 31, 10**18, 5, 400, 64)


def alive_after(fates: Mapping[int, str], protocol_round: str) -> frozenset[int]:
    """Clients that complete `protocol_round` when nobody else hinders them."""
    order = FATES.index(protocol_round)
    return frozenset(client for client, fate in fates.items() if FATES.index(fate) > order)


def predict_complete(
    fates: Mapping[int, str], threshold: int, adversary: Adversary = CURIOUS
) -> frozenset[int] | tuple[int, int]:
    """In a complete graph: the counted clients, or (survivors, needed) of the refusal."""
    least = max(threshold, 3)
    for protocol_round in ("r0", "r1", "r2"):
        alive = len(alive_after(fates, protocol_round))
        if alive < least:
            return alive, least
    signing = len(alive_after(fates, "r3"))
    if adversary is ACTIVE and signing < threshold:
        return signing, threshold
    revealing = len(alive_after(fates, "r4"))
    return alive_after(fates, "r2") if revealing >= threshold else (revealing, threshold)


def check_every_pattern(size: int, threshold: int, adversary: Adversary = CURIOUS) -> None:
    """All 5^n fates (active: 6^n) of n clients at one threshold."""
    params = SecAggParams.complete(size, 24, LENGTH, 3, threshold, adversary)
    assert params.min_survivors == max(threshold, 3)
    nodes = NODES[:size]
    inputs, memo = oracle_inputs(nodes, LENGTH), Memo()
    sums = refusals = 0
    for pattern in product(FATES if params.is_active else CURIOUS_FATES, repeat=size):
        fates = dict(zip(nodes, pattern, strict=True))
        expected = predict_complete(fates, threshold, adversary)
        drops = {client: fate for client, fate in fates.items() if fate != "never"}
        outcome = run_session(params, inputs, drops, memo=memo)
        assert not outcome.client_errors, fates
        assert not outcome.refused, fates
        if isinstance(expected, frozenset):
            check_exact(outcome, params, inputs, expected)
            sums += 1
        else:
            assert outcome.unmasked is None
            assert isinstance(outcome.error, CohortTooSmall), fates
            assert (outcome.error.survivors, outcome.error.threshold) == expected, fates
            refusals += 1
    assert sums
    assert refusals


@pytest.mark.parametrize(("size", "threshold"), [(n, t) for n in (3, 4) for t in range(2, n + 1)])
def test_every_dropout_pattern_gives_the_exact_sum_or_the_predicted_refusal(
    size: int, threshold: int
) -> None:
    check_every_pattern(size, threshold)


@pytest.mark.parametrize(("size", "threshold"), [(n, t) for n in (3, 4) for t in range(n // 2 + 1, n + 1)])
def test_every_dropout_pattern_of_an_active_session(size: int, threshold: int) -> None:
    check_every_pattern(size, threshold, ACTIVE)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.parametrize("threshold", [3, 4, 5])
def test_every_dropout_pattern_of_an_active_session_of_five_clients(threshold: int) -> None:
    check_every_pattern(5, threshold, ACTIVE)


@pytest.mark.nightly
@pytest.mark.parametrize("threshold", [2, 3, 4, 5, 6])
def test_every_dropout_pattern_of_six_clients(threshold: int) -> None:
    check_every_pattern(6, threshold)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("threshold", [4, 5, 6])
def test_every_dropout_pattern_of_an_active_session_of_six_clients(threshold: int) -> None:
    check_every_pattern(6, threshold, ACTIVE)


@pytest.mark.parametrize("threshold", [2, 3, 4, 5])
def test_every_dropout_pattern_of_five_clients(threshold: int) -> None:
    check_every_pattern(5, threshold)


def test_the_prediction_itself_on_cases_worked_by_hand() -> None:
    assert predict_complete({1: "never", 2: "never", 3: "never"}, 3) == {1, 2, 3}
    assert predict_complete({1: "r4", 2: "never", 3: "never"}, 2) == {1, 2, 3}
    assert predict_complete({1: "r4", 2: "never", 3: "never"}, 3) == (2, 3)
    assert predict_complete({1: "r2", 2: "never", 3: "never"}, 2) == (2, 3)
    assert predict_complete({1: "r0", 2: "r1", 3: "r2", 4: "never", 5: "never"}, 2) == (2, 3)
    assert predict_complete({1: "r3", 2: "never", 3: "never"}, 2, ACTIVE) == {1, 2, 3}
    assert predict_complete({1: "r3", 2: "never", 3: "never"}, 3, ACTIVE) == (2, 3)
    assert predict_complete({1: "r3", 2: "r4", 3: "never"}, 2, ACTIVE) == (1, 2)


def test_the_oracle_tells_every_two_sets_apart() -> None:
    inputs = oracle_inputs(NODES, LENGTH)
    subsets = [
        frozenset(c for c, kept in zip(NODES, bits, strict=True) if kept)
        for bits in product((0, 1), repeat=len(NODES))
    ]
    sums = {plain_sum(inputs, subset) for subset in subsets if subset}
    assert len(sums) == 63


@pytest.mark.parametrize("bits", range(LEAST_BITS, MOST_BITS + 1))
def test_every_modulus_sums_its_whole_range_exactly(bits: int) -> None:
    params = SecAggParams.complete(4, bits, 5, 3, 2)
    top = (2 ** (bits - 1) - 1) // 4
    inputs = {
        client: Vector((top, -top, client, -client, 0), (2**61 - client, -(2**61) + client, 0))
        for client in range(1, 5)
    }
    check_exact(run_session(params, inputs), params, inputs, frozenset(inputs))
    check_exact(run_session(params, inputs, {2: "r2", 3: "r4"}), params, inputs, frozenset({1, 3, 4}))


@pytest.mark.parametrize("length", [0, 1, 2**15 - 1, 2**15 + 1, 3 * 2**15])
def test_masks_cancel_across_the_pieces_they_are_streamed_in(length: int) -> None:
    params = SecAggParams.complete(3, 16, length, 1, 2)
    inputs = {c: Vector(tuple((c * at) % 97 - 48 for at in range(length)), (c,)) for c in (1, 2, 3)}
    outcome = run_session(params, inputs)
    assert outcome.error is None
    check_exact(outcome, params, inputs, frozenset(inputs))


def test_a_session_without_scalars_and_one_without_a_tensor() -> None:
    for params in (SecAggParams.complete(3, 16, 2, 0, 2), SecAggParams.complete(3, 16, 0, 2, 2)):
        inputs = {c: Vector((c,) * params.tensor_length, (-c,) * params.scalar_length) for c in (1, 2, 3)}
        outcome = run_session(params, inputs)
        assert outcome.unmasked is not None
        assert outcome.unmasked.total.tensor.tolist() == [6] * params.tensor_length
        assert outcome.unmasked.total.scalars.tolist() == [2**64 - 6] * params.scalar_length


# The k-regular graph.

SPARSE = tuple(range(1, 13))


def in_one_part(near: Mapping[int, frozenset[int]], clients: frozenset[int]) -> bool:
    """Whether every client can be reached from every other one through clients."""
    reached = frozenset({min(clients)})
    while True:
        further = reached.union(*(near[client] & clients for client in reached))
        if further == reached:
            return reached == clients
        reached = further


def predict_sparse(
    outcome: Outcome, fates: Mapping[int, str], params: SecAggParams
) -> tuple[frozenset[int], frozenset[int]] | None:
    """(counted, revealing) by the arithmetic of every neighbourhood; None for a refusal.

    Only who is whose neighbour is taken from the session, as the server announced it.
    """
    threshold, least = params.threshold, params.min_survivors
    near, needed = outcome.neighbours, params.least_advertised
    own = int(params.own_share)
    if len(alive_after(fates, "r0")) < needed:
        return None
    shared = alive_after(fates, "r1")
    if len(shared) < least:
        return None
    masked = frozenset(c for c in shared if fates[c] != "r2" and len(near[c] & shared) + own >= threshold)
    if len(masked) < least or not in_one_part(near, masked):
        return None
    content = frozenset(c for c in masked if len(near[c] & masked) + own >= threshold)
    signing = frozenset(c for c in content if fates[c] != "r3") if params.is_active else content
    if params.is_active and len(signing) < params.signatures:
        return None
    answering = frozenset(c for c in signing if fates[c] != "r4")
    for owner in shared:
        holders = near[owner] | {owner} if owner in masked and own else near[owner]
        if len(holders & answering) < threshold:
            return None
    return masked, answering


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_regular_graphs_with_random_drops(data: st.DataObject) -> None:
    degree = data.draw(st.sampled_from((4, 6, 8)), "neighbours")
    threshold = data.draw(st.integers(2, degree + 1), "threshold")
    least = data.draw(st.integers(3, 9), "min survivors")
    bits = data.draw(st.integers(13, MOST_BITS), "bits")  # 12 clients: the oracle sums to 2^12 - 1
    fates = {c: data.draw(st.sampled_from((*CURIOUS_FATES, *("never",) * 10)), str(c)) for c in SPARSE}
    check_random_graph(SecAggParams(12, threshold, degree, least, bits, 15, 3), fates, data)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_regular_graphs_of_active_sessions_with_random_drops(data: st.DataObject) -> None:
    """No client holds a share of its own seed there: k shares of each secret, of which t rebuild it."""
    degree = data.draw(st.sampled_from((4, 6, 8)), "neighbours")
    threshold = data.draw(st.integers(degree // 2 + 1, degree), "threshold")
    least = data.draw(st.integers(7, 10), "min survivors")
    fates = {c: data.draw(st.sampled_from((*FATES, *("never",) * 20)), str(c)) for c in SPARSE}
    check_random_graph(SecAggParams(12, threshold, degree, least, 24, 15, 3, ACTIVE), fates, data)


def check_random_graph(params: SecAggParams, fates: Mapping[int, str], data: st.DataObject) -> None:
    """The exact sum over whom the arithmetic of neighbourhoods counts, or a refusal where it says so."""
    inputs = oracle_inputs(SPARSE, 15)
    drops = {c: fate for c, fate in fates.items() if fate != "never"}
    outcome = run_session(params, inputs, drops, seed=data.draw(st.integers(0, 2**32), "seed"))
    expected = predict_sparse(outcome, fates, params)
    assert not outcome.refused
    assert all(error.code == "QUORUM" for _, error in outcome.client_errors.values())
    if expected is None:
        assert outcome.unmasked is None
        assert isinstance(outcome.error, CohortTooSmall)
    else:
        check_exact(outcome, params, inputs, expected[0])
        assert outcome.heard["r4"] == expected[1]


@pytest.mark.parametrize("degree", [4, 6, 8])
def test_a_sparse_graph_without_drops_sums_everybody(degree: int) -> None:
    params = SecAggParams(12, 3, degree, 3, 24, 15, 3)
    inputs = oracle_inputs(SPARSE, 15)
    outcome = run_session(params, inputs)
    assert {len(near) for near in outcome.neighbours.values()} == {degree}
    check_exact(outcome, params, inputs, frozenset(SPARSE))


def test_a_sparse_active_session_holds_no_share_of_ones_own() -> None:
    params = SecAggParams(12, 4, 6, 7, 24, 15, 3, ACTIVE)
    inputs = oracle_inputs(SPARSE, 15)
    cohort = Cohort(params, inputs)
    check_exact(cohort.run({3: "r2", 5: "r3"}), params, inputs, frozenset(SPARSE) - {3})
    for client in (1, 2, 4):
        told = AwaitingSignatures.from_bytes(cohort.states["r4", client]).told
        assert told.index not in told.self_mask
        revealed = SharesRevealed.from_bytes(cohort.replies["r4", client])
        assert told.index not in revealed.self_mask


def test_a_regular_active_graph_needs_as_many_holders_as_the_threshold() -> None:
    with pytest.raises(ParameterError, match=r"threshold = 7 .* from 2 to 6"):
        SecAggParams(12, 7, 6, 8, 24, 15, 3, ACTIVE)
    # The graph is complete once fewer advertise; still nobody holds a share of its own.
    params = SecAggParams(7, 4, 4, 4, 24, 10, 3, ACTIVE)
    inputs = oracle_inputs((1, 2, 3, 4, 5, 6, 7), 10)
    for gone, counted in (((7,), 6), ((6, 7), 5)):
        outcome = run_session(params, inputs, dict.fromkeys(gone, "r0"))
        check_exact(outcome, params, inputs, frozenset(range(1, counted + 1)))
    outcome = run_session(params, inputs, {5: "r0", 6: "r0", 7: "r0"})
    assert isinstance(outcome.error, CohortTooSmall)
    assert all(error.code == "QUORUM" for _, error in outcome.client_errors.values())


def test_two_sessions_have_different_graphs() -> None:
    cohort = Cohort(SecAggParams(12, 3, 4, 3, 24, 15, 3), oracle_inputs(SPARSE, 15))
    assert cohort.run().neighbours != cohort.run().neighbours


# Keys sent ahead.


def test_keys_sent_ahead_serve_the_next_sessions_without_r0() -> None:
    params = SecAggParams.complete(4, 24, LENGTH, 3)
    inputs = oracle_inputs((1, 2, 3, 4), LENGTH)
    cohort = Cohort(params, inputs)
    for session in range(3):
        outcome = cohort.run()
        check_exact(outcome, params, inputs, frozenset(inputs))
        invited = [client for at, client in cohort.requests if at == "r0"]
        assert invited == ([1, 2, 3, 4] if session == 0 else [])
        assert all(isinstance(CarryingKeys.from_bytes(c.kept), CarryingKeys) for c in cohort.clients.values())


def test_carried_and_fresh_keys_mix() -> None:
    params = SecAggParams.complete(5, 24, LENGTH, 3, 3)
    inputs = oracle_inputs((1, 2, 3, 4, 5), LENGTH)
    cohort = Cohort(params, inputs)
    fates = [{1: "r1"}, {2: "r2"}, {3: "r4"}, {4: "r0", 5: "r2"}, {}]
    counted = [{2, 3, 4, 5}, {1, 3, 4, 5}, {1, 2, 3, 4, 5}, {1, 2, 3}, {1, 2, 3, 4, 5}]
    invited = [[1, 2, 3, 4, 5], [1], [2], [3], [4, 5]]
    for drops, survivors, asked in zip(fates, counted, invited, strict=True):
        outcome = cohort.run(drops)
        check_exact(outcome, params, inputs, frozenset(survivors))
        assert [client for at, client in cohort.requests if at == "r0"] == asked


def test_in_an_active_session_keys_have_one_origin() -> None:
    """All sent theirs ahead with the same session, or all are asked anew."""
    params = SecAggParams.complete(5, 24, LENGTH, 3, 3, ACTIVE)
    inputs = oracle_inputs((1, 2, 3, 4, 5), LENGTH)
    everybody = list(inputs)
    cohort = Cohort(params, inputs)
    fates = [{}, {1: "r1"}, {2: "r3"}, {3: "r4"}, {}, {}]
    counted = [
        {1, 2, 3, 4, 5},
        {2, 3, 4, 5},
        {1, 2, 3, 4, 5},
        {1, 2, 3, 4, 5},
        {1, 2, 3, 4, 5},
        {1, 2, 3, 4, 5},
    ]
    invited = [everybody, [], everybody, everybody, everybody, []]
    for drops, survivors, asked in zip(fates, counted, invited, strict=True):
        outcome = cohort.run(drops)
        check_exact(outcome, params, inputs, frozenset(survivors))
        assert not outcome.refused
        assert [client for at, client in cohort.requests if at == "r0"] == asked


def test_an_active_session_unmasks_only_what_was_signed() -> None:
    """Reveal before signing: there is no such step."""
    params = SecAggParams.complete(4, 24, LENGTH, 3, 3, ACTIVE)
    cohort = Cohort(params, oracle_inputs((1, 2, 3, 4), LENGTH))
    assert cohort.run().error is None
    told, request = cohort.states["r3", 1], cohort.requests["r4", 1]
    assert isinstance(cohort.refusal("r4", 1, request, told), OutOfTurn)


@pytest.mark.parametrize("adversary", Adversary)
def test_no_public_key_is_ever_used_twice(adversary: Adversary) -> None:
    params = SecAggParams.complete(4, 16, LENGTH, 3, 3, adversary)
    cohort = Cohort(params, oracle_inputs((1, 2, 3, 4), LENGTH))
    seen: list[bytes] = []
    for session in range(12):
        seen += cohort.run({1 + session % 4: cohort.rounds[session % len(cohort.rounds)]}).public_keys
    assert len(seen) == len(set(seen)) > 80


def test_keys_sent_ahead_and_lost_by_the_client_cost_it_one_session() -> None:
    params = SecAggParams.complete(4, 24, LENGTH, 3, 2)
    inputs = oracle_inputs((1, 2, 3, 4), LENGTH)
    cohort = Cohort(params, inputs)
    cohort.run()
    cohort.clients[2].kept = None
    outcome = cohort.run()
    assert outcome.client_errors[2][1].code == "STATE"
    check_exact(outcome, params, inputs, frozenset({1, 3, 4}))
    check_exact(cohort.run(), params, inputs, frozenset({1, 2, 3, 4}))


def test_keys_carried_past_a_failed_session_are_not_used_again() -> None:
    params = SecAggParams.complete(4, 24, LENGTH, 3, 3)
    inputs = oracle_inputs((1, 2, 3, 4), LENGTH)
    cohort = Cohort(params, inputs)
    first = cohort.run()
    failed = cohort.run({1: "r2", 2: "r2"})
    assert failed.error is not None
    assert failed.error.code == "QUORUM"
    again = cohort.run()
    check_exact(again, params, inputs, frozenset(inputs))
    keys = first.public_keys + failed.public_keys + again.public_keys
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("adversary", Adversary)
def test_every_message_and_state_has_one_form(adversary: Adversary) -> None:
    """Equal sessions give equal bytes; another session identifier changes every reply."""
    params = SecAggParams.complete(3, 16, LENGTH, 3, 2, adversary)
    inputs = oracle_inputs((1, 2, 3), LENGTH)
    one, same, other = (Cohort(params, inputs, seed=seed) for seed in (1, 1, 2))
    for cohort in (one, same, other):
        cohort.run()
    assert one.replies == same.replies
    assert all(one.replies[key] != other.replies[key] for key in one.replies)


@pytest.mark.parametrize("adversary", Adversary)
def test_sizes_of_replies_do_not_depend_on_the_data(adversary: Adversary) -> None:
    params = SecAggParams.complete(3, 24, LENGTH, 3, 2, adversary)
    sizes = []
    for factor in (0, 1, 30000):
        inputs = {c: Vector((c * factor,) * LENGTH, (c * factor, 1, 0)) for c in (1, 2, 3)}
        cohort = Cohort(params, inputs)
        cohort.run()
        sizes.append({key: len(reply) for key, reply in cohort.replies.items()})
    assert sizes[0] == sizes[1] == sizes[2]


def test_nothing_secret_is_printed() -> None:
    """`repr` of messages and states shows no seed, private key or share."""
    params, inputs = SecAggParams.complete(3, 16, LENGTH, 3, 2), oracle_inputs((1, 2, 3), LENGTH)
    cohort = Cohort(params, inputs)
    cohort.run()
    keys = AwaitingCohort.from_bytes(cohort.states["r1", 1])
    shares = AwaitingShares.from_bytes(cohort.states["r2", 1])
    survivors = AwaitingSurvivors.from_bytes(cohort.states["r4", 1])
    revealed = SharesRevealed.from_bytes(cohort.replies["r4", 1])
    carrying = CarryingKeys.from_bytes(cohort.clients[1].kept)
    shown = " ".join(map(repr, (keys, shares, survivors, revealed, carrying)))
    privates = [keys.keys.mask.private, keys.keys.channel.private, shares.seed, carrying.keys.mask.private]
    numbers = [*shares.own_shares.values(), *survivors.self_mask.values(), *survivors.mask_key.values()]
    for secret in privates:
        assert repr(secret) not in shown
        assert secret.hex() not in shown
    for number in numbers:
        assert str(number) not in shown
    assert isinstance(revealed.following, KeysAdvertised)


@pytest.mark.parametrize("word", ["<u2", "<u8", ">u4", "<i4"])
def test_a_vector_of_other_words_than_agreed_is_refused(word: str) -> None:
    """Masks are streamed in the vector's own words: with other words than the server's the sum would be
    noise.
    """
    params, inputs = SecAggParams.complete(3, 24, LENGTH, 3, 2), oracle_inputs((1, 2, 3), LENGTH)
    cohort = Cohort(params, inputs)
    cohort.run()
    shares = AwaitingShares.from_bytes(cohort.states["r2", 1])
    vector = Residues(np.zeros(LENGTH, dtype=word), np.zeros(3, dtype="<u8"))
    with pytest.raises(ParameterError):
        mask_input(shares, SharesDelivered.from_bytes(cohort.requests["r2", 1]), vector)


def test_a_vector_of_another_shape_is_refused() -> None:
    params, inputs = SecAggParams.complete(3, 24, LENGTH, 3, 2), oracle_inputs((1, 2, 3), LENGTH)
    cohort = Cohort(params, inputs)
    cohort.run()
    shares = AwaitingShares.from_bytes(cohort.states["r2", 1])
    vector = Residues(np.zeros((2, LENGTH // 2), dtype="<u4"), np.zeros(3, dtype="<u8"))
    with pytest.raises(ParameterError):
        mask_input(shares, SharesDelivered.from_bytes(cohort.requests["r2", 1]), vector)
