"""A query, session by session: the sums that all its statistics and groups want next, in one question.

Decides: that equal sums are asked once, and what one row can add to a session's sums at most (`norm`), by which noise
is measured. Refuses to know: what a statistic makes of its sums (`app.statistics`), and how a session goes.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from app.config import RunConfig
from app.query import GroupBy, Query
from app.query_file import load
from app.statistics import KINDS, NOISY, Answer, Asking, Group, Layer, Rows, Sums
from arithmetic.errors import ConfigError
from wire.questions import MOST_SUMS, Bounds, Condition, Question, Summand


def check(config: RunConfig) -> None:
    """Refuse, before anything is started, a query that the server would refuse.

    Raises:
        ConfigError: one line.
    """
    survey = Survey(load(Path(config.query)), config.privacy != "none")
    survey.question  # noqa: B018 - raises where it would ask too much


class Survey:
    """All that a query asks, session by session.

    Args:
        query: checked.
        noisy: every count and sum comes with noise.

    Attributes:
        norm: largest L2 norm of what one row adds to the first session's sums, a count and a bounded value being 1.

    Raises:
        ConfigError: what is asked for with noise has no mode for it, or one session would ask too much.
    """

    def __init__(self, query: Query, noisy: bool = False) -> None:
        self._query = query
        self._asking: list[_Asked] = []
        families: set[frozenset[Summand]] = set()
        for statistic in query.statistics:
            if noisy and statistic.kind not in NOISY:
                raise ConfigError(
                    f"{statistic.title!r} cannot be asked with noise; privacy = distributed is for "
                    f"{', '.join(NOISY)}"
                )
            groups = []
            for group, condition in _groups(statistic.group_by):
                rows = Rows((*statistic.conditions, *condition), query.min_count, noisy)
                column = getattr(statistic, "column", "")
                title = Answer(name=statistic.title, kind=statistic.kind, column=column, group=group)
                groups.append(_Asked(title, KINDS[statistic.kind](statistic, rows, query.columns)))
            self._asking += groups
            # A row is in one group at most: what the groups ask in the same place counts once.
            places = zip(*(each.layers for each in groups), strict=True)
            families |= {frozenset(sum_ for layer in place for sum_ in layer) for place in places}
        self.norm = math.sqrt(len(families))

    @property
    def question(self) -> Question | None:
        """The next session's; None when there is nothing more to ask.

        Raises:
            ConfigError: it would ask too much.
        """
        sums = dict.fromkeys(sum_ for each in self._asking for layer in each.layers for sum_ in layer)
        if not sums:
            return None
        if len(sums) > MOST_SUMS:
            raise ConfigError(f"the query needs {len(sums)} sums in one session; ask {MOST_SUMS} or fewer")
        used = {column for each in sums for column in each.of}
        bounds = {c: Bounds(low=b.low, high=b.high) for c, b in self._query.columns.items() if c in used}
        return Question(table=self._query.table, columns=bounds, sums=tuple(sums))

    def take(self, sums: Sums) -> None:
        """What the last question came to."""
        for each in self._asking:
            if each.layers:
                each.step(lambda asking: asking.send(sums))

    @property
    def answers(self) -> list[Answer]:
        """Of all statistics, in the order of the query, once nothing is left to ask."""
        return [answer for each in self._asking for answer in each.answers]


class _Asked:
    """One statistic of one group.

    Attributes:
        layers: what it wants next; empty once it has its answers.
    """

    def __init__(self, title: Answer, asking: Asking) -> None:
        self.layers: list[Layer] = []
        self.answers: list[Answer] = []
        self._title, self._asking = title, asking
        self.step(next)

    def step(self, go_on: Callable[[Asking], list[Layer]]) -> None:
        """Let it say what it wants next, or its answers."""
        try:
            self.layers = [layer for layer in go_on(self._asking) if layer]
        except StopIteration as end:
            title, self.layers = self._title, []
            self.answers = [
                replace(each, name=title.name, kind=title.kind, column=title.column, group=title.group)
                for each in end.value
            ]


def _groups(group_by: GroupBy | None) -> Iterator[tuple[Group, tuple[Condition, ...]]]:
    """Each group and what its rows meet; one group of all rows where none are asked for."""
    if group_by is None:
        yield None, ()
        return
    for value in group_by.values:
        yield value, (Condition(column=group_by.column, relation="==", value=value),)
