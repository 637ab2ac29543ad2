"""A task: the data and the model of one training run, behind one small interface.

Decides what a task must offer (`Task`), how it is found by name (`load_task`) and what a broken one
is told. Refuses to know any data set, model, training loop or Flower. Importing this module does
not import torch.

Writing a task (a classifier in a dozen lines; see `clients.tasks.classification`):

    class Flowers(ClassificationTask):
        name = "flowers"

        def network(self) -> nn.Module:
            return nn.Linear(4, 3)

        def load(self, source: DataSource) -> Examples:
            return Examples(inputs, labels)      # uint8 or float32 inputs, int64 labels

    TASK = Flowers()

Put it into examples/, which travels to the clients with the app, and run with `-c task=examples.flowers`. Anything
else (a regression, a language model) implements the methods of `Task` itself; see docs/bring_your_own.md.
"""

import difflib
import importlib
import importlib.util
import inspect
import math
import re
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, cast, runtime_checkable

from arithmetic.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.utils.data import Dataset

BUILT_IN: Final = (
    "digits",
    "mnist",
    "digits_hog",
    "mnist_hog",
    "digits_softmax",
    "mnist_softmax",
    "diabetes",
)
LARGEST_METRIC: Final = 1e6  # a per-example metric lies in [-1e6, 1e6]: the scalar part's headroom
_METHODS: Final = {
    "model": ("seed",),
    "partition_data": ("source", "validation_fraction", "seed"),
    "test_data": ("source",),
    "loss": ("model", "batch"),
    "evaluate_batch": ("model", "batch"),
}


@dataclass(frozen=True)
class DataSource:
    """Where a client's data is, and which part of it is the client's.

    `data_path` "" means the task's embedded data. With a path and `num_partitions` 1 (a SuperNode
    with its own folder) the whole folder is the client's.
    """

    data_path: str = ""
    partition_id: int = 0
    num_partitions: int = 1
    partition: str = "iid"
    dirichlet_alpha: float = 0.5

    def __post_init__(self) -> None:
        """Raise ConfigError for a partition that does not exist."""
        if not 0 <= self.partition_id < self.num_partitions:
            raise ConfigError(
                f"partition-id is {self.partition_id} of {self.num_partitions} partitions; "
                "give each node an id from 0 to num-partitions - 1"
            )
        if self.partition not in ("iid", "dirichlet"):
            raise ConfigError(f"partition is {self.partition!r}; choose iid or dirichlet")
        if not (math.isfinite(self.dirichlet_alpha) and self.dirichlet_alpha > 0):
            raise ConfigError(f"dirichlet-alpha is {self.dirichlet_alpha}; choose a number above 0")


@dataclass(frozen=True)
class ClientData:
    """One client's examples: both have a length; training or evaluating an empty one is refused."""

    train: "Dataset[Any]"
    validation: "Dataset[Any]"


@runtime_checkable
class Task(Protocol):
    """What a run needs to know of its data and model; all of it deterministic in its arguments."""

    name: str
    metric_names: tuple[str, ...]

    def model(self, seed: int) -> "nn.Module":
        """Give a fresh model on the CPU; the same seed gives the same weights."""
        ...

    def partition_data(self, source: DataSource, validation_fraction: float, seed: int) -> ClientData:
        """Give one client's data; 0 < validation_fraction < 1, seed the run's."""
        ...

    def test_data(self, source: DataSource) -> "Dataset[Any] | None":
        """Give the public central test set, or None where there is none."""
        ...

    def loss(self, model: "nn.Module", batch: Any) -> "torch.Tensor":  # noqa: ANN401
        """Give the batch's mean loss, a scalar that gradients flow through."""
        ...

    def evaluate_batch(self, model: "nn.Module", batch: Any) -> Mapping[str, float]:  # noqa: ANN401
        """Give sums over the batch's examples: "loss" and every name in `metric_names`.

        Each example adds a finite number in [-1e6, 1e6] to a metric.
        """
        ...


def load_task(name: str) -> Task:
    """Give the task called `name`: digits, mnist, or the `TASK` of a module by its dotted path.

    Raises:
        ConfigError: no such task or module, a module that fails to import, or a `TASK` that does
            not offer the interface; the message names the fix.
    """
    if name in BUILT_IN:
        return _checked(importlib.import_module(f"clients.tasks.{name}").TASK, name)
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name) or not _exists(name):
        near = difflib.get_close_matches(name, BUILT_IN, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"task is {name!r}, which is no task and no module here; choose "
            f"{', '.join(BUILT_IN)} or the dotted path of a module that defines TASK{hint}"
        )
    try:
        module = importlib.import_module(name)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"task module {name} fails to import ({type(error).__name__}: {reason}); "
            f"see `python -c 'import {name}'`"
        ) from error
    if not hasattr(module, "TASK"):
        raise ConfigError(f"module {name} has no TASK; end it with `TASK = MyTask()`")
    return _checked(module.TASK, name)


def length_of(dataset: "Dataset[Any]") -> int:
    """Number of examples; raises ConfigError for a data set that has no length."""
    if not isinstance(dataset, Sized):
        raise ConfigError("the task's data set has no len(); give a map-style torch Dataset")
    return len(dataset)


def _exists(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _checked(task: object, where: str) -> Task:
    if isinstance(task, type):
        raise ConfigError(f"TASK of {where} is a class; make it an instance: TASK = {task.__name__}()")
    if not isinstance(getattr(task, "name", None), str) or not getattr(task, "name", ""):
        raise ConfigError(f'the task of {where} has no name; set `name = "..."`')
    names = getattr(task, "metric_names", None)
    if not isinstance(names, tuple) or not all(_is_metric(item) for item in names):
        raise ConfigError(
            f"metric_names of task {where} is {names!r}; set a tuple of lower-case words other "
            'than "loss", as in `metric_names = ("accuracy",)`'
        )
    if len(set(names)) != len(names):
        raise ConfigError(f"metric_names of task {where} repeats a name: {names!r}; list each once")
    for method, arguments in _METHODS.items():
        _check_method(task, where, method, arguments)
    return cast(Task, task)


def _is_metric(name: object) -> bool:
    return isinstance(name, str) and bool(re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name)) and name != "loss"


def _check_method(task: object, where: str, method: str, arguments: tuple[str, ...]) -> None:
    wanted = f"def {method}(self, {', '.join(arguments)})"
    found = getattr(task, method, None)
    if not callable(found):
        raise ConfigError(f"the task of {where} has no {method}; add `{wanted}`")
    try:
        inspect.signature(found).bind(*arguments)
    except TypeError:
        raise ConfigError(f"{method} of task {where} takes other arguments; write `{wanted}`") from None
    except ValueError:  # a builtin without a signature: it is tried when called
        return
