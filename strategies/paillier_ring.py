"""PaillierRing wraps a Flower strategy as SecureAggregation does, and sums around a ring of hospitals.

Decides: that the vector is the one of a masked session, of 64 bits an entry, so that the same encoding gives the same
mean; and that everything else (the virtual reply, evaluation, snapshots, resuming) is SecureAggregation's.
Refuses to know: how a ring runs (`strategies.ring_session`), and where the key pair comes from.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from arithmetic.errors import ParameterError
from arithmetic.layout import VectorSpec
from paillier.keys import PrivateKey
from paillier.ring.terms import LEAST_HOSPITALS, MOST_HOSPITALS
from privacy.terms import PrivacyMode
from secagg.params import SecAggParams
from strategies.chronicle import Chronicle
from strategies.events import Emit, silent
from strategies.gradient_step import job_of
from strategies.groups import RoundTotal
from strategies.records import ndarrays_of
from strategies.ring_course import Account
from strategies.ring_session import RingDriver
from strategies.secure_aggregation import SecureAggregation
from strategies.settings import Settings
from strategies.snapshot import Keep
from strategies.stopping import Stopping
from wire.records import pack_arrays
from wire.ring import MODULUS_BITS, packing_of, parts_of
from wire.rounds import Purpose, RingStep
from wire.settings import agreed_record, layout_digest


@dataclass(frozen=True)
class RingSettings(Settings):
    """How rings are run: of `Settings`, those that a ring has a use for.

    Raises:
        ParameterError: groups, privacy, another modulus, or a size that makes no ring.
    """

    def __post_init__(self) -> None:
        """Refuse what the ring would not do."""
        if self.groups != 1 or self.privacy.mode is not PrivacyMode.NONE:
            raise ParameterError(
                "the ring has neither groups nor differential privacy; use SecureAggregation"
            )
        if self.modulus_bits != MODULUS_BITS:
            raise ParameterError(f"the ring's entries have {MODULUS_BITS} bits, not {self.modulus_bits}")
        if not LEAST_HOSPITALS <= self.cohort <= MOST_HOSPITALS:
            raise ParameterError(
                f"a ring of {self.cohort} hospitals cannot be; let {LEAST_HOSPITALS} to {MOST_HOSPITALS} take part"
            )

    @property
    def least(self) -> int:
        """Fewest hospitals whose sum is opened."""
        return self.min_cohort


class PaillierRing(SecureAggregation):
    """The hospitals' ring around any Flower strategy that needs only the mean; this server is the key holder.

    Args:
        inner, spec, settings, metrics, emit, mean_only, keep, chronicle, stopping: as in SecureAggregation.
        private: the key pair.

    Raises:
        StrategyNotSupported: as SecureAggregation.
        ParameterError: there is no roster, or the vector cannot be packed under this key.
    """

    def __init__(
        self,
        inner: Strategy,
        spec: VectorSpec,
        settings: RingSettings,
        metrics: tuple[str, ...] = (),
        emit: Emit = silent,
        mean_only: bool = False,
        keep: Keep | None = None,
        chronicle: Chronicle | None = None,
        stopping: Stopping | None = None,
        *,
        private: PrivateKey,
    ) -> None:
        super().__init__(inner, spec, settings, metrics, emit, mean_only, keep, chronicle, stopping)
        if settings.roster is None:
            raise ParameterError("the ring needs a roster, as everybody in it signs; name one")
        self._roster, self._private = settings.roster, private
        self._driver: RingDriver | None = None
        params = self._params(Purpose.TRAINING, settings.cohort)
        packing_of(params.tensor_length + params.scalar_length, params.cohort, private.public.bits)
        self._planned.clear()

    def _sum(
        self,
        grid: Grid,
        nodes: list[int],
        arrays: ArrayRecord,
        config: ConfigRecord,
        server_round: int,
        purpose: Purpose,
    ) -> tuple[RoundTotal, SecAggParams]:
        """The exact sum around one ring, and the parameters of a masked session of the same vector."""
        params, layout = self._params(purpose, len(nodes)), self._layout(purpose)
        digest, travelling = layout_digest(self.spec, layout), self._decoder.travelling
        agreed = agreed_record(config, purpose, job_of(self.inner), digest, travelling)
        length = params.tensor_length + params.scalar_length
        packing = packing_of(length, params.cohort, self._private.public.bits)
        model = pack_arrays(ndarrays_of(arrays))
        sums, account = self._driven(grid).run(packing, nodes, model, agreed, server_round, purpose)
        total = _total(sums, account, params)
        named, _ = layout.decode(total.scalars, params.cohort)
        self._decoder.check(purpose, named, total.survivors, params)
        return total, params

    def _driven(self, grid: Grid) -> RingDriver:
        if self._driver is None or self._driver.grid is not grid:
            settings = self.settings
            self._driver = RingDriver(
                grid, settings.deadlines, self.emit, roster=self._roster, private=self._private,
                least=settings.least,
            )  # fmt: skip
        return self._driver

    def _params(self, purpose: Purpose, cohort: int) -> SecAggParams:
        """Always for the whole cohort: the packing has room for everybody, whoever is away."""
        tensor = self.spec.tensor_length if purpose is Purpose.TRAINING else 0
        most = self._planned[purpose] = max(self.settings.cohort, cohort)
        return self.settings.params(most, tensor, self._layout(purpose).length)


def _total(sums: Iterable[int], account: Account, params: SecAggParams) -> RoundTotal:
    """As several masked sessions give it."""
    tensor, scalars = parts_of(list(sums), params.tensor_length)
    return RoundTotal(
        tensor, [scalars], account.completed[RingStep.HOP], account.completed, account.bytes_up,
        account.bytes_down, account.seconds,
    )  # fmt: skip
