"""What a model or a loss gives away beside clipped gradients, found by watching it on a few examples.

Decides what is refused before differentially private training: state that a forward pass changes (running
statistics), examples of one batch that influence each other, a loss that is no mean, layers that Opacus refuses.
By behaviour, not by a list of types: what a custom layer does counts. Refuses to know clipping and noise.

The watching is done on a client's own examples; an error names layers and never anything of the data.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Final

import torch
from opacus.utils.module_utils import trainable_modules
from opacus.validators import ModuleValidator
from torch import nn

from arithmetic.errors import ParameterError
from clients.tasks import Task

PROBED: Final = 8  # examples looked at: enough to meet several classes
Gather = Callable[[torch.Tensor], Any]
Replay = Callable[[], AbstractContextManager[None]]
_FIX: Final = "use GroupNorm or a layer of opacus.layers (opacus.validators.ModuleValidator.fix puts them in)"


class LeakyModel(ParameterError):
    """A model or loss for which clipped, noised gradients would not be the whole of what leaves.

    The text names layers of the model that came from the server, and nothing of the data.
    """

    shareable: ClassVar[bool] = True


def check_leaks(task: Task, model: nn.Module, gather: Gather, examples: int, replay: Replay) -> None:
    """Refuse a model whose guarantee would not hold; the model is in train mode, before and after.

    Args:
        task: whose loss it is.
        model: on its device.
        gather: gives the batch of some indices, on that device.
        examples: in the data set, at least 2.
        replay: a context in which dropout draws the same each time.

    Raises:
        LeakyModel: the message names the layer and the fix.
    """
    _check_layers(model)
    size = min(PROBED, examples) // 2 * 2
    batch, half = torch.arange(size), size // 2
    replaced = torch.cat([batch[:half], batch[:half]])
    with _unchanged_state(model):
        with replay():
            first = _watched(task, model, gather(batch), size)
        with replay():
            second = _watched(task, model, gather(replaced), size)
    for (name, one), (_, other) in zip(first, second, strict=False):
        if not _close(one[:half], other[:half]):
            raise LeakyModel(
                f"in {name}, examples of one batch influence each other, so clipping one does not bound the others; "
                f"take out normalisation over the batch ({_FIX}) and class weights from a mean"
            )
    _check_mean(task, model, gather, batch)


def _check_layers(model: nn.Module) -> None:
    """What Opacus itself refuses, by name."""
    for name, layer in trainable_modules(model):
        if found := ModuleValidator.VALIDATORS.get(type(layer), lambda _: [])(layer):
            reason = str(found[0]).partition(". ")[0]
            raise LeakyModel(
                f"layer {name!r} ({type(layer).__name__}) cannot be trained privately: {reason}; {_FIX}"
            )


@contextmanager
def _unchanged_state(model: nn.Module) -> Iterator[None]:
    """Refuse a forward pass that changes parameters or buffers, persistent or not."""
    before = [
        (name, layer, kind, tensor, tensor.detach().clone())
        for name, layer in model.named_modules()
        for kind, tensor in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False))
    ]
    yield
    for name, layer, kind, tensor, old in before:
        now = getattr(layer, kind)
        if now is not tensor or not torch.equal(torch.nan_to_num(now), torch.nan_to_num(old)):
            raise LeakyModel(
                f"layer {name!r} ({type(layer).__name__}) changes its {kind!r} in a forward pass: statistics of the "
                f"data that no noise covers; {_FIX}, set track_running_stats=False, or keep the layer's state fixed"
            )


def _watched(task: Task, model: nn.Module, batch: Any, size: int) -> list[tuple[str, torch.Tensor]]:  # noqa: ANN401
    """What each layer gave for each of `size` examples, in order, then the loss's gradients at these outputs."""
    seen: list[tuple[str, torch.Tensor]] = []
    back: list[tuple[str, torch.Tensor]] = []

    def record(name: str, layer: nn.Module, output: object) -> None:
        if isinstance(output, torch.Tensor) and output.dim() and len(output) == size:
            seen.append((f"layer {name!r} ({type(layer).__name__})", output.detach().clone()))
            if output.requires_grad:
                output.register_hook(  # type: ignore[no-untyped-call]
                    lambda gradient: back.append(("the task's loss", gradient.clone()))
                )

    handles = [
        layer.register_forward_hook(lambda layer, _, output, name=name: record(name, layer, output))
        for name, layer in model.named_modules()
    ]
    try:
        task.loss(model, batch).backward()  # type: ignore[no-untyped-call]
    finally:
        for handle in handles:
            handle.remove()
        model.zero_grad(set_to_none=True)
    return seen + back


def _check_mean(task: Task, model: nn.Module, gather: Gather, batch: torch.Tensor) -> None:
    """The same examples twice have the same mean; without dropout, whose draws would differ."""
    model.eval()
    with torch.no_grad():
        once, twice = (task.loss(model, gather(indices)) for indices in (batch, batch.repeat(2)))
    model.train()
    if not torch.isclose(once, twice, rtol=0.1, equal_nan=True):
        raise LeakyModel(
            "the task's loss is no mean over the batch, so each example's gradient depends on how many there are; "
            'use reduction="mean"'
        )


def _close(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for rounding, relative to the largest entry."""
    if one.shape != other.shape:
        return False
    if not one.is_floating_point():
        return torch.equal(one, other)
    one, other = torch.nan_to_num(one.double()), torch.nan_to_num(other.double())
    return bool((one - other).abs().max() <= 1e-4 * one.abs().max()) if one.numel() else True
