"""Servers that attack in r0 and r1: what clients are told of the session, the cohort, its keys and the model.

Each class is one attack, named after it; `refusals` are the codes with which honest clients meet it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from secagg.bounds import Adversary
from secagg.client.r1_share_keys import agreement_of
from secagg.client.states import SecretKeys
from secagg.keys import PublicKeys, cohort_digest
from secagg.messages import CohortAnnounced, Invitation
from secagg.params import SecAggParams, Session
from secagg.primitives import KEY_BYTES, SIGNATURE_BYTES
from tests.adversary.hostile import OTHER, R0, R1, Hostile

_THRESHOLD_AT, _SURVIVORS_AT = 48, 56  # of two parameters in r1's request, 4 bytes each


class ToTheVictim(Hostile):
    """Shows one client another cohort than the others."""

    def cohort_for(self, node: int, honest: CohortAnnounced) -> Any:
        """To the victim the attack, to others the truth."""
        return self.shown(honest) if node == self.victim else honest

    def shown(self, honest: CohortAnnounced) -> Any:
        """What the victim is told."""
        return honest

    def own_keys(self) -> PublicKeys:
        """Keys whose private halves are the server's."""
        return SecretKeys.generate(self.chance.randbytes).public

    def peer(self, honest: CohortAnnounced) -> int:
        """The index of one of the victim's peers."""
        return self.chance.choice([index for index in honest.keys if index != self.victims_index])

    def with_keys(self, honest: CohortAnnounced, keys: Mapping[int, PublicKeys]) -> CohortAnnounced:
        """Other keys, and the digest that belongs to them."""
        changed = honest.keys | dict(keys)
        return replace(honest, keys=changed, cohort_digest=cohort_digest(changed))

    def with_members(self, honest: CohortAnnounced, members: Mapping[int, int]) -> CohortAnnounced:
        """Other members behind some indices."""
        assert honest.vouched is not None
        listed = list(honest.vouched.members)
        for index, member in members.items():
            listed[index - 1] = member
        return replace(honest, vouched=replace(honest.vouched, members=tuple(listed)))


class ItsOwnKeyForAPeers(ToTheVictim):
    """Sits between two clients (man in the middle)."""

    refusals = frozenset({"AUTH"})

    def shown(self, honest: CohortAnnounced) -> Any:
        return self.with_keys(honest, {self.peer(honest): self.own_keys()})


class ItsOwnKeysForEverybodys(ToTheVictim):
    """The victim is alone among clients that do not exist."""

    refusals = frozenset({"AUTH"})

    def shown(self, honest: CohortAnnounced) -> Any:
        others = set(honest.keys) - {self.victims_index}
        return self.with_keys(honest, {index: self.own_keys() for index in others})


class TwoPeersExchanged(ToTheVictim):
    """Each under the other's name."""

    refusals = frozenset({"AUTH"})

    def shown(self, honest: CohortAnnounced) -> Any:
        first, second = [index for index in honest.keys if index != self.victims_index][:2]
        return self.with_keys(honest, {first: honest.keys[second], second: honest.keys[first]})


class KeysOfTheLastSession(ToTheVictim):
    """Keys that were signed, for another session."""

    refusals = frozenset({"AUTH"})
    last: CohortAnnounced | None = None

    def shown(self, honest: CohortAnnounced) -> Any:
        last, self.last = self.last, honest
        peer = self.peer(honest)
        if last is None or peer not in last.keys or last.keys[peer] == last.keys.get(self.victims_index):
            return honest
        assert honest.vouched is not None
        assert last.vouched is not None
        signatures = honest.vouched.signatures | {peer: last.vouched.signatures[peer]}
        old = self.with_keys(honest, {peer: last.keys[peer]})
        return replace(old, vouched=replace(honest.vouched, signatures=signatures))


class VictimsKeyAltered(ToTheVictim):
    """The victim's own key is another one."""

    refusals = frozenset({"VIEW"})

    def shown(self, honest: CohortAnnounced) -> Any:
        return self.with_keys(honest, {self.victims_index: self.own_keys()})


