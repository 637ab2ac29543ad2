"""Kits of private predictions: a folder for each server, each client and the owner.

Decides: what lies in which folder, and that no private key lies in two. Refuses to know: X.509
(`app.deployment.certificates`) and the protocol.

    OUT/servers/helper, online-1, online-2    one for each server's machine; state/ keeps what it is given
    OUT/clients/NAME                          one for each client; `share` adds the sharing and canaries
    OUT/owner                                 for whoever shares and shuts down
"""

import tomllib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Self

import tomli_w

from app.deployment import certificates, files
from app.deployment.certificates import Pair
from app.deployment.kit import CA, address_of, joined
from app.deployment.provisioning import CA_KEY
from app.deployment.requests import check_name
from arithmetic.errors import ConfigError
from predictions.canaries import Canaries
from predictions.client import Kit
from predictions.credentials import CLIENT, OWNER, SCHEME, SERVERS, Credentials
from predictions.link import Address
from predictions.sharing import Sharing

SERVERS_FOLDER, CLIENTS_FOLDER, OWNER_FOLDER = "servers", "clients", "owner"
SETTINGS: Final = "kit.toml"
STATE: Final = "state"
_CERTIFICATE, _KEY = "party.crt", "party.key"
_SHARING, _CANARIES = "sharing.json", "canaries.safetensors"


@dataclass(frozen=True)
class PartyKit:
    """One party's folder.

    Args:
        folder: absolute.
        party: as `predictions.credentials` names it.
        servers: addresses, by party.
        task: whose data a client has, or "".
    """

    folder: Path
    party: str
    servers: dict[str, Address]
    task: str = ""

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a kit.

        Raises:
            ConfigError: it is none.
            SetupError: a file cannot be read, or others can read its key.
        """
        folder = folder.expanduser().absolute()
        if not (folder / SETTINGS).is_file():
            raise ConfigError(
                f"{folder} is no kit of private predictions; make kits with predict share or kits"
            )
        try:
            found = tomllib.loads(files.read(folder / SETTINGS).decode())
            named = {str(party): address_of(str(text)) for party, text in found["servers"].items()}
            party, task = str(found["party"]), str(found.get("task", ""))
        except (ValueError, KeyError, AttributeError):
            raise ConfigError(
                f"{folder / SETTINGS} is no settings file of a kit; take the kit anew"
            ) from None
        if sorted(named) != sorted(SERVERS):
            raise ConfigError(f"{folder / SETTINGS} does not name the three servers; take the kit anew")
        files.read_secret(folder / _KEY)
        return cls(folder, party, {name: Address(*address) for name, address in named.items()}, task)

    @property
    def credentials(self) -> Credentials:
        """Its certificate and key."""
        return Credentials(self.folder / CA, self.folder / _CERTIFICATE, self.folder / _KEY)

    def for_client(self) -> Kit:
        """What the client's protocol needs.

        Raises:
            ConfigError: it is no client's kit, or the owner has shared nothing yet.
        """
        if not self.party.startswith(CLIENT):
            raise ConfigError(f"{self.folder} is the kit of {self.party}; ask with that of a client")
        if not (self.folder / _SHARING).is_file():
            raise ConfigError(f"{self.folder} has no sharing yet; the owner's predict share puts it there")
        sharing = Sharing.from_bytes(files.read(self.folder / _SHARING))
        canaries = Canaries.from_bytes(files.read_secret(self.folder / _CANARIES))
        return Kit(sharing, canaries, self.servers, self.credentials)

    def give(self, sharing: Sharing, canaries: Canaries, task: str) -> None:
        """Put what the owner gives a client into its kit."""
        files.replace(self.folder / _SHARING, sharing.to_bytes())
        files.replace(self.folder / _CANARIES, canaries.to_bytes(), files.SECRET)
        files.replace(self.folder / SETTINGS, _settings(self.party, self.servers, task))


@dataclass(frozen=True)
class FolderKeeper:
    """A server's files: in one folder, for its user alone."""

    folder: Path

    def read(self, name: str) -> bytes | None:
        """The content; None where there is none."""
        path = self.folder / name
        return files.read_secret(path) if path.is_file() else None

    def write(self, name: str, content: bytes) -> None:
        """Replace the content."""
        files.replace(self.folder / name, content, files.SECRET)


@dataclass(frozen=True)
class Plan:
    """Kits to be made.

    Args:
        out: a new folder.
        servers: addresses, by party.
        clients: names.
        days: lifetime of the certificates.
        ca: authority; None makes one that only these kits know, and forgets its key.
    """

    out: Path
    servers: dict[str, Address]
    clients: tuple[str, ...]
    days: int
    ca: Pair | None = None


def make_kits(plan: Plan, now: datetime) -> None:
    """Make all kits.

    Raises:
        ConfigError: the folder is there, or a name cannot be used.
        SetupError: it cannot be written.
    """
    for name in plan.clients:
        check_name(name)
    if not plan.clients or len(set(plan.clients)) < len(plan.clients):
        raise ConfigError("name at least one client, and none twice")
    ca = plan.ca or certificates.make_ca("private predictions", now)
    files.new_folder(plan.out)
    for group in (SERVERS_FOLDER, CLIENTS_FOLDER):
        files.new_folder(plan.out / group)
    for party in SERVERS:
        folder = plan.out / SERVERS_FOLDER / party
        _make(folder, party, plan, ca, now)
        files.new_folder(folder / STATE)
    for name in plan.clients:
        _make(plan.out / CLIENTS_FOLDER / name, CLIENT + name, plan, ca, now)
    _make(plan.out / OWNER_FOLDER, OWNER, plan, ca, now)


def read_authority(folder: Path) -> Pair:
    """The CA of a federation, from the authority's folder that `provision` made.

    Raises:
        ConfigError: it is none.
        SetupError: a file cannot be read, or others can read the key.
    """
    return Pair(files.read_secret(folder / CA_KEY), files.read(folder / CA))


def client_kits(root: Path) -> list[PartyKit]:
    """Every client's kit below a folder of kits."""
    return [PartyKit.open(folder) for folder in sorted((root / CLIENTS_FOLDER).iterdir()) if folder.is_dir()]


def server_folders(path: Path) -> list[Path]:
    """The servers' kits below a folder of kits, or the one server's kit that `path` is.

    Raises:
        ConfigError: neither.
    """
    if (path / SERVERS_FOLDER).is_dir():
        return [path / SERVERS_FOLDER / party for party in SERVERS]
    return [PartyKit.open(path).folder]


def _make(folder: Path, party: str, plan: Plan, ca: Pair, now: datetime) -> None:
    pair = certificates.make_party_certificate(ca, SCHEME + party, now, plan.days)
    files.new_folder(folder)
    files.write_new(folder / CA, ca.public)
    files.write_new(folder / _CERTIFICATE, pair.public)
    files.write_new(folder / _KEY, pair.private, files.SECRET)
    files.write_new(folder / SETTINGS, _settings(party, plan.servers, ""))


def _settings(party: str, servers: dict[str, Address], task: str) -> str:
    named = {name: joined(address.host, address.port) for name, address in servers.items()}
    return tomli_w.dumps({"party": party, "task": task, "servers": named})
