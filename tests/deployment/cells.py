"""The table of faults: who is killed in which protocol round, and what becomes of the server round.

Decides: every cell's prediction, in code; `docs/faults.md` holds the same table, and a test keeps the two equal.
Refuses to know: how a process is found, killed or watched (`faults` does).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

ROUNDS = ("r0", "r1", "r2", "r4")
NODES, THRESHOLD = 4, 3
VICTIM = 3  # the node whose processes are killed; its client weighs most
SECOND = 2  # and where two are lost, this one too
AWAY = 15.0  # seconds until a SuperLink that comes back is started again


class Killed(StrEnum):
    """What gets a SIGKILL."""

    CLIENT_APP = "ClientApp"
    TWO_CLIENT_APPS = "ClientApps of two nodes"
    SUPER_NODE = "SuperNode"
    NODE_SUPER_EXEC = "SuperExec of a node"
    SUPER_EXEC = "SuperExec of the server"
    SERVER_APP = "ServerApp"
    SUPER_LINK = "SuperLink"


class Outcome(StrEnum):
    """What becomes of the server round in which somebody was killed, and of the run."""

    ALL = "exact sum over all four"
    OTHERS = "exact sum over the three others"
    REFUSED = "refused (QUORUM), model unchanged; a later round is exact over all four"
    STOPPED = "run failed, says Flower; nothing released"
    LINK_LOST = "run failed (ENV) after 60 s; nothing released"


WORDS = {
    Outcome.ALL: "all four",
    Outcome.OTHERS: "the others",
    Outcome.REFUSED: "refused",
    Outcome.STOPPED: "failed",
    Outcome.LINK_LOST: "link lost",
}
AGAIN = {
    Killed.CLIENT_APP: (False,),  # each message starts a new one
    Killed.TWO_CLIENT_APPS: (False,),
    Killed.SUPER_NODE: (False, True),
    Killed.NODE_SUPER_EXEC: (False,),  # only its SuperNode starts one: the row above
    Killed.SUPER_EXEC: (False, True),
    Killed.SERVER_APP: (False,),  # nobody starts it again but a new run
    Killed.SUPER_LINK: (False, True),
}


@dataclass(frozen=True)
class Cell:
    """One fault.

    Attributes:
        killed: what gets the signal.
        protocol_round: which one is under way.
        again: whether it is started again; a SuperLink after `AWAY` seconds, the others at once.
    """

    killed: Killed
    protocol_round: str
    again: bool

    @property
    def name(self) -> str:
        """`SuperNode@r1`, `SuperNode@r1+again`; without spaces, as `--only` takes it."""
        who = self.killed.replace(" ", "-")
        return f"{who}@{self.protocol_round}" + ("+again" if self.again else "")

    @property
    def outcome(self) -> Outcome:
        """The prediction."""
        match self.killed:
            case Killed.SUPER_LINK:
                return Outcome.ALL if self.again else Outcome.LINK_LOST
            case Killed.SUPER_EXEC | Killed.SERVER_APP:
                return Outcome.STOPPED
            case Killed.TWO_CLIENT_APPS:
                return Outcome.REFUSED
        # Once the masked inputs are in (r2), a client that vanishes is in the sum all the same: three shares do.
        return Outcome.OTHERS if self.silent("r2") else Outcome.ALL

    def silent(self, protocol_round: str) -> int:
        """How many of the nodes asked in that protocol round of the same session do not answer."""
        if self.killed is Killed.NODE_SUPER_EXEC:
            # The ClientApp at work goes on; no other is started.
            return int(protocol_round > self.protocol_round)
        lost = {Killed.CLIENT_APP: 1, Killed.TWO_CLIENT_APPS: 2, Killed.SUPER_NODE: 1}.get(self.killed, 0)
        return lost if protocol_round >= self.protocol_round else 0

    @property
    def rounds(self) -> int:
        """Server rounds of the run; a refused one needs others after it, while Flower still waits for the dead."""
        return 6 if self.outcome is Outcome.REFUSED else 1


def cells() -> Iterator[Cell]:
    """Every cell, row by row."""
    for killed, choices in AGAIN.items():
        for again in choices:
            for protocol_round in ROUNDS:
                yield Cell(killed, protocol_round, again)


def table() -> list[str]:
    """The table as Markdown, one row a victim, and what its words mean."""
    lines = [f"| killed | started again | {' | '.join(ROUNDS)} |", f"|---|---|{'---|' * len(ROUNDS)}"]
    for killed, choices in AGAIN.items():
        for again in choices:
            found = [WORDS[Cell(killed, protocol_round, again).outcome] for protocol_round in ROUNDS]
            lines.append(f"| {killed} | {_when(killed, again)} | {' | '.join(found)} |")
    return [*lines, "", *(f"- **{word}**: {outcome}" for outcome, word in WORDS.items())]


def _when(killed: Killed, again: bool) -> str:
    if not again:
        return "no"
    return f"after {AWAY:g} s" if killed is Killed.SUPER_LINK else "at once"
