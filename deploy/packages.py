"""Prints what an image installs: the dependencies of pyproject.toml, one a line, less those named after --without.

Decides: nothing. The images get the same list as scripts/setup.sh, and their versions from constraints.txt.
"""

import re
import sys
import tomllib
from pathlib import Path


def wanted(project: Path, without: set[str]) -> list[str]:
    """Dependencies of a pyproject.toml but those whose name is in `without`."""
    lines = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [line for line in lines if re.match(r"[\w.-]+", line)[0] not in without]  # type: ignore[index]


if __name__ == "__main__":
    left_out = set(sys.argv[2:]) if sys.argv[1:2] == ["--without"] else set()
    print(*wanted(Path(__file__).with_name("pyproject.toml"), left_out), sep="\n")
