"""The networks of `bench.predictions`, trained a little, and the batches they are asked about.

Decides: A = 784-128-128-10 with ReLU; B = convolution 16 5x5, max 2, convolution 16 5x5, max 2, 100, 10 with ReLU; Bavg
= B with average pooling. ReLU stands behind max pooling, the same function and cheaper for everybody; before averages,
where it is another function.
Inputs are the digits of scikit-learn at 28 x 28; a few epochs give weights and logits of a usual size.
Refuses to know: who evaluates them.
"""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from clients.tasks import DataSource
from clients.tasks.classification import seeded
from clients.tasks.digits import TASK

NAMES = ("A", "B", "Bavg")
MOST = 128
_EPOCHS, _BATCH, _RATE, _MOMENTUM = 3, 32, 0.05, 0.9


@dataclass(frozen=True)
class Case:
    """One network.

    Attributes:
        name: of `NAMES`.
        model: in evaluation mode.
        calibration: training images (examples, 1, 28, 28) in [0, 1].
        inputs: `MOST` other images.
        logits: (MOST, 10), by torch in float64.
    """

    name: str
    model: nn.Sequential
    calibration: Tensor
    inputs: Tensor
    logits: Tensor

    def write(self, folder: Path) -> None:
        """Weights, inputs and logits as `folder`/NAME.safetensors; layers are numbered as in `layers`."""
        tensors = {name: value.contiguous() for name, value in self.model.state_dict().items()}
        save_file(
            tensors | {"inputs": self.inputs, "logits": self.logits}, folder / f"{self.name}.safetensors"
        )

    @property
    def layers(self) -> list[dict[str, str]]:
        """Kind and number of each layer, for those who do not read torch modules."""
        kinds = {
            nn.Linear: "linear", nn.Conv2d: "convolution", nn.ReLU: "relu", nn.MaxPool2d: "max",
            nn.AvgPool2d: "average", nn.Flatten: "flatten",
        }  # fmt: skip
        return [{"name": name, "kind": kinds[type(layer)]} for name, layer in self.model.named_children()]


def case_of(name: str) -> Case:
    """The network called `name`, trained; the same in every run."""
    inputs, labels = _images(test=False)
    with seeded(0):
        model = _network(name)
        _train(model, inputs, labels)
    return _case(name, model)


def read(folder: Path, name: str) -> Case:
    """The network that `Case.write` left there."""
    tensors, model = load_file(folder / f"{name}.safetensors"), _network(name)
    model.load_state_dict({key: tensors[key] for key in model.state_dict()})
    return _case(name, model)


def _case(name: str, model: nn.Sequential) -> Case:
    held = _images(test=True)[0][:MOST].contiguous()
    model.eval()
    with torch.no_grad():
        logits = model.double()(held.double())
    return Case(name, model.float(), _images(test=False)[0], held, logits)


def _network(name: str) -> nn.Sequential:
    if name == "A":
        sizes = (784, 128, 128, 10)
        dense = [layer for pair in pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(nn.Flatten(), *dense[:-1])

    def pool() -> list[nn.Module]:
        return [nn.ReLU(), nn.AvgPool2d(2)] if name == "Bavg" else [nn.MaxPool2d(2), nn.ReLU()]

    return nn.Sequential(
        nn.Conv2d(1, 16, 5), *pool(), nn.Conv2d(16, 16, 5), *pool(),
        nn.Flatten(), nn.Linear(256, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip


def _images(test: bool) -> tuple[Tensor, Tensor]:
    examples = TASK.load_test(DataSource()) if test else TASK.load(DataSource())
    small = torch.from_numpy(TASK.prepare(examples.inputs))
    large = functional.interpolate(small, size=28, mode="bilinear", align_corners=False)
    return large, torch.from_numpy(examples.labels)


def _train(model: nn.Module, inputs: Tensor, labels: Tensor) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=_RATE, momentum=_MOMENTUM)
    for _ in range(_EPOCHS):
        for batch in torch.split(torch.randperm(len(labels)), _BATCH):
            optimizer.zero_grad()
            loss: Tensor = functional.cross_entropy(model(inputs[batch]), labels[batch])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
