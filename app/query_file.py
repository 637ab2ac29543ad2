"""The query file: its TOML, and what a user is told when it cannot be used: one line that names key and line.

Decides: that a name which is misspelt, a column without bounds or a number out of its range is found before anybody is
asked, and on which line. Refuses to know: what a statistic is (`app.query`).
"""

import difflib
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from app.query import Query, WeightedMean, kinds
from arithmetic.errors import ConfigError
from clients.policy_file import TOKEN

MOST_BYTES: Final = 256 * 1024
Path_ = tuple[str | int, ...]


def load(path: Path) -> Query:
    """The query in a file.

    Raises:
        ConfigError: it cannot be read, or is no query; one line that names key and line.
    """
    try:
        data = path.read_bytes()
        if len(data) > MOST_BYTES:
            raise ConfigError(f"the query {str(path)!r} is longer than {MOST_BYTES} bytes; ask less at once")
        return parse(data.decode("utf-8"), str(path))
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise ConfigError(
            f"the query {str(path)!r} cannot be read ({why}); name a file with -c query="
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"the query {str(path)!r} is not UTF-8; save it as such") from None


def parse(text: str, source: str = "") -> Query:
    """The query in a TOML text.

    Raises:
        ConfigError: as `load`.
    """
    try:
        table = tomllib.loads(text)
        lines = _line_numbers(text)
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"the query {source!r} is no TOML: {reason:.200}; mend it") from None
    try:
        query = Query.model_validate(table)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        unknown = [
            each for each in found if each["type"] == "extra_forbidden"
        ]  # what is misspelt is missing, too
        first = (unknown or found)[0]
        path = first["loc"]
        if path[:1] == ("statistics",):
            path = path[:2] + path[3:]  # pydantic names the kind between them
        place = _place_in(table, path)
        raise _unusable(source, lines, place, _in_words(first["type"], first["msg"], path, place)) from None
    _check_columns(query, source, lines)
    return query


def _check_columns(query: Query, source: str, lines: Mapping[Path_, int]) -> None:
    """Every column that is summed has bounds; weights are not negative."""
    for at, statistic in enumerate(query.statistics):
        place: Path_ = ("statistics", at)
        for key in ("column", "weights", "other"):
            column = getattr(statistic, key, None)
            if column is not None and column not in query.columns:
                near = difflib.get_close_matches(column, query.columns, n=1, cutoff=0.6)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                what = f"{key} = {column!r} has no bounds; give it low and high in [columns]{hint}"
                raise _unusable(source, lines, (*place, key), what)
        if isinstance(statistic, WeightedMean) and query.columns[statistic.weights].low < 0:
            what = f"weights = {statistic.weights!r} has a negative low; weights are not negative"
            raise _unusable(source, lines, (*place, "weights"), what)


def _place_in(table: Any, path: Path_) -> Path_:  # noqa: ANN401 - a TOML value
    """The part of pydantic's path that stands in the file: it names kinds and types, too."""
    place: list[str | int] = []
    for part in path:
        with suppress(KeyError, IndexError, TypeError):
            table = table[part]
            place.append(part)
    return tuple(place)


def _line_numbers(text: str) -> dict[Path_, int]:
    """On which line each table and key starts; tomllib itself reads them, one statement at a time."""
    text = text.replace("\r\n", "\n") + "\n"
    lines: dict[Path_, int] = {}
    counts: dict[Path_, int] = {}
    start, line, depth = 0, 1, 0
    table: Path_ = ()
    for token in TOKEN.finditer(text):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if token[0] != "\n" or depth:
            continue
        statement = text[start : token.end()]
        found = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(found, counts)
            lines.setdefault(table, line)
        else:
            for place in _places(found):
                lines.setdefault((*table, *place), line)
        start, line = token.end(), line + statement.count("\n")
    return lines


def _header(found: object, counts: dict[Path_, int]) -> Path_:
    """The path of `[a.b]` or `[[a.b]]`, with the number of every table of an array."""
    path: Path_ = ()
    while isinstance(found, dict) and found:
        ((key, found),) = found.items()
        path = (*path, key)
        if isinstance(found, list):
            counts[path] = counts.get(path, -1) + 1
            found = found[0]
        if path in counts:
            path = (*path, counts[path])
    return path


def _places(found: object) -> list[Path_]:
    """The path of every key of a statement."""
    if not isinstance(found, dict):
        return []
    return [place for key, value in found.items() for place in ((key,), *((key, *p) for p in _places(value)))]


def _unusable(source: str, lines: Mapping[Path_, int], place: Path_, what: str) -> ConfigError:
    """One line; the deepest part of `place` that has a line of its own gives it."""
    known = next((place[:end] for end in range(len(place), 0, -1) if place[:end] in lines), ())
    at = f", line {lines[known]}" if known else ""
    return ConfigError(f"query {source!r}{at}: {what}")


def _in_words(kind: str, message: str, path: Path_, place: Path_) -> str:
    """Pydantic's sentence in the words of one who reads TOML."""
    key = next((part for part in reversed(place) if isinstance(part, str)), "")
    if kind == "missing":
        return f"{path[-1]} is missing"
    if kind == "extra_forbidden":
        return f"unknown key {path[-1]!r:.80}"
    if kind.startswith("union_tag"):
        return f"kind is one of {', '.join(kinds())}"
    if kind == "string_pattern_mismatch":
        return f"{key} cannot be used: the value is too long, or has characters that it must not have"
    said = message.removeprefix("Value error, ").removesuffix(".")
    for theirs, ours in (("Input", "the value"), ("Tuple", "the list"), (" after validation", "")):
        said = said.replace(theirs, ours)
    return f"{key or 'the query'} cannot be used: {said:.300}"
