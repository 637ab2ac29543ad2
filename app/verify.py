"""What transcripts prove together: one finding a check.

Decides: what server and nodes must agree on, session by session, and what follows where they do not.
Refuses to know: files and the order of lines (`app.evidence`, `app.server_evidence`); rosters, policies and ledgers
(`app.verify_terms`).

A transcript says what its writer ran, if its writer ran this code: see docs/transcript.md for what none can prove.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from app.evidence import Document, NodeAccount, faults_of, load, short
from app.findings import Evidence, Finding, Verdict, Witness, agreement_of, finding
from app.server_evidence import ServerAccount
from app.verify_terms import Demands, judge_terms
from arithmetic.errors import ParameterError
from secagg.params import CODE_VERSION
from secagg.signatory import standing
from wire.entries import set_digest
from wire.entry_kinds import Agreed, SessionOpened
from wire.rounds import Purpose

Check = Callable[[Evidence], Iterable[str]]


def verify(server: Iterable[Path], nodes: Iterable[Path], demands: Demands) -> list[Finding]:
    """One finding a check, or several where one fails.

    Args:
        server: transcripts of one run's server; where it was resumed, those of all its parts in order.
        nodes: transcripts of nodes, of whatever runs.
        demands: what else they are held against.

    Raises:
        ConfigError: a file cannot be read, or was given twice.
    """
    servers, others = load(server), load(nodes)
    found = read(servers, others)
    if any(each.verdict is Verdict.FAILS for each in found):
        return found
    accounts = tuple(NodeAccount.of(chain) for chain in others)
    parts = [ServerAccount.of(chain) for chain in servers]
    runs = frozenset(run for part in parts for run in part.runs)
    for at, part in enumerate(parts):
        before = parts[at - 1] if at else None
        evidence = Evidence(part, accounts, before, at + 1 < len(parts), runs)
        found += [*judge(evidence), *judge_terms(evidence, demands)]
    return found


def read(server: Sequence[tuple[Document, ...]], nodes: Sequence[tuple[Document, ...]]) -> list[Finding]:
    """Whether every line of every file holds; nothing else is worth judging where one does not."""
    found = []
    for chain in (*server, *nodes):
        found += [Finding(Verdict.FAILS, "lines", fault) for fault in faults_of(chain)]
        for document in chain:
            key = document.opened.key if document.opened else ""
            by = f"signed by {key[:16]}" if key else "chained, and signed by nobody"
            if not document.reading.fault:
                text = f"{document.name}: {len(document.reading.lines) + 1} lines, {by}"
                found.append(Finding(Verdict.HOLDS, "lines", text))
        if chain[0].opened and chain[0].opened.before:
            text = f"{chain[0].name} follows a file that was put aside and is not among these; look for it"
            found.append(Finding(Verdict.NOTE, "lines", text))
    return found


def judge(evidence: Evidence) -> list[Finding]:
    """All that server and nodes must agree on."""
    found = []
    for name, holds, check in _CHECKS:
        found += finding(name, holds, check(evidence))
    return [*found, *_notes(evidence)]


def _order(evidence: Evidence) -> Iterator[str]:
    """Lines that make no sense by themselves."""
    yield from evidence.server.faults
    if not evidence.resumed:
        for what in evidence.server.unended:
            yield f"{evidence.server.name}: {what} has no end; the server was killed, or lines were cut off"
    for node in evidence.nodes:
        yield from node.faults


def _known(evidence: Evidence) -> Iterator[str]:
    """Sessions that one side shows and the other does not know."""
    known = {witness.server.opened.session for witness in evidence.witnesses}
    for name, session in evidence.server.sessions.items():
        if session.sum and name not in known:
            yield f"session {short(name)} of the server was summed, and none of these nodes knows it"
    for node in evidence.nodes:
        mine = node.of_run(evidence.run)
        if not any(node.of_run(run) for run in evidence.runs):
            yield f"{node.name} knows no session of run {evidence.run}: it is another node's, or lines are missing"
        for name in mine:
            if name not in evidence.server.sessions:
                yield f"{node.name} joined session {short(name)}, which the server does not show"
        for name, session in evidence.server.sessions.items():
            named = {session.opened.nodes.index(each) + 1 for each in node.ids & set(session.opened.nodes)}
            if name not in mine and named & session.sharing:
                yield f"{node.name} shared keys in session {short(name)}, says the server; the node does not know it"


def _views(evidence: Evidence) -> Iterator[str]:
    """One session, one view: the server's, every node's, and the context that binds it."""
    for session in evidence.server.sessions.values():
        for fault in _own_view(session.opened):
            yield f"{evidence.server.name}, session {short(session.opened.session)}: {fault}"
    places: dict[tuple[str, int], str] = {}
    for witness in evidence.witnesses:
        joined, opened = witness.told.joined, witness.server.opened
        yield from (f"{witness.where}: {fault}" for fault in _context(joined))
        other = [name for name in Agreed.model_fields if getattr(joined, name) != getattr(opened, name)]
        if other:
            yield f"{witness.where}: the server showed this node another {', '.join(other)} than it wrote down"
        if witness.index > len(opened.nodes) or opened.nodes[witness.index - 1] != joined.node:
            yield f"{witness.where}: the server knows index {witness.index} as another node"
        first = places.setdefault((joined.session, witness.index), witness.node.name)
        if first != witness.node.name:
            yield f"{witness.where}: {first} claims index {witness.index} too"


def _own_view(opened: SessionOpened) -> Iterator[str]:
    """What is wrong with the server's own account of a session."""
    yield from _context(opened)
    if len(opened.nodes) != opened.advertised or len(set(opened.nodes)) != len(opened.nodes):
        yield f"it names {len(set(opened.nodes))} nodes for {opened.advertised} indices"
    place = standing(bytes.fromhex(opened.roster), opened.members).hex() if opened.members else ""
    if opened.standing != place:
        yield "its standing is not that of its roster and members"


