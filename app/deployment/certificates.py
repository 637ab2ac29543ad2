"""X.509 and SSH: what TLS and Flower's node authentication need, and nothing of the protocol.

Decides: curves, extensions and lifetimes of the certificates, the format of a SuperNode's authentication key, and what
a certificate that cannot serve is told.
Refuses to know: identities, rosters and every other key of the protocol (`secagg.primitives`), and where files lie.

This is the one module outside `secagg.primitives` that may import a crypto library (docs/decisions/0014-deployment.md).
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from arithmetic.errors import ConfigError, SetupError

CA_DAYS: Final = 3650
# What reaches the server without leaving its machine: loopback, and the name that the compose file gives it.
LOCAL_NAMES: Final = ("localhost", "superlink", "127.0.0.1", "::1")
_SKEW: Final = timedelta(
    hours=1
)  # a node whose clock is a little behind must not find tomorrow's certificate
_Name = x509.DNSName | x509.IPAddress


@dataclass(frozen=True)
class Pair:
    """A private key and its public half or certificate, both as the bytes of a file; the key hides in `repr`."""

    private: bytes
    public: bytes

    def __repr__(self) -> str:
        return "Pair(<secret>)"


def make_ca(federation: str, now: datetime) -> Pair:
    """A certificate authority of its own: key (PKCS #8) and certificate, ECDSA P-256, for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _common_name(f"{federation} CA")
    builder = _builder(name, name, key.public_key(), now, CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return Pair(_pem(key), builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def make_server_certificate(ca: Pair, hosts: Sequence[str], now: datetime, days: int) -> Pair:
    """Key and certificate of the server, good for `hosts` (DNS names or addresses) and for this machine's own names.

    Args:
        ca: of the federation.
        hosts: as nodes will write them; at least one.
        now: from when, less an hour.
        days: until when, 1..3650.

    Raises:
        ConfigError: a host is neither, or the authority's files are none.
    """
    names = [_subject(host) for host in dict.fromkeys([*hosts, *LOCAL_NAMES])]
    return _issued(ca, "Chorus SuperLink", names, [ExtendedKeyUsageOID.SERVER_AUTH], now, days)


def make_party_certificate(ca: Pair, uri: str, now: datetime, days: int) -> Pair:
    """Key and certificate of a party of private predictions, which is known by `uri` wherever it runs.

    Args:
        ca: of the federation, or one made for loopback.
        uri: `predictions.credentials.SCHEME` and the party.
        now: from when, less an hour.
        days: until when, 1..3650.

    Raises:
        ConfigError: the authority's files are none.
    """
    both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return _issued(ca, "Chorus predictions", [x509.UniformResourceIdentifier(uri)], both, now, days)


def _issued(
    ca: Pair,
    common_name: str,
    names: Sequence[x509.GeneralName],
    uses: Sequence[x509.ObjectIdentifier],
    now: datetime,
    days: int,
) -> Pair:
    authority, issuer = _private_key(ca.private), _certificate(ca.public)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_common_name(common_name), issuer.subject, key.public_key(), now, days)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    builder = builder.add_extension(_usage(signs_certificates=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    of_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    builder = builder.add_extension(of_issuer, critical=False)
    return Pair(_pem(key), builder.sign(authority, hashes.SHA256()).public_bytes(Encoding.PEM))


def make_node_key() -> Pair:
    """A SuperNode's authentication key, ECDSA P-384, in the OpenSSH formats that Flower reads."""
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return Pair(private, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b"\n")


def public_of_node_key(private: bytes) -> bytes:
    """The public half of a SuperNode's authentication key, as `check_node_public` gives it.

    Raises:
        ConfigError: no such key.
    """
    try:
        key = load_ssh_private_key(private, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(
            "node.key is no ECDSA key of OpenSSH without a passphrase; take it from the node's kit"
        )
    return _spki(key.public_key())


def check_node_public(line: bytes) -> bytes:
    """What Flower's API takes: the key of an OpenSSH public line as PEM.

    Raises:
        ConfigError: no such line, or not of P-384.
    """
    try:
        key = load_ssh_public_key(line)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise ConfigError(
            "this is no public key of a SuperNode (ECDSA P-384, OpenSSH); ask its node for node.pub"
        )
    return _spki(key)


def check_server(certificate: bytes, private: bytes, ca: bytes, now: datetime) -> datetime:
    """Whether a server can serve with these files; returns when the certificate ends.

    Raises:
        SetupError: expired, not yet valid, another authority's, or the key is not the certificate's.
        ConfigError: a file is not what its name says.
    """
    found, issuer, key = _certificate(certificate), _certificate(ca), _private_key(private)
    if found.public_key() != key.public_key():
        raise SetupError("server.key is not the key of server.crt; take both from one kit")
    try:
        found.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        raise SetupError("server.crt was not issued by the CA in ca.crt; take both from one kit") from None
    for name, one in (("ca.crt", issuer), ("server.crt", found)):
        if now < one.not_valid_before_utc:
            raise SetupError(
                f"{name} is valid from {_day(one.not_valid_before_utc)} on; set this machine's clock"
            )
        if now >= one.not_valid_after_utc:
            raise SetupError(
                f"{name} expired on {_day(one.not_valid_after_utc)}; make a new one with scripts/provision --renew"
            )
    return found.not_valid_after_utc


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates, crl_sign=signs_certificates,
        content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])


def _subject(host: str) -> _Name:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    labels = host.split(".")
    if len(host) > 253 or not all(0 < len(one) <= 63 and _is_label(one) for one in labels):
        raise ConfigError(
            f"{host[:80]!r} is no host name and no address; write for example fl.example.org or 10.0.0.7"
        )
    return x509.DNSName(host)


def _is_label(text: str) -> bool:
    return text.isascii() and text.replace("-", "a").isalnum() and text[0] != "-" and text[-1] != "-"


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise ConfigError(
            "a certificate of the kit is no certificate in PEM; take it from the kit anew"
        ) from None


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(
            "a private key of the kit is no ECDSA key in PEM without a passphrase; take it anew"
        )
    return key


def _day(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d}"
