"""The files of transcripts, and what a node's tell, put in order: each session's lines by kind.

Decides: which files belong to one writer, that every line holds, and that the lines of one writer make sense by
themselves: nothing twice, nothing out of turn, nothing without what must come before it.
Refuses to know: the server's lines (`app.server_evidence`), and whether writers agree with each other (`app.verify`).
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from arithmetic.errors import ConfigError
from wire.entry_kinds import Entry, Joined, Masked, Opened, Refused, Revealed, Signed
from wire.transcript import Reading, read_transcript


@dataclass(frozen=True)
class Document:
    """One file.

    Attributes:
        name: of the file, for people.
        digest: SHA-256 of what it holds, hexadecimal.
    """

    name: str
    digest: str
    reading: Reading

    @classmethod
    def load(cls, path: Path) -> "Document":
        """The file at `path`; whatever stands in it.

        Raises:
            ConfigError: it cannot be read.
        """
        data = bytes_of(path)
        return cls(str(path), hashlib.sha256(data).hexdigest(), read_transcript(data))

    @property
    def opened(self) -> Opened | None:
        """Its first line."""
        return self.reading.opened


def bytes_of(path: Path) -> bytes:
    """What a file named on the command line holds.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); name a file that can") from None


def load(paths: Iterable[Path]) -> list[tuple[Document, ...]]:
    """The documents, those of one writer together: each was put aside for the one after it.

    Raises:
        ConfigError: a file cannot be read, or was given twice.
    """
    documents = [Document.load(path) for path in paths]
    named = {each.digest: each for each in documents}
    if len(named) < len(documents):
        raise ConfigError("one transcript was given twice; name every file once")
    followed = {each.opened.before: each for each in documents if each.opened and each.opened.before in named}
    later = {each.digest for each in followed.values()}
    chains = []
    for first in documents:
        if first.digest not in later:
            chain = [first]
            while chain[-1].digest in followed:
                chain.append(followed[chain[-1].digest])
            chains.append(tuple(chain))
    return chains


def faults_of(chain: Sequence[Document]) -> list[str]:
    """Which line does not hold, of each file in which one does not.

    The torn last line of a file that was put aside is none: the next one names the file, torn as it is.
    """
    found = []
    for at, document in enumerate(chain):
        reading, last = document.reading, at == len(chain) - 1
        if reading.fault and (last or not reading.torn):
            found.append(f"{document.name}, {reading.fault}; nothing from there on counts")
    return found


@dataclass
class NodeSession:
    """What a node wrote of a session it joined."""

    joined: Joined
    masked: Masked | None = None
    signed: Signed | None = None
    revealed: Revealed | None = None
    refused: Refused | None = None


def misplaced(chain: Sequence[Document], take: Callable[[Entry], str]) -> Iterator[str]:
    """Hand every line of the files to `take`, in order; which of them it says belong nowhere, and why."""
    for document in chain:
        for line in document.reading.lines:
            why = take(line.entry)
            if why:
                yield f"{document.name}, line {line.number}: {why}"


@dataclass
class NodeAccount:
    """What a node wrote.

    Attributes:
        name: of its last file.
        keys: that signed its files; empty ones where none did.
        sessions: those it joined, in order, by identifier.
        faults: lines that make no sense by themselves.
    """

    name: str
    keys: frozenset[str]
    sessions: dict[str, NodeSession] = field(default_factory=dict)
    refusals: list[Refused] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, chain: Sequence[Document]) -> "NodeAccount":
        """From its files, all lines of which hold."""
        account = cls(chain[-1].name, frozenset(each.opened.key for each in chain if each.opened))
        account.faults += misplaced(chain, account._take)
        return account

    @property
    def ids(self) -> set[int]:
        """Flower's ids of the node, over time."""
        return {each.joined.node for each in self.sessions.values()}

    def of_run(self, run: str) -> dict[str, NodeSession]:
        """Its sessions of one run."""
        return {name: each for name, each in self.sessions.items() if each.joined.run == run}

    def _take(self, entry: Entry) -> str:
        """Put one line where it belongs; why it belongs nowhere."""
        if isinstance(entry, Joined):
            again = entry.session in self.sessions
            self.sessions.setdefault(entry.session, NodeSession(entry))
            return f"session {short(entry.session)} is joined a second time" if again else ""
        if isinstance(entry, Refused):
            self.refusals.append(entry)
            if entry.session in self.sessions:
                self.sessions[entry.session].refused = entry
            return ""
        if not isinstance(entry, Masked | Signed | Revealed):
            return f"a {entry.kind} is no line of a node"
        found = self.sessions.get(entry.session)
        if found is None:
            return f"it {entry.kind} in session {short(entry.session)}, which it never joined"
        return _continued(found, entry)


def _continued(session: NodeSession, entry: Masked | Signed | Revealed) -> str:
    """Add a line to a session; why it cannot be."""
    where = f"in session {short(entry.session)}"
    if getattr(session, entry.kind) is not None:
        return f"it {entry.kind} a second time {where}"
    if session.refused is not None:
        return f"it {entry.kind} {where}, which it had refused"
    if session.revealed is not None or (isinstance(entry, Masked) and session.signed is not None):
        return f"it {entry.kind} {where} too late"
    active = session.joined.params.adversary == "active"
    if not isinstance(entry, Masked) and session.masked is None:
        fault = f"it {entry.kind} {where} without a mask"
    elif isinstance(entry, Revealed) and active and session.signed is None:
        fault = f"it revealed {where} without a signature on the survivors"
    else:
        fault = ""
    setattr(session, entry.kind, entry)
    return fault


def short(session: str) -> str:
    """A session's name for people: its first eight digits."""
    return session[:8]
