"""A step of DP-SGD on a client against a plain step, in time and in memory.

    python -m bench.dp_training [--model all|mlp|digits|mnist|cnn] [--batch 64] [--quick] [--json] [--save]

Ours is the step of `clients.dp_training` as a client runs it: batch gathered, gradients clipped, noise drawn, SGD
with momentum. The peers are the plain step (floor; at most 2.8 times its time, 2.5 times its memory wanted) and Opacus'
PrivacyEngine with its hooks and its ghost clipping, on the same batch. Time is processor time on one thread, as a
simulated client has it, the best of several steps, the variants taking turns; memory is how far the peak of
resident memory rises above model, data and loaded code (checks, optimiser and three steps), each
variant in a process of its own (Linux only).
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import torch
from opacus import PrivacyEngine
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.report import Row, finish, options_of
from clients.dp_training import NoisyDescent, PrivacyConfig
from clients.example_gradients import example_gradients
from clients.tasks import load_task
from clients.tasks.classification import ClassificationTask
from clients.training import TrainingConfig

VARIANTS: Final = ("plain", "ours", "hooks", "ghost")
TIME, MEMORY = 2.8, 2.5
PRIVACY: Final = PrivacyConfig(1.0, 1.0)
Step = Callable[[], None]


def _mlp() -> nn.Module:
    """235,146 parameters."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
    )


def _cnn() -> nn.Module:
    """1,690,046 parameters: the network of FEMNIST in LEAF (Caldas et al. 2018, arXiv:1812.01097)."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(3136, 512),
        nn.ReLU(),
        nn.Linear(512, 62),
    )


MODELS: Final[Mapping[str, tuple[Callable[[], nn.Module], int]]] = {
    "mlp": (_mlp, 28),
    "digits": (lambda: load_task("digits").model(0), 8),
    "mnist": (lambda: load_task("mnist").model(0), 28),
    "cnn": (_cnn, 28),
}


def rows(names: tuple[str, ...], batch: int, repeats: int) -> Iterator[Row]:
    """Six rows a model: time and memory of ours against each peer."""
    for name in names:
        seconds = _seconds(name, batch, repeats)
        megabytes = {variant: _peak(name, batch, variant) for variant in VARIANTS}
        for figures, unit, most in ((seconds, "s", TIME), (megabytes, "MB", MEMORY)):
            what = "time" if unit == "s" else "memory"
            for peer in VARIANTS:
                ours, other = figures["ours"], figures[peer]
                if peer == "ours" or ours is None or other is None:
                    continue
                note = f"ours / plain = {ours / other:.2f}, at most {most}" if peer == "plain" else "Opacus"
                yield Row(f"{name} batch={batch}: {what} of a step, peer {peer}", ours, other, unit, note)


def _seconds(name: str, batch: int, repeats: int) -> dict[str, float]:
    best = dict.fromkeys(VARIANTS, float("inf"))
    with ExitStack() as stack:
        steps = {variant: _step(*_setting(name, batch), variant, stack) for variant in VARIANTS}
        for _ in range(repeats):
            for variant, step in steps.items():
                started = time.process_time()
                step()
                best[variant] = min(best[variant], time.process_time() - started)
    return best


def _peak(name: str, batch: int, variant: str) -> float | None:
    """Megabytes by which resident memory rises over three steps; None where the system does not say."""
    command = [
        sys.executable,
        "-m",
        "bench.dp_training",
        "--model",
        name,
        "--batch",
        str(batch),
        "--peak",
        variant,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout) if done.stdout.strip() else None


def _print_peak(name: str, batch: int, variant: str) -> None:
    status = Path("/proc/self/status")
    if not status.exists():
        return
    with ExitStack() as stack:
        _step(*_setting("digits", 2), variant, stack)()  # what torch loads once is no part of a step
    model, data = _setting(name, batch)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _kilobytes(status, "VmRSS")
    with ExitStack() as stack:
        step = _step(model, data, variant, stack)
        for _ in range(3):
            step()
    print((_kilobytes(status, "VmHWM") - before) / 1024)


def _kilobytes(status: Path, key: str) -> int:
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(key))


def _setting(name: str, batch: int) -> tuple[nn.Module, TensorDataset]:
    make, side = MODELS[name]
    torch.manual_seed(0)
    return make(), TensorDataset(torch.rand(batch, 1, side, side), torch.randint(10, (batch,)))


def _step(model: nn.Module, data: TensorDataset, variant: str, stack: ExitStack) -> Step:
    """A step of `variant`, on the same batch each time."""
    if variant == "ours":
        return _ours(model, data, stack)
    if variant == "plain":
        return _descent(
            model, torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9), data, _cross_entropy
        )
    return _opacus(model, data, variant)


def _ours(model: nn.Module, data: TensorDataset, stack: ExitStack) -> Step:
    gradients = stack.enter_context(
        example_gradients(ClassificationTask(), model, data, PRIVACY.clipping_norm, torch.device("cpu"), 0)
    )
    config = TrainingConfig(batch_size=len(data), learning_rate=0.01)
    descend, everyone = NoisyDescent(gradients, config, PRIVACY), torch.arange(len(data))
    return lambda: descend(gradients.clipped_sum(everyone).total)


def _opacus(model: nn.Module, data: TensorDataset, mode: str) -> Step:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    made: Any = PrivacyEngine().make_private(
        module=model,
        optimizer=optimiser,
        criterion=nn.CrossEntropyLoss(),
        data_loader=DataLoader(data, batch_size=len(data)),
        noise_multiplier=PRIVACY.noise_multiplier,
        max_grad_norm=PRIVACY.clipping_norm,
        poisson_sampling=False,
        grad_sample_mode=mode,
    )
    return _descent(made[0], made[1], data, made[2] if mode == "ghost" else _cross_entropy)


def _descent(
    model: nn.Module, optimiser: torch.optim.Optimizer, data: TensorDataset, criterion: Callable[..., Any]
) -> Step:
    everyone = torch.arange(len(data))

    def step() -> None:
        inputs, labels = (tensor[everyone] for tensor in data.tensors)
        optimiser.zero_grad()
        criterion(model(inputs), labels).backward()
        optimiser.step()

    return step


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, labels)


def main() -> int:
    """Measure, print; exit code 0 whatever the figures."""
    parser = options_of("A private step against a plain one.", model=("all", *MODELS))
    parser.add_argument(
        "--batch", type=int, default=64, help="examples in the batch, at least 2 (default 64)"
    )
    parser.add_argument("--peak", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        _print_peak(options.model, options.batch, options.peak)
        return 0
    names = tuple(MODELS) if options.model == "all" else (options.model,)
    batch, repeats = (4, 1) if options.quick else (options.batch, 30)
    finish("dp_training", rows(names, batch, repeats), options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
