"""What the server receives of one simulated client, beside what that client had: two histograms, in a file.

Decides: that this is shown of a simulated client alone (the first), of its first masked vector, and as counts; a real
node that a run asks for it refuses to take part.
Refuses to know: keys and masks; it looks at the vector before and at the message after.
"""

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from arithmetic.packing import Packed, add_packed
from arithmetic.residues import Words, to_signed, zeros
from secagg.errors import Refused

FILE: Final = "demonstration.json"
KEY: Final = "demonstration"
_BINS: Final = 48
_SHOWN: Final = 0  # the partition of the client that is shown


def check(run_config: Mapping[str, object], simulated: bool) -> None:
    """Refuse to be shown where this is no simulation.

    Raises:
        Refused: a real node was asked.
    """
    if run_config.get(KEY) and not simulated:
        raise Refused(
            "the run asks to show what a client masks (demonstration), which a simulation may and a node never does; "
            "leave the key out"
        )


class Demonstration:
    """Of one vector; nothing where it is not asked for.

    Args:
        run_config: of the run; `demonstration` asks for it and `run-dir` says where it is written.
        simulated: whether this is one of many clients on one machine.
        partition: of the client.
        vector: the tensor part before masking, residues of shape (d,); copied.
        bits: b of the modulus 2^b.
    """

    def __init__(
        self, run_config: Mapping[str, object], simulated: bool, partition: int, vector: Words, bits: int
    ) -> None:
        folder, self._bits = run_config.get("run-dir", ""), bits
        wanted = simulated and run_config.get(KEY) is True and partition == _SHOWN and vector.size > 0
        self._path = Path(folder) / FILE if wanted and isinstance(folder, str) and folder else None
        if self._path is not None and (self._path.exists() or not self._path.parent.is_dir()):
            self._path = None
        self._true = to_signed(vector, bits) if self._path is not None else None

    def masked(self, message: Packed, server_round: int) -> None:
        """The same vector as it leaves, packed: write both histograms."""
        if self._path is None or self._true is None:
            return
        words = zeros(len(self._true), self._bits)
        add_packed(words, message, self._bits)
        received, half = to_signed(words, self._bits), float(2 ** (self._bits - 1))
        low, high = float(self._true.min()), float(self._true.max() + 1)
        shown = {
            "client": _SHOWN,
            "server_round": server_round,
            "entries": len(self._true),
            "modulus_bits": self._bits,
            "before": _counted(self._true, low, high),
            "received": _counted(received, -half, half),
            "correlation": _correlation(self._true, received),
        }
        # What cannot be written costs the demonstration, not the client's part in the session.
        with contextlib.suppress(OSError):
            self._path.write_text(json.dumps(shown) + "\n", encoding="utf-8")


def _counted(values: npt.NDArray[Any], low: float, high: float) -> dict[str, object]:
    counts, _ = np.histogram(values.astype(np.float64), bins=_BINS, range=(low, high))
    return {"low": low, "high": high, "counts": counts.tolist()}


def _correlation(before: npt.NDArray[np.int64], received: npt.NDArray[np.int64]) -> float:
    """Pearson's, 0 where the vector is constant."""
    if len(before) < 2 or before.min() == before.max():
        return 0.0
    return float(np.corrcoef(before.astype(np.float64), received.astype(np.float64))[0, 1])
