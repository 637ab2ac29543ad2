"""The picture of `bench.hospitals`: how well each hospital does alone and together, and what either way costs.

Decides: how it looks. Refuses to know: how anything was measured.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from bench.hospitals import Compared

# Okabe and Ito (2008): apart for every kind of colour vision; marker and line style say it again.
_ALONE, _RING, _MASKS = "#999999", "#D55E00", "#0072B2"
_DPI = 150


def draw(compared: "Compared", path: Path) -> None:
    """Left: the error of each hospital alone, and of all together by either way. Right: both times.

    Args:
        compared: what `bench.hospitals` measured.
        path: where to write; its suffix says the format.
    """
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}
    with mpl.rc_context(style):
        figure = Figure(figsize=(9.6, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _errors(left, compared)
        _times(right, compared)
        figure.savefig(path, dpi=_DPI)


def _errors(panel: Axes, compared: "Compared") -> None:
    table, places = compared.table, range(1, len(compared.table.alone) + 1)
    bars = panel.bar(places, table.alone, color=_ALONE, width=0.6, label="alone")
    panel.bar_label(bars, [f"{value:,.0f}" for value in table.alone], padding=2)
    panel.axhline(table.together, color=_RING, linewidth=2.5, label="together, around the ring")
    panel.axhline(
        table.together,
        color=_MASKS,
        linewidth=2.5,
        linestyle=(0, (2, 2)),
        label="together, under masks: the same",
    )
    labels = [f"hospital {at}\n{count} patients" for at, count in zip(places, table.patients, strict=True)]
    panel.set_xticks(list(places), labels)
    panel.set_ylim(0, max(table.alone) * 1.4)
    panel.set_ylabel(f"{table.figure} on 50 public test patients")
    worst = max(table.alone) / table.together
    panel.set_title(f"Together: {table.together:,.0f}; alone up to {worst:.1f} times as much", loc="left")
    panel.legend(loc="upper left", ncols=2, fontsize=8)


def _times(panel: Axes, compared: "Compared") -> None:
    groups = {"a server round,\nsimulated": compared.rounds, "the sum alone,\nall sides": compared.sums}
    for shift, way, colour in ((-0.2, "ring", _RING), (0.2, "masks", _MASKS)):
        bars = panel.bar(
            [place + shift for place in range(len(groups))], [times[way] for times in groups.values()], width=0.36,
            color=colour, label={"ring": "around the ring", "masks": "under masks"}[way],
        )  # fmt: skip
        panel.bar_label(bars, [f"{times[way]:.3g} s" for times in groups.values()], padding=2)
    panel.set_xticks(range(len(groups)), list(groups))
    panel.set_yscale("log")
    panel.set_ylim(top=max(compared.rounds.values()) * 6)
    panel.set_ylabel("seconds")
    slower = compared.rounds["ring"] / compared.rounds["masks"]
    panel.set_title(f"The ring takes {slower:.1f} times as long", loc="left")
    panel.legend(loc="upper right", fontsize=8)
