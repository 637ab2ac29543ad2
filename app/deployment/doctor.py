"""`doctor`: what keeps this machine from taking part, a line each: ok, or what is wrong and the fix.

Decides: which things are looked at, in which order, and that one that is wrong hides only what cannot be without it.
Refuses to mend anything, and to start anything.
"""

import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from app.catalogue import failure_of
from app.deployment import certificates, environment_file, files, kit, probe, programs
from app.deployment.attending import NodeStart, check_clock, check_data, check_device, check_version
from app.deployment.kit import address_of
from app.launcher import REPOSITORY
from arithmetic.errors import ChorusError, SetupError
from clients.policy import Policy
from privacy.ledger import Ledger, charges_of
from secagg.roster import Roster
from wire.roster_file import parse_roster

_MONTH: Final = 30 * 86_400
_ON_THE_WAY: Final = ("DNS", "port", "TLS", "server's version", "registered")


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
        what: was looked at.
        well: whether it is as it should be; `line`: what was found, or the error's line.
    """

    what: str
    well: bool
    line: str

    @property
    def text(self) -> str:
        """As it is printed."""
        return f"{'ok   ' if self.well else 'WRONG'}  {self.what}: {self.line}"


Check = tuple[str, Callable[[], str]]


def examine(checks: Iterator[Check]) -> Iterator[Finding]:
    """Do the checks one after the other; a check's error is its finding.

    What has to do with the network is looked at until something of it is wrong: the rest would say the same again.
    """
    cut_off = False
    for what, check in checks:
        if cut_off and what in _ON_THE_WAY:
            continue
        try:
            yield Finding(what, True, check())
        except ChorusError as error:
            cut_off |= what in _ON_THE_WAY
            yield Finding(what, False, failure_of(error).line)
        except OSError as error:
            text = f"{error.strerror or error}; let the user that runs this read the kit"
            yield Finding(what, False, failure_of(SetupError(text)).line)


def node_checks(start: NodeStart) -> Iterator[Check]:
    """Everything that a node needs."""
    folder = start.folder.expanduser().absolute()
    papers = _Papers(folder, kit.NODE_SETTINGS, environment_file.NODE_KEYS)
    yield "settings", papers.say
    yield "identity", lambda: _identity(folder, papers)
    yield (
        "node key",
        lambda: f"{len(certificates.public_of_node_key(files.read_secret(folder / kit.NODE_KEY)))} bytes",
    )
    yield "roster", lambda: _roster(papers.roster())
    yield "policy", lambda: _policy(folder / kit.POLICY)
    yield "ledger", lambda: _ledger((start.state or folder / kit.STATE) / "ledger.jsonl")
    yield "data", lambda: _data((start.data or folder / papers.value("CHORUS_DATA")).expanduser())
    yield "device", lambda: _device(start.device or papers.value("CHORUS_DEVICE"))
    yield "versions", _versions

    def superlink() -> tuple[str, int]:
        return address_of(start.superlink or papers.value("CHORUS_SUPERLINK"))

    yield from _network_checks(superlink, folder / kit.CA)
    yield "clock", lambda: _clock(superlink, folder / kit.CA)

    def own() -> dict[str, bytes]:
        return {"this node": certificates.public_of_node_key(files.read_secret(folder / kit.NODE_KEY))}

    yield "registered", lambda: _registered(superlink(), folder / kit.CA, own())


def server_checks(folder: Path, port: int | None) -> Iterator[Check]:
    """Everything that the server needs."""
    folder = folder.expanduser().absolute()
    papers = _Papers(folder, kit.SERVER_SETTINGS, environment_file.SERVER_KEYS)
    yield "settings", papers.say
    yield "certificate", lambda: _certificate(folder)
    yield "secret", lambda: f"{len(files.read_secret(folder / kit.SECRET))} bytes, for its owner alone"
    yield "roster", lambda: _roster(papers.roster())
    yield "nodes", lambda: f"{_count(len(_node_keys(folder)), 'key')} in {folder / kit.NODES}"
    yield "versions", _versions
    yield "names", lambda: _names(papers.value("CHORUS_NAMES").split(","))

    def superlink() -> tuple[str, int]:
        host, own = papers.value("CHORUS_HOST"), port or kit.port_of(papers.value("CHORUS_PORT"))
        return address_of(programs.loopback(host, own))

    yield from _network_checks(superlink, folder / kit.CA)
    yield "registered", lambda: _registered(superlink(), folder / kit.CA, _node_keys(folder))


def _network_checks(superlink: Callable[[], tuple[str, int]], ca: Path) -> Iterator[Check]:
    yield "DNS", lambda: f"{superlink()[0]} is {', '.join(probe.resolve(superlink()[0]))}"
    yield "port", lambda: _port(*superlink())
    yield "TLS", lambda: _tls(*superlink(), ca)
    yield "server's version", lambda: _server_version(probe.look(*superlink(), ca))


@dataclass
class _Papers:
    """A kit's settings and roster, read when a check asks for them."""

    folder: Path
    file: str
    keys: tuple[str, ...]

    def value(self, key: str) -> str:
        text = files.read(self.folder / self.file).decode(errors="replace")
        return environment_file.parse(text, self.keys, self.file)[key]

    def say(self) -> str:
        return ", ".join(f"{key} {self.value(key)}" for key in self.keys if key != "CHORUS_AUTHORITY")

    def roster(self) -> Roster:
        authority = kit.parse_authority(self.value("CHORUS_AUTHORITY"))
        return parse_roster(files.read(self.folder / kit.ROSTER), authority)


