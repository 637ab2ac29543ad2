"""Servers and clients that lie about who somebody is: rows 2, 3, 4 and 7 of docs/threats.md, in active sessions.

A success is a share that the server can open, or a client that goes on with keys which no other client has.
"""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, RecordDict

from app.simulated_roster import lay_identities
from clients.identity import signatory_of
from secagg.client import r1_share_keys
from secagg.client.r1_share_keys import channel_key, share_label
from secagg.keys import PublicKeys, cohort_digest
from secagg.messages import CohortAnnounced, KeysAdvertised, SharesDelivered, SharesSealed, Vouched
from secagg.params import SESSION_BYTES, Session
from secagg.primitives import BadCiphertext, KeyPair, SigningKey, unseal
from secagg.roster import Member, Roster
from secagg.sealed import CIPHERTEXT_BYTES
from secagg.signatory import Credential, Origin, Signatory
from tests.support.active_run import active_trial, identity_of
from tests.support.malicious_server import R0, R1, R2, R3, R4, MaliciousServer
from tests.support.run import Trial, at
from wire.records import message_in, reply_record
from wire.roster_file import roster_text


class Impostor(MaliciousServer):
    """Shows its victim, client 1, other keys than the others advertised; `lie` says which."""

    lie: Callable[["Impostor", int, PublicKeys], PublicKeys]
    sign: Callable[["Impostor", int, PublicKeys, bytes], bytes] = lambda s, i, k, signature: signature
    former: dict[int, tuple[PublicKeys, bytes]]

    def attack(self) -> None:
        """Two sessions, so that there are keys of another one."""
        self.private: dict[int, KeyPair] = {}
        self.former = {}
        self.play(os.urandom(SESSION_BYTES))
        self.private = {index: KeyPair.generate(os.urandom) for index in self.indices.values()}
        self.server_round += 1
        announced = self.cohort(Session(os.urandom(SESSION_BYTES), self.server_round, self.params))
        assert announced is not None
        self.share({self.nodes[0]: announced[self.nodes[0]]})

    def cohort_for(self, node: int, honest: CohortAnnounced) -> CohortAnnounced:
        """With keys that are not the others'."""
        assert honest.vouched is not None
        if not self.private:
            self.former = {i: (keys, honest.vouched.signatures[i]) for i, keys in honest.keys.items()}
            return honest
        keys, signatures = dict(honest.keys), dict(honest.vouched.signatures)
        for index in sorted(keys)[1:]:
            keys[index] = self.lie(index, honest.keys[index])
            signatures[index] = self.sign(index, keys[index], signatures[index])
        vouched = replace(honest.vouched, signatures=signatures)
        self.told = replace(honest, cohort_digest=cohort_digest(keys), keys=keys, vouched=vouched)
        return self.told

    def label(self, context: bytes, peer: int) -> bytes:
        """Of the victim's shares for a peer, as the victim was shown both."""
        return share_label(context, 1, peer, self.told.keys[1].mask, self.told.keys[peer].mask)

    def opened(self) -> int:
        """How many of the victim's shares open with private keys of the server's own."""
        sealed, found = self.loot[-1].sealed.get(1, SharesSealed(b"", {})), 0
        context = replace(self.loot[-1].agreement, cohort_digest=self.told.cohort_digest).context
        for peer, block in sealed.sealed.items():
            key = channel_key(self.private[peer].private, self.told.keys[1].channel, context, 1, peer)
            try:
                found += len(unseal(key, block[:CIPHERTEXT_BYTES], self.label(context, peer))) > 0
            except BadCiphertext:
                continue
        return found


class OwnKeys(Impostor):
    """Everybody's keys are the server's; the signatures are those of the true ones."""

    def lie(self, index: int, honest: PublicKeys) -> PublicKeys:
        """The server's own."""
        return PublicKeys(KeyPair.generate(os.urandom).public, self.private[index].public)


