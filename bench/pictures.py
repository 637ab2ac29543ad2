"""Pictures of the figures: one function for each.

Decides: how a figure looks: colours that colour-blind people tell apart, titles that say what was found.
Refuses to know: how anything was measured.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.powerlaw import Curve

# Okabe and Ito (2008): apart for every kind of colour vision; the marker says it again.
_STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"))
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "font.size": 9,
    "axes.titlesize": 10,
    "legend.frameon": False,
}
_STYLE = STYLE | {"grid.linewidth": 0.6}
_SIZES = {"n": "clients", "d": "parameters"}
_UNITS = {"s": "seconds", "B": "bytes"}
_DPI = 150


def scale(curves: Sequence[Curve], path: Path) -> None:
    """Cost against size: a row of panels a size, a panel a unit; points, fitted laws, exponents.

    Args:
        curves: of any number of sizes and units.
        path: where to write; its suffix says the format.
    """
    axes, units = _distinct([curve.axis for curve in curves]), _distinct([curve.unit for curve in curves])
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.2 * len(units), 3.3 * len(axes)), layout="constrained")
        panels = figure.subplots(len(axes), len(units), squeeze=False)
        for row, axis in zip(panels, axes, strict=True):
            for panel, unit in zip(row, units, strict=True):
                _panel(panel, [curve for curve in curves if (curve.axis, curve.unit) == (axis, unit)])
        figure.savefig(path, dpi=_DPI)


def _panel(panel: Axes, curves: Sequence[Curve]) -> None:
    first = curves[0]
    for curve, (colour, marker) in zip(curves, _STYLES, strict=False):
        fit, label = curve.fit, f"{curve.what} ~ {curve.axis}^{curve.fit.exponent:.2f}"
        panel.plot(curve.sizes, curve.costs, marker, color=colour, label=label, markersize=5)
        ends = [fit.start, curve.sizes[-1]]
        panel.plot(ends, [fit.at(size) for size in ends], color=colour, linewidth=1.2)
    panel.set(
        xscale="log", yscale="log", xlabel=f"{first.axis}, {_SIZES[first.axis]}", ylabel=_UNITS[first.unit]
    )
    # A cost that hardly grows should look flat: never less than a decade from bottom to top.
    least, most = (at(cost for curve in curves for cost in curve.costs) for at in (min, max))
    panel.set_ylim(min(least / 1.5, 10 ** math.floor(math.log10(least))), most * 2)
    panel.set_title(_finding(curves), loc="left")
    panel.legend()


def _finding(curves: Sequence[Curve]) -> str:
    """Which cost grows fastest, and by how much for ten times the size."""
    fastest = max(curves, key=lambda curve: curve.fit.exponent)
    more = 10**fastest.fit.exponent
    return f"Ten times the {_SIZES[fastest.axis]}: {fastest.what} x {more:.3g}"


def _distinct(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def accuracy_against_epsilon(curves: Mapping[str, Sequence[tuple[float, float]]], path: Path) -> None:
    """Accuracy in percent against epsilon on a logarithmic axis, a line a mode.

    Args:
        curves: mode -> (epsilon, accuracy), ascending; "distributed" and "central" at the same epsilons.
        path: where to write; its suffix says the format.
    """
    pairs = zip(curves["central"], curves["distributed"], strict=True)
    behind = max(theirs - ours for (_, theirs), (_, ours) in pairs)
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.subplots()
        for (mode, points), (colour, marker) in zip(curves.items(), _STYLES, strict=False):
            epsilons, accuracies = zip(*points, strict=True)
            axes.plot(epsilons, accuracies, color=colour, marker=marker, label=mode)
        ticks = sorted({epsilon for points in curves.values() for epsilon, _ in points})
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xlabel("epsilon of the whole run (example-level)")
        axes.set_ylabel("accuracy on the public test set, %")
        axes.set_title(
            f"Noise shared under the mask: at most {max(behind, 0.0):.2f} points behind a trusted server",
            loc="left",
        )
        axes.legend(loc="lower right")
        figure.savefig(path, dpi=_DPI)


def bars(labels: Sequence[str], numbers: Sequence[float], finding: str, unit: str, path: Path) -> None:
    """A horizontal bar a figure on a logarithmic axis, with its number at its end.

    Args:
        labels: what each bar is, from the top.
        numbers: above 0.
        finding: the title.
        unit: of the numbers.
        path: where to write; its suffix says the format.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.0, 0.6 + 0.36 * len(labels)), layout="constrained")
        axes = figure.subplots()
        drawn = axes.barh(range(len(labels)), numbers, color=_STYLES[0][0], height=0.62)
        axes.bar_label(drawn, [f"{number:.3g}" for number in numbers], padding=3)
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.set_xscale("log")
        axes.set_xlim(min(1.0, *numbers) * 0.9, max(numbers) * 3)
        axes.set_xlabel(unit)
        axes.set_title(finding, loc="left")
        axes.grid(axis="y", visible=False)
        figure.savefig(path, dpi=_DPI)