def _identity(folder: Path, papers: _Papers) -> str:
    public = kit.read_identity(folder / kit.IDENTITY).public
    roster = papers.roster()
    number = roster.number_of(public)
    return f"{roster.member(number).name}, number {number} in the roster"


def _node_key(folder: Path) -> str:
    certificates.public_of_node_key(files.read_secret(folder / kit.NODE_KEY))
    return "ECDSA, for its owner alone"


def _roster(roster: Roster) -> str:
    roster.check_time(time.time())
    members = sum(not member.revoked for member in roster.members)
    until = "for ever"
    if roster.not_after:
        left = roster.not_after - time.time()
        until = f"until {datetime.fromtimestamp(roster.not_after, UTC):%Y-%m-%d}"
        until += " (soon: scripts/provision --renew)" if left < _MONTH else ""
    return f"{roster.fingerprint}, serial {roster.serial}, {_count(members, 'member')}, {until}; read it to the others"


def _policy(path: Path) -> str:
    policy = Policy.load(path)
    return f"{_count(len(policy.lines), 'key')}: {', '.join(policy.lines) or 'allows everything'}"


def _ledger(path: Path) -> str:
    if not Ledger.existed(path):
        return f"none yet; the first private run makes {path}"
    return f"{_count(len(charges_of(path)), 'release')} charged in {path}"


def _data(path: Path) -> str:
    check_data(path)
    empty = path.is_dir() and not any(path.iterdir())
    return f"{path}" + (" is empty, which is enough for the built-in digits alone" if empty else "")


def _device(setting: str) -> str:
    check_device(setting)
    from clients.device import choose_device

    return f"{setting}: {choose_device(setting, 0)}"


def _versions() -> str:
    ours = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    found = [f"chorus {ours}", f"Python {sys.version_info.major}.{sys.version_info.minor}"]
    for package in ("flwr", "torch"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            raise SetupError(f"{package} is not installed; start this through scripts/doctor") from None
    return ", ".join(found) + "; all machines need the same"


def _certificate(folder: Path) -> str:
    end = certificates.check_server(
        files.read(folder / kit.CERTIFICATE), files.read_secret(folder / kit.SERVER_KEY),
        files.read(folder / kit.CA), datetime.now(UTC),
    )  # fmt: skip
    soon = " (soon: scripts/provision --renew)" if end.timestamp() - time.time() < _MONTH else ""
    return f"good until {end:%Y-%m-%d}{soon}"


def _node_keys(folder: Path) -> dict[str, bytes]:
    found = {path.stem: files.read(path) for path in sorted((folder / kit.NODES).glob("*.pub"))}
    return {name: certificates.check_node_public(line) for name, line in found.items()}


def _names(names: list[str]) -> str:
    return "; ".join(f"{name} is {', '.join(probe.resolve(name))}" for name in names)


def _port(host: str, port: int) -> str:
    probe.connect(host, port)
    return f"{kit.joined(host, port)} answers"


def _tls(host: str, port: int, ca: Path) -> str:
    probe.look(host, port, ca)
    return f"the certificate is the CA's, is for {host}, and has not expired"


def _clock(superlink: Callable[[], tuple[str, int]], ca: Path) -> str:
    try:
        found = probe.look(*superlink(), ca)
    except SetupError:
        return "not compared; the server cannot be asked"
    if found.ahead is None:
        return "not compared; the server says no time"
    check_clock(found, probe.CLOCK_TOLERANCE)
    return f"within {max(1.0, abs(found.ahead)):.0f} s of the server's"


def _server_version(found: probe.Found) -> str:
    check_version(found.version, version("flwr"))
    return (
        f"Flower {found.version}" if found.version else "the server does not say; Flower checks it on its own"
    )


def _registered(superlink: tuple[str, int], ca: Path, wanted: dict[str, bytes]) -> str:
    probe.look(*superlink, ca)
    from app.deployment import registry  # Flower's own client

    control = registry.connect(kit.joined(*superlink), ca)
    try:
        known = registry.registered(control)
    finally:
        control.close()
    missing = [name for name, key in wanted.items() if key not in known]
    if missing:
        raise SetupError(
            f"the SuperLink does not know {', '.join(missing)}; put node.pub as NAME.pub into the server kit's nodes/"
        )
    return f"{_count(len(wanted), 'key')} known to the SuperLink"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
