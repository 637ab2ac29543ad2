"""The pictures of a run: which figures are drawn, from which numbers, and the sentence that says each.

Decides: titles, axes and words. Refuses to know colours and coordinates (`app.report.chart`).
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from app.phrases import size
from app.report import chart
from app.report.chart import Picture, Series
from app.report.spent import Spent
from app.report.story import Round, Story
from clients.demonstration import FILE as DEMONSTRATION

NAMES: Final = {
    "r0": "r0 advertise keys", "r1": "r1 train, share keys", "r2": "r2 masked input", "r3": "r3 agree on survivors",
    "r4": "r4 unmask",
}  # fmt: skip
_FEDERATED: Final = "clients' own validation data"
_PUBLIC: Final = "public test set"
_COLUMNS: Final = 120
_ATTENDED: Final = ("in the sum", "vanished after sharing keys: masks removed", "absent or refused", "no sum")
_MOST_BYTES: Final = 1 << 20


def quality(story: Story) -> list[Picture]:
    """Accuracy and loss of the global model after each server round."""
    pictures = []
    for name in ("accuracy", "loss"):
        series = [
            Series(label, points)
            for label, points in (
                (_FEDERATED, chart.finite(story.judged(name))),
                (_PUBLIC, chart.finite(story.judged(f"central_{name}"))),
            )
            if points
        ]
        if series:
            title = f"{name.capitalize()} of the global model"
            says = f"{title}: {'; '.join(_spoken(each, name == 'accuracy') for each in series)}."
            drawn = chart.lines(series, says, x="after server round", y=name, floor=0.0)
            pictures.append(Picture(title, drawn, tuple(each.label for each in series)))
    return pictures


def _spoken(series: Series, most: bool) -> str:
    values = [value for _, value in series.points]
    best = (max if most else min)(series.points, key=lambda point: point[1])
    return (
        f"{series.label}, from {values[0]:.4f} after round {series.points[0][0]:.0f} to {values[-1]:.4f} after round "
        f"{series.points[-1][0]:.0f}, best {best[1]:.4f} after round {best[0]:.0f}"
    )


def epsilon(story: Story, spent: Spent) -> list[Picture]:
    """How each guarantee's epsilon grew, and the target where there is one."""
    pictures, config = [], story.config
    target = config.epsilon or config.stop_epsilon or None
    named = "epsilon" if config.epsilon else "stop-epsilon"
    for unit, points in spent.curves:
        title = f"Epsilon, {unit}-level"
        says = f"{title}: {points[-1][1]:.4f} by RDP after {points[-1][0]:.0f} releases at delta {config.delta:g}"
        says += f", against {named} = {target:g}." if target else "."
        drawn = chart.lines(
            [Series(unit, points)], says, x="releases charged", y="epsilon by RDP", floor=0.0, target=target
        )
        pictures.append(
            Picture(title, drawn, (), f"The dashed line is {named} = {target:g}." if target else "")
        )
    return pictures


def traffic(story: Story) -> list[Picture]:
    """Bytes and seconds of each protocol round, of a training session on average."""
    trips = [trip for trip in story.trips.values() if trip.sessions]
    if not trips:
        return []
    names = [NAMES.get(trip.name, trip.name) for trip in trips]
    up, down = ([getattr(trip, way) / trip.sessions for trip in trips] for way in ("up", "down"))
    seconds = [trip.seconds / trip.sessions for trip in trips]
    told = [f"{name} {size(a)} up and {size(b)} down" for name, a, b in zip(names, up, down, strict=True)]
    drawn = chart.bars(
        names,
        [Series("received by the server", _numbered(up)), Series("sent by the server", _numbered(down))],
        [[size(each) for each in up], [size(each) for each in down]],
        f"Bytes of a session by protocol round: {'; '.join(told)}.",
    )
    slow = [f"{name} {each:.2f} s" for name, each in zip(names, seconds, strict=True)]
    timed = chart.bars(
        names, [Series("seconds", _numbered(seconds))], [[f"{each:.2f} s" for each in seconds]],
        f"Seconds of a session by protocol round: {'; '.join(slow)}.",
    )  # fmt: skip
    note = "All clients together, a session on average. Local training is part of r1."
    return [
        Picture("Bytes, by protocol round", drawn, ("received by the server", "sent by the server"), note),
        Picture("Time, by protocol round", timed, (), "Wall time of the server, a session on average."),
    ]


