"""Local training and evaluation: the one place where a client's model meets its data.

Decides the optimiser (SGD with momentum, the proximal term of FedProx), the order of examples, and
when a client abstains. Deterministic in (seed, server round, partition id): examples are shuffled
by an own generator, dropout draws from a forked stream, and the global random state is left as it
was. On a CPU two equal calls give equal bits (with the same number of threads); on a GPU they agree
to rounding. Refuses to know masks, encodings, Flower, and where the data came from.

A failed call returns nothing and leaves the model half trained: drop it.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, TensorDataset, default_collate

from arithmetic.errors import ConfigError, ParameterError, RangeError, SetupError
from clients.tasks import LARGEST_METRIC, Task, length_of

EVALUATION_BATCH = 512


@dataclass(frozen=True)
class TrainingConfig:
    """How a client trains; the same for the whole cohort."""

    local_epochs: int = 2
    batch_size: int = 32
    learning_rate: float = 0.1
    momentum: float = 0.9
    proximal_mu: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ParameterError for a value out of range; the ranges are the run configuration's."""
        _check_count("local-epochs", self.local_epochs, 1, 1000)
        _check_count("batch-size", self.batch_size, 1, 10**6)
        _check_count("seed", self.seed, 0, 2**63 - 1)
        _check_real("learning-rate", self.learning_rate, math.ulp(0.0), 100.0, "0 < x <= 100")
        _check_real("momentum", self.momentum, 0.0, math.nextafter(1.0, 0.0), "0 <= x < 1")
        _check_real("proximal-mu", self.proximal_mu, 0.0, 1e6, "0 <= x <= 1e6")


@dataclass(frozen=True)
class TrainingReport:
    """`examples` in the data set, `mean_loss` per example over all steps, `steps` taken."""

    examples: int
    mean_loss: float
    steps: int


@dataclass(frozen=True)
class EvaluationReport:
    """Sums over `examples`: divide after adding up the cohort's."""

    examples: int
    loss_sum: float
    metric_sums: dict[str, float]


def train(
    task: Task,
    model: nn.Module,
    dataset: Dataset[Any],
    config: TrainingConfig,
    device: torch.device,
    server_round: int,
    partition_id: int,
) -> TrainingReport:
    """Train `model` in place on `device`, from the weights it came with.

    With `proximal_mu` > 0 each step follows the gradient of loss + mu/2 ||w - w_global||^2 (Li et
    al. 2020, arXiv:1812.06127, eq. 2); the loss reported is the task's alone. A last batch of one
    example joins the batch before it, so that BatchNorm has a variance to take.

    Raises:
        RangeError: no examples, one example and a BatchNorm model, a loss or weight not finite.
        SetupError: the device ran out of memory.
        ParameterError: a model with nothing to train.
    """
    examples = length_of(dataset)
    if not examples:
        raise RangeError("this client has no training examples, so it abstains; check data-path")
    stream = own_stream(config.seed, server_round, partition_id)
    order = torch.Generator().manual_seed(stream)
    with own_random_stream(stream, device), typed_errors():
        model.to(device).train()
        step = _Descent(model, config)
        total, steps = 0.0, 0
        for _ in range(config.local_epochs):
            shuffled = torch.randperm(examples, generator=order)
            for indices in _batches(shuffled, config.batch_size):
                loss = task.loss(model, to_device(gather(dataset, indices), device))
                total += finite(loss) * len(indices)
                step(loss)
                steps += 1
        check_weights(model)
    return TrainingReport(examples, total / (examples * config.local_epochs), steps)


def evaluate(task: Task, model: nn.Module, dataset: Dataset[Any], device: torch.device) -> EvaluationReport:
    """Judge `model` on every example, without gradients; the model's mode is put back.

    Raises:
        RangeError: no examples, or a loss or metric that is not finite or out of range.
        SetupError: the device ran out of memory.
        ConfigError: `evaluate_batch` gives other names than "loss" and `metric_names`.
    """
    examples = length_of(dataset)
    if not examples:
        raise RangeError("there are no examples to evaluate on, so this client abstains")
    sums = dict.fromkeys(("loss", *task.metric_names), 0.0)
    was_training = model.training
    with torch.no_grad(), typed_errors():
        model.to(device).eval()
        for indices in torch.split(torch.arange(examples), EVALUATION_BATCH):
            found = task.evaluate_batch(model, to_device(gather(dataset, indices), device))
            check_sums(found, sums, len(indices))
            for name in sums:
                sums[name] += float(found[name])
    model.train(was_training)
    return EvaluationReport(examples, sums.pop("loss"), sums)


def limit_threads(count: int) -> None:
    """Let torch use `count` CPU threads in this process: 1 where simulated clients share cores."""
    _check_count("threads", count, 1, 4096)
    torch.set_num_threads(count)


