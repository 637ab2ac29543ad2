"""Names for clients: what the roster calls the node that Flower knows by a number.

Decides: where names come from: the server's transcript says which member of the roster a node is, the roster what the
member is called. They are for display alone, so neither is checked here (`app.verify` does that); without a roster a
node keeps its number.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from app.run_directory import RunDirectory
from app.tail import Tail
from arithmetic.errors import ConfigError

Event = Mapping[str, Any]

_LISTS = ("missing", "waiting", "dropped")


@dataclass
class Names:
    """The names of one run's clients, as far as they are known."""

    directory: RunDirectory
    members: list[str]
    _known: dict[str, str] = field(default_factory=dict)
    _tails: dict[Path, Tail] = field(default_factory=dict)

    @classmethod
    def of(cls, directory: RunDirectory) -> Self:
        """Of the run in `directory`."""
        return cls(directory, _members(directory))

    def named(self, event: Event) -> Event:
        """The event with names in place of numbers, where there are any."""
        if not self.members:
            return event
        changed: dict[str, Any] = {
            key: [self._name(each) for each in _list(event, key)] for key in _LISTS if key in event
        }
        if isinstance(refused := event.get("refused"), dict):
            changed["refused"] = {self._name(node): why for node, why in refused.items()}
        if "culprit" in event:
            changed["culprit"] = self._name(event["culprit"])
        return {**event, **changed}

    def _name(self, node: object) -> str:
        key = str(node)
        if key not in self._known:
            self._look()
        return self._known.get(key, key)

    def _look(self) -> None:
        """Read what the server's transcripts say since the last look."""
        for path in sorted((self.directory.path / "transcripts").glob("server-*.jsonl")):
            for line in self._tails.setdefault(path, Tail(path)).new():
                if line.get("kind") == "session":
                    pairs = zip(_list(line, "nodes"), _list(line, "members"), strict=False)
                    self._known |= {str(node): self._called(member) for node, member in pairs}

    def _called(self, member: object) -> str:
        is_one = isinstance(member, int) and 1 <= member <= len(self.members)
        return self.members[member - 1] if is_one and isinstance(member, int) else str(member)


def _members(directory: RunDirectory) -> list[str]:
    """Names in the order of the roster; none where there is no roster that can be read."""
    try:
        named = directory.recorded().roster
    except ConfigError:
        return []
    path = Path(named) if named else directory.path / "roster.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return [str(member["name"]) for member in table["members"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _list(event: Event, key: str) -> list[Any]:
    value = event.get(key)
    return value if isinstance(value, list) else []
