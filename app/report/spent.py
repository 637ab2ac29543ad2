"""What a run spent of privacy: the sentence of each guarantee, and how its epsilon grew.

Decides: that the ledgers of a simulation say it once the run has ended, for the client that spent most; what the server
announced stands in for them elsewhere. Refuses to know how either is drawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.config import RunConfig
from app.finding_runs import is_going
from app.report.story import Story
from arithmetic.errors import ChorusError

_POINTS: Final = 60
NONE: Final = (
    "No differential privacy: the server saw masked vectors alone, but what the sum reveals, it reveals."
)


@dataclass(frozen=True)
class Spent:
    """What was spent.

    Attributes:
        sentences: one a guarantee, or the one that says there is none.
        whose: whose word that is.
        reported: (unit, epsilon by PLD) of each guarantee.
        curves: unit -> (releases charged so far, epsilon by RDP).
    """

    sentences: tuple[str, ...]
    whose: str = ""
    reported: tuple[tuple[str, float], ...] = ()
    curves: tuple[tuple[str, tuple[tuple[float, float], ...]], ...] = ()


def spent(story: Story) -> Spent:
    """Of a run, however it stands."""
    config = story.config
    if config.privacy == "none":
        return Spent((NONE,))
    paths = sorted((story.directory.path / "ledgers").glob("*.jsonl"))
    # Whoever reads a ledger holds it, and a client that finds its own held would sit the round out.
    if not paths or is_going(story.directory):
        whose = (
            "as the server announced it before the first session; each node's own ledger says what was spent"
        )
        return Spent(tuple(map(_capital, story.planned)) or ("nothing was said before the run ended",), whose)
    try:
        return _of_ledgers(paths, config)
    except ChorusError as error:
        return Spent((f"what was spent cannot be said: {error}",))


def _of_ledgers(paths: Sequence[Path], config: RunConfig) -> Spent:
    from app.privacy import guarantees  # the accountants: only where there is something to account for

    found = guarantees(paths, config.delta, config.job)
    whose = f"from the ledgers alone: the most that any of {len(paths)} clients spent"
    curves = tuple((each.unit, _course(paths, each.unit, config.delta)) for each in found)
    reported = tuple((each.unit, each.pld_epsilon) for each in found)
    return Spent(tuple(_capital(each.sentence) for each in found), whose, reported, curves)


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:] + "."


def _course(paths: Sequence[Path], unit: str, delta: float) -> tuple[tuple[float, float], ...]:
    """Epsilon of the client that spent most, after some of its releases, the first and the last among them."""
    from privacy.accounting import RdpTotal
    from privacy.ledger import charges_of

    courses = []
    for path in paths:
        total, points = RdpTotal(), [(0.0, RdpTotal())]
        for mechanism in charges_of(path):
            if mechanism.unit == unit:
                total = total.plus(mechanism)
                points.append((points[-1][0] + mechanism.releases, total))
        courses.append(points)
    most = max(courses, key=lambda points: points[-1][1].epsilon(delta))
    shown = sorted({round(at * (len(most) - 1) / _POINTS) for at in range(_POINTS + 1)})
    return tuple((most[at][0], most[at][1].epsilon(delta)) for at in shown)
