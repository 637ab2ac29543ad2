"""The templates for a task of one's own: short, and whole as they stand."""

from pathlib import Path

import numpy as np
import pytest

from app.config import RunConfig
from app.own_task import is_own, try_own
from arithmetic.errors import ConfigError


def _try(name: str, data: Path) -> str:
    return try_own(RunConfig.parse({"task": f"examples.{name}", "data-path": str(data), "clients": 3}))


@pytest.mark.parametrize("name", ["my_task", "image_folder", "torch_dataset"])
def test_a_template_has_at_most_forty_lines(repository: Path, name: str) -> None:
    text = (repository / "examples" / f"{name}.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 40


def test_the_template_of_a_table_fills_in_what_is_missing(repository: Path, tmp_path: Path) -> None:
    table = repository / "examples" / "patients.csv"
    assert ",," in table.read_text()
    assert "batch is float32 (32, 4) and int64 (32,)" in _try("my_task", table)


def test_a_table_whose_gaps_are_left_is_refused(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples import my_task

    monkeypatch.setattr(my_task.np, "nan_to_num", lambda values: values)
    with pytest.raises(ConfigError, match=r"input \d+, column \d, counted from 0, is NaN"):
        _try("my_task", repository / "examples" / "patients.csv")


def test_the_template_of_an_image_folder(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(6):
            image.fromarray(np.full((40, 30, 3), 20 * number, dtype=np.uint8)).save(
                tmp_path / name / f"{number}.png"
            )
    assert "batch is float32 (3, 3, 32, 32)" in _try("image_folder", tmp_path)


def test_the_template_of_a_torch_dataset(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(20, 4))
    np.savetxt(tmp_path / "0.csv", rows, delimiter=",")
    assert "16 examples and 4 to judge by" in _try("torch_dataset", tmp_path)
    assert "16 examples and 4 to judge by" in _try("torch_dataset", tmp_path / "0.csv")


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"partition_data of task my_task failed .*/no/such/table.csv"):
        _try("my_task", Path("/no/such/table.csv"))


def test_a_module_that_does_not_travel_is_refused() -> None:
    with pytest.raises(ConfigError, match="would not reach the clients, as tests/ is no part of the app"):
        try_own(RunConfig.parse({"task": "tests.support.tiny_task"}))
    with pytest.raises(ConfigError, match="no task and no module here"):
        try_own(RunConfig.parse({"task": "nowhere.at_all"}))


def test_only_modules_are_tried() -> None:
    assert is_own(RunConfig.parse({"task": "examples.my_task"}))
    assert not is_own(RunConfig.parse({"task": "mnist"}))
    assert not is_own(RunConfig.parse({"task": "examples.my_task", "job": "analytics", "query": "x.toml"}))
