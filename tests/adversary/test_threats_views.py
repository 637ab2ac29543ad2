"""Servers that tell clients different things, or the same thing twice: rows 5, 6, 8, 10, 11 and 12 of docs/threats.md.

A success is: both secrets of one client; a sum over fewer clients than agreed; two vectors of one client under the same
masks; or a share or vector from a client that was told what no honest server says.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import RecordDict

from arithmetic.packing import add_packed
from clients import steps
from secagg.client import r1_share_keys, r4_unmasking
from secagg.client.states import AwaitingSurvivors
from secagg.keys import cohort_digest
from secagg.masks import Residues
from secagg.messages import CohortAnnounced, Invitation, SharesDelivered, UnmaskingRequested
from secagg.params import SESSION_BYTES, Agreement, SecAggParams, Session
from secagg.signatory import Signatory, View
from tests.support.active_run import active_trial, identity_of, sparse_trial
from tests.support.malicious_server import (
    R0,
    R1,
    R2,
    R3,
    R4,
    MaliciousServer,
    OldSignatures,
    Shrinking,
    SplitView,
)
from wire.records import model_digest, pack_arrays, request_record, unpack_arrays
from wire.rounds import ProtocolRound

EVERYBODY = frozenset({1, 2, 3, 4, 5})


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[bytes, int, list[int]]]:
    """(session, index, vector) of every vector before it was masked, in order."""
    kept: list[tuple[bytes, int, list[int]]] = []
    mask = steps.mask_step

    def masking(state: Any, delivered: Any, vector: Residues) -> Any:
        kept.append((state.session, state.index, vector.tensor.tolist()))
        return mask(state, delivered, vector)

    monkeypatch.setattr(steps, "mask_step", masking)
    return kept


def test_an_honest_course_gives_the_sum_over_all_and_no_other(tmp_path: Path, inputs: Any) -> None:
    """Rows 5 and 6: the judge of all that follows finds the one sum that is to be had, and it is the true one."""
    server = MaliciousServer(active_trial(tmp_path)).strike()
    ((found, total),) = server.loot[0].sums().items()
    assert found == EVERYBODY
    exact = [sum(column) % 2**24 for column in zip(*(vector for _, _, vector in inputs), strict=True)]
    assert total.tensor.tolist() == exact
    assert not server.loot[0].stripped_bare()


class BothShares(MaliciousServer):
    """Asks everybody for the self-mask share of client 1, and then for the share of its mask key."""

    def demand_of(self, node: int, request: UnmaskingRequested) -> None:
        """Twice; with the same signatures, and with none."""
        super().demand_of(node, request)
        self.first = self.answers[R4, node]
        for signatures in (request.signatures, {}):
            other = replace(request, survivors=request.survivors - {1}, signatures=signatures)
            super().demand_of(node, other)


def test_a_server_asks_for_both_shares_of_one_client(tmp_path: Path) -> None:
    """Row 5: the second request finds nothing, whatever it says."""
    server = BothShares(active_trial(tmp_path)).strike()
    assert isinstance(server, BothShares)
    assert isinstance(server.first, bytes)
    assert server.codes(R4) == {"STATE"}
    assert not server.loot[0].private_keys()
    assert server.loot[0].sums().keys() == {EVERYBODY}


class OtherList(MaliciousServer):
    """Has one list signed, and asks for shares by another, in which client 5 dropped."""

    def unmasking_for(self, index: int) -> UnmaskingRequested:
        """Without client 5, and its signature."""
        honest = super().unmasking_for(index)
        signatures = {i: s for i, s in honest.signatures.items() if i != 5}
        return replace(honest, survivors=honest.survivors - {5}, signatures=signatures)


def test_a_server_asks_by_another_list_than_was_signed(tmp_path: Path) -> None:
    """Row 5: a share of either secret of client 5 would be a success."""
    server = OtherList(active_trial(tmp_path)).strike()
    assert server.codes(R4) == {"VIEW"}
    assert server.loot[0].shares == 0


class HalfHeard(SplitView):
    """Tells clients 2 and 3 that client 1 dropped, the others that all survived; clients in `colluders` sign both."""

    views: Mapping[int, frozenset[int]] = {2: EVERYBODY - {1}, 3: EVERYBODY - {1}}
    colluders: tuple[int, ...] = ()

    def signatures_for(self, index: int) -> dict[int, bytes]:
        """The colluders' as well, made with their own keys."""
        state, mine, roster = self.loot[-1], self.survivors_for(index), self.trial.settings.roster
        assert roster is not None
        signed = super().signatures_for(index)
        for each in set(self.colluders) & mine:
            key = identity_of(Path(self.trial.config.run_dir), each)
            view = View(state.agreement.context, len(self.indices), frozenset(state.sealed), mine)
            signed[each] = Signatory(roster, each, key).endorse(view)
        return signed

    def demand(self) -> None:
        """Colluders give both of their shares of everybody; nobody asks them."""
        super().demand()
        for each in self.colluders:
            self.loot[-1].keep(each, self.known[each].self_mask, self.known[each].mask_key)

    def tell(self) -> None:
        """Read the colluders' states first."""
        self.known = {}
        for each in self.colluders:
            kept = self.grid.contexts[self.node_of(each)].state.config_records["chorus"]["state"]
            self.known[each] = AwaitingSurvivors.from_bytes(kept)
        super().tell()


