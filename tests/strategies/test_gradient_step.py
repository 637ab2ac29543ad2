"""An inner strategy that takes the mean gradient itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from strategies.gradient_step import Arrays, GradientStep, job_of, origin_of
from tests.support.run import Trial, copied
from wire.settings import Job

SETTINGS: dict[str, Any] = {
    "task": "tests.support.linear_task", "job": "gradients", "local-epochs": 2, "rounding": "nearest",
}  # fmt: skip


class Recording(GradientStep):
    """A step of one along the gradient; what came is kept."""

    def __init__(self) -> None:
        super().__init__(min_available_nodes=3)
        self.came: list[tuple[Arrays, Arrays]] = []

    def step(self, model: Arrays, gradient: Arrays) -> Arrays:
        self.came.append((model, gradient))
        return {name: model[name] - gradient[name] for name in model}

    def state(self) -> Mapping[str, Arrays]:
        return {}

    def put_state(self, state: Mapping[str, Arrays]) -> None:
        pass


def test_clients_are_asked_for_what_the_strategy_takes_whatever_the_configuration_says() -> None:
    for overrides, inner, job in (
        (SETTINGS | {"job": "train"}, Recording(), Job.GRADIENTS),
        ({"task": SETTINGS["task"]}, None, Job.TRAIN),
    ):
        trial = Trial(overrides, inner)
        assert trial.session() is not None
        told = {
            message.content.config_records["config"]["job"]
            for message in trial.grid.sent
            if message.content.config_records
        }
        assert told == {job.value}
        assert job_of(trial.inner) is job


def test_it_gets_the_model_and_the_mean_alone() -> None:
    """A gradient that came as a sum with weights near one would have lost what is below their precision."""
    inner = Recording()
    trial = Trial(SETTINGS, inner)
    trial.initial = {name: array + np.float32(1000.0) for name, array in trial.initial.items()}
    found = trial.session()
    assert found is not None
    ((model, gradient),) = inner.came
    assert all((model[name] == trial.initial[name]).all() for name in model)
    assert list(gradient) == list(model)
    fine = gradient["bias"].astype(np.float64)
    assert abs(fine.sum()) < 1e-5  # of softmax regression the classes' gradients cancel
    assert 0 < np.abs(fine).max() < 1
    lost = (np.float32(1000.0) + gradient["bias"]) - np.float32(1000.0)
    assert (lost != gradient["bias"]).any()
    new = copied(found)
    assert all((new[name] == model[name] - gradient[name]).all() for name in model)


def test_only_where_it_takes_a_gradient_is_there_nothing_to_add_the_mean_to() -> None:
    model = {"w": np.ones(3, dtype=np.float32)}
    assert not origin_of(Recording(), model)["w"].any()
    assert origin_of(Trial().inner, model) is model


def test_a_server_round_without_a_sum_is_no_step() -> None:
    inner = Recording()
    trial = Trial(SETTINGS | {"drop": "3@r1:round1", "rounds": 2}, inner)
    trial.start()
    assert trial.strategy.aggregated == [2]
    assert len(inner.came) == 1
