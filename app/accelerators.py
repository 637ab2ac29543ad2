"""How simulated clients share the GPUs of this machine, found without importing torch.

Flower gives a simulated client no GPU unless told, and then hides all of them: a GPU machine would
train on its CPU without a word. This module decides how many clients work at once, never more than memory holds, and
which part of a GPU each one gets; it refuses to know what they train.
"""

import math
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.memory import free_gpu_memory, free_memory
from arithmetic.errors import SetupError

_NO_GPU: Final = (
    "device = {device!r} needs a GPU that this machine does not show ({found}); "
    "use --gpu auto or -c device=cpu, or run where `nvidia-smi -L` lists it"
)
# A worker is a process with torch and Ray in it: 0.4 GB before it has data; on a GPU a context of its own beside that.
_A_WORKER: Final = 600 << 20
_ON_A_GPU: Final = 1536 << 20


class NoGpu(SetupError):
    """A GPU was asked for that this machine does not show."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Simulated clients at work at once, one core each, and the part of a GPU for each.

    Attributes:
        limit: why there are fewer than cores and clients allow, as a sentence; empty where there are not.
    """

    cores: int
    gpus: int
    gpu_share: float
    limit: str = ""

    @property
    def federation(self) -> tuple[str, ...]:
        """The words of Flower's `--federation-config`, without the number of clients."""
        return (
            "client-resources-num-cpus=1",
            f"client-resources-num-gpus={self.gpu_share}",
            f"init-args-num-cpus={self.cores}",
            f"init-args-num-gpus={self.gpus}",
        )


def plan(device: str, clients: int) -> Workers:
    """Share cores and GPUs out.

    Args:
        device: the checked key `device`.
        clients: simulated clients.

    Raises:
        NoGpu: `cuda` or `cuda:N` was asked for and is not here.
    """
    cores, limit = _fitting(min(_cores(), clients), _room(free_memory(), _A_WORKER), "memory")
    if device in ("cpu", "mps"):
        return Workers(cores, 0, 0.0, limit)
    gpus = _visible_gpus(os.environ)
    wanted = int(device.partition(":")[2] or 0) + 1 if device.startswith("cuda") else 0
    if gpus < wanted:
        found = f"{gpus} GPU{'' if gpus == 1 else 's'} found"
        raise NoGpu(_NO_GPU.format(device=device, found=found))
    room = [max(1, free // _ON_A_GPU) for free in free_gpu_memory()[:gpus]]
    if gpus and len(room) == gpus:
        cores, tight = _fitting(cores, min(room) * gpus, "GPU memory")
        limit = tight or limit
    return Workers(cores, gpus, share(cores, gpus), limit)


def _room(free: int | None, each: int) -> int | None:
    return None if free is None else max(1, free // each)


def _fitting(workers: int, room: int | None, what: str) -> tuple[int, str]:
    """As many workers as there is room for, and the sentence where that is fewer."""
    if room is None or workers <= room:
        return workers, ""
    return room, f"{room} of {workers} clients work at once: the free {what} holds no more"


def share(workers: int, gpus: int) -> float:
    """Part of one GPU for each worker, such that all fit at once; 0 without a GPU.

    Ray never splits one client over two GPUs and counts in steps of 1e-4, so the part is rounded
    down from one over the most crowded GPU: 16 workers on 3 GPUs get 0.1666, not 0.1875, of which
    only 15 would fit.
    """
    if gpus == 0:
        return 0.0
    return math.floor(10_000 / math.ceil(workers / gpus)) / 10_000


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _visible_gpus(environment: Mapping[str, str]) -> int:
    found = _listed_gpus()
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    return min(found, len([name for name in visible.split(",") if name.strip() not in ("", "-1")]))


def _listed_gpus() -> int:
    try:
        answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        # A container may have the devices without the tool.
        return len(list(Path("/dev").glob("nvidia[0-9]*")))
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())
