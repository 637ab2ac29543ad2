"""The file of a node's policy: its keys, their ranges, and on which line each of them stands.

Decides: what is a policy and what is none. Refuses to know: what is checked against it (`clients.policy`).
A file that is torn, misspelt or contradicts itself is no policy at all; nothing in it is guessed or passed over.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from arithmetic.errors import ConfigError
from clients.bounded_file import read_bounded
from privacy.terms import PrivacyMode
from secagg.bounds import LEAST_COHORT, LEAST_THRESHOLD, Adversary
from secagg.graph import MOST_CLIENTS
from secagg.params import MOST_LENGTH

MOST_BYTES: Final = 64 * 1024
RULE_OUT_NONE: Final = ("max-epsilon", "min-noise-multiplier", "min-colluders")
# Strings, comments, brackets and ends of lines: with all of them read, no line of TOML is mistaken for another.
TOKEN: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}' r"|'''.*?'{3,5}" r'|"(?:\\.|[^"\\])*"' r"|'[^']*'|#[^\n]*|[\[\]{}\n]",
    re.DOTALL,
)

_Mode = Annotated[PrivacyMode, Field(strict=False)]
_TaskName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")]
_Job = Literal["train", "gradients", "analytics", "ring"]
_Column = Annotated[str, Field(min_length=1, max_length=100)]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PolicyUnusable(ConfigError):
    """A policy that cannot be read or is none; the node takes part in nothing. Its text stays on the node."""


def kebab(name: str) -> str:
    """An attribute's name as the file writes it."""
    return name.replace("_", "-")


class PolicyKeys(BaseModel):
    """The keys, in kebab case, all optional; None allows everything. What meets a limit exactly keeps to it.

    Attributes:
        min_cohort: fewest survivors in a sum, 3..2^20.
        min_threshold: fewest shares that rebuild a secret, 2..2^20.
        adversary: what a session must hold against, at least.
        tolerated_colluders: fewest clients that may work for the server against which a session's threshold must hold,
            1..2^20.
        modes: the privacy modes agreed to.
        max_epsilon, delta: the budget, for each unit, over the ledger's life; (0, 1e6] and (0, 1), both or none.
        min_noise_multiplier: of every noise multiplier of a run, (0, 1e6].
        min_colluders: fewest colluders that the noise in a sum must hold against, 1..2^20.
        jobs: the jobs agreed to, by the names that the run key `job` takes.
        columns: columns of tables that sums may be asked of, by name.
        tasks: the tasks agreed to, by name.
        layouts: the models agreed to, each by its `VectorSpec.digest`: names, shapes, dtypes, what is trained.
        max_parameters: most numbers in a model, 1..2^33.
        max_parameter_norm: largest L2 norm of an incoming model, above 0.
    """

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, alias_generator=kebab
    )

    min_cohort: int | None = Field(default=None, ge=LEAST_COHORT, le=MOST_CLIENTS)
    min_threshold: int | None = Field(default=None, ge=LEAST_THRESHOLD, le=MOST_CLIENTS)
    adversary: Adversary | None = Field(default=None, strict=False)
    tolerated_colluders: int | None = Field(default=None, ge=1, le=MOST_CLIENTS)
    modes: tuple[_Mode, ...] | None = Field(default=None, strict=False, min_length=1)
    max_epsilon: float | None = Field(default=None, gt=0.0, le=1e6)
    delta: float | None = Field(default=None, gt=0.0, lt=1.0)
    min_noise_multiplier: float | None = Field(default=None, gt=0.0, le=1e6)
    min_colluders: int | None = Field(default=None, ge=1, le=MOST_CLIENTS)
    jobs: tuple[_Job, ...] | None = Field(default=None, strict=False, min_length=1)
    columns: tuple[_Column, ...] | None = Field(default=None, strict=False, min_length=1)
    tasks: tuple[_TaskName, ...] | None = Field(default=None, strict=False, min_length=1)
    layouts: tuple[_Digest, ...] | None = Field(default=None, strict=False, min_length=1)
    max_parameters: int | None = Field(default=None, ge=1, le=MOST_LENGTH)
    max_parameter_norm: float | None = Field(default=None, gt=0.0)


