"""A server's door: takes links from other parties, a thread each.

Decides: how many may be open at once, in all and for one party, and that nobody holds up the door: handshakes run in
the link's own thread. Refuses to know: what parties may ask.
"""

import socket
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from arithmetic.errors import ChorusError, SetupError
from predictions.credentials import Credentials
from predictions.errors import QueryRefused
from predictions.link import Address, Link

_MOST_LINKS: Final = 256
_MOST_OF_ONE: Final = 32


class Listener:
    """Listens from the moment it is made.

    Args:
        address: where; port 0 takes a free one.
        credentials: of this server.
        patience: seconds that links wait for their peer.
        attend: is given each link in a thread of its own; the link ends when it returns.

    Raises:
        SetupError: the address cannot be used.
    """

    def __init__(
        self, address: Address, credentials: Credentials, patience: float, attend: Callable[[Link], None]
    ) -> None:
        self._credentials, self._patience, self._attend = credentials, patience, attend
        self._links: set[Link] = set()
        self._knocking = 0
        self._lock = threading.Lock()
        _ = credentials.listening  # files that cannot be used are found before anybody comes
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        try:
            self._socket = socket.create_server((address.host, address.port), family=family)
        except OSError as error:
            raise SetupError(
                f"{address.host}:{address.port} cannot be listened on ({error.strerror}); name a free port"
            ) from None
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._take, daemon=True).start()

    def close(self) -> None:
        """Take no more links and end those there are."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._lock:
            links = list(self._links)
        for link in links:
            link.close()

    def end_links(self, *parties: str) -> None:
        """End the links of some parties."""
        with self._lock:
            links = [link for link in self._links if link.peer in parties]
        for link in links:
            link.close()

    def _take(self) -> None:
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                if self._socket.fileno() < 0:
                    return
                continue
            with self._lock:
                full = len(self._links) + self._knocking >= _MOST_LINKS
                self._knocking += not full
            if full:
                raw.close()
            else:
                threading.Thread(target=self._serve, args=(raw,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        link: Link | None = None
        try:
            link = Link.accept(raw, self._credentials, self._patience)
        except ChorusError:  # a stranger, or one that went away; it has no right to a line in the log
            return
        finally:
            with self._lock:
                self._knocking -= 1
                if link is not None:
                    self._links.add(link)
                    of_one = Counter(one.peer for one in self._links)[link.peer]
        try:
            with link:
                if of_one > _MOST_OF_ONE:
                    link.fail(QueryRefused(f"{_MOST_OF_ONE} links are open; use them, or end one"))
                else:
                    self._attend(link)
        finally:
            with self._lock:
                self._links.discard(link)
