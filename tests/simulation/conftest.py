"""Real Flower simulations, started as a user starts them."""

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.launched import ROOT, Finished, run

PACKAGES = ("app", "strategies", "clients", "wire", "paillier", "secagg", "privacy", "arithmetic", "examples")


@pytest.fixture(scope="session")
def dropped_run(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """`scripts/run` with three clients that vanish at r2 of the second of four server rounds."""
    runs = tmp_path_factory.mktemp("runs")
    return run(["scripts/run", "-c", "rounds=4", "--drop", "3@r2:round2"], runs)


@pytest.fixture(scope="session")
def recorded_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    """A run of the same code with a recorder on both sides; the folder holds what they wrote."""
    tree, record = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("record")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("recorded_server.py", "recorded_client.py"):
        text = (Path(__file__).parent / "recorded" / name).read_text().replace("@FOLDER@", str(record))
        (tree / "app" / name).write_text(text)
    for name in ("LICENSE", "README.md"):
        shutil.copy(ROOT / name, tree / name)
    pyproject = (ROOT / "pyproject.toml").read_text()
    for side in ("server", "client"):
        pyproject = pyproject.replace(f"app.{side}_app:app", f"app.recorded_{side}:app")
    (tree / "pyproject.toml").write_text(pyproject)
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tree)!r}); "
               "from app.cli import main; sys.exit(main())", "run"]  # fmt: skip
    settings = ["-c", "rounds=3", "-c", "clients=6", "--drop", "1@r1:round2,2@r2:round2"]
    settings += ["-c", "threshold=3"]
    return run([*command, *settings], tmp_path_factory.mktemp("runs"), tree), record