KEYS: Final = tuple(kebab(name) for name in PolicyKeys.model_fields)


def read(path: Path) -> str:
    """The text of a policy file.

    Raises:
        PolicyUnusable: not an absolute path of a regular file, not readable, over 64 KiB, not UTF-8.
    """
    shown = repr(str(path))
    # From a working directory that the node did not choose, a relative path might find the submitter's file.
    if not path.is_absolute():
        raise PolicyUnusable(f"the policy's path {shown} is not absolute; write all of it")
    try:
        if not path.is_file():
            raise PolicyUnusable(f"there is no policy file {shown}; mend the node config or the file")
        data = read_bounded(path, MOST_BYTES)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise PolicyUnusable(
            f"the policy {shown} cannot be read ({why}); let the node's user read it"
        ) from None
    if len(data) > MOST_BYTES:
        raise PolicyUnusable(f"the policy {shown} is longer than {MOST_BYTES} bytes; name the right file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise PolicyUnusable(f"the policy {shown} is not UTF-8; save it as such") from None


def parse(text: str, source: str = "") -> tuple[PolicyKeys, dict[str, int]]:
    """The keys in a TOML text, and the line, from 1, on which each one that is set starts.

    Args:
        text: of the file.
        source: what to call the file in an error.

    Raises:
        PolicyUnusable: no TOML, an unknown key, a value that is none, or keys that contradict each other; one
            sentence that names the line.
    """
    try:
        table = tomllib.loads(text)
        lines = _line_numbers(text)
    except (ValueError, RecursionError) as error:  # a number of 5000 digits, brackets without end, among them
        reason = " ".join(str(error).split())
        raise PolicyUnusable(f"the policy {source!r} is no TOML: {reason:.200}; mend it") from None
    for key in table:
        if key not in KEYS:
            near = difflib.get_close_matches(key.replace("_", "-").lower(), KEYS, n=1, cutoff=0.0)[0]
            raise _unusable(source, lines[key], f"unknown key {key!r:.80}; the nearest known key is {near!r}")
    try:
        keys = PolicyKeys.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = str(first["loc"][0])
        raise _unusable(source, lines[key], f"{key} cannot be used: {_in_words(first['msg'])}") from None
    _check_together(keys, lines, source)
    return keys, lines


def _check_together(keys: PolicyKeys, lines: Mapping[str, int], source: str) -> None:
    """Refuse half a budget, and an agreement to runs that other keys rule out."""
    for key, other in (("max-epsilon", "delta"), ("delta", "max-epsilon")):
        if key in lines and other not in lines:
            raise _unusable(source, lines[key], f"{key} says nothing without {other}; write both or none")
    ruling = [key for key in RULE_OUT_NONE if key in lines]
    if keys.modes is not None and PrivacyMode.NONE in keys.modes and ruling:
        what = f"modes lists none, which {ruling[0]} rules out; strike one of them"
        raise _unusable(source, lines["modes"], what)


def _line_numbers(text: str) -> dict[str, int]:
    """On which line each top-level key starts; tomllib itself reads the keys, one statement at a time.

    Args:
        text: as `tomllib.loads` has accepted it.
    """
    text = text.replace("\r\n", "\n") + "\n"
    lines: dict[str, int] = {}
    start, line, depth = 0, 1, 0
    for token in TOKEN.finditer(text):
        depth += (token[0] in "[{") - (token[0] in "]}")
        if token[0] == "\n" and depth == 0:
            statement = text[start : token.end()]
            for key in tomllib.loads(statement):
                lines.setdefault(key, line)
            start, line = token.end(), line + statement.count("\n")
    return lines


def _in_words(message: str) -> str:
    """Pydantic's sentence in the words of one who reads TOML."""
    return message.replace("Input", "the value").replace("Tuple", "the list").replace("valid tuple", "list")


def _unusable(source: str, line: int, what: str) -> PolicyUnusable:
    return PolicyUnusable(f"policy {source!r}, line {line}: {what}")
