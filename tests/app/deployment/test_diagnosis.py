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
UNTRUSTED = "Failed to initialize the connection to the SuperLink.\n[SSL: CERTIFICATE_VERIFY_FAILED] unable"
FULL = "sqlite3.OperationalError: unable to open database file"


@pytest.mark.parametrize(
    ("program", "said", "code", "word"),
    [
        ("supernode", UNKNOWN_KEY, "AUTH", "node.pub"),
        ("superlink", BUSY, "ENV", "--port"),
        ("supernode", UNTRUSTED, "ENV", "scripts/doctor"),
        ("superlink", FULL, "ENV", "--state"),
    ],
)
def test_an_ending_that_no_restart_mends_is_one_typed_line(
    program: str, said: str, code: str, word: str
) -> None:
    error = cause(program, f"before\n{said}\nafter")
    assert error is not None
    assert error.code == code
    assert word in str(error)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("supernode", ""),
        ("supernode", "Connection attempt failed, retrying in 0.42 seconds"),
        ("supernode", "SSL/TLS handshake error detected.\n[SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred"),
        ("superlink", UNKNOWN_KEY),
        ("superexec", FULL),
    ],
)
def test_any_other_ending_is_none_and_so_a_restart(program: str, said: str) -> None:
    """A SuperLink that is killed breaks connections off, and what it says of a node is not its own end."""
    assert cause(program, said) is None


def test_another_version_of_flower_is_named() -> None:
    """In the words of the very function that says them."""
    from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata

    ours = RuntimeVersionMetadata("flwr", "1.41.0", "SuperLink")
    said = ours.check_compatibility(RuntimeVersionMetadata("flwr", "1.40.0", "SuperNode"))
    error = cause("supernode", str(said))
    assert error is not None
    assert error.code == "VIEW"
