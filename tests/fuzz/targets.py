"""What reads bytes or records of a peer: one target a parser, with valid input to begin from.

Decides: what counts as a finding beside an error that is not of our tree: a message that is taken and does not give the
same bytes again, and an error that is no printable line.
"""

import json
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord

from app.config import RunConfig
from app.server_app import training_record
from privacy.terms import PrivacyTerms
from secagg.client.states import (
    AwaitingCohort,
    AwaitingShares,
    AwaitingSignatures,
    AwaitingSurvivors,
    CarryingKeys,
)
from secagg.errors import MalformedMessage
from secagg.messages import (
    CohortAnnounced,
    InputMasked,
    Invitation,
    KeysAdvertised,
    SharesDelivered,
    SharesRevealed,
    SharesSealed,
    SurvivorsAnnounced,
    SurvivorsSigned,
    UnmaskingRequested,
)
from secagg.params import SecAggParams
from tests.fuzz.mutations import LIMITS, damaged
from tests.support.cohort import roster_of, signing_key
from tests.vectors.replay import KIT, REFUSED, Replay, load
from wire.inquiry import Inquiry, assigned
from wire.questions import Bounds, Condition, Question, Summand
from wire.records import message_of, model_digest, unpack_arrays
from wire.roster_file import parse_roster, roster_text
from wire.settings import privacy_record
from wire.transcript import Transcript, read_transcript


@dataclass(frozen=True)
class Target:
    """One parser.

    Attributes:
        make: input from a source of chance.
        read: takes the input; raises what it raises, and ValueError where it read wrongly.
    """

    make: Callable[[random.Random], Any]
    read: Callable[[Any], object]


class ReadWrongly(AssertionError):
    """A parser took something that it does not give back."""


def _returning(parse: Callable[[bytes], Any], data: bytes) -> None:
    if parse(data).to_bytes() != data:
        raise ReadWrongly("what was read is written as other bytes")


@cache
def _sessions() -> list[Replay]:
    return [Replay(load(path.name)) for path in sorted(KIT.iterdir()) if path.name != REFUSED]


def _recorded(step: str, what: str) -> list[bytes]:
    """All requests, replies or states of a protocol round in the kit."""
    return [
        bytes.fromhex(each[what])
        for replay in _sessions()
        if step in replay.tables
        for each in replay.tables[step]["clients"].values()
        if each[what]
    ]


def _bytes(valid: list[bytes], parse: Callable[[bytes], Any]) -> Target:
    return Target(partial(damaged, valid), partial(_returning, parse))


def _masked(data: bytes) -> InputMasked:
    return InputMasked.from_bytes(data, _sessions()[0].params)


def _states(kind: type[Any], tag: int) -> Target:
    found = [
        data for step in ("r0", "r1", "r2", "r3", "r4") for data in _recorded(step, "keeps") if data[0] == tag
    ]
    return _bytes(found, kind.from_bytes)


def _damaged_text(valid: list[bytes], chance: random.Random) -> str:
    return damaged(valid, chance).decode("utf-8", "replace")


def _question() -> Question:
    sums = (
        Summand(),
        Summand(of=("x",), where=(Condition(column="g", relation="==", value="a b"),)),
        Summand(of=("x", "x"), where=(Condition(column="x", relation="<", value=1.5),)),
    )
    return Question(table="a/b.csv", columns={"x": Bounds(low=-1.0, high=3.0)}, sums=sums)


def _odd(chance: random.Random, value: object) -> Any:
    """A value of a record in the place of another."""
    return chance.choice((
        value, chance.choice(LIMITS) % 2**63, -1, 0, 0.0, -0.5, 1e308, float("nan"), float("inf"), True, "", "training",
        "x" * 100, b"", b"d" * 32, [1, 2], [], ["a"], [b"b"], [0.5],
    ))  # fmt: skip


