"""The inner Flower strategy that a run configuration names.

Decides: how settings become its arguments. Refuses to know: secure aggregation, which wraps whatever
comes out.
"""

from collections.abc import Callable
from typing import Any

from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi, Strategy

from app.config import RunConfig


def inner_strategy(config: RunConfig, least: int) -> Strategy:
    """FedAvg or one of its kin, or the optimiser of job gradients: it samples every node, never fewer than `least`."""
    sampling: dict[str, Any] = {
        "fraction_train": 1.0,
        "fraction_evaluate": 1.0,
        "min_train_nodes": least,
        "min_evaluate_nodes": least,
        "min_available_nodes": least,
    }
    rate = config.server_learning_rate
    if config.job == "gradients":
        from app.owner_optimizer import OwnerOptimizer  # torch: only where it is needed

        return OwnerOptimizer(config.optimizer, rate, config.server_momentum, **sampling)
    own: dict[str, Any] = {"eta": rate} if rate else {}
    makers: dict[str, Callable[[], Strategy]] = {
        "fedavg": lambda: FedAvg(**sampling),
        "fedprox": lambda: FedProx(**sampling, proximal_mu=config.proximal_mu),
        "fedavgm": lambda: FedAvgM(
            **sampling, server_learning_rate=rate or 1.0, server_momentum=config.server_momentum
        ),
        "fedadagrad": lambda: FedAdagrad(**sampling, **own),
        "fedadam": lambda: FedAdam(**sampling, **own),
        "fedyogi": lambda: FedYogi(**sampling, **own),
    }
    return makers[config.strategy]()
