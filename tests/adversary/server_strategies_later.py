"""Servers that attack from r2 on: who shared, who survived, who signed so, and what is asked for when.

Each class is one attack, named after it; `refusals` are the codes with which honest clients meet it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from secagg.messages import SharesDelivered, SurvivorsAnnounced, UnmaskingRequested
from secagg.primitives import SIGNATURE_BYTES
from tests.adversary.hostile import R2, R3, R4, Hostile
from tests.support.malicious_server import ring_of
from wire.rounds import ProtocolRound


class DeliveredToTheVictim(Hostile):
    """Shows one client other shares."""

    def delivered_for(self, node: int, honest: SharesDelivered) -> SharesDelivered:
        """To the victim the attack, to others the truth."""
        return self.delivered(honest) if node == self.victim and honest.sealed else honest

    def delivered(self, honest: SharesDelivered) -> SharesDelivered:
        """What the victim is sent."""
        return honest


class SharesAltered(DeliveredToTheVictim):
    """A bit of one peer's shares."""

    refusals = frozenset({"CRYPTO"})

    def delivered(self, honest: SharesDelivered) -> SharesDelivered:
        sender, sealed = self.chance.choice(list(honest.sealed.items()))
        return replace(
            honest, sealed=honest.sealed | {sender: sealed[:9] + bytes([sealed[9] ^ 4]) + sealed[10:]}
        )


class SharesForAnother(DeliveredToTheVictim):
    """What a peer sealed for another recipient."""

    refusals = frozenset({"CRYPTO"})

    def delivered(self, honest: SharesDelivered) -> SharesDelivered:
        sender = self.chance.choice(list(honest.sealed))
        theirs = self.loot[-1].sealed[sender].sealed
        other = next(sealed for recipient, sealed in theirs.items() if recipient != self.victims_index)
        return replace(honest, sealed=honest.sealed | {sender: other})


class SharesExchanged(DeliveredToTheVictim):
    """Two peers' shares in each other's place."""

    refusals = frozenset({"CRYPTO", "VIEW"})

    def delivered(self, honest: SharesDelivered) -> SharesDelivered:
        found = list(honest.sealed.items())
        if len(found) < 2:
            return honest
        (first, mine), (second, yours) = found[:2]
        return replace(honest, sealed=honest.sealed | {first: yours, second: mine})


class SharesWithheld(DeliveredToTheVictim):
    """A peer shared, and its shares do not come."""

    refusals = frozenset({"VIEW"})

    def delivered(self, honest: SharesDelivered) -> SharesDelivered:
        return replace(honest, sealed=dict(list(honest.sealed.items())[1:]))


class SharesOfTheLastSession(DeliveredToTheVictim):
    """Shares that opened once."""

    refusals = frozenset({"VIEW"})
    last: dict[int, bytes] | None = None

    def delivered(self, honest: SharesDelivered) -> SharesDelivered:
        last, self.last = self.last, honest.sealed
        if last is None:
            return honest
        return replace(honest, sealed={sender: last.get(sender, bytes(114)) for sender in honest.sealed})


class AlmostNobodyShared(DeliveredToTheVictim):
    """The victim and one peer are said to be all that is left."""

    refusals = frozenset({"QUORUM"})

    def delivered(self, honest: SharesDelivered) -> SharesDelivered:
        peer, sealed = next(iter(honest.sealed.items()))
        return replace(honest, sharers=frozenset({self.victims_index, peer}), sealed={peer: sealed})


class VictimDidNotShare(DeliveredToTheVictim):
    """The victim is said not to have shared."""

    refusals = frozenset({"VIEW"})

    def delivered(self, honest: SharesDelivered) -> SharesDelivered:
        return replace(honest, sharers=honest.sharers - {self.victims_index})


class TwoListsOfSharers(Hostile):
    """Half the clients hear that one of them did not share."""

    refusals = frozenset({"VIEW"})

    def delivered_for(self, node: int, honest: SharesDelivered) -> SharesDelivered:
        gone = min(honest.sharers)
        if self.indices[node] == gone or self.indices[node] % 2:
            return honest
        sealed = {sender: each for sender, each in honest.sealed.items() if sender != gone}
        return replace(honest, sharers=honest.sharers - {gone}, sealed=sealed)


