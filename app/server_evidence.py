"""What a server's transcript tells, put in order: each session's lines by kind, and the rounds it ended.

Decides: that the lines make sense by themselves: nothing twice, nothing out of turn; and which sessions and
rounds have no end. Refuses to know: what nodes wrote (`app.evidence`), and whether they agree (`app.verify`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from app.evidence import Document, misplaced, short
from wire.entry_kinds import Entry, Failed, RoundEnded, SessionOpened, Sharers, Summed, Survivors


@dataclass
class ServerSession:
    """What the server wrote of a session."""

    opened: SessionOpened
    sharers: Sharers | None = None
    survivors: Survivors | None = None
    end: Summed | Failed | None = None

    @property
    def sum(self) -> Summed | None:
        """The sum, if one was unmasked."""
        return self.end if isinstance(self.end, Summed) else None

    @property
    def sharing(self) -> frozenset[int]:
        """Who shared keys, by index."""
        return frozenset(self.sharers.members if self.sharers else ())

    @property
    def surviving(self) -> frozenset[int]:
        """Who survived, by index."""
        return frozenset(self.survivors.members if self.survivors else ())


@dataclass
class ServerAccount:
    """What the server wrote of one Flower run; attributes as those of `NodeAccount`, and these.

    Attributes:
        rounds: those it ended, in order.
        unended: sessions and rounds that have no end.
    """

    name: str
    keys: frozenset[str]
    runs: set[str] = field(default_factory=set)
    sessions: dict[str, ServerSession] = field(default_factory=dict)
    rounds: list[RoundEnded] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unended: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, chain: Sequence[Document]) -> "ServerAccount":
        """From its files, all lines of which hold."""
        account = cls(chain[-1].name, frozenset(each.opened.key for each in chain if each.opened))
        account.faults += misplaced(chain, account._take)
        account._close()
        return account

    def _take(self, entry: Entry) -> str:
        """Put one line where it belongs; why it belongs nowhere."""
        if isinstance(entry, SessionOpened | RoundEnded):
            self.runs.add(entry.run)
        if isinstance(entry, SessionOpened):
            again = entry.session in self.sessions
            self.sessions.setdefault(entry.session, ServerSession(entry))
            return f"session {short(entry.session)} is opened a second time" if again else ""
        if isinstance(entry, RoundEnded):
            return self._end_round(entry)
        if not isinstance(entry, Sharers | Survivors | Summed | Failed):
            return f"a {entry.kind} is no line of a server"
        found = self.sessions.get(entry.session)
        if found is None:  # too few keys: there never was a cohort
            known = isinstance(entry, Failed)
            return "" if known else f"session {short(entry.session)} was never opened"
        return _told(found, entry)

    def _end_round(self, entry: RoundEnded) -> str:
        self.rounds.append(entry)
        left = [name for name, each in self.sessions.items() if each.end is None]
        return f"the round ends before session {short(left[0])} has" if left else ""

    def _close(self) -> None:
        """What the last line leaves open."""
        if len(self.runs) != 1 or not self.sessions:
            self.faults.append(
                f"{self.name} is of {len(self.runs)} runs with {len(self.sessions)} sessions, not of one run"
            )
        ended = {each.server_round for each in self.rounds}
        sessions = self.sessions.items()
        self.unended = [f"session {short(name)}" for name, each in sessions if each.end is None]
        rounds = {each.opened.server_round for each in self.sessions.values()} - ended
        self.unended += [f"round {number}" for number in sorted(rounds)]


def _told(session: ServerSession, entry: Sharers | Survivors | Summed | Failed) -> str:
    """Add a line to a session; why it cannot be."""
    where = f"session {short(entry.session)}"
    if session.end is not None:
        return f"{where} had ended"
    if isinstance(entry, Failed):
        session.end = entry
        return ""
    if isinstance(entry, Sharers):
        return _set_of(session, entry, range(1, session.opened.advertised + 1), "the cohort")
    if isinstance(entry, Survivors):
        return _set_of(session, entry, session.sharing, "those that shared keys")
    session.end = entry
    if session.survivors is None or entry.survivors != len(session.surviving):
        return f"{where} sums {entry.survivors} vectors, and {len(session.surviving)} clients survived"
    return (
        "" if session.surviving.issuperset(entry.revealed) else f"in {where} shares of others were revealed"
    )


def _set_of(session: ServerSession, entry: Sharers | Survivors, among: Iterable[int], whom: str) -> str:
    """Take a set of clients; why it is none."""
    where = f"session {short(entry.session)}"
    if getattr(session, entry.kind) is not None:
        return f"the {entry.kind} of {where} stand there a second time"
    setattr(session, entry.kind, entry)
    ascending = list(entry.members) == sorted(set(entry.members))
    return (
        ""
        if ascending and set(entry.members) <= set(among)
        else f"the {entry.kind} of {where} are not of {whom}"
    )
