"""Small networks with every kind of layer that can be converted; weights as after some training."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Network = tuple[
    nn.Module, tuple[int, ...], float, float
]  # with the shape of an example and the range of its numbers


class Block(nn.Module):
    """As in ResNet, in place where that one is."""

    def __init__(self, given: int, gives: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(given, gives, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(gives, gives, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(gives), nn.BatchNorm2d(gives)])
        self.relu = nn.ReLU(inplace=True)
        self.down = nn.Sequential(nn.Conv2d(given, gives, 1, stride, bias=False), nn.BatchNorm2d(gives))
        self.straight = stride == 1 and given == gives

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norms[1](self.second(self.relu(self.norms[0](self.first(x)))))
        inner += x if self.straight else self.down(x)
        return self.relu(inner)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.blocks = nn.Sequential(Block(6, 6, 1), Block(6, 8, 2))
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.flatten(self.pool(self.blocks(self.stem(x))), 1))


class Functional(nn.Module):
    """Norms before convolutions, constants, calls in place of modules, a sum of two poolings."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norms = nn.ModuleList([nn.BatchNorm2d(6), nn.BatchNorm2d(6)])
        self.head = nn.Linear(96, 5)
        self.register_buffer("mean", torch.tensor([[[0.13]]]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first((x - self.mean) / 0.3)
        x = x + self.second(functional.relu(self.norms[0](x)))
        x = functional.max_pool2d(torch.relu(self.norms[1](x)), x.size(2) // 4) + functional.avg_pool2d(x, 2)
        return 0.5 * self.head(functional.dropout(x, 0.3, self.training).view(x.size(0), -1))


class Skip(nn.Module):
    """A residual sum without a ReLU behind it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


def _plain() -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def _lenet(pool: type[nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5), nn.ReLU(), pool(2), nn.Conv2d(16, 16, 5), nn.ReLU(), pool(2),
        nn.Flatten(), nn.Linear(256, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip


def _depthwise() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, groups=3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, groups=8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 4),
    )  # fmt: skip


def _strange() -> nn.Module:
    """Windows of all kinds; the even kernels of padding 'same' are those that torch pads unevenly."""
    return nn.Sequential(
        nn.Conv2d(2, 4, (3, 2), stride=(2, 3), padding=(2, 1), dilation=(1, 2)), nn.ReLU(),
        nn.MaxPool2d((3, 2), stride=(1, 2), padding=(1, 1)), nn.Conv2d(4, 3, (2, 4), padding="same"), nn.ReLU(),
        nn.Conv2d(3, 3, (2, 2), padding="same", dilation=(3, 1)), nn.MaxPool2d(2, 1, dilation=2, padding=1),
        nn.AvgPool2d(2, 1, 1, divisor_override=3), nn.Flatten(), nn.Linear(135, 3),
    )  # fmt: skip


def _norms() -> nn.Module:
    """Norms before, between and behind, of which only some find a linear layer to go into."""
    return nn.Sequential(
        nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3),
        nn.AvgPool2d(2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 5),
        nn.BatchNorm1d(5),
    )  # fmt: skip


def _averages() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def _bare() -> nn.Module:
    """Nothing linear in the beginning, and two linear layers with nothing between them."""
    return nn.Sequential(
        nn.AdaptiveMaxPool2d((4, 4)), nn.Flatten(), nn.ReLU(), nn.Linear(16, 9), nn.Linear(9, 3), nn.ReLU()
    )


def _mnist() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1568, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def _layer_norms() -> nn.Module:
    """One behind a convolution, one behind a ReLU: neither centring has a Linear layer to go into."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.LayerNorm([4, 4, 4]), nn.ReLU(), nn.Flatten(),
        nn.LayerNorm(64, elementwise_affine=False), nn.Linear(64, 5),
    )  # fmt: skip


_MAKERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], float, float]] = {
    "plain": (_plain, (1, 28, 28), 0.0, 1.0),
    "lenet max": (lambda: _lenet(nn.MaxPool2d), (1, 28, 28), 0.0, 1.0),
    "lenet average": (lambda: _lenet(nn.AvgPool2d), (1, 28, 28), 0.0, 1.0),
    "residual": (Residual, (1, 8, 8), -1.0, 1.0),
    "functional": (Functional, (1, 8, 8), 0.0, 1.0),
    "depthwise": (_depthwise, (3, 8, 8), -2.0, 0.5),
    "strange": (_strange, (2, 13, 17), -1.0, 1.0),
    "norms": (_norms, (2, 6, 6), 0.0, 255.0),
    "averages": (_averages, (1, 8, 8), 0.0, 1.0),
    "bare": (_bare, (1, 8, 8), -1.0, 1.0),
    "one layer": (lambda: nn.Linear(7, 3), (7,), -1.0, 1.0),
}
_WITH_LAYER_NORM: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], float, float]] = {
    "mnist": (_mnist, (1, 28, 28), 0.0, 1.0),
    "layer norms": (_layer_norms, (1, 6, 6), -1.0, 1.0),
}
LAYERS = ("conv", "relu", "norm", "max", "average", "sum")
NAMES = tuple(_MAKERS)
LAYER_NORM_NAMES = tuple(_WITH_LAYER_NORM)


def network(name: str) -> Network:
    """One of `NAMES` or `LAYER_NORM_NAMES`, the same at every call."""
    make, shape, low, high = (_MAKERS | _WITH_LAYER_NORM)[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = make()
        for each in module.modules():
            _trained(each, high)
    return module, shape, low, high


def row_of_layers(kinds: list[str], seed: int, side: int) -> nn.Module:
    """Layers of `LAYERS` in a row on examples (2, side, side), and a linear one to three logits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        channels = 2
        for kind in kinds:
            if kind == "conv":
                given, channels = channels, 2 * int(torch.randint(1, 3, ()))
                layers.append(nn.Conv2d(given, channels, 3, padding=1, groups=2))
            elif kind == "relu":
                layers.append(nn.ReLU())
            elif kind == "norm":
                layers.append(_trained(nn.BatchNorm2d(channels), 1.0))
            elif kind == "max" and side >= 2:
                layers.append(nn.MaxPool2d(2, stride=1))
                side -= 1
            elif kind == "average" and side >= 2:
                layers.append(nn.AvgPool2d(2))
                side //= 2
            elif kind == "sum":
                layers.append(Skip(nn.Sequential(nn.ReLU(), nn.Conv2d(channels, channels, 1))))
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side * side, 3))


def _trained(module: nn.Module, high: float) -> nn.Module:
    """Norms with statistics and weights as after some training on inputs up to `high`."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        module.get_buffer("running_mean").normal_(0, 0.3 * high)
        module.get_buffer("running_var").uniform_(0.3, 2).mul_(max(1.0, high))
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm) and module.weight is not None:
        nn.init.normal_(module.weight, 1, 0.3)
        nn.init.normal_(module.bias, 0, 0.2)
    return module
