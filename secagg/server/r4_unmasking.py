"""r4, server: collect shares, rebuild one secret a client, remove the masks.

Decides: when the sum may be believed. Only shares that give the tag their owner bound itself to are used, every
rebuilt mask key must give the advertised public key, and every rebuilt seed its commitment.
Refuses to know: what the sum means (`arithmetic.fixed_point` decodes it).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from secagg.errors import CohortTooSmall, MalformedMessage, Misbehaviour, Unrecoverable
from secagg.keys import PublicKeys
from secagg.masks import (
    Mask,
    Residues,
    add_masks,
    commit,
    pairwise_mask_seed,
    pairwise_sign,
    self_mask_seed,
)
from secagg.messages import KeysAdvertised, SharesRevealed
from secagg.params import Agreement
from secagg.primitives import BadKey, KeyPair, PrivateKey, check_public_key, same
from secagg.server.collection import Collection
from secagg.shamir import rebuild
from secagg.tags import ShareKind, is_dealt


@dataclass(frozen=True)
class Dealt:
    """What a client bound itself to by the end of r1.

    Attributes:
        keys: its public keys.
        commitment: to its self-mask seed.
        tags: holder's index -> tags of the two shares dealt to it.
    """

    keys: PublicKeys
    commitment: bytes
    tags: Mapping[int, bytes]


@dataclass(frozen=True)
class Unmasked:
    """The outcome of a session.

    Attributes:
        total: the exact sum over the survivors, mod the session's moduli.
        survivors: identifiers of the clients in the sum.
        next_keys: client's identifier -> public keys for its next session.
    """

    total: Residues
    survivors: tuple[int, ...]
    next_keys: dict[int, KeysAdvertised]


class ShareRecovery(Collection):
    """Revealed shares of the survivors, and the masked sum they unlock.

    Attributes:
        false_shares: identifiers (holder, owner) of shares that are not what was dealt: the holder lied. They are
            not used, and its other shares are.
    """

    def __init__(
        self,
        agreement: Agreement,
        indices: dict[int, int],
        dealt: dict[int, Dealt],
        total: Residues,
        names: Mapping[int, int],
    ) -> None:
        super().__init__(indices)
        self.agreement = agreement
        self.false_shares: list[tuple[int, int]] = []
        self._names = names
        self._graph = agreement.graph
        self._context = agreement.context
        self._dealt = dealt
        self._total = total
        self._survivors = frozenset(indices.values())
        self._summed = tuple(sorted(indices))
        self._own_share = agreement.session.params.own_share
        self._shares: dict[int, dict[int, int]] = {owner: {} for owner in dealt}
        self._next_keys: dict[int, KeysAdvertised] = {}

    def ask_only(self, clients: Iterable[int]) -> None:
        """Hear nobody but these survivors; whoever survived stays in the sum."""
        kept = set(clients)
        self.indices = {client: index for client, index in self.indices.items() if client in kept}

    def receive(self, client: int, message: SharesRevealed) -> None:
        """Take one survivor's shares.

        Raises:
            OutOfTurn: not due.
            MalformedMessage: not exactly one share of the right kind for each peer.
            Misbehaviour: a next key that could not serve.
        """
        index = self._check_turn(client)
        own = {index} if self._own_share else set[int]()
        owners = (set(self._graph.neighbours(index)) | own) & set(self._dealt)
        dropped = owners - self._survivors
        if set(message.self_mask) != owners - dropped or set(message.mask_key) != dropped:
            raise MalformedMessage(
                f"client {client} revealed other shares than it was asked for; it is dropped"
            )
        try:
            check_public_key(message.following.keys.mask)
            check_public_key(message.following.keys.channel)
        except BadKey as error:
            raise Misbehaviour(client, f"client {client}: {error}; it is dropped") from error
        for owner, share in message.self_mask.items():
            self._take(owner, index, ShareKind.SELF_MASK, share)
        for owner, share in message.mask_key.items():
            self._take(owner, index, ShareKind.MASK_KEY, share)
        self._next_keys[client] = message.following
        self._completed(client)

    def _take(self, owner: int, holder: int, kind: ShareKind, share: int) -> None:
        """Keep a share that is what its holder was dealt; of its own seed a client may say what it likes."""
        if owner == holder or is_dealt(
            self._dealt[owner].tags[holder], share, kind, self._context, owner, holder
        ):
            self._shares[owner][holder] = share
        else:
            self.false_shares.append((self._names[holder], self._names[owner]))

    def close(self, workers: int = 1) -> Unmasked:
        """Rebuild every secret first, then remove the masks with `workers` threads.

        Raises:
            CohortTooSmall: fewer shares of some secret than the threshold.
            Unrecoverable: a client dealt shares that do not rebuild what it is bound to.
        """
        self._close()
        seeds = {owner: self._rebuild_seed(owner) for owner in sorted(self._survivors)}
        private = {
            owner: self._rebuild_mask_key(owner) for owner in sorted(set(self._dealt) - self._survivors)
        }
        add_masks(self._total, self._masks(seeds, private), workers)
        return Unmasked(self._total, self._summed, self._next_keys)

    def _masks(self, seeds: Mapping[int, bytes], private: Mapping[int, bytes]) -> Iterator[Mask]:
        """The survivors' own masks, and those they share with the dropped, which have nothing to cancel against."""
        for owner, seed in seeds.items():
            yield Mask(self_mask_seed(seed, self._context, owner), -1)
        for dropped, secret in private.items():
            key = PrivateKey(secret)
            for peer in self._graph.neighbours(dropped):
                if peer in self._survivors:
                    public = self._dealt[peer].keys.mask
                    shared = pairwise_mask_seed(key, public, self._context, dropped, peer)
                    # The survivor added sign(peer, dropped) times the mask; the opposite sign takes it away.
                    yield Mask(shared, pairwise_sign(dropped, peer))

    def _rebuild_seed(self, owner: int) -> bytes:
        """Every recovered self-mask seed must match its commitment."""

        def accept(seed: bytes) -> bool:
            return same(commit(seed, self._context, owner), self._dealt[owner].commitment)

        return self._rebuild(owner, accept)

    def _rebuild_mask_key(self, owner: int) -> bytes:
        """Every recovered mask key must give the advertised public key."""
        advertised = self._dealt[owner].keys.mask
        return self._rebuild(owner, lambda key: same(KeyPair.from_private(key).public, advertised))

    def _rebuild(self, owner: int, accept: Callable[[bytes], bool]) -> bytes:
        threshold = self.agreement.session.params.threshold
        shares = self._shares[owner]
        if len(shares) < threshold:
            raise CohortTooSmall("revealed shares of one secret", len(shares), threshold)
        # The same holders for every owner where possible: their Lagrange weights are computed once. A client's own
        # share carries no tag, so the others' alone are tried when it does not fit.
        holders = sorted(shares)
        others = [holder for holder in holders if holder != owner]
        for chosen in (holders[:threshold], others[:threshold]):
            secret = (
                rebuild({holder: shares[holder] for holder in chosen}) if len(chosen) == threshold else None
            )
            if secret is not None and accept(secret):
                return secret
        raise Unrecoverable(
            self._names[owner],
            f"client {self._names[owner]} dealt shares that do not give the secret it is bound to; nothing was "
            "unmasked and the model is unchanged",
        )