def _context(told: Agreed) -> Iterator[str]:
    """Why the context is not the digest of what the entry says."""
    if told.code != CODE_VERSION.decode():
        yield f"it ran {told.code!r}, and this is {CODE_VERSION.decode()!r}; verify with that version"
        return
    try:
        follows = agreement_of(told).context.hex() == told.context
    except ParameterError:
        follows = False
    if not follows:
        yield "the context is not that of its fields"


def _masks(evidence: Evidence) -> Iterator[str]:
    """Each node added one self mask, and a pairwise mask for each neighbour that shared keys."""
    for witness in evidence.witnesses:
        masked, sharing = witness.told.masked, witness.server.sharing
        if masked is None:
            if witness.index in witness.server.surviving:
                yield f"{witness.where}: its vector is in the sum, and it never masked one"
            continue
        peers = _peers(witness)
        if (masked.self_masks, masked.pairwise_masks) != (1, len(peers)):
            yield (
                f"{witness.where}: it added {masked.self_masks} self masks and {masked.pairwise_masks} pairwise masks, "
                f"where 1 and {len(peers)} are due"
            )
        if (masked.sharers, masked.sharers_digest) != (len(sharing), set_digest(sharing)):
            yield f"{witness.where}: it was told of other clients that shared keys than the server wrote down"


def _peers(witness: Witness) -> frozenset[int]:
    """The node's neighbours that shared keys."""
    try:
        neighbours = agreement_of(witness.told.joined).graph.neighbours(witness.index)
    except ParameterError:
        return frozenset()
    return frozenset(neighbours) & witness.server.sharing


def _survivors(evidence: Evidence) -> Iterator[str]:
    """Nothing is unmasked below the fewest survivors, and everybody was told of the same ones."""
    for session in evidence.server.sessions.values():
        least = session.opened.params.min_survivors
        if session.sum and len(session.surviving) < least:
            yield (
                f"{evidence.server.name}, session {short(session.opened.session)}: {len(session.surviving)} survivors "
                f"were summed, {least} are the fewest"
            )
    for witness in evidence.witnesses:
        surviving = witness.server.surviving
        for told in (witness.told.signed, witness.told.revealed):
            if told and (told.survivors, told.survivors_digest) != (len(surviving), set_digest(surviving)):
                yield f"{witness.where}: it {told.kind} for other survivors than the server wrote down"
            if told and told.survivors < witness.server.opened.params.min_survivors:
                yield f"{witness.where}: it {told.kind} for {told.survivors} survivors, too few"


