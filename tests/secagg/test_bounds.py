"""Neighbours and threshold: the published table, exact arithmetic, and every placing of small cohorts."""

import csv
import math
from fractions import Fraction
from functools import cache
from itertools import combinations
from math import comb, inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arithmetic.errors import ParameterError
from secagg.bounds import Adversary, GraphBounds, derive_graph, disconnection_bits, least_threshold
from secagg.tails import least_excluded, most_guaranteed, tail_below

CURIOUS, ACTIVE = Adversary.CURIOUS, Adversary.ACTIVE
TABLE = Path(__file__).resolve().parents[3] / "shared" / "data" / "graph_parameters.csv"

# A part of the table, so that a bare clone tests something: cohort, corrupt, dropped, server, k, t.
PUBLISHED = [
    (10, 0.0, 0.33, CURIOUS, 4, 2),
    (10, 0.0, 0.33, ACTIVE, 8, 5),
    (10, 0.33, 0.05, ACTIVE, 4, 4),
    (100, 0.05, 0.05, ACTIVE, 16, 11),
    (100, 0.33, 0.33, CURIOUS, 68, 34),
    (1000, 0.0, 0.0, CURIOUS, 2, 2),
    (1000, 0.05, 0.33, CURIOUS, 72, 24),
    (1000, 0.3, 0.3, ACTIVE, 872, 584),
    (10000, 0.33, 0.05, ACTIVE, 178, 146),
    (100000, 0.33, 0.0, ACTIVE, 46, 45),
    (1000000, 0.05, 0.33, ACTIVE, 970, 545),
    (1000000, 0.3, 0.3, ACTIVE, 11136, 7454),
    (1000000, 0.45, 0.45, CURIOUS, 6240, 3156),
]


@pytest.mark.parametrize(("cohort", "corrupt", "dropped", "adversary", "k", "t"), PUBLISHED)
def test_published_parameters(
    cohort: int, corrupt: float, dropped: float, adversary: Adversary, k: int, t: int
) -> None:
    assert derive_graph(cohort, corrupt, dropped, adversary) == GraphBounds(k, t)


def test_every_row_of_the_published_table() -> None:
    if not TABLE.exists():
        pytest.skip("../shared/data/graph_parameters.csv is not here; only the embedded rows are checked")
    with TABLE.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == 59
    for row in rows:
        adversary = ACTIVE if row["adversary"] == "semi-malicious" else Adversary(row["adversary"])
        fractions = float(row["corrupt_fraction"]), float(row["dropout_fraction"])
        found = derive_graph(int(row["clients"]), *fractions, adversary)
        assert found == GraphBounds(int(row["neighbours"]), int(row["threshold_at_most"])), row


def test_the_figures_of_the_design() -> None:
    assert derive_graph(1000, 0.05, 0.33, ACTIVE) == GraphBounds(398, 223)


# --- tails against exact fractions ------------------------------------------------------------------


@cache
def exact_tail(population: int, marked: int, drawn: int, value: int) -> Fraction:
    """P[X < value] by counting."""
    ways = sum(comb(marked, x) * comb(population - marked, drawn - x) for x in range(min(value, drawn + 1)))
    return Fraction(ways, comb(population, drawn))


def test_tails_are_exact_for_every_small_urn() -> None:
    for population in range(1, 13):
        for marked in range(population + 1):
            for drawn in range(population + 1):
                for value in range(-1, drawn + 3):
                    exact = float(exact_tail(population, marked, drawn, value))
                    found = tail_below(population, marked, drawn, value)
                    assert found == pytest.approx(exact, rel=1e-12), (population, marked, drawn, value)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_far_tails_keep_their_relative_accuracy(data: st.DataObject) -> None:
    population = data.draw(st.integers(100, 1500))
    marked, drawn = (data.draw(st.integers(1, population - 1)) for _ in range(2))
    value = data.draw(st.integers(0, drawn + 1))
    exact = exact_tail(population, marked, drawn, value)
    if exact == 0 or exact > Fraction(1, 2**900):
        assert tail_below(population, marked, drawn, value) == pytest.approx(float(exact), rel=1e-9, abs=0)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_quantiles_are_the_exact_ones(data: st.DataObject) -> None:
    population = data.draw(st.integers(1, 250))
    marked, drawn = (data.draw(st.integers(0, population)) for _ in range(2))
    # Never equal to a tail in these urns, so that rounding cannot decide.
    probability = Fraction(0.7310585786300049 * 2.0 ** -data.draw(st.integers(0, 150)))
    guaranteed = most_guaranteed(population, marked, drawn, float(probability))
    excluded = least_excluded(population, marked, drawn, float(probability))
    assert 0 <= guaranteed <= drawn
    assert 1 <= excluded <= drawn + 1
    assert exact_tail(population, marked, drawn, guaranteed) < probability
    assert exact_tail(population, marked, drawn, guaranteed + 1) >= probability
    assert 1 - exact_tail(population, marked, drawn, excluded) < probability
    assert 1 - exact_tail(population, marked, drawn, excluded - 1) >= probability


