"""The owner: cuts a model into parts, makes canaries, hands each server its part, looks, and shuts down.

Decides: that nothing leaves before everything is known to be right, and that all three servers get parts of one
sharing. Refuses to know: torch models (`conversion` gives a program and integers) and where kits lie.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from numpy.typing import NDArray

from predictions.canaries import Canaries
from predictions.canary_making import make_canaries
from predictions.credentials import SERVERS, Credentials
from predictions.errors import FrameRejected
from predictions.frames import Kind
from predictions.limits import Limits
from predictions.link import PATIENCE, Address, Link
from predictions.messages import IDENTIFIER_BYTES
from predictions.model_shares import split
from predictions.program import Program
from predictions.sharing import Part, Sharing
from predictions.weights import Weights

CANARIES: Final = 64
_MOST_STATUS: Final = 1 << 16


@dataclass(frozen=True)
class Prepared:
    """A sharing before it is handed out.

    Args:
        sharing: what is public of it.
        parts: each server's, by party.
        canaries: for clients.
    """

    sharing: Sharing
    parts: dict[str, Part] = field(repr=False)
    canaries: Canaries


def prepare_sharing(
    program: Program,
    weights: tuple[Weights, ...],
    limits: Limits,
    samples: NDArray[Any] | None = None,
    canaries: int = CANARIES,
) -> Prepared:
    """Cut a model into the parts of one new sharing, and make canaries; nothing leaves.

    Args:
        program: of `conversion.convert`.
        weights: of the same.
        limits: what clients may ask.
        samples: examples like those that will be asked (rows, *shape); canaries are random mixtures of them, or
            noise where there are none.
        canaries: how many are made.

    Raises:
        ConfigError: labels are all too close for rounding to leave them, so nothing could be checked.
    """
    models = split(program, weights, os.urandom)
    sharing = Sharing(os.urandom(IDENTIFIER_BYTES), program, limits)
    contents = [models[0].to_bytes(), models[1].to_bytes(), models[2].to_bytes()]
    parts = {party: Part(sharing, one) for party, one in zip(SERVERS, contents, strict=True)}
    return Prepared(sharing, parts, make_canaries(program, weights, samples, canaries))


class Owner:
    """Speaks with all three servers.

    Args:
        servers: their addresses, by party.
        credentials: the owner's.
        patience: seconds to wait for a server.
    """

    def __init__(
        self, servers: Mapping[str, Address], credentials: Credentials, patience: float = 6 * PATIENCE
    ) -> None:
        self._servers, self._credentials, self._patience = servers, credentials, patience

    def share(self, prepared: Prepared) -> dict[str, int]:
        """Hand each server its part; bytes sent, by party.

        Raises:
            LinkFailed: a server cannot be reached; the sharing is of no use then, share anew.
            QueryRefused: a server does not take it.
        """
        links: dict[str, Link] = {}
        try:
            for party in prepared.parts:  # all are there, or none is given anything
                links[party] = self._connect(party)
            for party, part in prepared.parts.items():
                link = links[party]
                link.send(Kind.OFFER, part.sharing.to_bytes())
                link.receive({Kind.DONE: (0, 0)})
                link.send(Kind.SHARE, part.content)
                link.receive({Kind.DONE: (0, 0)})
            return {party: link.sent for party, link in links.items()}
        finally:
            for link in links.values():
                link.close()

    def status(self, party: str) -> dict[str, int]:
        """What a server has done so far, as counts.

        Raises:
            LinkFailed: it cannot be reached.
            FrameRejected: it says something else.
        """
        with self._connect(party) as link:
            link.send(Kind.STATUS)
            told = bytes(link.receive({Kind.DONE: (2, _MOST_STATUS)}).payload)
        try:
            return {str(name): int(count) for name, count in json.loads(told).items()}
        except (ValueError, AttributeError, TypeError):
            raise FrameRejected(
                f"{party} says nothing that is a status; run one version on all machines"
            ) from None

    def shut_down(self, party: str) -> None:
        """End a server; it finishes the queries that run.

        Raises:
            LinkFailed: it cannot be reached.
        """
        with self._connect(party) as link:
            link.send(Kind.SHUTDOWN)
            link.receive({Kind.DONE: (0, 0)})

    def _connect(self, party: str) -> Link:
        return Link.connect(self._servers[party], self._credentials, party, self._patience)
