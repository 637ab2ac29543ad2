"""A run as a picture in a terminal: who answered, how well the model does, what is spent, what is left.

Decides: layout, words and colours. Refuses to know where events come from, and to look at a clock: the time is given.
"""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from app.charts import bar, curve, stretched
from app.phrases import printable, size
from app.run_view import RunView, Trip

WIDEST = 100
_HEIGHT = 5
_ROOMY = 96  # columns from which bars are long
_SHORT, _LONG = 4, 12
_COLOURS = {"finished": "green", "failed": "red", "running": "cyan"}


def picture(view: RunView, name: str, log: Sequence[str], now: float, width: int = WIDEST) -> RenderableType:
    """The whole view.

    Args:
        view: what is known.
        name: of the run.
        log: latest lines, the newest last.
        now: seconds since the epoch.
        width: columns that there are.
    """
    width = min(width, WIDEST)
    half = (width - 5) // 2  # the frame, and a gap between the two
    curves = (("accuracy", view.accuracy, "green"), ("loss", view.loss, "magenta"))
    where = ", public test set" if view.is_central else ""
    charts = Columns(
        [_chart(name, values, colour, where, view.rounds, half) for name, values, colour in curves]
    )
    parts: list[RenderableType] = [
        _head(view, now),
        _trips(view, _LONG if width >= _ROOMY else _SHORT),
        charts,
        _spent(view),
    ]
    if log:
        parts.append(
            Text("\n".join(printable(line) for line in log), style="dim", overflow="ellipsis", no_wrap=True)
        )
    colour = _COLOURS.get(view.status, "yellow")
    title = Text.assemble(
        ("chorus ", "bold"), printable(view.facts.get("run", name)), (f"  {view.status}", colour)
    )
    return Panel(Group(*parts), title=title, title_align="left", border_style=colour, width=width)


def clock(seconds: float) -> str:
    """`0:42`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _head(view: RunView, now: float) -> Text:
    facts = view.facts
    if not facts:
        return Text("Flower is starting ...", style="yellow")
    what = ", ".join(printable(facts[key]) for key in ("task", "strategy") if facts.get(key))
    clients = f"{facts.get('clients', '?')} clients, threshold {facts.get('threshold', '?')}"
    done = view.done + view.failed
    ended = view.status in ("finished", "failed")
    passed = (view.latest if ended and view.latest else now) - (view.began or now)
    left = view.seconds_left
    rounds = f"{bar(done / view.rounds, 30)} {done} of {view.rounds} rounds   " if view.rounds else ""
    line = Text.assemble((what, "bold"), f"   {clients}\n", (rounds, "cyan"), clock(max(passed, 0)))
    line.append("" if left is None else f", about {clock(left)} left")
    if view.failed:
        line.append(f"   {view.failed} without a sum", style="red")
    if view.status == "waiting":
        line.append(f"\nwaiting for nodes: {view.connected} of {view.wanted} connected", style="yellow")
    return line


def _trips(view: RunView, wide: int) -> Table:
    title = "judging the final model" if view.purpose == "evaluation" else f"round {view.server_round or '-'}"
    table = Table(
        box=SIMPLE_HEAD,
        expand=True,
        padding=(0, int(wide > _SHORT)),
        title=title,
        title_justify="left",
        title_style="bold",
    )
    for column in ("", "answered", "missing", "refused", "received", "time"):
        table.add_column(column, justify="left" if column in ("", "answered") else "right", no_wrap=True)
    for key, trip in view.trips.items():
        table.add_row(f"{key} {trip.name}", _answered(trip, wide), *_counts(trip))
    if following := view.under_way:
        table.add_row(following, Text("under way", style="cyan"))
    return table


def _answered(trip: Trip, wide: int) -> Text:
    if trip.is_over and not trip.asked:
        return Text(f"{trip.answered} keys were sent ahead", style="dim")
    part = trip.answered / trip.asked if trip.asked else 0
    colour = "green" if part == 1 else ("yellow" if trip.is_over else "cyan")
    text = Text(f"{bar(part, wide)} {trip.answered} of {trip.asked}", style=colour)
    if trip.waiting:
        text.append(
            f"  waiting for {', '.join(printable(each) for each in trip.waiting[:2])} ..", style="dim"
        )
    return text


def _counts(trip: Trip) -> tuple[Text, Text, str, str]:
    marks = [
        Text(str(count or "-"), style="red" if count else "dim") for count in (trip.missing, trip.refused)
    ]
    return marks[0], marks[1], size(trip.bytes_up), f"{trip.seconds:.1f} s"


def _chart(name: str, values: Sequence[float], colour: str, where: str, rounds: int, whole: int) -> Panel:
    """The whole width is the whole run; where there are more columns than rounds, a value has several."""
    width = whole - 2
    due = max(rounds + 1, len(values))
    lines = curve(stretched(values, round(width * len(values) / due)), width, _HEIGHT)
    last = f"{values[-1]:.4f}" if values else "-"
    span = Text(f"{min(values):.3f} to {max(values):.3f}{where}" if values else "", style="dim")
    title = Text.assemble((f"{name} ", "bold"), (last, colour))
    body = Text("\n".join(line.ljust(width) for line in lines), style=colour)
    return Panel(body, title=title, title_align="left", subtitle=span, width=whole, padding=0)


def _spent(view: RunView) -> Text:
    text = Text.assemble(
        "received ", (size(view.bytes_up), "bold"), ", sent ", (size(view.bytes_down), "bold"), _of_all(view),
        f"   dropped {view.dropped}, recovered {view.recovered}",
    )  # fmt: skip
    epsilon, whole = view.epsilon, view.course[-1][1] if view.course else 0.0
    if epsilon is not None:
        budget = view.budget or whole
        text.append(f"\nepsilon {epsilon:.3f} of {budget:g} ", style="bold")
        text.append(bar(epsilon / budget if budget else 0, 30), style="yellow")
    elif view.facts:
        text.append("\nno differential privacy: the sum is what it is", style="dim")
    return text


def _of_all(view: RunView) -> str:
    whole = view.expected.get("whole")
    up = whole.get("up") if isinstance(whole, dict) else None
    return f" (expected {size(up)} received)" if up else ""