@pytest.mark.parametrize(
    ("threshold", "colluders"), [(4, ()), (3, ()), (4, (4,)), (4, (4, 5))], ids=["2n/3", "n/2", "one", "two"]
)
def test_survivors_are_told_apart(threshold: int, colluders: tuple[int, ...], tmp_path: Path) -> None:
    """Row 6: of two halves each hears another list, with as many colluders as 2t > n + c allows (and with one more the
    session is not even opened: `test_a_threshold_that_leaves_room_for_two_views`). Both secrets of client 1, two sums,
    or one over fewer than agreed would be a success.
    """
    server = HalfHeard(active_trial(tmp_path, {"threshold": threshold, "colluders": len(colluders)}))
    server.colluders = colluders
    server.strike()
    assert server.codes(R3) == {""}
    assert not server.loot[0].stripped_bare()
    assert len(server.loot[0].sums()) <= 1
    assert server.loot[0].smallest_sum() in {0, 4, 5}
    if threshold == 4 and not colluders:
        assert server.codes(R4) == {"VIEW"}
        assert server.loot[0].shares == 0


def test_survivors_told_apart_give_both_secrets_of_a_client_that_does_not_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Row 6, the check of the check: with r3's signatures unchecked and a threshold of n/2 + 1 the two halves and two
    colluders give both secrets of client 1; with 2t > n + c they would not.
    """
    monkeypatch.setattr(r4_unmasking, "_check_endorsed", lambda *_: None)
    server = HalfHeard(active_trial(tmp_path, {"threshold": 3}))
    server.colluders = (4, 5)
    server.strike()
    assert server.loot[0].stripped_bare() >= {1}


@pytest.mark.parametrize(("threshold", "colluders"), [(2, 0), (3, 1), (4, 3)])
def test_a_threshold_that_leaves_room_for_two_views(threshold: int, colluders: int, tmp_path: Path) -> None:
    """Row 6: 2t > n + c is the client's own check. A success is an answer to such an invitation."""

    class Lax(MaliciousServer):
        def attack(self) -> None:
            forged = object.__new__(SecAggParams)
            for name, value in {**vars(self.params), "threshold": threshold, "colluders": colluders}.items():
                object.__setattr__(forged, name, value)
            session = Session(os.urandom(SESSION_BYTES), 1, forged)
            self.ask(R0, {node: Invitation(session) for node in self.nodes})

    server = Lax(active_trial(tmp_path)).strike()
    assert server.codes(R0) == {"POLICY"}


@pytest.mark.parametrize("attack", [Shrinking, OldSignatures])
def test_a_sparse_graph_is_cut_in_pieces(attack: type[MaliciousServer], tmp_path: Path) -> None:
    """Row 6, shrinking: nobody misses more than one survivor, and two cuts through the ring would each give a sum over
    four of twelve clients where nine are the least. `OldSignatures` has the views signed in earlier attempts.
    """
    trial = sparse_trial(tmp_path)
    server = attack(trial).strike()
    assert trial.params.min_survivors == 9
    assert "VIEW" in server.codes(R1) | server.codes(R4)
    for loot in server.loot:
        assert loot.shares == 0
        assert not loot.sums()


