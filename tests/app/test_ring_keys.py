"""What `job = ring` means on the command line, and what it refuses."""

import pytest

from app.asking import configuration
from app.config import RunConfig
from app.ring_keys import DEFAULTS
from arithmetic.errors import ConfigError


def test_the_job_brings_its_defaults_and_they_give_way() -> None:
    config = configuration(["job=ring"], [])
    assert {key: config.table()[key] for key in DEFAULTS} == dict(DEFAULTS)
    other = configuration(["job=ring", "task=digits", "clients=4"], ["1@hop:round1"])
    assert (other.task, other.clients, other.drop) == ("digits", 4, "1@hop:round1")
    assert configuration([], []) == RunConfig()


@pytest.mark.parametrize(
    "unused",
    [
        {"groups": 2, "clients": 8}, {"groups-at-once": 1}, {"threshold": 4}, {"neighbours": 4}, {"colluders": 1},
        {"corrupt-fraction": 0.1}, {"dropout-fraction": 0.1}, {"adversary": "active"}, {"privacy": "local"},
        {"modulus-bits": 32}, {"drop": "1@r2:round1"}, {"clients": 1025},
    ],
)  # fmt: skip
def test_what_the_ring_has_no_use_for_is_refused(unused: dict[str, int | float | str]) -> None:
    key = next(iter(unused))
    with pytest.raises(ConfigError, match=key):
        RunConfig.parse({"job": "ring", **unused})


@pytest.mark.parametrize("bits", [2047, 2049, 1024, 16386, 3072.0, "3072"])
def test_a_key_of_another_length_is_refused(bits: object) -> None:
    with pytest.raises(ConfigError, match="paillier-bits"):
        RunConfig.parse({"job": "ring", "paillier-bits": bits})


def test_the_rings_moments_are_nothing_under_masks() -> None:
    with pytest.raises(ConfigError, match="drop = 1@hop:round1 does nothing with job = train"):
        RunConfig.parse({"drop": "1@hop:round1"})
