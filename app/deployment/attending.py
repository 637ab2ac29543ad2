"""A node as it runs: a checked kit, data and device that are there, a look at the server, a supervised SuperNode.

Decides: what is checked before anything starts, and that a server that is not up yet is waited for. Refuses to know
flags (`programs`), restarts (`supervision`) and what the node computes.
"""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from app.deployment import kit, probe, programs
from app.deployment.kit import NodeKit, address_of
from app.deployment.serving import died, finish
from app.deployment.supervision import Stopped, Supervisor, make_folders, take_charge
from arithmetic.errors import ConfigError, SetupError
from clients.policy import Policy
from secagg.errors import SuspectServer

Say = Callable[[str], None]
_FARTHEST_CLOCK: Final = 300.0  # Flower refuses what a node signs beyond that


@dataclass(frozen=True)
class NodeStart:
    """What `scripts/supernode` was told; None: as the kit says.

    Attributes:
        folder: of the kit; `state`: where everything is written.
        data: folder of the data; `device`: as the run's key `device`.
        superlink: `host:port`.
        port: for the node's own ClientApps on loopback; None: a free one.
        part: `I/N`, I from 1, where several nodes on one machine share one copy of the data.
    """

    folder: Path
    state: Path | None = None
    data: Path | None = None
    device: str | None = None
    superlink: str | None = None
    port: int | None = None
    part: str | None = None


def attend(start: NodeStart, say: Say) -> int:
    """Run one node until a signal comes; the exit code: 0 by SIGTERM, 130 by SIGINT.

    Raises:
        ChorusError: kit, data, device or server cannot serve, or the SuperNode ended in a way that no restart mends.
    """
    node = NodeKit.open(start.folder, time.time())
    settings = settings_of(node, start)
    check_data(settings.data)
    check_device(settings.device)
    Policy.load(node.folder / kit.POLICY)
    make_folders([settings.state, settings.state / "flower"])
    say(f"{node.name}: number {node.number} of roster {node.roster.fingerprint}, serial {node.roster.serial}")
    greet(settings.superlink, node.folder / kit.CA, say)
    take_charge()
    supervisor = Supervisor(settings.state, programs.environment(settings.state, os.environ), say, died)
    try:
        supervisor.start(programs.supernode_program(node, settings))
        say(f"SuperNode for {settings.superlink}; logs in {settings.state / 'logs'}")
        supervisor.run()
    except Stopped as stopped:
        return stopped.exit_code
    finally:
        finish(supervisor)


def settings_of(node: NodeKit, start: NodeStart) -> programs.NodeSettings:
    """The kit's settings, and what the start says instead.

    Raises:
        ConfigError: a part that is none.
    """
    superlink = start.superlink or node.superlink
    address_of(superlink)
    return programs.NodeSettings(
        data=(start.data or node.data).expanduser().absolute(),
        device=start.device or node.device,
        state=(start.state or node.folder / kit.STATE).absolute(),
        superlink=superlink,
        port=start.port or _free_port(),
        part=None if start.part is None else part_of(start.part),
    )


def part_of(text: str) -> tuple[int, int]:
    """Number, from 0, and count of `I/N`.

    Raises:
        ConfigError: it is none.
    """
    number, slash, count = text.partition("/")
    digits = all(part.isascii() and part.isdigit() and len(part) < 7 for part in (number, count))
    if not slash or not digits or not 1 <= int(number) <= int(count):
        raise ConfigError(
            f"--part {text[:80]!r} is no part; write I/N, for example 1/3 for the first of three"
        )
    return int(number) - 1, int(count)


def check_data(path: Path) -> None:
    """Whether the data can be read.

    Raises:
        SetupError: it cannot.
    """
    if not path.exists():
        raise SetupError(f"there is no data at {path}; name its folder with --data or in node.env")
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise SetupError(f"the data at {path} cannot be read; let the user that runs this read it")


def check_device(setting: str) -> None:
    """Whether the device is there; only one that was asked for by name can be missing, and costs importing torch.

    Raises:
        ConfigError: no device is called this.
        SetupError: it is not there.
    """
    if setting not in ("auto", "cpu"):
        from clients.device import choose_device

        choose_device(setting, 0)


def greet(superlink: str, ca: Path, say: Say) -> None:
    """Look at the server once; one that does not answer yet is waited for by the SuperNode itself.

    Raises:
        SetupError: TLS or the clock is wrong.
        SuspectServer: another minor version of Flower.
    """
    host, port = address_of(superlink)
    try:
        found = probe.look(host, port, ca)
    except probe.NobodyAnswers as error:
        say(f"waiting: {error}")
        return
    check_clock(found, _FARTHEST_CLOCK)
    check_version(found.version, version("flwr"))


def check_clock(found: probe.Found, tolerance: float) -> None:
    """Whether the two clocks are within `tolerance` seconds.

    Raises:
        SetupError: they are not.
    """
    if found.ahead is not None and abs(found.ahead) > tolerance:
        side = "behind" if found.ahead > 0 else "ahead of"
        raise SetupError(
            f"this machine's clock is {abs(found.ahead):.0f} s {side} the server's, and beyond {_FARTHEST_CLOCK:g} s "
            "the server refuses the node; set the clocks (NTP)"
        )


def check_version(theirs: str, ours: str) -> None:
    """Whether Flower's minor versions agree; a server that does not say is left to Flower's own check.

    Raises:
        SuspectServer: they do not; both are named.
    """
    if theirs and theirs.split(".")[:2] != ours.split(".")[:2]:
        raise SuspectServer(
            f"the server runs Flower {theirs} and this node {ours}; install the same constraints.txt on both"
        )


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
