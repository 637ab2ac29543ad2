"""The policy's file: whatever is not exactly a policy is refused, and lines are counted right."""

import hashlib
import math
import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clients.policy import Policy
from clients.policy_file import KEYS, MOST_BYTES, PolicyUnusable, parse, read
from privacy.mechanisms import Budget

PAGE = Path(__file__).resolve().parents[2] / "docs" / "policy.md"
DIGEST = "0f" * 32
ABOVE = math.inf  # as a bound: there is none

# key -> least and most that are allowed, and the nearest value beyond either.
RANGES: dict[str, tuple[Any, Any, list[Any]]] = {
    "min-cohort": (3, 2**20, [2, 2**20 + 1]),
    "min-threshold": (2, 2**20, [1, 2**20 + 1]),
    "tolerated-colluders": (1, 2**20, [0, 2**20 + 1]),
    "max-epsilon": (5e-324, 1e6, [0.0, math.nextafter(1e6, ABOVE)]),
    "delta": (5e-324, math.nextafter(1.0, 0.0), [0.0, 1.0]),
    "min-noise-multiplier": (5e-324, 1e6, [0.0, math.nextafter(1e6, ABOVE)]),
    "min-colluders": (1, 2**20, [0, 2**20 + 1]),
    "max-parameters": (1, 2**33, [0, 2**33 + 1]),
    "max-parameter-norm": (5e-324, 1.7976931348623157e308, [0.0, -1.0]),
}
LISTS = {"modes": '"local"', "tasks": '"digits"', "layouts": f'"{DIGEST}"'}
NUMBERS = list(RANGES)
WRONG = [
    "true",
    "false",
    '"1e-5"',
    "1979-05-27",
    "[]",
    "{}",
    "[[]]",
    "[1]",
    '""',
    "[true]",
    '[""]',
    '"local"',
]


def refusal(text: str) -> str:
    with pytest.raises(PolicyUnusable) as caught:
        parse(text, "/etc/p.toml")
    assert caught.value.code == "CONFIG"
    assert not caught.value.shareable
    line = str(caught.value)
    assert line.isprintable()
    assert len(line) < 400
    for jargon in ("pydantic", "validation error", "Input", "input_value", "Tuple", "tuple", "None"):
        assert jargon not in line
    return line


def budgeted(key: str, value: object) -> str:
    """The key on line 2, after what it needs beside it."""
    other = {"max-epsilon": "delta = 0.1", "delta": "max-epsilon = 1.0"}.get(key, "")
    return f"{other}\n{key} = {value}"


def test_the_keys_are_these() -> None:
    assert set(KEYS) == {*RANGES, *LISTS, "adversary"}


def test_an_empty_file_is_the_empty_policy() -> None:
    for text in ("", "\n\n", "# nothing\r\n"):
        empty = Policy.parse(text)
        assert (empty.keys, empty.lines, empty.source) == (Policy().keys, {}, "")
        assert empty.digest == hashlib.sha256(text.encode()).hexdigest()
    assert Policy().budget is None


@pytest.mark.parametrize("key", NUMBERS)
def test_both_ends_of_every_range(key: str) -> None:
    least, most, beyond = RANGES[key]
    for value in (least, most):
        keys, lines = parse(budgeted(key, value))
        assert keys.model_dump(by_alias=True)[key] == value
        assert lines[key] == 2
    for value in beyond:
        assert refusal(budgeted(key, value)).startswith(f"policy '/etc/p.toml', line 2: {key} cannot be used")


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "+inf", "-inf"])
def test_nan_and_infinity_are_refused(key: str, value: str) -> None:
    assert f"line 2: {key} cannot be used" in refusal(budgeted(key, value))


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("value", WRONG)
def test_a_value_of_the_wrong_type_is_refused(key: str, value: str) -> None:
    assert f"line 2: {key} cannot be used" in refusal(budgeted(key, value))


@pytest.mark.parametrize("key", [key for key, (least, _, _) in RANGES.items() if isinstance(least, int)])
def test_a_whole_number_is_no_float(key: str) -> None:
    assert "a valid integer" in refusal(budgeted(key, "5.0"))
    assert key in refusal(budgeted(key, "0x" + "f" * 5000))


def test_a_whole_number_stands_for_a_float() -> None:
    assert parse("max-parameter-norm = 5")[0].max_parameter_norm == 5.0


@pytest.mark.parametrize("text", ["Active", "actve", "active ", "ACTIVE"])
def test_an_adversary_is_curious_or_active(text: str) -> None:
    assert "'curious' or 'active'" in refusal(f'adversary = "{text}"')


