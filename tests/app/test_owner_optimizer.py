"""The owner's optimisers: torch's own steps, along the exact mean gradient, and a state that survives a kill."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from app.config import RunConfig
from app.inner_strategy import inner_strategy
from app.owner_optimizer import RATES, OwnerOptimizer
from arithmetic.errors import ConfigError, RangeError
from bench.gradients import apart, central, in_process
from strategies.errors import StrategyNotSupported
from strategies.snapshot import check_kept, put_state, state_of
from strategies.supported import check_supported
from tests.support.private_run import MODES, private_trial
from tests.support.resumed import Killed, begin, events_of, go_on, killed_at, model_of, serve
from tests.support.run import TINY, Trial
from wire.rounds import ProtocolRound

LINEAR = "tests.support.linear_task"
JOB: dict[str, Any] = {"job": "gradients", "task": LINEAR, "local-epochs": 2}
TORCH: dict[str, Any] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
}


@pytest.mark.parametrize(
    ("name", "momentum"),
    [("sgd", 0.0), ("sgd", 0.9), ("adam", 0.0), ("adagrad", 0.0), ("rmsprop", 0.0), ("rmsprop", 0.5)],
)
def test_steps_are_torchs_own_bit_for_bit_and_so_are_those_after_its_state_was_put_back(
    name: str, momentum: float
) -> None:
    rng = np.random.default_rng(0)
    start = {"w": rng.normal(size=(3, 2)).astype(np.float32), "b": rng.normal(size=2).astype(np.float32)}
    gradients = [
        {key: rng.normal(size=array.shape).astype(np.float32) for key, array in start.items()}
        for _ in range(5)
    ]
    parameters = [nn.Parameter(torch.from_numpy(array.copy())) for array in start.values()]
    settings = {"momentum": momentum} if momentum else {}
    reference = TORCH[name](parameters, lr=0.05, **settings)
    owner, model = OwnerOptimizer(name, 0.05, momentum), start
    for gradient in gradients:
        for parameter, part in zip(parameters, gradient.values(), strict=True):
            parameter.grad = torch.from_numpy(part.copy())
        reference.step()
        model = owner.step(model, gradient)
        state, owner = state_of(owner), OwnerOptimizer(name, 0.05, momentum)
        put_state(owner, state)
    for parameter, array in zip(parameters, model.values(), strict=True):
        assert array.tobytes() == parameter.detach().numpy().tobytes()
    assert bool(state) == (name != "sgd" or momentum > 0)


def test_the_masked_loss_curve_is_that_of_central_sgd_on_the_same_batches() -> None:
    config = RunConfig.parse(
        {"job": "gradients", "task": "digits_softmax", "clients": 4, "rounds": 12, "device": "cpu",
         "poll-interval": 0.01, "server-momentum": 0.9, "batch-size": 50}
    )  # fmt: skip
    ours, theirs = in_process(config), central(config)  # 288 examples an owner: the sixth batch is smaller
    assert apart(ours, theirs) < 1e-4
    assert theirs.losses[-1] < theirs.losses[0] - 0.5


def test_a_step_that_diverges_keeps_model_and_state() -> None:
    owner = OwnerOptimizer("sgd", 100.0, 0.9)
    model = {"w": np.array([1.0], dtype=np.float32)}
    owner.step(model, model)
    before = state_of(owner)["momentum_buffer"]["w"].copy()
    with pytest.raises(RangeError, match="server-learning-rate"):
        owner.step(model, {"w": np.array([3e38], dtype=np.float32)})
    assert state_of(owner)["momentum_buffer"]["w"] == before
    assert model["w"] == 1.0


def test_a_round_whose_step_diverges_says_so_and_the_run_goes_on() -> None:
    class Once(OwnerOptimizer):
        def step(self, model: Any, gradient: Any) -> Any:
            self.calls = getattr(self, "calls", 0) + 1
            rate = np.float32(np.inf if self.calls == 1 else 1.0)
            return super().step(model, {name: part * rate for name, part in gradient.items()})

    trial = Trial(JOB | {"rounds": 2}, Once("sgd", 1.0, min_available_nodes=3))
    trial.start()
    assert trial.strategy.aggregated == [2]
    (failed,) = trial.named("round_failed")
    assert (failed["code"], failed["server_round"]) == ("RANGE", 1)


def test_it_can_be_wrapped_and_kept_and_takes_no_other_optimisers_state() -> None:
    made: Any = inner_strategy(RunConfig.parse({"job": "gradients", "optimizer": "adam"}), 4)
    check_supported(made)
    check_kept(made)
    assert (made.name, made.rate, made.min_train_nodes) == ("adam", RATES["adam"], 4)
    with pytest.raises(StrategyNotSupported, match="not one of adam"):
        put_state(made, {"square_avg": {}})


def test_rates_that_are_not_given_are_torchs_own_but_for_sgd() -> None:
    weight = [nn.Parameter(torch.zeros(1))]
    own = {name: make(weight).defaults["lr"] for name, make in TORCH.items()}
    assert own | {"sgd": 0.1} == RATES


@pytest.mark.parametrize(
    ("name", "momentum"), [("sgd", 0.9), ("adam", 0.0), ("adagrad", 0.0), ("rmsprop", 0.5)]
)
def test_a_run_that_was_killed_ends_with_the_model_of_an_undisturbed_one(
    name: str, momentum: float, tmp_path: Path
) -> None:
    keys = JOB | {"rounds": 4, "optimizer": name, "server_momentum": momentum}
    undisturbed, victim = (begin(tmp_path / each, **keys) for each in ("undisturbed", "victim"))
    serve(undisturbed)
    with pytest.raises(Killed):
        serve(victim, killed_at(ProtocolRound.MASKED_INPUT, 3))
    go_on(victim)
    assert model_of(victim) == model_of(undisturbed)
    (last,) = events_of(undisturbed, "run_finished")
    assert last["rounds_aggregated"] == 4
    assert last["seconds_an_iteration"] > 0
    (started,) = events_of(undisturbed, "run_started")
    assert started["strategy"] == f"gradients with {name}"


def test_a_dropped_owner_is_not_in_the_mean_and_weights_are_those_of_batches() -> None:
    trial = Trial(JOB | {"drop": "1@r2:round1", "batch-size": 13})
    trial.start()
    (finished,) = [e for e in trial.named("round_finished") if e["purpose"] == "training"]
    assert (finished["masked"], finished["weights_clamped"]) == (4, 0)
    assert finished["error_bound"] < 1e-5


def test_a_model_with_running_statistics_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    directory = begin(tmp_path / "run", **JOB | {"task": TINY})
    with pytest.raises(RuntimeError, match=r"job = gradients sums gradients .*GroupNorm"):
        serve(directory)
    assert events_of(directory, "protocol_round") == []


def test_distributed_noise_goes_into_the_owners_optimiser(tmp_path: Path) -> None:
    """The step is post-processing of a noisy mean; with little noise and no clip in reach it is the mean's."""
    keys = MODES["distributed"] | {
        "noise-multiplier": 1e-3, "clipping-norm": 100.0, "sampling-probability": 1.0, "expected-batch": 90.0,
        "modulus-bits": 40, "max-examples": 40, "server-learning-rate": 1.0,
    } | JOB  # fmt: skip
    noisy = private_trial("distributed", tmp_path, keys)
    plain = Trial(JOB | {"batch-size": 1000, "max-examples": 1000, "server-learning-rate": 1.0})
    models = []
    for trial in (noisy, plain):
        found = trial.session()
        assert found is not None
        models.append({name: array.numpy() for name, array in found.items()})
    moved = max(np.abs(models[1][name] - array).max() for name, array in plain.initial.items())
    apart = max(np.abs(models[0][name] - array).max() for name, array in models[1].items())
    assert apart < moved / 10


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"optimizer": "adam"}, "optimizer = adam does nothing with job = train"),
        ({"job": "gradients", "strategy": "fedadam"}, "strategy = fedadam does nothing"),
        ({"job": "gradients", "local-epochs": 5}, "local-epochs = 5 does nothing"),
        ({"job": "gradients", "learning-rate": 0.5}, "learning-rate = 0.5 does nothing"),
        ({"job": "gradients", "momentum": 0.5}, "momentum = 0.5 does nothing"),
        ({"job": "gradients", "optimizer": "adam", "server-momentum": 0.5}, "it is for sgd and rmsprop"),
        ({"job": "gradients", "privacy": "local"}, "choose distributed"),
        ({"job": "gradients", "privacy": "client"}, "choose distributed"),
        ({"job": "gradients", "privacy": "local+client"}, "choose distributed"),
    ],
)
def test_what_the_job_would_ignore_or_not_protect_is_refused(keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        RunConfig.parse(keys)
