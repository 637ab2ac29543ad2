"""The reference of the run configuration, from the keys themselves.

Decides: order, headings and columns. Refuses to know any key: default, range and words are those of `app.run_keys`.
"""

import json
import re
from typing import Final

from app.config import FIELDS, allowed, defaults

_SECTIONS: Final = (
    ("What is done", "job"),
    ("Learning", "strategy"),
    ("Data", "partition"),
    ("Sessions", "threshold"),
    ("The vector", "modulus-bits"),
    ("Waiting", "min-cohort"),
    ("Differential privacy", "privacy"),
    ("The run", "central-test"),
)
_HEAD: Final = """# Configuration

Every key of a run, made from the code by `python -m docs.generators`. Give keys with `-c key=value`, or a file of them
with `-c file.toml`; `scripts/run keys` prints the same list. A key that does not exist, a value out of range and keys
that do not go together are refused in one line before anything starts. `runs/<id>/config.toml` keeps what a run really
used, and can be given to the next one as it stands.
"""


def page() -> str:
    """The whole page, Markdown."""
    begins = {key: title for title, key in _SECTIONS}
    standard = defaults()
    lines = [_HEAD]
    for key, field in FIELDS.items():
        if key in begins:
            lines += [
                "",
                f"## {begins[key]}",
                "",
                "| key | default | takes | what it is |",
                "|---|---|---|---|",
            ]
        words = (f"`{key}`", f"`{json.dumps(standard[key])}`", allowed(key), field.description or "")
        lines.append("| " + " | ".join(word.replace("|", "\\|") for word in words) + " |")
    return (
        re.sub(r"\bdocs/(\w+)\.md", r"[docs/\1.md](\1.md)", "\n".join(lines).replace("\n\n\n", "\n\n")) + "\n"
    )
