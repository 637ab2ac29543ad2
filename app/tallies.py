"""What a whole run's files say when it is over: its pace, and the devices its clients trained on.

Decides: which lines count. Refuses to know: how it is printed (`app.progress`).
"""

from itertools import pairwise
from pathlib import Path
from statistics import median

from app.phrases import printable
from app.run_directory import read_lines


def seconds_an_iteration(metrics: Path) -> float | None:
    """Median wall time from the end of one training round to the next, of `metrics.jsonl`; None for fewer than two."""
    times = [line["time"] for line in read_lines(metrics) if line.get("purpose") == "training"]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return round(median(gaps), 3) if gaps else None


def devices_line(clients_folder: Path) -> str | None:
    """Devices that simulated clients say they trained on, from their own logs; None without any."""
    used: dict[str, int] = {}
    for path in sorted(clients_folder.glob("*.jsonl")):
        trained = [e for e in read_lines(path) if e.get("event") == "trained"]
        if trained:
            device = printable(trained[-1].get("device", "?"))
            used[device] = used.get(device, 0) + 1
    if not used:
        return None
    return "trained on: " + ", ".join(f"{name} ({count} clients)" for name, count in used.items())
