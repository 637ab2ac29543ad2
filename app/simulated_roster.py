"""Identities and a roster for simulated clients, so that a run against an active server can be tried on one machine.

Decides: where they lie in the run directory. Refuses to know: the protocol. They protect nobody: whoever simulates
holds every key.
"""

import os
from pathlib import Path

from arithmetic.errors import SetupError
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster
from wire.roster_file import roster_text

_ROSTER = "roster.json"
_AUTHORITY = "authority.hex"


def lay_identities(run_dir: Path, clients: int) -> dict[str, str]:
    """One identity key a client, and the roster of all, signed by a key that is thrown away.

    Args:
        run_dir: of the run; what it has already is kept.
        clients: how many.

    Returns:
        The run keys that name them.

    Raises:
        SetupError: the folder cannot be written.
    """
    try:
        if not (run_dir / _ROSTER).exists():
            _make(run_dir, clients)
        authority = (run_dir / _AUTHORITY).read_text()
    except OSError as error:
        raise SetupError(
            f"run directory {run_dir} cannot be written ({error.strerror}); name another one with --runs-dir"
        ) from None
    return {"roster": str(run_dir / _ROSTER), "roster-authority": authority}


def _make(run_dir: Path, clients: int) -> None:
    folder, members = run_dir / "identities", list[Member]()
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(clients):
        key = SigningKey.generate(os.urandom)
        _write_private(folder / f"{number}.pem", key.to_pem())
        members.append(Member(f"client-{number}", key.public))
    authority = SigningKey.generate(os.urandom)
    (run_dir / _AUTHORITY).write_text(authority.public.hex())
    (run_dir / _ROSTER).write_text(roster_text(Roster("simulation", 1, 0, tuple(members)), authority))


def _write_private(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
