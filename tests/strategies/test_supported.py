"""The list of strategies that can be wrapped covers all that Flower ships."""

import inspect

import pytest
from flwr.serverapp import strategy as flower

from strategies.errors import StrategyNotSupported
from strategies.supported import _SINGLE_UPDATES, MEAN_ONLY, check_supported


def shipped() -> dict[str, type]:
    found = {name: getattr(flower, name) for name in flower.__all__}
    return {
        name: kind
        for name, kind in found.items()
        if inspect.isclass(kind) and issubclass(kind, flower.Strategy) and kind is not flower.Strategy
    }


def bare(kind: type) -> flower.Strategy:
    """An instance without its constructor: only the type counts."""
    instance = kind.__new__(kind)
    assert isinstance(instance, flower.Strategy)
    return instance


def test_every_strategy_of_flower_is_either_allowed_or_refused_with_a_reason() -> None:
    allowed, refused = {kind.__name__ for kind in MEAN_ONLY}, set(_SINGLE_UPDATES)
    assert allowed | refused == set(shipped())
    assert not allowed & refused


@pytest.mark.parametrize("kind", MEAN_ONLY)
def test_allowed(kind: type) -> None:
    check_supported(bare(kind))
    check_supported(bare(kind), mean_only=True)


@pytest.mark.parametrize("name", sorted(_SINGLE_UPDATES))
def test_refused_whoever_vouches(name: str) -> None:
    for vouched in (False, True):
        with pytest.raises(StrategyNotSupported, match=f"^{name} cannot be aggregated securely"):
            check_supported(bare(shipped()[name]), vouched)


@pytest.mark.parametrize("name", sorted(_SINGLE_UPDATES))
def test_a_subclass_of_a_refused_one_is_refused_too(name: str) -> None:
    kind = type("Mine", (shipped()[name],), {})
    with pytest.raises(StrategyNotSupported, match="Mine cannot be aggregated securely"):
        check_supported(bare(kind), mean_only=True)


@pytest.mark.parametrize("base", [flower.Strategy, *MEAN_ONLY])
def test_a_strategy_of_the_users_own_needs_a_voucher(base: type) -> None:
    kind = type("Mine", (base,), {})
    kind.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]
    with pytest.raises(StrategyNotSupported, match=r"Mine is not known .* mean_only=True") as caught:
        check_supported(bare(kind))
    assert caught.value.code == "CONFIG"
    assert "\n" not in str(caught.value)
    check_supported(bare(kind), mean_only=True)