class HonestDigest(OldSignatures):
    """`OldSignatures` without the lie about the cohort: the identifier of the session is all that stays."""

    def agreement(self, honest: Agreement) -> Agreement:
        """As it is."""
        return honest


def test_signatures_of_an_earlier_attempt_at_the_session(tmp_path: Path) -> None:
    """Row 6: fresh keys make another context, also where identifier, model and members are the same."""
    server = HonestDigest(sparse_trial(tmp_path)).strike()
    assert isinstance(server, HonestDigest)
    assert len(server.signed) > 1  # the graph is a random one: some of the four lies may be the same
    assert server.codes(R4) == {"VIEW"}
    assert server.loot[-1].shares == 0


def test_a_sparse_graph_falls_apart_where_nobody_checks_signatures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Row 6, the check of the check: without r3's signatures the server has two sums over four clients each."""
    monkeypatch.setattr(r4_unmasking, "_check_endorsed", lambda *_: None)
    server = Shrinking(sparse_trial(tmp_path)).strike()
    assert sorted(map(len, server.loot[0].sums())) == [4, 4]


def test_a_sparse_graph_falls_apart_where_nobody_checks_the_digest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, inputs: Any
) -> None:
    """Row 6, the check of the check: with the cohort's digest taken on trust old signatures do for new ones."""
    monkeypatch.setattr(r1_share_keys, "cohort_digest", lambda _: OldSignatures.made_up)
    loot = OldSignatures(sparse_trial(tmp_path)).strike().loot[-1]
    assert sorted(map(len, loot.sums())) == [4, 4]
    # One identifier for all attempts: the last one's vectors came last.
    own = {index: vector for session, index, vector in inputs if session == loot.agreement.session.identifier}
    for part, total in loot.sums().items():
        exact = [sum(column) % 2**24 for column in zip(*(own[index] for index in part), strict=True)]
        assert total.tensor.tolist() == exact


class OtherModel(MaliciousServer):
    """Sends some clients a model of their own."""

    special: tuple[int, ...] = ()

    def cohort_for(self, node: int, honest: CohortAnnounced) -> RecordDict:
        """With the special model, or with the common one."""
        arrays = {name: array.copy() for name, array in unpack_arrays(self.model).items()}
        if self.indices[node] in self.special:
            arrays["last.bias"] += 1
        model = pack_arrays(arrays)
        assert (model_digest(model) != model_digest(self.model)) == (self.indices[node] in self.special)
        return request_record(honest.to_bytes(), model, self.config)


class OtherModelApart(OtherModel):
    """And keeps the shares of the two kinds of clients apart, so that all that is delivered opens."""

    def delivered_for(self, node: int, honest: SharesDelivered) -> SharesDelivered:
        """As if the others had not shared."""
        kind = self.indices[node] in self.special
        sealed = {i: s for i, s in honest.sealed.items() if (i in self.special) == kind}
        return replace(honest, sharers=frozenset({self.indices[node], *sealed}), sealed=sealed)


@pytest.mark.parametrize("special", [(1,), (1, 2), (2, 3, 4)])
@pytest.mark.parametrize("attack", [OtherModel, OtherModelApart])
def test_different_models(attack: type[OtherModel], special: tuple[int, ...], tmp_path: Path) -> None:
    """Row 8: a sum that comes out with a special client in it would be a success. Its shares open for nobody who has
    another model, and clients of one model are too few.
    """
    server = attack(active_trial(tmp_path))
    server.special = special
    server.strike()
    assert server.codes(R1) == {""}
    assert not any(part & set(special) for part in server.loot[0].sums())
    assert server.loot[0].smallest_sum() in {0, 4}
    sent = set(server.loot[0].vectors)
    assert not sent & set(special)
    assert sent <= ({2, 3, 4, 5} if (attack, special) == (OtherModelApart, (1,)) else set())
    if special == (1,):
        assert server.answers[R2, server.nodes[0]] == ("VIEW" if attack is OtherModel else "QUORUM")


