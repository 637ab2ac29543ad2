"""GPUs are shared so that every worker fits, and asked for so that a missing one is an error."""

import pytest

from app import accelerators
from app.accelerators import plan, share
from arithmetic.errors import SetupError


@pytest.mark.parametrize("workers", range(1, 40))
@pytest.mark.parametrize("gpus", range(1, 9))
def test_all_workers_fit_although_none_is_split_over_two_gpus(workers: int, gpus: int) -> None:
    part = share(workers, gpus)
    assert 0 < part <= 1
    assert gpus * int(1 / part) >= workers


def test_without_a_gpu_there_is_no_share() -> None:
    assert share(4, 0) == 0.0


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "_listed_gpus", lambda: 4)
    monkeypatch.setattr(accelerators, "_cores", lambda: 8)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.usefixtures("four_gpus")
def test_a_plan_names_everything_flower_must_be_told() -> None:
    assert plan("auto", 10).federation == (
        "client-resources-num-cpus=1",
        "client-resources-num-gpus=0.5",
        "init-args-num-cpus=8",
        "init-args-num-gpus=4",
    )
    assert plan("auto", 3).cores == 3, "never more workers than clients"
    assert plan("cpu", 10).gpus == plan("mps", 10).gpus == 0


@pytest.mark.usefixtures("four_gpus")
def test_hidden_gpus_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for visible, count in (("0,2", 2), ("", 0), ("-1", 0), ("GPU-1f", 1)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert plan("auto", 10).gpus == count


@pytest.mark.usefixtures("four_gpus")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    plan("cuda:3", 10)
    with pytest.raises(SetupError, match=r"cuda:4.*4 GPUs found"):
        plan("cuda:4", 10)


@pytest.mark.usefixtures("four_gpus")
def test_no_more_clients_work_at_once_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "free_gpu_memory", lambda: [80 << 30] * 4)
    monkeypatch.setattr(accelerators, "free_memory", lambda: 2 << 30)
    found = plan("auto", 10)
    assert (found.cores, found.limit) == (3, "3 of 8 clients work at once: the free memory holds no more")
    monkeypatch.setattr(accelerators, "free_memory", lambda: 10 << 20)
    assert plan("cpu", 10).cores == 1, "one always"
    monkeypatch.setattr(accelerators, "free_memory", lambda: None)
    assert (plan("cpu", 10).cores, plan("cpu", 10).limit) == (8, "")


@pytest.mark.usefixtures("four_gpus")
def test_the_fullest_gpu_limits_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray spreads clients evenly, so the GPU with the least room counts for each."""
    monkeypatch.setattr(accelerators, "free_memory", lambda: None)
    monkeypatch.setattr(accelerators, "free_gpu_memory", lambda: [80 << 30] * 3 + [2 << 30])
    found = plan("cuda", 10)
    assert (found.cores, found.gpu_share) == (4, 1.0)
    assert "GPU memory" in found.limit
