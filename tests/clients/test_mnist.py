"""The mnist task: folders good and bad, the optional download, and real accuracy."""

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from arithmetic.errors import SetupError
from clients.tasks import DataSource, length_of, load_task, mnist

TASK = load_task("mnist")


def write(folder: Path, half: str, images: int, labels: int | None = None, top: int = 10) -> None:
    targets = (np.arange(images if labels is None else labels) % top).astype(np.uint8)
    head = np.array([0x803, images, 28, 28], ">u4").tobytes()
    pixels = (np.arange(images)[:, None] + np.zeros(784)).astype(np.uint8).tobytes()
    (folder / f"{half}-images-idx3-ubyte").write_bytes(head + pixels)
    head = np.array([0x801, len(targets)], ">u4").tobytes()
    (folder / f"{half}-labels-idx1-ubyte").write_bytes(head + targets.tobytes())


def spoil(folder: Path, name: str, content: bytes | None) -> None:
    write(folder, "train", 3)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    mnist._read.cache_clear()
    mnist._downloaded.cache_clear()


def test_folder_is_partitioned_and_a_supernode_has_all_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "train", 50)
    whole = TASK.partition_data(DataSource(str(tmp_path)), 0.2, 0)
    assert (length_of(whole.train), length_of(whole.validation)) == (40, 10)
    parts = [TASK.partition_data(DataSource(str(tmp_path), i, 5), 0.2, 0) for i in range(5)]
    seen = [
        float(row.max())
        for part in parts
        for data in (part.train, part.validation)
        for row, _ in data  # type: ignore[attr-defined]
    ]
    assert sorted(round(255 * value) for value in seen) == list(range(50))


def test_central_test_set_is_optional(tmp_path: Path) -> None:
    write(tmp_path, "train", 5)
    assert TASK.test_data(DataSource(str(tmp_path))) is None
    write(tmp_path, "t10k", 7)
    test = TASK.test_data(DataSource(str(tmp_path)))
    assert isinstance(test, TensorDataset)
    assert test.tensors[0].shape == (7, 1, 28, 28)
    assert test.tensors[0].dtype is torch.float32
    assert test.tensors[1].tolist() == list(range(7))


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, "train", 5)
    assert length_of(TASK.partition_data(DataSource(str(tmp_path)), 0.2, 0).train) == 4
    write(tmp_path, "train", 10)
    assert length_of(TASK.partition_data(DataSource(str(tmp_path)), 0.2, 0).train) == 8


def test_66_an_empty_folder_of_images_gives_an_empty_client(tmp_path: Path) -> None:
    write(tmp_path, "train", 0)
    data = TASK.partition_data(DataSource(str(tmp_path)), 0.2, 0)
    assert (length_of(data.train), length_of(data.validation)) == (0, 0)


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda f: None, "no MNIST training files"),
        (lambda f: write(f, "t10k", 3), "no MNIST training files"),
        (lambda f: spoil(f, "train-labels-idx1-ubyte", None), "only one"),
        (lambda f: write(f, "train", 3, labels=4), "3 images and .* 4 labels"),
        (lambda f: write(f, "train", 20, top=11), "label 10"),
        (lambda f: spoil(f, "train-images-idx3-ubyte", b"x"), "ends"),
    ],
)
def test_bad_folders_are_refused_by_name(tmp_path: Path, prepare: Callable[[Path], Any], why: str) -> None:
    prepare(tmp_path)
    with pytest.raises(SetupError, match=why) as caught:
        TASK.partition_data(DataSource(str(tmp_path)), 0.2, 0)
    assert str(tmp_path) in str(caught.value)


def test_a_path_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no folder"):
        TASK.partition_data(DataSource(str(tmp_path / "none")), 0.2, 0)


def test_without_a_path_or_the_extra_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flwr_datasets", None)
    with pytest.raises(SetupError, match=r"data-path .*chorus\[datasets\]"):
        TASK.partition_data(DataSource("", 0, 10), 0.2, 0)


class Rows:
    """What flwr-datasets hands out, as far as the task uses it."""

    def with_format(self, kind: str) -> dict[str, Any]:
        assert kind == "numpy"
        return {"image": [np.full((28, 28), i, np.uint8) for i in range(20)], "label": range(10, 30)}


def test_flwr_datasets_serves_when_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    class FederatedDataset:
        def __init__(self, **settings: Any) -> None:
            assert settings == {"dataset": "ylecun/mnist", "partitioners": {}, "shuffle": False}

        def load_split(self, split: str) -> Rows:
            assert split in ("train", "test")
            return Rows()

    module = types.SimpleNamespace(FederatedDataset=FederatedDataset)
    monkeypatch.setitem(sys.modules, "flwr_datasets", module)
    data = TASK.partition_data(DataSource("", 0, 4), 0.2, 0)
    assert (length_of(data.train), length_of(data.validation)) == (4, 1)
    test = TASK.test_data(DataSource())
    assert isinstance(test, TensorDataset)
    assert test.tensors[1].tolist() == list(range(10, 30))


def test_flwr_datasets_that_fails_is_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**settings: Any) -> None:
        raise ConnectionError("no\nnetwork")

    module = types.SimpleNamespace(FederatedDataset=refuse)
    monkeypatch.setitem(sys.modules, "flwr_datasets", module)
    with pytest.raises(SetupError, match=r"ConnectionError: no network.*data-path"):
        TASK.test_data(DataSource())
