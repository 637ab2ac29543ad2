"""DP-SGD on the client: the step's arithmetic, its noise measured, the facts of accounting, refusals."""

import inspect
import math
import os

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from arithmetic.errors import ParameterError, RangeError
from clients import dp_training
from clients.dp_training import PrivacyConfig, PrivateTrainingReport, train_dp
from clients.tasks.classification import ClassificationTask
from clients.training import TrainingConfig
from clients.updates import arrays_of

CPU = torch.device("cpu")
TASK = ClassificationTask()


class Silent:
    """No noise: only for looking at the rest of the step."""

    def draw(self, count: int, scale: float) -> torch.Tensor:
        return torch.zeros(count)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 40), nn.Tanh(), nn.Linear(40, 3))


def blobs(count: int = 30) -> TensorDataset:
    torch.manual_seed(1)
    labels = torch.arange(count) % 3
    return TensorDataset(torch.randn(count, 6) + 3 * torch.eye(6)[labels], labels)


def trained(
    config: TrainingConfig,
    privacy: PrivacyConfig,
    data: TensorDataset | None = None,
    model: nn.Module | None = None,
) -> tuple[nn.Module, PrivateTrainingReport]:
    model = model or network()
    return model, train_dp(TASK, model, blobs() if data is None else data, config, privacy, CPU, 1, 0)


def change(model: nn.Module) -> torch.Tensor:
    pairs = zip(model.parameters(), network().parameters(), strict=True)
    return torch.cat([(after - before).detach().flatten() for after, before in pairs])


def test_the_report_holds_the_facts_of_accounting() -> None:
    _, report = trained(TrainingConfig(3, 7, 0.1), PrivacyConfig(0.5, 1.25))
    assert report.sampling_probability == 7 / 30
    assert report.steps == 3 * 5  # 30 examples are four batches of seven and a fifth: none is lost
    assert (report.noise_multiplier, report.clipping_norm) == (1.25, 0.5)
    assert (report.clipping, report.non_finite, report.examples) == ("ghost", 0, 30)


