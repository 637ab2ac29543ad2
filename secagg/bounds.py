"""How many neighbours a client needs, and how many shares rebuild a secret, so that strangers suffice.

Decides: the smallest even number of neighbours k, and the smallest threshold t with it, for which a random k-regular
Harary graph (Bell et al., CCS 2020, section 3) is private and completes; the complete graph when no smaller one will
do; a refusal when not even that.
Refuses to know: who the neighbours are (`secagg.graph`), and what a share is (`secagg.shamir`).

Of n clients, C = floor(corrupt_fraction * n) work for the adversary and D = floor(dropout_fraction * n) vanish, both
fixed independently of the graph's seed. The graph is good when all of these hold (the events that Bell et al. ask of a
graph in section 3, and for an active server in section 4):

    connected   the graph stays connected without the corrupt and the dropped, so that the server learns
                one sum over all honest survivors and not sums over parts of them;
    private     curious: every client has X < t corrupt neighbours, who cannot rebuild its secrets;
                active: every client has X corrupt neighbours with 2t > k + X. The server may name a
                client a survivor to some and dropped to others; each honest neighbour then gives one
                share, of either secret, and t of each would be needed: k - X + 2X >= 2t;
    complete    every client has Y >= t surviving neighbours, so that its secret can be rebuilt.

The first two fail with probability below 2^-security_bits together, one half each; the third below
2^-correctness_bits. Each is a union bound over clients, or over pairs of gaps in the ring.

Shares. The bounds count k shares of a secret, one held by each *neighbour*; `neighbours` never counts the client
itself. Against a curious server a client may hold one share more, of its own self mask: only the server learns it, and
only when it should. Bounds leave it unused but for one case: Shamir's least threshold is 2, and where t = 1 would be
private, a survivor needs one surviving neighbour besides itself. Against an active server in a regular graph a client
must hold no share of its own: with k + 1 shares the rule is 2t > k + 1 + X, and t is one too small wherever k + X is
odd. In the complete graph, which is public knowledge and not random, every client holds one of n shares, and the rules
are those of Bonawitz et al. (CCS 2017): survivors >= t > C, against an active server 2t > n + C.
"""

import enum
import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

from arithmetic.errors import ParameterError
from secagg.graph import MOST_CLIENTS
from secagg.tails import least_excluded, most_guaranteed, tail_below

LEAST_COHORT = 3
LEAST_THRESHOLD = 2
_LEAST_BITS, _MOST_BITS = 8, 128
# A third of three clients is one of them, and 0.29 of 100 are 29, whatever floating point says.
_ROUNDING = 1e-14


class Adversary(enum.StrEnum):
    """What the server may do: look on, or lie about who dropped (semi-malicious in Bell et al.)."""

    CURIOUS = "curious"
    ACTIVE = "active"


@dataclass(frozen=True)
class GraphBounds:
    """A graph that is good enough.

    Attributes:
        neighbours: peers of every client, itself not counted: even, or `cohort - 1` (the complete graph).
        threshold: shares that rebuild a secret, 2..neighbours (..cohort in the complete graph).
    """

    neighbours: int
    threshold: int


@dataclass(frozen=True)
class _Demand:
    """Counts of clients, and the probabilities that the union bounds leave to one client."""

    clients: int
    corrupt: int
    dropped: int
    adversary: Adversary
    security_bits: int
    correctness_bits: int

    @property
    def survivors(self) -> int:
        return self.clients - self.dropped

    @property
    def event_bits(self) -> int:
        """Security of one of the two bad events."""
        return self.security_bits + 1

    @property
    def exposure(self) -> float:
        """Most probability of one client's secret in corrupt hands."""
        return 2.0**-self.event_bits / self.clients

    @property
    def failure(self) -> float:
        """Most probability of one client's secret being lost."""
        return 2.0**-self.correctness_bits / self.clients


