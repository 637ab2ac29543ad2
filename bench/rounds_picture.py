"""The picture of `bench.rounds`: where the time of each trip goes, secure beside plain, one panel a case.

Decides: how it looks. Refuses to know how anything was measured.
"""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.plain.account import PARTS, Account

# Okabe and Ito (2008): apart for every kind of colour vision. Waiting is pale, work is strong.
_COLOURS = {
    "poll": "#dddddd", "start": "#F0E442", "import": "#E69F00", "train": "#0072B2", "crypto": "#D55E00",
    "other": "#56B4E9", "relay": "#CC79A7", "back": "#aaaaaa", "server": "#000000",
}  # fmt: skip
_GAP = 0.8  # between two variants, in bars
_DPI = 130


def draw(measured: Mapping[str, Mapping[str, Account]], path: Path) -> None:
    """Stacked bars: a panel a case, a bar a trip and one for the server's own work, grouped by variant.

    Args:
        measured: case -> variant -> account.
        path: where to write; its suffix says the format.
    """
    bars = [sum(len(run.trips) + 1 for run in runs.values()) for runs in measured.values()]
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.0, 1.4 + 0.36 * sum(bars)), layout="constrained")
        panels = figure.subplots(len(measured), 1, squeeze=False, height_ratios=bars)[:, 0]
        for panel, (case, runs) in zip(panels, measured.items(), strict=True):
            _panel(panel, runs)
            panel.set_title(f"{case}: {_said(runs)}", loc="left", fontsize=10)
        panels[-1].set_xlabel("seconds, of the median round")
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=9, frameon=False
        )
        figure.savefig(path, dpi=_DPI)


def _panel(panel: Axes, runs: Mapping[str, Account]) -> None:
    place, ticks = 0.0, dict[float, str]()
    for name, run in runs.items():
        for trip in run.trips:
            left = 0.0
            for part in PARTS:
                panel.barh(place, trip.parts[part], left=left, color=_COLOURS[part], label=_once(ticks, part))
                left += trip.parts[part]
            panel.annotate(f" {trip.seconds:.3g}", (left, place), va="center")
            ticks[place] = f"{name}: {trip.name}"
            place += 1
        label = "server" if len(ticks) == len(run.trips) else ""
        panel.barh(place, run.server, color=_COLOURS["server"], label=label)
        ticks[place] = f"{name}: server"
        place += 1 + _GAP
    panel.set_yticks(list(ticks), list(ticks.values()))
    panel.invert_yaxis()


def _once(drawn: Mapping[float, str], part: str) -> str:
    """The legend's word, at the first bar alone."""
    return part if not drawn else ""


def _said(runs: Mapping[str, Account]) -> str:
    return ", ".join(f"{name} {run.median:.2f} s" for name, run in runs.items())
