"""What can go wrong above the protocol, on the server."""

from arithmetic.errors import ChorusError, ConfigError


class CohortIncomplete(ChorusError):
    """The nodes awaited did not all connect before the deadline."""

    code = "QUORUM"


class NothingAggregated(ChorusError):
    """No server round of the run could be aggregated: the model never changed."""

    code = "QUORUM"


class LinkLost(ChorusError):
    """The SuperLink stayed away, or refuses its own ServerApp: no server round can go on, and the run ends."""

    code = "ENV"


class RingEnded(ChorusError):
    """A hospital refused what it was shown in the ring; going on without it could cost it its vector."""

    code = "VIEW"


class StrategyNotSupported(ConfigError):
    """A strategy that needs to see single updates; the mean is all there is."""