class _Descent:
    """SGD with momentum as torch.optim.SGD does it, without the second that one takes to import."""

    def __init__(self, model: nn.Module, config: TrainingConfig) -> None:
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]
        if not self.weights:
            raise ParameterError("the model has no parameter to train; set requires_grad on some")
        self.velocity: list[torch.Tensor | None] = [None] * len(self.weights)
        self.config = config
        self.start = [weight.detach().clone() for weight in self.weights if config.proximal_mu]

    def __call__(self, loss: torch.Tensor) -> None:
        for weight in self.weights:
            weight.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            for number, weight in enumerate(self.weights):
                if weight.grad is not None:
                    self._move(number, weight, weight.grad)

    def _move(self, number: int, weight: torch.Tensor, gradient: torch.Tensor) -> None:
        if self.start:
            gradient = gradient.add(weight - self.start[number], alpha=self.config.proximal_mu)
        velocity = self.velocity[number]
        if self.config.momentum:
            velocity = (
                gradient.clone() if velocity is None else velocity.mul_(self.config.momentum).add_(gradient)
            )
            self.velocity[number], gradient = velocity, velocity
        weight.add_(gradient, alpha=-self.config.learning_rate)


def own_stream(seed: int, server_round: int, partition_id: int) -> int:
    """A 63-bit stream number; hashed, so that neighbouring rounds and clients share nothing."""
    label = f"chorus/training/{seed}/{server_round}/{partition_id}".encode()
    return int.from_bytes(hashlib.sha256(label).digest()[:8], "big") >> 1


@contextmanager
def own_random_stream(stream: int, device: torch.device) -> Iterator[None]:
    """Seed torch with `stream` inside; on leaving, the global random state is as it was."""
    gpus = [device.index or 0] if device.type == "cuda" else []
    apple = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(stream)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(stream)
        if apple is not None:
            torch.mps.manual_seed(stream)
        try:
            yield
        finally:
            if apple is not None:
                torch.mps.set_rng_state(apple)


@contextmanager
def typed_errors() -> Iterator[None]:
    """Turn what torch says of too little memory or data into the errors a user can act upon."""
    try:
        yield
    except (RuntimeError, MemoryError, ValueError) as error:
        text = str(error)
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "out of memory" in text:
            raise SetupError(
                "the device ran out of memory, so this client leaves the round; lower batch-size, "
                "give each client a larger share of the GPU, or set device=cpu"
            ) from None
        if "more than 1 value per channel" in text:
            raise RangeError(
                "BatchNorm needs two examples a batch, so this client abstains; "
                "give it more data, raise batch-size, or use GroupNorm"
            ) from None
        raise


def _batches(shuffled: torch.Tensor, size: int) -> list[torch.Tensor]:
    parts = list(torch.split(shuffled, size))
    if size > 1 and len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def gather(dataset: Dataset[Any], indices: torch.Tensor) -> Any:  # noqa: ANN401 - the task's own type
    """The examples at `indices`, int64 (size,), as one batch."""
    if type(dataset) is TensorDataset:  # index whole tensors: many times faster than one by one
        return tuple(tensor[indices] for tensor in dataset.tensors)
    return default_collate([dataset[index] for index in indices.tolist()])


def to_device(batch: Any, device: torch.device) -> Any:  # noqa: ANN401 - the task's own type
    """The same batch on `device`, whatever it is made of."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return tuple(to_device(value, device) for value in batch)
    return batch


def finite(loss: torch.Tensor) -> float:
    """The value of a batch's mean loss; raises ConfigError for another shape, RangeError for NaN or infinity."""
    if loss.numel() != 1:
        raise ConfigError(f"the task's loss has shape {tuple(loss.shape)}; give the batch's mean")
    value = float(loss.detach())
    if not math.isfinite(value):
        raise RangeError(f"the training loss became {value}, so nothing is sent; lower learning-rate")
    return value


def check_weights(model: nn.Module) -> None:
    """Raise RangeError when a trained weight is no longer finite."""
    for name, tensor in model.named_parameters():
        if tensor.requires_grad and not bool(torch.isfinite(tensor).all()):
            raise RangeError(f"{name} is no longer finite, so nothing is sent; lower learning-rate")


def check_sums(found: Mapping[str, float], wanted: Mapping[str, float], examples: int) -> None:
    """Raise ConfigError for other names than `wanted`, RangeError for a sum that `examples` cannot have."""
    if found.keys() != wanted.keys():
        raise ConfigError(f"evaluate_batch gave {sorted(found)}; it must give sums for {sorted(wanted)}")
    for name, value in found.items():
        if not abs(float(value)) <= LARGEST_METRIC * examples:  # NaN fails too
            # Neither the sum nor the count: this line goes to the server.
            raise RangeError(
                f"{name} is not finite or beyond {LARGEST_METRIC:g} an example, so nothing is sent"
            )


def _check_count(name: str, value: int, low: int, high: int) -> None:
    if type(value) is not int or not low <= value <= high:
        raise ParameterError(f"{name} is {value!r}; choose an integer from {low} to {high}")


def _check_real(name: str, value: float, low: float, high: float, allowed: str) -> None:
    if type(value) not in (int, float) or not low <= value <= high:  # NaN fits no comparison
        raise ParameterError(f"{name} is {value!r}; choose a number x with {allowed}")