def attendance(story: Story) -> list[Picture]:
    """Who was in each sum, who vanished, and whose masks were removed."""
    if not story.rounds or story.config.job == "ring":
        return []
    parts = [_attended(each, story.config.clients) for each in story.held]
    together = -(-len(parts) // _COLUMNS)
    # Of many rounds one column stands for a few: the round with the fewest clients in its sum.
    worst = [min(parts[at : at + together]) for at in range(0, len(parts), together)]
    places = [float(1 + at * together) for at in range(len(worst))]
    series = [
        Series(label, tuple(zip(places, [float(part[at]) for part in worst], strict=True)))
        for at, label in enumerate(_ATTENDED)
    ]
    shown = [each for each in series if any(value for _, value in each.points)]
    says = _attendance_said(story, parts)
    if together > 1:
        says += f" Each column is the worst of {together} rounds."
    drawn = chart.columns(shown, says, x="server round", y="clients", step=float(together))
    legend = tuple(each.label for each in shown)
    return [Picture("Clients of each server round", drawn, legend if len(legend) > 1 else (), says)]


def _attendance_said(story: Story, parts: Sequence[tuple[int, int, int, int]]) -> str:
    held = story.held
    lost = sum(part[1] for part in parts)
    late = sum(max(each.count("masked") - each.count("unmasked"), 0) for each in held if not each.failed)
    failed = sum(bool(each.failed) for each in held)
    rounds = "1 server round" if len(held) == 1 else f"{len(held)} server rounds"
    said = [f"{rounds} of {story.config.clients} clients."]
    if lost:
        said.append(
            f"Clients that vanished after they had shared keys, and whose masks were removed: {lost}."
        )
    if late:
        said.append(f"Clients that vanished when their vector was in, and is in the sum: {late}.")
    if failed:
        said.append(f"Server rounds without a sum: {failed}.")
    return " ".join(said if len(said) > 1 else [*said, "Every sum is of all that shared keys."])


def _attended(held: Round, cohort: int) -> tuple[int, int, int, int]:
    """Clients in the sum, recovered from, absent, and those of a round without a sum."""
    if held.failed:
        return 0, 0, 0, cohort
    masked, shares = held.count("masked"), held.count("shares")
    return masked, max(shares - masked, 0), max(cohort - max(shares, masked), 0), 0


def demonstration(story: Story) -> tuple[list[Picture], str]:
    """One client's vector before masking, beside what the server received of it; and a sentence; both may be empty."""
    told = _shown(story)
    if not told:
        return [], ""
    pictures = []
    for name, title, where in (
        ("before", "What the client had", "its weighted update, in steps of the encoding"),
        (
            "received",
            "What the server received",
            f"the same entries after masking, mod 2^{told['modulus_bits']}",
        ),
    ):
        counted = told[name]
        counts = [int(count) for count in counted["counts"]]
        says = (
            f"{told['entries']:,} numbers from {counted['low']:,.0f} to {counted['high']:,.0f} in {len(counts)} bins; "
            f"the fullest holds {max(counts):,}, the emptiest {min(counts):,}."
        )
        drawn = chart.histogram(
            counts,
            float(counted["low"]),
            float(counted["high"]),
            says,
            x=where,
            colour=int(name == "received"),
        )
        pictures.append(Picture(title, drawn, (), says))
    sentence = (
        f"The first client of this simulation, in server round {told['server_round']}: its own vector, a bell around "
        "zero that says much about its data, and the same vector as it left the client, where every value is as likely "
        f"as every other. Their correlation is {told['correlation']:+.4f}. Nobody but this simulation ever sees the "
        "first one; the run asked for it (demonstration = true)."
    )
    return pictures, sentence


def _shown(story: Story) -> dict[str, Any]:
    """The demonstration's file; empty where there is none, or none that can be used."""
    path = story.directory.path / DEMONSTRATION
    try:
        if not path.exists() or path.stat().st_size > _MOST_BYTES:
            return {}
        told = json.loads(path.read_bytes())
        for name in ("before", "received"):
            counts = [int(count) for count in told[name]["counts"]]
            if not counts or not float(told[name]["low"]) < float(told[name]["high"]):
                return {}
        int(told["server_round"]), int(told["entries"]), int(told["modulus_bits"]), float(told["correlation"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return dict(told)


def _numbered(values: Sequence[float]) -> tuple[chart.Point, ...]:
    return tuple((float(at), value) for at, value in enumerate(values))