class OneKeyTwice(ToTheVictim):
    """Two peers with one key."""

    refusals = frozenset({"VIEW"})

    def shown(self, honest: CohortAnnounced) -> Any:
        first, second = [index for index in honest.keys if index != self.victims_index][:2]
        return self.with_keys(honest, {first: honest.keys[second]})


class PeerWithALowOrderKey(ToTheVictim):
    """What is agreed on with that peer would be zero."""

    refusals = frozenset({"CRYPTO"})

    def shown(self, honest: CohortAnnounced) -> Any:
        for peer in sorted(set(honest.keys) - {self.victims_index}):
            low = replace(honest.keys[peer], mask=bytes(KEY_BYTES))
            shown = self.with_keys(honest, {peer: low})
            # Another digest is another graph: the low key may come to be nobody's neighbour.
            if peer in agreement_of(shown, b"", b"").graph.neighbours(self.victims_index):
                return shown
        return honest


class OneMemberTwice(ToTheVictim):
    """One member of the roster in two places."""

    refusals = frozenset({"VIEW"})

    def shown(self, honest: CohortAnnounced) -> Any:
        assert honest.vouched is not None
        first, second = [index for index in honest.keys if index != self.victims_index][:2]
        return self.with_members(honest, {first: honest.vouched.members[second - 1]})


class VictimUnderAnothersName(ToTheVictim):
    """The victim and a peer in each other's place in the roster."""

    refusals = frozenset({"VIEW"})

    def shown(self, honest: CohortAnnounced) -> Any:
        assert honest.vouched is not None
        peer, members = self.peer(honest), honest.vouched.members
        mine = self.victims_index
        return self.with_members(honest, {peer: members[mine - 1], mine: members[peer - 1]})


class SybilInAPeersPlace(ToTheVictim):
    """A member that takes part in nothing, with the server's keys."""

    refusals = frozenset({"AUTH"})

    def shown(self, honest: CohortAnnounced) -> Any:
        peer = self.peer(honest)
        return self.with_members(self.with_keys(honest, {peer: self.own_keys()}), {peer: 1})


class RosterOfItsOwn(ToTheVictim):
    """Another roster than the victim's."""

    refusals = frozenset({"VIEW"})

    def shown(self, honest: CohortAnnounced) -> Any:
        assert honest.vouched is not None
        return replace(honest, vouched=replace(honest.vouched, roster=OTHER))


class KeysThatNobodySigned(ToTheVictim):
    """Bytes in the place of signatures."""

    refusals = frozenset({"AUTH"})

    def shown(self, honest: CohortAnnounced) -> Any:
        assert honest.vouched is not None
        none = dict.fromkeys(honest.vouched.signatures, bytes(SIGNATURE_BYTES))
        return replace(honest, vouched=replace(honest.vouched, signatures=none))


class APartOfTheCohort(ToTheVictim):
    """One client is kept out of sight."""

    refusals = frozenset({"VIEW"})

    def shown(self, honest: CohortAnnounced) -> Any:
        assert honest.vouched is not None
        hidden = self.peer(honest)
        keys = {index: pair for index, pair in honest.keys.items() if index != hidden}
        signatures = {index: each for index, each in honest.vouched.signatures.items() if index != hidden}
        return replace(honest, keys=keys, vouched=replace(honest.vouched, signatures=signatures))


class DigestOfNothing(ToTheVictim):
    """A digest that belongs to no keys: contexts could be made to repeat."""

    refusals = frozenset({"VIEW"})

    def shown(self, honest: CohortAnnounced) -> Any:
        return replace(honest, cohort_digest=OTHER)


class CohortOfAFew(ToTheVictim):
    """A cohort that is whole and signed, and smaller than a sum may be."""

    refusals = frozenset({"QUORUM"})

    def shown(self, honest: CohortAnnounced) -> Any:
        assert honest.vouched is not None
        others = [index for index in honest.keys if index != self.victims_index]
        kept = sorted([self.victims_index, *others[: self.params.least_advertised - 2]])
        keys = {at: honest.keys[index] for at, index in enumerate(kept, start=1)}
        members = tuple(honest.vouched.members[index - 1] for index in kept)
        signatures = {at: honest.vouched.signatures[index] for at, index in enumerate(kept, start=1)}
        vouched = replace(honest.vouched, members=members, signatures=signatures)
        return CohortAnnounced(honest.session, len(kept), cohort_digest(keys), keys, vouched)