class OwnIdentities(OwnKeys):
    """The server's keys, signed by identities that it made up."""

    def sign(self, index: int, keys: PublicKeys, signature: bytes) -> bytes:
        """A valid signature of nobody in the roster."""
        assert self.trial.settings.roster is not None
        made_up = Signatory(self.trial.settings.roster, index, SigningKey.generate(os.urandom))
        return made_up.vouch(keys, Origin(self.identifier, ahead=False)).signature


class ColluderSigns(OwnKeys):
    """The server's keys in everybody's name, signed by the one member that works for it, number 2."""

    def sign(self, index: int, keys: PublicKeys, signature: bytes) -> bytes:
        """As member `index`, with member 2's key."""
        assert self.trial.settings.roster is not None
        key = identity_of(Path(self.trial.config.run_dir), 2)
        return (
            Signatory(self.trial.settings.roster, index, key)
            .vouch(keys, Origin(self.identifier, ahead=False))
            .signature
        )


class SwappedKeys(Impostor):
    """Each client has the keys and the signature of the next one."""

    def lie(self, index: int, honest: PublicKeys) -> PublicKeys:
        """The neighbour's."""
        return self.loot[-1].keys[index % 5 + 1 if index < 5 else 2]


class HalvesSwapped(Impostor):
    """The right keys in each other's role."""

    def lie(self, index: int, honest: PublicKeys) -> PublicKeys:
        """Channel key first."""
        return PublicKeys(honest.channel, honest.mask)


class StaleKeys(Impostor):
    """Keys of the session before, with signatures that were good then."""

    def lie(self, index: int, honest: PublicKeys) -> PublicKeys:
        """The former."""
        return self.former[index][0]

    def sign(self, index: int, keys: PublicKeys, signature: bytes) -> bytes:
        """The former."""
        return self.former[index][1]


LIES = [OwnKeys, OwnIdentities, ColluderSigns, SwappedKeys, HalvesSwapped, StaleKeys]


@pytest.mark.parametrize("attack", LIES)
def test_a_server_replaces_the_keys_of_peers(attack: type[Impostor], tmp_path: Path) -> None:
    """Row 2: one share of the victim's would be a success; none leaves."""
    server = attack(active_trial(tmp_path)).strike()
    assert isinstance(server, attack)
    assert server.answers[R1, server.nodes[0]] == "AUTH"
    assert server.opened() == 0
    assert 1 not in server.loot[-1].sealed


