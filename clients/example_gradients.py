"""Gradients of single examples, each clipped: what `local` mode noises and `distributed` mode rounds and sums.

Decides the clip: one L2 norm over all trained parameters of an example together (0-d ones too), a gradient that is
not finite counts as zero, and memory is bounded by micro-batches whatever the batch. Checks the model first
(`clients.leaks`), and that the per-example gradients add up to autograd's. Refuses to know noise, sampling and
rounding.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

from arithmetic.errors import ParameterError, RangeError
from clients.book_keeping import Kept, Recorder, recorder_of
from clients.leaks import PROBED, Gather, Replay, check_leaks
from clients.tasks import Task, length_of
from clients.training import gather, own_random_stream, to_device, typed_errors

MICRO_BATCH: Final = 64
_SLACK: Final = (
    1e-5  # more than single precision errs in a norm: what is clipped stays within the clipping norm
)
_AGREEMENT: Final = 1e-3  # of a parameter's largest entry; a use that is left out is off by all of its own


@dataclass(frozen=True)
class ClippedSum:
    """What a batch came to.

    Attributes:
        total: the sum of the clipped gradients, float32 (d,), parameters in the order of `model.parameters()`.
        non_finite: examples that counted as zero. It depends on the data: for the client's own log.
        loss: sum over the examples of the micro-batches whose loss is finite. For the client's own log.
    """

    total: torch.Tensor
    non_finite: int
    loss: float


@contextmanager
def example_gradients(
    task: Task,
    model: nn.Module,
    dataset: Dataset[Any],
    clipping_norm: float,
    device: torch.device,
    stream: int,
    micro_batch: int = MICRO_BATCH,
) -> "Iterator[ExampleGradients]":
    """Check the model, then give its `ExampleGradients`; on leaving, the model is as it was but for its weights.

    Args:
        task: whose loss it is: the mean over a batch.
        model: trained in place by the caller, through `parameters`; on `device` and in train mode afterwards.
        dataset: at least two examples.
        clipping_norm: the L2 norm C that no example's gradient exceeds, 0 < C < infinity.
        device: where to compute.
        stream: seeds dropout, 0 <= stream < 2^63; the global random state is left as it was.
        micro_batch: examples computed at a time, >= 1: time and memory, never the result beyond rounding.

    Raises:
        ParameterError: a setting out of range, nothing to train, a layer without per-example gradients.
        LeakyModel: see `clients.leaks`.
        RangeError: fewer than two examples.
        SetupError: the device ran out of memory.
    """
    if not 0 < clipping_norm < math.inf:  # NaN fails too
        raise ParameterError(
            f"clipping-norm is {clipping_norm!r}; choose a number above 0 and below infinity"
        )
    if micro_batch < 1:
        raise ParameterError(f"micro-batch is {micro_batch}; choose an integer of at least 1")
    if length_of(dataset) < 2:
        raise RangeError("this client has fewer than two training examples, so it abstains; check data-path")
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ParameterError("the model has no parameter to train; set requires_grad on some")

    def replay() -> AbstractContextManager[None]:
        return own_random_stream(stream, device)

    def load(indices: torch.Tensor) -> Any:  # noqa: ANN401 - the task's own type
        return to_device(gather(dataset, indices), device)

    with replay(), typed_errors():
        model.to(device).train()
        with _refusals():
            check_leaks(task, model, load, length_of(dataset), replay)
        with _recorder(model) as recorder:
            gradients = ExampleGradients(task, model, load, recorder, clipping_norm, micro_batch)
            with _refusals():
                gradients.check_complete(min(PROBED, length_of(dataset)), replay)
            yield gradients


class ExampleGradients:
    """Clipped gradients of single examples at the model's present weights; made by `example_gradients`.

    Attributes:
        mode: "ghost", or "hooks" where a layer does not allow that (`clients.book_keeping`).
        parameters: those that are trained, by name, in the order of the flat vector.
        sizes: how many entries each has.
        dimension: d, the length of the flat vector.
    """

    def __init__(
        self,
        task: Task,
        model: nn.Module,
        gather: Gather,
        recorder: Recorder,
        clipping_norm: float,
        micro_batch: int,
    ) -> None:
        self._task, self._model, self._gather, self._recorder = task, model, gather, recorder
        self._norm, self._micro_batch = clipping_norm, micro_batch
        self.mode = recorder.name
        self.parameters = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        self.sizes = [weight.numel() for weight in self.parameters.values()]
        self.dimension = sum(self.sizes)
        self._device = next(iter(self.parameters.values())).device

    def clipped_sum(self, indices: torch.Tensor) -> ClippedSum:
        """Sum over the examples at `indices`, int64 (size,); zero for none.

        Raises:
            ParameterError: a layer that loses track of the examples (`clients.book_keeping`).
        """
        total = torch.zeros(self.dimension, device=self._device)
        entries = torch.split(total, self.sizes)
        non_finite, loss = 0, 0.0
        for part in self._parts(indices):
            found, mean = self._recorded(part)
            factors = self._factors(found, len(part))
            keep = factors > 0
            whole = bool(keep.all())
            for kept, entry in zip(found, entries, strict=True):
                if kept is not None:
                    (kept if whole else kept.take(keep)).add_to(entry, factors[keep])
            non_finite += 0 if whole else int((~keep).sum())
            loss += mean * len(part) if math.isfinite(mean) else 0.0
        return ClippedSum(total, non_finite, loss)

    def clipped_rows(self, indices: torch.Tensor) -> Iterator[NDArray[np.float32]]:
        """Give the clipped gradients themselves, a micro-batch at a time: float32 (m, d), zero where not finite.

        Rows are in the order of `indices`; an empty batch gives nothing. Raises as `clipped_sum` does.
        """
        for part in self._parts(indices):
            found, _ = self._recorded(part)
            factors = self._factors(found, len(part))
            rows = self._rows(found, len(part)).mul_(factors[:, None])
            rows[factors == 0] = 0.0  # zero times NaN is NaN
            yield rows.cpu().numpy()

    def check_complete(self, examples: int, replay: Replay) -> None:
        """Raise ParameterError unless the gradients of the first examples add up to what autograd gives for them."""
        indices = torch.arange(examples)
        with replay():
            kept, _ = self._recorded(indices)
        if not len(indices := indices[(self._factors(kept, examples) > 0).cpu()]):
            return
        with replay():
            kept, _ = self._recorded(indices)
        with replay():
            expected = self._autograd(indices)
        floor = _AGREEMENT * float(expected.abs().max())  # a gradient that is nothing but rounding
        for name, part, true in zip(self.parameters, kept, torch.split(expected, self.sizes), strict=True):
            found = torch.zeros_like(true)
            if part is not None:
                part.add_to(found, torch.full((len(indices),), 1 / len(indices), device=self._device))
            if len(true) and (found - true).abs().max() > _AGREEMENT * max(float(true.abs().max()), floor):
                raise ParameterError(
                    f"the per-example gradients of {name!r} do not add up to its gradient: it is used outside its own "
                    "layer, or in a way for which Opacus has no rule; call the layer itself, or freeze it"
                )

    def _parts(self, indices: torch.Tensor) -> Iterator[torch.Tensor]:
        return iter(torch.split(indices, self._micro_batch) if len(indices) else ())

    def _recorded(self, part: torch.Tensor) -> tuple[list[Kept | None], float]:
        """What each parameter's gradients are, in order, and the mean loss."""
        self._recorder.begin()
        loss = self._task.loss(self._model, self._gather(part))
        found = self._recorder.gradients(loss, len(part))
        return [found.get(weight) for weight in self.parameters.values()], float(loss.detach())

    def _factors(self, found: list[Kept | None], examples: int) -> torch.Tensor:
        """Shape (examples,): C / norm or 1, the less; 0 where single precision does not hold one of the two."""
        wide = torch.float32 if self._device.type == "mps" else torch.float64
        squares = torch.zeros(examples, device=self._device, dtype=wide)
        for kept in found:
            if kept is not None:
                squares += kept.squared_norms()
        norms = squares.sqrt() * (1 + _SLACK)
        factors = (self._norm / norms.clamp(min=self._norm)).float()
        # A subnormal factor has few digits: rounded up, it would leave a gradient longer than C.
        held = torch.isfinite(norms.float()) & (factors >= torch.finfo(torch.float32).tiny)
        return torch.where(held, factors, 0.0)

    def _rows(self, found: list[Kept | None], examples: int) -> torch.Tensor:
        """Shape (examples, d), before the clip."""
        rows = torch.zeros(examples, self.dimension, device=self._device)
        for kept, columns in zip(found, torch.split(rows, self.sizes, dim=1), strict=True):
            if kept is not None:
                columns.copy_(kept.rows())
        return rows

    def _autograd(self, indices: torch.Tensor) -> torch.Tensor:
        """The mean gradient as torch has it, shape (d,)."""
        loss = self._task.loss(self._model, self._gather(indices))
        weights = list(self.parameters.values())
        found = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        return torch.cat([gradient.flatten().float() for gradient in found])


@contextmanager
def _recorder(model: nn.Module) -> Iterator[Recorder]:
    with _refusals():
        recorder = recorder_of(model)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Full backward hook is firing")  # expected of a first layer
            yield recorder
    finally:
        recorder.close()


@contextmanager
def _refusals() -> Iterator[None]:
    """What Opacus or torch cannot do with a model, said in one line."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError, ValueError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ParameterError(
            f"this model has a layer without per-example gradients ({reason}); use layers that Opacus knows "
            "(opacus.validators.ModuleValidator.fix), or freeze it"
        ) from error
