"""The page of one run, `report.html`: what is said of it, and in which words.

Decides: which numbers stand at the top, what a run's state is called, and what to do next.
Refuses to know looks (`app.report.template`, `app.report.style`).
"""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from app import answers
from app.config import FIELDS, RunConfig, defaults
from app.finding_runs import is_going, short_of
from app.invocation import command
from app.model_card import loading
from app.phrases import size
from app.report import pictures
from app.report.spent import Spent, spent
from app.report.story import Story, clean
from app.report.style import STYLE
from app.report.template import REPORT
from app.ring_keys import RING
from app.tallies import devices_line

_TROUBLES: Final = 40
_ROWS: Final = 500
_FACTS: Final = (
    ("parameters", "parameters of the model"), ("clients", "clients"), ("groups", "groups"),
    ("threshold", "threshold: shares that unmask"), ("neighbours", "neighbours of each client"),
    ("modulus_bits", "bits of the modulus"), ("adversary", "what the server may be"), ("roster", "roster"),
)  # fmt: skip
_COLUMNS: Final = ("accuracy", "loss", "central_accuracy", "central_loss")


@dataclass(frozen=True)
class State:
    """How a run stands: `kind` good, bad or open; a word; a sentence."""

    kind: str
    word: str
    sentence: str


def state_of(story: Story) -> State:
    """How the run stands, from its last word, or from who is at work on it."""
    last, reached = story.last, max(story.rounds, default=0)
    if last.get("event") == "run_failed":
        reason = f"{clean(last.get('code', '?'))}: {clean(last.get('reason', 'no reason was given'))}"
        return State("bad", "failed", f"It failed after {_rounds(reached)}. {reason}")
    if last.get("event") == "run_finished":
        if story.config.job == "analytics":
            return State("good", "finished", f"Every question was answered, in {_seconds(story)}.")
        gave = f"{last.get('rounds_aggregated', '?')} of {story.config.rounds} server rounds gave a model"
        gave += f", in {_seconds(story)}"
        if last.get("stopped"):
            return State("good", "ended early", f"{gave}. It ended early: {clean(last['stopped'])}.")
        return State("good", "finished", f"{gave}.")
    if is_going(story.directory):
        return State("open", "still going", f"{_rounds(reached)} of {story.config.rounds} so far.")
    return State("bad", "stopped", f"It was stopped, or its machine was, after {_rounds(reached)}.")


def page(story: Story) -> str:
    """The whole page."""
    paid, (shown, sentence) = spent(story), pictures.demonstration(story)
    rows = _settings(story.config)
    return render(
        REPORT,
        title=f"{story.config.task}, run {story.directory.id}",
        run=story.directory.id,
        moment=story.moment,
        heading=_heading(story),
        state=state_of(story),
        tiles=_tiles(story, paid),
        answers=_answers(story),
        quality=pictures.quality(story),
        spent=paid,
        epsilon=pictures.epsilon(story, paid),
        shown=shown,
        shown_sentence=sentence,
        traffic=pictures.traffic(story),
        attendance=pictures.attendance(story),
        troubles=story.troubles[:_TROUBLES],
        more_troubles=max(len(story.troubles) - _TROUBLES, 0),
        devices=devices_line(story.directory.path / "clients"),
        steps=_steps(story),
        changed=[row for row in rows if row["changed"]],
        all_settings=rows,
        facts=_facts(story),
        rounds=_table(story)[-_ROWS:],
        earlier=max(len(story.held) - _ROWS, 0),
        round_columns=[
            "round",
            *(name.replace("central_", "public ") for name in _COLUMNS),
            "in the sum",
            "up",
            "seconds",
        ],
    )


