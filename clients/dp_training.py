"""Local training under example-level differential privacy: DP-SGD on the client (mode `local`).

Decides one step: the sum of the clipped gradients of a Poisson batch, plus Gaussian noise, over the public
expected batch size, into SGD with momentum (Abadi et al. 2016, arXiv:1607.00133, algorithm 1). An empty batch is a
step of noise alone. Refuses to account: `PrivateTrainingReport` holds what the accounting event is made of, and
whoever calls writes that down before anything leaves. Refuses to know masks, encodings and Flower.

The noise is floating point and not hardened against precision attacks (`clients.gaussian`).
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset

from arithmetic.errors import ParameterError
from clients.example_gradients import MICRO_BATCH, ExampleGradients, example_gradients
from clients.gaussian import GaussianNoise
from clients.poisson import PoissonBatches
from clients.tasks import Task, length_of
from clients.training import TrainingConfig, TrainingReport, check_weights, own_stream


@dataclass(frozen=True)
class PrivacyConfig:
    """How examples are protected in training.

    Attributes:
        clipping_norm: the most that one example's gradient weighs, L2, 0 < C < infinity.
        noise_multiplier: the noise's standard deviation over C, 0 < z < infinity.
        micro_batch: examples computed at a time, >= 1; time and memory only.
    """

    clipping_norm: float
    noise_multiplier: float
    micro_batch: int = MICRO_BATCH

    def __post_init__(self) -> None:
        """Raise ParameterError for a value out of range, NaN included."""
        for name, value in (
            ("clipping-norm", self.clipping_norm),
            ("noise-multiplier", self.noise_multiplier),
        ):
            if type(value) not in (int, float) or not 0 < value < math.inf:
                raise ParameterError(f"{name} is {value!r}; choose a number above 0 and below infinity")


@dataclass(frozen=True)
class PrivateTrainingReport(TrainingReport):
    """What the accounting event is made of, then what stays in the client's own log.

    `steps` releases of a Gaussian mechanism with `noise_multiplier`, each on a Poisson sample with
    `sampling_probability`, neighbours by adding or removing one example. `examples`, `mean_loss` (per example that
    was drawn, 0 for none) and `non_finite` depend on the data: none of them leaves the client.
    """

    sampling_probability: float
    noise_multiplier: float
    clipping_norm: float
    clipping: str
    non_finite: int


def train_dp(
    task: Task,
    model: nn.Module,
    dataset: Dataset[Any],
    config: TrainingConfig,
    privacy: PrivacyConfig,
    device: torch.device,
    server_round: int,
    partition_id: int,
) -> PrivateTrainingReport:
    """Train `model` in place on `device`, from the weights it came with, with `privacy` for each example.

    Takes local_epochs * ceil(N / batch_size) steps. The seed of `config` drives dropout only; which examples are
    drawn and the noise come from the operating system and never repeat.

    Raises:
        RangeError: fewer examples than a batch, or than two; weights no longer finite.
        LeakyModel: see `clients.leaks`.
        ParameterError: a setting out of range, a model with nothing to train or without per-example gradients.
        SetupError: the device ran out of memory.
    """
    batches = PoissonBatches.of_epochs(length_of(dataset), config.batch_size, config.local_epochs)
    stream = own_stream(config.seed, server_round, partition_id)
    drawn, non_finite, loss = 0, 0, 0.0
    with example_gradients(
        task, model, dataset, privacy.clipping_norm, device, stream, privacy.micro_batch
    ) as gradients:
        step = NoisyDescent(gradients, config, privacy)
        for indices in batches:
            batch = gradients.clipped_sum(indices)
            step(batch.total)
            drawn, non_finite, loss = drawn + len(indices), non_finite + batch.non_finite, loss + batch.loss
    check_weights(model)
    return PrivateTrainingReport(
        batches.examples, loss / max(drawn, 1), batches.steps, batches.sampling_probability,
        privacy.noise_multiplier, privacy.clipping_norm, gradients.mode, non_finite,
    )  # fmt: skip


class NoisyDescent:
    """SGD with momentum and FedProx's term, as `clients.training` has it, on the flat vector."""

    def __init__(self, gradients: ExampleGradients, config: TrainingConfig, privacy: PrivacyConfig) -> None:
        self._weights, self._sizes = list(gradients.parameters.values()), gradients.sizes
        self._start = [weight.detach().clone() for weight in self._weights if config.proximal_mu]
        self._velocity = torch.zeros(gradients.dimension, device=self._weights[0].device)
        self._noise, self._config = GaussianNoise(), config
        self._scale = privacy.noise_multiplier * privacy.clipping_norm

    @torch.no_grad()
    def __call__(self, total: torch.Tensor) -> None:
        """Take one step along `total`, the sum of the clipped gradients, float32 (d,); it is used up."""
        total += self._noise.draw(len(total), self._scale).to(total.device)
        total /= self._config.batch_size  # the expected size: the real one is the data's
        for weight, start, part in zip(
            self._weights, self._start, torch.split(total, self._sizes), strict=False
        ):
            part.add_((weight - start).flatten(), alpha=self._config.proximal_mu)
        self._velocity.mul_(self._config.momentum).add_(total)
        for weight, part in zip(self._weights, torch.split(self._velocity, self._sizes), strict=True):
            weight.add_(part.view_as(weight), alpha=-self._config.learning_rate)
