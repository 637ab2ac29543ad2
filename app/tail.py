"""The end of a growing file of events. Decides that a torn last line waits; refuses to know what an event means."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.run_directory import parse_line


@dataclass(slots=True)
class Tail:
    """Reads what was added to a .jsonl file since the last look; a torn last line waits."""

    path: Path
    _offset: int = 0

    def new(self) -> list[dict[str, Any]]:
        """Events written since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        parsed = (parse_line(raw) for raw in whole.splitlines(keepends=True))
        return [event for event in parsed if event is not None]
