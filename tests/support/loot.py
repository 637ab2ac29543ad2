"""What a server holds of one session, and everything it can compute from that.

Decides: which sums of vectors come out. A survivor's own mask falls with its seed, and a mask of two clients with
either one's private mask key; what no unknown mask ties together comes out as one sum.
Refuses to know: how the server came by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from arithmetic.packing import add_packed
from secagg.keys import PublicKeys
from secagg.masks import (
    Mask,
    Residues,
    add_masks,
    commit,
    empty,
    pairwise_mask_seed,
    pairwise_sign,
    self_mask_seed,
)
from secagg.messages import InputMasked, SharesRevealed, SharesSealed
from secagg.params import Agreement
from secagg.primitives import KeyPair
from secagg.shamir import rebuild


@dataclass
class Loot:
    """Of one session, by the clients' indices.

    Attributes:
        self_mask: owner -> holder -> share of its self-mask seed; `mask_key` likewise of its private mask key.
        signatures: index -> the signature on survivors that it gave in r3.
    """

    agreement: Agreement
    keys: Mapping[int, PublicKeys]
    sealed: dict[int, SharesSealed] = field(default_factory=dict)
    vectors: dict[int, InputMasked] = field(default_factory=dict)
    signatures: dict[int, bytes] = field(default_factory=dict)
    self_mask: dict[int, dict[int, int]] = field(default_factory=dict)
    mask_key: dict[int, dict[int, int]] = field(default_factory=dict)

    def take(self, holder: int, revealed: SharesRevealed) -> None:
        """Keep what one client revealed."""
        self.keep(holder, revealed.self_mask, revealed.mask_key)

    def keep(self, holder: int, self_mask: Mapping[int, int], mask_key: Mapping[int, int]) -> None:
        """Keep shares that one client held."""
        for owner, share in self_mask.items():
            self.self_mask.setdefault(owner, {})[holder] = share
        for owner, share in mask_key.items():
            self.mask_key.setdefault(owner, {})[holder] = share

    @property
    def shares(self) -> int:
        """How many were ever revealed."""
        return sum(len(held) for kind in (self.self_mask, self.mask_key) for held in kind.values())

    def seeds(self) -> dict[int, bytes]:
        """Self-mask seeds that come out, by owner."""
        return {
            owner: secret
            for owner in self.self_mask
            if (secret := self._secret(self.self_mask[owner]))
            and commit(secret, self.agreement.context, owner) == self.sealed[owner].commitment
        }

    def private_keys(self) -> dict[int, bytes]:
        """Private mask keys that come out, by owner."""
        return {
            owner: secret
            for owner in self.mask_key
            if (secret := self._secret(self.mask_key[owner]))
            and KeyPair.from_private(secret).public == self.keys[owner].mask
        }

    def _secret(self, shares: Mapping[int, int]) -> bytes | None:
        threshold = self.agreement.session.params.threshold
        if len(shares) < threshold:
            return None
        return rebuild({holder: shares[holder] for holder in sorted(shares)[:threshold]})

    def stripped_bare(self) -> set[int]:
        """Clients both of whose secrets came out."""
        return set(self.seeds()) & set(self.private_keys())

    def sums(self) -> dict[frozenset[int], Residues]:
        """Every sum of vectors that no unknown mask covers, by the clients in it."""
        seeds, private = self.seeds(), self.private_keys()
        found, unseen = {}, set(self.sealed)
        while unseen:
            part, waiting = set[int](), [min(unseen)]
            while waiting:
                index = waiting.pop()
                if index not in part:
                    part.add(index)
                    waiting += [] if index in private else self._tied(index) - part - set(private)
            unseen -= part
            if part <= set(seeds) & set(self.vectors):
                found[frozenset(part)] = self._unmasked(part, seeds, private)
        return found

    def _tied(self, index: int) -> set[int]:
        return set(self.agreement.graph.neighbours(index)) & set(self.sealed)

    def _unmasked(self, part: set[int], seeds: Mapping[int, bytes], private: Mapping[int, bytes]) -> Residues:
        params, context = self.agreement.session.params, self.agreement.context
        total = empty(params.tensor_length, params.scalar_length, params.modulus_bits)
        masks = []
        for index in part:
            add_packed(total.tensor, self.vectors[index].tensor, params.modulus_bits)
            add_packed(total.scalars, self.vectors[index].scalars, 64)
            masks.append(Mask(self_mask_seed(seeds[index], context, index), -1))
            for peer in self._tied(index) - part:
                known, other = (peer, index) if peer in private else (index, peer)
                seed = pairwise_mask_seed(private[known], self.keys[other].mask, context, index, peer)
                masks.append(Mask(seed, pairwise_sign(peer, index)))
        add_masks(total, masks)
        total.tensor &= np.array((1 << params.modulus_bits) - 1, dtype=total.tensor.dtype)
        return total

    def smallest_sum(self) -> int:
        """Clients in the smallest sum that comes out; 0 when none does."""
        return min(map(len, self.sums()), default=0)
