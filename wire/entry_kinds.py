"""The kinds of lines in a transcript, and the types of their fields.

Decides: what may stand in a transcript at all: digests, ids, counts, verdicts and short texts, each under the name
that its kind gives it (docs/transcript.md). There is no field for a key, a seed, a share or a vector, and neither
bytes nor a number of more than 64 bits pass any type.
Refuses to know: how a line is spelt (`wire.entries`), files (`wire.transcript`), what a line proves (`app.verify`).
"""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from privacy.terms import PrivacyTerms
from secagg.graph import MOST_CLIENTS
from secagg.params import SecAggParams
from wire.rounds import ProtocolRound, Purpose

VANISHED: Final = "vanished"
LONGEST_SENTENCE: Final = 200


def _sentence(value: object) -> object:
    """A text on one line, cut: what a peer chose must not break, or fill, the file."""
    if not isinstance(value, str):
        return value
    flat = " ".join(value.split())[:LONGEST_SENTENCE]
    return "".join(c if c.isprintable() else "?" for c in flat)


def _ascending(value: object) -> object:
    """A set as a tuple in order, a list as a tuple; anything else as it came."""
    if isinstance(value, set | frozenset):
        return tuple(sorted(value))
    return tuple(value) if isinstance(value, list) else value


def _of_few_rounds(terms: PrivacyTerms) -> PrivacyTerms:
    """Terms whose numbers are no longer than numbers are: where no mode needs them they are not looked at."""
    if not (0 <= terms.rounds < 2**31 and 0 <= terms.colluders <= MOST_CLIENTS):
        raise ValueError("rounds or colluders of the terms are out of range")
    return terms


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
DigestOrNone = Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
Sentence = Annotated[str, BeforeValidator(_sentence)]
Name = Annotated[str, Field(pattern=r"^[!-~]{1,256}$")]
Code = Annotated[str, Field(pattern=r"^[A-Z]{2,8}$")]
Count = Annotated[int, Field(ge=0, le=MOST_CLIENTS)]
Index = Annotated[int, Field(ge=1, le=MOST_CLIENTS)]
Number = Annotated[int, Field(ge=0, lt=2**64)]
Indices = Annotated[tuple[Index, ...], BeforeValidator(_ascending)]


class Entry(BaseModel):
    """One line, without chain and signature; every field is due."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, revalidate_instances="always"
    )
    kind: ClassVar[str]


class Opened(Entry):
    """The first line of every file.

    Attributes:
        version: of these kinds.
        file: 32 random hexadecimal digits: no line of one file fits another of the same key.
        key: Ed25519 public key whose signature every line carries; empty: no line does.
        before: SHA-256 of the file that was put aside for this one; `vanished`; empty: there was none.
    """

    kind = "opened"
    version: Literal[1]
    file: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    key: DigestOrNone
    before: Annotated[str, Field(pattern=rf"^([0-9a-f]{{64}}|{VANISHED})?$")]


class Agreed(Entry):
    """What a session is, as one side was shown it; `agreed` makes these fields.

    Attributes:
        run: name of the run, the same on both sides (Flower's run id).
        session: identifier of the session.
        advertised: clients that sent keys, n.
        context: digest of all that follows it up to `params`; enters every key of the session.
        cohort, model, config: digests of all advertised keys, of the model and of the training configuration.
        roster: the roster's digest; empty without one.
        standing: digest of the roster and of who of it is in the cohort; empty without one.
        terms: what the run asks in the way of differential privacy.
        max_examples: largest weight of a client.
        code: version of the protocol's code.
    """

    run: Name
    session: Digest
    server_round: Number
    purpose: Annotated[Purpose, Field(strict=False)]
    advertised: Index
    context: Digest
    cohort: Digest
    model: Digest
    config: Digest
    roster: DigestOrNone
    standing: DigestOrNone
    params: SecAggParams
    terms: Annotated[PrivacyTerms, AfterValidator(_of_few_rounds)]
    max_examples: Number
    code: Sentence


class Joined(Agreed):
    """Node, r1: it agreed to a session; written after the work is done and charged, before any share leaves.

    Attributes:
        node: Flower's id of the node.
        index: the node's index in the session.
        policy: SHA-256 of the node's policy file, which the session met; empty: the node has none.
        ledger: the ledger's chain after the charge; empty: nothing was charged.
    """

    kind = "joined"
    node: Number
    index: Index
    policy: DigestOrNone
    ledger: DigestOrNone


class Masked(Entry):
    """Node, r2: its vector was masked; written before it leaves.

    Attributes:
        sharers: how many clients shared keys, U2; `sharers_digest`: `set_digest` of them.
        self_masks, pairwise_masks: how many masks were added.
    """

    kind = "masked"
    session: Digest
    sharers: Count
    sharers_digest: Digest
    self_masks: Count
    pairwise_masks: Count


class Signed(Entry):
    """Node, r3: it signed who survived, U3; written before the signature leaves."""

    kind = "signed"
    session: Digest
    survivors: Count
    survivors_digest: Digest


class Revealed(Entry):
    """Node, r4: it revealed one share a peer; written before they leave.

    Attributes:
        survivors: how many, U3; `survivors_digest`: `set_digest` of them.
        self_mask_shares: of survivors; `mask_key_shares`: of the dropped.
    """

    kind = "revealed"
    session: Digest
    survivors: Count
    survivors_digest: Digest
    self_mask_shares: Count
    mask_key_shares: Count


class Refused(Entry):
    """Node: it left a session, or did not enter it.

    Attributes:
        session: empty where no session could be told from the message.
        code: of the error; `sentence`: what the server was told.
    """

    kind = "refused"
    session: DigestOrNone
    protocol_round: Annotated[ProtocolRound, Field(strict=False)]
    code: Code
    sentence: Sentence


class SessionOpened(Agreed):
    """Server, after r0: the cohort is fixed.

    Attributes:
        nodes: Flower's ids of the clients, in the order of their indices.
        members: their numbers in the roster, in that order; empty without a roster.
        asked: clients that were asked for keys or had sent them ahead.
    """

    kind = "session"
    nodes: tuple[Number, ...]
    members: tuple[Index, ...]
    asked: Count


class Sharers(Entry):
    """Server, after r1: who shared keys, U2, by index."""

    kind = "sharers"
    session: Digest
    members: Indices


class Survivors(Entry):
    """Server, after r2: whose masked input is in the sum, U3, by index."""

    kind = "survivors"
    session: Digest
    members: Indices


class Summed(Entry):
    """Server, after r4: the sum is unmasked.

    Attributes:
        survivors: how many vectors are in it.
        revealed: who answered r4, by index.
        verdict: `exact`: every secret was rebuilt and checked; `exact despite false shares`: some of them from
            other shares.
    """

    kind = "summed"
    session: Digest
    survivors: Count
    revealed: Indices
    verdict: Literal["exact", "exact despite false shares"]


class Failed(Entry):
    """Server: a session ended without a sum; nothing was unmasked."""

    kind = "failed"
    session: Digest
    code: Code


class RoundEnded(Entry):
    """Server, at the end of a server round, evaluation and all.

    Attributes:
        model_before, model_after: digests of the global model as it travels (`wire.records.model_digest`).
    """

    kind = "round"
    run: Name
    server_round: Number
    model_before: Digest
    model_after: Digest
