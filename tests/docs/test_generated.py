"""What docs/ has from the code is what the code says now."""

from xml.etree import ElementTree

import pytest

from docs.generators import protocol_picture
from docs.generators.files import FILES, FOLDER


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_generated_file_is_up_to_date(name: str) -> None:
    again = FILES[name]()
    assert (FOLDER / name).read_text(encoding="utf-8") == again, "run: .venv/bin/python -m docs.generators"


def test_the_picture_shows_every_protocol_round_and_message() -> None:
    text = "".join(ElementTree.fromstring(protocol_picture.picture()).itertext())
    for step in protocol_picture.steps():
        assert step.request[0] in text
        assert step.reply[0] in text
        assert step.action in text
    assert [step.protocol_round for step in protocol_picture.steps() if step.optional] == ["r3"]


def test_the_page_of_keys_has_a_line_for_each() -> None:
    from app.config import FIELDS

    page = FILES["configuration.md"]()
    assert [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")] == list(FIELDS)
