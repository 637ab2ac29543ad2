"""The run configuration: checked once into one frozen object.

This module decides how a configuration is read and what a user is told when a value cannot be used: always one line
that names the key, the value and what is allowed (threats.md, section 3, 76 and 77). Keys and ranges stand in
`app.run_keys`. It refuses to know Flower, torch or the protocol: what a threshold means is `secagg.params`' business,
only its range is looked at here.

Types are strict: TOML `true` is no integer, `"1e-5"` is no number; an integer stands for a float.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Self, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.job_keys import check_job
from app.ring_keys import RING, check_ring
from app.run_keys import RunKeys, kebab
from arithmetic.errors import ConfigError
from clients.drops import RING_STEPS, parse_drops

_TASK: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", re.ASCII)
_DEVICE: Final = re.compile(r"(auto|cpu|mps|cuda(:(0|[1-9]\d{0,3}))?)\Z", re.ASCII)
_DEVICES: Final = "auto, cpu, cuda, cuda:N or mps"
_KINDS: Final[dict[object, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
}


class UnknownSetting(ConfigError):
    """A key that no run has."""


class SettingRefused(ConfigError):
    """A key with a value that it does not take."""


class RunConfig(RunKeys):
    """One run, checked."""

    @classmethod
    def parse(cls, mapping: Mapping[str, object]) -> Self:
        """Check a run configuration; keys that are missing take their defaults.

        Args:
            mapping: kebab-case keys to TOML scalars, for example Flower's `context.run_config`.

        Returns:
            The frozen configuration.

        Raises:
            ConfigError: one line that names the key, the value and what is allowed.
        """
        for key in mapping:
            _refuse_unknown(key, "run config")
        try:
            config = cls.model_validate(dict(mapping))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            key = kebab(str(first["loc"][0]))
            raise SettingRefused(_wrong(key, mapping.get(key))) from None
        _check_texts(config)
        _check_together(config)
        check_job(config)
        return config

    def table(self) -> dict[str, str | int | float | bool]:
        """Every key with its value, as TOML writes it and Flower's `run_config` carries it."""
        return self.model_dump(by_alias=True)


FIELDS: Final[dict[str, FieldInfo]] = {kebab(name): field for name, field in RunConfig.model_fields.items()}


def defaults() -> dict[str, str | int | float | bool]:
    """The table `[tool.flwr.app.config]`: every key with its default."""
    return RunConfig().table()