def _shares(evidence: Evidence) -> Iterator[str]:
    """Each node that the server heard revealed, once, one share a peer; and there were enough to unmask."""
    for session in evidence.server.sessions.values():
        params, end = session.opened.params, session.sum
        if end and params.is_complete and len(end.revealed) < params.threshold:
            yield (
                f"{evidence.server.name}, session {short(session.opened.session)}: {len(end.revealed)} clients "
                f"revealed shares, and {params.threshold} rebuild a secret"
            )
    for witness in evidence.witnesses:
        revealed, end = witness.told.revealed, witness.server.sum
        if revealed is None:
            if end and witness.index in end.revealed:
                yield f"{witness.where}: the server has shares of it, and it never revealed any"
            continue
        peers, surviving = _peers(witness), witness.server.surviving
        if witness.index not in surviving:
            yield f"{witness.where}: it revealed shares, and is not among the survivors"
        own = int(witness.told.joined.params.own_share)
        due = (own + len(peers & surviving), len(peers - surviving))
        if (revealed.self_mask_shares, revealed.mask_key_shares) != due:
            yield (
                f"{witness.where}: it revealed {revealed.self_mask_shares} shares of self masks and "
                f"{revealed.mask_key_shares} of mask keys, where {due[0]} and {due[1]} are due: one a peer, and its own"
            )


def _models(evidence: Evidence) -> Iterator[str]:
    """The model goes from round to round unbroken, and changes by a sum or not at all."""
    sessions = evidence.server.sessions.values()
    summed = {
        each.opened.server_round for each in sessions if each.sum and each.opened.purpose is Purpose.TRAINING
    }
    first = next((each.opened for each in sessions), None)
    if evidence.before and first and first.model not in _had(evidence.before):
        yield f"{evidence.server.name} goes on with a model that {evidence.before.name} does not know"
    after: dict[int, str] = {}
    for ended in evidence.server.rounds:
        number = ended.server_round
        last = max((each for each in after if each < number), default=None)
        if last is not None and after[last] != ended.model_before:
            yield f"round {number} begins with another model than round {last} ended with"
        if number not in summed and ended.model_before != ended.model_after:
            yield f"round {number} changed the model, and nothing was summed in it"
        after[number] = ended.model_after
    rounds = {each.server_round: each for each in evidence.server.rounds}
    for opened in (each.opened for each in sessions):
        its = rounds.get(opened.server_round)
        training = opened.purpose is Purpose.TRAINING
        if its and opened.model != (its.model_before if training else its.model_after):
            yield f"session {short(opened.session)} had another model than round {its.server_round} of the server"


def _had(server: ServerAccount) -> set[str]:
    """Every model of a run."""
    ended = {model for each in server.rounds for model in (each.model_before, each.model_after)}
    return ended | {each.opened.model for each in server.sessions.values()}


def _notes(evidence: Evidence) -> Iterator[Finding]:
    """What could not be looked at."""
    opened = [each.opened for each in evidence.server.sessions.values()]
    named = {node for each in opened for node in each.nodes}
    absent = named - {node for each in evidence.nodes for node in each.ids}
    if absent:
        text = f"{len(absent)} of {len(named)} nodes gave no transcript: nothing is proved of them"
        yield Finding(Verdict.NOTE, "nodes", text)
    silent = [
        witness
        for witness in evidence.witnesses
        if not witness.told.revealed and not witness.told.refused and witness.server.sum
    ]
    for witness in silent:
        yield Finding(Verdict.NOTE, "nodes", f"{witness.where}: it left without a word")


_CHECKS: tuple[tuple[str, str, Check], ...] = (
    ("order", "no line stands twice, out of turn, or without its end", _order),
    ("sessions", "server and nodes know the same sessions", _known),
    ("views", "each node was shown the session that the server wrote down, and its context binds it", _views),
    ("masks", "one self mask, and one for each neighbour that shared keys, before anything left", _masks),
    ("survivors", "all were told of the same survivors, and never of too few", _survivors),
    ("shares", "revealed once, and one share a peer", _shares),
    ("model", "from round to round unbroken, and changed by sums alone", _models),
)
