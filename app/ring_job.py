"""The job `ring`: a run whose sums go around the hospitals' ring (docs/paillier.md).

Decides: how a run configuration becomes the ring's settings, and that every run has a key pair of its own, which is
made here and never leaves this process.
Refuses to know: everything that a run under masks does alike (`app.server_app`).
"""

import os
from collections.abc import Callable
from dataclasses import fields
from functools import partial

from paillier.keys import PrivateKey
from strategies.events import Emit
from strategies.paillier_ring import PaillierRing, RingSettings
from strategies.secure_aggregation import SecureAggregation
from strategies.settings import Settings
from wire.ring import MODULUS_BITS


def ring(settings: Settings, bits: int, emit: Emit) -> tuple[RingSettings, Callable[..., SecureAggregation]]:
    """The settings, and what makes the strategy.

    Args:
        settings: of the run, as under masks.
        bits: of the modulus.
        emit: receives `ring_key`: its length, and the digest that nodes may pin (`paillier-key`).

    Raises:
        ParameterError: the ring cannot be run like this.
    """
    private = PrivateKey.generate(os.urandom, bits)
    emit("ring_key", bits=bits, digest=private.public.digest.hex())
    return ring_settings(settings), partial(PaillierRing, private=private)


def ring_settings(settings: Settings) -> RingSettings:
    """The same, for rings.

    Raises:
        ParameterError: the ring cannot be run like this.
    """
    values = {field.name: getattr(settings, field.name) for field in fields(Settings)}
    return RingSettings(**values | {"modulus_bits": MODULUS_BITS})