def test_the_model_in_the_context_is_what_keeps_models_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Row 8, the check of the check: with a context that leaves the model out, the special client is in the sum."""
    monkeypatch.setattr(steps, "model_digest", lambda _: bytes(32))
    server = OtherModel(active_trial(tmp_path))
    monkeypatch.setattr("tests.support.malicious_server.model_digest", lambda _: bytes(32))
    monkeypatch.setattr("tests.adversary.test_threats_views.model_digest", model_digest)
    server.special = (1,)
    server.strike()
    assert server.loot[0].sums().keys() == {EVERYBODY}


class Replaying(MaliciousServer):
    """Two honest sessions; in the second, where the message of `now` is due, all get the first one's of `old`."""

    now: ProtocolRound
    old: ProtocolRound

    def attack(self) -> None:
        """Record, then replay."""
        self.recorded: dict[tuple[ProtocolRound, int], RecordDict] = {}
        first = self.play(os.urandom(SESSION_BYTES))
        assert first is not None
        self.answers.clear()
        self.server_round += 1
        self.play(os.urandom(SESSION_BYTES))

    def ask(self, protocol_round: ProtocolRound, requests: Any, group: str = "") -> dict[int, bytes]:
        """The old in the place of the new."""
        written = {node: self._written(each) for node, each in requests.items()}
        if self.server_round == 1:
            self.recorded |= {(protocol_round, node): each for node, each in written.items()}
        elif protocol_round is self.now:
            written = {node: self.recorded[self.old, node] for node in written}
            replies = super().ask(self.old, written, "1")
            self.replayed = dict(self.answers)
            return {} if self.old is not self.now else replies
        return super().ask(protocol_round, written, group)


@pytest.mark.parametrize("now", ProtocolRound)
@pytest.mark.parametrize("old", ProtocolRound)
def test_every_message_of_a_session_is_replayed_in_the_next(
    now: ProtocolRound, old: ProtocolRound, tmp_path: Path
) -> None:
    """Row 10: an answer to anything but an old invitation would be a success; and that one is answered with fresh keys,
    for the old session, which the new one has no use for.
    """
    server = Replaying(active_trial(tmp_path))
    server.now, server.old = now, old
    server.strike()
    answers = {answer for (step, _), answer in server.replayed.items() if step is old}
    if old is not R0:
        assert answers == {"STATE"}
        assert len(server.loot) == 1 or not server.loot[1].sums()
        return
    advertised = [bytes(pair) for answer in answers if isinstance(answer, bytes) for pair in [answer[2:66]]]
    assert len(set(advertised)) == 5
    former = {keys.to_bytes() for keys in server.loot[0].keys.values()}
    assert not former & set(advertised)
    assert len(server.loot) == 1 or not server.loot[1].sums()


class SecondModel(MaliciousServer):
    """After r1, and again after r2, shows another model and asks for one more vector."""

    again: tuple[ProtocolRound, ...]
    after: ProtocolRound

    def deliver(self) -> None:
        """Ask once more before the vector, or after it."""
        if self.after is R1:
            self.once_more()
        super().deliver()
        if self.after is R2:
            self.once_more()

    def once_more(self) -> None:
        """With another model."""
        honest, self.model = self.model, pack_arrays({n: a + 1 for n, a in unpack_arrays(self.model).items()})
        session = self.loot[-1].agreement.session
        if R0 in self.again:
            announced = self.cohort(session)
            assert announced is not None
            self.share(announced)
            if R2 in self.again:
                super().deliver()
        else:
            self.ask(R1, {node: replace(self.shown[node]) for node in self.nodes})
        self.model = honest

    def cohort_for(self, node: int, honest: CohortAnnounced) -> CohortAnnounced:
        """Remembered."""
        self.shown = getattr(self, "shown", {}) | {node: honest}
        return honest


@pytest.mark.parametrize("after", [R1, R2])
@pytest.mark.parametrize("again", [(R1,), (R0, R1, R2)], ids=["r1", "r0-r2"])
def test_another_model_for_a_second_vector(
    after: ProtocolRound, again: tuple[ProtocolRound, ...], tmp_path: Path, inputs: Any
) -> None:
    """Row 11: two vectors of one client under the same masks would be a success: their difference is that of two
    updates. Invited anew, under the same identifier, a client makes new keys.
    """
    server = SecondModel(active_trial(tmp_path))
    server.after, server.again = after, again
    server.strike()
    if again == (R1,):
        assert server.codes(R1) == {"STATE"}
    masked = [vector for loot in server.loot for _, vector in sorted(loot.vectors.items())]
    expected = {(R1, 1): 0, (R2, 1): 5, (R1, 3): 5, (R2, 3): 10}[after, len(again)]
    assert len(masked) == expected
    masks = masks_of(server, inputs)
    for one, other in ((a, b) for a in range(len(masks)) for b in range(a)):
        assert np.count_nonzero(masks[one] == masks[other]) <= 2


