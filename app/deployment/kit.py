"""What lies in a kit: one folder for the server, one for each node, one for whoever submits runs.

Decides: the files' names, and that nothing is started with a kit that is incomplete, readable by others, or whose
roster does not name its identity.
Refuses to know: how kits are made (`provisioning`), and the network.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from app.deployment import certificates, environment_file
from app.deployment.files import read, read_secret
from arithmetic.errors import ConfigError
from secagg.primitives import BadKey, SigningKey
from secagg.roster import Roster
from wire.roster_file import parse_roster

CA: Final = "ca.crt"
ROSTER: Final = "roster.json"
AUTHORITY: Final = "authority.pub"
IDENTITY, NODE_KEY, NODE_PUBLIC = "identity.pem", "node.key", "node.pub"
POLICY: Final = "policy.toml"
NODE_SETTINGS, SERVER_SETTINGS = "node.env", "server.env"
CERTIFICATE, SERVER_KEY, SECRET = "server.crt", "server.key", "superexec.secret"
NODES: Final = "nodes"
RUN: Final = "run.toml"
DATA, STATE = "data", "state"
_KEY: Final = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True)
class NodeKit:
    """A node's folder, checked.

    Attributes:
        folder: absolute.
        superlink: `host:port`.
        authority: public key of whoever signs rosters, 32 bytes.
        data: folder of the data, absolute; `device`: as the run's key `device`.
        roster: as signed; `number`: the node's own in it, from 1.
    """

    folder: Path
    superlink: str
    authority: bytes
    data: Path
    device: str
    roster: Roster
    number: int

    @classmethod
    def open(cls, folder: Path, now: float) -> Self:
        """Read a node's kit and check everything that needs no network.

        Args:
            folder: of the kit.
            now: seconds since 1970.

        Raises:
            ConfigError: a file is missing or is none; one sentence.
            SetupError: a file cannot be read, or others can read a secret.
            NotAuthentic: the roster is not the authority's, has expired, or does not name this identity.
        """
        folder = _folder(folder)
        settings = environment_file.parse(
            read(folder / NODE_SETTINGS).decode(errors="replace"), environment_file.NODE_KEYS, NODE_SETTINGS
        )
        read(folder / CA)
        read(folder / POLICY)
        certificates.public_of_node_key(read_secret(folder / NODE_KEY))
        identity = read_identity(folder / IDENTITY)
        authority = _authority(folder, settings["CHORUS_AUTHORITY"])
        roster = parse_roster(read(folder / ROSTER), authority)
        roster.check_time(now)
        return cls(
            folder, settings["CHORUS_SUPERLINK"], authority, (folder / settings["CHORUS_DATA"]).absolute(),
            settings["CHORUS_DEVICE"], roster, roster.number_of(identity.public),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The node's in the roster."""
        return self.roster.member(self.number).name


@dataclass(frozen=True)
class ServerKit:
    """The server's folder, checked.

    Attributes:
        folder: absolute.
        host: address to listen on; `port`: 1..65535.
        names: what nodes may call the server.
        roster: as signed.
    """

    folder: Path
    host: str
    port: int
    names: tuple[str, ...]
    authority: bytes
    roster: Roster

    @classmethod
    def open(cls, folder: Path, now: float) -> Self:
        """Read the server's kit and check everything that needs no network.

        Args:
            folder: of the kit.
            now: seconds since 1970.

        Raises:
            ConfigError, SetupError, NotAuthentic: as `NodeKit.open`; a certificate that cannot serve among them.
        """
        folder = _folder(folder)
        settings = environment_file.parse(
            read(folder / SERVER_SETTINGS).decode(errors="replace"),
            environment_file.SERVER_KEYS,
            SERVER_SETTINGS,
        )
        certificates.check_server(
            read(folder / CERTIFICATE), read_secret(folder / SERVER_KEY), read(folder / CA), moment(now)
        )
        read_secret(folder / SECRET)
        authority = _authority(folder, settings["CHORUS_AUTHORITY"])
        roster = parse_roster(read(folder / ROSTER), authority)
        roster.check_time(now)
        names = tuple(settings["CHORUS_NAMES"].split(","))
        kit = cls(folder, settings["CHORUS_HOST"], port_of(settings["CHORUS_PORT"]), names, authority, roster)
        kit.node_keys()
        return kit

    def node_keys(self) -> dict[str, bytes]:
        """Every node's authentication key as Flower's API takes it, by name.

        Raises:
            ConfigError: a file in `nodes/` is no such key.
        """
        found = {}
        for path in sorted((self.folder / NODES).glob("*.pub")):
            found[path.stem] = certificates.check_node_public(read(path))
        return found


def read_identity(path: Path) -> SigningKey:
    """A node's Ed25519 identity.

    Raises:
        ConfigError: the file is missing, of another kind, or wants a passphrase.
        SetupError: it cannot be read, or others can read it.
    """
    pem = read_secret(path)
    try:
        return SigningKey.from_pem(pem)
    except BadKey as error:
        raise ConfigError(
            f"{path}: {error}; use the identity.pem that the node's kit was made with"
        ) from None


def parse_authority(text: str) -> bytes:
    """The 32 bytes of an authority's public key from its 64 hexadecimal digits.

    Raises:
        ConfigError: it is none.
    """
    if not _KEY.match(text):
        raise ConfigError(
            f"{text[:80]!r} is no authority's public key; it has 64 hexadecimal digits in lower case"
        )
    return bytes.fromhex(text)


def port_of(text: str) -> int:
    """A port, 1..65535.

    Raises:
        ConfigError: it is none.
    """
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise ConfigError(f"{text[:80]!r} is no port; write a whole number from 1 to 65535")
    return int(text)


def address_of(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[address]:port`.

    Raises:
        ConfigError: it is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host.strip("[]"):
        raise ConfigError(f"{text[:80]!r} is no address of a server; write host:port")
    return host.strip("[]"), port_of(port)


def joined(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _folder(folder: Path) -> Path:
    folder = folder.expanduser().absolute()
    if not folder.is_dir():
        raise ConfigError(f"there is no kit {folder}; make one with scripts/provision")
    return folder


def _authority(folder: Path, text: str) -> bytes:
    """The authority's key: the settings and the file beside them must agree."""
    authority = parse_authority(text)
    if parse_authority(read(folder / AUTHORITY).decode(errors="replace").strip()) != authority:
        raise ConfigError(
            f"{folder / AUTHORITY} and the kit's settings name two authorities; take one kit whole"
        )
    return authority


def moment(now: float) -> datetime:
    """Seconds since 1970 as certificates count."""
    return datetime.fromtimestamp(now, UTC)
