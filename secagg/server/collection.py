"""What the server's protocol rounds have in common: each client asked is heard once, and never after the
round closed.

Decides: who may still be heard. Refuses to know: what they say.
"""

from collections.abc import Iterable

from secagg.errors import OutOfTurn


class Collection:
    """Replies of the clients that were asked, named by the identifier the caller gave them.

    Attributes:
        indices: client's identifier -> its index in the session.
    """

    def __init__(self, indices: dict[int, int]) -> None:
        self.indices = indices
        self._heard: set[int] = set()
        self._closed = False

    @property
    def missing(self) -> tuple[int, ...]:
        """Identifiers of the clients that were asked and not heard, ascending."""
        return tuple(sorted(set(self.indices) - self._heard))

    @property
    def heard(self) -> int:
        """How many clients completed this protocol round."""
        return len(self._heard)

    def _check_turn(self, client: int) -> int:
        """The index of a client whose reply is due.

        Raises:
            OutOfTurn: it was not asked, was heard already, or the round is closed.
        """
        if self._closed:
            raise OutOfTurn(
                f"a reply of client {client} came after the protocol round had closed; it was ignored"
            )
        if client not in self.indices:
            raise OutOfTurn(f"client {client} was not asked; its reply was ignored")
        if client in self._heard:
            raise OutOfTurn(f"client {client} replied twice; the first reply counts")
        return self.indices[client]

    def _completed(self, client: int) -> None:
        self._heard.add(client)

    def _close(self) -> None:
        if self._closed:
            raise OutOfTurn("this protocol round has closed already")
        self._closed = True

    def _only(self, indices: Iterable[int]) -> dict[int, int]:
        """The identifiers behind some of the indices."""
        kept = set(indices)
        return {client: index for client, index in self.indices.items() if index in kept}