@pytest.mark.parametrize("item", ['"Local"', '"local,distributed"', '"local "', "1"])
def test_a_mode_is_one_of_five(item: str) -> None:
    line = refusal(f'modes = ["local", {item}]')
    assert all(f"'{mode}'" in line for mode in ("none", "local", "distributed", "client", "local+client"))


@pytest.mark.parametrize("item", [DIGEST.upper(), DIGEST[:-1], DIGEST + "0", DIGEST + "\\n", " " + DIGEST])
def test_a_layout_is_64_hexadecimal_digits(item: str) -> None:
    assert "layouts cannot be used" in refusal(f'layouts = ["{DIGEST}", "{item}"]')


@pytest.mark.parametrize("item", ["", "../x", "a..b", ".a", "1a", "digits\\n", "dígits", "digits "])
def test_a_task_is_a_name(item: str) -> None:
    assert "tasks cannot be used" in refusal(f'tasks = ["digits", "{item}"]')


@pytest.mark.parametrize("key", KEYS)
def test_a_misspelt_key_names_line_and_nearest_key(key: str) -> None:
    for wrong in (key[:-1] + "xx", key + "s", key.upper(), f'"{key} "'):
        line = refusal(f"# first\n\n{wrong} = 1")
        assert "line 3: unknown key" in line
        assert repr(key) in line


def test_snake_case_tables_and_dotted_keys_are_unknown() -> None:
    assert "'min-cohort'" in refusal("min_cohort = 5")
    assert "unknown key 'policy'" in refusal("[policy]\nmin-cohort = 5")
    assert "unknown key 'min'" in refusal("min.cohort = 5")
    assert "line 2: min-cohort cannot be used" in refusal("\n[min-cohort]\na = 1")
    assert "unknown key" in refusal('"min-cohort\\u001b[2J\\n" = 5')


@pytest.mark.parametrize(
    "text",
    [
        "min-cohort = 5\nmin-cohort = 3",
        'min-cohort = 5\n"min-cohort" = 3',
        "min-cohort = 5\nmin-coh",
        "min-cohort =",
        'modes = ["local",',
        'tasks = ["""digits',
        "min-cohort = " + "9" * 5000,
        "modes = " + "[" * 30_000,
        "\x00",
        "\ufeffmin-cohort = 5",
        "min-cohort = 5\rmin-threshold = 3",
        '{"min-cohort": 5}',
    ],
    ids=range(12),
)
def test_torn_or_repeated_is_no_toml(text: str) -> None:
    assert "is no TOML" in refusal(text)


def test_every_cut_of_a_policy_is_refused_or_a_prefix_of_its_keys() -> None:
    """A torn file never means another limit, unless a number itself was cut: then it is the shorter number."""
    text = 'modes = ["local"]\ntasks = ["digits", "mnist"]\nadversary = "active"\n'
    whole = parse(text)[0].model_dump(exclude_none=True)
    for cut in range(len(text)):
        try:
            keys = parse(text[:cut])[0].model_dump(exclude_none=True)
        except PolicyUnusable:
            continue
        assert keys.items() <= whole.items()


@pytest.mark.parametrize(("key", "other"), [("max-epsilon", "delta"), ("delta", "max-epsilon")])
def test_half_a_budget_is_none(key: str, other: str) -> None:
    assert f"line 2: {key} says nothing without {other}" in refusal(f"\n{key} = 0.5")


def test_a_budget() -> None:
    assert Policy.parse("max-epsilon = 8\ndelta = 1e-5").budget == Budget(8.0, 1e-5)


@pytest.mark.parametrize(
    "ruling", ["min-colluders = 1", "min-noise-multiplier = 1", "max-epsilon = 1\ndelta = 0.1"]
)
def test_no_policy_lists_none_and_rules_it_out(ruling: str) -> None:
    line = refusal(f'{ruling}\nmodes = ["none", "local"]')
    assert f"line {2 + ruling.count(chr(10))}: modes lists none, which {ruling.split()[0]} rules out" in line
    parse(f'{ruling}\nmodes = ["local"]')
    parse('min-cohort = 5\nmodes = ["none", "local"]')


# --- lines ------------------------------------------------------------------------------------------------------

