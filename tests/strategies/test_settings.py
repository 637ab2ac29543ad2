"""Parameters of a session from what was configured: thresholds that hold, and never fall with absences."""

from typing import Any

import pytest

from arithmetic.errors import ParameterError
from secagg.bounds import Adversary
from secagg.params import default_threshold
from strategies.settings import Settings
from tests.support.cohort import roster_of

ROSTER = roster_of(tuple(range(1, 6)))


def test_sessions_are_against_an_active_server_where_there_is_a_roster() -> None:
    assert Settings(5).adversary is Adversary.CURIOUS
    assert Settings(5, roster=ROSTER).adversary is Adversary.ACTIVE
    for settings in (Settings(5), Settings(5, roster=ROSTER)):
        assert settings.params(5, 10, 2).adversary is settings.adversary
        assert settings.params(4, 10, 2, planned=5).adversary is settings.adversary


@pytest.mark.parametrize("cohort", range(3, 40))
def test_the_usual_threshold_holds_against_an_active_server(cohort: int) -> None:
    made = Settings(cohort, roster=ROSTER).params(cohort, 10, 2)
    assert made.threshold == default_threshold(cohort) == made.signatures
    assert 2 * made.threshold > cohort


@pytest.mark.parametrize(("colluders", "works"), [(0, True), (2, True), (3, True), (4, False)])
def test_colluders_are_counted(colluders: int, works: bool) -> None:
    """Ten clients, threshold seven: 2 * 7 > 10 + C."""
    settings = Settings(10, colluders=colluders, roster=ROSTER)
    if works:
        assert settings.params(10, 5, 2).colluders == colluders
    else:
        with pytest.raises(
            ParameterError, match=r"threshold = 7 does not hold against 4 colluders .* choose 8"
        ):
            settings.params(10, 5, 2)
        with pytest.raises(ParameterError):
            settings.check_groups()


@pytest.mark.parametrize(
    "named", [{}, {"neighbours": 6}, {"corrupt_fraction": 0.05, "dropout_fraction": 0.1}]
)
@pytest.mark.parametrize("roster", [None, ROSTER])
def test_absences_lower_neither_threshold_nor_survivors(named: dict[str, Any], roster: Any) -> None:
    settings = Settings(30, roster=roster, **named)
    full = settings.params(30, 5, 2)
    for present in range(full.min_survivors, 30):
        made = settings.params(present, 5, 2, planned=30)
        assert made.cohort == present
        assert made.threshold >= full.threshold
        assert made.min_survivors >= full.min_survivors
        assert made.least_advertised <= present


def test_derived_colluders_are_those_of_the_fraction() -> None:
    settings = Settings(100, corrupt_fraction=0.1, dropout_fraction=0.1, roster=ROSTER)
    assert settings.params(100, 5, 2).colluders == 10
    assert settings.params(95, 5, 2, planned=100).colluders == 9


def test_groups_have_thresholds_of_their_own() -> None:
    settings = Settings(12, groups=3, roster=ROSTER)
    settings.check_groups()
    assert settings.group_size == 4
    assert settings.params(4, 5, 2).threshold == 3
    with pytest.raises(ParameterError, match="choose fewer groups"):
        Settings(12, groups=5, roster=ROSTER).check_groups()