def test_keys_that_nobody_checks_are_the_servers_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Row 2, the check of the check: without signatures the server opens every share of the victim."""
    monkeypatch.setattr(r1_share_keys, "check_vouched", lambda *_: None)
    server = OwnKeys(active_trial(tmp_path)).strike()
    assert isinstance(server, OwnKeys)
    assert server.opened() == 4


class Announcer(MaliciousServer):
    """Sends everybody what `change` makes of the honest announcement."""

    change: Callable[[int, CohortAnnounced], CohortAnnounced]

    def cohort_for(self, node: int, honest: CohortAnnounced) -> CohortAnnounced:
        """Changed."""
        return self.change(self.indices[node], honest)


def announcing(trial: Trial, change: Callable[[int, CohortAnnounced], CohortAnnounced]) -> MaliciousServer:
    server = Announcer(trial)
    server.change = change
    return server.strike()


def vouched_of(message: CohortAnnounced) -> Vouched:
    assert message.vouched is not None
    return message.vouched


def with_members(message: CohortAnnounced, members: tuple[int, ...]) -> CohortAnnounced:
    return replace(message, vouched=replace(vouched_of(message), members=members))


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ((1, 2, 3, 4, 6), "AUTH"),  # nobody has number 6
        ((1, 2, 3, 4, 2**32 - 1), "AUTH"),
        ((1, 2, 3, 4, 4), "VIEW"),  # one member for two places
        ((2, 1, 4, 3, 5), "VIEW"),  # everybody under another's number
        ((1, 2, 3, 5, 4), "AUTH"),  # two members changed places, to the others
    ],
)
def test_sybils_fill_the_cohort(members: tuple[int, ...], code: str, tmp_path: Path) -> None:
    """Row 3: non-members, and one member twice. A success is a share from a client that was shown them."""
    server = announcing(active_trial(tmp_path), lambda _, message: with_members(message, members))
    assert server.answers[R1, server.nodes[0]] == code
    assert not server.loot[-1].sealed
    assert not server.codes(R2)


def test_sybils_beside_one_victim(tmp_path: Path) -> None:
    """Row 3: n - 1 clients that the server made up. Fewer than all keys are refused as well, so none can be hidden."""

    def alone(index: int, message: CohortAnnounced) -> CohortAnnounced:
        made_up = {i: PublicKeys(*(KeyPair.generate(os.urandom).public for _ in "ab")) for i in (2, 3, 4, 5)}
        keys = {1: message.keys[index]} | made_up
        return replace(message, keys=keys, cohort_digest=cohort_digest(keys))

    assert announcing(active_trial(tmp_path), alone).codes(R1) == {"AUTH", "VIEW"}


def test_a_part_of_the_cohort_is_kept_out_of_sight(tmp_path: Path) -> None:
    """Row 3: keys that are not shown are keys that nobody checked."""

    def hiding(index: int, message: CohortAnnounced) -> CohortAnnounced:
        keys = {i: pair for i, pair in message.keys.items() if i in (index, index % 5 + 1)}
        signatures = {i: vouched_of(message).signatures[i] for i in keys}
        return replace(message, keys=keys, vouched=replace(vouched_of(message), signatures=signatures))

    assert announcing(active_trial(tmp_path), hiding).codes(R1) == {"VIEW"}


def rewrite_roster(run_dir: Path, change: Callable[[Roster], Roster]) -> dict[str, str]:
    """A roster of the same identities, signed by a new authority; the run keys that name it."""
    lay_identities(run_dir, 5)
    members = tuple(Member(f"client-{i}", identity_of(run_dir, i).public) for i in range(1, 6))
    authority = SigningKey.generate(os.urandom)
    (run_dir / "roster.json").write_text(roster_text(change(Roster("simulation", 2, 0, members)), authority))
    (run_dir / "authority.hex").write_text(authority.public.hex())
    return {"roster-authority": authority.public.hex()}


def revoking_the_fifth(roster: Roster) -> Roster:
    return replace(roster, members=(*roster.members[:4], replace(roster.members[4], revoked=True)))


def test_a_revoked_member_is_shown_to_the_others(tmp_path: Path) -> None:
    """Row 3: it has its key still and signs with it; the server counts it in."""
    trial = active_trial(tmp_path)
    honest = trial.settings.roster
    rewrite_roster(tmp_path, revoking_the_fifth)
    revoked = active_trial(tmp_path)

    def shown(index: int, message: CohortAnnounced) -> CohortAnnounced:
        assert honest is not None
        keys = PublicKeys(*(KeyPair.generate(os.urandom).public for _ in "ab"))
        signatory = Signatory(revoked.settings.roster, 5, identity_of(tmp_path, 5))  # type: ignore[arg-type]
        signature = signatory.vouch(keys, Origin(message.session.identifier, ahead=False)).signature
        every = message.keys | {5: keys}
        vouched = Vouched(
            vouched_of(message).roster, (1, 2, 3, 4, 5), vouched_of(message).signatures | {5: signature}
        )
        return CohortAnnounced(message.session, 5, cohort_digest(every), every, vouched)

    server = announcing(revoked, shown)
    assert [server.answers[R1, node] for node in server.nodes[:4]] == 4 * ["AUTH"]
    assert server.answers[R0, server.nodes[4]] == "AUTH"  # the revoked one serves no session either


def test_the_roster_has_expired(tmp_path: Path) -> None:
    """Row 3: a list that its authority let run out says nothing of who belongs to the federation now."""
    trial = active_trial(tmp_path)
    expired = rewrite_roster(tmp_path, lambda roster: replace(roster, not_after=1))
    for context in trial.grid.contexts.values():
        context.run_config |= expired
    server = MaliciousServer(trial).strike()
    assert server.codes(R0) == {"AUTH"}


def test_the_server_goes_by_a_roster_of_its_own(tmp_path: Path) -> None:
    """Row 3: the same identities in another list; everybody's keys are signed for the list that its node names."""
    trial = active_trial(tmp_path)
    other = Roster("other", 1, 0, trial.settings.roster.members)  # type: ignore[union-attr]
    server = announcing(trial, lambda _, m: replace(m, vouched=replace(vouched_of(m), roster=other.digest)))
    assert server.codes(R1) == {"VIEW"}


