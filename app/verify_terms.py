"""What transcripts prove of rosters, policies and ledgers that are given beside them.

Decides: whether the writers belong to the roster, what the sessions held against, whether a policy allowed them, and
whether ledgers hold a charge for every noisy round. Refuses to know: files of transcripts, and whether server and nodes
agree (`app.verify`, which has looked before).
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from app.evidence import NodeAccount, bytes_of
from app.findings import Evidence, Finding, Verdict, Witness, finding
from arithmetic.errors import ConfigError, ParameterError
from clients.policy import Policy, PolicyRefused
from privacy.accounting import rdp_epsilon
from privacy.chained_lines import START, entry_of
from privacy.errors import LedgerDamaged
from privacy.mechanisms import Mechanism, PoissonGaussian, from_record
from privacy.terms import PrivacyMode
from secagg.bounds import Adversary
from secagg.errors import NotAuthentic
from secagg.roster import Roster
from wire.entry_kinds import Joined
from wire.noise import plans_of, releases_of
from wire.roster_file import parse_roster
from wire.rounds import Purpose


@dataclass(frozen=True)
class Charge:
    """One line of a ledger.

    Attributes:
        chain: after the line.
    """

    mechanism: Mechanism
    run: object
    server_round: object
    chain: str


@dataclass(frozen=True)
class Demands:
    """What transcripts are held against; whatever is missing is not looked at, and that is said.

    Attributes:
        policies: SHA-256 of the file -> policy.
        ledgers: their charges, oldest first.
        faults: lines of ledgers that do not hold.
    """

    roster: Roster | None = None
    policies: Mapping[str, Policy] = field(default_factory=dict)
    ledgers: tuple[tuple[Charge, ...], ...] = ()
    faults: tuple[str, ...] = ()

    @classmethod
    def load(
        cls, roster: Path | None, authority: str, policies: Iterable[Path], ledgers: Iterable[Path]
    ) -> Self:
        """From files.

        Args:
            roster: signed by the authority; None: none.
            authority: Ed25519 public key, hexadecimal; empty without a roster.
            policies: of nodes.
            ledgers: likewise.

        Raises:
            ConfigError: a file cannot be read, or is none of its kind; a roster without an authority, or without one
                that is a key.
            NotAuthentic: the authority did not sign the roster.
        """
        read = {hashlib.sha256(bytes_of(path)).hexdigest(): Policy.load(path.absolute()) for path in policies}
        charges, faults = [], []
        for path in ledgers:
            found, fault = _charges(bytes_of(path))
            charges.append(found)
            faults += [f"{path}, {fault}"] if fault else []
        return cls(_roster(roster, authority), read, tuple(charges), tuple(faults))


def judge_terms(evidence: Evidence, demands: Demands) -> list[Finding]:
    """One finding a check."""
    return [
        *_identities(evidence, demands.roster),
        *_adversary(evidence, demands.roster),
        *_policies(evidence, demands.policies),
        *_privacy(evidence, demands),
    ]


def _roster(path: Path | None, authority: str) -> Roster | None:
    if path is None and not authority:
        return None
    try:
        key = bytes.fromhex(authority)
    except ValueError:
        key = b""
    if path is None or len(key) != 32:
        raise ConfigError(
            "--roster and --authority belong together: the file, and the 64 hexadecimal digits of the public key that "
            "signed it"
        )
    return parse_roster(bytes_of(path), key)


def _charges(data: bytes) -> tuple[tuple[Charge, ...], str]:
    """The charges of a ledger up to the first line that does not hold, and which one that is."""
    *lines, rest = data.split(b"\n")
    chain, charges = START, []
    for number, line in enumerate(lines, start=1):
        try:
            entry, chain = entry_of(line, chain, number)
            if number > 1:
                mechanism = from_record(entry.get("mechanism"))
                charges.append(Charge(mechanism, entry.get("run"), entry.get("round"), chain))
        except (LedgerDamaged, ParameterError):
            return tuple(charges), f"line {number}: it does not follow from the one before"
    return tuple(charges), f"line {len(lines) + 1}: it has no end" if rest else ""


def _identities(evidence: Evidence, roster: Roster | None) -> list[Finding]:
    """Whose transcripts these are."""
    if roster is None:
        signed = sum("" not in node.keys for node in evidence.nodes)
        text = (
            f"{signed} of {len(evidence.nodes)} nodes signed; no roster was given, so nobody vouches for the keys, and "
            "an unsigned file is as true as whoever held it"
        )
        return [Finding(Verdict.NOTE, "identities", text)]
    return finding(
        "identities", f"every node signed, as a member of {roster.fingerprint}", _strangers(evidence, roster)
    )


def _strangers(evidence: Evidence, roster: Roster) -> Iterator[str]:
    numbers: dict[str, int] = {}
    for node in evidence.nodes:
        try:
            found = {roster.number_of(bytes.fromhex(key)) for key in node.keys}
        except NotAuthentic as error:
            yield f"{node.name}: {error}"
            continue
        if len(found) != 1:
            yield f"{node.name}: several members signed its files"
        numbers[node.name] = found.pop()
    for witness in evidence.witnesses:
        if witness.told.joined.roster != roster.digest.hex():
            yield f"{witness.where}: the session was held under another roster"
        elif witness.node.name in numbers and _member(witness) != numbers[witness.node.name]:
            yield f"{witness.where}: the server knows it as another member of the roster"


def _member(witness: Witness) -> int:
    """The node's number in the roster, as the server wrote it down; 0 where it did not."""
    members = witness.server.opened.members
    return members[witness.index - 1] if witness.index <= len(members) else 0


