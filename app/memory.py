"""How much memory is free here: of the machine (or of the container that this is), and of each GPU.

Decides: that what cannot be read is unknown, not zero. Refuses to know what the memory is for.
"""

import subprocess
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
_CGROUP: Final = Path("/sys/fs/cgroup")


def free_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = _CGROUP) -> int | None:
    """Bytes that new processes can have; None where the system does not say."""
    known = [each for each in (_of_machine(meminfo), _of_container(cgroup)) if each is not None]
    return min(known, default=None)


def free_gpu_memory() -> list[int]:
    """Free bytes of each GPU that the driver lists; empty where it lists none or cannot be asked."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [int(line) * MIB for line in answer.stdout.split() if line.isdigit()]


def _of_machine(meminfo: Path) -> int | None:
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("MemAvailable:")]
    return int(found[0][1]) * 1024 if found else None


def _of_container(cgroup: Path) -> int | None:
    """What a cgroup (version 2) has left; its file cache counts as free, as the kernel gives it back."""
    try:
        most, used = (cgroup / "memory.max").read_text().strip(), (cgroup / "memory.current").read_text()
        table = dict(line.split(maxsplit=1) for line in (cgroup / "memory.stat").read_text().splitlines())
        cache = int(table.get("inactive_file", "0")) + int(table.get("active_file", "0"))
    except (OSError, ValueError):
        return None
    return max(int(most) - int(used) + cache, 0) if most.isdigit() else None
