"""What a seed stands for: the parameters of its sessions, its clients and the faults that they meet.

Decides: which settings are drawn and how often. Refuses to know: what comes of them.
"""

from dataclasses import dataclass
from functools import lru_cache
from random import Random

from secagg.bounds import Adversary, least_threshold
from secagg.errors import ParameterError
from secagg.params import SecAggParams
from secagg.roster import Member, Roster
from secagg.signatory import Signatory
from tests.simulator.faults import BENIGN, TAMPERING, Fault
from tests.support.cohort import signing_key

CURIOUS, ACTIVE = Adversary
# Identifiers of nodes are not indices: they are large and out of order.
NODES = (977, 31, 10**18, 5, 400, 2**61, 12, 88, 7 * 10**9, 3, 64, 2**40 + 1)
DAY = 86400.0
ROSTER_LASTS = 10 * DAY
SCALARS = 3
_SIZES = (*(3,) * 3, *(4,) * 7, *(5,) * 6, *(6,) * 6, 7, 8, 8, 10, 12)
_BITS = (13, 16, 24, 24, 32, 40, 64)
_SPARSE = 0.4  # of cohorts that are large enough


@dataclass(frozen=True)
class Setting:
    """What stays the same under a seed.

    Attributes:
        clients: identifiers.
        kinds: of faults that strike; `rate`: how often.
        sessions: under faults; two more follow without.
        least: the clients' own policy of the smallest sum.
    """

    params: SecAggParams
    clients: tuple[int, ...]
    kinds: frozenset[Fault]
    rate: float
    sessions: int
    least: int

    def __str__(self) -> str:
        params, faults = self.params, ", ".join(sorted(fault.name for fault in self.kinds))
        return (
            f"{params.cohort} clients, {params.adversary}, threshold {params.threshold}, "
            f"{params.neighbours} neighbours, {params.min_survivors} survivors at least, {params.modulus_bits} bits; "
            f"{self.sessions} sessions under {faults or 'no faults'}, {self.rate:g} each"
        )

    @property
    def is_benign(self) -> bool:
        """Whether nothing that is delivered says anything else than what was sent."""
        return not self.kinds & set(TAMPERING)


def drawn(chance: Random) -> Setting:
    """A setting: half of them benign, many with faults of one kind, that sessions come far under."""
    params = drawn_params(chance)
    kinds = set(chance.sample(BENIGN, 1)) if chance.random() < 0.4 else drawn_kinds(chance, BENIGN)
    rates: tuple[float, ...] = (0.01, 0.03, 0.03, 0.1)
    if chance.random() < 0.5:
        kinds, rates = (
            (set(chance.sample(TAMPERING, 1)), (0.02, 0.05))
            if chance.random() < 0.5
            else (kinds | drawn_kinds(chance, TAMPERING), rates)
        )
    sessions, least = chance.choice((1, 1, 2, 3)), params.min_survivors
    return Setting(params, NODES[: params.cohort], frozenset(kinds), chance.choice(rates), sessions, least)


def drawn_kinds(chance: Random, kinds: tuple[Fault, ...]) -> set[Fault]:
    """Some of them."""
    return {fault for fault in kinds if chance.random() < 0.5}


def drawn_params(chance: Random, adversary: Adversary | None = None, colluders: int = 0) -> SecAggParams:
    """Parameters that can work together: complete and sparse graphs, curious and active servers."""
    while True:
        size, bits = chance.choice([size for size in _SIZES if size > 2 * colluders]), chance.choice(_BITS)
        kind = adversary or chance.choice((CURIOUS, ACTIVE))
        lengths = (bits, size + 1 + chance.choice((0, 1, 5)), SCALARS)
        sparse = size >= 6 and chance.random() < _SPARSE
        neighbours = chance.choice([k for k in (2, 4, 6, 8) if k < size - 1]) if sparse else size - 1
        lowest = max(2, least_threshold(size, neighbours, colluders, kind))
        if lowest > neighbours + 1:
            continue
        threshold = min(chance.randint(lowest, neighbours + 1) for _ in range(2))
        least = min(chance.randint(3, size) for _ in range(2)) if sparse else max(3, threshold)
        try:
            return SecAggParams(size, threshold, neighbours, least, *lengths, kind, colluders)
        except ParameterError:
            continue


@lru_cache
def places(size: int) -> tuple[Signatory, ...]:
    """The places of the first `size` of `NODES` in a roster that names them, the last one first, after two members
    that take part in nothing: a member's number is nobody's index.
    """
    names = ["absent-1", "absent-2", *map(str, reversed(NODES[:size]))]
    members = tuple(Member(f"client-{name}", signing_key(name).public) for name in names)
    roster = Roster("simulator", 1, int(ROSTER_LASTS), members)
    return tuple(Signatory.of(roster, signing_key(str(node))) for node in NODES[:size])
