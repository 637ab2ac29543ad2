"""Choosing the torch device a client trains on.

Decides between cpu, cuda and mps from one setting and the client's number; several GPUs are shared
round-robin. Never falls back in silence: only `auto` may end on the CPU. Refuses to know how Flower
hands out GPUs, but says what to ask it for.
"""

import difflib
import os
import re
from typing import Final

import torch

from arithmetic.errors import ConfigError, ParameterError, SetupError

SETTINGS: Final = ("auto", "cpu", "cuda", "cuda:N", "mps")
_HOW: Final = (
    "in simulation give each client a share of a GPU with "
    "`flwr run . --federation-config 'client-resources-num-gpus=0.5'` or "
    "`scripts/run -c device=cuda`; "
    "on a SuperNode start it where nvidia-smi lists a GPU; or set device=auto"
)


class NoSuchDevice(SetupError):
    """A device that was asked for and is not there; the text says how to give it, and nothing of any data."""

    shareable = True


def choose_device(setting: str, worker: int) -> torch.device:
    """Give the device for `setting`, one of `auto`, `cpu`, `cuda`, `cuda:N`, `mps`.

    `auto` takes cuda, then mps, then cpu. `auto` and `cuda` share the visible GPUs round-robin:
    client `worker` gets GPU number worker mod count.

    Args:
        setting: the run configuration's `device`.
        worker: the client's number, its partition id, >= 0.

    Raises:
        ConfigError: a setting that is none of the five.
        NoSuchDevice: a device that was asked for and is not seen; the message says how to give it.
        ParameterError: a negative worker.
    """
    if worker < 0:
        raise ParameterError(f"worker is {worker}; client numbers start at 0")
    if setting == "auto":
        return _automatic(worker)
    if setting == "cpu":
        return torch.device("cpu")
    if setting == "mps":
        return _mps()
    if setting == "cuda" or re.fullmatch(r"cuda:[0-9]{1,4}", setting):
        return _cuda(setting, worker)
    near = difflib.get_close_matches(setting, SETTINGS, n=1, cutoff=0.3)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise ConfigError(f"device is {setting!r}; choose one of {', '.join(SETTINGS)}{hint}")


def _gpus() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _automatic(worker: int) -> torch.device:
    if gpus := _gpus():
        return torch.device("cuda", worker % gpus)
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _mps() -> torch.device:
    if not torch.backends.mps.is_available():
        raise NoSuchDevice("device is mps but torch sees no Apple GPU here; set device=auto or device=cpu")
    return torch.device("mps")


def _cuda(setting: str, worker: int) -> torch.device:
    gpus = _gpus()
    if not gpus:
        raise NoSuchDevice(f"device is {setting} but {_why_no_gpu()}; {_HOW}")
    if setting == "cuda":
        return torch.device("cuda", worker % gpus)
    number = int(setting.removeprefix("cuda:"))
    if number >= gpus:
        seen = ", ".join(f"cuda:{index}" for index in range(gpus))
        raise NoSuchDevice(f"device is {setting} but this client sees only {seen}; choose one of these")
    return torch.device("cuda", number)


def _why_no_gpu() -> str:
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "Flower gave this client 0 GPUs (CUDA_VISIBLE_DEVICES is empty)"
    if torch.version.cuda is None and torch.version.hip is None:
        return "this torch was built without CUDA (install a CUDA build of torch)"
    return "torch sees no GPU on this machine"
