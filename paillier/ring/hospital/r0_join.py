"""Joining a ring, for the first time or after a restart.

Decides: which terms this hospital serves. Nothing of its data is touched here.
Refuses to know: who else will join; that comes with the proposal.
"""

from dataclasses import replace

from paillier.errors import ForeignKey
from paillier.ring.circle import commitment, joining
from paillier.ring.hospital.states import AwaitingRing, Waiting
from paillier.ring.messages import NONCE_BYTES, Invitation, Joined, Restart
from paillier.ring.terms import Terms
from secagg.errors import OutOfTurn, SuspectServer
from secagg.primitives import Entropy, KeyPair, same
from secagg.signatory import Signatory


def join(
    invitation: Invitation, signatory: Signatory, pinned: bytes, entropy: Entropy
) -> tuple[AwaitingRing, Joined]:
    """Make a fresh key and nonce, commit to the nonce, sign.

    Args:
        invitation: the terms.
        signatory: this hospital's place in the roster.
        pinned: digest of the public key that this hospital expects of the key holder, 32 bytes.
        entropy: source of key and nonce.

    Raises:
        ForeignKey: the terms name another public key.
        SuspectServer: another roster, or terms that leave this hospital out.
        NotAuthentic: a member that the roster does not have, or that is revoked.
    """
    return _enter(invitation.terms, signatory, pinned, entropy)


def rejoin(
    state: Waiting, restart: Restart, signatory: Signatory, pinned: bytes, entropy: Entropy
) -> tuple[AwaitingRing, Joined]:
    """Give up the session that failed and join the one that follows it.

    Args:
        state: of the failed session; consumed, with its key and nonce.
        restart: the new terms, the failed session, and whom it skips.
        signatory: this hospital's place in the roster.
        pinned: digest of the public key that this hospital expects, 32 bytes.
        entropy: source of key and nonce.

    Raises:
        OutOfTurn: another session than the one this hospital is in, or the same once more.
        SuspectServer: the new terms differ from the old in anything but session and the members skipped.
    """
    old, new = state.terms, restart.terms
    if not same(restart.failed, old.session) or same(new.session, old.session):
        raise OutOfTurn(
            "the restart is not of the session this hospital is in; the key holder must invite anew"
        )
    left = tuple(member for member in old.members if member not in restart.skipped)
    kept = replace(new, session=old.session, members=old.members)
    if left == old.members or new.members != left or kept != old:
        raise SuspectServer(
            "a restart changes the session and skips whoever dropped, and this one changes more; nothing was added"
        )
    return _enter(new, signatory, pinned, entropy)


def _enter(
    terms: Terms, signatory: Signatory, pinned: bytes, entropy: Entropy
) -> tuple[AwaitingRing, Joined]:
    if not same(terms.public.digest, pinned):
        raise ForeignKey(
            "the ring is under another public key than this hospital was told to expect; compare the key's digest "
            "with whoever runs the federation"
        )
    if not same(terms.roster, signatory.roster.digest):
        raise SuspectServer("the key holder goes by another roster than this hospital; give both the same")
    if signatory.number not in terms.members:
        raise SuspectServer("the ring's terms leave this hospital out; nothing was added")
    for member in terms.members:
        signatory.roster.member(member)
    pair, nonce = KeyPair.generate(entropy), entropy(NONCE_BYTES)
    committed = commitment(terms, signatory.number, nonce)
    signature = signatory.key.sign(joining(terms, signatory.number, pair.public, committed))
    joined = Joined(signatory.number, pair.public, committed, signature)
    return AwaitingRing(terms, joined, pair, nonce), joined
