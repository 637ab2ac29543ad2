"""What people and programs are shown of a sharing and of answers.

Decides: words, and the fields of JSON. Refuses to know: options, and where it is printed.
"""

from pathlib import Path
from typing import Any

from app.predictions.ownership import Shared


def account(shared: Shared) -> dict[str, Any]:
    """What a sharing is and cost, as plain JSON."""
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


def sharing_lines(shared: Shared, root: Path) -> list[str]:
    """The same for people, and what comes next."""
    told = account(shared)
    return [
        f"sharing {told['sharing']}: input {'x'.join(map(str, told['input']))}, {told['classes']} classes",
        f"public: {', '.join(told['operations'])}; shapes, limits, who asks and when. Secret: weights, inputs, answers",
        "sent: " + ", ".join(f"{size:,} bytes to {party}" for party, size in told["sent"].items()),
        f"clients: {', '.join(told['clients'])}, who may ask for {', '.join(told['answers'])}",
        f"next: chorus predict serve {root}",
        f"next: chorus predict query {root / 'clients' / told['clients'][0]} --index 0",
    ]


def shown(answer: Any) -> str:  # noqa: ANN401
    """One example's answer, of `asking.shown_answers`."""
    if isinstance(answer, int):
        return f"label {answer}"
    if isinstance(answer[0], dict):
        return ", ".join(f"{one['label']} {one['softmax']:.4f}" for one in answer)
    return " ".join(f"{one:.4f}" for one in answer)


def cost_line(cost: dict[str, Any]) -> str:
    """What a query took."""
    return (
        f"{cost['seconds'] * 1000:.1f} ms, {size(cost['sent'])} sent, {size(cost['received'])} received, "
        f"{cost['canaries']} canaries came back right"
    )


def size(count: int) -> str:
    """So many bytes."""
    return f"{count / 1e6:.2f} MB" if count >= 100_000 else f"{count:,} bytes"
