"""The work of r1: judge the model that came in, train it or take a gradient at it, encode. The only trip that imports
torch.

Decides: what enters the vector: weight / max_examples * (local - global), in job gradients times the gradient of one
batch (`clients.gradients`), and the scalars of `wire.scalars`; which of them the client's own log may say; with
differential privacy the weight is one, and of the scalars only those that follow from what is noised are not zero.
Refuses to know: the protocol, where the vector waits until r2, and how noise is added (`clients.private`).
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from arithmetic.errors import ParameterError
from arithmetic.fixed_point import MAGNITUDE_STEPS, FixedPoint
from arithmetic.layout import VectorSpec
from arithmetic.residues import Words
from clients.device import choose_device
from clients.gradients import batch_gradient
from clients.own_data import kept_data, task_named
from clients.policy import Policy, norm_of
from clients.tasks import ClientData, DataSource, Task, length_of
from clients.training import TrainingConfig, evaluate, limit_threads, train
from clients.updates import arrays_of, load_arrays, spec_of
from privacy.terms import PrivacyMode
from secagg.errors import RangeError, Refused, SuspectServer
from secagg.masks import Residues, empty
from secagg.params import SecAggParams
from secagg.primitives import KeyStream, same
from wire.rounds import Purpose
from wire.scalars import (
    EVALUATION_EXAMPLES,
    EVALUATION_LOSS,
    TRAINING_LOSS,
    WEIGHT,
    WEIGHTS_CLAMPED,
    WITHIN_NORM,
    ScalarLayout,
    exceeding_key,
    metric_key,
)  # fmt: skip
from wire.settings import Assignment, Job, Rounding, layout_digest

if TYPE_CHECKING:
    from clients.private import PrivateWork
    from clients.spending import Spending

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Node:
    """What the node itself says about its place: its own data folder wins over the server's.

    Attributes:
        layout: digest of the model it worked on earlier in the run; empty for none.
        device: where it trains, which wins over the server's word; empty for as the server says.
    """

    data_path: str
    partition_id: int
    num_partitions: int
    simulated: bool
    run: str = ""
    ledger: Path | None = None
    policy: Policy = field(default_factory=Policy)
    layout: bytes = b""
    device: str = ""


@dataclass(frozen=True)
class Done:
    """The encoded vector, what the client's own log may say, and the ledger's chain if anything was charged.

    Attributes:
        metrics: means over the client's own data: of its validation data `loss` and the task's metrics, `train_loss`;
            empty with differential privacy. The server never gets them.
    """

    vector: Residues
    device: str
    examples: int
    layout: bytes
    notes: Mapping[str, str | int] = field(default_factory=dict)
    ledger: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Contribution:
    """What a client without privacy has to say of its training data: values (d,), integers, and how much they weigh."""

    values: NDArray[np.float64]
    integers: Sequence[int]
    examples: int
    mean_loss: float


def work(model_arrays: Arrays, assignment: Assignment, node: Node, params: SecAggParams, round_: int) -> Done:
    """Evaluate and, in a training session, train; encode for the sum.

    Raises:
        SuspectServer: the server takes the model to be laid out differently.
        Refused: the node's policy does not allow it, or the incoming arrays are not the model's.
        RangeError: no data, a loss or gradient that is not finite, a number too large: nothing is sent.
        SetupError: the device asked for is not there or out of memory.
    """
    if node.simulated:
        limit_threads(1)
    node.policy.check_task(assignment.task)
    task = task_named(assignment.task)
    device = choose_device(node.device or assignment.device, node.partition_id)
    data = _data(task, assignment, node)
    model = task.model(assignment.seed)
    spec, purpose, terms = spec_of(model), Purpose(assignment.purpose), assignment.terms
    adaptive = terms.clipping_quantile > 0
    layout = ScalarLayout.of(purpose, task.metric_names, spec.integer_length, adaptive)
    tensor_length = spec.tensor_length if purpose is Purpose.TRAINING else 0
    _check_layout(spec, layout, assignment, params, tensor_length)
    if node.layout and not same(node.layout, spec.digest):
        raise Refused("the model is laid out otherwise than earlier in this run; nothing was sent")
    parameters = sum(array.size for array in model_arrays.values())
    node.policy.check_model(assignment.task, spec.digest, parameters, norm_of(model_arrays))
    _load(model, model_arrays, spec)
    private = terms.mode is not PrivacyMode.NONE
    due = purpose is Purpose.EVALUATION or (round_ - 1) % max(assignment.evaluate_every, 1) == 0
    scalars = _judge(task, model, data, device) if due and not private else _unsaid(task)
    metrics = _own(task, scalars)
    vector, examples = empty(0, layout.length, params.modulus_bits), int(scalars[EVALUATION_EXAMPLES])
    integers: Sequence[int] = ()
    notes: Mapping[str, str | int] = {}
    ledger = ""
    if purpose is Purpose.TRAINING and private:
        from clients.private import PrivateWork  # Opacus: only where it is needed

        job = PrivateWork(
            task, model, data.train, device, model_arrays, spec, _config(assignment), terms, params,
            assignment.max_examples, _spending(node, data), round_, node.partition_id,
        )  # fmt: skip
        vector.tensor, counts = _private(job, assignment)
        scalars |= {WEIGHT: 1, WEIGHTS_CLAMPED: 0, TRAINING_LOSS: 0} | counts
        integers, examples, notes = [0] * spec.integer_length, length_of(data.train), job.spending.notes
        ledger = job.spending.chain
    elif purpose is Purpose.TRAINING:
        mine = _contribution(task, model, data, device, model_arrays, spec, assignment, round_, node)
        examples, weight = mine.examples, weight_of(mine.examples, assignment.max_examples)
        vector.tensor, counts = _encode(mine.values, weight, assignment, params)
        scalars |= {WEIGHT: weight, WEIGHTS_CLAMPED: int(weight < mine.examples)}
        scalars |= {TRAINING_LOSS: mine.mean_loss * weight} | counts
        metrics["train_loss"] = mine.mean_loss
        integers = [value * weight for value in mine.integers]
    vector.scalars = layout.encode(scalars, integers, params.cohort)
    return Done(vector, str(device), examples, spec.digest, notes, ledger, metrics)


def _contribution(
    task: Task, model: nn.Module, data: ClientData, device: torch.device, arrays: Arrays, spec: VectorSpec,
    assignment: Assignment, round_: int, node: Node,
) -> Contribution:  # fmt: skip
    """What local training changed; in job gradients the gradient of this server round's batch."""
    config = _config(assignment)
    if assignment.job == Job.GRADIENTS:
        found = batch_gradient(task, model, data.train, config, spec, device, round_, node.partition_id)
        return Contribution(found.values, (), found.examples, found.mean_loss)
    trained = train(task, model, data.train, config, device, round_, node.partition_id)
    update = spec.flatten_update(arrays_of(model), arrays)
    return Contribution(update.tensor, update.integers.tolist(), trained.examples, trained.mean_loss)


