"""Choosing a device: sharing, and refusals that say what to do."""

import pytest
import torch

from arithmetic.errors import ConfigError, ParameterError, SetupError
from clients.device import choose_device


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, gpus=0, mps=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def see(monkeypatch: pytest.MonkeyPatch, gpus: int, mps: bool = False) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("gpus", "mps", "setting", "worker", "expected"),
    [
        (0, False, "auto", 3, "cpu"),
        (0, True, "auto", 3, "mps"),
        (2, True, "auto", 3, "cuda:1"),
        (2, False, "cuda", 4, "cuda:0"),
        (3, False, "cuda", 5, "cuda:2"),
        (3, False, "cuda:1", 5, "cuda:1"),
        (3, True, "cpu", 5, "cpu"),
        (1, True, "mps", 5, "mps"),
    ],
)
def test_choice(
    monkeypatch: pytest.MonkeyPatch, gpus: int, mps: bool, setting: str, worker: int, expected: str
) -> None:
    see(monkeypatch, gpus, mps)
    assert choose_device(setting, worker) == torch.device(expected)


def test_gpus_are_shared_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, gpus=4)
    for setting in ("auto", "cuda"):
        used = [choose_device(setting, worker).index for worker in range(12)]
        assert all(used.count(gpu) == 3 for gpu in range(4))


@pytest.mark.parametrize("setting", ["cuda", "cuda:0"])
def test_cuda_not_seen_says_how_to_give_one(setting: str) -> None:
    with pytest.raises(SetupError) as caught:
        choose_device(setting, 0)
    for word in ("client-resources-num-gpus", "--federation-config", "scripts/run", "device=auto"):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.code == "ENV"


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_empty_visible_devices_blames_the_share(monkeypatch: pytest.MonkeyPatch, hidden: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    with pytest.raises(SetupError, match="Flower gave this client 0 GPUs"):
        choose_device("cuda", 0)


def test_torch_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    with pytest.raises(SetupError, match="built without CUDA"):
        choose_device("cuda", 0)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(SetupError, match="sees no GPU"):
        choose_device("cuda", 0)


def test_gpu_out_of_range_names_the_ones_there(monkeypatch: pytest.MonkeyPatch) -> None:
    see(monkeypatch, gpus=2)
    with pytest.raises(SetupError, match="cuda:0, cuda:1"):
        choose_device("cuda:2", 0)


def test_mps_not_seen_is_refused() -> None:
    with pytest.raises(SetupError, match="mps"):
        choose_device("mps", 0)


@pytest.mark.parametrize("setting", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cuda:1 ", "cuda:٣"])
def test_unknown_setting_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match="auto, cpu, cuda, cuda:N, mps"):
        choose_device(setting, 0)


def test_unknown_setting_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean cuda"):
        choose_device("cudaa", 0)


def test_negative_worker_is_refused() -> None:
    with pytest.raises(ParameterError):
        choose_device("auto", -1)
