"""The run configuration: every key, its default, its range, checked once into one frozen object.

This module decides which keys exist (the table `[tool.flwr.app.config]` of pyproject.toml repeats
the defaults, a test keeps the two equal), which values they take, and what a user is told when one
of them cannot be used: always one line that names the key, the value and what is allowed
(threats.md, section 3, 76 and 77). It refuses to know Flower, torch or the protocol: what a
threshold means is `secagg.params`' business, only its range is looked at here.

Types are strict: TOML `true` is no integer, `"1e-5"` is no number; an integer stands for a float.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, Self, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from arithmetic.errors import ConfigError
from clients.drops import parse_drops

Seconds = Annotated[float, Field(gt=0.0, le=86_400.0)]

_TASK: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z", re.ASCII)
_DEVICE: Final = re.compile(r"(auto|cpu|mps|cuda(:(0|[1-9]\d{0,3}))?)\Z", re.ASCII)
_DEVICES: Final = "auto, cpu, cuda, cuda:N or mps"
_KINDS: Final[dict[object, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
}


def _kebab(name: str) -> str:
    return name.replace("_", "-")


class RunConfig(BaseModel):
    """One run, checked. Keys are written in kebab case: `local_epochs` is `local-epochs`."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        alias_generator=_kebab,
        populate_by_name=True,
    )

    task: str = Field(default="digits", description="data and model: digits, mnist or a dotted module path")
    strategy: Literal["fedavg", "fedprox", "fedadam", "fedavgm", "fedyogi", "fedadagrad"] = Field(
        default="fedavg", description="Flower strategy that turns the cohort's mean into the next model"
    )
    clients: int = Field(default=10, ge=3, le=100_000, description="cohort to wait for")
    rounds: int = Field(default=10, ge=1, le=100_000, description="server rounds")
    local_epochs: int = Field(
        default=2, ge=1, le=1_000, description="passes over a client's data a server round"
    )
    batch_size: int = Field(default=32, ge=1, le=1_000_000, description="examples a training step")
    learning_rate: float = Field(default=0.1, gt=0.0, le=100.0, description="of a client's SGD")
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0, description="of a client's SGD")
    proximal_mu: float = Field(
        default=0.0, ge=0.0, le=1_000_000.0, description="pull to the global model (fedprox)"
    )
    server_learning_rate: float = Field(
        default=0.0, ge=0.0, le=100.0, description="server's step (fedavgm, fedopt); 0 is the strategy's own"
    )
    server_momentum: float = Field(default=0.0, ge=0.0, lt=1.0, description="server's momentum (fedavgm)")
    partition: Literal["iid", "dirichlet"] = Field(
        default="iid", description="how examples are dealt to simulated clients"
    )
    dirichlet_alpha: float = Field(
        default=0.5, gt=0.0, le=1_000_000.0, description="evenness of the labels (dirichlet)"
    )
    validation_fraction: float = Field(
        default=0.2, gt=0.0, lt=1.0, description="of a client's examples, kept to judge models"
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**63 - 1,
        description="of data split, initial model and training order; never of a mask",
    )
    device: str = Field(default="auto", description="where clients train: auto, cpu, cuda, cuda:N or mps")
    data_path: str = Field(default="", description="folder of the data; a node's own data-path wins")
    threshold: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="survivors that unmask; 0 is two thirds of a group + 1",
    )
    groups: int = Field(
        default=1, ge=1, le=33_333, description="sessions a server round is split into, side by side"
    )
    groups_at_once: int = Field(
        default=0, ge=0, le=33_333, description="of them that run side by side; 0 is all"
    )
    neighbours: int = Field(default=0, ge=0, le=99_999, description="of each client; 0 is everybody")
    corrupt_fraction: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="of a group that may collude; derives a sparse graph"
    )
    dropout_fraction: float = Field(
        default=0.0, ge=0.0, lt=1.0, description="of clients that may vanish; derives a sparse graph"
    )
    modulus_bits: int = Field(default=24, ge=8, le=64, description="of a residue of the masked vector")
    encoding_bound: float = Field(
        default=1.0, gt=0.0, le=1_000_000.0, description="first clamp of an update's coordinate"
    )
    max_examples: int = Field(
        default=10_000,
        ge=1,
        le=2**31,
        description="largest weight of a client; more is clamped, counted",
    )
    min_cohort: int = Field(default=3, ge=3, le=100_000, description="fewest survivors whose sum is unmasked")
    cohort_deadline: Seconds = Field(default=120.0, description="seconds to wait for the whole cohort")
    training_deadline: Seconds = Field(default=600.0, description="seconds of r1, which trains")
    round_deadline: Seconds = Field(default=20.0, description="seconds of r0, r2 and r4 each")
    poll_interval: float = Field(
        default=0.2, ge=0.01, le=10.0, description="seconds between looks for replies"
    )
    central_test: bool = Field(default=True, description="judge each model on the task's public test set")
    drop: str = Field(default="", description="clients that vanish, to see recovery: 2@r2:round3,...")
    run_dir: str = Field(default="", description="where the run is written; empty is runs/<id>")

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
            _refuse_unknown(key)
        try:
            config = cls.model_validate(dict(mapping))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            key = _kebab(str(first["loc"][0]))
            raise ConfigError(_wrong(key, mapping.get(key))) from None
        _check_texts(config)
        _check_together(config)
        return config

    def table(self) -> dict[str, str | int | float | bool]:
        """Every key with its value, as TOML writes it and Flower's `run_config` carries it."""
        return self.model_dump(by_alias=True)