class VectorAskedTwice(Hostile):
    """A second vector under the same masks."""

    refusals = frozenset({"STATE"})

    def deliver(self) -> None:
        requests: dict[int, SharesDelivered] = {}
        self.repeated = requests
        super().deliver()
        self.ask(R2, requests)

    def delivered_for(self, node: int, honest: SharesDelivered) -> SharesDelivered:
        self.repeated[node] = honest
        return honest


class SplitSurvivors(Hostile):
    """Half the clients hear that the victim survived, half that it dropped: one share of each of its secrets."""

    refusals = frozenset({"VIEW"})

    def survivors_for(self, index: int) -> frozenset[int]:
        everybody = frozenset(self.loot[-1].vectors)
        return everybody if index % 2 or index == self.victims_index else everybody - {self.victims_index}

    def signatures_for(self, index: int) -> dict[int, bytes]:
        """All it has, whatever they are on."""
        return {each: s for each, s in self.loot[-1].signatures.items() if each in self.survivors_for(index)}


class SplitAmongThree(Hostile):
    """Every third client hears of another one that dropped."""

    refusals = frozenset({"VIEW"})

    def survivors_for(self, index: int) -> frozenset[int]:
        everybody = sorted(self.loot[-1].vectors)
        gone = everybody[index % 3 % len(everybody)]
        return frozenset(everybody) - ({gone} if gone != index else set())


