"""The MNIST task: 28 x 28 grey images of handwritten digits, from a local folder of IDX files.

Decides where the images come from (`data-path`, else the optional flwr-datasets), their scaling and
the network. The 60,000 training images are partitioned; the 10,000 t10k images are the public
central test set. Refuses to parse IDX itself (`clients.tasks.idx`) and to download on its own.
Data: Y. LeCun, C. Cortes, C. Burges (CC BY-SA 3.0).
"""

from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import nn

from arithmetic.errors import SetupError
from clients.tasks import DataSource
from clients.tasks.classification import ClassificationTask, Examples
from clients.tasks.idx import find_idx, read_idx

SIDE: Final = 28
_FILES: Final = "train-images-idx3-ubyte, train-labels-idx1-ubyte"


class Mnist(ClassificationTask):
    """Ten classes; a small convolutional network without BatchNorm (106,250 parameters)."""

    name = "mnist"

    def network(self) -> nn.Module:
        """Input (batch, 1, 28, 28) in [0, 1]; LayerNorm keeps it steady up to learning-rate 0.1."""
        return nn.Sequential(
            nn.Conv2d(1, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(1568, 64),
            nn.LayerNorm(64),
            nn.ReLU(),
            nn.Linear(64, 10),
        )

    def load(self, source: DataSource) -> Examples:
        """Give the training images of the folder, or of flwr-datasets.

        Raises:
            SetupError: no folder and no flwr-datasets, or files missing or broken.
        """
        if not source.data_path:
            return _downloaded("train")
        examples = _folder(source.data_path, "train")
        if examples is None:
            raise SetupError(
                f"data-path {source.data_path!r} has no MNIST training files; put {_FILES} there "
                "(each plain or .gz)"
            )
        return examples

    def load_test(self, source: DataSource) -> Examples | None:
        """Give the t10k images; None for a folder without them."""
        return _folder(source.data_path, "t10k") if source.data_path else _downloaded("test")

    def prepare(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        """Grey levels 0..255 to [0, 1], shape (examples, 1, 28, 28)."""
        return (inputs.astype(np.float32) / np.float32(255.0)).reshape(-1, 1, SIDE, SIDE)


def _folder(data_path: str, half: str) -> Examples | None:
    folder = Path(data_path).expanduser()
    if not folder.is_dir():
        raise SetupError(f"data-path {data_path!r} is no folder here; put {_FILES} in one")
    images = find_idx(folder, f"{half}-images-idx3-ubyte")
    labels = find_idx(folder, f"{half}-labels-idx1-ubyte")
    if images is None and labels is None:
        return None
    if images is None or labels is None:
        raise SetupError(
            f"{folder} has only one of {half}-images-idx3-ubyte and {half}-labels-idx1-ubyte; "
            "put both there (each plain or .gz)"
        )
    return _read(images, labels, images.stat().st_mtime_ns, labels.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _read(images: Path, labels: Path, *changed: int) -> Examples:
    """Read one half, once a process: simulated clients that share a worker share the bytes."""
    pixels, targets = read_idx(images, (SIDE, SIDE)), read_idx(labels, ())
    if len(pixels) != len(targets):
        raise SetupError(
            f"{images} has {len(pixels)} images and {labels} has {len(targets)} labels; "
            "copy both files from one source"
        )
    if targets.size and targets.max() > 9:
        raise SetupError(f"{labels} has label {targets.max()}; MNIST labels are 0 to 9")
    return Examples(pixels, targets)


@lru_cache(maxsize=2)
def _downloaded(split: str) -> Examples:
    try:
        from flwr_datasets import FederatedDataset
    except ImportError:
        raise SetupError(
            "task mnist has no data: set data-path to a folder with the four MNIST files, or "
            "install the extra that downloads them (pip install 'chorus[datasets]')"
        ) from None
    try:
        rows = FederatedDataset(dataset="ylecun/mnist", partitioners={}, shuffle=False)
        table = rows.load_split(split).with_format("numpy")
        images = np.stack([np.asarray(image, dtype=np.uint8) for image in table["image"]])
        labels = np.asarray(table["label"], dtype=np.uint8)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise SetupError(
            f"flwr-datasets could not give MNIST ({type(error).__name__}: {reason}); set data-path "
            "to a folder with the four MNIST files"
        ) from error
    return Examples(images, labels)


TASK = Mnist()