def _adversary(evidence: Evidence, roster: Roster | None) -> list[Finding]:
    """What the sessions held against."""
    sessions = [each.opened for each in evidence.server.sessions.values()]
    active = sum(each.params.adversary is Adversary.ACTIVE for each in sessions)
    text = f"{active} of {len(sessions)} sessions held against a server that cheats, the others against a curious one"
    weak = roster is not None and active < len(sessions)
    return [Finding(Verdict.FAILS if weak else Verdict.HOLDS, "adversary", text)]


def _policies(evidence: Evidence, policies: Mapping[str, Policy]) -> list[Finding]:
    """Whether the policies that nodes say they met allow what was done."""
    if not policies:
        told = [witness.told.joined for witness in evidence.witnesses]
        met = sum(bool(each.policy) for each in told)
        text = (
            f"{met} of {len(told)} sessions met a policy, as nodes say; none was given to hold them against"
        )
        return [Finding(Verdict.NOTE, "policy", text)]
    return finding(
        "policy", "every session met the policy of each of these nodes", _unmet(evidence, policies)
    )


def _unmet(evidence: Evidence, policies: Mapping[str, Policy]) -> Iterator[str]:
    for witness in evidence.witnesses:
        joined = witness.told.joined
        if joined.policy not in policies:
            yield f"{witness.where}: it went by {'another policy' if joined.policy else 'no policy'}"
            continue
        try:
            policies[joined.policy].check_session(joined.params)
            policies[joined.policy].check_terms(joined.terms)
        except PolicyRefused as error:
            yield f"{witness.where}: {error}"


def _privacy(evidence: Evidence, demands: Demands) -> list[Finding]:
    """Which mode was on, and whether ledgers hold a charge for every noisy round."""
    modes = {each.opened.terms.mode: 0 for each in evidence.server.sessions.values()}
    for witness in evidence.witnesses:
        modes[witness.server.opened.terms.mode] += _is_noisy(witness.told.joined)
    said = ", ".join(str(mode) for mode in sorted(modes))
    due = sum(modes.values())
    faults = [*demands.faults]
    for node in evidence.nodes:
        faults += _uncharged(node, evidence, demands.ledgers)
    found = finding("privacy", f"mode {said}; {due} noisy releases of these nodes, each charged", faults)
    if due and not demands.ledgers:
        text = "no ledger was given: that the noise was charged is the nodes' own word"
        found.append(Finding(Verdict.NOTE, "privacy", text))
    return found


def _is_noisy(joined: Joined) -> bool:
    """Whether the node released something noisy."""
    return joined.purpose is not Purpose.EVALUATION and joined.terms.mode is not PrivacyMode.NONE


def _uncharged(
    node: NodeAccount, evidence: Evidence, ledgers: tuple[tuple[Charge, ...], ...]
) -> Iterator[str]:
    """Noisy rounds of a node for which its ledger has no charge of its own."""
    last = ""
    for witness in (each for each in evidence.witnesses if each.node is node):
        joined = witness.told.joined
        if not _is_noisy(joined):
            if joined.ledger:
                yield f"{witness.where}: it names a charge, and nothing noisy was released"
            continue
        if not joined.ledger:
            yield f"{witness.where}: it promises noise, and nothing was charged"
        elif ledgers:
            charges = _between(ledgers, last, joined.ledger)
            if charges is None:
                yield f"{witness.where}: no ledger given here has the charge it names, after the one before"
            elif not _covers(charges, joined):
                yield f"{witness.where}: its ledger charged less than the round's terms release"
            last = joined.ledger


def _between(ledgers: Iterable[tuple[Charge, ...]], after: str, upto: str) -> tuple[Charge, ...] | None:
    """The charges of the ledger that holds `upto`, from behind `after` on; None where there are no such."""
    for charges in ledgers:
        chains = [each.chain for each in charges]
        if upto in chains:
            start = chains.index(after) + 1 if after in chains else 0
            found = charges[start : chains.index(upto) + 1]
            return found or None
    return None


def _covers(charges: Iterable[Charge], joined: Joined) -> bool:
    """Whether the charges hold everything that one noisy round releases."""
    mine = [
        each.mechanism
        for each in charges
        if (each.run, each.server_round) == (joined.run, joined.server_round)
    ]
    terms = joined.terms
    if terms.mode.shares_noise:
        try:
            due = releases_of(terms, *plans_of(terms, joined.params, joined.max_examples))
        except ParameterError:
            return False
        for release in due:
            if release not in mine:
                return False
            mine.remove(release)
    return not terms.mode.is_local or any(_is_local(each, joined) for each in mine)


def _is_local(mechanism: Mechanism, joined: Joined) -> bool:
    """Whether a charge is that of DP-SGD with the noise, or within the epsilon, of the terms."""
    terms = joined.terms
    if not isinstance(mechanism, PoissonGaussian) or mechanism.slack:
        return False
    if terms.noise_multiplier:
        return mechanism.noise_multiplier >= terms.noise_multiplier
    whole_run = replace(mechanism, steps=mechanism.steps * terms.rounds)
    return rdp_epsilon([whole_run], terms.delta) <= terms.epsilon
