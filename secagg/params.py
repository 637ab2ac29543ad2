"""What a session is agreed to be: cohort, graph, threshold, modulus, lengths; and the digest that binds
all of it.

Decides: which combinations can work (everything else is refused when the object is made) and what enters
`context`.
Refuses to know: what the vector holds, which clients take part, how messages travel.
"""

from dataclasses import dataclass
from typing import Self

from arithmetic.errors import ParameterError
from arithmetic.fixed_point import FixedPoint
from arithmetic.residues import LEAST_BITS, MOST_BITS
from secagg.bounds import LEAST_COHORT, Adversary, check_whole, count_of, derive_graph, least_threshold
from secagg.encoding import Reader, Writer
from secagg.graph import MOST_CLIENTS, Graph
from secagg.primitives import digest

FORMAT_VERSION = 2
CODE_VERSION = b"chorus secagg 3"
SESSION_BYTES = 32
MOST_LENGTH = 1 << 33
_TAG_PARAMS = 0x50
_ADVERSARIES = tuple(Adversary)


@dataclass(frozen=True)
class SecAggParams:
    """Parameters of a session, the same for every client.

    Attributes:
        cohort: most clients that may take part, 3..2^20; the headroom of the modulus is proven for this many.
        threshold: shares that rebuild a secret, 2..neighbours + 1 (2..neighbours where no client keeps a share of its
        own, `own_share`). In a complete graph also the least survivors.
        neighbours: peers of a client in the secret-sharing graph; `cohort - 1` means the complete graph.
        min_survivors: least clients in the sum; below it nothing is unmasked, threshold..cohort (complete
        graph).
        modulus_bits: b of the tensor part's modulus 2^b, 8..64.
        tensor_length: entries of the tensor part, >= 0.
        scalar_length: 64-bit residues of the scalar part, >= 0.
        adversary: what the server may be. Against an active one keys are signed and survivors agreed on (r3).
        colluders: clients that may work for the server, below the cohort; the threshold holds against that many.

    Raises:
        ParameterError: a value out of range, or values that cannot work together.
    """

    cohort: int
    threshold: int
    neighbours: int
    min_survivors: int
    modulus_bits: int
    tensor_length: int
    scalar_length: int
    adversary: Adversary = Adversary.CURIOUS
    colluders: int = 0

    def __post_init__(self) -> None:
        """Refuse whatever cannot work, before anyone sends anything."""
        check_whole("cohort", self.cohort, LEAST_COHORT, MOST_CLIENTS)
        check_whole("neighbours", self.neighbours, 2, self.cohort - 1)
        if self.neighbours % 2 and self.neighbours < self.cohort - 1:
            raise ParameterError(
                f"neighbours = {self.neighbours} does not fit a cohort of any size; choose an even number, "
                f"or {self.cohort - 1} for everybody"
            )
        check_whole("threshold", self.threshold, 2, self.neighbours + int(self.own_share))
        least = max(LEAST_COHORT, self.threshold) if self.is_complete else LEAST_COHORT
        check_whole("min-survivors", self.min_survivors, least, self.cohort)
        check_whole("modulus-bits", self.modulus_bits, LEAST_BITS, MOST_BITS)
        if not isinstance(self.adversary, Adversary):
            raise ParameterError(f"adversary = {self.adversary!r} is not known; choose curious or active")
        check_whole("tensor length", self.tensor_length, 0, MOST_LENGTH)
        check_whole("scalar length", self.scalar_length, 0, MOST_LENGTH)
        FixedPoint(self.modulus_bits, self.cohort, 1.0)
        check_whole("colluders", self.colluders, 0, self.cohort - 1)
        self._check_adversary()

    def _check_adversary(self) -> None:
        """Privacy needs t > colluders, against an active server 2t > n + colluders (`secagg.bounds`)."""
        due = least_threshold(self.cohort, self.neighbours, self.colluders, self.adversary)
        if self.threshold < due:
            raise ParameterError(
                f"threshold = {self.threshold} does not hold against {self.colluders} colluders and a server that is "
                f"{self.adversary}; choose {due} or more"
            )
        if self.is_active and 2 * self.signatures <= self.cohort + self.colluders:
            raise ParameterError(
                f"min-survivors = {self.min_survivors} of {self.cohort} leave room for two views of who survived; "
                f"choose {(self.cohort + self.colluders) // 2 + 1} or more"
            )

    @property
    def is_complete(self) -> bool:
        """Whether everybody is everybody's neighbour even when the whole cohort is there."""
        return self.neighbours == self.cohort - 1

    @property
    def is_active(self) -> bool:
        """Whether keys are signed and survivors agreed on."""
        return self.adversary is Adversary.ACTIVE

    @property
    def own_share(self) -> bool:
        """Whether a client keeps a share of its own seed.

        Not in a regular graph against an active server: `secagg.bounds` counts k shares of a secret there, and with
        k + 1 the threshold is one too low.
        """
        return self.is_complete or not self.is_active

    @property
    def least_advertised(self) -> int:
        """Clients that must send keys: survivors enough, and for every secret as many holders as the threshold."""
        return max(self.min_survivors, self.threshold + int(not self.own_share))

    @property
    def signatures(self) -> int:
        """Signatures on one set of survivors that a client wants to see before it reveals a share (active).

        Two sets would need twice as many, and only colluders sign twice. In a regular graph shares are counted in a
        neighbourhood, signatures in the whole cohort.
        """
        return self.threshold if self.is_complete else self.min_survivors

    @classmethod
    def complete(
        cls,
        cohort: int,
        modulus_bits: int,
        tensor_length: int,
        scalar_length: int,
        threshold: int = 0,
        adversary: Adversary = Adversary.CURIOUS,
        colluders: int = 0,
    ) -> Self:
        """A complete graph; `threshold` 0 means `default_threshold`."""
        chosen = threshold or default_threshold(cohort)
        least = max(chosen, LEAST_COHORT)
        lengths = (modulus_bits, tensor_length, scalar_length)
        return cls(cohort, chosen, cohort - 1, least, *lengths, adversary, colluders)

    @classmethod
    def derive(
        cls,
        cohort: int,
        corrupt_fraction: float,
        dropout_fraction: float,
        adversary: Adversary,
        modulus_bits: int,
        tensor_length: int,
        scalar_length: int,
        security_bits: int = 40,
        correctness_bits: int = 20,
    ) -> Self:
        """Neighbours and threshold from what the clients and the server may do (`bounds.derive_graph`)."""
        found = derive_graph(
            cohort, corrupt_fraction, dropout_fraction, adversary, security_bits, correctness_bits
        )
        neighbours = min(found.neighbours, cohort - 1)
        survivors = cohort - count_of("dropout-fraction", dropout_fraction, cohort)
        least = max(LEAST_COHORT, found.threshold if neighbours == cohort - 1 else survivors)
        lengths = (modulus_bits, tensor_length, scalar_length)
        colluders = count_of("corrupt-fraction", corrupt_fraction, cohort)
        return cls(cohort, found.threshold, neighbours, least, *lengths, adversary, colluders)

    def graph(self, advertised: int, seed: bytes) -> Graph:
        """The graph over the `advertised` <= cohort clients that sent keys; `seed` is public."""
        if self.neighbours >= self.cohort - 1 or self.neighbours >= advertised - 1:
            return Graph.complete(advertised)
        return Graph.random_regular(advertised, self.neighbours, seed)

    def to_bytes(self) -> bytes:
        """Canonical form; two sides agree exactly when these bytes are equal."""
        writer = Writer(_TAG_PARAMS, FORMAT_VERSION)
        for number in (self.cohort, self.threshold, self.neighbours, self.min_survivors):
            writer.number(number, 4)
        writer.number(self.modulus_bits, 1).number(self.tensor_length, 8).number(self.scalar_length, 8)
        return writer.number(_ADVERSARIES.index(self.adversary), 1).number(self.colluders, 4).finish()

    @classmethod
    def from_bytes(cls, data: object) -> Self:
        """The inverse of `to_bytes`.

        Raises:
            MalformedMessage: not these bytes.
            ParameterError: these bytes, but values that cannot work.
        """
        reader = Reader(data, _TAG_PARAMS, FORMAT_VERSION, "parameters")
        small = [reader.number(4) for _ in range(4)]
        bits, tensor, scalars = reader.number(1), reader.number(8), reader.number(8)
        adversary = _ADVERSARIES[reader.number(1, most=len(_ADVERSARIES) - 1)]
        colluders = reader.number(4)
        reader.finish()
        return cls(small[0], small[1], small[2], small[3], bits, tensor, scalars, adversary, colluders)


