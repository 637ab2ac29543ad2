"""What the server says before the first session: what the run will cost in bytes, trips, memory and epsilon.

Decides: at which rounds the epsilon to come is told. Refuses to know sizes (`app.expected`) and accounting (`privacy`).
"""

from collections.abc import Mapping
from typing import Any, Final

from app.config import RunConfig
from app.expected import Load, expected
from app.ring_keys import RING
from arithmetic.layout import VectorSpec
from privacy.accounting import rdp_epsilon
from privacy.terms import PrivacyMode
from strategies.events import Emit
from strategies.settings import Settings
from wire.noise import plans_of, releases_of
from wire.rounds import Purpose
from wire.scalars import ScalarLayout

_POINTS: Final = 24


def announce(
    emit: Emit,
    config: RunConfig,
    settings: Settings,
    spec: VectorSpec,
    metrics: tuple[str, ...],
    arrays: Mapping[str, Any],
) -> None:
    """Emit `run_expected`, and `privacy_course` where the server can account for the noise.

    Args:
        emit: receives events.
        config: of the run.
        settings: `settings_of` it.
        spec: layout of the model.
        metrics: of the task.
        arrays: the model's, by name; only their sizes count.
    """
    if config.job == RING:
        return
    load = load_of(config, settings, spec, metrics, arrays)
    emit("run_expected", **expected(settings, load).fields)
    terms = settings.privacy
    if terms.mode.shares_noise:
        params = settings.params(settings.group_size, load.tensor_length, load.scalars)
        plans = plans_of(terms, params, config.max_examples)
        points = []
        for rounds in _chosen(config.rounds):
            releases = releases_of(terms, *plans, rounds)
            units = dict.fromkeys(each.unit for each in releases)
            spent = [
                rdp_epsilon([each for each in releases if each.unit == unit], config.delta) for unit in units
            ]
            points.append([rounds, round(max(spent), 4)])
        emit("privacy_course", points=points, epsilon=config.epsilon)


def load_of(
    config: RunConfig,
    settings: Settings,
    spec: VectorSpec,
    metrics: tuple[str, ...],
    arrays: Mapping[str, Any],
) -> Load:
    """What the run's sessions carry; the arguments are those of `announce`."""
    adaptive = settings.privacy.clipping_quantile > 0
    scalars, judged = (
        ScalarLayout.of(purpose, metrics, spec.integer_length, adaptive).length
        for purpose in (Purpose.TRAINING, Purpose.EVALUATION)
    )
    model = sum(int(array.nbytes) for array in arrays.values())
    is_judged = settings.privacy.mode is PrivacyMode.NONE
    return Load(spec.tensor_length, scalars, judged, model, config.rounds, is_judged)


def _chosen(rounds: int) -> list[int]:
    """Some numbers of server rounds from 1 to `rounds`, both among them."""
    return sorted({1, rounds, *(max(1, rounds * at // _POINTS) for at in range(1, _POINTS))})
