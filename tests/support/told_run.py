"""A run as server and nodes would have told it in transcripts, and ways to tell it otherwise.

Four clients; a training session in which client 4 vanishes after r1, then a second round of training and evaluation.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from privacy.chained_lines import START, line_of
from privacy.ledger import Ledger
from privacy.mechanisms import Budget
from privacy.terms import PrivacyMode, PrivacyTerms
from secagg.bounds import Adversary
from secagg.params import Agreement, SecAggParams, Session
from secagg.primitives import SigningKey
from secagg.roster import Member, Roster
from secagg.signatory import standing
from wire.entries import agreed, set_digest
from wire.noise import plans_of, releases_of
from wire.roster_file import roster_text
from wire.rounds import Purpose
from wire.transcript import Transcript

CLIENTS = 4
ALL, THREE = frozenset({1, 2, 3, 4}), frozenset({1, 2, 3})
RUN = "1234567890"
AUTHORITY = SigningKey(b"\x77" * 32)
POLICY = 'min-cohort = 3\nmodes = ["client", "none"]\n'
PRIVATE = PrivacyTerms(
    PrivacyMode.CLIENT, client_noise_multiplier=4.0, client_clipping_norm=1.0, delta=1e-5, rounds=2
)
PLAN = (  # server round, purpose, survivors, models before and after
    (1, Purpose.TRAINING, THREE),
    (2, Purpose.TRAINING, ALL),
    (2, Purpose.EVALUATION, ALL),
)
Table = dict[str, Any]


def hexed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


MODELS = [hexed(f"model {number}") for number in range(3)]


@dataclass
class ToldRun:
    """The files of one run in a folder.

    Attributes:
        active: signed by members of a roster, and with r3.
        terms: of every session.
        run: its name.
        first: first byte of the first session's identifier.
    """

    folder: Path
    active: bool = False
    terms: PrivacyTerms = field(default_factory=PrivacyTerms)
    run: str = RUN
    first: int = 1

    def __post_init__(self) -> None:
        self.keys = [SigningKey(bytes([number]) * 32) for number in range(1, CLIENTS + 1)]
        members = tuple(Member(f"hospital-{at}", key.public) for at, key in enumerate(self.keys, start=1))
        self.roster = Roster("hearts", 1, 0, members)
        self.server = self.folder / "server.jsonl"
        self.nodes = [self.folder / f"node-{number}.jsonl" for number in range(1, CLIENTS + 1)]
        self.ledgers = [self.folder / f"ledger-{number}.jsonl" for number in range(1, CLIENTS + 1)]
        self.policy, self.roster_path = self.folder / "policy.toml", self.folder / "roster.json"
        self.policy.write_text(POLICY)
        self.roster_path.write_text(roster_text(self.roster, AUTHORITY))
        adversary = Adversary.ACTIVE if self.active else Adversary.CURIOUS
        self.params = SecAggParams.complete(CLIENTS, 32, 10, 3, adversary=adversary)
        self._write()

    def key(self, number: int) -> SigningKey | None:
        return self.keys[number - 1] if self.active else None

    @property
    def arguments(self) -> list[str]:
        """Of the command `verify`, with everything there is to hold the transcripts against."""
        found = [*map(str, self.nodes), "--server", str(self.server), "--policy", str(self.policy)]
        if self.active:
            found += ["--roster", str(self.roster_path), "--authority", AUTHORITY.public.hex()]
        if self.terms.mode is not PrivacyMode.NONE:
            found += [part for path in self.ledgers for part in ("--ledger", str(path))]
        return found

    def agreement(self, at: int) -> Agreement:
        """Of a session of the plan."""
        number, purpose, _ = PLAN[at]
        session = Session(bytes([self.first + at]) * 32, number, self.params)
        model = MODELS[number - (purpose is Purpose.TRAINING)]
        place = standing(self.roster.digest, range(1, CLIENTS + 1)) if self.active else b""
        digests = (bytes.fromhex(each) for each in (hexed(f"keys {at}"), model, hexed(f"config {at}")))
        return Agreement(session, CLIENTS, *digests, place)

    def agreed(self, at: int) -> Mapping[str, object]:
        roster = self.roster.digest if self.active else b""
        return agreed(
            self.agreement(at),
            run=self.run,
            purpose=PLAN[at][1],
            terms=self.terms,
            max_examples=10,
            roster=roster,
        )

    def _write(self) -> None:
        for number in range(1, CLIENTS + 1):
            with Transcript.open(self.nodes[number - 1], self.key(number)) as told:
                for at in range(len(PLAN)):
                    self._tell_node(told, number, at)
        with Transcript.open(self.server, None) as told:
            for at, (number, _, survivors) in enumerate(PLAN):
                self._tell_server(told, at, survivors)
                if at != 1:
                    models = {"model_before": MODELS[number - 1], "model_after": MODELS[number]}
                    told.append("round", run=self.run, server_round=number, **models)

    def _tell_server(self, told: Transcript, at: int, survivors: frozenset[int]) -> None:
        members = tuple(range(1, CLIENTS + 1)) if self.active else ()
        session = self.agreement(at).session.identifier.hex()
        nodes = tuple(1000 + number for number in range(1, CLIENTS + 1))
        told.append("session", **self.agreed(at), nodes=nodes, members=members, asked=CLIENTS)
        told.append("sharers", session=session, members=ALL)
        told.append("survivors", session=session, members=survivors)
        told.append("summed", session=session, survivors=len(survivors), revealed=survivors, verdict="exact")

    def _tell_node(self, told: Transcript, number: int, at: int) -> None:
        survivors = PLAN[at][2]
        session = {"session": self.agreement(at).session.identifier.hex()}
        policy = sha256(POLICY.encode()).hexdigest()
        place = {"node": 1000 + number, "index": number, "policy": policy, "ledger": self._charge(number, at)}
        told.append("joined", **self.agreed(at), **place)
        if number not in survivors:
            told.append("refused", **session, protocol_round="r2", code="ENV", sentence="the device is gone")
            return
        sharers = {"sharers": CLIENTS, "sharers_digest": set_digest(ALL)}
        told.append("masked", **session, **sharers, self_masks=1, pairwise_masks=CLIENTS - 1)
        surviving = {"survivors": len(survivors), "survivors_digest": set_digest(survivors)}
        if self.active:
            told.append("signed", **session, **surviving)
        dropped = CLIENTS - len(survivors)
        told.append(
            "revealed", **session, **surviving, self_mask_shares=len(survivors), mask_key_shares=dropped
        )

    def _charge(self, number: int, at: int) -> str:
        """The chain of the node's ledger, after whatever the session costs."""
        server_round, purpose, _ = PLAN[at]
        if self.terms.mode is PrivacyMode.NONE or purpose is Purpose.EVALUATION:
            return ""
        path = self.ledgers[number - 1]
        if not path.exists():
            Ledger.create(path, f"data of {number}")
        with Ledger.open(path, f"data of {number}") as ledger:
            for release in releases_of(self.terms, *plans_of(self.terms, self.params, 10)):
                ledger.charge(release, self.run, server_round, Budget(1e6, 1e-5))
            return ledger.chain


