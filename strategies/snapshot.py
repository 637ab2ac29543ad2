"""What a server remembers between two server rounds: everything that the next one depends on, as one frozen object.

Decides: what is kept, and how an inner strategy's own state is read out and put back. Nothing of a session is in it:
sessions are never resumed.
Refuses to know: how a snapshot lies on disk (`app.checkpoint`) and when one is taken.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi, Strategy
from numpy.typing import NDArray

from strategies.errors import StrategyNotSupported
from strategies.gradient_step import GradientStep
from strategies.records import ndarrays_of, record_of
from wire.rounds import Purpose

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Snapshot:
    """The state after a server round.

    Attributes:
        server_round: done so far; 0 before the first.
        model: the global model, names in the model's order.
        inner: the inner strategy's own state: attribute -> name -> array, in its order.
        adapted: what adapts from round to round: the encoding bound, or the clipping norm of a whole update.
        aggregated: server rounds that gave a new model.
        planned: purpose -> the largest cohort so far, which thresholds follow.
        group_of: node id -> its group.
        asked: training sessions begun so far, failed and lost ones too: releases that a client may have made.
    """

    server_round: int
    model: Arrays = field(repr=False)
    inner: Mapping[str, Arrays] = field(repr=False)
    adapted: float
    aggregated: tuple[int, ...]
    planned: Mapping[Purpose, int]
    group_of: Mapping[int, int]
    asked: int


class Keep(Protocol):
    """Receives a snapshot after each server round; a failure to write it is its own to report, never an exception."""

    def __call__(self, snapshot: Snapshot) -> None:
        """Take it; its arrays are never changed afterwards."""


def _listed(arrays: Arrays) -> list[NDArray[Any]]:
    return list(arrays.values())


_FEDOPT: Mapping[str, Callable[[Arrays], object]] = {"current_arrays": dict, "m_t": dict, "v_t": dict}
# Strategy -> its attributes that change from round to round, and what each of them is made of.
_STATE: Mapping[type[Strategy], Mapping[str, Callable[[Arrays], object]]] = {
    FedAvg: {},
    FedProx: {},
    FedAvgM: {"current_arrays": record_of, "momentum_vector": _listed},
    FedAdagrad: _FEDOPT,
    FedAdam: _FEDOPT,
    FedYogi: _FEDOPT,
}


def check_kept(inner: Strategy) -> None:
    """Refuse a strategy whose state could not be put back.

    Raises:
        StrategyNotSupported: it is neither one of Flower's own nor one that tells its state.
    """
    if type(inner) not in _STATE and not isinstance(inner, GradientStep):
        raise StrategyNotSupported(
            f"{type(inner).__name__} may remember what no checkpoint knows of, and a resumed run would differ. Use one "
            f"of {', '.join(kind.__name__ for kind in _STATE)}, or run without checkpoints"
        )


def state_of(inner: Strategy) -> dict[str, dict[str, NDArray[Any]]]:
    """What `inner` remembers: attribute -> name -> array; an attribute that is None is left out."""
    if isinstance(inner, GradientStep):
        return {name: dict(arrays) for name, arrays in inner.state().items()}
    found = {name: getattr(inner, name) for name in _STATE[type(inner)]}
    return {name: _named(value) for name, value in found.items() if value is not None}


def put_state(inner: Strategy, state: Mapping[str, Arrays]) -> None:
    """The inverse of `state_of`, on a strategy made with the same arguments.

    Raises:
        StrategyNotSupported: the state is another strategy's.
    """
    if isinstance(inner, GradientStep):
        inner.put_state(state)
        return
    makers = _STATE[type(inner)]
    if set(state) - set(makers):
        raise StrategyNotSupported(
            f"the state to be put back is not one of {type(inner).__name__}; resume with the run's own strategy"
        )
    for name, make in makers.items():
        setattr(inner, name, make(state[name]) if name in state else None)


def _named(value: object) -> dict[str, NDArray[Any]]:
    """Arrays by name; those of a list by their place."""
    if isinstance(value, ArrayRecord):
        return ndarrays_of(value)
    pairs = value.items() if isinstance(value, Mapping) else enumerate(value)  # type: ignore[arg-type]
    return {str(name): np.asarray(array) for name, array in pairs}
