"""The keys of a run around the hospitals' ring: its defaults on the command line, and what it has no use for.

Decides: both lists. Refuses to know: what a key does.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from arithmetic.errors import ConfigError

if TYPE_CHECKING:
    from app.run_keys import RunKeys

RING: Final = "ring"
# What `scripts/run -c job=ring` means where nothing else is said: the hospitals of docs/paillier.md.
DEFAULTS: Final[Mapping[str, str | int | float]] = {
    "task": "diabetes", "clients": 5, "rounds": 20, "local-epochs": 1, "batch-size": 100, "learning-rate": 0.1,
    "momentum": 0.0, "partition": "dirichlet", "dirichlet-alpha": 0.5, "rounding": "nearest",
}  # fmt: skip
_UNUSED: Final = (
    "groups", "groups_at_once", "threshold", "neighbours", "corrupt_fraction", "dropout_fraction", "colluders",
    "adversary", "privacy",
)  # fmt: skip
_MOST_HOSPITALS = 1024


def check_ring(config: "RunKeys") -> None:
    """Refuse what would be silently ignored.

    Raises:
        ConfigError: one line that names the key.
    """
    if config.job != RING:
        return
    for name in _UNUSED:
        value = getattr(config, name)
        if value != type(config).model_fields[name].default:
            raise ConfigError(
                f"{name.replace('_', '-')} = {value} does nothing with job = ring; leave it out, or sum under masks "
                "(job = train)"
            )
    if config.modulus_bits not in (type(config).model_fields["modulus_bits"].default, 64):
        raise ConfigError(
            f"modulus-bits = {config.modulus_bits} does nothing with job = ring, whose entries have 64"
        )
    if config.paillier_bits % 2:
        raise ConfigError(f"paillier-bits = {config.paillier_bits} cannot be used; it takes an even number")
    if config.clients > _MOST_HOSPITALS:
        raise ConfigError(
            f"clients = {config.clients} cannot be used with job = ring; at most {_MOST_HOSPITALS}"
        )
