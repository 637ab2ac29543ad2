"""What a run asks of its clients in the way of differential privacy: one frozen object, checked when it is made.

Decides: which modes there are, and which numbers each of them needs.
Refuses to know: how noise is added, and what it costs (`privacy.accounting`).
"""

from dataclasses import dataclass
from enum import StrEnum

from arithmetic.errors import ParameterError
from privacy.mechanisms import real, whole


class PrivacyMode(StrEnum):
    """Unit and adversary of the guarantee.

    none: no differential privacy. local: an example, against everyone, by DP-SGD on the client. distributed: an
    example, against the server and the colluders, by shares of integer noise in the masked sum. client: a client's
    whole update, likewise. local+client: both, two guarantees.
    """

    NONE = "none"
    LOCAL = "local"
    DISTRIBUTED = "distributed"
    CLIENT = "client"
    LOCAL_CLIENT = "local+client"

    @property
    def is_local(self) -> bool:
        """Whether clients train by DP-SGD."""
        return self in (PrivacyMode.LOCAL, PrivacyMode.LOCAL_CLIENT)

    @property
    def hides_clients(self) -> bool:
        """Whether a client's whole update is clipped, and noise shares enter the masked sum for it."""
        return self in (PrivacyMode.CLIENT, PrivacyMode.LOCAL_CLIENT)

    @property
    def shares_noise(self) -> bool:
        """Whether the masked sum carries shares of integer noise."""
        return self is PrivacyMode.DISTRIBUTED or self.hides_clients


@dataclass(frozen=True)
class PrivacyTerms:
    """The terms of a run, the same for every client; a number that the mode does not need is not looked at.

    Attributes:
        mode: of the run.
        noise_multiplier: of a step (local, distributed), above 0.
        clipping_norm: of an example's gradient (local, distributed), above 0.
        sampling_probability: with which an example joins a step (distributed), in (0, 1].
        client_noise_multiplier: of a server round (client).
        client_clipping_norm: of a client's update (client).
        clipping_quantile: of updates within the clipping norm, towards which it adapts (client); 0: it is fixed.
        colluders: clients that may work with the server without weakening the noise in the sum.
        epsilon: target of the whole run, from which a client finds its own noise multiplier when that is 0 (local).
        delta: of the guarantee.
        rounds: server rounds of the run.

    Raises:
        ParameterError: a number the mode needs is missing, or none.
    """

    mode: PrivacyMode = PrivacyMode.NONE
    noise_multiplier: float = 0.0
    clipping_norm: float = 0.0
    sampling_probability: float = 0.0
    client_noise_multiplier: float = 0.0
    client_clipping_norm: float = 0.0
    clipping_quantile: float = 0.0
    colluders: int = 0
    epsilon: float = 0.0
    delta: float = 0.0
    rounds: int = 0

    def __post_init__(self) -> None:
        """Refuse terms that would promise privacy without noise."""
        if not isinstance(self.mode, PrivacyMode):
            raise ParameterError(f"privacy = {self.mode!r:.40} is not known; choose {', '.join(PrivacyMode)}")
        whole(self.colluders, "colluders", 0, 2**20)
        if self.mode is PrivacyMode.NONE:
            return
        real(self.delta, "delta", 0.0, 0.5)
        if self.mode.is_local and self.noise_multiplier == 0:
            real(self.epsilon, "epsilon (or noise-multiplier)", 0.0, 1e6)
            whole(self.rounds, "rounds", 1, 2**31)
        elif self.mode.is_local or self.mode is PrivacyMode.DISTRIBUTED:
            real(self.noise_multiplier, "noise-multiplier (or epsilon)", 0.0, 1e6)
        if self.mode.is_local or self.mode is PrivacyMode.DISTRIBUTED:
            real(self.clipping_norm, "clipping-norm", 0.0, 1e6)
        if self.mode is PrivacyMode.DISTRIBUTED:
            real(self.sampling_probability, "sampling-probability", 1e-9, 1.0)
        if self.mode.hides_clients:
            real(self.client_noise_multiplier, "client-noise-multiplier (or epsilon)", 0.0, 1e6)
            real(self.client_clipping_norm, "client-clipping-norm", 0.0, 1e12)
        if self.clipping_quantile:
            real(self.clipping_quantile, "clipping-quantile", 0.0, 1.0 if self.mode.hides_clients else 0.0)
