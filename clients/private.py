"""The private kinds of r1's work: charge the ledger, clip, round, add this client's share of noise.

Decides: what is charged for which mode, always before the data is touched; and that where integers leave, nothing else
of the data does. Weights are one, and no metric leaves.
Refuses to know: where the ledger lies and what it may spend (`clients.spending`), and how gradients are clipped
(`clients.example_gradients`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from arithmetic.errors import ParameterError, RangeError
from arithmetic.fixed_point import UniformBytes
from arithmetic.layout import Kind, VectorSpec
from arithmetic.residues import Words, from_signed
from clients.dp_training import PrivacyConfig, train_dp
from clients.example_gradients import example_gradients
from clients.poisson import PoissonBatches, draw_batch
from clients.spending import Spending
from clients.tasks import Task, length_of
from clients.training import TrainingConfig, own_stream, train
from clients.updates import arrays_of
from privacy.accounting import noise_multiplier_for
from privacy.discrete_gaussian import DiscreteGaussian
from privacy.mechanisms import PoissonGaussian, check_delta
from privacy.noise_shares import NoisePlan
from privacy.rounding import round_rows
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.errors import Refused
from secagg.params import SecAggParams
from secagg.primitives import KeyStream
from wire.noise import plans_of, releases_of

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class PrivateWork:
    """One client's private work in one server round.

    Attributes:
        task, model, data, device: what trains, on what, where; the model holds the global weights.
        arrays: the same weights by name.
        spec: layout of the model.
        config: of local training.
        terms: what the run asks for.
        params: of the session.
        max_examples: most examples of a step (distributed).
        spending: the ledger.
        server_round, partition_id: seed dropout, and nothing else.
    """

    task: Task
    model: nn.Module
    data: Dataset[Any]
    device: torch.device
    arrays: Arrays
    spec: VectorSpec
    config: TrainingConfig
    terms: PrivacyTerms
    params: SecAggParams
    max_examples: int
    spending: Spending
    server_round: int
    partition_id: int

    def noisy_gradient_sum(self) -> Words:
        """Mode distributed: rounded clipped gradients of a Poisson batch and this client's share, mod 2^b.

        Raises:
            RangeError: too few examples.
            ParameterError: a model with reals that are not trained, or without per-example gradients.
            Refused: the session leaves no room for the noise, or delta says too little.
            ChorusError: the ledger refuses.
        """
        plan, _ = self._plans()
        examples, probability = length_of(self.data), self.terms.sampling_probability
        self._check_delta(examples)
        self._check_trained()
        self.spending.charge(*releases_of(self.terms, plan, None), server_round=self.server_round)
        batch, uniform = draw_batch(examples, probability), KeyStream(os.urandom(32)).read
        if len(batch) > self.max_examples:
            # To abstain would tell how many were drawn. The sum may wrap: that costs accuracy, and no privacy.
            self.spending.note(warning="more examples were drawn than max-examples leaves room for")
        total = np.zeros(self.spec.tensor_length, dtype=np.int64)
        stream = own_stream(self.config.seed, self.server_round, self.partition_id)
        with example_gradients(
            self.task, self.model, self.data, self.terms.clipping_norm, self.device, stream
        ) as gradients:
            for rows in gradients.clipped_rows(batch):
                scaled = rows.astype(np.float64) * plan.scale
                total += round_rows(scaled, plan.norm_squared, uniform).sum(axis=0)
        return self._with_share(total, plan, uniform)

    def noisy_update(self) -> tuple[Words, int]:
        """Mode client, and local+client: the whole update, clipped and rounded, with this client's share.

        Returns:
            Residues mod 2^b, shape (d,); and, where the clipping norm adapts, the noisy bit mod 2^64 (else 0).

        Raises:
            RangeError: the update is not finite.
            Refused: the session leaves no room for the noise, or delta says too little.
            ChorusError: the ledger refuses.
        """
        (plan, bit), noisy_bit = self._plans(), 0
        self._check_delta(self.params.cohort)
        self.spending.charge(*releases_of(self.terms, plan, bit), server_round=self.server_round)
        update, uniform = self.update(), KeyStream(os.urandom(32)).read
        norm = float(np.linalg.norm(update))
        if not np.isfinite(norm):
            raise RangeError("the update is not finite; nothing was sent, check the local training")
        clipped = update * min(1.0, self.terms.client_clipping_norm / norm) if norm else update
        rounded = round_rows(clipped[None] * plan.scale, plan.norm_squared, uniform)[0]
        if bit is not None:
            side = 0.5 if norm <= self.terms.client_clipping_norm else -0.5
            share = int(DiscreteGaussian(bit.share).draw(1, uniform)[0])
            noisy_bit = int(side * bit.scale) + share
        return self._with_share(rounded, plan, uniform), noisy_bit

    def update(self) -> NDArray[np.float64]:
        """What local training changes, shape (d,): by DP-SGD, charged first, where the mode is local.

        Raises:
            ChorusError: the ledger refuses, or the training fails.
        """
        if self.terms.mode.is_local:
            self._train_privately()
        else:
            train(
                self.task, self.model, self.data, self.config, self.device, self.server_round,
                self.partition_id,
            )  # fmt: skip
        return self.spec.flatten_update(arrays_of(self.model), self.arrays).tensor

    def _train_privately(self) -> None:
        """DP-SGD with the run's noise multiplier, or with the least that keeps the run within its epsilon."""
        examples, terms = length_of(self.data), self.terms
        self._check_delta(examples)
        plan = PoissonBatches.of_epochs(examples, self.config.batch_size, self.config.local_epochs)
        mechanism = PoissonGaussian(plan.sampling_probability, terms.noise_multiplier or 1.0, plan.steps)
        if not terms.noise_multiplier:
            whole_run = replace(mechanism, steps=plan.steps * terms.rounds)
            noise = noise_multiplier_for(terms.epsilon, terms.delta, whole_run)
            mechanism = replace(mechanism, noise_multiplier=noise)
        self.spending.charge(mechanism, server_round=self.server_round)
        privacy = PrivacyConfig(terms.clipping_norm, mechanism.noise_multiplier)
        report = train_dp(
            self.task, self.model, self.data, self.config, privacy, self.device, self.server_round,
            self.partition_id,
        )  # fmt: skip
        self.spending.note(clipping=report.clipping, non_finite=report.non_finite)

    def _plans(self) -> tuple[NoisePlan, NoisePlan | None]:
        """The noise of the sum and, where the clipping norm adapts, that of the bit."""
        try:
            return plans_of(self.terms, self.params, self.max_examples)
        except ParameterError as error:
            raise Refused(str(error)) from error  # the numbers are the server's own, so it may read them

    def _with_share(self, integers: NDArray[np.int64], plan: NoisePlan, uniform: UniformBytes) -> Words:
        """The client's integers with its share of noise, mod 2^b."""
        share = DiscreteGaussian(plan.share).draw(self.spec.tensor_length, uniform)
        return from_signed(integers + share, self.params.modulus_bits)

    def _check_delta(self, population: int) -> None:
        """Refuse a delta that leaves too much to chance for this many examples, or clients."""
        try:
            check_delta(self.terms.delta, max(population, 1))
        except ParameterError as error:
            # Not the error's own words: they count this client's examples.
            raise Refused(
                "delta of the run is above 1/(10 N) for what this client protects; choose a smaller one"
            ) from error

    def _check_trained(self) -> None:
        """Refuse a model whose summed reals are not exactly its trained parameters."""
        trained = [name for name, weight in self.model.named_parameters() if weight.requires_grad]
        summed = [entry.name for entry in self.spec.entries if entry.kind is Kind.FLOAT]
        if trained != summed:
            odd = sorted(set(summed) ^ set(trained))
            raise ParameterError(
                f"privacy = {PrivacyMode.DISTRIBUTED} sums gradients of trained parameters, and "
                f"{', '.join(odd) or 'their order'} is something else; use a model without running statistics "
                "(GroupNorm in place of BatchNorm)"
            )
