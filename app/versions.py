"""What a run is made of: the versions that its event `run_started` carries.

Decides: which packages count. Refuses to import any of them.
"""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

_PACKAGES: Final = ("flwr", "torch", "numpy", "opacus", "dp-accounting", "cryptography")


def versions() -> dict[str, str]:
    """Package -> version, Python's first."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
