"""Clients that were shown different sessions, models, configurations, parameters or cohorts: what happens.

Model digest, configuration digest, server round or parameters differ for one client (or a whole side of the
cohort): its keys for sealed shares are unrelated to its neighbours', so at r2 no share opens on either side
(whom nobody's shares reach blames the server, VIEW; the others the odd one, CRYPTO), every client concerned leaves
before it masks anything, and the server ends with
CohortTooSmall, or, in a sparse graph with a low threshold, with the exact sum over the clients not concerned.
Session identifier differs: refused at r1 (STATE) with fresh keys; with carried keys it is one more different
context. Cohort digest differs: refused at r1 (VIEW). The server's own digests differ from what all clients
saw: no revealed share gives the tag the server computes; CohortTooSmall (QUORUM).

Never is a sum presented that is not the exact sum over the clients it names.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from secagg.client.r1_share_keys import channel_key, share_label
from secagg.client.states import AwaitingShares
from secagg.errors import CohortTooSmall, Misbehaviour, SuspectServer, Unrecoverable
from secagg.masks import Mask, add_masks, empty, pairwise_mask_seed, pairwise_sign
from secagg.messages import CohortAnnounced, SharesDelivered
from secagg.params import SecAggParams
from secagg.primitives import KeyPair
from tests.support.cohort import (
    CONFIG,
    MODEL,
    Cohort,
    Outcome,
    ShakeEntropy,
    check_exact,
    oracle_inputs,
    step,
    tampering,
)

OTHER = b"X" * 32
FIVE = (1, 2, 3, 4, 5)


def cohort_of_five(threshold: int = 3) -> Cohort:
    return Cohort(SecAggParams.complete(5, 24, 8, 3, threshold), oracle_inputs(FIVE, 8))


def nobody_masked(cohort: Cohort, outcome: Outcome, *clients: int) -> None:
    """None of `clients` sent a vector or kept a state, and each says why."""
    for client in clients:
        assert outcome.client_errors[client][0] in ("r1", "r2")
        assert ("r2", client) not in cohort.replies
        assert cohort.clients[client].kept is None


@pytest.mark.parametrize("digests", [(OTHER, CONFIG), (MODEL, OTHER), (CONFIG, MODEL)])
def test_one_client_with_another_model_or_configuration(digests: tuple[bytes, bytes]) -> None:
    cohort = cohort_of_five()
    cohort.digests[2] = digests
    outcome = cohort.run()
    assert isinstance(outcome.error, CohortTooSmall)
    assert outcome.unmasked is None
    nobody_masked(cohort, outcome, *FIVE)
    assert isinstance(outcome.client_errors[2][1], SuspectServer)
    for client in (1, 3, 4, 5):
        error = outcome.client_errors[client][1]
        assert isinstance(error, Misbehaviour)
        assert error.culprit == 2


def test_every_client_with_its_own_model() -> None:
    cohort = cohort_of_five()
    cohort.digests = {client: (bytes([client]) * 32, CONFIG) for client in FIVE}
    outcome = cohort.run()
    assert isinstance(outcome.error, CohortTooSmall)
    nobody_masked(cohort, outcome, *FIVE)
    assert all(isinstance(error, SuspectServer) for _, error in outcome.client_errors.values())


def test_in_a_sparse_graph_only_the_neighbours_leave() -> None:
    clients = tuple(range(1, 17))
    params = SecAggParams(16, 2, 4, 3, 24, 20, 3)
    cohort = Cohort(params, oracle_inputs(clients, 20))
    cohort.digests[1] = (OTHER, CONFIG)
    outcome = cohort.run()
    concerned = {1, *outcome.neighbours[1]}
    assert set(outcome.client_errors) == concerned
    nobody_masked(cohort, outcome, *concerned)
    if outcome.error is None:
        check_exact(outcome, params, cohort.inputs, frozenset(clients) - concerned)
    else:
        assert isinstance(outcome.error, CohortTooSmall)


def test_all_clients_alike_but_not_as_the_server_says() -> None:
    cohort = cohort_of_five()
    cohort.server_digests = (OTHER, CONFIG)
    outcome = cohort.run()
    assert isinstance(outcome.error, CohortTooSmall)
    assert outcome.unmasked is None


@pytest.mark.parametrize("part", ["mask", "channel"])
def test_in_a_sparse_graph_a_key_that_one_client_is_shown_otherwise(part: str) -> None:
    """No digest covers the part of the keys that a client sees there; with another mask key of a neighbour the masks of
    the two would not cancel, and the sum would be wrong.
    """
    other = KeyPair.generate(ShakeEntropy("other")).public

    def altered(data: bytes) -> bytes:
        message = CohortAnnounced.from_bytes(data)
        peer = next(index for index in message.keys if index != 2)
        changed = replace(message.keys[peer], **{part: other})
        return replace(message, keys=message.keys | {peer: changed}).to_bytes()

    clients = tuple(range(1, 9))
    params = SecAggParams(8, 2, 4, 3, 24, 9, 3)
    cohort = Cohort(params, oracle_inputs(clients, 9), tamper=tampering("r1", "down", 2, altered))
    outcome = cohort.run()
    concerned = set(outcome.client_errors)
    assert len(concerned) == 2
    assert 2 in concerned
    nobody_masked(cohort, outcome, *concerned)
    check_exact(outcome, params, cohort.inputs, frozenset(clients) - concerned)


Change = Callable[[CohortAnnounced], CohortAnnounced]


def with_params(**changed: int) -> Change:
    """The announcement with other parameters."""
    return lambda m: replace(m, session=replace(m.session, params=replace(m.session.params, **changed)))


# The change, in which protocol round the client notices, and the code it says.
CHANGES: dict[str, tuple[Change, str, str]] = {
    "threshold": (with_params(threshold=2), "r2", "VIEW"),
    "modulus": (with_params(modulus_bits=32), "r2", "VIEW"),
    "survivors": (with_params(min_survivors=5), "r2", "VIEW"),
    "server round": (lambda m: replace(m, session=replace(m.session, server_round=77)), "r2", "VIEW"),
    "session": (lambda m: replace(m, session=replace(m.session, identifier=OTHER)), "r1", "STATE"),
    "cohort digest": (lambda m: replace(m, cohort_digest=OTHER), "r1", "VIEW"),
    "size": (
        lambda m: replace(m, advertised=4, keys={i: k for i, k in m.keys.items() if i < 5}),
        "r1",
        "VIEW",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_one_client_with_another_view_of_the_session(what: str) -> None:
    change, noticed, code = CHANGES[what]
    cohort = cohort_of_five()
    cohort.tamper = tampering(
        "r1", "down", 2, lambda data: change(CohortAnnounced.from_bytes(data)).to_bytes()
    )
    outcome = cohort.run()
    assert outcome.client_errors[2][0] == noticed
    assert outcome.client_errors[2][1].code == code
    nobody_masked(cohort, outcome, 2)
    if noticed == "r2":
        assert isinstance(outcome.error, CohortTooSmall)
        nobody_masked(cohort, outcome, *FIVE)
    else:  # refused before anything was shared: it is just one client less
        check_exact(outcome, cohort.params, cohort.inputs, frozenset(FIVE) - {2})


def test_carried_keys_in_another_session_than_the_others() -> None:
    cohort = cohort_of_five()
    cohort.run()
    change, _, _ = CHANGES["session"]

    def elsewhere(at: str, way: str, client: int, data: bytes) -> bytes:
        if (at, way, client) == ("r1", "down", 2):
            return change(CohortAnnounced.from_bytes(data)).to_bytes()
        if (at, way, client) == ("r2", "down", 2):
            return replace(SharesDelivered.from_bytes(data), session=OTHER).to_bytes()
        return data

    cohort.tamper = elsewhere
    outcome = cohort.run()
    assert isinstance(outcome.error, CohortTooSmall)
    nobody_masked(cohort, outcome, *FIVE)
    assert isinstance(outcome.client_errors[2][1], SuspectServer)


def test_in_a_sparse_graph_another_cohort_digest_is_another_graph() -> None:
    clients = tuple(range(1, 13))
    cohort = Cohort(SecAggParams(12, 3, 4, 3, 24, 15, 3), oracle_inputs(clients, 15))
    change, _, _ = CHANGES["cohort digest"]
    cohort.tamper = tampering(
        "r1", "down", 2, lambda data: change(CohortAnnounced.from_bytes(data)).to_bytes()
    )
    outcome = cohort.run()
    assert isinstance(outcome.client_errors[2][1], SuspectServer)
    nobody_masked(cohort, outcome, 2)


def split_view(threshold: int) -> tuple[Cohort, Outcome]:
    """Six clients: 1..3 are shown one model, 4..6 another, and each side is told that the other vanished."""
    clients = (1, 2, 3, 4, 5, 6)
    cohort = Cohort(SecAggParams.complete(6, 24, 9, 3, threshold), oracle_inputs(clients, 9))
    cohort.digests = {client: (OTHER, CONFIG) for client in (4, 5, 6)}

    def hide(at: str, way: str, client: int, data: bytes) -> bytes:
        if (at, way) != ("r2", "down"):
            return data
        side = frozenset({1, 2, 3} if client <= 3 else {4, 5, 6})
        shown = SharesDelivered.from_bytes(data)
        return replace(
            shown, sharers=side, sealed={i: s for i, s in shown.sealed.items() if i in side}
        ).to_bytes()

    cohort.tamper = hide
    return cohort, cohort.run()


def test_two_halves_with_two_models_send_nothing_when_the_threshold_is_a_majority() -> None:
    cohort, outcome = split_view(threshold=4)
    assert isinstance(outcome.error, CohortTooSmall)
    nobody_masked(cohort, outcome, 1, 2, 3, 4, 5, 6)
    assert {error.code for _, error in outcome.client_errors.values()} == {"QUORUM"}


def test_two_halves_below_a_majority_are_never_one_sum() -> None:
    """With t <= n / 2 each half is a session of its own size (the active adversary's bound forbids such t);
    what the server holds is not the sum of all six.
    """
    cohort, outcome = split_view(threshold=3)
    assert ("r2", 1) in cohort.replies
    assert outcome.unmasked is None
    assert isinstance(outcome.error, Unrecoverable | CohortTooSmall)


def test_pairwise_masks_of_different_contexts_do_not_cancel() -> None:
    states = {}
    for digests in ((MODEL, CONFIG), (OTHER, CONFIG)):
        cohort = cohort_of_five()
        cohort.digests = {client: digests for client in FIVE}
        cohort.run()
        states[digests] = [AwaitingShares.from_bytes(cohort.states["r2", client]) for client in FIVE]
    left, right = states[MODEL, CONFIG][0], states[OTHER, CONFIG][1]
    assert left.keys.mask.public == right.peers[1].mask

    def noise(one: AwaitingShares, other: AwaitingShares) -> set[int]:
        total = empty(64, 2, 24)
        for own, peer in ((one, 2), (other, 1)):
            seed = pairwise_mask_seed(
                own.keys.mask.private, own.peers[peer].mask, own.context, own.index, peer
            )
            add_masks(total, [Mask(seed, pairwise_sign(own.index, peer))])
        return {*(total.tensor & 0xFFFFFF).tolist(), *total.scalars.tolist()}

    assert noise(left, states[MODEL, CONFIG][1]) == {0}
    assert len(noise(left, right)) > 60


def test_a_server_that_seals_nothing_itself_cannot_join_two_contexts() -> None:
    """Swapping in shares that were sealed under another model: refused at r2, before any mask."""
    good, bad = cohort_of_five(), cohort_of_five()
    bad.digests = {client: (OTHER, CONFIG) for client in FIVE}
    good.run()
    bad.run()
    assert good.states["r2", 1] is not None
    assert good.session == bad.session
    with pytest.raises(SuspectServer):
        step("r2", good.states["r2", 1], bad.requests["r2", 1], ShakeEntropy("none"), good.inputs[1].residues)


def test_every_key_and_label_of_sealed_shares_names_the_context() -> None:
    """Each of the two alone keeps shares of another session, model or configuration from opening."""
    private, public = KeyPair.generate(ShakeEntropy("a")).private, KeyPair.generate(ShakeEntropy("b")).public
    assert channel_key(private, public, MODEL, 1, 2) != channel_key(private, public, OTHER, 1, 2)
    assert channel_key(private, public, MODEL, 1, 2) != channel_key(private, public, MODEL, 2, 1)
    ends = ((1, 2), (2, 1), (1, 3))
    masks = ((MODEL, MODEL), (MODEL, OTHER), (OTHER, MODEL))
    labels = {share_label(c, *pair, *both) for c in (MODEL, OTHER) for pair in ends for both in masks}
    assert len(labels) == 18
