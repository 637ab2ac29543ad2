"""What a machine finds when it looks at the SuperLink: name, port, TLS, health, clock, version.

Decides: the typed line for each thing that is wrong between here and there. Refuses to know kits, and it sends nothing
that would need a key.
"""

import email.utils
import http.client
import json
import socket
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.deployment.kit import joined
from arithmetic.errors import ConfigError, SetupError

CLOCK_TOLERANCE: Final = 60.0  # Flower refuses a node's signature from 305 s on
_PATIENCE: Final = 5.0


class NobodyAnswers(SetupError):
    """Nothing listens there now; it may come."""


@dataclass(frozen=True)
class Found:
    """A SuperLink that answered.

    Attributes:
        version: of its Flower; empty where it does not say.
        ahead: seconds by which its clock is ahead of ours, to about a second; None where it does not say.
    """

    version: str
    ahead: float | None


def resolve(host: str) -> list[str]:
    """The addresses of a host.

    Raises:
        SetupError: it has none.
    """
    try:
        return sorted(
            {str(entry[4][0]) for entry in socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)}
        )
    except OSError:
        raise SetupError(
            f"the name {host} has no address here; mend DNS or the server's name in the kit's settings"
        ) from None


def connect(host: str, port: int) -> None:
    """Whether something listens.

    Raises:
        NobodyAnswers: nothing does, or a firewall is in between.
    """
    try:
        socket.create_connection((host, port), _PATIENCE).close()
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or "no answer"
        raise NobodyAnswers(
            f"nobody answers at {joined(host, port)} ({why}); start scripts/superlink there, or open the port"
        ) from None


def look(host: str, port: int, ca: Path) -> Found:
    """Look at a SuperLink through TLS.

    Args:
        host: as nodes write it; the certificate must name it.
        port: 1..65535.
        ca: the federation's certificate authority.

    Raises:
        NobodyAnswers: nothing listens.
        SetupError: wrong CA, expired, wrong name, or something else than a SuperLink.
    """
    connect(host, port)
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError):
        raise ConfigError(f"{ca} is no certificate in PEM; take it from the kit anew") from None
    connection = http.client.HTTPSConnection(host, port, timeout=_PATIENCE, context=context)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        date = answer.getheader("date")
        if answer.status != http.client.OK:
            raise SetupError(
                f"{joined(host, port)} answers, but is no SuperLink; mend the address in the kit"
            )
        ahead = None if date is None else email.utils.parsedate_to_datetime(date).timestamp() - time.time()
        return Found(_version(connection), ahead)
    except ssl.SSLCertVerificationError as error:
        raise SetupError(_certificate_line(error, host, ca)) from None
    except (ssl.SSLError, http.client.HTTPException, ValueError):
        raise SetupError(
            f"{joined(host, port)} speaks no TLS that this machine understands; see that it is the SuperLink's port"
        ) from None
    except OSError as error:
        raise NobodyAnswers(f"{joined(host, port)} broke off ({error}); look at the server's log") from None
    finally:
        connection.close()


def check_free(host: str, port: int) -> None:
    """Whether a server could listen here now.

    Raises:
        SetupError: the port is busy, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise SetupError(
                f"the SuperLink cannot listen on {joined(host, port)} ({error.strerror}); end what listens there, or "
                "choose another port with --port and in the nodes' node.env"
            ) from None


def _version(connection: http.client.HTTPSConnection) -> str:
    """Flower's version, from the description that the SuperLink gives of itself."""
    connection.request("GET", "/openapi.json")
    answer = connection.getresponse()
    body = answer.read(8 << 20)
    if answer.status != http.client.OK:
        return ""
    table = json.loads(body)
    version = table.get("info", {}).get("version") if isinstance(table, dict) else None
    return version if isinstance(version, str) and len(version) < 40 else ""


def _certificate_line(error: ssl.SSLCertVerificationError, host: str, ca: Path) -> str:
    said = error.verify_message.lower()
    if "expired" in said:
        return (
            "the server's certificate has expired; renew it on the authority's machine with scripts/provision --renew, "
            "or set this machine's clock"
        )
    if "not yet valid" in said:
        return "the server's certificate is not valid yet; set this machine's clock"
    if "mismatch" in said or "not valid for" in said:
        return f"the server's certificate is not for the name {host}; use one that --server named"
    return (
        f"the server's certificate was not issued by the CA in {ca}; take ca.crt from this federation's kit"
    )