STATEMENTS = [
    "min-cohort = 5",
    "'min-threshold' = 4  # min-cohort = 3",
    '"a\\u0064versary" = """\\\n\n   curious"""',
    'modes = [\n  # ] "\n  "local",\n\n "client"]',
    "tasks = [\n'''\ndigits''', \"mnist\"\n]",
    f'layouts = ["{DIGEST}"] # [',
    "   max-parameters\t=\t7",
]
BETWEEN = ["\n", "# min-cohort = 9\n", "  \n", "\r\n", '# """\n', "#\n"]


def lines_by_trying(text: str) -> dict[str, int]:
    """The oracle: a key starts on the line after the longest prefix of whole lines that is TOML without it."""
    rows = text.splitlines(keepends=True)
    found: dict[str, int] = {}
    last = 0
    for count in range(1, len(rows) + 1):
        try:
            table = tomllib.loads("".join(rows[:count]))
        except tomllib.TOMLDecodeError:
            continue
        for key in table:
            found.setdefault(key, last + 1)
        last = count
    return found


@given(st.permutations(STATEMENTS), st.lists(st.lists(st.sampled_from(BETWEEN)), min_size=8, max_size=8))
@example(STATEMENTS, [[]] * 8)
def test_lines_are_those_of_the_keys(statements: list[str], between: list[list[str]]) -> None:
    text = "".join("".join(gap) + each + "\n" for gap, each in zip(between, statements, strict=False))
    keys, lines = parse(text)
    assert lines == lines_by_trying(text)
    assert set(lines) == {name for name, value in keys.model_dump(by_alias=True).items() if value is not None}


def test_a_line_inside_a_text_is_no_key() -> None:
    """A policy may quote another one; the number told is the one of the key itself."""
    text = 'x = """\nmin-cohort = 9\n"""\nmin-cohort = 5'
    assert "line 1: unknown key 'x'" in refusal(text)
    assert "line 5: unknown key 'y'" in refusal("tasks = ['''\ndigits'''\n,\n]\ny = '''\n'''")


# --- the file itself --------------------------------------------------------------------------------------------


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "policy.toml"
    path.write_bytes(data)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    policy = Policy.load(written(tmp_path, b"\r\n# \xc3\xa9\r\nmin-cohort = 5\r\n"))
    assert policy.keys.min_cohort == 5
    assert policy.lines == {"min-cohort": 3}
    assert policy.source == str(tmp_path / "policy.toml")


def test_a_file_is_at_most_64_kib_long(tmp_path: Path) -> None:
    assert read(written(tmp_path, b"#" * MOST_BYTES)) == "#" * MOST_BYTES
    with pytest.raises(PolicyUnusable, match="longer than 65536"):
        read(written(tmp_path, b"#" * (MOST_BYTES + 1)))


def test_64_kib_of_anything_are_read_in_one_go(tmp_path: Path) -> None:
    for line in (b"\n", b"#\n", b"[[x]]\n", b"''=1\n", b'modes = [\n"local",\n', b"'\n"):
        with pytest.raises(PolicyUnusable):
            Policy.load(written(tmp_path, (line * MOST_BYTES)[: MOST_BYTES - 4] + b"\n = "))


@pytest.mark.parametrize("data", [b"\xff", b"# \xc3", "min-cohort = 5".encode("utf-16")])
def test_a_file_is_utf_8(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(PolicyUnusable, match=r"not UTF-8|no TOML"):
        Policy.load(written(tmp_path, data))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("missing", "pipe", "dangling", "loop", "", "a\x00b", "x" * 5000):
        with pytest.raises(PolicyUnusable):
            Policy.load(tmp_path / name)
    with pytest.raises(PolicyUnusable, match="no policy file"):
        Policy.load(Path("/dev/null"))


def test_a_file_that_cannot_be_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, b"")

    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(PolicyUnusable, match="Permission denied"):
        Policy.load(path)


def test_a_relative_path_is_refused_wherever_it_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adversary: the submitter's app brings a lax policy of the same name in its own folder."""
    written(tmp_path, b"")
    monkeypatch.chdir(tmp_path)
    for name in ("policy.toml", "./policy.toml", "~/policy.toml"):
        with pytest.raises(PolicyUnusable, match="not absolute"):
            Policy.load(Path(name))


# --- the page ---------------------------------------------------------------------------------------------------


def test_the_example_of_the_page_has_every_key() -> None:
    text = PAGE.read_text(encoding="utf-8")
    (block,) = text.split("```toml\n")[1:]
    keys, lines = parse(block.split("```")[0])
    assert set(lines) == set(KEYS)
    for key, at in lines.items():
        assert block.splitlines()[at - 1].startswith(f"{key} = ")
        assert "#" in block.splitlines()[at - 1]
    assert keys.min_cohort == 5
