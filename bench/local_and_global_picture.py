"""The picture of `bench.local_and_global`: what the server sees, over what only the clients see.

Decides: how it looks. Refuses to know how anything was measured.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.pictures import STYLE

_OWN, _GLOBAL = "#56B4E9", "#D55E00"  # Okabe and Ito (2008): apart for every kind of colour vision
_DPI = 150


def draw(
    clients: Mapping[str, Sequence[tuple[int, float]]], together: Sequence[tuple[int, float]], path: Path
) -> None:
    """A thin line a client, a thick one for all.

    Args:
        clients: name -> (server rounds behind the model, accuracy).
        together: the same over all clients' validation data.
        path: where to write; its suffix says the format.
    """
    last = [points[-1][1] for points in clients.values()]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.8, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, points in enumerate(clients.values()):
            label = "a client's own, in its own log" if number == 0 else None
            axes.plot(*zip(*points, strict=True), color=_OWN, linewidth=1.0, label=label)
        axes.plot(
            *zip(*together, strict=True), color=_GLOBAL, linewidth=2.6, label="all, as the server gets it"
        )
        axes.set_title(
            f"One number reaches the server, {together[-1][1]:.3f}; the clients' own lie between "
            f"{min(last):.3f} and {max(last):.3f}",
            loc="left",
        )
        axes.set(
            xlabel="server rounds behind the model", ylabel="accuracy on validation data", ylim=(0, 1.02)
        )
        axes.legend(loc="lower right")
        figure.savefig(path, dpi=_DPI)
