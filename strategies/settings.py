"""How sessions are run: the server's side of the run configuration.

Decides: threshold, graph and smallest cohort of a session from what was configured. Refuses to know: models and Flower.
"""

from dataclasses import dataclass, field

from arithmetic.errors import ParameterError
from arithmetic.fixed_point import FixedPoint
from privacy.terms import PrivacyTerms
from secagg.bounds import LEAST_COHORT, Adversary, check_whole, count_of, least_threshold
from secagg.graph import MOST_CLIENTS
from secagg.params import SecAggParams, default_threshold
from secagg.roster import Roster


@dataclass(frozen=True)
class Deadlines:
    """Seconds a protocol round may take, and between two looks for replies."""

    training: float = 600.0
    protocol_round: float = 20.0
    poll_interval: float = 0.2


@dataclass(frozen=True)
class Settings:
    """How sessions are run.

    Attributes:
        cohort: clients to wait for, >= 3, in all groups together.
        groups: sessions that a server round is split into, each of cohort / groups clients or one fewer; threshold,
            neighbours and min_cohort are those of a group.
        groups_at_once: groups whose sessions run side by side, at most `groups`; 0 means four a core. The server holds
            one sum for each.
        threshold: shares that rebuild a secret; 0 means two thirds of a neighbourhood, plus one.
        neighbours: in the secret-sharing graph; 0 means everybody.
        min_cohort: least clients in a sum.
        corrupt_fraction: of clients that may work for the server; with `dropout_fraction`, and neither neighbours
            nor threshold given, a sparse graph and its threshold are derived (`secagg.bounds`).
        dropout_fraction: of clients that may vanish.
        colluders: clients that may work for the server; the threshold holds against that many (a derived one against
            `corrupt_fraction`).
        roster: the federation's members; with it every session is against an active server, without it none is.
        modulus_bits: b of the tensor part.
        encoding_bound: clamp of weight / max_examples * update in the first server round; adapts afterwards.
        max_examples: largest weight; a client with more counts as this many, and is counted under the mask.
        privacy: what is asked of clients in the way of differential privacy.
        update_per_sum: what a noisy sum is multiplied by to give the update: -learning rate / expected batch
            (distributed), 1 / cohort (client). A public constant: it does not follow who took part, or with how much.
        cohort_deadline: seconds to wait for the whole cohort.
        deadlines: seconds for each protocol round.
    """

    cohort: int
    groups: int = 1
    groups_at_once: int = 0
    threshold: int = 0
    neighbours: int = 0
    min_cohort: int = LEAST_COHORT
    corrupt_fraction: float = 0.0
    dropout_fraction: float = 0.0
    colluders: int = 0
    roster: Roster | None = None
    modulus_bits: int = 24
    encoding_bound: float = 1.0
    max_examples: int = 10_000
    privacy: PrivacyTerms = field(default_factory=PrivacyTerms)
    update_per_sum: float = 0.0
    cohort_deadline: float = 120.0
    deadlines: Deadlines = field(default_factory=Deadlines)

    @property
    def group_size(self) -> int:
        """Clients of the largest group."""
        return -(-self.cohort // self.groups)

    @property
    def adversary(self) -> Adversary:
        """What the server may be in every session."""
        return Adversary.ACTIVE if self.roster else Adversary.CURIOUS

    @property
    def least(self) -> int:
        """Fewest survivors of a group for which its sum is unmasked."""
        return self.params(self.group_size, 0, 0).min_survivors

    def check_groups(self) -> None:
        """Refuse groups that could not stand alone.

        Raises:
            ParameterError: a number that is none, a group too small for a sum, or sums too many for 64 bits.
        """
        check_whole("groups", self.groups, 1, MOST_CLIENTS)
        check_whole("groups-at-once", self.groups_at_once, 0, self.groups)
        if self.cohort // self.groups < self.least:
            raise ParameterError(
                f"{self.groups} groups of {self.cohort} clients leave {self.cohort // self.groups} in the smallest, "
                f"and a sum needs {self.least}; choose fewer groups, or clients as a multiple of groups"
            )
        levels = FixedPoint(self.modulus_bits, self.group_size, 1.0).levels
        if self.groups * self.group_size * levels >= 2**63:
            raise ParameterError(
                f"the sum of {self.cohort} clients does not fit 64 bits with modulus-bits = {self.modulus_bits}; "
                "choose 48 or fewer"
            )

    def params(self, cohort: int, tensor_length: int, scalar_length: int, planned: int = 0) -> SecAggParams:
        """Parameters of a session with `cohort` clients.

        Args:
            cohort: clients asked to take part now.
            tensor_length: entries of the tensor part.
            scalar_length: residues of the scalar part.
            planned: the largest cohort so far; thresholds follow it, so that absences never lower them.

        Raises:
            ParameterError: they cannot work together.
        """
        full = max(planned, cohort)
        lengths = (self.modulus_bits, tensor_length, scalar_length)
        if (self.corrupt_fraction or self.dropout_fraction) and not (self.neighbours or self.threshold):
            derived = SecAggParams.derive(
                full, self.corrupt_fraction, self.dropout_fraction, self.adversary, *lengths
            )
            neighbours, least = derived.neighbours, derived.min_survivors
            colluders = count_of("corrupt-fraction", self.corrupt_fraction, cohort)
            # Of fewer clients the same share of colluders may need one share more.
            due = least_threshold(cohort, min(neighbours, cohort - 1), colluders, self.adversary)
            threshold = max(derived.threshold, due)
        else:
            neighbours = min(self.neighbours or full - 1, full - 1)
            threshold = self.threshold or default_threshold(neighbours + 1)
            least = threshold if neighbours == full - 1 else default_threshold(full)
            colluders = self.colluders
        least = max(self.min_cohort, least)
        neighbours = min(neighbours, cohort - 1)
        return SecAggParams(cohort, threshold, neighbours, least, *lengths, self.adversary, colluders)
