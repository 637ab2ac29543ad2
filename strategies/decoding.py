"""From the exact sum of a training session to the mean update: one decoder for each way of encoding.

Decides: what travels to the clients beside the configuration so that they encode alike, how a sum is scaled, and what
adapts from one server round to the next (the encoding bound; with client-level privacy the clipping norm).
Refuses to know: how the sum came about, and what the inner strategy does with the mean.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from arithmetic.errors import RangeError
from arithmetic.fixed_point import MAGNITUDE_STEPS, FixedPoint, next_bound
from arithmetic.residues import to_signed
from privacy.terms import PrivacyMode
from secagg.params import SecAggParams
from strategies.groups import RoundTotal
from strategies.outcome import Sums, check_counters, training_of
from strategies.settings import Settings
from wire.noise import plans_of, sum_plan, within_norm_plan
from wire.rounds import Purpose
from wire.scalars import WITHIN_NORM
from wire.settings import ENCODING_BOUND, MAX_EXAMPLES, privacy_record

Reals = npt.NDArray[np.float64]
Travelling = Mapping[str, Any]

_CLIPPING_STEP = 0.2
_FEWEST_WITHIN, _MOST_WITHIN = -1.0, 2.0  # as fractions; what lies beyond is noise, or a false bit


@dataclass(frozen=True)
class Mean:
    """What a training session came to.

    Attributes:
        update: mean of the clients' updates, shape (d,).
        integers: mean of their integer entries, shape (m,).
        weight: sum of the clients' weights.
        train_loss: mean training loss; None where no such number may leave.
        fields: for the event of the round.
    """

    update: Reals
    integers: Reals
    weight: int
    train_loss: float | None
    fields: Mapping[str, int | float]


class Decoder(Protocol):
    """What `SecureAggregation` needs."""

    @property
    def travelling(self) -> Travelling:
        """Keys of the configuration record that make clients encode as `mean` decodes."""

    @property
    def adapted(self) -> float:
        """What adapts from one server round to the next: the encoding bound, or the clipping norm."""

    def adapt_to(self, value: float) -> None:
        """Put back what `adapted` gave."""

    def check(self, purpose: Purpose, sums: Sums, survivors: int, params: SecAggParams) -> None:
        """Judge one group's decoded scalars before its sum joins the others'.

        Raises:
            RangeError: no honest group sends such counters.
        """

    def check_params(self, params: SecAggParams) -> None:
        """Refuse a run whose sums could not be encoded, before anyone is asked.

        Raises:
            ParameterError: modulus, survivors and noise cannot work together.
        """

    def mean(self, total: RoundTotal, sums: Sums, integers: Reals, params: SecAggParams) -> Mean:
        """Decode the sum of the groups whose counters were checked.

        Args:
            total: exact sums.
            sums: decoded scalars by name.
            integers: decoded sums of the integer entries.
            params: of each group's session.

        Raises:
            RangeError: rounding would drown the update.
        """


def decoder_of(settings: Settings) -> Decoder:
    """The decoder that the privacy mode needs."""
    return NoisySumDecoder(settings) if settings.privacy.mode.shares_noise else FixedPointDecoder(settings)


class FixedPointDecoder:
    """Weighted updates in fixed point; the encoding bound follows the largest entry."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        private = settings.privacy.mode is not PrivacyMode.NONE
        self._bound = settings.encoding_bound
        # A count of examples is data: under differential privacy every client weighs one.
        self._most = 1 if private else settings.max_examples

    @property
    def travelling(self) -> Travelling:
        """Encoding bound, largest weight, privacy terms."""
        mine = {ENCODING_BOUND: float(self._bound), MAX_EXAMPLES: self._most}
        return mine | privacy_record(self._settings.privacy)

    @property
    def adapted(self) -> float:
        """The encoding bound."""
        return self._bound

    def adapt_to(self, value: float) -> None:
        """Take an encoding bound."""
        self._bound = value

    def check(self, purpose: Purpose, sums: Sums, survivors: int, params: SecAggParams) -> None:
        """Weights, clamps and magnitudes must fit the number of clients."""
        check_counters(purpose, sums, survivors, self._most, params.tensor_length)

    def check_params(self, params: SecAggParams) -> None:
        """`SecAggParams` has proven the headroom."""

    def mean(self, total: RoundTotal, sums: Sums, integers: Reals, params: SecAggParams) -> Mean:
        """The mean weighted by examples."""
        codec = FixedPoint(params.modulus_bits, params.cohort, self._bound)
        length = params.tensor_length
        found = training_of(sums, total.survivors, codec, self._most)
        self._bound = next_bound(self._bound, found.exceeding)
        if length and not any(found.exceeding) and self._bound < codec.bound:
            raise RangeError(
                f"no entry of any update reached the encoding bound / 4^{MAGNITUDE_STEPS - 1}, so rounding would "
                "drown them; the bound shrinks for the next round. Lower encoding-bound or max-examples"
            )
        private = self._settings.privacy.mode is not PrivacyMode.NONE
        return Mean(
            codec.reals(total.tensor) * found.scale,
            integers / found.weight,
            found.weight,
            None if private else found.train_loss,
            {name: value for name, value in found.fields.items() if not (private and name == "train_loss")},
        )


