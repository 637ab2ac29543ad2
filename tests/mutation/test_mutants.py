"""The mutator makes the wrongs it says, one at a time, and leaves alone what no test should look at."""

import ast
from pathlib import Path

import pytest

from tests.mutation.__main__ import VITAL, all_mutants, judges_of, sampled, vital
from tests.mutation.mutants import mutants_of, mutated

TEXT = '''
"""Words."""
from functools import lru_cache

LIMIT: int = 3


@lru_cache(maxsize=8)
def check(value: int, *, most: int = 7) -> bytes:
    """More words."""
    if value < LIMIT and not most == value:
        raise ValueError(f"{value + 1} is wrong")
    note(value)
    return b"a" + "b".encode() if value else b""


class Box:
    """And more."""

    side = True

    def area(self) -> int:
        total = 1
        total += self.side * 2
        return total
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "module.py").write_text(TEXT)
    return tmp_path


def test_every_kind_of_wrong_is_made(tree: Path) -> None:
    found = {mutant.what for mutant in mutants_of(tree, "module.py")}
    assert found >= {
        "3 to 4", "7 to 8", "Lt to LtE", "And to Or", "Eq to NotEq", "without Not", "left out", "None returned",
        "b'a' to other bytes", "'b' to another text", "the condition turned round", "True to False", "Add to Sub",
        "Mult to Add", "1 to 2", "2 to 3",
    }  # fmt: skip


def test_a_mutant_is_one_change_and_python(tree: Path) -> None:
    honest = ast.dump(ast.parse(TEXT))
    texts = [ast.dump(mutated(tree, mutant)) for mutant in mutants_of(tree, "module.py")]
    assert honest not in texts
    assert len(set(texts)) == len(texts)
    for mutant in mutants_of(tree, "module.py"):
        compile(mutated(tree, mutant), "module.py", "exec")


def test_words_sizes_of_caches_and_texts_of_errors_are_left_alone(tree: Path) -> None:
    found = mutants_of(tree, "module.py")
    assert not {"8 to 9"} & {mutant.what for mutant in found}
    for mutant in found:
        text = ast.unparse(mutated(tree, mutant))
        assert "maxsize=8" in text
        assert "is wrong" in text or mutant.what == "left out"
        assert '"""More words."""' in text


def test_mutants_know_their_function(tree: Path) -> None:
    found = {mutant.function for mutant in mutants_of(tree, "module.py")}
    assert found == {"", "check", "Box", "Box.area"}


def test_every_vital_area_has_mutants_and_a_sample_holds_them_all() -> None:
    mutants = all_mutants()
    areas = [vital(mutant) for mutant in mutants]
    assert set(VITAL) < set(areas)
    for area, places in VITAL.items():
        for path, function in places:
            assert any(m.path == path and m.function.startswith(function) for m in mutants), (
                area,
                path,
                function,
            )
    chosen = sampled(mutants, 10, seed=1)
    assert len(chosen) == len(areas) - areas.count("") + 10
    assert len(set(chosen)) == len(chosen)


def test_every_module_has_tests_to_face(repository: Path) -> None:
    for path in {mutant.path for mutant in all_mutants()}:
        assert judges_of(path)
        assert all((repository / each).exists() for each in judges_of(path))
