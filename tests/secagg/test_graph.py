"""The graph: symmetric, regular, connected, the same everywhere, and without favourites."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from arithmetic.errors import ParameterError
from secagg.graph import MOST_CLIENTS, SEED_BYTES, Graph

SEED = bytes(range(32))
EIGHT_CLIENTS = {1: (5, 8), 2: (3, 4), 3: (2, 6), 4: (2, 7), 5: (1, 6), 6: (3, 5), 7: (4, 8), 8: (1, 7)}
TEN_THOUSAND_CLIENTS = "7dcc1256effd5223f69a7782c719595e1e517bb907c644b728b7621e6e8a6e02"


def lists(graph: Graph) -> dict[int, tuple[int, ...]]:
    return {index: graph.neighbours(index) for index in range(1, graph.n + 1)}


def seeds(number: int) -> Iterator[bytes]:
    return (hashlib.sha256(i.to_bytes(4, "big")).digest() for i in range(number))


@st.composite
def regular_graphs(draw: st.DrawFn) -> Graph:
    n = draw(st.integers(4, 80))
    k = draw(st.integers(2, n - 2))
    assume(k % 2 == 0 or n % 2 == 0)
    return Graph.random_regular(n, k, draw(st.binary(min_size=SEED_BYTES, max_size=SEED_BYTES)))


@given(regular_graphs())
def test_every_client_has_k_distinct_neighbours(graph: Graph) -> None:
    for index, peers in lists(graph).items():
        assert len(peers) == graph.k
        assert list(peers) == sorted(set(peers))
        assert index not in peers
        assert set(peers) <= set(range(1, graph.n + 1))
        assert all(type(peer) is int for peer in peers)


@given(regular_graphs())
def test_neighbours_know_each_other(graph: Graph) -> None:
    peers = lists(graph)
    assert all(index in peers[peer] for index in peers for peer in peers[index])


@given(regular_graphs(), st.data())
def test_no_k_minus_one_dropouts_disconnect_it(graph: Graph, data: st.DataObject) -> None:
    """A Harary graph is k-connected: losing any k - 1 clients leaves the others connected."""
    everybody = st.integers(1, graph.n)
    missing = data.draw(st.sets(everybody, min_size=graph.k - 1, max_size=graph.k - 1))
    # The hardest case is all but one of somebody's neighbours.
    cornered = set(graph.neighbours(data.draw(everybody))[1:])
    for gone in (missing, cornered):
        peers = {index: set(near) - gone for index, near in lists(graph).items() if index not in gone}
        reached, todo = set(), [min(peers)]
        while todo:
            index = todo.pop()
            if index not in reached:
                reached.add(index)
                todo.extend(peers[index])
        assert reached == set(peers)


@pytest.mark.parametrize("n", [2, 3, 7])
def test_complete(n: int) -> None:
    graph = Graph.complete(n)
    assert graph.is_complete
    assert graph.k == n - 1
    for index, peers in lists(graph).items():
        assert peers == tuple(peer for peer in range(1, n + 1) if peer != index)


def test_fewer_clients_than_planned() -> None:
    """The degree stays as planned while it can; then everybody knows everybody."""
    for n in range(12, 7, -1):
        graph = Graph.random_regular(n, 6, SEED)
        assert not graph.is_complete
        assert {len(peers) for peers in lists(graph).values()} == {6}
    for n in range(7, 1, -1):
        assert Graph.random_regular(n, 6, SEED) == Graph.complete(n)


def test_the_order_is_fixed_for_good() -> None:
    """A change here makes clients of two versions disagree about their neighbours."""
    assert lists(Graph.random_regular(8, 2, SEED)) == EIGHT_CLIENTS
    large = Graph.random_regular(10_000, 86, SEED)
    digest = hashlib.sha256(repr(sorted(lists(large).items())).encode()).hexdigest()
    assert digest == TEN_THOUSAND_CLIENTS


def test_the_order_is_the_documented_one() -> None:
    """Recomputed with integers and a plain sort, as any other language would."""
    n, k = 57, 8
    stream = hashlib.shake_256(b"chorus graph order 1" + SEED + n.to_bytes(4, "big") + bytes(4)).digest(8 * n)
    words = {i + 1: int.from_bytes(stream[8 * i : 8 * i + 8], "big") for i in range(n)}
    circle = sorted(words, key=lambda client: words[client])
    graph = Graph.random_regular(n, k, SEED)
    for place, client in enumerate(circle):
        near = {circle[(place + step) % n] for step in (-4, -3, -2, -1, 1, 2, 3, 4)}
        assert graph.neighbours(client) == tuple(sorted(near))


def test_odd_degrees_know_whoever_stands_opposite() -> None:
    even, odd = (Graph.random_regular(20, k, SEED) for k in (4, 5))
    extra = {index: set(odd.neighbours(index)) - set(even.neighbours(index)) for index in range(1, 21)}
    assert all(set(even.neighbours(index)) < set(odd.neighbours(index)) for index in extra)
    opposite = {index: peer for index, (peer,) in extra.items()}
    assert all(opposite[opposite[index]] == index for index in opposite)


def test_equal_words_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the first attempt's words all alike, the second attempt's order counts."""
    true_shake, prefixes = hashlib.shake_256, []

    class Clashing:
        def __init__(self, prefix: bytes) -> None:
            self.prefix = prefix
            prefixes.append(prefix)

        def digest(self, size: int) -> bytes:
            return bytes(size) if len(prefixes) == 1 else true_shake(self.prefix).digest(size)

    monkeypatch.setattr(hashlib, "shake_256", Clashing)
    seed = b"a seed that no other test is using"[:SEED_BYTES]
    Graph.random_regular(30, 4, seed).neighbours(1)
    assert [prefix[-4:] for prefix in prefixes] == [bytes(4), bytes((0, 0, 0, 1))]


