"""What an owner is told of a layer that cannot be converted: its name, and what to put in its place.

This module decides the advice; it refuses to know how layers are converted.
"""

from typing import Final

from predictions.errors import UnsupportedModel

_RECTIFY: Final = "train with nn.ReLU in its place"
_NORM: Final = "train with nn.BatchNorm2d, or with nn.LayerNorm over the whole example, in its place"
_DROP: Final = (
    "drop it where it is the last layer, as the asker can apply it to the logits; elsewhere take nn.ReLU"
)
_ADVICE: Final = {
    **dict.fromkeys(("gelu", "silu", "mish", "elu", "celu", "selu", "leakyrelu", "prelu", "relu6"), _RECTIFY),
    **dict.fromkeys(("hardswish", "hardsigmoid", "softplus", "softsign", "hardtanh", "clamp"), _RECTIFY),
    **dict.fromkeys(("groupnorm", "instancenorm1d", "instancenorm2d", "localresponsenorm", "rmsnorm"), _NORM),
    **dict.fromkeys(("softmax", "logsoftmax", "sigmoid", "logsigmoid", "tanh", "softmin"), _DROP),
    **dict.fromkeys(("lstm", "gru", "rnn", "multiheadattention", "embedding"),
                    "no recurrent, attention or embedding layer can be computed here"),
    **dict.fromkeys(("linear", "conv2d", "batchnorm", "layernorm"), "use the module of torch.nn for it"),
}  # fmt: skip
_OTHERWISE: Final = "see the table of supported layers (predictions.conversion.SUPPORTED)"


class Refused(Exception):
    """Why a layer cannot be converted, and what to do; the tracer knows the layer's name."""


def unsupported(name: str, kind: str, why: str = "") -> UnsupportedModel:
    """The refusal of one layer.

    Args:
        name: of the layer within the model.
        kind: its type or function, e.g. `GELU`.
        why: what about it cannot be converted, and what to do; empty when it is its kind.
    """
    if not why:
        why = f"is not supported: {_ADVICE.get(kind.replace('_', '').lower(), _OTHERWISE)}"
    return UnsupportedModel(f"layer {name!r} ({kind}) {why}; nothing was converted, and nothing has left")
