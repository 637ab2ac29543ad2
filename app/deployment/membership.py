"""Who joins, who leaves, and papers that run out: the same federation with the roster's next serial.

Decides: that numbers never move (whoever leaves stays in the list, revoked), and that every kit below OUT gets the new
roster. Refuses to know how a change reaches kits that are elsewhere: people copy `roster.json`.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from app.deployment import certificates, environment_file, files, kit
from app.deployment.certificates import Pair
from app.deployment.provisioning import (
    AUTHORITY_FOLDER,
    AUTHORITY_KEY,
    CA_KEY,
    SERVER_FOLDER,
    Common,
    check_days,
    end_of,
    make_kit_for,
    make_node_kit,
    write_roster,
)
from app.deployment.requests import Request
from arithmetic.errors import ConfigError
from secagg.bounds import LEAST_COHORT
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster
from wire.roster_file import parse_roster


@dataclass(frozen=True)
class Federation:
    """What scripts/provision made, with its authority's keys at hand.

    Attributes:
        out: folder that it made.
        authority, ca: the two keys that are usually offline.
        hosts: the server's names.
        address: `host:port` for nodes.
        roster: the present one.
    """

    out: Path
    authority: SigningKey
    ca: Pair
    hosts: tuple[str, ...]
    address: str
    roster: Roster

    @classmethod
    def open(cls, out: Path) -> "Federation":
        """Read it.

        Raises:
            ConfigError, SetupError: a file is missing or cannot be used.
            NotAuthentic: the roster is not this authority's.
        """
        keys, server = out / AUTHORITY_FOLDER, out / SERVER_FOLDER
        if not keys.is_dir():
            raise ConfigError(
                f"{keys} is not there; bring back the authority's folder that was taken offline, for this command alone"
            )
        authority = kit.read_identity(keys / AUTHORITY_KEY)
        ca = Pair(files.read_secret(keys / CA_KEY), files.read(keys / kit.CA))
        settings = environment_file.parse(
            files.read(server / kit.SERVER_SETTINGS).decode(errors="replace"),
            environment_file.SERVER_KEYS, kit.SERVER_SETTINGS,
        )  # fmt: skip
        hosts = tuple(settings["CHORUS_NAMES"].split(","))
        address = kit.joined(hosts[0], kit.port_of(settings["CHORUS_PORT"]))
        roster = parse_roster(files.read(server / kit.ROSTER), authority.public)
        return cls(out.absolute(), authority, ca, hosts, address, roster)

    def add(self, joining: str | Request) -> Roster:
        """A node joins: by name, and its keys are made here; or by its own request.

        Raises:
            ConfigError: it is a member, or was one.
        """
        name = joining if isinstance(joining, str) else joining.name
        if any(member.name == name for member in self.roster.members):
            raise ConfigError(f"{name} is in the roster, or was: numbers never move; choose another name")
        common = Common(self.out, self.ca.public, self.authority.public, self.address)
        if isinstance(joining, str):
            request = make_node_kit(common, joining)
        else:
            make_kit_for(common, joining)
            request = joining
        files.write_new(self._public(name), request.node_key + b"\n")
        return self._publish(members=(*self.roster.members, Member(name, request.identity)))

    def revoke(self, name: str) -> Roster:
        """A node leaves: nothing that it signs counts any more, and the SuperLink knows its key no more.

        Raises:
            ConfigError: there is no such member, or fewer than three would be left.
        """
        members = tuple(
            replace(one, revoked=True) if one.name == name else one for one in self.roster.members
        )
        if members == self.roster.members:
            raise ConfigError(
                f"{name[:80]!r} is no member, or revoked already; see the names in {kit.ROSTER}"
            )
        if sum(not member.revoked for member in members) < LEAST_COHORT:
            raise ConfigError(f"fewer than {LEAST_COHORT} nodes would be left; add another one first")
        roster = self._publish(members=members)
        self._public(name).unlink(missing_ok=True)
        return roster

    def renew(self, now: datetime, days: int) -> Roster:
        """A new server certificate, with a new key, and a roster that lives as long.

        Raises:
            ConfigError: so many days are not to be had.
        """
        check_days(days)
        server = certificates.make_server_certificate(self.ca, self.hosts, now, days)
        folder = self.out / SERVER_FOLDER
        files.replace(folder / kit.SERVER_KEY, server.private, files.SECRET)
        files.replace(folder / kit.CERTIFICATE, server.public)
        return self._publish(not_after=end_of(now, days))

    def _publish(self, *, members: tuple[Member, ...] | None = None, not_after: int | None = None) -> Roster:
        """Sign the next roster and put it into the kits below `out`."""
        old = self.roster
        roster = Roster(
            old.federation, old.serial + 1, old.not_after if not_after is None else not_after,
            old.members if members is None else members,
        )  # fmt: skip
        write_roster(self.out, roster, self.authority)
        return roster

    def _public(self, name: str) -> Path:
        return self.out / SERVER_FOLDER / kit.NODES / f"{name}.pub"
