"""Files that hold keys: written once, for their owner alone, and read only while nobody else can.

Decides: modes (0700 folders, 0600 secrets, 0644 the rest), that nothing is ever written over by accident, and that a
replacement is there entirely or not at all. Refuses to know what the files are for.
"""

import os
import stat
from pathlib import Path
from typing import Final

from arithmetic.errors import ConfigError, SetupError
from clients.bounded_file import read_bounded

SECRET: Final = 0o600
PUBLIC: Final = 0o644
MOST_BYTES: Final = 64 << 20


def new_folder(path: Path) -> Path:
    """Make a folder for its owner alone.

    Raises:
        ConfigError: it is there already.
        SetupError: it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise ConfigError(
            f"{path} is there already, and nothing is written over; name another folder"
        ) from None
    except OSError as error:
        raise SetupError(f"{path} cannot be made ({error.strerror}); name another folder") from None
    return path


def write_new(path: Path, content: bytes | str, mode: int = PUBLIC) -> None:
    """Write a file that was not there.

    Raises:
        ConfigError: it is there already.
        SetupError: it cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise ConfigError(
            f"{path} is there already, and nothing is written over; move it away first"
        ) from None
    except OSError as error:
        raise SetupError(f"{path} cannot be written ({error.strerror}); name another folder") from None
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)


def replace(path: Path, content: bytes | str, mode: int = PUBLIC) -> None:
    """Put new content in place of old, entirely or not at all.

    Raises:
        SetupError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    write_new(beside, content, mode)
    try:
        beside.replace(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be replaced ({error.strerror}); let its owner do it") from None


def read(path: Path) -> bytes:
    """The content of a regular file of at most 64 MiB.

    Raises:
        ConfigError: there is none, or it is too long.
        SetupError: it cannot be read.
    """
    try:
        if not path.is_file():
            raise ConfigError(f"{path} is missing; take it from the kit that scripts/provision made")
        data = read_bounded(path, MOST_BYTES)
    except OSError as error:
        raise SetupError(
            f"{path} cannot be read ({error.strerror}); let the user that runs this read it"
        ) from None
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{path} is longer than {MOST_BYTES} bytes; name the right file")
    return data


def read_secret(path: Path) -> bytes:
    """The content of a file that only its owner can read.

    Raises:
        ConfigError: there is none.
        SetupError: it cannot be read, or others can read it too.
    """
    data = read(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SetupError(
            f"{path} can be read by others (mode {mode:04o}); chmod 600 it, and if others had access make a new one"
        )
    return data
