"""r4, server: collect shares, rebuild one secret a client, remove the masks.

Decides: when the sum may be believed: only after every rebuilt mask key gave the advertised public key
and every rebuilt seed matched its commitment.
Refuses to know: what the sum means (`arithmetic.fixed_point` decodes it).
"""

from collections.abc import Callable
from dataclasses import dataclass

from secagg.errors import CohortTooSmall, MalformedMessage, Misbehaviour, Unrecoverable
from secagg.masks import (
    Residues,
    add_mask,
    commit,
    pairwise_mask_seed,
    pairwise_sign,
    self_mask_seed,
)
from secagg.messages import PublicKeys, SharesRevealed
from secagg.params import Agreement
from secagg.primitives import BadKey, KeyPair, check_public_key, same
from secagg.server.collection import Collection
from secagg.shamir import recover


@dataclass(frozen=True)
class Unmasked:
    """The outcome of a session.

    Attributes:
        total: the exact sum over the survivors, mod the session's moduli.
        survivors: identifiers of the clients in the sum.
        liars: identifiers of clients that revealed a false share; the sum does not rest on them.
        next_keys: client's identifier -> public keys for its next session.
    """

    total: Residues
    survivors: tuple[int, ...]
    liars: tuple[int, ...]
    next_keys: dict[int, PublicKeys]


class ShareRecovery(Collection):
    """Revealed shares of the survivors, and the masked sum they unlock."""

    def __init__(
        self,
        agreement: Agreement,
        indices: dict[int, int],
        keys: dict[int, PublicKeys],
        commitments: dict[int, bytes],
        total: Residues,
    ) -> None:
        super().__init__(indices)
        self.agreement = agreement
        self._graph = agreement.graph
        self._context = agreement.context
        self._keys = keys
        self._commitments = commitments
        self._total = total
        self._survivors = frozenset(indices.values())
        self._shares: dict[int, dict[int, int]] = {owner: {} for owner in keys}
        self._liars: set[int] = set()
        self._next_keys: dict[int, PublicKeys] = {}

    def receive(self, client: int, message: SharesRevealed) -> None:
        """Take one survivor's shares.

        Raises:
            OutOfTurn: not due.
            MalformedMessage: not exactly one share of the right kind for each peer.
            Misbehaviour: a next key that could not serve.
        """
        index = self._check_turn(client)
        owners = (set(self._graph.neighbours(index)) | {index}) & set(self._keys)
        dropped = owners - self._survivors
        if set(message.self_mask) != owners - dropped or set(message.mask_key) != dropped:
            raise MalformedMessage(
                f"client {client} revealed other shares than it was asked for; it is dropped"
            )
        try:
            check_public_key(message.next_keys.mask)
            check_public_key(message.next_keys.channel)
        except BadKey as error:
            raise Misbehaviour(client, f"client {client}: {error}; it is dropped") from error
        for owner, share in (message.self_mask | message.mask_key).items():
            self._shares[owner][index] = share
        self._next_keys[client] = message.next_keys
        self._completed(client)

    def close(self) -> Unmasked:
        """Rebuild every secret first, then remove the masks.

        Raises:
            CohortTooSmall: fewer shares of some secret than the threshold.
            Unrecoverable: enough shares, but no subset of them checks.
        """
        self._close()
        seeds = {owner: self._rebuild_seed(owner) for owner in sorted(self._survivors)}
        private = {
            owner: self._rebuild_mask_key(owner) for owner in sorted(set(self._keys) - self._survivors)
        }
        for owner, seed in seeds.items():
            add_mask(self._total, self_mask_seed(seed, self._context, owner), -1)
        for owner, key in private.items():
            self._cancel_pairwise(owner, key)
        identifiers = {index: client for client, index in self.indices.items()}
        liars = tuple(sorted(identifiers[index] for index in self._liars))
        return Unmasked(self._total, tuple(sorted(self.indices)), liars, self._next_keys)

    def _cancel_pairwise(self, dropped: int, private: bytes) -> None:
        """Remove the masks that survivors share with a dropped client; they have nothing to cancel
        against.
        """
        for peer in self._graph.neighbours(dropped):
            if peer in self._survivors:
                seed = pairwise_mask_seed(private, self._keys[peer].mask, self._context, dropped, peer)
                # The survivor added sign(peer, dropped) times the mask; the opposite sign takes it away.
                add_mask(self._total, seed, pairwise_sign(dropped, peer))

    def _rebuild_seed(self, owner: int) -> bytes:
        """Every recovered self-mask seed must match its commitment."""

        def accept(seed: bytes) -> bool:
            return same(commit(seed, self._context, owner), self._commitments[owner])

        return self._rebuild(owner, accept)

    def _rebuild_mask_key(self, owner: int) -> bytes:
        """Every recovered mask key must give the advertised public key."""
        return self._rebuild(
            owner, lambda key: same(KeyPair.from_private(key).public, self._keys[owner].mask)
        )

    def _rebuild(self, owner: int, accept: Callable[[bytes], bool]) -> bytes:
        threshold = self.agreement.session.params.threshold
        shares = self._shares[owner]
        if len(shares) < threshold:
            raise CohortTooSmall("revealed shares of one secret", len(shares), threshold)
        trusted = {holder: share for holder, share in shares.items() if holder not in self._liars}
        found = recover(trusted if len(trusted) >= threshold else shares, threshold, accept)
        if found is None:
            raise Unrecoverable(
                f"the shares of client {owner} do not give the secret it is bound to; nothing was unmasked "
                "and the model is unchanged"
            )
        self._liars |= set(found.liars)
        return found.secret