class NoisySumDecoder:
    """Integers with shares of noise: a sum of clipped gradients or updates over a public constant."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._terms = settings.privacy

    @property
    def travelling(self) -> Travelling:
        """Privacy terms, with the clipping norm as it stands."""
        mine = {ENCODING_BOUND: 1.0, MAX_EXAMPLES: self._settings.max_examples}
        return mine | privacy_record(self._terms)

    @property
    def adapted(self) -> float:
        """The clipping norm of a client's whole update."""
        return self._terms.client_clipping_norm

    def adapt_to(self, value: float) -> None:
        """Take a clipping norm.

        Raises:
            ParameterError: no client could clip to it.
        """
        self._terms = replace(self._terms, client_clipping_norm=value)

    def check(self, purpose: Purpose, sums: Sums, survivors: int, params: SecAggParams) -> None:
        """Every client weighs one, and no other counter says anything."""
        check_counters(purpose, sums, survivors, 1, 0)

    def check_params(self, params: SecAggParams) -> None:
        """Plan the noise once."""
        plans_of(self._terms, params, self._settings.max_examples)

    def mean(self, total: RoundTotal, sums: Sums, integers: Reals, params: SecAggParams) -> Mean:
        """The noisy sum over the public denominator; who took part is public, what they hold is not."""
        plan = sum_plan(self._terms, params, self._settings.max_examples)
        fields: dict[str, int | float] = {
            "noise_multiplier": plan.noise_multiplier,
            "noise_slack": plan.slack,
        }
        if self._terms.mode.hides_clients:
            fields["client_clipping_norm"] = self._terms.client_clipping_norm
        update = total.tensor * (self._settings.update_per_sum / plan.scale)
        if self._terms.clipping_quantile:
            fields["within_clipping_norm"] = self._adapt(sums, total.survivors, params)
        return Mean(np.asarray(update, dtype=np.float64), integers, total.survivors, None, fields)

    def _adapt(self, sums: Sums, survivors: int, params: SecAggParams) -> float:
        """Move the clipping norm towards the quantile (Andrew et al. 2021, section 3): too many within, it shrinks."""
        plan = within_norm_plan(self._terms, params)
        signed = int(to_signed(np.array([int(sums[WITHIN_NORM]) % 2**64], dtype=np.uint64), 64)[0])
        within = signed / plan.scale / survivors + 0.5
        counted = min(max(within, _FEWEST_WITHIN), _MOST_WITHIN)
        factor = math.exp(-_CLIPPING_STEP * (counted - self._terms.clipping_quantile))
        self._terms = replace(self._terms, client_clipping_norm=self._terms.client_clipping_norm * factor)
        return within