def tables_of(path: Path) -> list[Table]:
    """The lines of a file of chained lines, without their chains."""
    tables = [json.loads(line) for line in path.read_text().splitlines()]
    for table in tables:
        del table["chain"]
    return tables


def forge(path: Path, tables: list[Table]) -> None:
    """Write lines anew and chain them, as somebody would who knows how and has no key: signatures stay as they were."""
    chain, content = START, b""
    for table in tables:
        line, chain = line_of(table, chain)
        content += line
    path.write_bytes(content)


def leaves(table: Table) -> list[tuple[str, ...]]:
    """The place of every value in a line."""
    found: list[tuple[str, ...]] = []
    for key, value in table.items():
        found += [(key, *rest) for rest in leaves(value)] if isinstance(value, dict) else [(key,)]
    return found


def change(table: Table, place: tuple[str, ...]) -> None:
    """Another value of the same type at a place, and where there are others in use a plausible one."""
    for key in place[:-1]:
        table = table[key]
    table[place[-1]] = _other(place[-1], table[place[-1]])


def _other(name: str, value: Any) -> Any:
    plausible: dict[str, Callable[[], Any]] = {
        "purpose": lambda: "evaluation" if value == "training" else "training",
        "adversary": lambda: "active" if value == "curious" else "curious",
        "mode": lambda: "local" if value == "none" else "none",
        "protocol_round": lambda: "r3",
        "verdict": lambda: "exact despite false shares",
        "code": lambda: "AUTH" if value.isupper() else value + " or so",
        "kind": lambda: "failed" if value != "failed" else "summed",
        "before": lambda: hexed("another file"),
        "file": lambda: value[::-1],
        "key": lambda: SigningKey(b"\x66" * 32).public.hex(),
    }
    if name in plausible:
        return plausible[name]()
    if isinstance(value, list):
        return value[:-1] if value else [1]
    if isinstance(value, int | float):
        return value + 1
    return hexed(value) if len(value) in (0, 64) else value + "1"