PARAMS_BYTES = 2 + 4 * 4 + 1 + 8 + 8 + 1 + 4


def default_threshold(holders: int) -> int:
    """Floor(2n/3) + 1 of the n that hold a share (Bonawitz et al., CCS 2017, section 6.2)."""
    return 2 * holders // 3 + 1


@dataclass(frozen=True)
class Session:
    """One run of the protocol: its random identifier, the server round it serves, its parameters."""

    identifier: bytes
    server_round: int
    params: SecAggParams


@dataclass(frozen=True)
class Agreement:
    """What every client must have been shown alike; `context` is its digest.

    Attributes:
        cohort_digest: of all advertised keys in order.
        model_digest: of the model that came with the session.
        config_digest: of the training configuration that came with it.
        standing: digest of the roster and of who of it is in the cohort (`signatory.standing`); empty against a
            curious server.
    """

    session: Session
    advertised: int
    cohort_digest: bytes
    model_digest: bytes
    config_digest: bytes
    standing: bytes = b""

    @property
    def graph(self) -> Graph:
        """The secret-sharing graph of this session."""
        return self.session.params.graph(self.advertised, self.graph_seed)

    @property
    def graph_seed(self) -> bytes:
        """Public, and fixed only once all keys are: nobody chooses neighbours after seeing the graph."""
        return digest("graph", self.session.identifier, self.cohort_digest)

    @property
    def context(self) -> bytes:
        """SHA-256 over all of it; enters every key derivation and every associated data.

        Clients that were shown different sessions, models or configurations hold masks that do not cancel.
        """
        return digest(
            "context",
            CODE_VERSION,
            self.session.identifier,
            self.session.server_round.to_bytes(8, "big"),
            self.session.params.to_bytes(),
            self.graph.to_bytes(),
            self.cohort_digest,
            self.model_digest,
            self.config_digest,
            self.standing,
        )
