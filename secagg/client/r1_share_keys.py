"""r1, client: check the cohort one was shown, then share one's two secrets among one's neighbours.

Decides: whether this view of the cohort can be an honest one. Nothing secret leaves before every check
has passed.
Refuses to know: the model and the configuration; only their digests come in, and bind everything that
follows.
"""

from arithmetic.field import to_bytes
from secagg.client.r0_advertise_keys import check_adversary
from secagg.client.states import AwaitingCohort, AwaitingShares, CarryingKeys
from secagg.errors import CohortTooSmall, Misbehaviour, OutOfTurn, SuspectServer
from secagg.keys import PublicKeys, cohort_digest
from secagg.masks import commit
from secagg.messages import CohortAnnounced, SharesSealed, Vouched
from secagg.params import SESSION_BYTES, Agreement
from secagg.primitives import BadKey, Entropy, PrivateKey, check_public_key, derive_key, same, seal
from secagg.shamir import SECRET_BYTES, split
from secagg.signatory import Credential, Origin, Signatory, check_vouched, standing
from secagg.tags import tag_pair


def share_keys(
    state: AwaitingCohort | CarryingKeys,
    cohort: CohortAnnounced,
    model_digest: bytes,
    config_digest: bytes,
    entropy: Entropy,
    signatory: Signatory | None = None,
) -> tuple[AwaitingShares, SharesSealed]:
    """Share the mask key and a fresh self-mask seed; each neighbour's shares are sealed to it alone.

    Args:
        state: consumed.
        cohort: the keys of the cohort as the server shows them.
        model_digest: of the model that came with the request, 32 bytes.
        config_digest: of the training configuration that came with it.
        entropy: source of the seed and of the sharing polynomials.
        signatory: the client's place in the roster, if it has one.

    Raises:
        Refused: as `advertise_keys`.
        NotAuthentic: somebody in the cohort is not in the roster, or did not sign its keys for this session.
        OutOfTurn: a session other than the one the keys were made for.
        SuspectServer: a view that no honest server shows.
        CohortTooSmall: too few clients to hide among.
        Misbehaviour: a neighbour's key has low order.
    """
    _check_session(state, cohort.session.identifier)
    check_adversary(cohort.session.params, signatory)
    index = _own_index(cohort.keys, state.keys.public)
    vouched, agreement = cohort.vouched, agreement_of(cohort, model_digest, config_digest)
    peers = _checked_peers(cohort, index, agreement)
    if signatory and vouched:
        _check_signed(vouched, cohort.keys, index, signatory, state.origin)
    context, params = agreement.context, cohort.session.params

    seed = entropy(SECRET_BYTES)
    holders = sorted([index, *peers] if params.own_share else peers)
    # Figure 4, round 1: "generate t-out-of-|U1| shares of s_u^SK and b_u"; here among N(u) and u itself
    # (Bell et al., CCS 2020, algorithm 2).
    seed_shares = split(seed, holders, params.threshold, entropy)
    key_shares = split(state.keys.mask.private, holders, params.threshold, entropy)
    sealed, private = {}, PrivateKey(state.keys.channel.private)
    for peer, keys in peers.items():
        key = channel_key(private, keys.channel, context, sender=index, recipient=peer)
        plaintext = to_bytes(key_shares[peer]) + to_bytes(seed_shares[peer])
        tags = tag_pair(key_shares[peer], seed_shares[peer], context, index, peer)
        masks = state.keys.mask.public, keys.mask
        sealed[peer] = seal(key, plaintext, share_label(context, index, peer, *masks)) + tags
    following = AwaitingShares(
        cohort.session.identifier, context, params, cohort.advertised, index, peers, state.keys, seed,
        {index: seed_shares[index]} if params.own_share else {}, vouched.members if vouched else (),
    )  # fmt: skip
    return following, SharesSealed(commit(seed, context, index), sealed)


def agreement_of(cohort: CohortAnnounced, model_digest: bytes, config_digest: bytes) -> Agreement:
    """What a client that was shown all this is bound to."""
    vouched = cohort.vouched
    stand = standing(vouched.roster, vouched.members) if vouched else b""
    shown = (cohort.advertised, cohort.cohort_digest, model_digest, config_digest)
    return Agreement(cohort.session, *shown, stand)


