"""Clients that lie, each by one attack and otherwise by the book; any of them keeps all that it is told.

Decides: what leaves instead of an honest reply. `answers` are the codes with which the server meets it; `is_blamed`
says whether it is put on record as the culprit, by the server (`"server"`) or by clients (`"clients"`), or cannot be
told from an honest one (`""`).
"""

from dataclasses import replace
from typing import Any, ClassVar

from arithmetic.field import PRIME
from arithmetic.field import to_bytes as element
from secagg.client.r1_share_keys import channel_key, share_label
from secagg.client.states import AwaitingCohort, AwaitingShares, AwaitingSignatures, AwaitingSurvivors
from secagg.encoding import Writer
from secagg.keys import PublicKeys
from secagg.messages import InputMasked, KeysAdvertised, SharesRevealed, SharesSealed, SurvivorsSigned
from secagg.primitives import KEY_BYTES, seal
from secagg.sealed import CIPHERTEXT_BYTES
from secagg.signatory import Credential, Origin
from secagg.tags import tag_pair
from tests.simulator.client_node import ClientNode
from wire.rounds import ProtocolRound

R0, R1, R2, R3, R4 = ProtocolRound
Sendable = Any  # a message, its bytes, several of them, or None for silence


class MaliciousClient(ClientNode):
    """Honest until a subclass says otherwise.

    Attributes:
        only_active: the attack needs a roster.
        ends_sessions: it can keep the others from a sum.
        needs_dropped: the attack is on what is rebuilt of a client that vanished after r1.
    """

    answers: ClassVar[frozenset[str]] = frozenset()
    is_blamed: ClassVar[str] = ""
    only_active: ClassVar[bool] = False
    ends_sessions: ClassVar[bool] = False
    needs_dropped: ClassVar[bool] = False

    def sent(self, trip: ProtocolRound, reply: Any, state: Any) -> bytes | tuple[bytes, ...]:
        """What the attack makes of the honest reply."""
        made = (self.advertise, self.share, self.mask, self.sign, self.reveal)[int(trip[1])](reply, state)
        several = made if isinstance(made, tuple) else () if made is None else (made,)
        written = tuple(each if isinstance(each, bytes) else each.to_bytes() for each in several)
        return written[0] if len(written) == 1 else written

    def advertise(self, reply: KeysAdvertised, state: AwaitingCohort) -> Sendable:
        """r0."""
        return reply

    def share(self, reply: SharesSealed, state: AwaitingShares) -> Sendable:
        """r1."""
        return reply

    def mask(self, reply: InputMasked, state: AwaitingSurvivors) -> Sendable:
        """r2."""
        return reply

    def sign(self, reply: SurvivorsSigned, state: AwaitingSignatures) -> Sendable:
        """r3."""
        return reply

    def reveal(self, reply: SharesRevealed, state: AwaitingSurvivors) -> Sendable:
        """r4."""
        return reply

    def vouched(self, keys: PublicKeys, origin: Origin) -> KeysAdvertised:
        """Keys as this member would advertise them."""
        return KeysAdvertised(keys, self.place.vouch(keys, origin) if self.place else None)


class VanishesAfterSharing(ClientNode):
    """No liar: it is gone when its vector is due."""

    def sent(self, trip: ProtocolRound, reply: Any, state: Any) -> bytes | tuple[bytes, ...]:
        """Nothing from r2 on."""
        return () if trip in (R2, R3, R4) else super().sent(trip, reply, state)


# r0: keys.


class LowOrderKey(MaliciousClient):
    """Every secret agreed on with this key is zero."""

    answers, is_blamed = frozenset({"CRYPTO"}), "server"

    def advertise(self, reply: KeysAdvertised, state: AwaitingCohort) -> Sendable:
        return self.vouched(replace(reply.keys, mask=bytes(KEY_BYTES)), state.origin)


class KeyNotInCanonicalForm(MaliciousClient):
    """Another spelling of a key, so that two sides might differ over it."""

    answers, is_blamed = frozenset({"CRYPTO"}), "server"

    def advertise(self, reply: KeysAdvertised, state: AwaitingCohort) -> Sendable:
        return self.vouched(replace(reply.keys, channel=(2**255 - 10).to_bytes(32, "little")), state.origin)