def _check_layout(
    spec: VectorSpec, layout: ScalarLayout, assignment: Assignment, params: SecAggParams, tensor_length: int
) -> None:
    """Refuse to fill a vector that the server would read differently."""
    if not same(layout_digest(spec, layout), assignment.layout_digest):
        raise SuspectServer(
            "server and client disagree on the model's layout or the code's version; install the same "
            "version on both sides. Nothing was sent"
        )
    if (params.tensor_length, params.scalar_length) != (tensor_length, layout.length):
        raise SuspectServer("the session's vector is not of the layout's lengths; nothing was sent")


def _load(model: nn.Module, arrays: Arrays, spec: VectorSpec) -> None:
    try:
        load_arrays(model, arrays, spec)
    except ParameterError as error:
        raise Refused(
            "the incoming model's names, shapes or types are not those of this task's model; nothing was sent"
        ) from error


def weight_of(examples: object, most: int) -> int:
    """A client's weight: its number of examples, clamped to `most`; the clamp is counted under the mask.

    Raises:
        RangeError: not a whole number of at least 1 (a bool, NaN, a fraction, zero, a negative).
    """
    if type(examples) is not int or examples < 1:
        raise RangeError(
            "the number of training examples must be a whole number of at least 1; nothing was sent"
        )
    return min(examples, most)


