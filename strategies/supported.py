"""Which Flower strategies can be wrapped: those that need only the cohort's weighted mean.

Decides: the list, with the reason for every refusal. Refuses to know: how the mean is made.
"""

from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi, Strategy

from strategies.errors import StrategyNotSupported
from strategies.gradient_step import GradientStep

MEAN_ONLY: tuple[type[Strategy], ...] = (FedAvg, FedProx, FedAdam, FedAvgM, FedYogi, FedAdagrad)

_SINGLE_UPDATES = {
    "Krum": "it scores every client's update by its distance to the others",
    "MultiKrum": "it scores every client's update by its distance to the others",
    "Bulyan": "it scores and trims single updates",
    "FedMedian": "it takes the median of single updates",
    "FedTrimmedAvg": "it trims the extremes of single updates",
    "QFedAvg": "it weighs every client by its own loss",
    "FedXgbBagging": "it collects every client's trees",
    "FedXgbCyclic": "it passes one client's model to the next",
    "DifferentialPrivacyServerSideFixedClipping": "it clips single updates on the server",
    "DifferentialPrivacyServerSideAdaptiveClipping": "it clips single updates on the server",
    "DifferentialPrivacyClientSideFixedClipping": "it adds its noise to replies the server can read",
    "DifferentialPrivacyClientSideAdaptiveClipping": "it reads every client's clipping indicator",
}


def check_supported(inner: Strategy, mean_only: bool = False) -> None:
    """Accept a strategy that needs only the mean.

    Args:
        inner: the strategy to wrap.
        mean_only: the caller vouches for a strategy of its own that is none of Flower's.

    Raises:
        StrategyNotSupported: it needs single updates, or nobody vouches for it.
    """
    name = type(inner).__name__
    allowed = ", ".join(kind.__name__ for kind in MEAN_ONLY)
    for kind in type(inner).__mro__:
        if kind in MEAN_ONLY:
            break
        if kind.__name__ in _SINGLE_UPDATES:
            raise StrategyNotSupported(
                f"{name} cannot be aggregated securely: {_SINGLE_UPDATES[kind.__name__]}, and the server "
                f"only ever sees sums. Use one of {allowed}"
            )
    known = isinstance(inner, GradientStep) or any(type(inner) is kind for kind in MEAN_ONLY)
    if not mean_only and not known:
        raise StrategyNotSupported(
            f"{name} is not known to need only the mean. Use one of {allowed}, or pass mean_only=True if "
            "aggregate_train works on a single reply that carries the cohort's weighted mean"
        )
