"""Flower's own programs as argument lists and environments: pure functions, so that tests can reuse them.

Decides: every flag (docs/decisions/0014-deployment.md says why). Refuses to know when a program is started or ended
(`supervision`), and whether it is right to do so (`serving`).
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app import superlink
from app.deployment import kit as names
from app.deployment.kit import NodeKit, ServerKit, joined
from arithmetic.errors import ConfigError, SetupError

DATABASE: Final = "superlink.db"
# Flower's parser of node configs splits at quotes, before TOML is read.
_UNQUOTABLE: Final = "'\"\r\n\0"


@dataclass(frozen=True)
class Program:
    """One of Flower's programs: what it is called here, and its command."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class NodeSettings:
    """What a start of a node may say beside its kit.

    Attributes:
        data: folder of the data; `device`: where it trains.
        state: folder for everything the node writes.
        superlink: `host:port`.
        port: of the node's own ClientApps, on loopback.
        part: number and count, from 0, where several nodes share one copy of the data; else None.
    """

    data: Path
    device: str
    state: Path
    superlink: str
    port: int
    part: tuple[int, int] | None = None


def superlink_program(kit: ServerKit, state: Path, host: str, port: int) -> Program:
    """`flower-superlink`: TLS, known nodes only, state on disk, ServerApps by a SuperExec of their own."""
    folder = kit.folder
    command = (
        *_executable("flower-superlink"),
        "--ssl-certfile", str(folder / names.CERTIFICATE),
        "--ssl-keyfile", str(folder / names.SERVER_KEY),
        "--ssl-ca-certfile", str(folder / names.CA),
        "--enable-supernode-auth",
        "--isolation", "process",
        "--superexec-auth-secret-file", str(folder / names.SECRET),
        "--database", str(state / DATABASE),
        "--host", host,
        "--port", str(port),
        "--disable-runtime-dependency-installation",
    )  # fmt: skip
    return Program("superlink", command)


def superexec_program(kit: ServerKit, address: str) -> Program:
    """`flower-superexec`: takes runs from the SuperLink at `address` and starts a ServerApp for each."""
    command = (
        *_executable("flower-superexec"),
        "--runtime-api-address", address,
        "--root-certificates", str(kit.folder / names.CA),
        "--superexec-auth-secret-file", str(kit.folder / names.SECRET),
    )  # fmt: skip
    return Program("superexec", command)


def supernode_program(kit: NodeKit, settings: NodeSettings) -> Program:
    """`flower-supernode`: one node; its ClientApps reach it on loopback alone."""
    command = (
        *_executable("flower-supernode"),
        "--superlink", settings.superlink,
        "--root-certificates", str(kit.folder / names.CA),
        "--auth-supernode-private-key", str(kit.folder / names.NODE_KEY),
        "--isolation", "subprocess",
        "--host", "127.0.0.1",
        "--port", str(settings.port),
        "--node-config", node_config(node_table(kit, settings)),
    )  # fmt: skip
    return Program("supernode", command)


def node_table(kit: NodeKit, settings: NodeSettings) -> dict[str, str | int]:
    """The node config: what clients read of their own place, all paths absolute."""
    table: dict[str, str | int] = {
        "identity-key": str(kit.folder / names.IDENTITY),
        "roster": str(kit.folder / names.ROSTER),
        "roster-authority": kit.authority.hex(),
        "transcript": str(settings.state / "transcript.jsonl"),
        "data-path": str(settings.data),
        "privacy-ledger": str(settings.state / "ledger.jsonl"),
        "privacy-policy": str(kit.folder / names.POLICY),
        "client-log": str(settings.state / "client.jsonl"),
        "device": settings.device,
    }
    if settings.part is not None:
        table |= {"partition-id": settings.part[0], "num-partitions": settings.part[1]}
    return table


def node_config(table: Mapping[str, str | int]) -> str:
    """The argument of `--node-config`: texts as TOML literals, which hold no escapes.

    Raises:
        ConfigError: a text with a quote or a line's end in it.
    """
    for key, value in table.items():
        if isinstance(value, str) and any(c in value for c in _UNQUOTABLE):
            raise ConfigError(
                f"{key} = {value[:200]!r} holds a quote or a line's end, which a node config cannot carry; rename it"
            )
    return " ".join(
        f"{key}='{value}'" if isinstance(value, str) else f"{key}={value}" for key, value in table.items()
    )


def environment(state: Path, base: Mapping[str, str]) -> dict[str, str]:
    """For every program of one machine: its own FLWR_HOME, no telemetry, no installs, nothing of other trees.

    Args:
        state: folder for everything that is written; temporary files of models go there too, not to a small /tmp.
        base: environment to start from.
    """
    return superlink.environment(superlink.Home(state / "flower", state, state / "ray"), base)


def loopback(host: str, port: int) -> str:
    """Where a program on this machine reaches a SuperLink that listens on `host`."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to
    return joined(everywhere.get(host, host), port)


def _executable(name: str) -> Sequence[str]:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise SetupError(f"{path} is missing; run this through scripts/, which installs what is needed")
    return (str(path),)
