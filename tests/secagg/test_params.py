"""Parameters: what is refused before anyone sends anything, and what the context binds."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.errors import ParameterError
from secagg.bounds import LEAST_COHORT, least_threshold
from secagg.errors import ChorusError, MalformedMessage
from secagg.params import (
    MOST_CLIENTS,
    MOST_LENGTH,
    PARAMS_BYTES,
    Adversary,
    Agreement,
    SecAggParams,
    Session,
)

BASE = SecAggParams(10, 7, 9, 7, 24, 1000, 4)
EVEN = SecAggParams(10, 7, 8, 7, 24, 1000, 4)
SESSION = Session(bytes(range(32)), 3, EVEN)
AGREED = Agreement(SESSION, 8, b"c" * 32, b"m" * 32, b"t" * 32)


def degrees(cohort: int) -> st.SearchStrategy[int]:
    """Degrees that fit: even ones, or everybody."""
    return st.one_of(st.integers(1, (cohort - 1) // 2).map(lambda half: 2 * half), st.just(cohort - 1))


@st.composite
def params(draw: st.DrawFn) -> SecAggParams:
    cohort = draw(st.integers(3, 4000))
    neighbours = draw(degrees(cohort))
    threshold = draw(st.integers(2, neighbours + 1))
    least = max(3, threshold) if neighbours == cohort - 1 else 3
    return SecAggParams(
        cohort,
        threshold,
        neighbours,
        draw(st.integers(least, cohort)),
        draw(st.integers(16, 64)),
        draw(st.integers(0, MOST_LENGTH)),
        draw(st.integers(0, MOST_LENGTH)),
    )


# ---- what is refused


@pytest.mark.parametrize(
    "change",
    [
        {"cohort": 2},
        {"cohort": 0},
        {"cohort": -10},
        {"cohort": MOST_CLIENTS + 1, "neighbours": 8},
        {"cohort": 9},  # nine neighbours need ten clients
        {"neighbours": 10},
        {"neighbours": 1},
        {"neighbours": 0},
        {"neighbours": -1},
        {"neighbours": 4},  # seven shares need six neighbours
        {"neighbours": 7},  # no graph gives each of an odd number of clients seven
        {"threshold": 0},
        {"threshold": 1},
        {"threshold": -7},
        {"threshold": 11},
        {"min_survivors": 2},
        {"min_survivors": 0},
        {"min_survivors": 11},
        {"modulus_bits": 0},
        {"modulus_bits": 7},
        {"modulus_bits": 65},
        {"modulus_bits": 128},
        {"modulus_bits": -24},
        {"tensor_length": -1},
        {"tensor_length": MOST_LENGTH + 1},
        {"scalar_length": -1},
        {"scalar_length": MOST_LENGTH + 1},
        {"cohort": 4096, "neighbours": 8, "modulus_bits": 16},  # no headroom left
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(change: dict[str, int]) -> None:
    with pytest.raises(ParameterError) as refused:
        dataclasses.replace(BASE, **change)
    assert "\n" not in str(refused.value)
    assert "choose" in str(refused.value)


@pytest.mark.parametrize(
    "name", ["cohort", "threshold", "neighbours", "min_survivors", "tensor_length", "scalar_length"]
)
@pytest.mark.parametrize("value", [None, "7", 7.0, True, b"7", [7]], ids=repr)
def test_other_types_are_refused(name: str, value: object) -> None:
    with pytest.raises(ParameterError):
        dataclasses.replace(BASE, **{name: value})


@pytest.mark.parametrize(
    "change", [{"adversary": "kind"}, {"adversary": None}, {"adversary": 0}, {"modulus_bits": 24.0}], ids=str
)
def test_other_types_of_the_rest_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ParameterError):
        dataclasses.replace(BASE, **change)


def test_a_complete_graph_needs_as_many_survivors_as_shares() -> None:
    """`min_survivors`: "threshold..cohort (complete graph)"."""
    with pytest.raises(ParameterError):
        dataclasses.replace(BASE, min_survivors=6)


@pytest.mark.parametrize(
    "change",
    [
        {"cohort": 3, "neighbours": 2, "threshold": 2, "min_survivors": 3},
        {"threshold": 2},
        {"threshold": 10, "min_survivors": 10},
        {"min_survivors": 10},
        {"tensor_length": 0, "scalar_length": 0},
        {"tensor_length": MOST_LENGTH, "scalar_length": MOST_LENGTH},
        {"cohort": 4095, "neighbours": 8, "modulus_bits": 16},
        {"cohort": MOST_CLIENTS, "neighbours": 8, "modulus_bits": 25},
        {"modulus_bits": 8},
        {"modulus_bits": 64},
    ],
    ids=str,
)
def test_limits_themselves_pass(change: dict[str, int]) -> None:
    assert dataclasses.replace(BASE, **change) != BASE


def test_headroom_refusal_names_the_modulus_that_fits() -> None:
    with pytest.raises(ParameterError, match=r"modulus-bits = 17$"):
        SecAggParams.complete(4096, 16, 10, 0)


@pytest.mark.parametrize("cohort", [3, 4, 5, 6, 10, 100, 1000, 4095])
def test_complete_graph_by_default_needs_more_than_two_thirds(cohort: int) -> None:
    """Bonawitz et al., CCS 2017, section 6.2: t = floor(2n/3) + 1."""
    made = SecAggParams.complete(cohort, 16, 5, 2)
    assert made.neighbours == cohort - 1
    assert made.threshold == 2 * cohort // 3 + 1
    assert made.threshold * 3 > 2 * cohort
    assert made.min_survivors == max(made.threshold, LEAST_COHORT)
    assert made.adversary is Adversary.CURIOUS
    assert made.graph(cohort, bytes(32)).neighbours(1) == tuple(range(2, cohort + 1))


def test_complete_graph_with_a_threshold_of_ones_own() -> None:
    made = SecAggParams.complete(10, 24, 5, 2, threshold=4)
    assert (made.threshold, made.min_survivors) == (4, 4)
    assert SecAggParams.complete(10, 24, 5, 2, threshold=2).min_survivors == LEAST_COHORT
    for refused in (1, 11, -1):
        with pytest.raises(ParameterError):
            SecAggParams.complete(10, 24, 5, 2, threshold=refused)


@pytest.mark.parametrize("cohort", [0, 1, 2])
def test_one_or_two_clients_have_no_privacy_to_give(cohort: int) -> None:
    with pytest.raises(ParameterError):
        SecAggParams.complete(cohort, 24, 5, 2)


@pytest.mark.parametrize("cohort", [3, 5, 10, 30, 100, 1000, 10_000])
@pytest.mark.parametrize("adversary", list(Adversary))
def test_derived_parameters_are_valid_for_small_and_large_cohorts(cohort: int, adversary: Adversary) -> None:
    made = SecAggParams.derive(cohort, 0.05, 0.1, adversary, 24, 100, 3)
    assert made.colluders == cohort // 20
    assert made.cohort == cohort
    assert made.adversary is adversary
    assert LEAST_COHORT <= made.min_survivors <= cohort
    assert 2 <= made.threshold <= made.neighbours + 1 <= cohort
    assert SecAggParams.from_bytes(made.to_bytes()) == made
    if adversary is Adversary.CURIOUS and made.neighbours == cohort - 1:
        assert made.threshold > 0.05 * cohort, "more than the colluders"
    if cohort == 10_000:
        assert made.neighbours < cohort - 1, "a large cohort needs no complete graph"


# ---- who may be how bad


@pytest.mark.parametrize("cohort", range(3, 14))
def test_a_complete_graph_admits_exactly_the_thresholds_that_hold(cohort: int) -> None:
    """Against a curious server t > C, against an active one 2t > n + C; nothing less, nothing more."""
    for adversary in Adversary:
        for colluders in range(cohort):
            admitted = set()
            for threshold in range(2, cohort + 1):
                try:
                    made = SecAggParams.complete(cohort, 24, 5, 2, threshold, adversary, colluders)
                except ParameterError:
                    continue
                assert made.colluders == colluders
                admitted.add(threshold)
            if adversary is Adversary.CURIOUS:
                due = {t for t in range(2, cohort + 1) if t > colluders}
            else:
                due = {t for t in range(2, cohort + 1) if 2 * t > cohort + colluders}
            assert admitted == due, (adversary, colluders)


@pytest.mark.parametrize(("adversary", "due"), [(Adversary.CURIOUS, 5), (Adversary.ACTIVE, 8)])
def test_the_refusal_names_the_threshold_that_would_do(adversary: Adversary, due: int) -> None:
    """Ten clients, four of them colluders."""
    with pytest.raises(ParameterError, match=f"threshold = {due - 1} does not hold .* choose {due} or more"):
        SecAggParams.complete(10, 24, 5, 2, due - 1, adversary, 4)
    assert SecAggParams.complete(10, 24, 5, 2, due, adversary, 4).threshold == due


@pytest.mark.parametrize("colluders", [-1, 10, 11, 2.0, None, True])
def test_colluders_are_fewer_than_the_cohort(colluders: Any) -> None:
    with pytest.raises(ParameterError, match="colluders = "):
        dataclasses.replace(BASE, colluders=colluders)


def test_in_a_regular_graph_too_the_threshold_holds_against_the_colluders() -> None:
    for adversary in Adversary:
        due = least_threshold(1000, 200, 50, adversary)
        lowest = max(due, 2)
        made = SecAggParams(1000, lowest, 200, 600, 24, 5, 2, adversary, 50)
        assert made.threshold == lowest
        with pytest.raises(ParameterError, match=f"choose {due} or more"):
            dataclasses.replace(made, threshold=due - 1)


@pytest.mark.parametrize(("cohort", "colluders", "due"), [(12, 0, 7), (13, 0, 7), (12, 1, 7), (100, 0, 51)])
def test_in_a_regular_active_graph_two_views_of_who_survived_find_no_signatures(
    cohort: int, colluders: int, due: int
) -> None:
    """Each view needs `min_survivors` signatures and colluders alone sign twice: 2m > n + C."""
    threshold = least_threshold(cohort, 6, colluders, Adversary.ACTIVE)
    neighbours = 6 if threshold <= 6 else cohort - 3 - cohort % 2
    threshold = max(threshold, least_threshold(cohort, neighbours, colluders, Adversary.ACTIVE))
    made = SecAggParams(cohort, threshold, neighbours, due, 24, 5, 2, Adversary.ACTIVE, colluders)
    assert made.signatures == due
    assert 2 * made.signatures > cohort + colluders
    with pytest.raises(ParameterError, match=f"two views of who survived; choose {due} or more"):
        dataclasses.replace(made, min_survivors=due - 1)


def test_in_a_complete_graph_as_many_sign_as_reveal() -> None:
    made = SecAggParams.complete(10, 24, 5, 2, 7, Adversary.ACTIVE, 3)
    assert made.signatures == made.threshold == 7


@pytest.mark.parametrize(
    ("neighbours", "adversary", "kept"),
    [(9, Adversary.CURIOUS, True), (9, Adversary.ACTIVE, True), (8, Adversary.CURIOUS, True),
     (8, Adversary.ACTIVE, False)],
)  # fmt: skip
def test_a_share_of_ones_own_is_kept_unless_the_bounds_do_not_count_it(
    neighbours: int, adversary: Adversary, kept: bool
) -> None:
    made = SecAggParams(10, 6, neighbours, 7, 24, 5, 2, adversary)
    assert made.own_share is kept
    assert made.least_advertised == 7
    most = dataclasses.replace(made, threshold=neighbours + int(kept), min_survivors=10)
    assert most.least_advertised == max(10, neighbours + 1)
    with pytest.raises(ParameterError):
        dataclasses.replace(most, threshold=most.threshold + 1)


# ---- bytes


def test_bytes_by_hand() -> None:
    assert BASE.to_bytes().hex() == (
        "5002" "0000000a" "00000007" "00000009" "00000007" "18" "00000000000003e8" "0000000000000004" "00" "00000000"
    )  # fmt: skip
    active = dataclasses.replace(BASE, adversary=Adversary.ACTIVE, colluders=3)
    assert active.to_bytes() == BASE.to_bytes()[:-5] + b"\x01\0\0\0\3"
    assert len(BASE.to_bytes()) == PARAMS_BYTES


@given(params(), st.sampled_from(list(Adversary)))
def test_bytes_round_trip(made: SecAggParams, adversary: Adversary) -> None:
    try:
        made = dataclasses.replace(made, adversary=adversary)
    except ParameterError:
        pass
    data = made.to_bytes()
    assert len(data) == PARAMS_BYTES
    assert SecAggParams.from_bytes(data) == made
    assert SecAggParams.from_bytes(memoryview(data)).to_bytes() == data


def test_every_truncation_and_extension_is_refused() -> None:
    data = BASE.to_bytes()
    for broken in [*(data[:length] for length in range(len(data))), data + b"\x00"]:
        with pytest.raises(MalformedMessage):
            SecAggParams.from_bytes(broken)


def test_flipped_bits_are_refused_or_mean_other_parameters() -> None:
    data = BASE.to_bytes()
    for at in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        try:
            found = SecAggParams.from_bytes(bytes(flipped))
        except ChorusError:
            continue
        assert found != BASE
        assert found.to_bytes() == bytes(flipped)


def test_unknown_adversary_is_refused() -> None:
    for octet in range(len(Adversary), 256):
        with pytest.raises(MalformedMessage):
            SecAggParams.from_bytes(BASE.to_bytes()[:-5] + bytes([octet]) + bytes(4))


@pytest.mark.parametrize("data", [None, "P\x01", 3, [80, 1], {}])
def test_parameters_of_other_types_are_refused(data: object) -> None:
    with pytest.raises(MalformedMessage):
        SecAggParams.from_bytes(data)


# ---- the graph and the context

# One valid change of every field there is.
PARAMS_CHANGES: dict[str, Any] = {
    "cohort": 11,
    "threshold": 6,
    "neighbours": 6,
    "min_survivors": 8,
    "modulus_bits": 32,
    "tensor_length": 1001,
    "scalar_length": 5,
    "adversary": Adversary.ACTIVE,
    "colluders": 1,
}
SESSION_CHANGES: dict[str, Any] = {"identifier": bytes(32), "server_round": 4}
AGREEMENT_CHANGES: dict[str, Any] = {
    "advertised": 9,
    "cohort_digest": b"C" * 32,
    "model_digest": b"M" * 32,
    "config_digest": b"T" * 32,
    "standing": b"S" * 32,
}


def test_changes_below_cover_every_field() -> None:
    assert set(PARAMS_CHANGES) == {field.name for field in dataclasses.fields(SecAggParams)}
    assert {*SESSION_CHANGES, "params"} == {field.name for field in dataclasses.fields(Session)}
    assert {*AGREEMENT_CHANGES, "session"} == {field.name for field in dataclasses.fields(Agreement)}


def changed() -> dict[str, Agreement]:
    found = {
        name: dataclasses.replace(AGREED, **{name: AGREEMENT_CHANGES[name]}) for name in AGREEMENT_CHANGES
    }
    for name, value in SESSION_CHANGES.items():
        found[name] = dataclasses.replace(AGREED, session=dataclasses.replace(SESSION, **{name: value}))
    for name, value in PARAMS_CHANGES.items():
        session = dataclasses.replace(SESSION, params=dataclasses.replace(EVEN, **{name: value}))
        found[name] = dataclasses.replace(AGREED, session=session)
    return found


@pytest.mark.parametrize("name", sorted([*PARAMS_CHANGES, *SESSION_CHANGES, *AGREEMENT_CHANGES]))
def test_context_changes_with_any_single_field(name: str) -> None:
    assert changed()[name].context != AGREED.context


def test_contexts_of_all_changes_are_distinct_and_32_bytes() -> None:
    contexts = {AGREED.context, *(other.context for other in changed().values())}
    assert len(contexts) == 1 + len(changed())
    assert all(len(context) == 32 for context in contexts)


def test_context_changes_with_any_bit_of_a_digest() -> None:
    for name in ("cohort_digest", "model_digest", "config_digest"):
        value = getattr(AGREED, name)
        for at in range(256):
            flipped = bytearray(value)
            flipped[at // 8] ^= 1 << at % 8
            assert dataclasses.replace(AGREED, **{name: bytes(flipped)}).context != AGREED.context


def test_digests_are_not_interchangeable() -> None:
    swapped = dataclasses.replace(
        AGREED, model_digest=AGREED.config_digest, config_digest=AGREED.model_digest
    )
    assert swapped.context != AGREED.context


def test_context_is_the_same_for_equal_agreements() -> None:
    again = Agreement(
        Session(bytes(range(32)), 3, SecAggParams.from_bytes(EVEN.to_bytes())),
        8,
        b"c" * 32,
        b"m" * 32,
        b"t" * 32,
    )
    assert again == AGREED
    assert again.context == AGREED.context


def test_graph_seed_depends_on_the_session_and_on_all_keys() -> None:
    """Fixed only once all keys are: the server cannot choose neighbours after seeing the graph."""
    for name in ("identifier", "cohort_digest"):
        assert changed()[name].graph_seed != AGREED.graph_seed
    for name in ("model_digest", "config_digest"):
        assert changed()[name].graph_seed == AGREED.graph_seed


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 60), st.data())
def test_graph_is_complete_when_it_must_be_and_regular_otherwise(
    advertised: int, data: st.DataObject
) -> None:
    cohort = data.draw(st.integers(advertised, 60))
    neighbours = data.draw(degrees(cohort))
    made = SecAggParams(cohort, 2, neighbours, 3, 24, 0, 0)
    graph = made.graph(advertised, b"seed" * 8)
    for index in range(1, advertised + 1):
        peers = graph.neighbours(index)
        assert index not in peers
        assert list(peers) == sorted(set(peers))
        assert all(index in graph.neighbours(peer) for peer in peers)
        if neighbours in (cohort - 1, advertised - 1) or neighbours >= advertised - 1:
            assert peers == tuple(other for other in range(1, advertised + 1) if other != index)
        else:
            assert neighbours <= len(peers) <= neighbours + 1
