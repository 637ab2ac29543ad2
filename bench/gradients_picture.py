"""The picture of `bench.gradients`: losses of masked mean gradients over central SGD's, and how far apart they are.

Decides: how it looks. Refuses to know how anything was measured.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.pictures import STYLE

# Okabe and Ito (2008): apart for every kind of colour vision.
_PEER, _OURS = "#000000", ("#D55E00", "#0072B2")
_MOST = 1e-3
_DPI = 150


def draw(task: str, curves: Mapping[str, Sequence[float]], path: Path) -> None:
    """Two panels: the loss of each iteration, and the difference to central SGD on a logarithmic axis.

    Args:
        task: its name.
        curves: name -> losses; the first is what the others are held against.
        path: where to write; its suffix says the format.
    """
    (peer_name, peer), *others = curves.items()
    furthest = max(abs(a - b) for _, mine in others for a, b in zip(mine, peer, strict=True))
    at = range(1, len(peer) + 1)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 5.0), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        top.plot(at, peer, color=_PEER, linewidth=3.2, alpha=0.25, label=peer_name)
        for (name, mine), colour, dash in zip(others, _OURS, ("-", ":"), strict=False):
            top.plot(at, mine, dash, color=colour, linewidth=1.2, label=name)
            gaps = [max(abs(a - b), 1e-9) for a, b in zip(mine, peer, strict=True)]
            bottom.plot(at, gaps, dash, color=colour, linewidth=1.2, label=name)
        top.set_title(f"{task}: masked mean gradients follow central SGD to {furthest:.1e} nats", loc="left")
        top.set_ylabel("loss of the batches, nats")
        top.legend()
        bottom.axhline(_MOST, color=_PEER, linewidth=0.8, linestyle="--")
        bottom.annotate("the most it may be", (len(peer), _MOST), ha="right", va="bottom")
        bottom.set(yscale="log", xlabel="iteration", ylabel="difference, nats", ylim=(1e-9, 1e-2))
        figure.savefig(path, dpi=_DPI)
