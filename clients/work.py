"""The work of r1: judge the model that came in, train it, encode the update. The only trip that imports
torch.

Decides: what enters the vector: weight / max_examples * (local - global), and the scalars of `wire.scalars`.
Refuses to know: the protocol, and where the vector waits until r2.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from arithmetic.fixed_point import FixedPoint
from arithmetic.layout import FlatUpdate
from clients.device import choose_device
from clients.tasks import ClientData, DataSource, Task, length_of, load_task
from clients.training import TrainingConfig, TrainingReport, evaluate, limit_threads, train
from clients.updates import arrays_of, load_arrays, spec_of
from secagg.errors import RangeError, SuspectServer
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
    ScalarLayout,
    exceeding_key,
    metric_key,
)  # fmt: skip
from wire.settings import Assignment, layout_digest

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Node:
    """What the node itself says about its place: its own data folder wins over the server's."""

    data_path: str
    partition_id: int
    num_partitions: int
    simulated: bool


@dataclass(frozen=True)
class Done:
    """The encoded vector, and what the client's own log may say."""

    vector: Residues
    device: str
    examples: int


def work(model_arrays: Arrays, assignment: Assignment, node: Node, params: SecAggParams, round_: int) -> Done:
    """Evaluate and, in a training session, train; encode for the sum.

    Raises:
        SuspectServer: the server takes the model to be laid out differently.
        RangeError: no data, a loss or gradient that is not finite, a number too large: nothing is sent.
        SetupError: the device asked for is not there or out of memory.
    """
    if node.simulated:
        limit_threads(1)
    task = _task(assignment.task)
    device = choose_device(assignment.device, node.partition_id)
    data = _data(task, assignment, node)
    model = task.model(assignment.seed)
    spec, purpose = spec_of(model), Purpose(assignment.purpose)
    layout = ScalarLayout.of(purpose, task.metric_names, spec.integer_length)
    if not same(layout_digest(spec, layout), assignment.layout_digest):
        raise SuspectServer(
            "server and client disagree on the model's layout or the code's version; install the same "
            "version on both sides. Nothing was sent"
        )
    tensor_length = spec.tensor_length if purpose is Purpose.TRAINING else 0
    if (params.tensor_length, params.scalar_length) != (tensor_length, layout.length):
        raise SuspectServer("the session's vector is not of the layout's lengths; nothing was sent")
    load_arrays(model, model_arrays, spec)
    scalars = _judge(task, model, data, device)
    vector, examples = empty(0, layout.length, params.modulus_bits), int(scalars[EVALUATION_EXAMPLES])
    integers: Sequence[int] = ()
    if purpose is Purpose.TRAINING:
        trained = _train(task, model, data, assignment, node, device, round_)
        update = spec.flatten_update(arrays_of(model), model_arrays)
        examples, weight = trained.examples, weight_of(trained.examples, assignment.max_examples)
        vector.tensor, counts = _encode(update, weight, assignment, params)
        scalars |= {WEIGHT: weight, WEIGHTS_CLAMPED: int(weight < trained.examples)}
        scalars |= {TRAINING_LOSS: trained.mean_loss * weight} | counts
        integers = [int(value) * weight for value in update.integers]
    vector.scalars = layout.encode(scalars, integers, params.cohort)
    return Done(vector, str(device), examples)


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
        return dict.fromkeys((EVALUATION_EXAMPLES, EVALUATION_LOSS, *map(metric_key, task.metric_names)), 0)
    judged = evaluate(task, model, data.validation, device)
    scalars: dict[str, int | float] = {EVALUATION_EXAMPLES: judged.examples, EVALUATION_LOSS: judged.loss_sum}
    return scalars | {metric_key(name): judged.metric_sums[name] for name in task.metric_names}


@lru_cache(maxsize=4)
def _task(name: str) -> Task:
    """Found and checked once a process: a simulated worker asks for every client. A task holds no client's data."""
    return load_task(name)


def _data(task: Task, assignment: Assignment, node: Node) -> ClientData:
    source = DataSource(
        node.data_path or assignment.data_path, node.partition_id, node.num_partitions, assignment.partition,
        assignment.dirichlet_alpha,
    )  # fmt: skip
    return task.partition_data(source, assignment.validation_fraction, assignment.seed)


def _train(
    task: Task,
    model: nn.Module,
    data: ClientData,
    assignment: Assignment,
    node: Node,
    device: torch.device,
    round_: int,
) -> TrainingReport:
    config = TrainingConfig(
        assignment.local_epochs, assignment.batch_size, assignment.learning_rate, assignment.momentum,
        assignment.proximal_mu, assignment.seed,
    )  # fmt: skip
    return train(task, model, data.train, config, device, round_, node.partition_id)


def _encode(
    update: FlatUpdate, weight: int, assignment: Assignment, params: SecAggParams
) -> tuple[Any, dict[str, int]]:
    """Residues of the weighted update, and how many entries exceed which fraction of the bound."""
    if not (0 < assignment.encoding_bound < math.inf and assignment.max_examples > 0):
        raise RangeError("encoding-bound and max-examples must be positive and finite; nothing was sent")
    codec = FixedPoint(params.modulus_bits, params.cohort, assignment.encoding_bound)
    values = update.tensor
    values *= weight / assignment.max_examples
    # The rounding stream is secret and fresh: its key never leaves this call.
    encoded = codec.encode(values, KeyStream(os.urandom(32)).read)
    return encoded.words, {exceeding_key(at): count for at, count in enumerate(encoded.exceeding)}
