"""What a client writes into its node's transcript: what it agreed to, masked, signed, revealed and refused.

Decides: where the transcript is, what each step leaves in it, and that a line which cannot be written costs the line
and not the client's part in the session: a transcript is evidence, not a gate.
Refuses to know: how lines are chained and signed (`wire.transcript`), and what they prove.

Its path is `transcript` in the node config, absolute. A simulated client has one in the run directory, where the run
is against an active server.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flwr.app import Context

from clients.place import is_simulated, partition_of
from secagg.client.states import AwaitingShares, AwaitingSurvivors
from secagg.messages import SharesRevealed
from secagg.params import Agreement
from secagg.signatory import Signatory
from wire.rounds import ProtocolRound, Purpose
from wire.settings import Assignment

if TYPE_CHECKING:
    from wire.inquiry import Inquiry

NODE_KEY: Final = "transcript"
_log = logging.getLogger("chorus.client")


@dataclass(frozen=True)
class Witness:
    """One client's hand in its transcript; `path` is None where there is none."""

    path: Path | None
    signatory: Signatory | None

    @classmethod
    def of(cls, context: Context, signatory: Signatory | None) -> "Witness":
        """The witness of the client with this context, which signs with its identity where it has one."""
        named, run_dir = context.node_config.get(NODE_KEY), context.run_config.get("run-dir")
        if isinstance(named, str) and named:
            return cls(Path(named) if Path(named).is_absolute() else None, signatory)
        if (
            signatory
            and is_simulated(context)
            and isinstance(run_dir, str)
            and run_dir
            and Path(run_dir).is_dir()
        ):
            return cls(Path(run_dir) / "transcripts" / f"{partition_of(context)[0]}.jsonl", signatory)
        return cls(None, signatory)

    def joined(
        self,
        context: Context,
        agreement: Agreement,
        index: int,
        assignment: "Assignment | Inquiry",
        policy: str,
        ledger: str,
    ) -> None:
        """r1: the session agreed to; `policy` and `ledger` as in `wire.entry_kinds.Joined`."""

        def fields() -> dict[str, object]:
            from wire.entries import agreed

            common = agreed(
                agreement, run=str(context.run_id), purpose=Purpose(assignment.purpose), terms=assignment.terms,
                max_examples=assignment.max_examples, roster=self.signatory.roster.digest if self.signatory else b"",
            )  # fmt: skip
            return common | {"node": context.node_id, "index": index, "policy": policy, "ledger": ledger}

        self._write("joined", fields)

    def masked(self, state: AwaitingShares, following: AwaitingSurvivors) -> None:
        """r2: who shared keys, and how many masks are on the vector."""

        def fields() -> dict[str, object]:
            from wire.entries import set_digest

            sharers = following.sharers
            return {
                "session": state.session.hex(), "sharers": len(sharers), "sharers_digest": set_digest(sharers),
                "self_masks": 1, "pairwise_masks": len(following.mask_key),
            }  # fmt: skip

        self._write("masked", fields)

    def signed(self, session: bytes, survivors: frozenset[int]) -> None:
        """r3: the survivors signed."""
        self._write("signed", lambda: _survivors(session, survivors))

    def revealed(self, session: bytes, survivors: frozenset[int], reply: SharesRevealed) -> None:
        """r4: how many shares of which kind leave."""
        counts = {"self_mask_shares": len(reply.self_mask), "mask_key_shares": len(reply.mask_key)}
        self._write("revealed", lambda: _survivors(session, survivors) | counts)

    def refused(self, session: bytes, protocol_round: ProtocolRound, code: str, sentence: str) -> None:
        """Whatever made the client leave; `session` is empty where none could be told."""
        self._write(
            "refused",
            lambda: {
                "session": session.hex(), "protocol_round": protocol_round, "code": code, "sentence": sentence,
            },
        )  # fmt: skip

    def _write(self, kind: str, fields: Callable[[], dict[str, object]]) -> None:
        if self.path is None:
            return
        from wire.transcript import Transcript, TranscriptError  # pydantic: only where there is one

        try:
            with Transcript.open(self.path, self.signatory.key if self.signatory else None) as transcript:
                transcript.append(kind, **fields())
        except TranscriptError as error:
            _log.warning("%s; the session goes on", error.line)


def _survivors(session: bytes, survivors: frozenset[int]) -> dict[str, object]:
    from wire.entries import set_digest

    return {"session": session.hex(), "survivors": len(survivors), "survivors_digest": set_digest(survivors)}
