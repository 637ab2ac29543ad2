"""A run configuration's strategy."""

from typing import Any

import pytest
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi

from app.config import RunConfig
from app.inner_strategy import inner_strategy
from strategies.supported import check_supported

KINDS = {
    "fedavg": FedAvg, "fedprox": FedProx, "fedadam": FedAdam, "fedavgm": FedAvgM, "fedyogi": FedYogi,
    "fedadagrad": FedAdagrad,
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_every_name_makes_its_strategy_which_can_be_wrapped(name: str) -> None:
    made: Any = inner_strategy(RunConfig.parse({"strategy": name}), 4)
    assert type(made) is KINDS[name]
    check_supported(made)
    assert (made.fraction_train, made.min_train_nodes, made.min_available_nodes) == (1.0, 4, 4)


def made(**settings: Any) -> Any:
    return inner_strategy(
        RunConfig.parse({key.replace("_", "-"): value for key, value in settings.items()}), 3
    )


def test_settings_arrive() -> None:
    assert made(strategy="fedprox", proximal_mu=0.3).proximal_mu == 0.3
    momentum = made(strategy="fedavgm", server_learning_rate=0.25, server_momentum=0.5)
    assert (momentum.server_learning_rate, momentum.server_momentum) == (0.25, 0.5)
    for name in ("fedadam", "fedyogi", "fedadagrad"):
        assert made(strategy=name, server_learning_rate=0.25).eta == 0.25


def test_a_rate_that_is_not_given_has_a_default() -> None:
    assert made(strategy="fedavgm").server_learning_rate == FedAvgM().server_learning_rate
    for name, kind in (("fedadam", FedAdam), ("fedyogi", FedYogi), ("fedadagrad", FedAdagrad)):
        assert made(strategy=name).eta == kind().eta


def test_every_name_the_configuration_allows_is_known() -> None:
    from typing import get_args

    assert set(get_args(RunConfig.model_fields["strategy"].annotation)) == set(KINDS)