def masks_of(
    server: MaliciousServer, inputs: list[tuple[bytes, int, list[int]]]
) -> list[np.ndarray[Any, Any]]:
    """What was added to each vector that left, mod 2^24."""
    left, masks = list(inputs), []
    for loot in server.loot:
        for index, vector in loot.vectors.items():
            at = next(i for i, (_, owner, _) in enumerate(left) if owner == index)
            _, _, plain = left.pop(at)
            total = np.zeros(len(plain), dtype=np.uint32)
            add_packed(total, vector.tensor, 24)
            masks.append((total.astype(np.int64) - np.array(plain)) % 2**24)
    return masks


class Few(MaliciousServer):
    """Says that no more than `few` clients shared keys, or survived; always the one it speaks to and its neighbours."""

    few: int
    lie_in: ProtocolRound

    def cohort_for(self, node: int, honest: CohortAnnounced) -> CohortAnnounced:
        """A small cohort."""
        if self.lie_in is not R1:
            return honest
        mine = sorted(self.some(self.indices[node]))
        assert honest.vouched is not None
        keys = {new: honest.keys[i] for new, i in enumerate(mine, start=1)}
        vouched = replace(
            honest.vouched, members=tuple(honest.vouched.members[i - 1] for i in mine),
            signatures={new: honest.vouched.signatures[i] for new, i in enumerate(mine, start=1)},
        )  # fmt: skip
        return CohortAnnounced(honest.session, len(mine), cohort_digest(keys), keys, vouched)

    def delivered_for(self, node: int, honest: SharesDelivered) -> SharesDelivered:
        """Few sharers."""
        if self.lie_in is not R2:
            return honest
        some = self.some(self.indices[node])
        return replace(honest, sharers=some, sealed={i: s for i, s in honest.sealed.items() if i in some})

    def survivors_for(self, index: int) -> frozenset[int]:
        """Few survivors."""
        return self.some(index) if self.lie_in is R3 else super().survivors_for(index)

    def some(self, index: int) -> frozenset[int]:
        """Of this client's."""
        return frozenset((index - 1 + step) % 5 + 1 for step in range(self.few))


@pytest.mark.parametrize("lie_in", [R1, R2, R3])
@pytest.mark.parametrize("few", [1, 2, 3])
def test_all_but_a_few_are_said_to_have_dropped(lie_in: ProtocolRound, few: int, tmp_path: Path) -> None:
    """Row 12: an answer to fewer than min-cohort, 4 of 5, would be a success."""
    server = Few(active_trial(tmp_path))
    server.few, server.lie_in = few, lie_in
    server.strike()
    assert server.codes(lie_in) == {"QUORUM"}
    assert not server.loot[0].shares
    assert not server.codes(R4)


def test_the_smallest_cohort_that_was_agreed_on_is_served(tmp_path: Path) -> None:
    """Row 12, the check of the check: the same server with a list of four gets its answers to r3, and a share none."""
    server = Few(active_trial(tmp_path))
    server.few, server.lie_in = 4, R3
    server.strike()
    assert server.codes(R3) == {""}
    assert server.loot[0].shares == 0


class Backwards(MaliciousServer):
    """Says in r4 that the session was of an earlier server round, and then asks for the same one again."""

    def attack(self) -> None:
        """Round 5, finished as if it were round 1, and once more."""
        self.server_round = 5
        self.play(os.urandom(SESSION_BYTES))
        self.answers.clear()
        self.play(os.urandom(SESSION_BYTES))

    def ask(self, protocol_round: ProtocolRound, requests: Any, group: str = "") -> dict[int, bytes]:
        """Only r1's number is checked against the session."""
        return super().ask(protocol_round, requests, group if protocol_round is R1 else "1")


def test_a_server_round_is_not_had_twice(tmp_path: Path) -> None:
    """Row 10: another sum of the same round, over whom the server likes, would be a success."""
    server = Backwards(active_trial(tmp_path)).strike()
    assert server.loot[0].sums()
    assert server.codes(R1) == {"STATE"}
    assert not server.loot[1].sealed
