"""The commands `provision`, `provision-request`, `server`, `node` and `doctor`.

Decides: options and what is printed. Refuses to know what is done with them, and to import it before it is asked for:
`run` starts without crypto libraries.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from app.commands.options import RUNS, AsJson, RunsDir, print_document
from arithmetic.errors import ConfigError

if TYPE_CHECKING:
    from app.deployment.membership import Federation
    from app.deployment.provisioning import Plan
    from secagg.roster import Roster

_State = Annotated[Path | None, typer.Option(help="Where everything is written; default: state/ in the kit.")]
_Kit = Annotated[Path, typer.Argument(help="The kit's folder.", show_default=False)]
_Superlink = Annotated[str | None, typer.Option(help="HOST:PORT of the SuperLink; default: as the kit says.")]
_Data = Annotated[Path | None, typer.Option(help="Folder of the data; default: as node.env says.")]
_Device = Annotated[
    str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps; default: as node.env says.")
]
_Lines = Annotated[bool, typer.Option("--json", help="Print what is said as JSON lines.")]
_Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Default: as the kit says.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to the command line."""
    app.command()(provision)
    app.command("provision-request")(provision_request)
    app.command("server")(superlink)
    app.command("superlink", hidden=True)(superlink)  # Flower's words, which scripts/ use
    app.command("node")(supernode)
    app.command("supernode", hidden=True)(supernode)
    app.command("doctor")(examine)


def provision(
    more: Annotated[
        list[Path] | None, typer.Argument(help="Further request files.", show_default=False)
    ] = None,
    server: Annotated[
        list[str] | None, typer.Option(help="Name or address of the server; may be repeated.")
    ] = None,
    nodes: Annotated[str, typer.Option(help="Names of nodes whose keys are made here: a,b,c.")] = "",
    request_files: Annotated[
        list[Path] | None, typer.Option("--requests", help="Requests of nodes that made their own keys.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the federation.")] = Path("federation"),
    days: Annotated[int, typer.Option(help="Lifetime of the server's certificate and of the roster.")] = 365,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the SuperLink.")] = 8000,
    federation: Annotated[str, typer.Option(help="Name of the federation.")] = "chorus",
    add: Annotated[str, typer.Option(help="A node joins: its name, or its request file.")] = "",
    revoke: Annotated[str, typer.Option(help="A node leaves: its name.")] = "",
    renew: Annotated[
        bool, typer.Option("--renew", help="New server certificate and roster, for --days.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a federation's kits, or change one; nothing is ever written over."""
    from app.deployment import membership, provisioning, requests

    changes = [one for one in (add, revoke, "renew" if renew else "") if one]
    if len(changes) > 1:
        raise ConfigError("--add, --revoke and --renew are one change each; give them one after the other")
    now = datetime.now(UTC)
    if changes:
        if server or nodes or request_files or more:
            raise ConfigError(
                "--add, --revoke and --renew change the federation in --out; leave out --server and nodes"
            )
        _tell(_change(membership.Federation.open(out), add, revoke, now, days), as_json)
        return
    found = tuple(requests.read_request(path) for path in [*(request_files or []), *(more or [])])
    names = tuple(name.strip() for name in nodes.split(",") if name.strip())
    plan = provisioning.Plan(tuple(server or ()), names, found, out, port, days, federation)
    _tell(_next_steps(plan, provisioning.provision(plan, now)), as_json)


def provision_request(
    name: Annotated[str, typer.Option(help="Of this node.")],
    out: Annotated[Path, typer.Option(help="A new folder for this node's keys.")],
    as_json: AsJson = False,
) -> None:
    """On a node: make its own keys, and a request with the public halves for the authority."""
    from app.deployment import requests

    request, path = requests.make_request(out, name)
    told = [
        f"request {request.fingerprint} of {name}: {path}",
        f"next: send {path.name} to the authority, read the fingerprint to them, and copy their kit for {name} here",
    ]
    _tell(told, as_json)


def superlink(
    folder: _Kit,
    port: _Port = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; default: as server.env says.")
    ] = None,
    state: _State = None,
    part: Annotated[
        Literal["both", "superlink", "superexec"], typer.Option(help="Which of the two programs runs here.")
    ] = "both",
    superlink: _Superlink = None,
    as_json: _Lines = False,
) -> None:
    """Run the server: Flower's SuperLink and SuperExec with TLS, known nodes only, state on disk."""
    from app.deployment import serving

    raise typer.Exit(
        serving.serve(serving.ServerStart(folder, state, host, port, part, superlink), _speaker(as_json))
    )


def supernode(
    folder: _Kit,
    data: _Data = None,
    device: _Device = None,
    state: _State = None,
    superlink: _Superlink = None,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="For the node's ClientApps, on loopback; default: a free one."),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(metavar="I/N", help="Part I of N of the data, where nodes share one copy of it."),
    ] = None,
    as_json: _Lines = False,
) -> None:
    """Run a node: Flower's SuperNode with the kit's keys."""
    from app.deployment import attending

    start = attending.NodeStart(folder, state, data, device, superlink, port, part)
    raise typer.Exit(attending.attend(start, _speaker(as_json)))


