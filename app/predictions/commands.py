"""The verbs of `predict`: `share`, `kits`, `serve`, `query`, `evaluate`, `shutdown`, `demo`.

Decides: options and what is printed. Refuses to know what is done with them, and to import it before it is asked for.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from arithmetic.errors import ConfigError

if TYPE_CHECKING:
    from app.predictions.ownership import Shared
    from predictions.limits import Limits

predict = typer.Typer(
    add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True,
    help="Private predictions: three servers that know neither the model nor the question nor the answer.",
)  # fmt: skip

_Run = Annotated[Path, typer.Argument(metavar="RUN", help="Directory of a finished run, such as runs/<id>.")]
_Kits = Annotated[Path, typer.Option("--kits", help="Folder of the kits.")]
_Kit = Annotated[Path, typer.Argument(help="The kit's folder.", show_default=False)]
_ClientKit = Annotated[Path, typer.Argument(help="The client's kit.")]
_Data = Annotated[
    str, typer.Option("--data-path", help="Where the task's data is; default: as the task finds it.")
]
_Task = Annotated[str, typer.Option(help="Whose test set is meant; default: the shared model's.")]
_Answers = Annotated[str, typer.Option(help="What clients may ask for, of logits, label and count.")]
_Quota = Annotated[int, typer.Option(help="Examples a client may ask about, in all; 0: any number.")]
_Rate = Annotated[float, typer.Option(help="Examples a second and client, on average; 0: any rate.")]
_Rows = Annotated[int, typer.Option(help="Largest batch, canaries included.")]
_Patience = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for a server.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, nothing else.")]
_KITS = Path("predictions-kits")
_ALICE = _KITS / "clients" / "alice"


def register(app: typer.Typer) -> None:
    """Add `predict` to the command line."""
    app.add_typer(predict, name="predict")


@predict.command()
def share(
    run: _Run,
    kits: _Kits = _KITS,
    client: Annotated[
        list[str] | None, typer.Option(help="Name of a client; may be repeated. For kits made now.")
    ] = None,
    answers: _Answers = "logits,label,count",
    quota: _Quota = 0,
    rate: _Rate = 0.0,
    rows: _Rows = 1024,
    data_path: _Data = "",
    as_json: _AsJson = False,
) -> None:
    """Cut a run's model into three parts and hand each server its own; kits for loopback are made if there are none."""
    from app.predictions import ownership
    from app.predictions.models import TrainedModel

    limits = _limits(answers, quota, rate, rows)
    trained = TrainedModel.load(run, data_path)
    model = ownership.ToShare(trained.network, *trained.range, trained.test.inputs, trained.task)
    prepared = ownership.prepare(model, limits)
    if not kits.exists():
        ownership.loopback_kits(kits, client or ["alice"])
    elif client:
        raise ConfigError(f"{kits} is there already; --client is for kits made now, so leave it out")
    shared = ownership.share(prepared, kits, trained.task, lambda line: None)
    if as_json:
        print(json.dumps(_account(shared)))
        return
    for line in _sharing_lines(shared, kits):
        print(line)


