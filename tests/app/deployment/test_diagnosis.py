"""What Flower's programs print at their end, as it was printed, and what becomes of it."""

import pytest

from app.deployment.diagnosis import cause

UNKNOWN_KEY = """\x1b[91mERROR \x1b[0m:     Exit Code: 305
Failed to initialize the connection to the SuperLink.
[code: 2004] Failed to activate SuperNode.
The SuperNode could not establish a connection to the SuperLink.
"""
BUSY = (
    "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use"
)
HANDSHAKE = "\x1b[91mERROR \x1b[0m:     SSL/TLS handshake error detected."


@pytest.mark.parametrize(
    ("said", "code", "word"),
    [(UNKNOWN_KEY, "AUTH", "node.pub"), (BUSY, "ENV", "--port"), (HANDSHAKE, "ENV", "scripts/doctor")],
)
def test_an_ending_that_no_restart_mends_is_one_typed_line(said: str, code: str, word: str) -> None:
    error = cause(f"before\n{said}\nafter")
    assert error is not None
    assert error.code == code
    assert word in str(error)


@pytest.mark.parametrize(
    "said", ["", "Killed", "Connection attempt failed, retrying in 0.42 seconds", "Traceback ..."]
)
def test_any_other_ending_is_none_and_so_a_restart(said: str) -> None:
    assert cause(said) is None


def test_another_version_of_flower_is_named() -> None:
    """In the words of the very function that says them."""
    from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata

    ours = RuntimeVersionMetadata("flwr", "1.41.0", "SuperLink")
    said = ours.check_compatibility(RuntimeVersionMetadata("flwr", "1.40.0", "SuperNode"))
    error = cause(str(said))
    assert error is not None
    assert error.code == "VIEW"
