"""`config show` and `config check`."""

import json

import pytest

from app.asking import device_of
from app.config import FIELDS, RunConfig
from arithmetic.errors import ConfigError
from tests.app.commands.conftest import Type


def test_show_lists_every_setting(chorus: Type) -> None:
    done = chorus("config", "show")
    assert [
        line.split(" = ")[0] for line in done.out.splitlines() if " = " in line and line[0] != " "
    ] == list(FIELDS)
    assert chorus("keys").out == done.out, "as it was called before"
    table = json.loads(chorus("config", "show", "--json").out)["settings"]
    assert list(table) == list(FIELDS)
    assert table["rounds"] == {
        "default": 10,
        "takes": "a whole number from 1 to 100000",
        "description": "server rounds",
    }


def test_check_says_what_is_not_the_default_and_what_it_would_cost(chorus: Type) -> None:
    done = chorus("config", "check", "-c", "rounds=3", "--gpu", "none")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[:2] == ["rounds = 3", 'device = "cpu"']
    assert lines[2].startswith(
        "expected: 3 trips a round; a client sends 31.7 kB and receives 42.1 kB a round; "
    )
    assert lines[3] == "good: a run can start with these settings"
    told = json.loads(chorus("config", "check", "-c", "rounds=3", "--json").out)
    assert told["changed"] == {"rounds": 3}
    assert RunConfig.parse(told["config"]).rounds == 3
    assert told["expected"]["trips"] == 3


@pytest.mark.parametrize(
    ("gpu", "device"),
    [("auto", "auto"), ("none", "cpu"), ("all", "cuda"), ("0", "cuda:0"), ("12", "cuda:12")],
)
def test_gpu_is_a_word_for_the_device(gpu: str, device: str) -> None:
    assert device_of(gpu) == device
    RunConfig.parse({"device": device})


@pytest.mark.parametrize("gpu", ["", "cuda", "-1", "²", "auto "])
def test_any_other_word_is_refused(gpu: str) -> None:
    with pytest.raises(ConfigError, match="is none of auto, none, all"):
        device_of(gpu)
