"""The page of two runs side by side: how each ended, their curves over each other, and what they were set to.

Decides: what is put beside what. Refuses to say which run is better.
"""

import json

from app.report import chart
from app.report.chart import Picture, Series
from app.report.page import render, state_of, tiles_of
from app.report.spent import spent
from app.report.story import Story
from app.report.template import COMPARISON

_PLACE = frozenset({"run-dir", "resume"})
_CURVES = (
    ("central_accuracy", "Accuracy on the public test set", "accuracy"),
    ("accuracy", "Accuracy on the clients' own data", "accuracy"),
    ("central_loss", "Loss on the public test set", "loss"),
    ("loss", "Loss on the clients' own data", "loss"),
)


def comparison(one: Story, other: Story) -> str:
    """The whole page."""
    stories = (one, other)
    names = _names(stories)
    paid = [spent(story) for story in stories]
    return render(
        COMPARISON,
        title=f"{names[0]} and {names[1]}",
        ids=[story.directory.id for story in stories],
        names=names,
        rows=_rows(
            stories,
            [
                dict((name, value) for name, value, _ in tiles_of(s, p))
                for s, p in zip(stories, paid, strict=True)
            ],
        ),
        curves=_curves(stories, names),
        privacy=[(name, each.sentences) for name, each in zip(names, paid, strict=True)],
        differing=differing(one, other),
    )


def differing(one: Story, other: Story) -> list[tuple[str, tuple[str, str]]]:
    """Settings that are not the same: key, and both values as JSON."""
    mine, theirs = one.config.table(), other.config.table()
    return [
        (key, (json.dumps(mine[key]), json.dumps(theirs[key])))
        for key in mine
        if key not in _PLACE and mine[key] != theirs[key]
    ]


def _rows(stories: tuple[Story, Story], tiles: list[dict[str, str]]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = [
        {"name": "task", "cells": [story.config.task for story in stories]},
        {"name": "state", "cells": [state_of(story).word for story in stories]},
        {"name": "began", "cells": [story.moment for story in stories]},
    ]
    names = dict.fromkeys(name for each in tiles for name in each)
    return rows + [{"name": name, "cells": [each.get(name, "-") for each in tiles]} for name in names]


def _names(stories: tuple[Story, Story]) -> tuple[str, str]:
    """The four digits that end an id; all of it where they are the same."""
    one, other = (story.directory.id for story in stories)
    short = one.rpartition("-")[2], other.rpartition("-")[2]
    return short if short[0] != short[1] else (one, other)


def _curves(stories: tuple[Story, Story], names: tuple[str, str]) -> list[Picture]:
    pictures = []
    for key, title, unit in _CURVES:
        series = [
            Series(name, chart.finite(story.judged(key))) for name, story in zip(names, stories, strict=True)
        ]
        if not all(each.points for each in series):
            continue
        told = "; ".join(f"{each.label} ends at {each.points[-1][1]:.4f}" for each in series)
        drawn = chart.lines(series, f"{title}: {told}.", x="after server round", y=unit, floor=0.0)
        pictures.append(Picture(title, drawn, tuple(each.label for each in series)))
    return pictures
