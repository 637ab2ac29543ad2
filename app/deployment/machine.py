"""What `doctor` looks at where no kit is named: whether this machine can simulate a run.

Decides: which things are looked at. Refuses to know nodes and servers, and to start anything.
"""

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from app.accelerators import plan
from app.deployment import probe
from app.deployment.doctor import Check
from app.memory import free_gpu_memory, free_memory
from app.phrases import size
from app.superlink import temporary_folder
from arithmetic.errors import SetupError

_NEEDED: Final = ("flwr", "ray", "torch", "numpy", "cryptography", "pydantic")
_LEAST_ROOM: Final = 1 << 30
_MANY: Final = 100_000


def machine_checks(runs_dir: Path) -> Iterator[Check]:
    """Everything that a simulated run needs."""
    yield "Python", _python
    yield "packages", _packages
    yield "memory", _memory
    yield "GPU", _gpu
    yield "disk", lambda: _disk(runs_dir)
    yield "temporary files", lambda: _disk(temporary_folder())
    yield "loopback", _loopback
    yield "network", lambda: "not needed: nothing is downloaded while a run goes on"


def _python() -> str:
    if sys.version_info < (3, 11):  # noqa: UP036 - a person may call it with any interpreter
        raise SetupError("Python is older than 3.11; install a newer one and run scripts/run again")
    return sys.version.split()[0]


def _packages() -> str:
    found = []
    for package in _NEEDED:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            raise SetupError(f"{package} is not installed; scripts/run installs what is needed") from None
    return ", ".join(found)


def _memory() -> str:
    free, workers = free_memory(), plan("cpu", _MANY)
    known = "the system does not say" if free is None else f"{size(free)} free"
    return f"{known}; {workers.cores} clients work at once" + (f" ({workers.limit})" if workers.limit else "")


def _gpu() -> str:
    workers, free = plan("auto", _MANY), free_gpu_memory()
    if not workers.gpus:
        return "none; clients train on the CPU (--gpu auto takes one where there is one)"
    room = ", ".join(size(each) for each in free) or "memory unknown"
    return f"{workers.gpus} visible ({room} free), {workers.gpu_share:g} of one for each client at work"


def _disk(folder: Path) -> str:
    here = folder.absolute()
    while not here.exists():
        here = here.parent
    free = shutil.disk_usage(here).free
    if not os.access(here, os.W_OK):
        raise SetupError(f"{here} cannot be written; name another place with --runs-dir, or set TMPDIR")
    if free < _LEAST_ROOM:
        raise SetupError(f"only {size(free)} are free in {here}; scripts/chorus clean says what can go")
    return f"{size(free)} free in {here}"


def _loopback() -> str:
    probe.check_free("127.0.0.1", 0)
    return "ports of 127.0.0.1 can be taken"
