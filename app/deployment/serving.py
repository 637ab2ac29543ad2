"""The server as it runs: a checked kit, a free port, SuperLink and SuperExec under supervision.

Decides: what is checked before anything starts, what is said, and that the kit's keys and roster reach the programs
while they run. Refuses to know flags (`programs`), restarts (`supervision`) and what a log means (`diagnosis`).
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from app.deployment import diagnosis, files, kit, probe, programs, templates
from app.deployment.kit import ServerKit, address_of
from app.deployment.supervision import Running, Stopped, Supervisor, make_folders, take_charge
from arithmetic.errors import ChorusError, SetupError
from secagg.errors import NotAuthentic

Part = Literal["both", "superlink", "superexec"]
Say = Callable[[str], None]
_START_DEADLINE: Final = 60.0
_BETWEEN_LOOKS: Final = 3.0
_PATIENCE: Final = 4.0  # seconds of waiting: the third refusal in a row is final


@dataclass(frozen=True)
class ServerStart:
    """What `scripts/superlink` was told.

    Attributes:
        folder: of the kit; `state`: where everything is written; None: `state` in the kit.
        host, port: where to listen; None: as the kit says.
        part: which of the two programs.
        superlink: `host:port` at which the SuperExec finds the SuperLink; None: on this machine.
    """

    folder: Path
    state: Path | None = None
    host: str | None = None
    port: int | None = None
    part: Part = "both"
    superlink: str | None = None


def serve(start: ServerStart, say: Say) -> int:
    """Run SuperLink, SuperExec or both until a signal comes; the exit code: 0 by SIGTERM, 130 by SIGINT.

    Raises:
        ChorusError: the kit cannot serve, the port is busy, or a program ended in a way that no restart mends.
    """
    server = ServerKit.open(start.folder, time.time())
    host, port = start.host or server.host, start.port or server.port
    address = start.superlink or programs.loopback(host, port)
    state = (start.state or server.folder / kit.STATE).absolute()
    make_folders([state, state / "flower"])
    if start.part != "superexec":
        probe.check_free(host, port)
    take_charge()
    caretaker = Caretaker(server, address, state, start.part, say)
    supervisor = Supervisor(state, programs.environment(state, os.environ), say, died, caretaker.look)
    try:
        say(f"roster {server.roster.fingerprint}, serial {server.roster.serial}; logs in {state / 'logs'}")
        if start.part != "superexec":
            supervisor.start(programs.superlink_program(server, state, host, port))
            await_superlink(supervisor, address, server.folder / kit.CA)
            say(f"SuperLink at {kit.joined(host, port)}; {len(server.node_keys())} nodes may connect")
        caretaker.look()
        if start.part != "superlink":
            supervisor.start(programs.superexec_program(server, address))
            say(f"SuperExec for {address}; runs are written below {state / 'runs'}")
        supervisor.run()
    except Stopped as stopped:
        return stopped.exit_code
    finally:
        finish(supervisor)


def died(one: Running, _code: int) -> str:
    """What to say of a program that ended and is started again.

    Raises:
        ChorusError: it would end in the same way again.
    """
    reason = diagnosis.cause(one.program.name, one.said())
    if isinstance(reason, NotAuthentic) and one.wait < _PATIENCE:
        return reason.line  # a SuperLink that has just come up may be about to be told of this key
    if reason is not None:
        raise reason
    return f"Its last words are at the end of {one.log}"


def await_superlink(supervisor: Supervisor, address: str, ca: Path) -> None:
    """Wait until the SuperLink answers through TLS.

    Raises:
        ChorusError: it ended for good, or did not answer for a minute.
    """
    end = time.monotonic() + _START_DEADLINE
    host, port = address_of(address)
    while True:
        supervisor.turn()
        try:
            probe.look(host, port, ca)
        except probe.NobodyAnswers:
            if time.monotonic() > end:
                raise
            continue
        return


def finish(supervisor: Supervisor) -> None:
    """End everything, and say so where something is left.

    Raises:
        SetupError: a process outlived SIGKILL.
    """
    if left := supervisor.stop():
        raise SetupError(f"processes {left} could not be ended; end them by hand")


@dataclass
class Caretaker:
    """Carries changes of the kit to the programs that run: registered keys, and the roster of ServerApps."""

    server: ServerKit
    address: str
    state: Path
    part: Part
    say: Say
    _next: float = 0.0
    _keys: dict[str, bytes] = field(default_factory=dict)
    _roster: bytes = b""

    def look(self) -> None:
        """Every few seconds; an error is said, and looked at again."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _BETWEEN_LOOKS
        try:
            if self.part != "superlink":
                self._carry_roster()
            if self.part != "superexec":
                self._carry_keys()
        except ChorusError as error:
            self.say(error.line)

    def _carry_roster(self) -> None:
        roster = files.read(self.server.folder / kit.ROSTER)
        if roster != self._roster:
            files.replace(self.state / templates.ROSTER_AT_WORK, roster)
            self._roster = roster

    def _carry_keys(self) -> None:
        wanted = self.server.node_keys()
        if wanted == self._keys:
            return
        from app.deployment import registry  # Flower's own client: a second, and only here

        control = registry.connect(self.address, self.server.folder / kit.CA)
        try:
            new, gone = registry.make_equal(control, wanted)
        finally:
            control.close()
        self._keys = wanted
        if new:
            self.say(f"registered {', '.join(new)}")
        if gone:
            self.say(f"unregistered {gone} that the kit has no more")
