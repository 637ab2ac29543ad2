"""The answers of a query: as a table on the screen, as answers.json, and as a picture of the histograms.

Decides: names of files, columns and words. Refuses to know: how an answer came about; what is suppressed has no number
here, so that none can be shown.
"""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any, Final

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.durable import write_whole
from app.statistics import Answer
from arithmetic.errors import SetupError

FILE: Final = "answers.json"
PICTURE: Final = "answers.png"
_WIDTH: Final = 110


def write(folder: Path, answers: Sequence[Answer], facts: Mapping[str, object]) -> None:
    """Write answers.json, whole or not at all, and the picture where there is something to draw and a library for it.

    Args:
        folder: the run directory.
        answers: in order.
        facts: of the whole query: its table, its clients, its least count.

    Raises:
        SetupError: the folder cannot be written.
    """
    table = dict(facts) | {"answers": [_entry(answer) for answer in answers]}
    try:
        write_whole(folder / FILE, json.dumps(table, indent=2, allow_nan=False, ensure_ascii=False).encode())
    except OSError as error:
        raise SetupError(
            f"the answers cannot be written to {folder} ({error.strerror}); make room there"
        ) from None
    if any(answer.low is not None for answer in answers) and importlib.util.find_spec("matplotlib"):
        _draw(folder / PICTURE, answers)


def lines(path: Path) -> list[str]:
    """The table of an answers.json, as lines of plain text.

    Raises:
        SetupError: it is not there, or is none.
    """
    try:
        told = json.loads(path.read_bytes())
        return _table(told)
    except (OSError, ValueError, KeyError, TypeError):
        raise SetupError(f"the answers in {path} cannot be read; ask anew") from None


def _entry(answer: Answer) -> dict[str, Any]:
    """An answer without what says nothing; `value` always stands, null where there is none."""
    fields = asdict(answer).items()
    return {
        key: value
        for key, value in fields
        if key == "value" or not any(value is each for each in (None, "", False))
    }


def _table(told: Mapping[str, Any]) -> list[str]:
    shown = Table(box=SIMPLE, show_edge=False, pad_edge=False)
    for heading in ("statistic", "group", "part"):
        shown.add_column(heading, overflow="fold")
    shown.add_column("answer", justify="right")
    shown.add_column("remark", overflow="fold")
    for each in told["answers"]:
        cells = [each["name"], _group(each.get("group")), each.get("part", "")]
        cells += [_number(each["value"]), _remark(each, told["min_count"])]
        shown.add_row(*(Text("".join(c if c.isprintable() else "?" for c in str(cell))) for cell in cells))
    console = Console(file=StringIO(), width=_WIDTH, color_system=None)
    console.print(shown)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    fewest, most = told["clients"]
    counted = f"{fewest}" if fewest == most else f"{fewest} to {most}"
    said = f"{counted} of {told['asked']} clients are in each sum"
    return [*(line.rstrip() for line in text.splitlines() if line.strip()), said]


def _group(group: str | float | None) -> str:
    if isinstance(group, float | int):
        return f"{group:g}"
    return group or ""


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:d}" if isinstance(value, int) else f"{value:.9g}"


def _remark(each: Mapping[str, Any], min_count: int) -> str:
    if each.get("suppressed"):
        return f"suppressed: of fewer than {min_count} rows"
    if each["value"] is None:
        return "no such number: nothing to divide by"
    if each.get("clamped"):
        return f"{each['clamped']} values clamped to the bounds"
    return ""


def _draw(path: Path, answers: Sequence[Answer]) -> None:
    """One panel a histogram and group; a suppressed bin is hatched, and of no height."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure

    panels: dict[str, list[Answer]] = {}
    for answer in answers:
        if answer.low is not None:
            title = " ".join(part for part in (answer.name, _group(answer.group)) if part)
            panels.setdefault(title, []).append(answer)
    figure = Figure(figsize=(7, 2.8 * len(panels)), layout="constrained")
    for at, (title, bins) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(len(panels), 1, at)
        axes.set_title(title.replace("$", r"\$"), loc="left")
        top = max([float(each.value or 0) for each in bins] + [1.0])
        for each in bins:
            low, width = each.low or 0.0, (each.high or 0.0) - (each.low or 0.0)
            if each.value is None:
                axes.bar(low, top, width, align="edge", fill=False, hatch="//", edgecolor="0.8", linewidth=0)
            else:
                axes.bar(low, each.value, width, align="edge", color="C0", edgecolor="white")
        axes.set_ylabel("rows")
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
