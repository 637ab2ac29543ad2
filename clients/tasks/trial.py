"""A trial of somebody's task on one machine: everything a run will ask of it, asked once, before anybody waits for it.

Decides: what is tried (model, data, a batch, loss, gradient, metrics) and what a user is told to mend, always one line.
Refuses to know: the protocol, how a run is started, and where the module lies. What is true of any task however it is
written is checked where it is used (`clients.training`, `clients.updates`), here as on a client.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import Dataset, TensorDataset

from arithmetic.errors import ChorusError, ConfigError
from clients.tasks import ClientData, DataSource, Task, length_of
from clients.tasks.classification import ClassificationTask
from clients.tasks.found import Found, leaves, shown
from clients.training import check_sums, check_weights, finite, gather, own_random_stream, typed_errors
from clients.updates import arrays_of, spec_of

MOST_TRIED: Final = 512  # examples of a client that are looked at
_CPU: Final = torch.device("cpu")


def tried(
    task: Task,
    source: DataSource,
    validation_fraction: float,
    seed: int,
    batch_size: int,
    clipped: bool = False,
) -> Found:
    """Ask a task for all that a run will.

    Args:
        task: of the interface, as `load_task` gives it.
        source: of the client to try.
        validation_fraction: 0 < fraction < 1.
        seed: of the run, >= 0.
        batch_size: examples a training step, >= 1.
        clipped: the run takes each example's own gradient (privacy `local` and `distributed`).

    Raises:
        LeakyModel: clipped gradients would not be all that leaves; with `clipped`.
        ConfigError: one line that says what to mend in which method.
        ChorusError: what a client would say of this task in a run.
    """
    model = _model(task, seed)
    data = _data(task, source, validation_fraction, seed)
    batch = _batch(task, data.train, batch_size)
    _check_labels(task, model, data.train)
    remarks = (*_normed(model), *_loss(task, model, batch))
    if clipped:
        from clients.leaks import check_leaks  # Opacus: only where it is needed

        examples = length_of(data.train)
        check_leaks(
            task, model, lambda at: gather(data.train, at), examples, lambda: own_random_stream(seed, _CPU)
        )
    _check_sums_add_up(task, model, data.train)
    _test_set(task, model, source)
    parameters = spec_of(model).tensor_length
    return Found(parameters, length_of(data.train), length_of(data.validation), shown(batch), remarks)


@contextmanager
def _told(task: Task, call: str, fix: str) -> Iterator[None]:
    """What a method of somebody else's raises, in one line of ours."""
    try:
        yield
    except ChorusError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"{call} of task {task.name} failed ({type(error).__name__}: {reason}); {fix}"
        ) from error


def _model(task: Task, seed: int) -> nn.Module:
    with _told(task, "model(seed)", "make every layer with sizes that fit one another"):
        model, again = task.model(seed), task.model(seed)
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"model(seed) of task {task.name} gives a {type(model).__name__}; return a torch nn.Module"
        )
    spec_of(model)
    check_weights(model)
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ConfigError(
            f"the model of task {task.name} has nothing to train; set requires_grad on some parameter"
        )
    first, second = arrays_of(model), arrays_of(again)
    if first.keys() != second.keys():
        raise ConfigError(
            f"model(seed) of task {task.name} gives another network each time; make it of the seed alone"
        )
    for name in first:
        if not np.array_equal(first[name], second[name]):
            raise ConfigError(
                f"model(seed) of task {task.name} gives another {name} each time; make it under "
                "`with seeded(seed):` of clients.tasks.classification, so that all clients begin alike"
            )
    return model


def _data(task: Task, source: DataSource, fraction: float, seed: int) -> ClientData:
    with _told(
        task,
        "partition_data",
        "see that data-path names the file that it reads, and that what it looks for is in it",
    ):
        data = task.partition_data(source, fraction, seed)
        again = task.partition_data(source, fraction, seed)
    if not isinstance(data, ClientData):
        raise ConfigError(
            f"partition_data of task {task.name} gives a {type(data).__name__}; return ClientData(train, validation)"
        )
    if not length_of(data.train):
        raise ConfigError(
            f"client {source.partition_id} of task {task.name} has no training examples; check data-path, or deal "
            "to fewer clients"
        )
    for name, part, other in (
        ("train", data.train, again.train),
        ("validation", data.validation, again.validation),
    ):
        if length_of(part) != length_of(other) or not _same(_first(task, part), _first(task, other)):
            raise ConfigError(
                f"partition_data of task {task.name} gives other {name} examples each time; draw from "
                "np.random.default_rng(seed), for every round asks anew"
            )
    return data


def _first(task: Task, data: Dataset[Any]) -> Any:  # noqa: ANN401 - an example is the task's own
    return _gathered(task, data, 1) if length_of(data) else ()


def _same(one: Any, other: Any) -> bool:  # noqa: ANN401 - an example is the task's own
    pairs = zip(leaves(one), leaves(other), strict=True)
    return all(
        torch.equal(a, b) for a, b in pairs if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)
    )


