"""The sequence of a session, drawn from the code's own tables.

Decides: how it looks. Everything it says is read: the protocol rounds and their Flower actions (`wire.rounds`), which
message a client's step takes and gives and in which state it then is (signatures in `secagg.client`), what a message is
and what either side does (docstrings). Refuses to know the protocol beside that.
"""

import importlib
import inspect
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Final, get_args, get_type_hints

from secagg import replies, requests
from wire.rounds import ProtocolRound

WIDTH: Final = 860
_SERVER, _CLIENT = 190, 670  # where the two lines stand
_LINE: Final = 16
_COLUMN: Final = 66  # characters of a caption
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#1b1b1b}.b{font-weight:600}.m{font-family:ui-monospace,monospace}"
    ".s{font-size:12px;fill:#555}text{paint-order:stroke;stroke:#fff;stroke-width:4px}"
)


@dataclass(frozen=True)
class Step:
    """One protocol round as the code has it.

    Attributes:
        request, reply: the message each way and what its docstring says of it.
        client, server: first line of the step's module on either side.
        state: what a client is in afterwards.
    """

    protocol_round: ProtocolRound
    request: tuple[str, str]
    reply: tuple[str, str]
    client: str
    server: str
    state: str

    @property
    def action(self) -> str:
        """The Flower message type."""
        return self.protocol_round.message_type

    @property
    def optional(self) -> bool:
        """Taken against an active server alone."""
        return self.protocol_round is ProtocolRound.CONSISTENCY_CHECK


def steps() -> list[Step]:
    """All protocol rounds, in order."""
    return [_step(each) for each in ProtocolRound]


def _step(protocol_round: ProtocolRound) -> Step:
    module = importlib.import_module(f"secagg.client.{protocol_round}_{protocol_round.action}")
    for _, function in inspect.getmembers(module, inspect.isfunction):
        hints = get_type_hints(function)
        given = get_args(hints.pop("return", None))
        taken = [each for each in hints.values() if getattr(each, "__module__", "") == requests.__name__]
        if (
            function.__module__ == module.__name__
            and taken
            and len(given) == 2
            and given[1].__module__ == replies.__name__
        ):
            other = importlib.import_module(module.__name__.replace(".client.", ".server."))
            does = [(inspect.getdoc(side) or "").splitlines()[0].rstrip(".") for side in (module, other)]
            doing = [each.partition(", ")[2].removesuffix(" (active sessions)") for each in does]
            return Step(
                protocol_round, _said(taken[0]), _said(given[1]), doing[0], doing[1], given[0].__name__
            )
    raise LookupError(f"{module.__name__} has no step that takes a request and gives a state and a reply")


def _said(message: type[Any]) -> tuple[str, str]:
    """Name, and the docstring's first sentence behind its `r1, server to client:`."""
    text = " ".join((inspect.getdoc(message) or "").split("\n\n")[0].split())
    return message.__name__, re.split(r"(?<=[^.])\.(?: |$)", text.partition(": ")[2])[0]


def picture() -> str:
    """The whole of it as SVG."""
    parts: list[str] = []
    y = 70
    for step in steps():
        drawn, y = _drawn(step, y)
        parts += drawn
    height = y + 40
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="Messages of a session between the server and a client">',
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="9" markerHeight="9" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#0072b2"/></marker></defs>',
        *(_pole(at, name, height) for at, name in ((_SERVER, "server"), (_CLIENT, "each client"))),
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _pole(x: int, name: str, height: int) -> str:
    return (
        f'<path d="M{x} 44V{height - 16}" stroke="#999"/><rect x="{x - 70}" y="14" width="140" height="30" rx="5" '
        f'fill="#eef3f7" stroke="#789"/><text class="b" x="{x}" y="34" text-anchor="middle">{name}</text>'
    )


def _drawn(step: Step, top: int) -> tuple[list[str], int]:
    """A band: its name, the request, what the client does, the reply, what the server does; where the next begins."""
    title = f"{step.protocol_round}  {step.protocol_round.action.replace('_', ' ')}"
    title += "  (against an active server alone)" if step.optional else ""
    drawn = [
        f'<text class="b" x="16" y="{top + 20}">{escape(title)}</text>',
        f'<text class="m s" x="{WIDTH - 16}" y="{top + 20}" text-anchor="end">{step.action}</text>',
    ]
    y = top + 16
    ways = (
        (step.request, step.client, _SERVER + 4, _CLIENT - 4),
        (step.reply, step.server, _CLIENT - 4, _SERVER + 4),
    )
    for (name, said), does, start, end in ways:
        words, y = _lines([f'<tspan class="b">{name}</tspan>', *_wrapped(said)], y + 8, "")
        y += 8
        arrow = f'<path d="M{start} {y}H{end}" stroke="#0072b2" stroke-width="1.6" marker-end="url(#a)"/>'
        work, y = _lines(_wrapped(does), y + 2, "s")
        drawn += [*words, arrow, *work]
    drawn += _side(step, top + 44)
    dash = ' stroke-dasharray="5 4"' if step.optional else ""
    size = f'width="{WIDTH - 12}" height="{y - top + 10}"'
    return [f'<rect x="6" y="{top}" {size} rx="6" fill="none" stroke="#bbb"{dash}/>', *drawn], y + 22


def _wrapped(text: str) -> list[str]:
    return [escape(line) for line in textwrap.wrap(re.sub(r"[*`]", "", text), _COLUMN)]


def _lines(words: Sequence[str], y: int, style: str) -> tuple[list[str], int]:
    """Lines in the middle, one below the other from `y`, and where they end."""
    at = (_SERVER + _CLIENT) // 2
    drawn = [
        f'<text class="{style}" x="{at}" y="{y + number * _LINE}" text-anchor="middle">{word}</text>'
        for number, word in enumerate(words, start=1)
    ]
    return drawn, y + len(words) * _LINE


def _side(step: Step, y: int) -> list[str]:
    """The state that the client is in afterwards, beside its line."""
    state = re.sub(r"(?<!^)(?=[A-Z])", " ", step.state).lower()
    return [
        f'<text class="s" x="{_CLIENT + 12}" y="{y + number * _LINE}">{escape(line)}</text>'
        for number, line in enumerate(textwrap.wrap(f"then {state}", 22))
    ]
