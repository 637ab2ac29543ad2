"""Terms: every number a mode needs is asked for, and no number that is none passes."""

import dataclasses
import math
from typing import Any

import pytest

from arithmetic.errors import ParameterError
from privacy.terms import PrivacyMode, PrivacyTerms

LOCAL = {"noise_multiplier": 1.0, "clipping_norm": 0.5, "delta": 1e-5}
CLIENT = {"client_noise_multiplier": 2.0, "client_clipping_norm": 3.0, "delta": 1e-5}
NEEDS: dict[PrivacyMode, dict[str, Any]] = {
    PrivacyMode.NONE: {},
    PrivacyMode.LOCAL: LOCAL,
    PrivacyMode.DISTRIBUTED: LOCAL | {"sampling_probability": 0.1},
    PrivacyMode.CLIENT: CLIENT,
    PrivacyMode.LOCAL_CLIENT: LOCAL | CLIENT,
}
NEEDED = [(mode, name) for mode, names in NEEDS.items() for name in names]
NO_NUMBERS = [math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 0, True, False, "1", None, [1.0]]


def test_nothing_is_asked_for_by_default() -> None:
    assert PrivacyTerms() == PrivacyTerms(PrivacyMode.NONE, 0.0, 0.0, 0.0, 0.0, 0.0, 0)


@pytest.mark.parametrize("mode", PrivacyMode)
def test_a_mode_with_all_it_needs(mode: PrivacyMode) -> None:
    terms = PrivacyTerms(mode, **NEEDS[mode])
    assert {name: getattr(terms, name) for name in NEEDS[mode]} == NEEDS[mode]


def test_what_each_mode_is() -> None:
    kinds = {mode: (mode.is_local, mode.hides_clients, mode.shares_noise) for mode in PrivacyMode}
    assert kinds == {
        PrivacyMode.NONE: (False, False, False),
        PrivacyMode.LOCAL: (True, False, False),
        PrivacyMode.DISTRIBUTED: (False, False, True),
        PrivacyMode.CLIENT: (False, True, True),
        PrivacyMode.LOCAL_CLIENT: (True, True, True),
    }


def test_every_mode_but_none_adds_noise_somewhere() -> None:
    for mode in PrivacyMode:
        assert (mode.is_local or mode.shares_noise) == (mode is not PrivacyMode.NONE)


@pytest.mark.parametrize(("mode", "name"), NEEDED)
def test_a_number_that_is_missing(mode: PrivacyMode, name: str) -> None:
    """An adversary: promises a mode and leaves out one of its numbers, so that it would be 0."""
    with pytest.raises(ParameterError, match=f"{name.replace('_', '-')}.* must be"):
        PrivacyTerms(mode, **{key: value for key, value in NEEDS[mode].items() if key != name})


@pytest.mark.parametrize(("mode", "name"), NEEDED)
@pytest.mark.parametrize("bad", NO_NUMBERS, ids=repr)
def test_a_number_that_is_none(mode: PrivacyMode, name: str, bad: object) -> None:
    with pytest.raises(ParameterError, match=f"{name.replace('_', '-')}.* must be") as caught:
        PrivacyTerms(mode, **NEEDS[mode] | {name: bad})
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(("mode", "name"), NEEDED)
def test_both_ends_of_every_range(mode: PrivacyMode, name: str) -> None:
    most = {"sampling_probability": 1.0, "delta": 0.5, "client_clipping_norm": 1e12}.get(name, 1e6)
    least = {"sampling_probability": 1e-9}.get(name, 0.0)
    for value in (math.nextafter(least, math.inf), most):
        assert getattr(PrivacyTerms(mode, **NEEDS[mode] | {name: value}), name) == value
    for value in (least, math.nextafter(most, math.inf)):
        with pytest.raises(ParameterError, match="at most"):
            PrivacyTerms(mode, **NEEDS[mode] | {name: value})


@pytest.mark.parametrize("mode", ["local", "none", "", "LOCAL", None, 0, True])
def test_a_mode_is_one_of_the_five_and_no_text(mode: Any) -> None:
    with pytest.raises(ParameterError, match=r"choose none, local, distributed, client, local\+client$"):
        PrivacyTerms(mode)


@pytest.mark.parametrize("mode", [mode for mode in PrivacyMode if mode.shares_noise])
def test_colluders_are_a_count(mode: PrivacyMode) -> None:
    for count in (0, 1, 2**20):
        assert PrivacyTerms(mode, **NEEDS[mode], colluders=count).colluders == count
    for bad in (-1, 2**20 + 1, 1.0, math.nan, True, "1", None):
        with pytest.raises(ParameterError, match=r"^colluders must be"):
            PrivacyTerms(mode, **NEEDS[mode], colluders=bad)  # type: ignore[arg-type]


TARGET: dict[str, Any] = {"clipping_norm": 0.5, "delta": 1e-5, "epsilon": 3.0, "rounds": 10}


def test_a_target_stands_for_the_noise_multiplier_of_dp_sgd() -> None:
    """Nowhere else: shares of noise are sized before anybody trains."""
    assert PrivacyTerms(PrivacyMode.LOCAL, **TARGET).epsilon == 3.0
    assert PrivacyTerms(PrivacyMode.LOCAL_CLIENT, **CLIENT | TARGET).rounds == 10
    for mode in (PrivacyMode.DISTRIBUTED, PrivacyMode.CLIENT):
        with pytest.raises(ParameterError, match="noise-multiplier"):
            PrivacyTerms(mode, **TARGET, sampling_probability=0.1, client_clipping_norm=1.0)


@pytest.mark.parametrize("name", ["epsilon", "rounds"])
@pytest.mark.parametrize("bad", NO_NUMBERS, ids=repr)
def test_a_target_that_is_none(name: str, bad: object) -> None:
    with pytest.raises(ParameterError, match=f"^{name}.* must be"):
        PrivacyTerms(PrivacyMode.LOCAL, **TARGET | {name: bad})


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, math.nextafter(1.0, 2.0), True, "0.5"])
def test_a_quantile_is_a_fraction(bad: Any) -> None:
    assert PrivacyTerms(PrivacyMode.CLIENT, **CLIENT, clipping_quantile=0.5).clipping_quantile == 0.5
    with pytest.raises(ParameterError, match=r"^clipping-quantile must be"):
        PrivacyTerms(PrivacyMode.CLIENT, **CLIENT, clipping_quantile=bad)


@pytest.mark.parametrize("mode", [mode for mode in PrivacyMode if mode is not PrivacyMode.NONE])
def test_a_quantile_is_for_clipping_norms_of_clients(mode: PrivacyMode) -> None:
    """Elsewhere nobody would answer for the bit."""
    if mode.hides_clients:
        assert PrivacyTerms(mode, **NEEDS[mode], clipping_quantile=0.5).clipping_quantile == 0.5
        return
    with pytest.raises(ParameterError, match=r"^clipping-quantile must be"):
        PrivacyTerms(mode, **NEEDS[mode], clipping_quantile=0.5)


def test_terms_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        PrivacyTerms().mode = PrivacyMode.LOCAL  # type: ignore[misc]
