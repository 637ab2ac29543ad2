"""The picture of `bench.encoding`: accuracy against bytes an entry, one panel a case.

Decides: how it looks. Refuses to know how anything was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from app.config import RunConfig

# Okabe and Ito (2008): apart for every kind of colour vision; the marker says it again.
_OURS, _DEFAULT, _PLAIN = "#0072B2", "#D55E00", "#000000"
_FLOAT32 = 4.0


@dataclass(frozen=True)
class Mark:
    """One width in one case: bits and bytes of an entry, and accuracies, one a seed."""

    case: str
    bits: int
    entry: float
    accuracies: tuple[float, ...]
    plain: tuple[float, ...]


def draw(marks: Sequence[Mark], path: Path) -> None:
    """Mean over the seeds with a bar from the least to the best; plain FedAvg as a line with such a band."""
    cases = list(dict.fromkeys(mark.case for mark in marks))
    columns = min(len(cases), 2)
    rows = -(-len(cases) // columns)
    figure = Figure(figsize=(4.8 * columns, 3.4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for panel, case in zip(panels, cases, strict=False):
        _panel(panel, [mark for mark in marks if mark.case == case])
        panel.set_title(case, loc="left")
    for panel in panels[len(cases) :]:
        panel.set_axis_off()
    figure.supxlabel("bytes an entry up (b below the mark)", fontsize=10)
    figure.supylabel("accuracy on the public test set", fontsize=10)
    panels[0].legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=130)


def _panel(panel: Axes, marks: Sequence[Mark]) -> None:
    plain = marks[0].plain
    panel.axhspan(min(plain), max(plain), color=_PLAIN, alpha=0.1, linewidth=0)
    panel.axhline(fmean(plain), color=_PLAIN, linestyle="--", linewidth=1)
    panel.plot(_FLOAT32, fmean(plain), "s", color=_PLAIN, label="plain FedAvg, float32")
    usual = RunConfig().modulus_bits
    _bars(panel, [mark for mark in marks if mark.bits != usual], _OURS, "o", "Chorus")
    _bars(panel, [mark for mark in marks if mark.bits == usual], _DEFAULT, "D", "Chorus, default b")
    panel.yaxis.set_major_formatter(PercentFormatter(1.0))
    panel.margins(x=0.08, y=0.14)
    panel.grid(color="#dddddd", linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)


def _bars(panel: Axes, marks: Sequence[Mark], colour: str, shape: str, label: str) -> None:
    means = [fmean(mark.accuracies) for mark in marks]
    below = [mean - min(mark.accuracies) for mean, mark in zip(means, marks, strict=True)]
    above = [max(mark.accuracies) - mean for mean, mark in zip(means, marks, strict=True)]
    entries = [mark.entry for mark in marks]
    panel.errorbar(
        entries, means, yerr=[below, above], fmt=shape, color=colour, label=label, capsize=3, markersize=6
    )
    for mark in marks:
        foot = (mark.entry, min(mark.accuracies))
        panel.annotate(
            str(mark.bits), foot, (0, -11), textcoords="offset points", ha="center", color=colour, fontsize=8
        )