class OneKeyForBoth(MaliciousClient):
    """The key behind masks is the one that seals shares."""

    answers, is_blamed = frozenset({"CRYPTO"}), "server"

    def advertise(self, reply: KeysAdvertised, state: AwaitingCohort) -> Sendable:
        return self.vouched(replace(reply.keys, channel=reply.keys.mask), state.origin)


class UnsignedKeys(MaliciousClient):
    """Keys for which nobody vouches."""

    answers, only_active = frozenset({"AUTH"}), True

    def advertise(self, reply: KeysAdvertised, state: AwaitingCohort) -> Sendable:
        return replace(reply, credential=None)


class AnotherMembersName(MaliciousClient):
    """Its own signature under another member's number."""

    answers, only_active = frozenset({"AUTH"}), True

    def advertise(self, reply: KeysAdvertised, state: AwaitingCohort) -> Sendable:
        assert reply.credential is not None
        return replace(reply, credential=Credential(1, reply.credential.signature))


class KeysSignedForAnotherSession(MaliciousClient):
    """A signature that says nothing of this session."""

    answers, only_active = frozenset({"AUTH"}), True

    def advertise(self, reply: KeysAdvertised, state: AwaitingCohort) -> Sendable:
        return self.vouched(reply.keys, Origin(bytes(32), ahead=False))


class SomethingBehindTheKeys(MaliciousClient):
    """A byte too many."""

    answers = frozenset({"FORMAT"})

    def advertise(self, reply: KeysAdvertised, state: AwaitingCohort) -> Sendable:
        return reply.to_bytes() + b"\x00"


class AnotherVersion(MaliciousClient):
    """Speaks the next version of the format."""

    answers = frozenset({"VIEW"})

    def advertise(self, reply: KeysAdvertised, state: AwaitingCohort) -> Sendable:
        return b"\x11\x03" + reply.to_bytes()[2:]


# r1: shares.


class LeavesANeighbourOut(MaliciousClient):
    """One neighbour gets no share."""

    answers = frozenset({"FORMAT"})

    def share(self, reply: SharesSealed, state: AwaitingShares) -> Sendable:
        return replace(reply, sealed=dict(list(reply.sealed.items())[1:]))


class SharesWithItself(MaliciousClient):
    """One recipient too many."""

    answers = frozenset({"FORMAT"})

    def share(self, reply: SharesSealed, state: AwaitingShares) -> Sendable:
        return replace(reply, sealed=reply.sealed | {state.index: next(iter(reply.sealed.values()))})


class GarbledShare(MaliciousClient):
    """One neighbour's shares do not open."""

    is_blamed, ends_sessions = "clients", True

    def share(self, reply: SharesSealed, state: AwaitingShares) -> Sendable:
        recipient, sealed = next(iter(reply.sealed.items()))
        return replace(reply, sealed=reply.sealed | {recipient: bytes([sealed[0] ^ 1]) + sealed[1:]})


class TagsThatDoNotFit(MaliciousClient):
    """Every neighbour's shares open and are not the ones it bound itself to: it could call any of them a liar later."""

    is_blamed, ends_sessions = "clients", True

    def share(self, reply: SharesSealed, state: AwaitingShares) -> Sendable:
        return replace(reply, sealed={r: s[:-1] + bytes([s[-1] ^ 1]) for r, s in reply.sealed.items()})


class FalseCommitment(MaliciousClient):
    """Bound to another seed than the one it shares."""

    is_blamed, ends_sessions = "server", True

    def share(self, reply: SharesSealed, state: AwaitingShares) -> Sendable:
        return replace(reply, commitment=bytes(32))


