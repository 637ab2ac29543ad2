"""The root of the error tree: stable codes, one line each."""

import pytest

from arithmetic.errors import ChorusError, ConfigError, ParameterError, RangeError, SetupError

# threats.md, section 3: the only codes a user or a log may see.
CODES = {"FORMAT", "AUTH", "STATE", "VIEW", "POLICY", "CRYPTO", "SHARE", "RANGE", "QUORUM", "CONFIG", "ENV"}


@pytest.mark.parametrize(
    ("kind", "code"),
    [(ParameterError, "CONFIG"), (ConfigError, "CONFIG"), (SetupError, "ENV"), (RangeError, "RANGE")],
)
def test_leaf_keeps_its_code_and_prints_it_before_the_message(kind: type[ChorusError], code: str) -> None:
    error = kind("what happened; what to do")
    assert kind.code == code
    assert error.code in CODES
    assert isinstance(error, ChorusError)
    assert str(error) == "what happened; what to do"
    assert error.line == f"{code}: what happened; what to do"


def test_one_except_clause_catches_the_tree_but_not_a_bug() -> None:
    with pytest.raises(ChorusError):
        raise RangeError("NaN")
    assert not issubclass(ChorusError, ValueError)
    assert not issubclass(ValueError, ChorusError)