def _config(chance: random.Random) -> ConfigRecord:
    """A training configuration or an inquiry with a few things wrong."""
    training = dict(training_record(RunConfig())) | {
        "purpose": "training", "encoding-bound": 1.0, "max-examples": 10, "layout-digest": b"d" * 32,
        **privacy_record(PrivacyTerms()),
    }  # fmt: skip
    inquiry = dict(Inquiry(_question(), "/data", 7, 1000, PrivacyTerms()).to_record())
    table: dict[str, Any] = chance.choice((training, inquiry))
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        key, kind = chance.choice(list(table)), chance.randrange(4)
        if kind == 0 and len(table) > 1:
            del table[key]
        elif kind == 1:
            table[chance.choice(("", "x", key.upper(), "privacy", "\x00"))] = _odd(chance, 0)
        else:
            table[key] = _odd(chance, table[key])
    return ConfigRecord(table)


def _arrays(chance: random.Random) -> ArrayRecord:
    """A record of arrays whose headers and bytes may contradict each other."""
    record = {}
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        size = chance.randrange(64)
        dtype = chance.choice(
            ("uint8", "float32", "float64", "bool", "int64", "object", "<U4", "V8", "", "uint8\x00")
        )
        shape = chance.choice(
            ((size,), (size // 4,), (), (0,), (2, size // 8), (-1,), (10**12,), (2**62, 4), (1,) * 40)
        )
        kind = chance.choice(
            ("chorus.message", "chorus.message", "chorus.raw", "chorus.raw", "numpy.ndarray", "")
        )
        name = chance.choice(("message", "weight", "", "\x1b[31m\n", "x" * 300))
        record[name] = Array(dtype, shape, kind, chance.randbytes(size))
    return ArrayRecord(record)


def _read_arrays(record: ArrayRecord) -> None:
    """Both readers of array records, and what is made of a model that was taken."""
    try:
        unpack_arrays(record)
        model_digest(record)
    except MalformedMessage:
        message_of(record)


def _transcripts() -> list[bytes]:
    """Of a node with an identity key, and of one without."""
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for name, signer in (("signed", signing_key("node")), ("open", None)):
            path = Path(folder) / name
            with Transcript.open(path, signer) as told:
                for number in range(3):
                    told.append(
                        "round", run="run", server_round=number, model_before="ab" * 32, model_after="cd" * 32
                    )
            made.append(path.read_bytes())
    return made


def targets() -> dict[str, Target]:
    """Every parser, by name."""
    authority = signing_key("authority")
    roster = roster_text(roster_of((1, 2, 3)), authority).encode()
    question = _question().to_json().encode()
    params = sorted({replay.params.to_bytes() for replay in _sessions()})
    return {
        "Invitation": _bytes(_recorded("r0", "request"), Invitation.from_bytes),
        "KeysAdvertised": _bytes(_recorded("r0", "reply"), KeysAdvertised.from_bytes),
        "CohortAnnounced": _bytes(_recorded("r1", "request"), CohortAnnounced.from_bytes),
        "SharesSealed": _bytes(_recorded("r1", "reply"), SharesSealed.from_bytes),
        "SharesDelivered": _bytes(_recorded("r2", "request"), SharesDelivered.from_bytes),
        "InputMasked": _bytes(_recorded("r2", "reply"), _masked),
        "SurvivorsAnnounced": _bytes(_recorded("r3", "request"), SurvivorsAnnounced.from_bytes),
        "SurvivorsSigned": _bytes(_recorded("r3", "reply"), SurvivorsSigned.from_bytes),
        "UnmaskingRequested": _bytes(_recorded("r4", "request"), UnmaskingRequested.from_bytes),
        "SharesRevealed": _bytes(_recorded("r4", "reply"), SharesRevealed.from_bytes),
        "SecAggParams": _bytes(params, SecAggParams.from_bytes),
        "AwaitingCohort": _states(AwaitingCohort, 0x20),
        "CarryingKeys": _states(CarryingKeys, 0x21),
        "AwaitingShares": _states(AwaitingShares, 0x22),
        "AwaitingSurvivors": _states(AwaitingSurvivors, 0x23),
        "AwaitingSignatures": _states(AwaitingSignatures, 0x24),
        "roster file": Target(
            partial(damaged, [roster, json.dumps(json.loads(roster)).encode()]),
            partial(parse_roster, authority=authority.public),
        ),
        "question": Target(partial(_damaged_text, [question]), Question.from_json),
        "transcript": Target(partial(damaged, _transcripts()), read_transcript),
        "configuration record": Target(_config, assigned),
        "array record": Target(_arrays, _read_arrays),
    }
