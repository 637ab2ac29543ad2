"""The task interface: lookup, refusals that name the fix, and a task of a dozen lines."""

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from arithmetic.errors import ConfigError
from clients.tasks import BUILT_IN, DataSource, Task, length_of, load_task
from clients.training import TrainingConfig, evaluate, train

SHORT = """
    import numpy as np
    from torch import nn

    from clients.tasks import DataSource
    from clients.tasks.classification import ClassificationTask, Examples


    class Signs(ClassificationTask):
        name = "signs"

        def network(self) -> nn.Module:
            return nn.Linear(2, 2)

        def load(self, source: DataSource) -> Examples:
            inputs = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
            return Examples(inputs, (inputs[:, 0] > 0).astype(np.int64))


    TASK = Signs()
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """Write a module into a package of its own and give its dotted path."""
    package = f"package_{abs(hash(request.node.name)):x}"
    monkeypatch.syspath_prepend(str(tmp_path))

    def module(text: str) -> str:
        (tmp_path / package).mkdir()
        (tmp_path / package / "mine.py").write_text(textwrap.dedent(text))
        return f"{package}.mine"

    return module


def test_importing_the_interface_does_not_import_torch() -> None:
    code = "import sys, clients.tasks; sys.exit('torch' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_tasks_are_found(name: str) -> None:
    task = load_task(name)
    assert isinstance(task, Task)
    assert task.name == name


def test_a_dozen_lines_make_a_task(write: Any) -> None:
    task = load_task(write(SHORT))
    source = DataSource(partition_id=1, num_partitions=3)
    data = task.partition_data(source, 0.2, 0)
    assert (length_of(data.train), length_of(data.validation)) == (16, 4)
    assert task.test_data(source) is None
    model, cpu = task.model(0), torch.device("cpu")
    train(task, model, data.train, TrainingConfig(20, 4), cpu, 1, 1)
    report = evaluate(task, model, data.validation, cpu)
    assert report.metric_sums["accuracy"] >= 3


def test_model_is_by_seed_and_leaves_the_global_stream_alone(write: Any) -> None:
    task = load_task(write(SHORT))
    state = torch.random.get_rng_state()
    one, two, other = (task.model(seed).get_parameter("weight") for seed in (2**63 - 1, 2**63 - 1, 0))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)
    assert torch.equal(state, torch.random.get_rng_state())


def test_partitions_cover_the_pool_once_and_a_supernode_has_all_of_its_folder(write: Any) -> None:
    task = load_task(write(SHORT))

    def rows(source: DataSource) -> list[bytes]:
        data = task.partition_data(source, 0.25, 0)
        both = (data.train, data.validation)
        assert all(isinstance(part, TensorDataset) for part in both)
        return [row.numpy().tobytes() for part in both for row, _ in part]  # type: ignore[attr-defined]

    whole = rows(DataSource(data_path="somewhere"))
    parts = [rows(DataSource(partition_id=i, num_partitions=4)) for i in range(4)]
    assert sorted(row for part in parts for row in part) == sorted(whole)
    assert len(set(whole)) == 60


@pytest.mark.parametrize("name", ["digit", "DIGITS", "dgits"])
def test_unknown_name_names_the_nearest(name: str) -> None:
    near = "; did you mean digits" if name != "DIGITS" else "digits, mnist"
    with pytest.raises(ConfigError, match=near):
        load_task(name)


@pytest.mark.parametrize(
    "name", ["", ".", "..x", "no.such.module", "clients.tasks.none", "a/b", "os;x", "x y", "json.x.y"]
)
def test_names_that_lead_nowhere_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="defines TASK"):
        load_task(name)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("x = 1", r"end it with `TASK = MyTask\(\)`"),
        (SHORT.replace("TASK = Signs()", "TASK = Signs"), r"TASK = Signs\(\)"),
        (SHORT.replace('name = "signs"', 'name = ""'), "set `name"),
        (SHORT.replace('name = "signs"', 'name = "s"; metric_names = "accuracy"'), "metric_names"),
        (SHORT.replace('name = "signs"', 'name = "s"; metric_names = ("loss",)'), "metric_names"),
        (SHORT.replace('name = "signs"', 'name = "s"; metric_names = ("a", "a")'), "repeats"),
        (SHORT.replace('name = "signs"', 'name = "s"; loss = None'), "def loss"),
        (SHORT + "\n    TASK.loss = lambda: 0\n", r"write `def loss\(self, model, batch\)`"),
        ("TASK = 3", "has no name"),
        ("class T:\n  name = 't'\n  metric_names = ()\nTASK = T()", r"add `def model\(self, seed\)`"),
        ("import no_such_library", "fails to import .ModuleNotFoundError: No module named"),
        ("raise ValueError('a\\nb')", "ValueError: a b"),
        ("def broken(:", "SyntaxError"),
    ],
)
def test_a_broken_module_is_told_the_fix(write: Any, text: str, fix: str) -> None:
    name = write(text)
    with pytest.raises(ConfigError, match=fix) as caught:
        load_task(name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_base_class_names_what_is_missing(write: Any) -> None:
    name = write(SHORT.replace("def network", "def other"))
    with pytest.raises(NotImplementedError, match="network"):
        load_task(name).model(0)


@pytest.mark.parametrize(
    "change",
    [
        {"partition_id": 3, "num_partitions": 3},
        {"partition_id": -1},
        {"num_partitions": 0},
        {"partition": "dirichet"},
        {"dirichlet_alpha": 0.0},
        {"dirichlet_alpha": float("nan")},
    ],
)
def test_sources_that_cannot_be_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        DataSource(**change)


def test_evaluate_batch_sums(write: Any) -> None:
    task = load_task(write(SHORT))
    model = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.eye(2))
    batch = (torch.tensor([[9.0, 0.0], [0.0, 9.0], [9.0, 0.0]]), torch.tensor([0, 1, 1]))
    sums = task.evaluate_batch(model, batch)
    assert sums["accuracy"] == 2
    assert sums["loss"] == pytest.approx(3 * float(task.loss(model, batch).detach()), rel=1e-6)
