"""The run configuration refuses in one line: threats.md 76 and 77, over every key there is."""

import math
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt

from app.config import FIELDS, RunConfig, allowed, defaults, parse_overrides
from arithmetic.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


def kind(key: str) -> object:
    annotation = FIELDS[key].annotation
    if get_origin(annotation) is Literal:
        return type(get_args(annotation)[0])
    return annotation


def keys_of(wanted: object) -> list[str]:
    return [key for key in FIELDS if kind(key) is wanted]


NUMBERS = [*keys_of(int), *keys_of(float)]


def refusal(mapping: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        RunConfig.parse(mapping)
    line = str(caught.value)
    assert "\n" not in line
    assert line.isprintable()
    assert len(line) < 400
    for jargon in ("pydantic", "validation error", "input_value", "Traceback", "strict"):
        assert jargon not in line
    return line


def test_defaults_equal_the_table_of_pyproject() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    table = pyproject["tool"]["flwr"]["app"]["config"]
    assert table == defaults()
    assert list(table) == list(FIELDS)
    assert {k: type(v) for k, v in table.items()} == {k: type(v) for k, v in defaults().items()}


def test_an_empty_mapping_gives_the_defaults_and_parsing_keeps_a_table() -> None:
    assert RunConfig.parse({}) == RunConfig()
    assert RunConfig.parse(defaults()).table() == defaults()


def test_every_key_is_described_in_one_line() -> None:
    for key, field in FIELDS.items():
        assert field.description, key
        assert "\n" not in field.description
        assert allowed(key)


def test_the_configuration_is_frozen() -> None:
    config = RunConfig.parse({})
    with pytest.raises(ValueError, match="frozen"):
        config.rounds = 3  # type: ignore[misc]


@pytest.mark.parametrize("key", FIELDS)
def test_a_misspelt_key_names_its_nearest_neighbour(key: str) -> None:
    for wrong in (key[:-1] + "x", key + "s", key.upper(), key.replace("-", "_") + "_"):
        if wrong in FIELDS:
            continue
        line = refusal({wrong: defaults()[key]})
        assert "Unknown setting" in line
        assert f'Did you mean "{key}"?' in line


def test_snake_case_is_not_a_key() -> None:
    assert '"local-epochs"' in refusal({"local_epochs": 2})


def test_a_key_that_is_no_text_or_not_printable_is_refused_on_one_line() -> None:
    refusal({"rounds\n\x1b[2J": 3})
    refusal({3: 3})  # type: ignore[dict-item]


WRONG = [True, False, 1, 0, -1, 1.5, "1e-5", "text \n", "", None, [], [1], {}, {"a": 1}, b"x"]


@pytest.mark.parametrize("key", FIELDS)
@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_value_of_the_wrong_type_names_key_value_and_range(key: str, value: object) -> None:
    wanted = kind(key)
    fits = type(value) is wanted or (wanted is float and type(value) is int)
    if fits:
        return
    line = refusal({key: value})
    assert line.startswith(f"{key} = ")
    assert allowed(key) in line


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_nan_and_infinity_are_refused(key: str, value: float) -> None:
    assert str(value) in refusal({key: value})


@pytest.mark.parametrize("key", [k for k in NUMBERS if FIELDS[k].metadata])
def test_both_ends_of_every_range(key: str) -> None:
    bounds = FIELDS[key].metadata
    step = 1 if kind(key) is int else 1e-9
    lows = [b for b in bounds if isinstance(b, Ge | Gt)]
    highs = [b for b in bounds if isinstance(b, Le | Lt)]
    assert len(lows) == len(highs) == 1, f"{key} has no whole range"
    low: Any = lows[0].ge if isinstance(lows[0], Ge) else lows[0].gt
    high: Any = highs[0].le if isinstance(highs[0], Le) else highs[0].lt
    room: dict[str, Any] = (
        {"clients": 100_000} if key in ("threshold", "neighbours", "min-cohort", "groups") else {}
    )
    room |= {"strategy": "fedprox"} if key == "proximal-mu" else {}
    room |= {"clients": 100_000, "groups": 33_333} if key == "groups-at-once" else {}
    outside = [low - step, high + max(step, high * 1e-15 if step < 1 else 1), -1e300, 1e300]
    inside = []
    (inside if isinstance(lows[0], Ge) else outside).append(low)
    (inside if isinstance(highs[0], Le) else outside).append(high)
    for value in outside:
        line = refusal(room | {key: value})
        assert line.startswith(f"{key} = ")
        assert allowed(key) in line
    for value in inside:
        assert RunConfig.parse(room | {key: value}).table()[key] == value


@pytest.mark.parametrize("key", keys_of(float))
def test_an_integer_stands_for_a_float(key: str) -> None:
    room = {"strategy": "fedprox"} if key == "proximal-mu" else {}
    value = RunConfig.parse(room | {key: 1}).table() if key not in _BELOW_ONE else None
    assert value is None or value[key] == 1.0


_BELOW_ONE = (
    "momentum", "server-momentum", "validation-fraction", "corrupt-fraction", "dropout-fraction", "delta",
    "clipping-quantile",
)  # fmt: skip


def test_proximal_mu_belongs_to_fedprox() -> None:
    assert "needs strategy = fedprox" in refusal({"proximal-mu": 0.1})
    assert RunConfig.parse({"proximal-mu": 0.1, "strategy": "fedprox"}).proximal_mu == 0.1


@pytest.mark.parametrize("mode", ["local", "distributed", "client", "local+client"])
def test_rounding_to_the_nearest_step_is_for_runs_without_noise(mode: str) -> None:
    assert RunConfig.parse({"rounding": "nearest"}).rounding == "nearest"
    assert f"privacy = {mode}" in refusal({"rounding": "nearest", "privacy": mode})


@pytest.mark.parametrize("key", ["strategy", "partition", "rounding"])
def test_choices(key: str) -> None:
    choices = get_args(FIELDS[key].annotation)
    for choice in choices:
        assert RunConfig.parse({key: choice}).table()[key] == choice
    for wrong in (*(f"{choice} " for choice in choices), 20, 24.0, "FEDAVG"):
        line = refusal({key: wrong})
        assert all(str(choice) in line for choice in choices)


def test_the_modulus_has_any_number_of_bits_from_8_to_64() -> None:
    for bits in range(8, 65):
        assert RunConfig.parse({"modulus-bits": bits}).modulus_bits == bits
    for wrong in (7, 65, 24.0, "24", True):
        assert "a whole number from 8 to 64" in refusal({"modulus-bits": wrong})


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:17", "mps"])
def test_devices(device: str) -> None:
    assert RunConfig.parse({"device": device}).device == device


@pytest.mark.parametrize(
    "device", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:01", "cuda:x", "cpu\n", "cuda:٣"]
)
def test_no_devices(device: str) -> None:
    assert "cuda:N" in refusal({"device": device})


def test_tasks() -> None:
    assert RunConfig.parse({"task": "my_package.tasks.faces"}).task == "my_package.tasks.faces"
    for task in ("", "a b", "../x", "a..b", ".a", "a.", "1a", "digits\n", "a/b"):
        assert "dotted module path" in refusal({"task": task})


def test_a_bad_drop_is_refused_when_the_configuration_is_read() -> None:
    assert "2@r2:round3" in refusal({"drop": "2@r5:round1"})


def test_a_drop_at_r3_needs_a_session_that_has_one() -> None:
    assert "adversary = active" in refusal({"drop": "2@r3:round1"})
    assert RunConfig.parse({"drop": "2@r3:round1", "adversary": "active"}).drop == "2@r3:round1"


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"clients": 5, "threshold": 6}, ("threshold = 6", "clients = 5", "at most 5")),
        ({"clients": 3, "min-cohort": 4}, ("min-cohort = 4", "clients = 3", "at most 3")),
        ({"clients": 5, "neighbours": 5}, ("neighbours = 5", "clients = 5", "at most 4")),
        ({"clients": 12, "groups": 5}, ("groups = 5", "clients = 12", "at most 4")),
        ({"clients": 12, "groups-at-once": 2}, ("groups-at-once = 2", "clients = 12", "at most groups = 1")),
    ],
)
def test_keys_that_cannot_work_together(mapping: dict[str, int], words: tuple[str, ...]) -> None:
    line = refusal(mapping)
    assert all(word in line for word in words)
    tightest = {k: v - (k != "clients") for k, v in mapping.items()}
    RunConfig.parse(tightest)