def test_different_seeds_and_sizes_give_different_graphs() -> None:
    first = [tuple(lists(Graph.random_regular(50, 4, seed)).values()) for seed in seeds(200)]
    assert len(set(first)) == 200
    shrunk = lists(Graph.random_regular(49, 4, SEED))
    grown = lists(Graph.random_regular(50, 4, SEED))
    kept = sum(shrunk[index] == grown[index] for index in shrunk)
    assert kept < 5, "one client fewer must not leave the circle as it was"


def test_every_pair_is_equally_likely() -> None:
    """Chi-squared over all pairs, 20 clients and 3,000 seeds; a favoured pair would stand out."""
    n, k, draws = 20, 4, 3000
    pairs: Counter[tuple[int, int]] = Counter()
    for seed in seeds(draws):
        pairs.update(
            (i, j) for i, near in lists(Graph.random_regular(n, k, seed)).items() for j in near if i < j
        )
    cells = n * (n - 1) // 2
    expected = draws * n * k / 2 / cells
    assert len(pairs) == cells
    statistic = sum((seen - expected) ** 2 / expected for seen in pairs.values())
    # 190 cells; the cells of one graph repel each other, so the variance is below the multinomial one.
    assert statistic < 300


def test_circle_order_is_uniform() -> None:
    """Four clients stand in one of three circles up to rotation and reflection: each a third of the time."""
    draws = 6000
    opposite = Counter(
        next(j for j in (2, 3, 4) if j not in Graph.random_regular(4, 2, seed).neighbours(1))
        for seed in seeds(draws)
    )
    # Five standard deviations of a binomial with p = 1/3.
    assert all(abs(opposite[j] - draws / 3) < 5 * (draws * 2 / 9) ** 0.5 for j in (2, 3, 4))


def test_canonical_bytes() -> None:
    assert Graph.complete(5).to_bytes() == bytes.fromhex("00 00000005 00000004")
    assert Graph.random_regular(9, 4, SEED).to_bytes() == bytes.fromhex("01 00000009 00000004") + SEED


@given(regular_graphs(), regular_graphs())
def test_bytes_are_equal_exactly_for_equal_graphs(left: Graph, right: Graph) -> None:
    assert (left.to_bytes() == right.to_bytes()) == (left == right)
    assert left.to_bytes() != Graph.complete(left.n).to_bytes()


def test_a_large_cohort_is_fast() -> None:
    graph = Graph.random_regular(10_000, 86, hashlib.sha256(b"fresh").digest())
    started = time.perf_counter()
    assert len(lists(graph)) == 10_000
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("n", "k", "seed"),
    [
        (1, 2, SEED),
        (MOST_CLIENTS + 1, 4, SEED),
        (10, 1, SEED),
        (10, 0, SEED),
        (10, -2, SEED),
        (9, 3, SEED),
        (10, 4, b""),
        (10, 4, SEED[:31]),
        (10, 4, SEED + b"\x00"),
    ],
)
def test_no_such_graph(n: int, k: int, seed: bytes) -> None:
    with pytest.raises(ParameterError):
        Graph.random_regular(n, k, seed)


@pytest.mark.parametrize("k", [9, 10])
def test_only_one_object_stands_for_the_complete_graph(k: int) -> None:
    with pytest.raises(ParameterError):
        Graph(10, k, SEED)


@pytest.mark.parametrize("index", [0, -1, 11])
def test_no_such_client(index: int) -> None:
    for graph in (Graph.complete(10), Graph.random_regular(10, 4, SEED)):
        with pytest.raises(ParameterError):
            graph.neighbours(index)
