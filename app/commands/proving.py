"""The commands `ledger` and `verify`: what was spent, and what transcripts prove.

Decides: options and what is printed. Refuses to know accounting and checks.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.catalogue import DOES_NOT_HOLD, exit_code_of
from app.commands import options


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(ledger)
    app.command()(verify)


def ledger(
    paths: Annotated[list[Path], typer.Argument(help="Ledgers of one client each.")],
    delta: Annotated[float, typer.Option(help="Of the guarantee.")] = 1e-5,
    as_json: options.AsJson = False,
) -> None:
    """Say what was spent, from ledgers alone: one sentence a guarantee, of the client that spent most."""
    from app.privacy import guarantees  # the accountants: only here
    from privacy.guarantee import sentences

    found = guarantees(paths, delta)
    if as_json:
        told = [asdict(each) | {"sentence": each.sentence} for each in found]
        options.print_document({"guarantees": told})
        return
    for sentence in sentences(found):
        print(sentence)


def verify(
    nodes: Annotated[list[Path], typer.Argument(help="Transcripts of nodes.")],
    server: Annotated[
        list[Path], typer.Option(help="Transcript of the server; repeated, also what was put aside.")
    ],
    roster: Annotated[Path | None, typer.Option(help="Who belongs to the federation.")] = None,
    authority: Annotated[str, typer.Option(help="Public key that signed the roster, hexadecimal.")] = "",
    ledgers: Annotated[
        list[Path] | None, typer.Option("--ledger", help="Of a node; may be repeated.")
    ] = None,
    policies: Annotated[
        list[Path] | None, typer.Option("--policy", help="Of a node; may be repeated.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what transcripts prove of a run: one line a check; exit code 3 where something does not hold."""
    from app.findings import Verdict  # pydantic, accountants: only here
    from app.verify import verify as findings
    from app.verify_terms import Demands

    found = findings(server, nodes, Demands.load(roster, authority, policies or [], ledgers or []))
    fails = any(each.verdict is Verdict.FAILS for each in found)
    if as_json:
        code = {"code": DOES_NOT_HOLD} if fails else {}
        options.print_document({"holds": not fails, **code, "findings": [asdict(each) for each in found]})
    else:
        for each in found:
            print(each.line)
    raise typer.Exit(exit_code_of(DOES_NOT_HOLD) if fails else 0)