def test_without_noise_it_is_sgd_on_clipped_means(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everyone in each batch, a clip that never bites: torch.optim.SGD with momentum and FedProx's term."""
    monkeypatch.setattr(dp_training, "GaussianNoise", Silent)
    data, reference = blobs(), network()
    ours, _ = trained(TrainingConfig(4, 30, 0.1, 0.9, proximal_mu=0.3), PrivacyConfig(1e6, 1.0, 8), data)
    start = [weight.detach().clone() for weight in reference.parameters()]
    optimiser = torch.optim.SGD(reference.parameters(), lr=0.1, momentum=0.9)
    for _ in range(4):
        optimiser.zero_grad()
        far = sum(
            ((weight - first) ** 2).sum() for weight, first in zip(reference.parameters(), start, strict=True)
        )
        (TASK.loss(reference, data.tensors) + 0.15 * far).backward()  # type: ignore[arg-type,no-untyped-call]
        optimiser.step()
    for mine, theirs in zip(ours.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_the_denominator_is_the_expected_size_not_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dp_training, "GaussianNoise", Silent)
    monkeypatch.setattr(dp_training.PoissonBatches, "__iter__", lambda self: iter([torch.arange(3)]))
    norm, size = 1e-3, 10
    model, _ = trained(TrainingConfig(1, size, 1.0, 0.0), PrivacyConfig(norm, 1.0))
    moved = float(torch.linalg.vector_norm(change(model)))
    assert 0.1 * norm / size < moved <= 3 * norm / size * 1.001  # three clipped gradients over ten
    one, _ = trained(TrainingConfig(1, 20, 1.0, 0.0), PrivacyConfig(norm, 1.0))
    assert torch.allclose(change(one) * 2, change(model), rtol=1e-2, atol=1e-7)


def noise_of_empty_batches(steps: int, size: int, momentum: float = 0.0) -> torch.Tensor:
    with pytest.MonkeyPatch.context() as patch:
        empty = torch.arange(0)
        patch.setattr(dp_training.PoissonBatches, "__iter__", lambda self: iter([empty] * steps))
        model, report = trained(TrainingConfig(1, size, 0.5, momentum), PrivacyConfig(2.0, 3.0))
    assert report.mean_loss == 0
    return change(model)


def test_an_empty_batch_is_a_step_of_noise_of_the_stated_scale() -> None:
    """Its deviation is lr z C / B; a chi-square over 3,224 values tells 9/10 of that from all of it."""
    from scipy import stats

    moved = torch.cat([noise_of_empty_batches(1, 10) for _ in range(8)]).double()
    expected = 0.5 * 3.0 * 2.0 / 10
    law = stats.chi2(len(moved))
    for factor, fits in ((1.0, True), (2 / 3, False), (3 / 2, False), (0.9, False)):
        chance = law.cdf(float((moved / (factor * expected)).square().sum()))
        assert bool(1e-7 < chance < 1 - 1e-7) is fits
    assert stats.kstest(moved.numpy(), stats.norm(scale=expected).cdf).pvalue > 1e-7


def test_noise_adds_up_over_steps_and_momentum_carries_it() -> None:
    one = noise_of_empty_batches(1, 10).std()
    assert float(noise_of_empty_batches(25, 10).std() / one) == pytest.approx(5, rel=0.25)
    # Two steps with momentum m: the first's noise counts 1 + m times.
    assert float(noise_of_empty_batches(2, 10, 0.9).std() / one) == pytest.approx(
        math.sqrt(1 + 1.9**2), rel=0.25
    )


def test_noise_does_not_depend_on_the_training_seed() -> None:
    models = [trained(TrainingConfig(1, 10, 0.1, seed=5), PrivacyConfig(1.0, 1.0))[0] for _ in range(2)]
    first, second = (arrays_of(model)["0.weight"] for model in models)
    assert np.abs(first - second).min() > 0
    assert "seed" not in inspect.signature(PrivacyConfig).parameters


def test_forked_workers_draw_different_noise() -> None:
    torch.set_num_threads(1)
    seen = set()
    for _ in range(2):
        reader, writer = os.pipe()
        if not (child := os.fork()):
            try:
                os.write(writer, noise_of_empty_batches(1, 10).numpy().tobytes())
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as stream:
            seen.add(stream.read())
        os.waitpid(child, 0)
    assert len(seen) == 2
    assert all(len(drawn) == 4 * 403 for drawn in seen)


def test_a_bad_example_is_counted_and_training_goes_on() -> None:
    data = blobs()
    data.tensors[0][4] = float("nan")
    model, report = trained(TrainingConfig(2, 30, 0.1), PrivacyConfig(1.0, 0.1), data)
    assert report.non_finite == 2  # probability one, two steps
    assert math.isfinite(report.mean_loss)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


def test_it_learns() -> None:
    data = blobs(300)
    model, report = trained(TrainingConfig(20, 60, 0.3), PrivacyConfig(1.0, 1.0), data)
    right = TASK.evaluate_batch(model, data.tensors)["accuracy"]  # type: ignore[arg-type]
    assert right > 0.9 * 300
    assert report.mean_loss < math.log(3)


def test_frozen_parameters_stay_and_names_are_the_models_own() -> None:
    model = network()
    model[0].requires_grad_(False)
    names, before = list(model.state_dict()), model[0].weight.clone()
    trained(TrainingConfig(1, 10, 0.1), PrivacyConfig(1.0, 1.0), model=model)
    assert list(model.state_dict()) == names
    assert torch.equal(model[0].weight, before)
    assert not torch.equal(model[2].weight, network()[2].weight)


@pytest.mark.parametrize("field", ["clipping_norm", "noise_multiplier"])
@pytest.mark.parametrize("value", [0, 0.0, -1.0, float("nan"), float("inf"), True, "1"])
def test_privacy_settings_out_of_range(field: str, value: object) -> None:
    good: dict[str, object] = {"clipping_norm": 1.0, "noise_multiplier": 1.0}
    with pytest.raises(ParameterError, match=field.replace("_", "-")):
        PrivacyConfig(**(good | {field: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize("examples", [0, 1, 9])
def test_a_client_with_fewer_examples_than_a_batch_abstains(examples: int) -> None:
    data = TensorDataset(*(tensor[:examples] for tensor in blobs().tensors))
    with pytest.raises(RangeError, match="abstains"):
        trained(TrainingConfig(1, 10, 0.1), PrivacyConfig(1.0, 1.0), data)