def _gathered(task: Task, data: Dataset[Any], count: int) -> Any:  # noqa: ANN401 - a batch is the task's own
    with _told(
        task,
        "a data set",
        "let each example be tensors or numbers of one shape and type, so that they make a batch",
    ):
        return gather(data, torch.arange(min(count, length_of(data))))


def _batch(task: Task, data: Dataset[Any], size: int) -> Any:  # noqa: ANN401 - a batch is the task's own
    for leaf in leaves(_gathered(task, data, MOST_TRIED)):
        if (
            isinstance(leaf, torch.Tensor)
            and leaf.is_floating_point()
            and not bool(torch.isfinite(leaf).all())
        ):
            example, *place = torch.nonzero(~torch.isfinite(leaf))[0].tolist()
            at = f", position {place[0] if len(place) == 1 else tuple(place)}" if place else ""
            raise ConfigError(
                f"training example {example} of task {task.name} holds NaN or infinity{at}; fill in what is missing "
                "where the data is read, as in np.where(np.isnan(inputs), FILL, inputs) with constants that all "
                "clients share"
            )
    return _gathered(task, data, size)


def _check_labels(task: Task, model: nn.Module, data: Dataset[Any]) -> None:
    """All of them: the one that is out of range may stand in any batch, and on a GPU it ends the process."""
    if not (isinstance(task, ClassificationTask) and isinstance(data, TensorDataset)):
        return
    inputs, labels = data.tensors
    with torch.no_grad(), _told(task, "the network", f"its inputs are {shown(inputs[:1])}: {_HINT}"):
        logits = model.eval()(inputs[:1])
    if logits.ndim != 2:
        raise ConfigError(
            f"the network of task {task.name} gives {shown(logits)} for one example; end it with a linear layer, so "
            "that it gives (batch, classes)"
        )
    largest = int(labels.max())
    if largest >= logits.shape[1]:
        raise ConfigError(
            f"a label of task {task.name} is {largest}, but the network has {logits.shape[1]} outputs; number classes "
            f"from 0, or give the last layer {largest + 1} outputs"
        )


def _normed(model: nn.Module) -> list[str]:
    names = [name for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)]
    return [
        f"BatchNorm in layer {name!r}: neither privacy nor job = gradients takes it" for name in names[:1]
    ]


def _loss(task: Task, model: nn.Module, batch: Any) -> list[str]:  # noqa: ANN401 - a batch is the task's own
    fix = f"the batch is {shown(batch)}"
    with _told(task, "loss", f"{fix}: {_HINT}"), typed_errors():
        loss = task.loss(model.train(), batch)
    if not isinstance(loss, torch.Tensor):
        raise ConfigError(
            f"loss of task {task.name} gives {type(loss).__name__}; return the batch's mean as a tensor"
        )
    finite(loss)
    if not loss.requires_grad:
        raise ConfigError(
            f"loss of task {task.name} carries no gradient; leave out detach(), item() and no_grad()"
        )
    with _told(task, "the gradient of loss", fix):
        loss.backward()  # type: ignore[no-untyped-call]
    idle = [name for name, weight in model.named_parameters() if weight.requires_grad and weight.grad is None]
    return [f"loss does not depend on parameter {name}" for name in idle[:1]]


_HINT: Final = (
    "inputs are float32 and as wide as the first layer, labels int64 and below the width of the last layer"
)


def _sums(task: Task, model: nn.Module, batch: Any, examples: int) -> dict[str, float]:  # noqa: ANN401
    with torch.no_grad(), _told(task, "evaluate_batch", f"the batch is {shown(batch)}: {_HINT}"):
        found = task.evaluate_batch(model.eval(), batch)
        if not isinstance(found, Mapping):
            raise ConfigError(
                f'evaluate_batch of task {task.name} gives {type(found).__name__}; return {{"loss": ...}}'
            )
        check_sums(found, dict.fromkeys(("loss", *task.metric_names), 0.0), examples)
        return {name: float(value) for name, value in found.items()}


def _check_sums_add_up(task: Task, model: nn.Module, data: Dataset[Any]) -> None:
    """Sums of a batch twice over are twice the sums; a mean stays as it is."""
    size = min(length_of(data), MOST_TRIED)
    once, twice = torch.arange(size), torch.arange(size).repeat(2)
    whole, double = (_sums(task, model, gather(data, part), len(part)) for part in (once, twice))
    for name, value in whole.items():
        if abs(double[name] - 2 * value) > 1e-3 * max(abs(value), 1e-6):
            raise ConfigError(
                f"{name} of evaluate_batch of task {task.name} is no sum over the batch's examples; multiply a mean "
                "by the number of examples"
            )


def _test_set(task: Task, model: nn.Module, source: DataSource) -> None:
    with _told(task, "test_data", "return None where there is no public test set"):
        data = task.test_data(source)
    if data is not None:
        _sums(task, model, _gathered(task, data, MOST_TRIED), min(length_of(data), MOST_TRIED))
