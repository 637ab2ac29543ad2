"""What must hold after every step, whatever happens (I1 to I8 and I10 of the threat model; I11 is in `foretold`).

Decides: what a violation is. It sees what leaves each client and what comes of each session, and believes neither
side's own account: the sum is computed anew from the clients' inputs in Python integers.
Refuses to know: how a message travels. I9 is the ledger's (tests/privacy/test_ledger.py): no noise is drawn here.

  I1 no client ever emits shares of both secrets of a peer in one session   I2 one masked vector a client and session
  I3 no vector leaves unless view, policy and cohort passed                 I4 the exact sum over U3, or a typed error
  I5 no secret of a session is kept after its end                           I6 no error from outside our tree
  I7 honest clients that reveal were told the same                          I8 session identifiers never repeat
  I10 an honest client is never blamed
"""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from arithmetic.field import to_bytes
from arithmetic.packing import add_packed
from secagg.client.states import AwaitingShares, AwaitingSurvivors, CarryingKeys, SecretKeys
from secagg.errors import ChorusError, Misbehaviour
from secagg.masks import Residues, empty
from secagg.messages import CohortAnnounced, InputMasked, SharesRevealed
from secagg.params import SecAggParams
from secagg.server.r4_unmasking import Unmasked
from tests.simulator.network import Envelope
from tests.support.cohort import Vector

Told = tuple[bytes, frozenset[int], frozenset[int]]


class Violation(AssertionError):
    """Something that must hold did not."""