class RingCutInTwo(Hostile):
    """Of each client at the cuts only a few neighbours hear that it dropped: parts of a sparse graph would come out."""

    refusals = frozenset({"VIEW"})
    sparse = True

    def tell(self) -> None:
        everybody, ring = frozenset(self.loot[-1].vectors), ring_of(self.loot[-1].agreement)
        self.views: dict[int, frozenset[int]] = {}
        for at in (0, len(ring) // 2):
            for dropped, tellers in ((at, (-2, -1, 1)), (at + 1, (0, 2, 3))):
                for teller in tellers:
                    self.views[ring[(at + teller) % len(ring)]] = everybody - {ring[dropped % len(ring)]}
        super().tell()

    def survivors_for(self, index: int) -> frozenset[int]:
        return self.views.get(index, frozenset(self.loot[-1].vectors))


class VictimSaidToHaveDropped(Hostile):
    """The server has its vector and says that it has not."""

    refusals = frozenset({"VIEW"})

    def survivors_for(self, index: int) -> frozenset[int]:
        return frozenset(self.loot[-1].vectors) - {self.victims_index}


class VectorKeptBack(VictimSaidToHaveDropped):
    """The same, and the victim hears nothing any more: its key comes out, its vector must not."""

    refusals = frozenset()

    def ask(
        self, protocol_round: ProtocolRound, requests: Mapping[int, Any], group: str = ""
    ) -> dict[int, bytes]:
        late = protocol_round in (R3, R4)
        heard = {node: each for node, each in requests.items() if not (late and node == self.victim)}
        return super().ask(protocol_round, heard, group)


class AlmostNobodySurvived(Hostile):
    """Two survivors."""

    refusals = frozenset({"QUORUM"})

    def survivors_for(self, index: int) -> frozenset[int]:
        others = sorted(frozenset(self.loot[-1].vectors) - {index})
        return frozenset({index, *others[:1]})


class SurvivorThatNeverShared(Hostile):
    """One that shared nothing is said to be in the sum."""

    refusals = frozenset({"VIEW"})

    def deliver(self) -> None:
        self.gone = self.victims_index
        self.loot[-1].sealed.pop(self.gone, None)
        super().deliver()

    def survivors_for(self, index: int) -> frozenset[int]:
        return frozenset(self.loot[-1].vectors) | {self.gone or 1}


class AnotherListThanSigned(Hostile):
    """Signed with the victim among the survivors, asked without."""

    refusals = frozenset({"VIEW"})

    def unmasking_for(self, index: int) -> UnmaskingRequested:
        others = frozenset(self.loot[-1].vectors) - {self.victims_index}
        return self.request(index, others | {index})


class BothSharesOfThePeers(Hostile):
    """Asked once by the book and once more with the fates turned round."""

    refusals = frozenset({"STATE"})

    def demand_of(self, node: int, request: UnmaskingRequested) -> None:
        super().demand_of(node, request)
        turned = frozenset(self.loot[-1].sealed) - request.survivors | {self.indices[node]}
        super().demand_of(node, replace(request, survivors=turned, signatures={}))


class SignaturesThatNobodyGave(Hostile):
    """Bytes in the place of the others' signatures."""

    refusals = frozenset({"VIEW"})

    def signatures_for(self, index: int) -> dict[int, bytes]:
        found = super().signatures_for(index)
        return {each: s if each == index else bytes(SIGNATURE_BYTES) for each, s in found.items()}


class TooFewSignatures(Hostile):
    """The client's own signature alone."""

    refusals = frozenset({"VIEW"})

    def signatures_for(self, index: int) -> dict[int, bytes]:
        return {each: s for each, s in super().signatures_for(index).items() if each == index}


class SignaturesOfTheLastSession(Hostile):
    """Signatures on the same indices."""

    refusals = frozenset({"VIEW"})

    def signatures_for(self, index: int) -> dict[int, bytes]:
        if len(self.loot) < 2:
            return super().signatures_for(index)
        now = self.survivors_for(index)
        return {each: s for each, s in self.loot[0].signatures.items() if each in now}


class TheSameIdentifierAgain(SignaturesOfTheLastSession):
    """The same, and the session goes by the same identifier."""

    def fresh(self) -> bytes:
        return b"I" * 32


class SignatureOfOneThatDropped(Hostile):
    """Who did not survive is said to have signed."""

    refusals = frozenset({"VIEW"})

    def tell(self) -> None:
        self.gone = max(self.loot[-1].vectors, default=0)
        self.loot[-1].vectors.pop(self.gone, None)
        super().tell()

    def signatures_for(self, index: int) -> dict[int, bytes]:
        found = super().signatures_for(index) | {self.gone or 1: bytes(SIGNATURE_BYTES)}
        return dict(sorted(found.items()))


class SkipsTheConsistencyCheck(Hostile):
    """r4 where r3 is due."""

    refusals = frozenset({"STATE"})

    def tell(self) -> None:
        everybody = frozenset(self.loot[-1].vectors)
        for node, index in self.indices.items():
            if index in everybody:
                self.demand_of(node, UnmaskingRequested(self.identifier, len(self.indices), everybody))

    def demand(self) -> None:
        pass


class UnmasksBeforeAnyVector(Hostile):
    """r3 and r4 where r2 is due."""

    refusals = frozenset({"STATE"})

    def deliver(self) -> None:
        everybody = frozenset(self.loot[-1].sealed)
        told = SurvivorsAnnounced(self.identifier, len(self.indices), everybody)
        at = [node for node, index in self.indices.items() if index in everybody]
        self.ask(R3, dict.fromkeys(at[::2], told))
        request = UnmaskingRequested(self.identifier, len(self.indices), everybody)
        self.ask(R4, dict.fromkeys(at[1::2], request))


class SignsTwice(Hostile):
    """A second set of survivors to sign."""

    refusals = frozenset({"STATE"})

    def tell(self) -> None:
        super().tell()
        others = frozenset(self.loot[-1].vectors) - {self.victims_index}
        told = SurvivorsAnnounced(self.identifier, len(self.indices), others)
        self.ask(
            R3, {node: told for node, index in self.indices.items() if index in self.loot[-1].signatures}
        )


class LosesWhatItLikes(Hostile):
    """Half of all requests never leave: whoever stays waits, and nobody is stripped bare."""

    refusals = frozenset()

    def ask(
        self, protocol_round: ProtocolRound, requests: Mapping[int, Any], group: str = ""
    ) -> dict[int, bytes]:
        kept = {node: each for node, each in requests.items() if self.chance.random() < 0.75}
        return super().ask(protocol_round, kept, group)