class SharesOfNothing(MaliciousClient):
    """Shares that open, give their tags, and lie on no polynomial that the threshold rebuilds to its secrets."""

    is_blamed, ends_sessions = "server", True

    def share(self, reply: SharesSealed, state: AwaitingShares) -> Sendable:
        return replace(reply, sealed={r: self._sealed(state, r) for r in reply.sealed})

    def _sealed(self, state: AwaitingShares, recipient: int) -> bytes:
        shares = [int.from_bytes(self._entropy(R1, 64), "big") % PRIME for _ in range(2)]
        private, public = state.keys.channel.private, state.peers[recipient].channel
        key = channel_key(private, public, state.context, state.index, recipient)
        plaintext = element(shares[0]) + element(shares[1])
        tags = tag_pair(shares[0], shares[1], state.context, state.index, recipient)
        masks = state.keys.mask.public, state.peers[recipient].mask
        sealed = seal(key, plaintext, share_label(state.context, state.index, recipient, *masks))
        assert len(sealed) == CIPHERTEXT_BYTES
        return sealed + tags


class SharesOfNothingThenSilence(SharesOfNothing):
    """The same, and it vanishes, so that its mask key is what has to be rebuilt."""

    def mask(self, reply: InputMasked, state: AwaitingSurvivors) -> Sendable:
        return None


class ClaimsAMillionShares(MaliciousClient):
    """A count that is more than what follows."""

    answers = frozenset({"FORMAT"})

    def share(self, reply: SharesSealed, state: AwaitingShares) -> Sendable:
        return Writer(0x13, 2).raw(reply.commitment).number(10**6, 4).finish()


# r2: vectors.


class ShortVector(MaliciousClient):
    """An entry less."""

    answers = frozenset({"FORMAT"})

    def mask(self, reply: InputMasked, state: AwaitingSurvivors) -> Sendable:
        return reply.to_bytes()[:-8]


class LongVector(MaliciousClient):
    """An entry more."""

    answers = frozenset({"FORMAT"})

    def mask(self, reply: InputMasked, state: AwaitingSurvivors) -> Sendable:
        return reply.to_bytes() + bytes(8)


class BitsBehindTheEnd(MaliciousClient):
    """Entries that do not end with a byte, and bits behind the last."""

    answers = frozenset({"RANGE"})

    def mask(self, reply: InputMasked, state: AwaitingSurvivors) -> Sendable:
        used = state.params.tensor_length * state.params.modulus_bits % 8
        last = bytes(reply.tensor)[-1] | (0x80 if used else 0)
        return replace(reply, tensor=bytes(reply.tensor)[:-1] + bytes([last]))


class VectorOfPickle(MaliciousClient):
    """What would run code where somebody unpickled it, as long as a vector is."""

    answers = frozenset({"FORMAT"})

    def mask(self, reply: InputMasked, state: AwaitingSurvivors) -> Sendable:
        return b"\x80\x04cposix\nsystem\n(S'true'\ntR.".ljust(len(reply.to_bytes()), b"\x00")


class TwoVectors(MaliciousClient):
    """A second vector behind the first."""

    answers = frozenset({"STATE"})

    def mask(self, reply: InputMasked, state: AwaitingSurvivors) -> Sendable:
        first = reply.to_bytes()
        return first, first[:-1] + bytes([first[-1] ^ 1])


class AnyVector(MaliciousClient):
    """Whatever it likes: under a mask that is a vector like any other, and it moves the sum by as much."""

    def mask(self, reply: InputMasked, state: AwaitingSurvivors) -> Sendable:
        scalars = bytes(reply.scalars)
        return replace(reply, scalars=bytes([scalars[0] ^ 0xFF]) + scalars[1:])


class SharesOnceMore(MaliciousClient):
    """Its reply of another protocol round."""

    answers = frozenset({"FORMAT"})

    def share(self, reply: SharesSealed, state: AwaitingShares) -> Sendable:
        self._shares = reply.to_bytes()
        return reply

    def mask(self, reply: InputMasked, state: AwaitingSurvivors) -> Sendable:
        return self._shares


# r3: signatures.


class ForgedSignature(MaliciousClient):
    """No signature."""

    answers, only_active = frozenset({"AUTH"}), True

    def sign(self, reply: SurvivorsSigned, state: AwaitingSignatures) -> Sendable:
        return SurvivorsSigned(bytes(64))


