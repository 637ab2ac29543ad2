"""Per-example gradients by layer, kept in the form that is cheapest to measure and to add up.

Decides for which models the short way holds (`GhostRecorder`): the backward pass stops at each layer's output and
never forms a weight's gradient; from a layer's input and output gradient follow first each example's norm, then
the sum under the clipping factors (book-keeping: Bu, Wang, Zha, Karypis 2023, arXiv:2210.00038). A linear layer on
vectors needs no per-example gradient for either (`Outer`; Goodfellow 2015, arXiv:1510.01799); for the other layers
those of one micro-batch are formed by Opacus' rules (`Rows`), and what was measured is what is summed. Elsewhere
(`HookRecorder`) Opacus' hooks form all of them. Refuses to know clipping norms, noise and sampling.

The trick of inner products over positions is left out: it subtracts large numbers from each other, and a norm that
it finds too small is a guarantee broken.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import torch
from opacus.grad_sample import GradSampleModule
from torch import nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from arithmetic.errors import ParameterError

Rule = Callable[[nn.Module, list[torch.Tensor], torch.Tensor], dict[nn.Parameter, torch.Tensor]]
GHOST_LAYERS: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.GroupNorm, nn.LayerNorm, nn.Embedding)
_RULES: Final[Mapping[type[nn.Module], Rule]] = GradSampleModule.GRAD_SAMPLERS


class Kept(Protocol):
    """The gradients of one parameter with p entries for each of n examples."""

    def squared_norms(self) -> torch.Tensor:
        """Shape (n,)."""
        ...

    def add_to(self, total: torch.Tensor, factors: torch.Tensor) -> None:
        """Add the sum over the examples, each times its factor, to `total`, shape (p,); factors (n,)."""
        ...

    def take(self, keep: torch.Tensor) -> "Kept":
        """Only the examples where `keep`, bool (n,), is true."""
        ...

    def rows(self) -> torch.Tensor:
        """All of them, shape (n, p)."""
        ...


@dataclass(frozen=True)
class Rows:
    """Gradients as they are, shape (n, p)."""

    values: torch.Tensor

    def squared_norms(self) -> torch.Tensor:
        """Sum of squares of each row."""
        # Squares of small numbers vanish in single precision, and a norm found too small is a broken guarantee.
        wide = torch.float32 if self.values.device.type == "mps" else torch.float64
        norms: torch.Tensor = torch.linalg.vector_norm(self.values, dim=1, dtype=wide)
        return norms.square_()

    def add_to(self, total: torch.Tensor, factors: torch.Tensor) -> None:
        """One product of a vector and a matrix."""
        total.addmv_(self.values.T, factors)

    def take(self, keep: torch.Tensor) -> "Rows":
        """Some of the rows."""
        return Rows(self.values[keep])

    def rows(self) -> torch.Tensor:
        """The rows."""
        return self.values


@dataclass(frozen=True)
class Outer:
    """Gradients that are outer products: example i's is outputs[i] times inputs[i] transposed."""

    outputs: torch.Tensor
    inputs: torch.Tensor

    def squared_norms(self) -> torch.Tensor:
        """|g a'|^2 = |g|^2 |a|^2: sums of squares only, nothing cancels."""
        return Rows(self.outputs).squared_norms() * Rows(self.inputs).squared_norms()

    def add_to(self, total: torch.Tensor, factors: torch.Tensor) -> None:
        """As the weight's own gradient is computed, with each output gradient scaled."""
        scaled = (self.outputs * factors[:, None]).T
        # A subnormal has few digits, and large inputs would make much of its error; zero is never too long.
        scaled = scaled.masked_fill(scaled.abs() < torch.finfo(scaled.dtype).tiny, 0.0)
        total.view(len(scaled), -1).addmm_(scaled, self.inputs)

    def take(self, keep: torch.Tensor) -> "Outer":
        """Some of the examples."""
        return Outer(self.outputs[keep], self.inputs[keep])

    def rows(self) -> torch.Tensor:
        """The products."""
        return (self.outputs[:, :, None] * self.inputs[:, None, :]).flatten(1)


class Recorder(Protocol):
    """Watches a model's forward passes, then gives the gradients of each example, until it is closed."""

    name: str

    def begin(self) -> None:
        """Forget what was recorded; the next forward pass is the one that counts."""
        ...

    def gradients(self, loss: torch.Tensor, examples: int) -> dict[torch.Tensor, Kept]:
        """From the mean loss of `examples` examples; a parameter that had no part in it is missing."""
        ...

    def close(self) -> None:
        """Leave the model as it was found."""
        ...


def recorder_of(model: nn.Module) -> Recorder:
    """Ghost clipping where every layer with something to train allows it, Opacus' hooks elsewhere."""
    kinds = {type(layer) for layer in model.modules() if _trained(layer)}
    return GhostRecorder(model) if kinds <= set(GHOST_LAYERS) else HookRecorder(model)


