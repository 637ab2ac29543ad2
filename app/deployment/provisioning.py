"""Makes a federation: its authority, its server's kit, its nodes' kits, and what whoever submits runs needs.

Decides: what goes into which folder, and that private halves go to exactly one. Refuses to know how keys are made
(`certificates`, `requests`) and what changes later (`membership`).

    OUT/authority/     authority.pem, ca.key: to be taken offline
    OUT/server/        the SuperLink's kit
    OUT/nodes/NAME/    a node's kit; without private keys where the node made its own
    OUT/submit/        FLWR_HOME of whoever submits runs
    OUT/compose.yaml   the whole federation as containers
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from app.deployment import certificates, environment_file, files, kit, templates
from app.deployment.certificates import Pair
from app.deployment.requests import Request, check_name, make_keys
from arithmetic.errors import ConfigError
from secagg.bounds import LEAST_COHORT
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster
from wire.roster_file import roster_text

AUTHORITY_FOLDER, SERVER_FOLDER, SUBMIT_FOLDER = "authority", "server", "submit"
AUTHORITY_KEY, CA_KEY = "authority.pem", "ca.key"
COMPOSE: Final = "compose.yaml"
MOST_DAYS: Final = 3650
_SECRET_BYTES: Final = 32


@dataclass(frozen=True)
class Plan:
    """What was asked for.

    Attributes:
        hosts: the server's names and addresses, at least one; nodes use the first.
        nodes: names of nodes whose keys are made here.
        requests: of nodes that made their own.
        out: a new folder.
        port: of the SuperLink.
        days: lifetime of the server's certificate and of the roster, 1..3650.
        federation: its name.
    """

    hosts: tuple[str, ...]
    nodes: tuple[str, ...]
    requests: tuple[Request, ...]
    out: Path
    port: int
    days: int
    federation: str

    def __post_init__(self) -> None:
        """Refuse what could not be served, before anything is written."""
        names = [*self.nodes, *(request.name for request in self.requests)]
        for name in names:
            check_name(name)
        if len(set(names)) < len(names):
            raise ConfigError("a node stands twice; every node has a name of its own")
        if len(names) < LEAST_COHORT:
            raise ConfigError(
                f"{len(names)} nodes are too few; a federation has {LEAST_COHORT} or more, or a sum tells of one"
            )
        if not self.hosts:
            raise ConfigError("the server has no name; give --server HOST, as nodes will reach it")
        check_days(self.days)


def provision(plan: Plan, now: datetime) -> Roster:
    """Make everything, in a new folder; the roster, as signed.

    Args:
        plan: what to make.
        now: from when certificates hold.

    Raises:
        ConfigError: the folder is there, or a name cannot be used.
        SetupError: it cannot be written.
    """
    authority, ca = SigningKey.generate(os.urandom), certificates.make_ca(plan.federation, now)
    server = certificates.make_server_certificate(ca, plan.hosts, now, plan.days)
    out = files.new_folder(plan.out.absolute())
    folder = files.new_folder(out / AUTHORITY_FOLDER)
    files.write_new(folder / AUTHORITY_KEY, authority.to_pem(), files.SECRET)
    files.write_new(folder / CA_KEY, ca.private, files.SECRET)
    files.write_new(folder / kit.CA, ca.public)
    files.write_new(folder / "TAKE-OFFLINE.txt", templates.TAKE_OFFLINE)
    files.new_folder(out / kit.NODES)
    common = Common(out, ca.public, authority.public, kit.joined(plan.hosts[0], plan.port))
    requests = [make_node_kit(common, name) for name in plan.nodes]
    for request in plan.requests:
        make_kit_for(common, request)
    requests += plan.requests
    members = tuple(Member(request.name, request.identity) for request in requests)
    roster = Roster(plan.federation, 1, end_of(now, plan.days), members)
    _server_kit(common, plan, server, requests)
    _submit_kit(common, len(requests))
    write_roster(out, roster, authority)
    names = [request.name for request in requests]
    files.write_new(out / COMPOSE, templates.compose(names, plan.port))
    return roster


@dataclass(frozen=True)
class Common:
    """What every kit holds."""

    out: Path
    ca: bytes
    authority: bytes
    address: str


def make_node_kit(common: Common, name: str) -> Request:
    """A node's whole kit, keys included; its public halves."""
    folder = _node_folder(common, name)
    return make_keys(folder, name)