def allowed(key: str) -> str:
    """What `key` may be, in words: `a whole number from 3 to 100000`."""
    if key == "device":
        return _DEVICES
    if key == "task":
        return "digits, mnist, digits_hog, mnist_hog, digits_softmax, mnist_softmax, diabetes or a dotted module path"
    if key == "drop":
        return "a comma list of COUNT@r0|r1|r2|r3|r4:roundN, or COUNT@join|reveal|hop:roundN in the ring"
    field = FIELDS[key]
    if get_origin(field.annotation) is Literal:
        values = [str(value) for value in get_args(field.annotation)]
        return f"{', '.join(values[:-1])} or {values[-1]}"
    kind = _KINDS[field.annotation]
    return " ".join([kind, *_bounds(field)])


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Read `-c` arguments: `key=value`, a TOML value or a bare word where a key takes text; or a file of such keys.

    Args:
        texts: the arguments, in order; a key given twice keeps the later value. One that ends in `.toml` and names no
            key is a file, as `flwr run -c` takes it.

    Returns:
        Kebab-case keys to TOML values, not yet checked against their ranges.

    Raises:
        ConfigError: no `=`, an unknown key, a value that is not one TOML value, or no such file.
    """
    overrides: dict[str, Any] = {}
    for text in texts:
        if text.endswith(".toml") and "=" not in text:
            overrides |= _from_file(Path(text))
            continue
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise ConfigError(f"{text!r} is not key=value; write for example -c rounds=3")
        _refuse_unknown(key, "-c")
        overrides[key] = _toml_value(key, value)
    return overrides


def _from_file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{_shown(str(path))} cannot be read ({error.strerror}); name a file of keys"
        ) from None
    except ValueError as error:
        raise ConfigError(f"{_shown(str(path))} is no TOML ({error}); write a key = value a line") from None
    for key in table:
        _refuse_unknown(key, path.name)
    return table


def _toml_value(key: str, text: str) -> object:
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        table = {}
    value = table.get("value")
    single = set(table) == {"value"}
    if _takes_text(key):
        # On a command line 2024 may be the name of a folder: what a text key gets is text.
        return value if single and isinstance(value, str) else text
    if not single:
        raise SettingRefused(f"{key} = {_shown(text)} cannot be used; it takes {allowed(key)}")
    return value


def _takes_text(key: str) -> bool:
    annotation = FIELDS[key].annotation
    choices = get_args(annotation) if get_origin(annotation) is Literal else ()
    return annotation is str or (bool(choices) and isinstance(choices[0], str))


def _bounds(field: FieldInfo) -> list[str]:
    words: list[str] = []
    for bound in field.metadata:
        match bound:
            case Ge(ge=low):
                words.append(f"from {low}")
            case Gt(gt=low):
                words.append(f"above {low}")
            case Le(le=high):
                words.append(f"to {high}" if words[0].startswith("from") else f"and at most {high}")
            case Lt(lt=high):
                words.append(f"and below {high}")
    return words


def _refuse_unknown(key: object, source: str) -> None:
    if isinstance(key, str) and key in FIELDS:
        return
    near = difflib.get_close_matches(str(key).replace("_", "-").lower(), FIELDS, n=1, cutoff=0.0)
    raise UnknownSetting(
        f'Unknown setting {_shown(key)} (from {_shown(source)[1:-1]}). Did you mean "{near[0]}"? All settings: '
        "chorus config show"
    )


def _wrong(key: str, value: object) -> str:
    return f"{key} = {_shown(value)} cannot be used; it takes {allowed(key)}"


def _shown(value: object) -> str:
    """A value as TOML would show it, printable, on one line and cut to 80 characters."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and abs(value) >= 10**60:
        return f"a whole number of {value.bit_length()} bits"
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    # Names are display only (threats.md 61): nothing that moves a cursor or turns text around.
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _check_texts(config: RunConfig) -> None:
    if not _TASK.match(config.task):
        raise SettingRefused(_wrong("task", config.task))
    if not _DEVICE.match(config.device):
        raise SettingRefused(_wrong("device", config.device))
    for key, text in (
        ("data-path", config.data_path), ("run-dir", config.run_dir), ("resume", config.resume),
        ("roster", config.roster), ("query", config.query),
    ):  # fmt: skip
        if "\x00" in text or "\n" in text:
            raise ConfigError(f"{key} = {_shown(text)} cannot be used; a path has no such character")
    drops = parse_drops(config.drop)
    other = [drop for drop in drops if (drop.protocol_round in RING_STEPS) != (config.job == RING)]
    if other:
        raise ConfigError(f"drop = {other[0]} does nothing with job = {config.job}, which has no such moment")
    if (
        any(drop.protocol_round == "r3" for drop in drops)
        and config.adversary != "active"
        and not config.roster
    ):
        raise ConfigError("drop at r3 does nothing in this run; r3 is taken with adversary = active alone")


def _check_together(config: RunConfig) -> None:
    n = config.clients
    size, whole = n // config.groups, f"clients = {n}"
    if config.groups > 1:
        whole += f" in {config.groups} groups"
    check_ring(config)
    limits = (
        ("groups", config.groups, n // 3, "at most"),
        ("groups-at-once", config.groups_at_once, config.groups, "at most groups ="),
        ("threshold", config.threshold, size, "at most"),
        ("min-cohort", config.min_cohort, size, "at most"),
        ("neighbours", config.neighbours, size - 1, "below the smallest group, at most"),
    )
    for key, value, limit, words in limits:
        if value > limit:
            raise ConfigError(f"{key} = {value} cannot be used with {whole}; it must be {words} {limit}")
    if (config.job == "analytics") != bool(config.query):
        raise ConfigError("job = analytics and query go together; name the query's file, or leave both out")
    if config.job == "analytics" and config.partition != "iid":
        raise ConfigError(
            "partition = dirichlet cannot be used with job = analytics; a table is dealt out evenly"
        )
    if config.proximal_mu > 0 and config.strategy != "fedprox":
        raise ConfigError(
            f"proximal-mu = {config.proximal_mu} needs strategy = fedprox, not {config.strategy}"
        )
    if config.rounding == "nearest" and config.privacy != "none":
        raise ConfigError(
            f"rounding = nearest cannot be used with privacy = {config.privacy}, whose noise no two runs share; "
            "leave rounding = stochastic"
        )
