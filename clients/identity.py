"""A client's identity: its Ed25519 key, the roster it goes by, and the authority whose signature that roster needs.

Decides: which files may be trusted to be the node's own. All three are named in the node config, out of reach of
whoever submits a run; with all of them the client serves sessions against an active server and no others.
Refuses to know: what is signed (`secagg.signatory`).

    identity-key       absolute path of a PEM file that nobody but its owner can read
    roster             absolute path of the roster (`wire.roster_file`)
    roster-authority   public key of whoever signs rosters, 64 hex digits

A passphrase of the key, if it has one, is in the environment of the node's programs: CHORUS_IDENTITY_PASSPHRASE. A
simulated client, whose roster protects nobody, takes all of it from the run directory.
"""

import os
import re
import stat
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flwr.app import Context

from arithmetic.errors import ConfigError
from clients.bounded_file import read_bounded
from clients.place import is_simulated, partition_of
from secagg.primitives import BadKey, SigningKey
from secagg.roster import Roster
from secagg.signatory import Signatory
from wire.roster_file import MOST_BYTES, RosterUnusable, parse_roster

KEY, ROSTER, AUTHORITY = KEYS = ("identity-key", "roster", "roster-authority")
PASSPHRASE: Final = "CHORUS_IDENTITY_PASSPHRASE"  # noqa: S105 - the variable's name
_LONGEST_PEM: Final = 1 << 16


class IdentityUnusable(ConfigError):
    """An identity that cannot be used; the node takes part in nothing. Its text stays on the node."""


def signatory_of(context: Context) -> Signatory | None:
    """The client's place in its roster; None where the node config names no roster.

    Raises:
        IdentityUnusable, RosterUnusable: a file that is missing, readable by others or not what it should be.
        NotAuthentic: the roster is not the authority's, has expired, or does not name this client.
    """
    own = context.node_config
    named: Mapping[str, str] = {key: str(own[key]) for key in KEYS if own.get(key)}
    if not named and is_simulated(context):
        named = _simulated(context)
    if not named:
        return None
    if len(named) < len(KEYS):
        missing = ", ".join(key for key in KEYS if key not in named)
        raise IdentityUnusable(f"an identity needs {', '.join(KEYS)}; the node config lacks {missing}")
    roster = load_roster(Path(named[ROSTER]), named[AUTHORITY])
    roster.check_time(time.time())
    return Signatory.of(roster, load_key(Path(named[KEY]), os.environ.get(PASSPHRASE, "")))


def load_roster(path: Path, authority: str) -> Roster:
    """The roster in a file, if the authority signed it.

    Args:
        path: absolute.
        authority: public key, 64 hex digits.

    Raises:
        IdentityUnusable, RosterUnusable, NotAuthentic: as `signatory_of`.
    """
    if not re.fullmatch("[0-9a-f]{64}", authority):
        raise IdentityUnusable(f"{AUTHORITY} is not 64 hex digits; copy it from the kit")
    return parse_roster(_read(path, "roster", MOST_BYTES), bytes.fromhex(authority))


def load_key(path: Path, passphrase: str = "") -> SigningKey:
    """The key in a PEM file that nobody but its owner can read.

    Raises:
        IdentityUnusable: it cannot be used; one sentence, of which none holds anything of the key.
    """
    data = _read(path, "identity key", _LONGEST_PEM)
    mode = path.stat()
    if mode.st_uid != os.geteuid() or stat.S_IMODE(mode.st_mode) & 0o077:
        raise IdentityUnusable(
            f"the identity key {str(path)!r} can be read by others or is not this user's; chown it, chmod it 600, and "
            "if anybody may have read it, make a new one"
        )
    try:
        return SigningKey.from_pem(data, passphrase.encode() or None)
    except BadKey as error:
        raise IdentityUnusable(
            f"the identity key {str(path)!r} cannot be used: {error}; name the right file, or put its passphrase into "
            f"{PASSPHRASE}"
        ) from None


def _read(path: Path, what: str, most: int) -> bytes:
    """The bytes of a regular file by its absolute path."""
    shown = repr(str(path))
    if not path.is_absolute():
        raise IdentityUnusable(f"the path {shown} of the {what} is not absolute; write all of it")
    try:
        if not path.is_file():
            raise IdentityUnusable(f"there is no {what} {shown}; mend the node config or the file")
        data = read_bounded(path, most)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise IdentityUnusable(
            f"the {what} {shown} cannot be read ({why}); let the node's user read it"
        ) from None
    if len(data) > most:
        raise RosterUnusable(f"the {what} {shown} is longer than {most} bytes; name the right file")
    return data


def _simulated(context: Context) -> Mapping[str, str]:
    """What the launcher laid into the run directory, where the run is against an active server."""
    run_dir, roster = (str(context.run_config.get(key, "")) for key in ("run-dir", ROSTER))
    if not (run_dir and roster):
        return {}
    key = Path(run_dir) / "identities" / f"{partition_of(context)[0]}.pem"
    return {KEY: str(key), ROSTER: roster, AUTHORITY: str(context.run_config.get(AUTHORITY, ""))}
