"""Nanoseconds a draw of integer noise, the stream it is drawn from included.

    python -m bench.discrete_gaussian [--quick] [--json] [--save]

Decides: the scales, and what stands beside them: the exact sampler in rational arithmetic, which a user would pick
instead, and numpy's continuous normal, which is no noise for privacy but what a draw costs at the least.
Refuses to judge: no test looks at a time.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

if not __package__:  # as a script: this folder holds modules named like our packages
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from bench.report import Row, finish, options_of
from privacy.discrete_gaussian import DiscreteGaussian
from secagg.primitives import KEY_BYTES, KeyStream
from tests.support.exact_gaussian import discrete_gaussian

SIGMAS = (1.0, 10.0, 1e3, 1e5)
TARGET = 100
_REPEATS = 5


def rows(quick: bool) -> Iterator[Row]:
    """One row per sigma; the tables are computed before the clock starts, the note says how long that takes."""
    many, few = (1 << 17, 20) if quick else (1 << 20, 2000)
    generator = np.random.default_rng()
    floor = _nanoseconds(partial(generator.standard_normal, many), many)
    for sigma in SIGMAS:
        noise = DiscreteGaussian(sigma)
        started = time.process_time()
        noise.draw(1, _stream())
        tables = 1e3 * (time.process_time() - started)
        ours = _nanoseconds(partial(noise.draw, many, _stream()), many)
        peer = _nanoseconds(partial(_exact, sigma, few), few)
        note = f"target {TARGET}, floor {floor:.3g} (numpy's normal), tables once {tables:.3g} ms"
        yield Row(f"draw sigma={sigma:g}", ours, peer, "ns", note)


def _exact(sigma: float, count: int) -> None:
    uniform = _stream()
    for _ in range(count):
        discrete_gaussian(sigma, uniform)


def _stream() -> Callable[[int], bytes]:
    return KeyStream(os.urandom(KEY_BYTES)).read


def _nanoseconds(work: Callable[[], object], count: int) -> float:
    """Processor time per draw, the best of a few repeats."""
    best = float("inf")
    for _ in range(_REPEATS):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return 1e9 * best / count


if __name__ == "__main__":
    options = options_of("Time of the integer noise.").parse_args()
    finish("discrete_gaussian", rows(options.quick), options)