def make_kit_for(common: Common, request: Request) -> None:
    """The kit of a node that made its own keys: everything but them."""
    folder = _node_folder(common, request.name)
    files.write_new(folder / kit.NODE_PUBLIC, request.node_key + b"\n")


def write_roster(out: Path, roster: Roster, authority: SigningKey) -> list[Path]:
    """Put a roster into every kit that is there; where it was put."""
    text = roster_text(roster, authority)
    folders = [out / SERVER_FOLDER, *sorted((out / kit.NODES).iterdir())]
    kits = [folder for folder in folders if folder.is_dir()]
    for folder in kits:
        files.replace(folder / kit.ROSTER, text)
    return kits


def end_of(now: datetime, days: int) -> int:
    """Seconds since 1970 at which a roster of so many days expires."""
    return int(now.timestamp()) + days * 86_400


def check_days(days: int) -> None:
    """Whether certificates and rosters may live so long.

    Raises:
        ConfigError: they may not.
    """
    if not 1 <= days <= MOST_DAYS:
        raise ConfigError(f"--days {days} cannot be used; it takes a whole number from 1 to {MOST_DAYS}")


def _node_folder(common: Common, name: str) -> Path:
    folder = files.new_folder(common.out / kit.NODES / name)
    files.write_new(folder / kit.CA, common.ca)
    files.write_new(folder / kit.AUTHORITY, f"{common.authority.hex()}\n")
    files.write_new(folder / kit.POLICY, templates.policy(LEAST_COHORT), files.SECRET)
    settings = dict.fromkeys(environment_file.NODE_KEYS, "") | {
        "CHORUS_SUPERLINK": common.address, "CHORUS_AUTHORITY": common.authority.hex(),
        "CHORUS_DATA": kit.DATA, "CHORUS_DEVICE": "auto",
    }  # fmt: skip
    files.write_new(folder / kit.NODE_SETTINGS, environment_file.text_of(settings))
    files.write_new(folder / "chorus-supernode.service", templates.supernode_unit(name))
    files.new_folder(folder / kit.DATA)
    return folder


def _server_kit(common: Common, plan: Plan, server: Pair, nodes: Sequence[Request]) -> None:
    folder = files.new_folder(common.out / SERVER_FOLDER)
    files.write_new(folder / kit.CA, common.ca)
    files.write_new(folder / kit.CERTIFICATE, server.public)
    files.write_new(folder / kit.SERVER_KEY, server.private, files.SECRET)
    files.write_new(folder / kit.SECRET, os.urandom(_SECRET_BYTES).hex(), files.SECRET)
    files.write_new(folder / kit.AUTHORITY, f"{common.authority.hex()}\n")
    settings = {
        "CHORUS_HOST": "0.0.0.0", "CHORUS_PORT": str(plan.port), "CHORUS_NAMES": ",".join(plan.hosts),  # noqa: S104
        "CHORUS_AUTHORITY": common.authority.hex(),
    }  # fmt: skip
    files.write_new(folder / kit.SERVER_SETTINGS, environment_file.text_of(settings))
    files.write_new(folder / "chorus-superlink.service", templates.superlink_unit())
    files.write_new(folder / "chorus-superexec.service", templates.superexec_unit())
    files.new_folder(folder / kit.NODES)
    for request in nodes:
        files.write_new(folder / kit.NODES / f"{request.name}.pub", request.node_key + b"\n")


def _submit_kit(common: Common, nodes: int) -> None:
    folder = files.new_folder(common.out / SUBMIT_FOLDER)
    files.write_new(folder / kit.CA, common.ca)
    files.write_new(folder / "config.toml", templates.connection(common.address, folder / kit.CA))
    files.write_new(folder / kit.RUN, templates.run_file(nodes, common.authority.hex()))
