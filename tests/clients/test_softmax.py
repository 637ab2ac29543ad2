"""Softmax regression on other tasks' images."""

from pathlib import Path

import pytest
import torch

from clients.tasks import DataSource, load_task
from clients.tasks.digits_softmax import TASK as DIGITS
from clients.tasks.mnist import Mnist
from clients.tasks.mnist_softmax import TASK as MNIST
from clients.updates import spec_of


@pytest.mark.parametrize(("task", "name", "pixels"), [(DIGITS, "digits", 64), (MNIST, "mnist", 784)])
def test_it_is_one_layer_on_the_pixels_from_zero(task: object, name: str, pixels: int) -> None:
    found = load_task(f"{name}_softmax")
    assert found is task
    assert found.name == f"{name}_softmax"
    model = found.model(5)
    assert spec_of(model).tensor_length == (pixels + 1) * 10
    assert not any(bool(weight.any()) for weight in model.parameters())
    logits = model(torch.rand(3, 1, int(pixels**0.5), int(pixels**0.5)))
    assert (logits.shape, logits.abs().max().item()) == ((3, 10), 0.0)


def test_images_labels_and_test_set_are_the_other_tasks() -> None:
    source = DataSource("", 1, 4)
    ours, theirs = (load_task(name) for name in ("digits_softmax", "digits"))
    for part in ("train", "validation"):
        mine, other = (getattr(task.partition_data(source, 0.2, 3), part) for task in (ours, theirs))
        assert all(torch.equal(a, b) for a, b in zip(mine.tensors, other.tensors, strict=True))
    assert len(ours.test_data(source)) == len(theirs.test_data(source)) == 359  # type: ignore[arg-type]


def test_mnist_comes_from_where_the_images_task_finds_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []
    monkeypatch.setattr(Mnist, "load", lambda self, source: asked.append(source))
    MNIST.load(DataSource(str(tmp_path)))
    assert asked == [DataSource(str(tmp_path))]


def test_it_learns_the_digits() -> None:
    """Full-batch gradient descent, as the job takes it, with one owner."""
    task = load_task("digits_softmax")
    model, data = task.model(0), task.partition_data(DataSource(), 0.2, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        task.loss(model, data.train.tensors).backward()  # type: ignore[attr-defined, no-untyped-call]
        optimizer.step()
    assert task.evaluate_batch(model, data.validation.tensors)["accuracy"] / len(data.validation) > 0.9  # type: ignore
