"""One frozen type per message, and its bytes.

Decides: the wire form of the protocol. Every length is checked before anything is allocated; the same
value always has the same bytes. A client is named by its index 1..n in the order of the announced keys;
sets of clients are bitmaps, so nobody can be named twice, or alive and dead at once.
Refuses to know: when a message is due (the steps know) and how bytes travel (`wire`).

    r0  Invitation           ->   <-  KeysAdvertised
    r1  CohortAnnounced      ->   <-  SharesSealed
    r2  SharesDelivered      ->   <-  InputMasked
    r3  SurvivorsAnnounced   ->   <-  SurvivorsSigned      against an active server
    r4  UnmaskingRequested   ->   <-  SharesRevealed
"""

from secagg.replies import InputMasked, KeysAdvertised, SharesRevealed, SharesSealed, SurvivorsSigned
from secagg.requests import (
    CohortAnnounced,
    Invitation,
    SharesDelivered,
    SurvivorsAnnounced,
    UnmaskingRequested,
    Vouched,
    session_named,
)

__all__ = [
    "CohortAnnounced",
    "InputMasked",
    "Invitation",
    "KeysAdvertised",
    "SharesDelivered",
    "SharesRevealed",
    "SharesSealed",
    "SurvivorsAnnounced",
    "SurvivorsSigned",
    "UnmaskingRequested",
    "Vouched",
    "session_named",
]
