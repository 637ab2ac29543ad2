"""Who is who: mutual TLS 1.3, and the party that a certificate names.

Decides: that every link is TLS 1.3 with certificates of one authority on both sides, and that a certificate names a
party, not a machine: a server may move, and no other certificate of the authority can stand in for it. Refuses to
know: how certificates are made.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from arithmetic.errors import SetupError
from predictions.errors import LinkFailed

HELPER, FIRST, SECOND, OWNER = "helper", "online-1", "online-2", "owner"
SERVERS: Final = (HELPER, FIRST, SECOND)
CLIENT: Final = "client/"
# In the subject's alternative names, as a URI.
SCHEME: Final = "chorus-predictions:"


@dataclass(frozen=True)
class Credentials:
    """Files of one party, PEM.

    Args:
        authority: certificate of whoever issued all of them.
        certificate: its own; `key`: its private key.
    """

    authority: Path
    certificate: Path
    key: Path

    @cached_property
    def connecting(self) -> ssl.SSLContext:
        """For links that this party opens."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    @cached_property
    def listening(self) -> ssl.SSLContext:
        """For links that others open."""
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0  # no resumption: every link has keys of its own
        return context

    def _context(self, side: int) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the party is checked instead (`party_of`)
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(self.authority)
            context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            raise SetupError(
                f"the certificates beside {self.certificate} cannot be used ({error.strerror or error}); "
                "take the kit anew"
            ) from None
        return context


def party_of(certificate: Mapping[str, Any] | None) -> str:
    """The party that a checked certificate names.

    Args:
        certificate: as `SSLSocket.getpeercert` gives it.

    Raises:
        LinkFailed: it names none.
    """
    names = (certificate or {}).get("subjectAltName", ())
    found: list[str] = [
        value[len(SCHEME) :] for kind, value in names if kind == "URI" and value.startswith(SCHEME)
    ]
    if len(found) != 1 or not found[0]:
        raise LinkFailed("a certificate names no party of private predictions; use the kit made for it")
    return found[0]