def test_a_probability_that_is_just_reached_is_too_much() -> None:
    assert most_guaranteed(2, 1, 1, 0.5) == 0
    assert least_excluded(2, 1, 1, 0.5) == 2


def test_a_quantile_of_a_million_clients_is_the_exact_one() -> None:
    clients, corrupt, neighbours, threshold = 10**6, 330_000, 110, 83
    bound = Fraction(1, 2**41 * clients)
    assert least_excluded(clients, corrupt, neighbours, float(bound)) == threshold
    assert 1 - exact_tail(clients, corrupt, neighbours, threshold) < bound
    assert 1 - exact_tail(clients, corrupt, neighbours, threshold - 1) >= bound


# --- the search against a plain one -----------------------------------------------------------------


def plain_search(
    n: int, corrupt: int, dropped: int, adversary: Adversary, security: int, correctness: int
) -> GraphBounds | None:
    """Every even degree in turn and every threshold, in exact fractions; None where only all of n may do."""
    for k in range(2, n - 1, 2):
        missing = corrupt + dropped
        pairs = Fraction(n * (n - k - 1), 2)
        if pairs * Fraction(comb(missing, k), comb(n, k)) >= Fraction(1, 2 ** (security + 1)):
            continue
        exposed = [n * (1 - exact_tail(n, corrupt, k, x)) for x in range(k + 2)]
        most_corrupt = min(x for x in range(k + 1) if exposed[x + 1] < Fraction(1, 2 ** (security + 1)))
        for t in range(2, k + 1):
            private = 2 * t > k + most_corrupt if adversary is ACTIVE else t > most_corrupt
            lost = n * exact_tail(n, n - dropped, k, t)
            if t == 2 and most_corrupt == 0 and adversary is CURIOUS:
                lost = (n - dropped) * exact_tail(n - 1, n - dropped - 1, k, 1)
                lost += dropped * exact_tail(n - 1, n - dropped, k, 2) if dropped else 0
            if private and lost < Fraction(1, 2**correctness):
                return GraphBounds(k, t)
    return None


