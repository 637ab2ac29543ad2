"""Images in one folder a class, DATA/cat/1.png and DATA/dog/7.png, and a small network; wants the package pillow."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from clients.tasks import DataSource
from clients.tasks.classification import ClassificationTask, Examples

CLASSES = ("cat", "dog")  # names of the folders; their order gives the labels on every client
SIDE = 32


class ImageFolder(ClassificationTask):
    """Square colour images."""

    name = "image_folder"

    def network(self) -> nn.Module:
        """GroupNorm rather than BatchNorm, which no private run can sum."""
        first = [nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.GELU(), nn.MaxPool2d(4)]
        return nn.Sequential(*first, nn.Flatten(), nn.Linear(16 * (SIDE // 4) ** 2, len(CLASSES)))

    def load(self, source: DataSource) -> Examples:
        """All images, (examples, 3, SIDE, SIDE), in [0, 1]."""
        images, labels = [], []
        for label, name in enumerate(CLASSES):
            for path in sorted(Path(source.data_path, name).iterdir()):
                images.append(
                    np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE))) / np.float32(255)
                )
                labels.append(label)
        return Examples(np.stack(images).transpose(0, 3, 1, 2), np.array(labels))


TASK = ImageFolder()
