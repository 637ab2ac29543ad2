"""What the server writes into its transcript: sessions, who was in them, how they ended, and the model of each round.

Decides: what of a session goes on record: ids, digests, indices and verdicts. Refuses to know: where the transcript
is, how its lines are chained, and what they prove (`wire.transcript`, `app.verify`).
"""

import threading
from dataclasses import dataclass, field
from typing import Protocol

from flwr.app import ArrayRecord, ConfigRecord

from secagg.params import Agreement
from secagg.server.collection import Collection
from secagg.server.r0_advertise_keys import KeyCollection
from secagg.server.r1_share_keys import ShareCollection
from secagg.server.r4_unmasking import ShareRecovery, Unmasked
from strategies.records import ndarrays_of
from wire.entries import agreed
from wire.inquiry import assigned
from wire.records import model_digest, pack_arrays
from wire.rounds import Purpose


class Append(Protocol):
    """Writes one line."""

    def __call__(self, kind: str, **fields: object) -> None:
        """Of a kind of `wire.entries`, with all its fields."""


@dataclass(frozen=True)
class Chronicle:
    """The server's hand in its transcript.

    Attributes:
        run: name of the run, the same on the nodes.
        append: writes one line of a kind of `wire.entries`; None: nothing is written.
    """

    run: str = ""
    append: Append | None = None
    _writing: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def session(
        self, keys: KeyCollection, shares: ShareCollection, config: ConfigRecord, purpose: Purpose
    ) -> None:
        """After r0: what every client of the session is bound to, and who they are."""
        if self.append is None:
            return
        assignment = assigned(config)
        roster = keys.roster.digest if keys.roster else b""
        common = agreed(
            shares.agreement, run=self.run, purpose=purpose, terms=assignment.terms,
            max_examples=assignment.max_examples, roster=roster,
        )  # fmt: skip
        nodes = tuple(sorted(shares.indices, key=shares.indices.__getitem__))
        members = shares.members.numbers if shares.members else ()
        self._write("session", **common, nodes=nodes, members=members, asked=len(keys.indices))

    def sharers(self, agreement: Agreement, following: Collection) -> None:
        """After r1: U2."""
        self._write("sharers", **_set(agreement, following))

    def survivors(self, agreement: Agreement, following: Collection) -> None:
        """After r2: U3."""
        self._write("survivors", **_set(agreement, following))

    def summed(self, agreement: Agreement, recovery: ShareRecovery, unmasked: Unmasked) -> None:
        """After r4: the sum."""
        missing = set(recovery.missing)
        revealed = frozenset(index for node, index in recovery.indices.items() if node not in missing)
        verdict = "exact despite false shares" if recovery.false_shares else "exact"
        self._write(
            "summed", session=agreement.session.identifier.hex(), survivors=len(unmasked.survivors),
            revealed=revealed, verdict=verdict,
        )  # fmt: skip

    def failed(self, session: bytes, code: str) -> None:
        """No sum."""
        self._write("failed", session=session.hex(), code=code)

    def round_ended(self, server_round: int, before: ArrayRecord | None, after: ArrayRecord | None) -> None:
        """The global model before and after a server round, as it travels; None where there was none."""
        if self.append is not None and before is not None and after is not None:
            was = model_digest(pack_arrays(ndarrays_of(before))).hex()
            is_now = was if after is before else model_digest(pack_arrays(ndarrays_of(after))).hex()
            self._write(
                "round", run=self.run, server_round=server_round, model_before=was, model_after=is_now
            )

    def _write(self, kind: str, **fields: object) -> None:
        """Groups end side by side, and lines are written one by one."""
        if self.append is not None:
            with self._writing:
                self.append(kind, **fields)


def _set(agreement: Agreement, collection: Collection) -> dict[str, object]:
    members = frozenset(collection.indices.values())
    return {"session": agreement.session.identifier.hex(), "members": members}
