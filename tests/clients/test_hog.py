"""The fixed features: their size and norm, that each image's are its own, and that they are made once."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from clients.tasks import DataSource, load_task
from clients.tasks import hog as module
from clients.tasks.classification import ClassificationTask, Examples
from clients.tasks.hog import ORIENTATIONS, HogTask, hog_features, linear_head


def images(count: int, side: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, side, side, generator=torch.Generator().manual_seed(seed))


class Pictures(ClassificationTask):
    """A pool that is read anew each time it is asked for, unless it is kept."""

    name = "pictures"

    def __init__(self) -> None:
        self.kept = Examples((images(20).numpy() * 255).astype(np.uint8), np.arange(20) % 10)

    def load(self, source: DataSource) -> Examples:
        return self.kept

    def prepare(self, inputs: Any) -> Any:
        return (inputs.astype(np.float32) / np.float32(255.0)).reshape(-1, 1, 8, 8)


@pytest.mark.parametrize(("side", "cells"), [(8, 4), (28, 7), (28, 4), (5, 2)])
def test_shape_norm_and_mean(side: int, cells: int) -> None:
    found = hog_features(images(7, side), cells)
    columns = ORIENTATIONS * cells * cells
    assert found.shape == (7, columns)
    assert found.dtype is torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.full((7,), math.sqrt(columns)), rtol=1e-4, atol=0)
    torch.testing.assert_close(found.mean(dim=1), torch.zeros(7), rtol=0, atol=1e-5)


def test_a_black_image_gives_zeros_and_no_nan() -> None:
    assert not hog_features(torch.zeros(3, 8, 8), 4).any()


def test_no_images_give_no_features() -> None:
    assert hog_features(torch.zeros(0, 8, 8), 4).shape == (0, 128)


def test_features_are_each_images_own_whatever_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """No statistic of other images enters: what one example's features cost is that example's alone."""
    batch = images(23)
    order = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    found = hog_features(batch, 4)
    torch.testing.assert_close(hog_features(batch[order], 4), found[order], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(hog_features(batch[3:4], 4), found[3:4], rtol=1e-5, atol=1e-5)
    monkeypatch.setattr(module, "_CHUNK", 5)
    torch.testing.assert_close(hog_features(batch, 4), found, rtol=1e-5, atol=1e-5)


def test_contrast_is_taken_out_and_the_direction_is_not() -> None:
    picture = images(1)
    found = hog_features(picture, 4)
    torch.testing.assert_close(hog_features(picture / 3, 4), found, rtol=1e-3, atol=1e-3)
    assert (hog_features(picture.transpose(1, 2), 4) - found).abs().max() > 0.5
    assert (hog_features(1 - picture, 4) - found).abs().max() > 0.5  # signed orientations


def test_a_stroke_falls_into_its_own_cell_and_orientation() -> None:
    picture = torch.zeros(1, 8, 8)
    picture[0, 0:4, 6:] = 1.0  # an edge from dark to light, left to right, in the upper right
    found = hog_features(picture, 2).reshape(ORIENTATIONS, 2, 2)
    assert found[0].argmax() == 1
    assert found.argmax() == 1


def test_every_gradient_is_shared_out_whole() -> None:
    """Orientations and cells are weights that add up to one, inside the image."""
    angle = torch.linspace(-4, 4, 1001)
    total = torch.stack([module._near(angle, each) for each in range(ORIENTATIONS)]).sum(0)
    torch.testing.assert_close(total, torch.ones(1001))
    pooling = module._pooling(28, 7)
    torch.testing.assert_close(pooling.sum(0)[2:-2], torch.ones(24))


def test_the_head_starts_at_zero_without_bias() -> None:
    head = linear_head(4)
    assert isinstance(head, nn.Linear)
    assert head.weight.shape == (10, 128)
    assert not head.weight.any()
    assert head.bias is None


def test_features_are_made_once_for_all_clients_and_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    honest = module.hog_features
    monkeypatch.setattr(module, "hog_features", lambda *args: made.append(len(args[0])) or honest(*args))
    task, pictures = HogTask(source := Pictures(), cells=2), source
    for partition in (0, 1, 0):
        task.partition_data(DataSource("", partition, 2), 0.2, 0)
    assert made == [20]
    pictures.kept = Examples(pictures.kept.inputs[:10], pictures.kept.labels[:10])  # another folder
    assert len(task.partition_data(DataSource("", 0, 2), 0.2, 0).train) == 4  # type: ignore[arg-type]
    assert made == [20, 10]
    assert task.test_data(DataSource()) is None


@pytest.mark.parametrize(("name", "columns"), [("digits_hog", 128), ("mnist_hog", 392)])
def test_the_built_in_tasks(name: str, columns: int, tmp_path: Path) -> None:
    task = load_task(name)
    assert task.name == name
    model = task.model(0)
    assert [tuple(weight.shape) for weight in model.parameters()] == [(10, columns)]
    folder = ""
    if name == "mnist_hog":
        folder = str(tmp_path)
        head = np.array([0x803, 30, 28, 28], ">u4").tobytes()
        pixels = np.random.default_rng(0).integers(0, 256, 30 * 784).astype(np.uint8).tobytes()
        (tmp_path / "train-images-idx3-ubyte").write_bytes(head + pixels)
        labels = np.array([0x801, 30], ">u4").tobytes() + (np.arange(30) % 10).astype(np.uint8).tobytes()
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(labels)
    data = task.partition_data(DataSource(folder, 1, 3), 0.2, 0).train
    assert isinstance(data, TensorDataset)
    inputs, labels_ = data.tensors
    assert inputs.shape[1:] == (columns,)
    torch.testing.assert_close(
        inputs.norm(dim=1), torch.full((len(inputs),), math.sqrt(columns)), rtol=1e-3, atol=0
    )
    assert float(task.loss(model, (inputs, labels_)).detach()) == pytest.approx(math.log(10))


def test_digits_features_are_of_the_same_images_as_digits() -> None:
    plain, features = load_task("digits"), load_task("digits_hog")
    for source in (DataSource("", 2, 5), DataSource("", 2, 5, "dirichlet")):
        first, second = (task.partition_data(source, 0.2, 3).train for task in (plain, features))
        assert isinstance(first, TensorDataset)
        assert isinstance(second, TensorDataset)
        assert torch.equal(first.tensors[1], second.tensors[1])
        torch.testing.assert_close(
            hog_features(first.tensors[0][:, 0], 4), second.tensors[0], rtol=1e-4, atol=1e-4
        )
    test = features.test_data(DataSource())
    assert isinstance(test, TensorDataset)
    assert test.tensors[0].shape == (359, 128)