def render(template: str, **values: object) -> str:
    """A page of `app.report.template`; every text in it is escaped, and a name that is missing is an error."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    written = datetime.now(UTC).strftime("%-d %B %Y, %H:%M UTC")
    style = Markup(STYLE)  # noqa: S704 - our own constant
    return environment.from_string(template).render(style=style, written=written, **values) + "\n"


def figure(value: float | None, percent: bool = False) -> str:
    """A number for people, `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:.2%}" if percent else f"{value:.4g}"


def tiles_of(story: Story, paid: Spent) -> list[tuple[str, str, str]]:
    """(name, value, remark) of the numbers that say most."""
    accuracy, central = story.figure("accuracy"), story.figure("central_accuracy")
    tiles = []
    if central is not None:
        tiles.append(("accuracy, public test set", figure(central, True), "of the final model"))
    if accuracy is not None:
        tiles.append(("accuracy, clients' own data", figure(accuracy, True), "summed under masks"))
    elif story.figure("loss") is not None:
        tiles.append(("loss, clients' own data", figure(story.figure("loss")), "summed under masks"))
    if story.config.job == "analytics":
        return [
            ("sessions", str(len(story.held)), "of sums, under masks"),
            ("time", _seconds(story), "wall time"),
        ]
    given = story.last.get("rounds_aggregated", sum(not each.failed for each in story.held))
    tiles.append(("server rounds", f"{given} of {story.config.rounds}", "that gave a model"))
    seconds = story.figure("seconds")
    if seconds is not None:
        tiles.append(("time", _seconds(story), "wall time"))
    up, down = (_mean([each.figure(f"bytes_{way}") for each in story.held]) for way in ("up", "down"))
    if up is not None:
        tiles.append(("sent by clients", size(up), f"a round; {size(down)} to them"))
    for unit, epsilon in paid.reported:
        told = f"{math.ceil(epsilon * 1e4) / 1e4:.4f}" if math.isfinite(epsilon) else "infinity"
        tiles.append((f"epsilon, {unit}-level", told, f"by PLD at delta {story.config.delta:g}"))
    return tiles


def _tiles(story: Story, paid: Spent) -> list[dict[str, str]]:
    return [{"name": name, "value": value, "note": note} for name, value, note in tiles_of(story, paid)]


def _heading(story: Story) -> str:
    config = story.config
    if config.job == "analytics":
        return f"Answers about {story.facts.get('table', 'tables')}"
    how = f"mean gradients, {config.optimizer}" if config.job == "gradients" else config.strategy
    where = "hospitals in a ring" if config.job == RING else "clients"
    return f"{config.task}: {how}, {config.clients} {where}"


def _answers(story: Story) -> str:
    """The table of a query's answers; "" where there is none."""
    path = story.directory.path / answers.FILE
    if story.config.job != "analytics" or not path.exists():
        return ""
    return "\n".join(answers.lines(path))


def _rounds(number: int) -> str:
    return "1 server round" if number == 1 else f"{number} server rounds"


def _seconds(story: Story) -> str:
    seconds = story.figure("seconds")
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _settings(config: RunConfig) -> list[dict[str, Any]]:
    standard = defaults()
    return [
        {
            "key": key,
            "value": json.dumps(value, ensure_ascii=False),
            "meaning": FIELDS[key].description,
            "changed": value != standard[key] or key == "seed",
        }
        for key, value in config.table().items()
    ]


def _facts(story: Story) -> list[tuple[str, object]]:
    told: list[tuple[str, object]] = [
        (words, clean(story.facts[key])) for key, words in _FACTS if story.facts.get(key) not in (None, "")
    ]
    made_of = story.facts.get("versions")
    if isinstance(made_of, Mapping):
        told.append(("versions", clean(", ".join(f"{name} {number}" for name, number in made_of.items()))))
    return told


def _table(story: Story) -> list[list[str]]:
    rows = []
    for each in story.held:
        cells = [figure(each.figure(name)) for name in _COLUMNS]
        in_sum = "no sum" if each.failed else str(each.line.get("masked", each.line.get("added", "-")))
        seconds = each.figure("seconds")
        took = "-" if seconds is None else f"{seconds:.2f}"
        rows.append([str(each.number), *cells, in_sum, size(each.line.get("bytes_up")), took])
    return rows


def _steps(story: Story) -> list[dict[str, str]]:
    """What a person may want to do now: why, and the command."""
    config, where, chorus = story.config, shlex.quote(short_of(story.directory)), command()
    steps = []
    ended = story.last.get("event") == "run_finished"
    if ended and config.job != "analytics":
        steps.append(("Use the model; MODEL_CARD.md beside this page says what it is.", loading(story)))
        if story.last.get("stopped"):
            rules = "".join(f" -c {key}=0" for key in story.last.get("ended_by") or {})
            steps.append(("Go on without an early end.", f"{chorus} resume {where}{rules}"))
        elif not config.epsilon:
            steps.append(("Train for longer.", f"{chorus} resume {where} -c rounds={2 * config.rounds}"))
    elif not ended and story.directory.has_checkpoint and not is_going(story.directory):
        steps.append(("Continue it from its last checkpoint.", f"{chorus} resume {where}"))
    if config.job not in ("analytics", RING) and not config.drop:
        steps.append(("See how vanished clients are dealt with.", "scripts/run --drop 2@r2:round3"))
    if config.privacy == "none" and config.job == "train" and not config.demonstration:
        steps.append(
            (
                "See what the server saw, beside what a client had.",
                "scripts/run -c demonstration=true -c rounds=3",
            )
        )
    steps.append(("Put this run beside another one.", f"{chorus} report --compare {where} ANOTHER"))
    return [{"why": why, "command": command} for why, command in steps]
