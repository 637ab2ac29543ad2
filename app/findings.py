"""What a verification says, a line at a time, and what it is said of.

Decides: the three verdicts, and who witnesses which session. Refuses to know: any check (`app.verify`,
`app.verify_terms`).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from app.evidence import NodeAccount, NodeSession, short
from app.server_evidence import ServerAccount, ServerSession
from secagg.params import Agreement, Session
from wire.entry_kinds import Agreed


class Verdict(StrEnum):
    """What became of a check; `note`: what it could not look at."""

    HOLDS = "ok"
    FAILS = "fails"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    verdict: Verdict
    check: str
    text: str

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.verdict:<6}{self.check:<11}{self.text}"


@dataclass(frozen=True)
class Witness:
    """One node's account of one session of the server's."""

    node: NodeAccount
    told: NodeSession
    server: ServerSession

    @property
    def index(self) -> int:
        """The node's, in the session."""
        return self.told.joined.index

    @property
    def where(self) -> str:
        """For people."""
        opened = self.server.opened
        return f"{self.node.name}, session {short(opened.session)} (round {opened.server_round}, {opened.purpose})"


@dataclass(frozen=True)
class Evidence:
    """What was given of one Flower run, all lines of which hold.

    Attributes:
        before: the run that this one resumes.
        resumed: whether another goes on where this one was stopped.
        runs: all of them.
    """

    server: ServerAccount
    nodes: tuple[NodeAccount, ...]
    before: ServerAccount | None = None
    resumed: bool = False
    runs: frozenset[str] = frozenset()

    @property
    def run(self) -> str:
        """The run in question: the server's."""
        return next(iter(self.server.runs), "")

    @property
    def witnesses(self) -> Iterator[Witness]:
        """Every node's account of every session that the server knows too."""
        for node in self.nodes:
            for name, told in node.of_run(self.run).items():
                if name in self.server.sessions:
                    yield Witness(node, told, self.server.sessions[name])


def finding(check: str, holds: str, faults: Iterable[str]) -> list[Finding]:
    """What fails, a line each; or that nothing does."""
    failed = [Finding(Verdict.FAILS, check, fault) for fault in faults]
    return failed or [Finding(Verdict.HOLDS, check, holds)]


@lru_cache(maxsize=4096)
def agreement_of(told: Agreed) -> Agreement:
    """What the entry's context is the digest of.

    Raises:
        ParameterError: values that no session has.
    """
    session = Session(bytes.fromhex(told.session), told.server_round, told.params)
    digests = (bytes.fromhex(each) for each in (told.cohort, told.model, told.config, told.standing))
    return Agreement(session, told.advertised, *digests)
