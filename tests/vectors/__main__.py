"""Write the kit of vectors, or say whether the code still gives it.

python -m tests.vectors           write tests/vectors/kit
python -m tests.vectors --check   exit 1, naming each file that differs
"""

import argparse
import json
import sys
from itertools import chain
from pathlib import Path

from tests.vectors.cases import agrees, refusal
from tests.vectors.honest import sessions
from tests.vectors.hostile_replies import replies
from tests.vectors.hostile_requests import requests
from tests.vectors.hostile_requests_later import later_requests
from tests.vectors.hostile_signatures import signed_requests
from tests.vectors.replay import KIT, REFUSED, Replay, Table


def files() -> dict[str, Table]:
    """Every file of the kit, by its path below it."""
    made = sessions()
    found = {f"{name}/{part}.json": table for name, tables in made.items() for part, table in tables.items()}
    replays = {name: Replay(tables) for name, tables in made.items()}
    for case in chain(requests(replays), signed_requests(replays), later_requests(replays), replies(replays)):
        path = f"{REFUSED}/{case.name}.json"
        if path in found:
            raise ValueError(f"two cases are named {case.name}")
        found[path] = case.table()
        error = refusal(found[path], replays)
        if not agrees(found[path], error):
            raise ValueError(
                f"{case.name}: {case.error.__name__} is due of {case.culprit}, the code says {error!r}"
            )
    return found


def text_of(table: Table) -> str:
    """One field a line."""
    return json.dumps(table, indent=1) + "\n"


def differing(made: dict[str, Table], folder: Path = KIT) -> list[str]:
    """Paths of files that are missing, left over or of other bytes."""
    there = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.json")}
    due = {path: text_of(table) for path, table in made.items()}
    return sorted(path for path in there.keys() | due.keys() if there.get(path) != due.get(path))


def main() -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(prog="python -m tests.vectors", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where a file differs")
    made = files()
    if parser.parse_args().check:
        wrong = differing(made)
        print("\n".join(wrong) or f"{len(made)} files as the code makes them")
        return int(bool(wrong))
    for path in KIT.rglob("*.json"):
        path.unlink()
    for path, table in made.items():
        target = KIT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text_of(table))
    print(f"{len(made)} files, {sum(path.startswith(REFUSED) for path in made)} of them bad")
    return 0


if __name__ == "__main__":
    sys.exit(main())