class Watch:
    """Sees everything of one seed.

    Attributes:
        inputs: client -> its vector.
        policy_least: smallest sum that the clients' policy allows.
        server_lies: it may use an identifier again, so sessions are told apart by their contexts.
        liars: clients that may be blamed.
        muted: what happens now is undone at once, and leaves nobody.
        blamed: clients that the server named; `accused` those that another client did.
        names: index -> client, of the session under way.
        checks: how many times something was checked.
    """

    def __init__(
        self,
        params: SecAggParams,
        inputs: Mapping[int, Vector],
        policy_least: int,
        liars: Iterable[int] = (),
        server_lies: bool = False,
    ) -> None:
        self.params = params
        self.inputs = inputs
        self.policy_least = policy_least
        self.liars = frozenset(liars)
        self.server_lies = server_lies
        self.muted = False
        self.blamed: set[int] = set()
        self.accused: set[int] = set()
        self.names: dict[int, int] = {}
        self.checks = 0
        self.sessions: list[bytes] = []
        self._tainted: dict[int, int] = {}
        self._kinds: dict[tuple[int, bytes, int], int] = {}
        self._vectors: dict[tuple[int, bytes], bytes] = {}
        self._sent: dict[tuple[bytes, int], bytes] = {}
        self._arrived: dict[int, bytes] = {}
        self._shown: dict[tuple[bytes, int], tuple[bytes, bytes]] = {}
        self._secrets: dict[int, set[bytes]] = {client: set() for client in inputs}
        self._told: dict[bytes, Told] = {}

    def broken(self, what: str, cause: BaseException | None = None) -> NoReturn:
        """I6, or something that the simulator itself did not reckon with."""
        raise Violation(f"I6: {what}") from cause

    def require(self, holds: bool, what: str) -> None:
        """A violation unless it holds."""
        self.checks += 1
        if not holds:
            raise Violation(what)

    def tainted(self, client: int) -> None:
        """A message to or from this client was changed: it may look like a liar in this session and the next, for
        which its keys went ahead.
        """
        self._tainted[client] = len(self.sessions) + 1

    def _is_tainted(self, client: int) -> bool:
        return client in self.liars or self._tainted.get(client, -1) >= len(self.sessions)

    # What clients do.

    def advertised(self, client: int, keys: SecretKeys) -> None:
        """r0."""
        if not self.muted:
            self._secrets[client] = {keys.mask.private, keys.channel.private}

    def shared(
        self, client: int, cohort: CohortAnnounced, digests: tuple[bytes, bytes], state: AwaitingShares
    ) -> None:
        """r1."""
        if self.muted:
            return
        self._shown[state.session, client] = digests
        self._secrets[client] |= {state.seed, state.keys.mask.private, state.keys.channel.private}
        self.require(
            state.params.min_survivors >= self.policy_least
            and cohort.advertised >= state.params.least_advertised,
            f"I3: client {client} shared its keys in a session below its policy",
        )

    def masked(self, client: int, before: AwaitingShares, after: AwaitingSurvivors, payload: bytes) -> None:
        """r2."""
        if self.muted:
            return
        params = before.params
        self.require(
            len(after.sharers) >= max(params.min_survivors, self.policy_least)
            and before.index in after.sharers
            and max(after.sharers) <= before.advertised
            and set(after.mask_key) == set(before.peers) & after.sharers
            and len(set(before.members)) == len(before.members) == before.advertised * params.is_active,
            f"I3: a vector left client {client} for a view that no honest server shows",
        )
        known = self._vectors.setdefault((client, before.context), payload)
        self.require(known == payload, f"I2: two masked vectors left client {client} in one session")
        self._sent[before.session, client] = payload

    def revealed(
        self,
        client: int,
        told: AwaitingSurvivors,
        survivors: frozenset[int],
        reply: SharesRevealed,
        following: CarryingKeys,
        store: Mapping[str, Any],
    ) -> None:
        """r4."""
        if self.muted or client in self.liars:
            return
        for kind, shares in enumerate((reply.self_mask, reply.mask_key)):
            for owner in shares:
                known = self._kinds.setdefault((client, told.context, owner), kind)
                self.require(known == kind, f"I1: client {client} gave both shares of peer {owner}")
        if told.params.is_active:
            mine = (told.context, told.sharers, survivors)
            named = told.context if self.server_lies else told.session
            known_view = self._told.setdefault(named, mine)
            self.require(
                known_view == mine, f"I7: client {client} revealed shares to another view than others"
            )
        secrets = self._secrets[client] | {to_bytes(share) for share in told.self_mask.values()}
        secrets |= {to_bytes(share) for share in told.mask_key.values()}
        kept = b"".join(bytes(v) for v in store["chorus"].values() if isinstance(v, bytes))
        self.require(
            not any(secret in kept for secret in secrets), f"I5: client {client} kept a secret after the end"
        )
        self._secrets[client] = {following.keys.mask.private, following.keys.channel.private}

    def client_left(
        self, client: int, request: Envelope, error: ChorusError, store: Mapping[str, Any]
    ) -> None:
        """A step refused: nothing is left, and nobody honest is accused."""
        self.require("chorus" not in store, f"I5: client {client} kept a state after it had left")
        if isinstance(error, Misbehaviour) and error.culprit in self.names:
            culprit = self.names[error.culprit]
            self.accused.add(culprit)
            self.require(
                self._is_tainted(culprit) or self._is_tainted(client),
                f"I10: client {client} blames client {culprit} in {request.trip}: {error.line}",
            )

    # What the server does.

    def opened(self, identifier: bytes) -> None:
        """A new session."""
        self.require(identifier not in self.sessions, "I8: a session identifier came twice")
        self.sessions.append(identifier)
        self.names = {}
        self._arrived = {}

    def arrived(self, client: int, payload: bytes) -> None:
        """A masked vector was added."""
        self._arrived[client] = payload

    def blames(self, client: int, error: str) -> None:
        """The server named a culprit."""
        self.blamed.add(client)
        self.require(self._is_tainted(client), f"I10: the server blames client {client}: {error}")

    def summed(self, unmasked: Unmasked, announced: Iterable[int]) -> None:
        """I4: U3 is who sent a vector, and the sum is theirs."""
        survivors = set(unmasked.survivors)
        self.require(survivors == set(self._arrived) == set(announced), "I4: the sum is not over U3")
        self.require(len(survivors) >= self.params.min_survivors, "I4: a sum over too few")
        shown = {self._shown[self.sessions[-1], client] for client in survivors}
        self.require(len(shown) == 1, "I7: a sum of clients that were shown different models")
        tensor, scalars = self._expected(survivors)
        modulus = 1 << self.params.modulus_bits
        found = [int(word) % modulus for word in unmasked.total.tensor]
        self.require(
            found == tensor and unmasked.total.scalars.tolist() == scalars,
            f"I4: a wrong sum: {found} is not {tensor} of {sorted(survivors)}",
        )

    def _expected(self, survivors: Iterable[int]) -> tuple[list[int], list[int]]:
        """The sum of the inputs, and of what others made of them on the way: under a mask any change is a number."""
        inputs = [self.inputs[client] for client in survivors]
        tensor = [sum(column) for column in zip(*(each.tensor for each in inputs), strict=True)]
        scalars = [sum(column) for column in zip(*(each.scalars for each in inputs), strict=True)]
        for client in survivors:
            sent = self._sent[self.sessions[-1], client]
            if self._arrived[client] != sent:
                self.require(
                    self._is_tainted(client), f"I4: the vector of client {client} is not what it sent"
                )
                more, less = (self._unpacked(data) for data in (self._arrived[client], sent))
                pairs = zip(more.tensor.tolist(), less.tensor.tolist(), strict=True)
                tensor = [at + new - old for at, (new, old) in zip(tensor, pairs, strict=True)]
                pairs = zip(more.scalars.tolist(), less.scalars.tolist(), strict=True)
                scalars = [at + new - old for at, (new, old) in zip(scalars, pairs, strict=True)]
        modulus = 1 << self.params.modulus_bits
        return [value % modulus for value in tensor], [value % 2**64 for value in scalars]

    def _unpacked(self, payload: bytes) -> Residues:
        params = self.params
        found = empty(params.tensor_length, params.scalar_length, params.modulus_bits)
        message = InputMasked.from_bytes(payload, params)
        add_packed(found.tensor, message.tensor, params.modulus_bits)
        add_packed(found.scalars, message.scalars, 64)
        return found
