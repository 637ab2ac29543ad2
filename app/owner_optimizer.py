"""The model owner's optimiser: torch.optim on the server, along mean gradients.

Decides: which of torch's optimisers a name is, its rate where none was given, and how its state becomes named arrays.
Refuses to know: whose gradients went into the mean, and how it was summed.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch.optim import SGD, Adagrad, Adam, Optimizer, RMSprop

from arithmetic.errors import RangeError
from strategies.errors import StrategyNotSupported
from strategies.gradient_step import Arrays, GradientStep

RATES: Final[Mapping[str, float]] = {"sgd": 0.1, "adam": 0.001, "adagrad": 0.01, "rmsprop": 0.01}
_STATE: Final[Mapping[str, frozenset[str]]] = {
    "sgd": frozenset({"momentum_buffer"}),
    "adam": frozenset({"step", "exp_avg", "exp_avg_sq"}),
    "adagrad": frozenset({"step", "sum"}),
    "rmsprop": frozenset({"step", "square_avg", "momentum_buffer"}),
}


class OwnerOptimizer(GradientStep):
    """FedSGD with one of torch's optimisers; no trained weight is ever more precise than the model's own dtype.

    Args:
        name: sgd, adam, adagrad or rmsprop.
        rate: its learning rate, above 0; 0 is `RATES`' (torch's own, but for sgd).
        momentum: of sgd and rmsprop, 0 <= momentum < 1.
        sampling: arguments of FedAvg.
    """

    def __init__(self, name: str, rate: float = 0.0, momentum: float = 0.0, **sampling: Any) -> None:  # noqa: ANN401
        super().__init__(**sampling)
        self.name = name
        self.rate = rate or RATES[name]
        self.momentum = momentum
        self._kept: Mapping[str, Arrays] = {}

    def step(self, model: Arrays, gradient: Arrays) -> Arrays:
        """The model after one step of the optimiser."""
        weights = {name: torch.from_numpy(np.array(array)) for name, array in model.items()}
        for name, weight in weights.items():
            weight.grad = torch.from_numpy(np.array(gradient[name]))
        optimizer = self._optimizer(list(weights.values()))
        _put(optimizer, self._kept, list(weights))
        optimizer.step()
        if not all(bool(torch.isfinite(weight).all()) for weight in weights.values()):
            raise RangeError(
                "the step leaves a weight that is not finite, so the model stays as it was; lower server-learning-rate"
            )
        self._kept = _read(optimizer, list(weights))
        return {name: weight.numpy() for name, weight in weights.items()}

    def state(self) -> Mapping[str, Arrays]:
        """The optimiser's own buffers, named as torch names them."""
        return self._kept

    def put_state(self, state: Mapping[str, Arrays]) -> None:
        """Take buffers that an optimiser of the same name left."""
        if set(state) - _STATE[self.name]:
            raise StrategyNotSupported(
                f"the state to be put back is not one of {self.name}; resume with the run's own optimizer"
            )
        self._kept = {kind: dict(arrays) for kind, arrays in state.items()}

    def _optimizer(self, weights: list[torch.Tensor]) -> Optimizer:
        makers: Mapping[str, Callable[[], Optimizer]] = {
            "sgd": lambda: SGD(weights, lr=self.rate, momentum=self.momentum),
            "adam": lambda: Adam(weights, lr=self.rate),
            "adagrad": lambda: Adagrad(weights, lr=self.rate),
            "rmsprop": lambda: RMSprop(weights, lr=self.rate, momentum=self.momentum),
        }
        return makers[self.name]()


def _read(optimizer: Optimizer, names: list[str]) -> dict[str, dict[str, np.ndarray]]:
    """Buffers by kind and name; those that the optimiser does without are left out."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for number, buffers in optimizer.state_dict()["state"].items():
        for kind, buffer in buffers.items():
            if buffer is not None:
                found.setdefault(kind, {})[names[number]] = np.array(buffer.numpy())
    return found


def _put(optimizer: Optimizer, kept: Mapping[str, Arrays], names: list[str]) -> None:
    if not kept:
        return
    state = {
        number: {kind: torch.from_numpy(np.array(arrays[name])) for kind, arrays in kept.items()}
        for number, name in enumerate(names)
    }
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
