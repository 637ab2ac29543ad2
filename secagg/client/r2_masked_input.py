"""r2, client: open the shares one was sent, then mask the vector.

Decides: with whom masks are shared (the neighbours that completed r1) and that no vector leaves before
every share has opened.
Refuses to know: what the vector holds.
"""

from collections.abc import Iterator

from arithmetic.field import ELEMENT_BYTES
from arithmetic.packing import pack
from arithmetic.residues import word_type
from secagg.client.r1_share_keys import channel_key, share_label
from secagg.client.states import AwaitingShares, AwaitingSurvivors
from secagg.errors import (
    CohortTooSmall,
    MalformedMessage,
    Misbehaviour,
    OutOfTurn,
    ParameterError,
    SuspectServer,
)
from secagg.masks import Mask, Residues, add_masks, pairwise_mask_seed, pairwise_sign, self_mask_seed
from secagg.messages import InputMasked, SharesDelivered
from secagg.primitives import BadCiphertext, PrivateKey, same, unseal
from secagg.sealed import CIPHERTEXT_BYTES
from secagg.shamir import parse_share
from secagg.tags import tag_pair


def mask_input(
    state: AwaitingShares, delivered: SharesDelivered, vector: Residues
) -> tuple[AwaitingSurvivors, InputMasked]:
    """Add the self mask and one pairwise mask a neighbour to `vector`, and pack it, both in place.

    Args:
        state: consumed.
        delivered: who completed r1, and their shares for this client.
        vector: tensor part (d,) and scalar part (m,) as the session's parameters say; overwritten: the
            message that is returned lies in its memory, until it is written out.

    Raises:
        OutOfTurn: a request of another session.
        SuspectServer: a list that no honest server sends.
        CohortTooSmall: too few clients to hide among; nothing was masked.
        Misbehaviour: a neighbour's shares do not open.
        ParameterError: the vector is not of the agreed lengths.
    """
    params = state.params
    tensor, scalars = vector.tensor, vector.scalars
    agreed = (params.tensor_length,), (params.scalar_length,), word_type(params.modulus_bits), word_type(64)
    if (tensor.shape, scalars.shape, tensor.dtype, scalars.dtype) != agreed:
        raise ParameterError("the vector is not of the lengths and words agreed on; nothing was sent")
    _check_view(state, delivered)
    self_mask, mask_key = _opened(state, delivered)
    add_masks(vector, _masks(state, delivered))
    masked = InputMasked(pack(vector.tensor, params.modulus_bits), pack(vector.scalars, 64))
    following = AwaitingSurvivors(
        state.session, state.context, params, state.advertised, state.index, delivered.sharers, self_mask, mask_key,
        state.members,
    )  # fmt: skip
    return following, masked


def _masks(state: AwaitingShares, delivered: SharesDelivered) -> Iterator[Mask]:
    """The client's own mask, and one for each neighbour that completed r1."""
    yield Mask(self_mask_seed(state.seed, state.context, state.index), 1)
    private = PrivateKey(state.keys.mask.private)
    for peer in delivered.sealed:
        seed = pairwise_mask_seed(private, state.peers[peer].mask, state.context, state.index, peer)
        yield Mask(seed, pairwise_sign(state.index, peer))


def _check_view(state: AwaitingShares, delivered: SharesDelivered) -> None:
    """Who shared keys must be a part of the cohort, hold this client, and match the shares that came."""
    if not same(delivered.session, state.session):
        raise OutOfTurn("these shares are of another session; nothing was sent")
    if delivered.size != state.advertised or state.index not in delivered.sharers:
        raise SuspectServer("the list of clients that shared keys is not of this cohort; nothing was sent")
    if set(delivered.sealed) != set(state.peers) & delivered.sharers:
        raise SuspectServer("the shares delivered are not those of the neighbours named; nothing was sent")
    least = state.params.min_survivors
    if len(delivered.sharers) < least:
        raise CohortTooSmall("shared keys", len(delivered.sharers), least)
    close = len(delivered.sealed) + len(state.own_shares)
    if close < state.params.threshold:
        raise CohortTooSmall("of this neighbourhood shared keys", close, state.params.threshold)


def _opened(state: AwaitingShares, delivered: SharesDelivered) -> tuple[dict[int, int], dict[int, int]]:
    """Shares of self-mask seeds, the client's own among them if it keeps one, and of mask keys.

    Raises:
        Misbehaviour: those of one peer, or of a few, do not open.
        SuspectServer: none of them opens, or more than the session reckons with colluders: it is not the senders.
    """
    self_mask, mask_key, bad = dict(state.own_shares), dict[int, int](), list[Misbehaviour]()
    channel = PrivateKey(state.keys.channel.private)
    for sender, sealed in delivered.sealed.items():
        try:
            mask_key[sender], self_mask[sender] = _open(state, channel, sender, sealed)
        except Misbehaviour as error:
            bad.append(error)
    many = state.params.is_active and len(bad) > max(state.params.colluders, 1)
    if bad and (many or not mask_key):
        raise SuspectServer(
            f"the shares of {len(bad)} peers do not open: they were shown another cohort, model or configuration, or "
            "run another version, than this client; nothing was sent"
        )
    if bad:
        raise bad[0]
    return self_mask, mask_key


def _open(state: AwaitingShares, private: PrivateKey, sender: int, sealed: bytes) -> tuple[int, int]:
    """The sender's shares of its mask key and of its self-mask seed."""
    public = state.peers[sender].channel
    key = channel_key(private, public, state.context, sender=sender, recipient=state.index)
    masks = state.peers[sender].mask, state.keys.mask.public
    label = share_label(state.context, sender, state.index, *masks)
    try:
        plaintext = unseal(key, sealed[:CIPHERTEXT_BYTES], label)
        mask_key, self_mask = (
            parse_share(plaintext[:ELEMENT_BYTES]),
            parse_share(plaintext[ELEMENT_BYTES:]),
        )
        if not same(
            sealed[CIPHERTEXT_BYTES:], tag_pair(mask_key, self_mask, state.context, sender, state.index)
        ):
            raise MalformedMessage("they are not the shares it bound itself to")
        return mask_key, self_mask
    except (BadCiphertext, MalformedMessage) as error:
        raise Misbehaviour(
            sender, f"the shares of peer {sender} do not open: {error}; nothing was sent"
        ) from error
