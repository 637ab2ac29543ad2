"""The texts of a kit: settings, policy, units, the connection and the run file. What people read and edit.

Decides: their wording and the recommended places (the code in /opt/chorus, kits in /etc/chorus, state in
/var/lib/chorus). Refuses to know keys and where a kit is being written.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import tomli_w

CODE: Final = "/opt/chorus"
KITS: Final = "/etc/chorus"
STATE: Final = "/var/lib/chorus"
ROSTER_AT_WORK: Final = (
    "roster.json"  # scripts/superlink puts the roster there, in the ServerApp's working directory
)

TAKE_OFFLINE: Final = """\
Whoever has the two keys in this folder decides who belongs to the federation and whom its nodes take for the server.

    authority.pem  signs rosters (Ed25519)
    ca.key         signs the server's certificate

Take this folder off this machine now: to a medium that lies in a safe, or to a machine without a network.
It is needed again for scripts/provision --add, --revoke and --renew, and for nothing else.
"""


def policy(cohort: int) -> str:
    """A node's policy: `cohort` is the fewest survivors of a sum."""
    return f"""\
# What runs may ask of this node's data (docs/policy.md); the node's own, nobody else changes it.
min-cohort = {cohort}          # fewest clients whose sum may be unmasked
min-threshold = {cohort // 2 + 1}       # fewest shares that rebuild a secret
adversary = "active"    # no session without signed keys, roster and consistency check

# Uncomment what this node insists on:
# modes = ["local", "distributed"]
# max-epsilon = 8.0
# delta = 1e-5
# tasks = ["digits"]
# max-parameters = 100_000
"""


def run_file(clients: int, authority: str) -> str:
    """What `flwr run -c` takes."""
    table: dict[str, str | int] = {
        "clients": clients,
        "roster": ROSTER_AT_WORK,
        "roster-authority": authority,
    }
    return "# For flwr run -c; add any key of scripts/run keys.\n" + tomli_w.dumps(table)


def connection(address: str, root: Path) -> str:
    """Flower's own file of connections, in which this federation's is `chorus`."""
    entry = {"address": address, "root-certificates": str(root)}
    return tomli_w.dumps({"superlink": {"default": "chorus", "chorus": entry}})


def superlink_unit() -> str:
    """The SuperLink as a service."""
    return _unit("Chorus SuperLink", f"superlink {KITS}/server --part superlink", "server")


def superexec_unit() -> str:
    """What starts ServerApps, as a service of its own: the SuperLink may be killed and come back."""
    return _unit("Chorus SuperExec (ServerApps)", f"superlink {KITS}/server --part superexec", "server")


def supernode_unit(name: str) -> str:
    """A node as a service."""
    return _unit(f"Chorus SuperNode {name}", f"supernode {KITS}/{name}", name)


def _unit(description: str, command: str, state: str) -> str:
    return f"""\
# Copy to /etc/systemd/system/; the code lies in {CODE}, the kit in {KITS}, both as the user chorus reads them.
[Unit]
Description={description}
Wants=network-online.target
After=network-online.target

[Service]
User=chorus
ExecStart={CODE}/scripts/{command} --state {STATE}/{state}
StateDirectory=chorus
Restart=on-failure
RestartSec=15
NoNewPrivileges=true
ProtectSystem=strict
ReadWritePaths={STATE} {CODE}/.venv
ProtectHome=read-only
PrivateTmp=true
UMask=0077

[Install]
WantedBy=multi-user.target
"""


def compose(names: Sequence[str], port: int) -> str:
    """The whole federation as containers, for a trial; a real node takes its own service out of it."""
    services = [_SERVER.format(port=port)]
    services += [_NODE.format(name=name, port=port) for name in names]
    volumes = ["server", *(f"state-{name}" for name in names)]
    return _HEAD + "".join(services) + "\nvolumes:\n" + "".join(f"  {one}: {{}}\n" for one in volumes)


_HEAD: Final = """\
# docker compose up --build, from this folder. CHORUS_CODE is the clone of the project (default: the folder above);
# CHORUS_UID is the user that owns the kits (id -u): they are readable by their owner alone. A node on a machine of its
# own takes its service out of this file and strikes --superlink: the kit knows the server's name.
services:
"""
_COMMON: Final = """\
    user: "${{CHORUS_UID:-1000}}"
    restart: unless-stopped
    read_only: true
    tmpfs: [/tmp]
    security_opt: ["no-new-privileges:true"]
    cap_drop: [ALL]
"""
_SERVER: Final = (
    """\
  superlink:
    build:
      context: ${{CHORUS_CODE:-..}}
      dockerfile: deploy/Dockerfile.superlink
    command: [/kit, --part, superlink, --host, 0.0.0.0, --state, /state]
    ports: ["{port}:{port}"]
    volumes: ["./server:/kit:ro", "server:/state"]
"""
    + _COMMON
    + """\
  serverapp:
    build:
      context: ${{CHORUS_CODE:-..}}
      dockerfile: deploy/Dockerfile.serverapp
    command: [/kit, --part, superexec, --superlink, "superlink:{port}", --state, /state]
    depends_on: [superlink]
    volumes: ["./server:/kit:ro", "server:/state"]
"""
    + _COMMON
)
_NODE: Final = (
    """\
  {name}:
    build:
      context: ${{CHORUS_CODE:-..}}
      dockerfile: deploy/Dockerfile.supernode
    command: [/kit, --superlink, "superlink:{port}", --data, /data, --state, /state]
    volumes: ["./nodes/{name}:/kit:ro", "./nodes/{name}/data:/data:ro", "state-{name}:/state"]
"""
    + _COMMON
)