class SignsOtherSurvivors(MaliciousClient):
    """Its signature on a set without one of the survivors, to keep the others from a sum."""

    answers, only_active = frozenset({"AUTH"}), True

    def sign(self, reply: SurvivorsSigned, state: AwaitingSignatures) -> Sendable:
        assert self.place is not None
        others = state.survivors - {max(state.survivors)}
        return SurvivorsSigned(self.place.endorse(state.told.view(others)))


# r4: shares revealed, and keys for the next session.


class FalseShareOfASeed(MaliciousClient):
    """One false share: the sum would be wrong, if anybody believed it."""

    is_blamed, ends_sessions = "server", True

    def reveal(self, reply: SharesRevealed, state: AwaitingSurvivors) -> Sendable:
        shares = {o: (s + 1) % PRIME if o != state.index else s for o, s in reply.self_mask.items()}
        return replace(reply, self_mask=shares)


class FalseShareOfAKey(MaliciousClient):
    """False shares of the dropped clients' keys."""

    is_blamed, ends_sessions, needs_dropped = "server", True, True

    def reveal(self, reply: SharesRevealed, state: AwaitingSurvivors) -> Sendable:
        return replace(reply, mask_key={owner: (s + 1) % PRIME for owner, s in reply.mask_key.items()})


class FalseShareOfItself(MaliciousClient):
    """Of its own seed no share carries a tag; the others' rebuild it, or it is its own."""

    is_blamed, ends_sessions = "server", True

    def reveal(self, reply: SharesRevealed, state: AwaitingSurvivors) -> Sendable:
        own = (
            {state.index: (reply.self_mask[state.index] + 1) % PRIME}
            if state.index in reply.self_mask
            else {}
        )
        return replace(reply, self_mask=reply.self_mask | own)


class TheOtherKindOfShare(MaliciousClient):
    """Reveals the key of a peer whose seed was asked for."""

    answers, ends_sessions = frozenset({"FORMAT"}), True

    def reveal(self, reply: SharesRevealed, state: AwaitingSurvivors) -> Sendable:
        peer = min(state.mask_key)
        seeds = {owner: share for owner, share in reply.self_mask.items() if owner != peer}
        keys = {owner: share for owner, share in reply.mask_key.items() if owner != peer}
        if peer in reply.self_mask:
            return replace(reply, self_mask=seeds, mask_key=keys | {peer: state.mask_key[peer]})
        return replace(reply, self_mask=seeds | {peer: state.self_mask[peer]}, mask_key=keys)


class AShareTooFew(MaliciousClient):
    """Keeps one back."""

    answers, ends_sessions = frozenset({"FORMAT"}), True

    def reveal(self, reply: SharesRevealed, state: AwaitingSurvivors) -> Sendable:
        return replace(reply, self_mask=dict(list(reply.self_mask.items())[1:]))


class ShareAboveThePrime(MaliciousClient):
    """A share that is no field element."""

    answers, ends_sessions = frozenset({"FORMAT"}), True

    def reveal(self, reply: SharesRevealed, state: AwaitingSurvivors) -> Sendable:
        return replace(reply, self_mask=dict.fromkeys(reply.self_mask, PRIME))


class NextKeyOfLowOrder(MaliciousClient):
    """Keys for the next session that could not serve."""

    answers, is_blamed, ends_sessions = frozenset({"CRYPTO"}), "server", True

    def reveal(self, reply: SharesRevealed, state: AwaitingSurvivors) -> Sendable:
        keys = replace(reply.following.keys, mask=bytes(KEY_BYTES))
        return replace(reply, following=self.vouched(keys, Origin(state.session, ahead=True)))


class NextKeysUnsigned(MaliciousClient):
    """Keys for the next session for which nobody vouches."""

    answers, only_active = frozenset({"AUTH"}), True

    def reveal(self, reply: SharesRevealed, state: AwaitingSurvivors) -> Sendable:
        return replace(reply, following=replace(reply.following, credential=None))


STRATEGIES = tuple(
    found
    for found in list(globals().values())
    if isinstance(found, type) and issubclass(found, MaliciousClient) and found is not MaliciousClient
)