def test_a_huge_integer_is_not_printed_in_full() -> None:
    assert "bits" in refusal({"rounds": 10**5000})


def test_overrides_are_toml_values_and_bare_words() -> None:
    texts = ["task=mnist", 'strategy="fedprox"', "learning-rate=1e-3", "rounds = 3"]
    texts += ["central-test=false", "data-path=/a b/c=d", "drop=2@r2:round3", "seed=1", "seed=2"]
    assert parse_overrides(texts) == {
        "task": "mnist",
        "strategy": "fedprox",
        "learning-rate": 1e-3,
        "rounds": 3,
        "central-test": False,
        "data-path": "/a b/c=d",
        "drop": "2@r2:round3",
        "seed": 2,
    }


def test_a_text_key_takes_what_looks_like_a_number() -> None:
    assert parse_overrides(["data-path=2024", "run-dir="]) == {"data-path": "2024", "run-dir": ""}


@pytest.mark.parametrize(
    "text",
    ["rounds", "=3", "rounds=", "rounds=three", "rounds=1\nseed=2", "rounds=[", "learnin-rate=1"],
)
def test_bad_overrides(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_overrides([text])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["rounds=true", 'rounds="3"', "rounds=1979-05-27", "rounds=nan"])
def test_overrides_of_the_wrong_type_are_refused_by_the_configuration(text: str) -> None:
    with pytest.raises(ConfigError, match="rounds = "):
        RunConfig.parse(parse_overrides([text]))