@dataclass(frozen=True)
class _Call:
    """One call of a layer: what it took, and the place in the graph of what it gave (before changes in place)."""

    name: str
    layer: nn.Module
    inputs: torch.Tensor
    output: GradientEdge


class GhostRecorder:
    """Book-keeping; a parameter used by several calls (tied, recurrent) has its rows added up."""

    name = "ghost"

    def __init__(self, model: nn.Module) -> None:
        self._calls: list[_Call] = []
        self._handles = [
            layer.register_forward_hook(self._watch(name))
            for name, layer in model.named_modules()
            if _trained(layer)
        ]

    def begin(self) -> None:
        """See `Recorder`."""
        self._calls.clear()

    def close(self) -> None:
        """See `Recorder`."""
        self._calls.clear()
        for handle in self._handles:
            handle.remove()

    def gradients(self, loss: torch.Tensor, examples: int) -> dict[torch.Tensor, Kept]:
        """See `Recorder`.

        Raises:
            ParameterError: a layer whose first dimension is not the example.
        """
        calls = self._calls
        scale = torch.full_like(loss, float(examples))  # the loss is a mean
        found: Sequence[torch.Tensor | None] = torch.autograd.grad(
            loss, [call.output for call in calls], scale, allow_unused=True
        )
        kept: dict[torch.Tensor, Kept] = {}
        for call, outputs in zip(calls, found, strict=True):
            if outputs is None:
                continue
            _check_call(call, examples)
            for parameter, part in _kept_of(call, outputs).items():
                earlier = kept.get(parameter)
                kept[parameter] = part if earlier is None else Rows(earlier.rows() + part.rows())
        calls.clear()
        return kept

    def _watch(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def record(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401 - torch's
            if len(inputs) != 1:
                raise ParameterError(f"layer {name!r} is called by keyword; call it as layer(x)")
            if output.requires_grad:
                self._calls.append(_Call(name, layer, inputs[0].detach(), get_gradient_edge(output)))

        return record


class HookRecorder:
    """Opacus' GradSampleModule: the gradient of every parameter for every example, whole."""

    name = "hooks"

    def __init__(self, model: nn.Module) -> None:
        self._parameters: list[Any] = [weight for weight in model.parameters() if weight.requires_grad]
        self._wrapped = GradSampleModule(model, strict=False)

    def begin(self) -> None:
        """See `Recorder`."""
        for parameter in self._parameters:
            parameter.grad_sample = None  # Opacus' own attribute
            parameter.grad = None

    def close(self) -> None:
        """See `Recorder`."""
        self.begin()
        for layer in self._wrapped.to_standard_module().modules():
            for left in ("activations", "max_batch_len", "ft_compute_sample_grad"):
                vars(layer).pop(left, None)

    def gradients(self, loss: torch.Tensor, examples: int) -> dict[torch.Tensor, Kept]:
        """See `Recorder`.

        Raises:
            ParameterError: a layer whose first dimension is not the example.
        """
        loss.backward()  # type: ignore[no-untyped-call]
        kept: dict[torch.Tensor, Kept] = {}
        for parameter in self._parameters:
            found = parameter.grad_sample
            if found is not None:
                if len(found) != examples:
                    raise ParameterError(
                        f"Opacus sees {len(found)} examples in a batch of {examples}; "
                        "keep the example in the first dimension of every layer"
                    )
                kept[parameter] = Rows(found.reshape(examples, -1))
        self.begin()
        return kept


def _trained(layer: nn.Module) -> bool:
    return any(weight.requires_grad for weight in layer.parameters(recurse=False))


def _kept_of(call: _Call, outputs: torch.Tensor) -> dict[torch.Tensor, Kept]:
    layer = call.layer
    if isinstance(layer, nn.Linear) and outputs.dim() == 2:
        kept: dict[torch.Tensor, Kept] = {}
        if layer.weight.requires_grad:
            kept[layer.weight] = Outer(outputs, call.inputs)
        if layer.bias is not None and layer.bias.requires_grad:
            kept[layer.bias] = Rows(outputs)
        return kept
    rows = _RULES[type(layer)](layer, [call.inputs], outputs)
    return {
        parameter: Rows(values.reshape(len(values), -1))
        for parameter, values in rows.items()
        if parameter.requires_grad
    }


def _check_call(call: _Call, examples: int) -> None:
    if call.inputs.dim() == 0 or len(call.inputs) != examples:
        raise ParameterError(
            f"layer {call.name!r} takes an input of shape {tuple(call.inputs.shape)} in a batch of {examples} "
            "examples; keep the example in the first dimension of every layer"
        )