def derive_graph(
    cohort: int,
    corrupt_fraction: float,
    dropout_fraction: float,
    adversary: Adversary,
    security_bits: int = 40,
    correctness_bits: int = 20,
) -> GraphBounds:
    """The fewest neighbours, and the lowest threshold with them, that meet the three conditions above.

    Args:
        cohort: clients n, 3..2^20.
        corrupt_fraction: of the clients that work for the adversary, [0, 1).
        dropout_fraction: of the clients that may vanish, [0, 1).
        adversary: what the server may do.
        security_bits: the sum is exposed with probability below 2^-security_bits, 8..128.
        correctness_bits: a session with so many dropouts fails with probability below
            2^-correctness_bits, 8..128.

    Raises:
        ParameterError: an argument out of range, or no graph at all will do; the message says what would.
    """
    check_whole("cohort", cohort, LEAST_COHORT, MOST_CLIENTS)
    check_whole("security-bits", security_bits, _LEAST_BITS, _MOST_BITS)
    check_whole("correctness-bits", correctness_bits, _LEAST_BITS, _MOST_BITS)
    corrupt = count_of("corrupt-fraction", corrupt_fraction, cohort)
    dropped = count_of("dropout-fraction", dropout_fraction, cohort)
    demand = _Demand(cohort, corrupt, dropped, Adversary(adversary), security_bits, correctness_bits)
    complete = _complete(demand)
    return _regular(demand) or complete


@lru_cache(maxsize=64)
def least_threshold(
    cohort: int, neighbours: int, colluders: int, adversary: Adversary, security_bits: int = 40
) -> int:
    """The lowest threshold that keeps a client's secrets from the server and `colluders` clients.

    Args:
        cohort: clients n.
        neighbours: of each; n - 1 is the complete graph, where nothing is left to chance.
        colluders: clients that work for the server, 0..n - 1.
        adversary: what the server may do.
        security_bits: in a regular graph the colluders' places are chance.
    """
    if neighbours == cohort - 1:
        return colluders + 1 if adversary is Adversary.CURIOUS else (cohort + colluders) // 2 + 1
    return _least_threshold(_Demand(cohort, colluders, 0, adversary, security_bits, _LEAST_BITS), neighbours)


def disconnection_bits(clients: int, missing: int, neighbours: int) -> float:
    """-log2 of a bound on the probability that a random Harary graph falls apart, larger is better.

    A ring in which everybody knows the k/2 next on either side falls apart only if two disjoint runs of
    k/2 clients in a row are missing, with somebody between them on both sides (Bell et al., section 3,
    Harary graphs). There are n (n - k - 1) / 2 such pairs of runs, and each is missing with probability
    (m)_k / (n)_k (falling factorials).

    Args:
        clients: n, the size of the ring.
        missing: m, corrupt and dropped clients, 0..n.
        neighbours: k, even, 2..n - 2.
    """
    if neighbours > missing:
        return math.inf
    pairs = math.log(clients) + math.log(clients - neighbours - 1) - math.log(2)
    both_missing = (
        math.lgamma(missing + 1)
        - math.lgamma(missing - neighbours + 1)
        - math.lgamma(clients + 1)
        + math.lgamma(clients - neighbours + 1)
    )
    return -(pairs + both_missing) / math.log(2)


def _regular(demand: _Demand) -> GraphBounds | None:
    """The smallest even k < n - 1 that works; None when none does."""
    degrees = range(2, demand.clients - 1, 2)
    missing = demand.corrupt + demand.dropped
    # The bound grows with k, so bisection finds the first degree that is connected enough.
    position = bisect_left(
        degrees,
        True,
        key=lambda k: disconnection_bits(demand.clients, missing, k) > demand.event_bits,
    )
    while position < len(degrees):
        neighbours = degrees[position]
        threshold = _least_threshold(demand, neighbours)
        lacking = threshold - _most_threshold(demand, neighbours, threshold)
        if lacking <= 0:
            return GraphBounds(neighbours, max(LEAST_THRESHOLD, threshold))
        position += _steps(demand.adversary, lacking)
    return None


def _steps(adversary: Adversary, lacking: int) -> int:
    """How many degrees can be passed over when the thresholds that are private and complete lie apart.

    Two more neighbours add at most two survivors. They never lower the least private threshold, which
    grows by at least one with them against an active server; so the gap closes by at most two, or one.
    """
    return lacking if adversary is Adversary.ACTIVE else (lacking + 1) // 2