def channel_key(
    private: bytes | PrivateKey, public: bytes, context: bytes, sender: int, recipient: int
) -> bytes:
    """The key that seals one message from `sender` to `recipient`: one for each direction, used once."""
    key = private if isinstance(private, PrivateKey) else PrivateKey(private)
    return derive_key(key.agree(public), "channel", context, sender, recipient)


def share_label(
    context: bytes, sender: int, recipient: int, sender_mask: bytes, recipient_mask: bytes
) -> bytes:
    """Associated data of sealed shares: session, model, configuration, sender, recipient, and both public mask keys.

    A client of a sparse graph against a curious server sees a part of the cohort's keys, which the cohort's digest does
    not show to be the true ones: where the two ends of a mask were shown different keys, no share opens.
    """
    return context + sender.to_bytes(8, "big") + recipient.to_bytes(8, "big") + sender_mask + recipient_mask


def _check_session(state: AwaitingCohort | CarryingKeys, identifier: bytes) -> None:
    if identifier == bytes(SESSION_BYTES):
        raise OutOfTurn("the session has no identifier; the server must open a new one")
    if isinstance(state, AwaitingCohort) and not same(identifier, state.invited):
        raise OutOfTurn("the keys were made for another session; the server must invite again")
    if isinstance(state, CarryingKeys) and same(identifier, state.finished):
        raise OutOfTurn("this session is finished; the server must open a new one")


def _own_index(keys: dict[int, PublicKeys], own: PublicKeys) -> int:
    """The index under which the server shows this client's own keys."""
    flat = [key for pair in keys.values() for key in (pair.mask, pair.channel)]
    if len(set(flat)) != len(flat):
        raise SuspectServer("one public key is shown twice in the cohort; nothing was shared")
    for index, pair in keys.items():
        if pair == own:
            return index
    raise SuspectServer("this client's own keys are missing from the cohort or altered; nothing was shared")


def _checked_peers(cohort: CohortAnnounced, index: int, agreement: Agreement) -> dict[int, PublicKeys]:
    """The neighbours' keys, once the cohort's size, digest and graph are what they must be."""
    params = cohort.session.params
    if cohort.advertised < params.least_advertised:
        raise CohortTooSmall("advertised keys", cohort.advertised, params.least_advertised)
    whole = len(cohort.keys) == cohort.advertised
    if whole and not same(cohort_digest(cohort.keys), cohort.cohort_digest):
        raise SuspectServer("the cohort's digest does not belong to the keys shown; nothing was shared")
    # Against an active server the digest, and with it the context, must hold this client's own fresh keys: what others
    # signed of an earlier attempt at the session is then of another context, whatever identifier the server gives it.
    if params.is_active and not whole:
        raise SuspectServer("the server shows a part of the cohort's keys; nothing was shared")
    neighbours = agreement.graph.neighbours(index)
    peers = {peer: cohort.keys[peer] for peer in neighbours if peer in cohort.keys}
    due = cohort.advertised if params.is_active else len(neighbours) + 1
    if len(peers) < len(neighbours) or len(cohort.keys) != due:
        raise SuspectServer("the keys shown are not those of this client's neighbours; nothing was shared")
    for peer, keys in peers.items():
        try:
            check_public_key(keys.mask)
            check_public_key(keys.channel)
        except BadKey as error:
            raise Misbehaviour(peer, f"peer {peer}: {error}; nothing was shared") from error
    return peers


def _check_signed(
    vouched: Vouched, keys: dict[int, PublicKeys], index: int, signatory: Signatory, origin: Origin
) -> None:
    """Nobody but members of the roster, each once, and everybody's keys signed by its member.

    Figure 4, round 1: "assert that all signatures are valid".
    """
    roster, members = signatory.roster, vouched.members
    if not same(vouched.roster, roster.digest):
        raise SuspectServer(
            "the server goes by another roster than this client; give both the same. Nothing was shared"
        )
    if len(set(members)) < len(members):
        raise SuspectServer("one member of the roster stands twice in the cohort; nothing was shared")
    if members[index - 1] != signatory.number:
        raise SuspectServer("this client is shown as another member of the roster; nothing was shared")
    for peer, pair in keys.items():
        if peer != index:
            check_vouched(roster, pair, Credential(members[peer - 1], vouched.signatures[peer]), origin)