def _judge(task: Task, model: nn.Module, data: ClientData, device: torch.device) -> dict[str, int | float]:
    """Sums over the validation data; zeros where a client has none, which nobody sees under the mask."""
    if not length_of(data.validation):
        return _unsaid(task)
    judged = evaluate(task, model, data.validation, device)
    scalars: dict[str, int | float] = {EVALUATION_EXAMPLES: judged.examples, EVALUATION_LOSS: judged.loss_sum}
    return scalars | {metric_key(name): judged.metric_sums[name] for name in task.metric_names}


def _own(task: Task, scalars: Mapping[str, int | float]) -> dict[str, float]:
    """The client's own means, for its own log."""
    examples = scalars[EVALUATION_EXAMPLES]
    if not examples:
        return {}
    sums = {"loss": EVALUATION_LOSS} | {name: metric_key(name) for name in task.metric_names}
    return {name: scalars[key] / examples for name, key in sums.items()}


def _data(task: Task, assignment: Assignment, node: Node) -> ClientData:
    source = DataSource(
        node.data_path or assignment.data_path, node.partition_id, node.num_partitions, assignment.partition,
        assignment.dirichlet_alpha,
    )  # fmt: skip
    if node.simulated and assignment.job == Job.GRADIENTS:
        return kept_data(assignment.task, source, assignment.validation_fraction, assignment.seed)
    return task.partition_data(source, assignment.validation_fraction, assignment.seed)


def _config(assignment: Assignment) -> TrainingConfig:
    return TrainingConfig(
        assignment.local_epochs, assignment.batch_size, assignment.learning_rate, assignment.momentum,
        assignment.proximal_mu, assignment.seed,
    )  # fmt: skip


def _spending(node: Node, data: ClientData) -> "Spending":
    from clients.spending import Spending

    return Spending.of(node.ledger, (data.train, data.validation), node.run, node.policy.budget)


def _unsaid(task: Task) -> dict[str, int | float]:
    """Zeros in place of what the validation data says: with differential privacy every such sum is a release."""
    return dict.fromkeys((EVALUATION_EXAMPLES, EVALUATION_LOSS, *map(metric_key, task.metric_names)), 0)


def _private(job: "PrivateWork", assignment: Assignment) -> tuple[Words, dict[str, int]]:
    """Residues with the noise that the mode asks for, and the scalars that follow from them."""
    if not job.terms.mode.shares_noise:
        return _encode(job.update(), 1, assignment, job.params)
    silent = {exceeding_key(step): 0 for step in range(MAGNITUDE_STEPS)}
    if job.terms.mode is PrivacyMode.DISTRIBUTED:
        return job.noisy_gradient_sum(), silent
    words, noisy_bit = job.noisy_update()
    return words, silent | ({WITHIN_NORM: noisy_bit} if job.terms.clipping_quantile else {})


def _encode(
    values: NDArray[np.float64], weight: int, assignment: Assignment, params: SecAggParams
) -> tuple[Words, dict[str, int]]:
    """Residues of the weighted update, and how many entries exceed which fraction of the bound."""
    if not (0 < assignment.encoding_bound < math.inf and assignment.max_examples > 0):
        raise RangeError("encoding-bound and max-examples must be positive and finite; nothing was sent")
    codec = FixedPoint(params.modulus_bits, params.cohort, assignment.encoding_bound)
    values *= weight / assignment.max_examples
    # The rounding stream is secret and fresh: its key never leaves this call.
    nearest = assignment.rounding == Rounding.NEAREST
    encoded = codec.encode(values, _halves if nearest else KeyStream(os.urandom(32)).read)
    return encoded.words, {exceeding_key(at): count for at, count in enumerate(encoded.exceeding)}


def _halves(count: int) -> bytes:
    """One half, as often as `count` bytes hold it, in place of uniform offsets: rounds to the nearest step."""
    return bytes((0, 0, 0, 0x80)) * (count // 4)
