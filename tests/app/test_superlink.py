"""The environment and folders of a run; a SuperLink that cannot start is a typed error."""

import sys
import tempfile
from pathlib import Path

import pytest

from app import superlink
from app.superlink import Home, environment, temporary_home
from arithmetic.errors import SetupError


def test_folders_are_there_for_the_run_only(tmp_path: Path) -> None:
    with temporary_home(tmp_path) as home:
        assert list(home.empty.iterdir()) == []
        assert len(str(home.ray)) < 40, "Ray's sockets need a short path"
        assert home.flower.is_relative_to(tmp_path)
    assert not home.ray.exists()
    assert list(tmp_path.iterdir()) == []
    with temporary_home(tmp_path, keep=True) as home:
        pass
    assert home.flower.exists()
    assert not home.ray.exists()


def test_the_environment_is_quiet_and_leads_into_no_other_tree(tmp_path: Path) -> None:
    home = Home(tmp_path, tmp_path / "empty", tmp_path / "ray")
    base = {"PATH": "/x", "PYTHONPATH": "/y", "FLWR_HOME": "/z", "RAY_ADDRESS": "a", "LANG": "C"}
    env = environment(home, base)
    assert "PYTHONPATH" not in env
    assert "RAY_ADDRESS" not in env
    assert env["LANG"] == "C"
    assert env["FLWR_HOME"] == str(tmp_path)
    assert env["FLWR_TELEMETRY_ENABLED"] == "0"
    assert env["FLWR_DISABLE_UPDATE_CHECK"] == "1"
    assert env["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] == "1"
    assert env["PATH"].split(":")[0] == str(Path(sys.executable).parent)


def test_a_superlink_that_ends_at_once_is_tried_again_and_then_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports: list[int] = []

    def taken(_process: object, port: int) -> bool:
        ports.append(port)
        return False

    class Ended:
        def poll(self) -> int:
            return 1

    monkeypatch.setattr(superlink, "_spawn", lambda *_: Ended())
    monkeypatch.setattr(superlink, "_answers", taken)
    home = Home(tmp_path, tmp_path, tmp_path)
    with pytest.raises(SetupError, match=r"superlink\.log"):
        superlink.start(home, tmp_path / "superlink.log", {})
    assert len(ports) == 3


def test_rays_files_go_where_a_sockets_name_has_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Mac names a long folder; Ray would end with no word of why."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 10)))
    assert superlink.temporary_folder() == Path("/tmp")
    monkeypatch.setattr(tempfile, "tempdir", "/scratch")
    assert superlink.temporary_folder() == Path("/scratch")