def test_the_launcher_imports_neither_torch_nor_flower_nor_ray() -> None:
    code = (
        "import sys, app.cli\n"
        "print([m for m in ('torch', 'flwr', 'ray', 'numpy', 'sklearn') if m in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_a_file_of_keys_counts_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('# a comment\njob = "gradients"\nrounds = 7\nbatch-size = 64\n')
    found = parse_overrides(["rounds=3", str(path), "batch-size=16"])
    assert found == {"job": "gradients", "rounds": 7, "batch-size": 16}
    RunConfig.parse(found)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "cannot be read"), (b"rounds = = 3", "is no TOML"), (b"\xff\xfe", "is no TOML"),
     (b"round = 3", "Did you mean \"rounds\"?"), (b"[rounds]\nx = 1", None)],
)  # fmt: skip
def test_a_file_that_holds_something_else_is_refused_in_one_line(
    content: bytes | None, said: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "mine.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said) as caught:
        RunConfig.parse(parse_overrides([str(path)]))
    assert "\n" not in caught.value.line


def test_a_query_and_its_job_go_together() -> None:
    assert RunConfig.parse({"job": "analytics", "query": "q.toml"}).query == "q.toml"
    for mapping in ({"job": "analytics"}, {"query": "q.toml"}, {"job": "train", "query": "q.toml"}):
        assert "job = analytics and query go together" in refusal(mapping)
    assert "partition" in refusal({"job": "analytics", "query": "q.toml", "partition": "dirichlet"})
    assert "query" in refusal({"job": "analytics", "query": "q\n.toml"})


def test_a_query_is_read_before_anything_is_started(tmp_path: Path) -> None:
    path = tmp_path / "q.toml"
    path.write_text('table = "iris"\n[[statistics]]\nkind = "median"\n')
    command = [sys.executable, "-m", "app", "run", "-c", "job=analytics", "-c", f"query={path}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"CH-C03  query '{path}', line 2: kind is one of count, sum")
    assert len(done.stderr.splitlines()) == 1