FIELDS: Final[dict[str, FieldInfo]] = {_kebab(name): field for name, field in RunConfig.model_fields.items()}


def defaults() -> dict[str, str | int | float | bool]:
    """The table `[tool.flwr.app.config]`: every key with its default."""
    return RunConfig().table()


def allowed(key: str) -> str:
    """What `key` may be, in words: `a whole number from 3 to 100000`."""
    if key == "device":
        return _DEVICES
    if key == "task":
        return "digits, mnist or a dotted module path"
    if key == "drop":
        return "a comma list of COUNT@r0|r1|r2|r4:roundN"
    field = FIELDS[key]
    if get_origin(field.annotation) is Literal:
        values = [str(value) for value in get_args(field.annotation)]
        return f"{', '.join(values[:-1])} or {values[-1]}"
    kind = _KINDS[field.annotation]
    return " ".join([kind, *_bounds(field)])


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Read `-c key=value` arguments: TOML values, and bare words where a key takes text.

    Args:
        texts: the arguments, in order; a key given twice keeps the later value.

    Returns:
        Kebab-case keys to TOML values, not yet checked against their ranges.

    Raises:
        ConfigError: no `=`, an unknown key, or a value that is not one TOML value.
    """
    overrides: dict[str, Any] = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not key:
            raise ConfigError(f"{text!r} is not key=value; write for example -c rounds=3")
        _refuse_unknown(key)
        overrides[key] = _toml_value(key, value)
    return overrides


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
        raise ConfigError(f"{key} = {_shown(text)} cannot be used; it takes {allowed(key)}")
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


def _refuse_unknown(key: object) -> None:
    if isinstance(key, str) and key in FIELDS:
        return
    near = difflib.get_close_matches(str(key).replace("_", "-").lower(), FIELDS, n=1, cutoff=0.0)
    raise ConfigError(f"unknown key {_shown(key)}; the nearest known key is {near[0]!r}")


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
        raise ConfigError(_wrong("task", config.task))
    if not _DEVICE.match(config.device):
        raise ConfigError(_wrong("device", config.device))
    for key, text in (("data-path", config.data_path), ("run-dir", config.run_dir)):
        if "\x00" in text or "\n" in text:
            raise ConfigError(f"{key} = {_shown(text)} cannot be used; a path has no such character")
    parse_drops(config.drop)


def _check_together(config: RunConfig) -> None:
    n = config.clients
    size, whole = n // config.groups, f"clients = {n}"
    if config.groups > 1:
        whole += f" in {config.groups} groups"
    limits = (
        ("groups", config.groups, n // 3, "at most"),
        ("threshold", config.threshold, size, "at most"),
        ("min-cohort", config.min_cohort, size, "at most"),
        ("neighbours", config.neighbours, size - 1, "below the smallest group, at most"),
    )
    for key, value, limit, words in limits:
        if value > limit:
            raise ConfigError(f"{key} = {value} cannot be used with {whole}; it must be {words} {limit}")
    if config.proximal_mu > 0 and config.strategy != "fedprox":
        raise ConfigError(
            f"proximal-mu = {config.proximal_mu} needs strategy = fedprox, not {config.strategy}"
        )