def stolen_number(content: RecordDict) -> RecordDict:
    """r0's reply in the name of member 2."""
    keys = KeysAdvertised.from_bytes(message_in(content))
    assert keys.credential is not None
    return reply_record(KeysAdvertised(keys.keys, Credential(2, keys.credential.signature)).to_bytes())


def unsigned(content: RecordDict) -> RecordDict:
    return reply_record(KeysAdvertised(KeysAdvertised.from_bytes(message_in(content)).keys).to_bytes())


@pytest.mark.parametrize("change", [stolen_number, unsigned])
def test_a_client_that_is_not_whom_it_says_is_not_in_the_cohort(
    change: Callable[[RecordDict], RecordDict], tmp_path: Path
) -> None:
    """Row 3, towards an honest server: the sum is that of the other four."""
    trial = active_trial(tmp_path)
    trial.grid.after = at(R0, lambda m: setattr(m, "content", change(m.content)) or m, trial.grid.ids[0])
    assert trial.session() is not None
    assert next(iter(trial.trip(R0)["refused"].values())).startswith("AUTH")
    assert trial.named("round_finished")[0]["unmasked"] == 4


def test_one_member_at_two_nodes_counts_once(tmp_path: Path) -> None:
    """Row 3: two nodes hold the same identity."""
    trial = active_trial(tmp_path)
    trial.grid.contexts[trial.grid.ids[1]].node_config["partition-id"] = 0
    assert trial.session() is not None
    assert next(iter(trial.trip(R0)["refused"].values())).startswith("AUTH")
    assert trial.named("round_finished")[0]["unmasked"] == 4


def test_a_curious_session_is_nothing_for_a_client_with_a_roster(tmp_path: Path) -> None:
    """Row 3: a session without signatures would need no members; whoever has a roster serves none."""
    trial = active_trial(tmp_path)
    server = MaliciousServer(trial)
    object.__setattr__(trial.strategy.settings, "roster", None)
    assert server.strike().codes(R0) == {"POLICY"}


def test_keys_of_the_nodes_connection_are_no_identities(tmp_path: Path) -> None:
    """Row 4: the server's registry of node keys is the server's. A roster of such keys, put where whoever submits a run
    can put it, is not the node's: the node goes by its own, or by none.
    """
    kit = tmp_path / "kit"
    kit.mkdir()
    named = lay_identities(kit, 3)
    registry = tmp_path / "registry"
    registry.mkdir()
    planted = lay_identities(registry, 3) | {"run-dir": str(registry), "adversary": "active"}
    own = {"identity-key": str(kit / "identities" / "0.pem"), "data-path": str(tmp_path)} | named
    found = signatory_of(Context(1, 1, dict(own), RecordDict(), dict(planted)))
    assert found is not None
    assert found.roster.members[0].key == identity_of(kit, 1).public
    assert signatory_of(Context(1, 1, {"data-path": str(tmp_path)}, RecordDict(), dict(planted))) is None
    # A simulated client is the one exception, and protects nobody: one machine holds every key.
    simulated = signatory_of(
        Context(1, 1, {"partition-id": 0, "num-partitions": 3}, RecordDict(), dict(planted))
    )
    assert simulated is not None
    assert simulated.roster.members[0].key == identity_of(registry, 1).public


