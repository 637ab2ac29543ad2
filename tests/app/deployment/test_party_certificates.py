"""Certificates of parties of private predictions: for both ends of a link, and for a party, not a machine."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from app.deployment import certificates

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_partys_certificate_names_it_and_serves_both_ends() -> None:
    ca = certificates.make_ca("here", NOW)
    pair = certificates.make_party_certificate(ca, "chorus-predictions:owner", NOW, 5)
    found = x509.load_pem_x509_certificate(pair.public)
    found.verify_directly_issued_by(x509.load_pem_x509_certificate(ca.public))
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["chorus-predictions:owner"]
    uses = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(uses) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert (found.not_valid_after_utc - NOW).days == 5


def test_a_superlinks_certificate_is_no_clients() -> None:
    pair = certificates.make_server_certificate(certificates.make_ca("here", NOW), ["fl.example.org"], NOW, 5)
    found = x509.load_pem_x509_certificate(pair.public)
    uses = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(uses) == [ExtendedKeyUsageOID.SERVER_AUTH]