def examine(
    role: Annotated[
        Literal["simulation", "server", "node"],
        typer.Argument(
            help="What this machine is; without one: whether it can simulate.", show_default=False
        ),
    ] = "simulation",
    folder: Annotated[
        Path | None, typer.Argument(help="The kit's folder, of a server or a node.", show_default=False)
    ] = None,
    data: _Data = None,
    device: _Device = None,
    state: _State = None,
    superlink: _Superlink = None,
    port: _Port = None,
    runs_dir: RunsDir = RUNS,
    as_json: AsJson = False,
) -> None:
    """Say what keeps this machine from taking part, a line each; exit code 4 where something does."""
    from app.deployment import attending, doctor, machine

    if role == "simulation":
        checks = machine.machine_checks(runs_dir)
    elif folder is None:
        raise ConfigError(
            f"doctor {role} needs the folder of this machine's kit; chorus provision makes kits"
        )
    elif role == "server":
        checks = doctor.server_checks(folder, port)
    else:
        checks = doctor.node_checks(attending.NodeStart(folder, state, data, device, superlink))
    found = []
    for finding in doctor.examine(checks):
        found.append(finding)
        if not as_json:
            print(finding.text, flush=True)
    well = all(finding.well for finding in found)
    if as_json:
        print_document({"well": well, "findings": [asdict(finding) for finding in found]})
    raise typer.Exit(0 if well else 4)


def _change(federation: "Federation", add: str, revoke: str, now: datetime, days: int) -> list[str]:
    """Do it; what to say."""
    from app.deployment import requests

    if add:
        joining = requests.read_request(Path(add)) if add.endswith(requests.SUFFIX) else add
        roster = federation.add(joining)
    elif revoke:
        roster = federation.revoke(revoke)
    else:
        roster = federation.renew(now, days)
    return [
        _fingerprint(roster),
        f"next: copy roster.json from {federation.out / 'server'} into every kit; to the server also nodes/ (of new "
        "members) or server.crt and server.key (--renew); a new node's kit to the node. Then take authority/ offline",
    ]


def _fingerprint(roster: "Roster") -> str:
    here = sum(not member.revoked for member in roster.members)
    return f"roster {roster.fingerprint}, serial {roster.serial}, {here} members: read it out; all kits show the same"


def _next_steps(plan: "Plan", roster: "Roster") -> list[str]:
    out, submit = plan.out, plan.out / "submit"
    own = [request.name for request in plan.requests]
    steps = [
        f"take {out / 'authority'} offline: its keys sign rosters and certificates, and no machine needs them",
        f"copy {out / 'server'} to the server, and there: scripts/superlink SERVER_KIT",
        f"copy {out / 'nodes'}/NAME to each node, and there: scripts/supernode KIT --data PATH --device auto",
        f"submit: FLWR_HOME={submit} .venv/bin/flwr run . chorus --stream -c {submit}/run.toml",
    ]
    if own:
        steps.insert(
            2, f"the kits of {', '.join(own)} hold no keys: copy them into the folders that have them"
        )
    return [f"made {out}", _fingerprint(roster), *(f"next: {step}" for step in steps)]


def _tell(lines: list[str], as_json: bool) -> None:
    if as_json:
        next_ = [line.removeprefix("next: ") for line in lines if line.startswith("next: ")]
        print_document({"done": [line for line in lines if not line.startswith("next: ")], "next": next_})
    else:
        print("\n".join(lines))


def _speaker(as_json: bool) -> Callable[[str], None]:
    """Prints what a program that runs on and on says, a line or a JSON object each."""
    return lambda line: print(json.dumps({"says": line}) if as_json else line, flush=True)
