"""Which files of docs/ are made from the code, and by what."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from docs.generators import configuration_page, protocol_picture

FOLDER: Final = Path(__file__).resolve().parent.parent
FILES: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration_page.page,
    "session.svg": protocol_picture.picture,
}