@pytest.mark.parametrize("adversary", list(Adversary))
@pytest.mark.parametrize(("security", "correctness"), [(8, 8), (16, 10), (40, 20), (8, 40)])
def test_the_search_skips_nothing(adversary: Adversary, security: int, correctness: int) -> None:
    regular = 0
    for n in (5, 9, 10, 14, 25, 40, 71):
        for corrupt in {0, 1, n // 10, n // 4, n // 3}:
            for dropped in {0, 1, n // 10, n // 4, n // 3}:
                if n <= (corrupt + 2 * dropped if adversary is ACTIVE else corrupt + dropped + 1):
                    continue
                fractions = (corrupt + 0.5) / n, (dropped + 0.5) / n
                found = derive_graph(n, *fractions, adversary, security, correctness)
                plain = plain_search(n, corrupt, dropped, adversary, security, correctness)
                assert plain in (found, None), (n, corrupt, dropped)
                assert plain or found.neighbours == n - 1
                regular += plain is not None
    assert regular > 30


# --- what the conditions promise, in every placing of a small cohort ---------------------------------


def ring(n: int, k: int) -> list[int]:
    """Of each client on the circle, its neighbours as a bit mask."""
    steps = [step for step in range(-(k // 2), k // 2 + 1) if step]
    return [sum(1 << (i + step) % n for step in steps) for i in range(n)]


def placings(n: int, size: int) -> list[int]:
    return [sum(1 << i for i in chosen) for chosen in combinations(range(n), size)]


def is_connected(peers: list[int], present: int) -> bool:
    reached, fresh = 0, present & -present
    while fresh:
        reached |= fresh
        near = 0
        while fresh:
            near |= peers[fresh.bit_length() - 1]
            fresh ^= 1 << fresh.bit_length() - 1
        fresh = near & present & ~reached
    return reached == present


def share(bad: list[bool]) -> Fraction:
    return Fraction(sum(bad), len(bad))


@pytest.mark.parametrize(
    ("n", "corrupt", "dropped", "adversary"),
    [
        (10, 3, 3, CURIOUS),
        (10, 0, 3, CURIOUS),  # a row of the table; only a survivor's own share completes it
        (18, 0, 5, CURIOUS),
        (12, 2, 3, ACTIVE),
        (14, 5, 1, ACTIVE),
        (16, 3, 3, ACTIVE),
        (23, 6, 0, CURIOUS),  # some placings do expose a client, and some do split the graph
    ],
)
def test_bad_placings_are_as_rare_as_promised(
    n: int, corrupt: int, dropped: int, adversary: Adversary
) -> None:
    security, correctness = 8, 8
    bounds = derive_graph(n, (corrupt + 0.5) / n, (dropped + 0.5) / n, adversary, security, correctness)
    k, t = bounds.neighbours, bounds.threshold
    assert k < n - 1
    peers, everybody = ring(n, k), (1 << n) - 1

    def is_exposed(client: int, bad: int) -> bool:
        colluders = (peers[client] & bad).bit_count()
        honest = k - colluders
        # A lying server splits the honest neighbours between the two secrets as it likes.
        lies = range(honest + 1) if adversary is ACTIVE else [0]
        rebuilt = any(colluders + a >= t and colluders + honest - a >= t for a in lies)
        return rebuilt if adversary is ACTIVE else colluders >= t

    def is_lost(client: int, gone: int) -> bool:
        # Only where t would be 1 may a survivor need the share of its own.
        own = t == 2 and corrupt == 0 and not gone >> client & 1
        return (peers[client] & ~gone).bit_count() + own < t

    exposed = share([
        any(is_exposed(i, bad) for i in range(n) if not bad >> i & 1) for bad in placings(n, corrupt)
    ])  # fmt: skip
    split = share([not is_connected(peers, everybody & ~gone) for gone in placings(n, corrupt + dropped)])
    lost = share([any(is_lost(i, gone) for i in range(n)) for gone in placings(n, dropped)])
    assert exposed + split < Fraction(1, 2**security)
    assert lost < Fraction(1, 2**correctness)


@pytest.mark.parametrize(("n", "k", "missing"), [(10, 2, 3), (10, 4, 5), (11, 4, 6), (12, 6, 7), (13, 4, 4)])
def test_the_union_bound_covers_every_split(n: int, k: int, missing: int) -> None:
    peers, everybody = ring(n, k), (1 << n) - 1
    actual = share([not is_connected(peers, everybody & ~gone) for gone in placings(n, missing)])
    assert 0 < actual <= 2 ** -disconnection_bits(n, missing, k) * (1 + 1e-12)


def test_the_union_bound_is_exact_where_only_two_gaps_fit() -> None:
    bound = Fraction(13 * 8, 2) / comb(13, 4)
    assert 2 ** -disconnection_bits(13, 4, 4) == pytest.approx(float(bound), rel=1e-12)
    assert disconnection_bits(13, 3, 4) == inf


# --- monotony -----------------------------------------------------------------------------------------


def degree(
    n: int,
    corrupt: int,
    dropped: int,
    adversary: Adversary = CURIOUS,
    security: int = 20,
    correctness: int = 12,
) -> float:
    """Neighbours needed; infinite where nothing will do."""
    try:
        return derive_graph(
            n, (corrupt + 0.5) / n, (dropped + 0.5) / n, adversary, security, correctness
        ).neighbours
    except ParameterError:
        return inf


@settings(max_examples=150, deadline=None)
@given(
    st.integers(5, 3000), st.floats(0, 0.6), st.floats(0, 0.6), st.sampled_from(Adversary), st.integers(8, 60)
)
def test_whoever_asks_for_more_gets_no_fewer_neighbours(
    n: int, corrupt: float, dropped: float, adversary: Adversary, bits: int
) -> None:
    worse, gone = int(corrupt * n), int(dropped * n)
    base = degree(n, worse, gone, adversary, bits, bits)
    assert degree(n, min(worse + 1, n - 1), gone, adversary, bits, bits) >= base
    assert degree(n, worse, min(gone + 1, n - 1), adversary, bits, bits) >= base
    assert degree(n, worse, gone, adversary, bits + 1, bits) >= base
    assert degree(n, worse, gone, adversary, bits, bits + 1) >= base
    assert degree(n, worse, gone, ACTIVE, bits, bits) >= base


@settings(max_examples=100, deadline=None)
@given(st.integers(3, 5000), st.floats(0, 0.95), st.floats(0, 0.95), st.sampled_from(Adversary))
def test_a_result_can_be_used(n: int, corrupt: float, dropped: float, adversary: Adversary) -> None:
    try:
        bounds = derive_graph(n, corrupt, dropped, adversary)
    except ParameterError:
        return
    dead, foes = (math.floor((fraction + 1e-14) * n) for fraction in (dropped, corrupt))
    complete = bounds.neighbours == n - 1
    assert complete or (bounds.neighbours % 2 == 0 and 2 <= bounds.neighbours <= n - 2)
    assert 2 <= bounds.threshold <= (n - dead if complete else bounds.neighbours)
    if adversary is ACTIVE:
        assert 2 * bounds.threshold > (n + foes if complete else bounds.neighbours)


# --- refusals -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cohort", "corrupt", "dropped", "adversary"),
    [
        (10, 0.5, 0.5, CURIOUS),
        (1000, 0.5, 0.5, CURIOUS),
        (1000, 0.33, 0.34, ACTIVE),
        (1000, 0.0, 0.5, ACTIVE),
        (1_000_000, 0.9, 0.2, ACTIVE),
        (3, 0.34, 0.34, CURIOUS),
    ],
)
def test_impossible_demands_are_refused_with_fractions_that_work(
    cohort: int, corrupt: float, dropped: float, adversary: Adversary
) -> None:
    with pytest.raises(ParameterError, match="lower ") as refused:
        derive_graph(cohort, corrupt, dropped, adversary)
    advice = str(refused.value).split("lower ")[1]
    assert "\n" not in str(refused.value)
    for way in advice.split(" or "):
        name, fraction = way.split(" to ")
        changed = {
            "corrupt-fraction": (float(fraction), dropped),
            "dropout-fraction": (corrupt, float(fraction)),
        }
        derive_graph(cohort, *changed[name], adversary)


def test_the_least_honest_are_two() -> None:
    """A sum over one honest client is its input."""
    assert derive_graph(10, 0.4, 0.4, CURIOUS).threshold >= 6
    with pytest.raises(ParameterError):
        derive_graph(10, 0.5, 0.4, CURIOUS)


@pytest.mark.parametrize(("corrupt", "clients", "count"), [(0.29, 100, 29), (1 / 3, 3, 1), (0.3299, 100, 32)])
def test_fractions_mean_what_they_say(corrupt: float, clients: int, count: int) -> None:
    """0.29 * 100 is 28.999999999999996 in floating point."""
    with pytest.raises(ParameterError, match=rf"of {clients} clients {count} may be corrupt"):
        derive_graph(clients, corrupt, 0.99, CURIOUS)


@pytest.mark.parametrize(
    "arguments",
    [
        (2, 0.1, 0.1, CURIOUS, 40, 20),
        (2**20 + 1, 0.1, 0.1, CURIOUS, 40, 20),
        (True, 0.1, 0.1, CURIOUS, 40, 20),
        (10.5, 0.1, 0.1, CURIOUS, 40, 20),
        (100, -0.1, 0.1, CURIOUS, 40, 20),
        (100, 0.1, 1.0, CURIOUS, 40, 20),
        (100, float("nan"), 0.1, CURIOUS, 40, 20),
        (100, 0.1, 0.1, CURIOUS, 7, 20),
        (100, 0.1, 0.1, CURIOUS, 40, 129),
    ],
)
def test_arguments_out_of_range(arguments: tuple[int, float, float, Adversary, int, int]) -> None:
    with pytest.raises(ParameterError):
        derive_graph(*arguments)


def test_small_cohorts_fall_back_to_the_complete_graph() -> None:
    assert derive_graph(3, 0.0, 0.0, CURIOUS) == GraphBounds(2, 3)
    assert derive_graph(9, 0.23, 0.34, ACTIVE) == GraphBounds(8, 6)


@pytest.mark.parametrize("clients", range(3, 20))
def test_the_least_threshold_of_a_complete_graph_is_the_least_that_holds(clients: int) -> None:
    """Curious: t > C. Active: of n shares each colluder gives both kinds, so 2t > n + C."""
    for colluders in range(clients):
        assert least_threshold(clients, clients - 1, colluders, CURIOUS) == colluders + 1
        found = least_threshold(clients, clients - 1, colluders, ACTIVE)
        assert 2 * found > clients + colluders >= 2 * (found - 1)


@pytest.mark.parametrize(("clients", "neighbours"), [(12, 4), (20, 10), (30, 12)])
def test_the_least_threshold_of_a_regular_graph_is_exceeded_as_rarely_as_promised(
    clients: int, neighbours: int
) -> None:
    """P[X = x] of x colluders among k neighbours, by counting: at t the bad event is rare, at t - 1 it is not."""
    security = 8
    for colluders in range(clients // 3):
        for adversary in Adversary:
            found = least_threshold(clients, neighbours, colluders, adversary, security)
            bad = [
                sum(
                    Fraction(
                        comb(colluders, x) * comb(clients - colluders, neighbours - x),
                        comb(clients, neighbours),
                    )
                    for x in range(neighbours + 1)
                    if (x >= t if adversary is CURIOUS else 2 * t <= neighbours + x)
                )
                for t in (found, found - 1)
            ]
            most = Fraction(1, 2 ** (security + 1) * clients)
            assert bad[0] < most <= bad[1], (colluders, adversary)