@predict.command()
def kits(
    helper: Annotated[str, typer.Option(help="HOST:PORT of the helper, as the others reach it.")],
    online_1: Annotated[str, typer.Option(help="HOST:PORT of the first online server.")],
    online_2: Annotated[str, typer.Option(help="HOST:PORT of the second online server.")],
    client: Annotated[list[str], typer.Option(help="Name of a client; may be repeated.")],
    out: Annotated[Path, typer.Option(help="A new folder for the kits.")] = _KITS,
    authority: Annotated[
        Path | None,
        typer.Option(
            help="The authority's folder that provision made; default: an authority for these kits."
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Lifetime of the certificates.")] = 365,
) -> None:
    """Make the kits of servers on machines of their own, clients and owner; nothing is ever written over."""
    from datetime import UTC, datetime

    from app.deployment.kit import address_of
    from app.predictions.kits import Plan, make_kits, read_authority
    from predictions.credentials import FIRST, HELPER, SECOND
    from predictions.link import Address

    told = {HELPER: helper, FIRST: online_1, SECOND: online_2}
    servers = {party: Address(*address_of(text)) for party, text in told.items()}
    ca = read_authority(authority) if authority else None
    make_kits(Plan(out, servers, tuple(client), days, ca), datetime.now(UTC))
    print(f"made {out}")
    for party in servers:
        print(f"next: copy {out / 'servers' / party} to its machine, and there: chorus predict serve {party}")
    print(f"next: chorus predict share RUN --kits {out}, then copy {out / 'clients'}/NAME to each client")


@predict.command()
def serve(
    path: Annotated[
        Path, typer.Argument(help="A server's kit, or the folder of the kits of all three.")
    ] = _KITS,
    requests: Annotated[int, typer.Option(min=0, help="End after so many answers; 0: go on.")] = 0,
    ahead: Annotated[int, typer.Option(min=0, help="Lots made ahead for each kind and size of query.")] = 1,
    memory: Annotated[int, typer.Option(min=1, help="MiB that lots made ahead may take.")] = 256,
    patience: _Patience = 10.0,
    host: Annotated[str, typer.Option(help="Address to listen on; default: as the kit says.")] = "",
) -> None:
    """Run a server; or all three, as processes of this machine."""
    from app.predictions import kits as made
    from app.predictions import processes, serving
    from predictions.first_server import Work

    folders = made.server_folders(path)
    if len(folders) == 1:
        work = Work(requests, ahead, memory << 20)
        serving.serve(serving.ServerStart(folders[0], host, work, patience), _say)
        return
    options = [
        f"--requests={requests}", f"--ahead={ahead}", f"--memory={memory}", f"--patience={patience}",
        *([f"--host={host}"] if host else []),
    ]  # fmt: skip
    with processes.ended_by_signals(), processes.running(folders, options, _say) as servers:
        code = max(abs(one.wait()) for one in servers)
    raise typer.Exit(code)


@predict.command()
def query(
    kit: _ClientKit = _ALICE,
    index: Annotated[
        list[int] | None, typer.Option(help="Example of the task's test set; may be repeated.")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="A safetensors file with a tensor `inputs` (rows, shape of one).")
    ] = None,
    answer: Annotated[
        Literal["label", "logits", "top"], typer.Option(help="What to ask for; top: softmax of the best.")
    ] = "label",
    places: Annotated[int, typer.Option("--top", min=1, help="How many of the best, with --answer top.")] = 3,
    canaries: Annotated[
        int | None, typer.Option(min=0, help="How many ride along; default: one for every eight examples.")
    ] = None,
    task: _Task = "",
    data_path: _Data = "",
    patience: _Patience = 20.0,
    as_json: _AsJson = False,
) -> None:
    """Ask about examples; no server learns question or answer."""
    from app.predictions import asking
    from app.predictions.kits import PartyKit
    from predictions.client import Client

    if (index is None) == (inputs is None):
        raise ConfigError("say what to ask about: --index N (may be repeated), or --inputs FILE")
    opened = PartyKit.open(kit)
    found = opened.for_client()
    chosen = (
        asking.from_file(inputs) if inputs else asking.from_task(task or opened.task, data_path, index or [])
    )
    with Client(found, patience) as client:
        reply = client.query(chosen.inputs, asking.answer_of(answer), canaries)
    answers = asking.shown_answers(answer, reply, places)
    cost = {
        "seconds": reply.seconds,
        "sent": reply.sent,
        "received": reply.received,
        "canaries": reply.canaries,
    }
    if as_json:
        print(json.dumps({"answers": answers, **cost}))
        return
    for name, one in zip(chosen.names, answers, strict=True):
        print(f"{name}: {_shown(one)}")
    print(_cost_line(cost))


@predict.command()
def evaluate(
    kit: _ClientKit = _ALICE,
    examples: Annotated[int, typer.Option(min=0, help="How many of the test set; 0: all.")] = 0,
    rows: Annotated[int, typer.Option(min=1, help="Of a batch.")] = 128,
    checks: Annotated[
        int, typer.Option(min=0, help="Counts of canaries that run along, at the price of a set each.")
    ] = 1,
    task: _Task = "",
    data_path: _Data = "",
    patience: _Patience = 20.0,
    as_json: _AsJson = False,
) -> None:
    """Count how many of a secret test set a secret model labels right; nothing else is revealed, to anybody."""
    from app.predictions import asking
    from app.predictions.kits import PartyKit
    from predictions.client import Client
    from predictions.evaluation import count_right

    opened = PartyKit.open(kit)
    found = opened.for_client()
    if not (task or opened.task):
        raise ConfigError("the kit names no task; give --task")
    data = asking.all_of(task or opened.task, data_path, examples)
    with Client(found, patience) as client:
        told = count_right(client, data.inputs, data.labels, rows, checks)
    cost = {"seconds": told.seconds, "sent": told.sent, "received": told.received, "checks": told.checks}
    if as_json:
        accuracy = told.right / told.examples
        print(json.dumps({"right": told.right, "examples": told.examples, "accuracy": accuracy, **cost}))
        return
    print(f"{told.right} of {told.examples} right: accuracy {told.right / told.examples:.4f}")
    print(
        f"{told.seconds:.2f} s, {_mib(told.sent)} sent, {_mib(told.received)} received, {checks} counts of canaries"
    )


@predict.command()
def shutdown(
    kit: Annotated[Path, typer.Argument(help="The owner's kit.")] = _KITS / "owner",
) -> None:
    """End all three servers; only the owner can."""
    from app.predictions.kits import PartyKit
    from predictions.errors import LinkFailed
    from predictions.owner import Owner

    opened = PartyKit.open(kit)
    owner, missed = Owner(opened.servers, opened.credentials, patience=10.0), 0
    for party in reversed(list(opened.servers)):
        try:
            owner.shut_down(party)
            print(f"{party} ends")
        except LinkFailed as error:
            missed += 1
            print(f"{party}: {error.line}")
    raise typer.Exit(3 if missed else 0)


@predict.command()
def demo(
    run: _Run,
    examples: Annotated[int, typer.Option(min=1, max=256, help="How many of the test set are asked.")] = 5,
    data_path: _Data = "",
    as_json: _AsJson = False,
) -> None:
    """Share, serve, query, evaluate and shut down, all on loopback, and say what each server saw."""
    from app.predictions import demonstration
    from app.predictions.models import TrainedModel

    trained = TrainedModel.load(run, data_path)
    account = demonstration.demonstrate(trained, examples, (lambda line: None) if as_json else _say)
    if as_json:
        print(json.dumps(account))


def _limits(answers: str, quota: int, rate: float, rows: int) -> "Limits":
    from predictions.limits import Limits
    from predictions.program import Answer

    try:
        kinds = frozenset(Answer(one.strip()) for one in answers.split(",") if one.strip())
    except ValueError:
        raise ConfigError(
            f"--answers {answers!r} cannot be used; name some of logits, label and count"
        ) from None
    return Limits(kinds, rows, quota, rate)


def _account(shared: "Shared") -> dict[str, Any]:
    program, limits = shared.prepared.sharing.program, shared.prepared.sharing.limits
    return {
        "sharing": shared.prepared.sharing.name,
        "input": list(program.wires[0].shape),
        "classes": program.wires[program.operations[-1].target].shape[0],
        "operations": [type(one).__name__ for one in program.operations],
        "sent": shared.sent,
        "clients": list(shared.clients),
        "answers": sorted(limits.answers),
    }


def _sharing_lines(shared: "Shared", root: Path) -> list[str]:
    told = _account(shared)
    return [
        f"sharing {told['sharing']}: input {'x'.join(map(str, told['input']))}, {told['classes']} classes",
        f"public: {', '.join(told['operations'])}; shapes, limits, who asks and when. Secret: weights, inputs, answers",
        "sent: " + ", ".join(f"{size:,} bytes to {party}" for party, size in told["sent"].items()),
        f"clients: {', '.join(told['clients'])}, who may ask for {', '.join(told['answers'])}",
        f"next: chorus predict serve {root}",
        f"next: chorus predict query {root / 'clients' / told['clients'][0]} --index 0",
    ]


def _shown(answer: Any) -> str:  # noqa: ANN401
    if isinstance(answer, int):
        return f"label {answer}"
    if isinstance(answer[0], dict):
        return ", ".join(f"{one['label']} {one['softmax']:.4f}" for one in answer)
    return " ".join(f"{one:.4f}" for one in answer)


def _cost_line(cost: dict[str, Any]) -> str:
    return (
        f"{cost['seconds'] * 1000:.1f} ms, {_mib(cost['sent'])} sent, {_mib(cost['received'])} received, "
        f"{cost['canaries']} canaries came back right"
    )


def _mib(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count:,} bytes"


def _say(line: str) -> None:
    print(line, flush=True)