def _least_threshold(demand: _Demand, neighbours: int) -> int:
    """The lowest t that is private.

    A client drawn at random and its neighbours are a random sequence of distinct clients, so summed over
    all clients, P[X >= t] is exactly n times the tail of k draws from all n. Honest clients are some of
    them: the union bound over these is below that.
    """
    excluded = least_excluded(demand.clients, demand.corrupt, neighbours, demand.exposure)
    if demand.adversary is Adversary.CURIOUS:
        return excluded
    # Corrupt neighbours are at most excluded - 1: the least t with 2t > k + that.
    return (neighbours + excluded - 1) // 2 + 1


def _most_threshold(demand: _Demand, neighbours: int, threshold: int) -> int:
    """The highest t that completes, by the same union bound, now exact."""
    if threshold < LEAST_THRESHOLD:
        return threshold if _own_share_completes(demand, neighbours) else threshold - 1
    return most_guaranteed(demand.clients, demand.survivors, neighbours, demand.failure)


def _own_share_completes(demand: _Demand, neighbours: int) -> bool:
    """Whether t = 2 completes when survivors hold a share of their own self mask.

    Survivors then need one surviving neighbour of k among the other n - 1 clients, the dropped two.
    """
    others, survivors, dropped = demand.clients - 1, demand.survivors, demand.dropped
    lost = survivors * tail_below(others, survivors - 1, neighbours, LEAST_THRESHOLD - 1)
    if dropped:
        lost += dropped * tail_below(others, survivors, neighbours, LEAST_THRESHOLD)
    return lost < 2.0**-demand.correctness_bits


def _complete(demand: _Demand) -> GraphBounds:
    """The complete graph, where nothing is left to chance.

    There the threshold is also the least number of survivors, so t >= C + 2: a sum over a single honest
    client hides nothing. Otherwise floor(2n/3) + 1 (Bonawitz et al., section 6.2), or what survives.

    Raises:
        ParameterError: fewer survivors than any private threshold. No regular graph will do then either:
            the mean of 2Y - X is at most k, where an active server asks for 2Y - X > k almost surely.
    """
    clients, corrupt = demand.clients, demand.corrupt
    required = corrupt + 2
    if demand.adversary is Adversary.ACTIVE:
        required = max(required, (clients + corrupt) // 2 + 1)
    if required > demand.survivors:
        raise ParameterError(_advice(demand, required))
    usual = 2 * clients // 3 + 1
    return GraphBounds(clients - 1, min(demand.survivors, max(required, usual)))


def _advice(demand: _Demand, required: int) -> str:
    """What happened, why, and which fractions would work."""
    clients, corrupt, dropped = demand.clients, demand.corrupt, demand.dropped
    ways = []
    if required <= clients:
        ways.append(f"dropout-fraction to {_decimal(clients - required, clients)}")
    tolerated = demand.survivors - 2
    if demand.adversary is Adversary.ACTIVE:
        tolerated = min(tolerated, clients - 2 * dropped - 1)
    if tolerated >= 0:
        ways.append(f"corrupt-fraction to {_decimal(tolerated, clients)}")
    ways = ways or ["both fractions"]
    return (
        f"of {clients} clients {corrupt} may be corrupt and {dropped} may drop out: against a server that is "
        f"{demand.adversary} {required} must survive and {demand.survivors} do, so no threshold is both "
        f"private and reachable; lower {' or '.join(ways)}"
    )


def _decimal(count: int, clients: int) -> str:
    """A fraction of at most `count` of the clients, rounded down to four places."""
    return f"{count * 10**4 // clients / 10**4:.4f}"


def count_of(name: str, fraction: float, clients: int) -> int:
    """Whole clients in a fraction of them; 0.29 of 100 is 29, whatever binary makes of 0.29.

    Raises:
        ParameterError: `fraction` is not in [0, 1); `name` says which.
    """
    if not 0 <= fraction < 1:
        raise ParameterError(f"{name} = {fraction} is no fraction; choose a number from 0 to below 1")
    return math.floor((fraction + _ROUNDING) * clients)


def check_whole(name: str, value: int, least: int, most: int) -> None:
    """Refuse what is no whole number from `least` to `most`.

    Raises:
        ParameterError: it is not; `name` says which.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ParameterError(
            f"{name} = {value} cannot work here; choose a whole number from {least} to {most}"
        )
