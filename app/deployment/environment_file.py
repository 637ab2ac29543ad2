"""`node.env` and `server.env`: the settings of a kit that people edit, `NAME=value` a line.

Decides: the grammar and which names there are. Refuses to know what a setting is used for.
"""

import difflib
from collections.abc import Mapping
from typing import Final

from arithmetic.errors import ConfigError

NODE_KEYS: Final = ("CHORUS_SUPERLINK", "CHORUS_AUTHORITY", "CHORUS_DATA", "CHORUS_DEVICE")
SERVER_KEYS: Final = ("CHORUS_HOST", "CHORUS_PORT", "CHORUS_NAMES", "CHORUS_AUTHORITY")


def parse(text: str, keys: tuple[str, ...], source: str) -> dict[str, str]:
    """The settings in a file; all of `keys` are there, no others.

    Raises:
        ConfigError: one sentence that names the line or the missing key.
    """
    table: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals:
            raise ConfigError(f"{source}, line {number} is not NAME=value; mend it")
        if key not in keys:
            near = difflib.get_close_matches(key, keys, n=1, cutoff=0.0)[0]
            raise ConfigError(
                f"{source}, line {number}: unknown name {key[:80]!r}; the nearest known one is {near!r}"
            )
        if key in table:
            raise ConfigError(f"{source}, line {number}: {key} stands twice; strike one")
        table[key] = value
    for key in keys:
        if not table.get(key):
            raise ConfigError(f"{source} says nothing of {key}; add {key}=...")
    return table


def text_of(table: Mapping[str, str]) -> str:
    """The file, one line a setting.

    Raises:
        ConfigError: a value that is no single line.
    """
    for key, value in table.items():
        if not value or any(c in value for c in "\r\n\0"):
            raise ConfigError(f"{key} = {value[:80]!r} is no value for one line; choose another")
    return "".join(f"{key}={value}\n" for key, value in table.items())