class TwoLists(MaliciousServer):
    """Two halves of the clients see two cohorts, each one client short of the whole, all keys and signatures true."""

    def cohort_for(self, node: int, honest: CohortAnnounced) -> CohortAnnounced:
        """Without client 1 to the upper half, without client 5 to the lower one."""
        index = self.indices[node]
        left_out = 5 if index < 3 else 1
        old = [i for i in sorted(honest.keys) if i != left_out]
        keys = {new: honest.keys[i] for new, i in enumerate(old, start=1)}
        vouched = vouched_of(honest)
        told = Vouched(
            vouched.roster,
            tuple(vouched.members[i - 1] for i in old),
            {new: vouched.signatures[i] for new, i in enumerate(old, start=1)},
        )
        return CohortAnnounced(honest.session, 4, cohort_digest(keys), keys, told)

    def deliver(self) -> None:
        """Each client hears of the shares that were dealt to its number in its own list."""
        requests = {}
        for node, index in self.indices.items():
            left_out = 5 if index < 3 else 1
            old = [i for i in range(1, 6) if i != left_out]
            me = old.index(index) + 1
            sealed = {}
            for sender in old:
                theirs = [i for i in range(1, 6) if i != (5 if sender < 3 else 1)]
                block = self.loot[-1].sealed.get(sender)
                if sender != index and block is not None and index in theirs:
                    sealed[old.index(sender) + 1] = block.sealed[theirs.index(index) + 1]
            requests[node] = SharesDelivered(self.identifier, 4, frozenset({me, *sealed}), sealed)
        self.heard = self.ask(R2, requests)


def test_two_lists_of_keys(tmp_path: Path) -> None:
    """Row 7: a vector from a client whose list is not everybody's would be a success. All shared; none of the shares
    from the other side opens, and nobody masks.
    """
    server = TwoLists(active_trial(tmp_path, {"min-cohort": 4})).strike()
    assert isinstance(server, TwoLists)
    assert server.codes(R1) == {""}
    assert server.codes(R2) <= {"VIEW", "CRYPTO", "QUORUM"}
    assert not server.heard


class TwoSharerLists(MaliciousServer):
    """Says to clients 1 and 2 that all five shared keys, to the others that client 1 did not."""

    def delivered_for(self, node: int, honest: SharesDelivered) -> SharesDelivered:
        """Without client 1."""
        if self.indices[node] < 3:
            return honest
        sealed = {i: s for i, s in honest.sealed.items() if i != 1}
        return replace(honest, sharers=honest.sharers - {1}, sealed=sealed)

    def survivors_for(self, index: int) -> frozenset[int]:
        """One list that all would take for theirs."""
        return frozenset({1, 2, 3, 4, 5}) if index < 3 else frozenset({2, 3, 4, 5})

    def signatures_for(self, index: int) -> dict[int, bytes]:
        """All there are."""
        return {i: s for i, s in self.loot[-1].signatures.items() if i in self.survivors_for(index)}


def test_two_lists_of_who_shared_keys(tmp_path: Path) -> None:
    """Row 7: everybody signs its list of sharers with the survivors; a share from anybody would be a success."""
    server = TwoSharerLists(active_trial(tmp_path)).strike()
    assert server.codes(R3) == {""}
    assert server.codes(R4) == {"VIEW"}
    assert server.loot[-1].shares == 0


def test_sealed_shares_are_what_a_reply_of_r1_holds(tmp_path: Path) -> None:
    """Rows 2 and 7: the judge sees a share that leaves; an honest course has twenty of them."""
    server = MaliciousServer(active_trial(tmp_path)).strike()
    assert sum(len(message.sealed) for message in server.loot[-1].sealed.values()) == 20
    assert all(isinstance(message, SharesSealed) for message in server.loot[-1].sealed.values())
