"""Opening a ring, and opening it again without those who dropped.

Decides: the terms. Refuses to know: deadlines; whoever does not answer in time is named by the caller.
"""

from collections.abc import Iterable
from dataclasses import replace

from paillier.keys import PublicKey
from paillier.packing import Packing
from paillier.ring.holder.states import AwaitingJoins, Waiting
from paillier.ring.messages import Invitation, Restart
from paillier.ring.terms import LEAST_HOSPITALS, SESSION_BYTES, Terms
from secagg.errors import CohortTooSmall, ParameterError
from secagg.primitives import Entropy
from secagg.roster import Roster


def open_ring(
    roster: Roster,
    members: Iterable[int],
    server_round: int,
    subject: bytes,
    public: PublicKey,
    packing: Packing,
    entropy: Entropy,
) -> tuple[AwaitingJoins, Invitation]:
    """Invite members of the roster to a new session.

    Args:
        roster: the federation's.
        members: numbers of at least three who are not revoked.
        server_round: which step of learning.
        subject: digest of what the vectors are made of, 32 bytes.
        public: the key holder's.
        packing: of every vector.
        entropy: source of the session's identifier.

    Raises:
        ParameterError: these make no ring.
        NotAuthentic: a number that is not in the roster, or is revoked.
    """
    chosen = tuple(sorted(members))
    for member in chosen:
        roster.member(member)
    terms = Terms(entropy(SESSION_BYTES), server_round, subject, roster.digest, chosen, public, packing)
    return AwaitingJoins(terms, roster), Invitation(terms)


def restart(state: Waiting, dropped: Iterable[int], entropy: Entropy) -> tuple[AwaitingJoins, Restart]:
    """A new session without those who dropped: fresh keys, fresh order, nothing of the old sum.

    Args:
        state: of the failed session; consumed.
        dropped: members who did not answer, or whose answer was refused.
        entropy: source of the new session's identifier.

    Raises:
        ParameterError: nobody dropped, or somebody who is not in the ring.
        CohortTooSmall: fewer than three are left; the server round has no sum.
    """
    old, skipped = state.terms, tuple(sorted(set(dropped)))
    if not skipped or not set(skipped) <= set(old.members):
        raise ParameterError("a ring starts again without members of it that dropped; name them")
    left = tuple(member for member in old.members if member not in skipped)
    if len(left) < LEAST_HOSPITALS:
        raise CohortTooSmall("are left in the ring", len(left), LEAST_HOSPITALS)
    terms = replace(old, session=entropy(SESSION_BYTES), members=left)
    return AwaitingJoins(terms, state.roster), Restart(terms, old.session, skipped)
