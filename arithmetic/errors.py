"""The root of the error tree: one base class, and the mistakes that are nobody's but the caller's.

Every error of this project carries a stable `code` (the list of threats.md, section 3) and a message of
one line that says what happened, why, and what to do. This module decides the base and the caller-side
leaves; it knows nothing of the protocol (`secagg.errors` grows the rest of the tree from here).

    ChorusError
      ParameterError   CONFIG   arguments that cannot work together; raised before anything starts
      ConfigError      CONFIG   a run configuration or command line that cannot be used
      SetupError       ENV      something this machine lacks: a device, a file, a port
      RangeError       RANGE    a number that must not enter the sum: NaN, infinity, an overflow
"""

from typing import ClassVar


class ChorusError(Exception):
    """Base of every error this project raises on purpose; `code` is stable across versions.

    `shareable` says whether the text may be sent to a server: true only where it cannot hold anything of a
    client's data.
    """

    code: ClassVar[str] = "ENV"
    shareable: ClassVar[bool] = False

    @property
    def line(self) -> str:
        """`CODE: message`, the one line a user or a log sees."""
        return f"{self.code}: {self}"


class ParameterError(ChorusError):
    """Protocol or encoding parameters that cannot work together."""

    code = "CONFIG"


class ConfigError(ChorusError):
    """A run configuration or command line that cannot be used."""

    code = "CONFIG"


class SetupError(ChorusError):
    """Something this machine lacks or cannot give: a device, a file, a port."""

    code = "ENV"


class RangeError(ChorusError):
    """A number that must not enter the sum: NaN, infinity, an overflow, a count below one."""

    code = "RANGE"