class AnotherSessionInR1(ToTheVictim):
    """Keys made for one session are to serve another."""

    refusals = frozenset({"STATE"})

    def shown(self, honest: CohortAnnounced) -> Any:
        return replace(honest, session=replace(honest.session, identifier=OTHER))


class AnotherServerRoundInR1(ToTheVictim):
    """The session says another server round than its message."""

    refusals = frozenset({"VIEW"})

    def shown(self, honest: CohortAnnounced) -> Any:
        return replace(honest, session=replace(honest.session, server_round=honest.session.server_round + 1))


class LowerThresholdForOne(ToTheVictim):
    """The victim's shares could be put together by fewer."""

    refusals = frozenset({"POLICY"})

    def shown(self, honest: CohortAnnounced) -> Any:
        return with_parameter(honest, _THRESHOLD_AT, 1)


class FewerSurvivorsForAll(Hostile):
    """A sum over fewer clients than their policies allow."""

    refusals = frozenset({"POLICY"})

    def cohort_for(self, node: int, honest: CohortAnnounced) -> Any:
        return with_parameter(honest, _SURVIVORS_AT, self.params.min_survivors - 1)


class AnotherModelForOne(Hostile):
    """A model made for the victim (Pasquini et al., CCS 2022): the others' updates would cancel."""

    refusals = frozenset({"VIEW", "CRYPTO"})

    def digests_for(self, node: int) -> tuple[bytes, bytes]:
        model, config = super().digests_for(node)
        return (OTHER if node == self.victim else model), config


class AnotherConfigurationForOne(Hostile):
    """A learning rate for the victim alone, say."""

    refusals = frozenset({"VIEW", "CRYPTO"})

    def digests_for(self, node: int) -> tuple[bytes, bytes]:
        model, config = super().digests_for(node)
        return model, (OTHER if node == self.victim else config)


class AnotherModelForHalf(Hostile):
    """Two models."""

    refusals = frozenset({"VIEW", "CRYPTO"})

    def digests_for(self, node: int) -> tuple[bytes, bytes]:
        model, config = super().digests_for(node)
        return (OTHER if self.nodes.index(node) % 2 else model), config


class CuriousSession(Hostile):
    """A session without signatures, for clients that have a roster."""

    refusals = frozenset({"POLICY"})

    def attack(self) -> None:
        params = replace_adversary(self.params)
        self.ask(R0, dict.fromkeys(self.nodes, Invitation(Session(self.fresh(), 1, params))))


class NoIdentifier(Hostile):
    """A session without a name."""

    refusals = frozenset({"STATE"})

    def attack(self) -> None:
        self.ask(R0, dict.fromkeys(self.nodes, Invitation(Session(bytes(32), 1, self.params))))


class ServerRoundOnceMore(Hostile):
    """The server round that clients have finished, to have a second vector of it."""

    refusals = frozenset({"STATE"})

    def attack(self) -> None:
        self.play(self.fresh())
        self.play(self.fresh())


class InvitesTwice(Hostile):
    """Keys of the first invitation are announced after the second."""

    refusals = frozenset({"VIEW"})

    def share(self, announced: Mapping[int, CohortAnnounced]) -> None:
        self.ask(R0, dict.fromkeys(self.nodes, Invitation(self.loot[-1].agreement.session)))
        super().share(announced)


class SharesAskedTwice(Hostile):
    """A second sharing of the same keys."""

    refusals: ClassVar[frozenset[str]] = frozenset({"STATE"})

    def share(self, announced: Mapping[int, CohortAnnounced]) -> None:
        super().share(announced)
        self.ask(R1, announced)


def with_parameter(honest: CohortAnnounced, at: int, value: int) -> bytes:
    """r1's request with another parameter, which may be one that no session can have."""
    data = honest.to_bytes()
    return data[:at] + value.to_bytes(4, "big") + data[at + 4 :]


def replace_adversary(params: SecAggParams) -> SecAggParams:
    """The same against a curious server."""
    return replace(params, adversary=Adversary.CURIOUS)
