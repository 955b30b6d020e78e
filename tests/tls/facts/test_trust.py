"""Whom a client trusts, whom a server trusts, and what each learns about the other."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from socket2 import TLS, client_context, server_context

from ..certificates import Authority
from ..ends import Steps
from .pairs import Contexts, connected, outcome, reason

NAMES = {
    "the name": (("www.example.org",), "www.example.org", True),
    "capitals": (("www.example.org",), "WWW.Example.ORG", True),
    "the second of two": (("a.example.org", "b.example.org"), "b.example.org", True),
    "another name": (("www.example.org",), "mail.example.org", False),
    "its parent": (("www.example.org",), "example.org", False),
    "its child": (("example.org",), "www.example.org", False),
    "a wildcard": (("*.example.org",), "www.example.org", True),
    "a wildcard is one label": (("*.example.org",), "a.b.example.org", False),
    "a wildcard is a whole label": (("*.example.org",), "example.org", False),
    "an address": (("127.0.0.1",), "127.0.0.1", True),
    "an IPv6 address": (("::1",), "::1", True),
    "another address": (("127.0.0.1",), "127.0.0.2", False),
    "an address is no name": (("www.example.org",), "127.0.0.1", False),
    "a name is no address": (("127.0.0.1",), "localhost", False),
    "beyond ASCII": (("xn--knig-5qa.example",), "könig.example", True),
    "beyond ASCII, encoded": (("xn--knig-5qa.example",), "xn--knig-5qa.example", True),
    "sharp s of IDNA 2008": (("xn--strae-oqa.example",), "straße.example", True),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_certificate_is_for_its_names_only(authority: Authority, case: str) -> None:
    """CPython test_match_hostname, test_check_hostname, test_check_hostname_idn.

    Trio test_server_hostname_is_idna_2008.
    """
    names, asked, good = NAMES[case]
    server = server_context(authority.issue(*names))
    ours, theirs = outcome((authority.client(), server), asked)
    assert (ours is None) == (theirs is None) == good
    if not good:
        assert isinstance(ours, ssl.SSLCertVerificationError)
        assert ours.verify_code in (62, 64)  # a name, or an address, that does not match
        assert "alert" in reason(theirs)


def test_the_common_name_is_no_name(tmp_path: Path, authority: Authority) -> None:
    """CPython test_hostname_checks_common_name."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made = ca.issue_cert("other.example.org", common_name="localhost")
    made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    ours, _ = outcome((client_context(ca=tmp_path / "ca.pem"), server_context(tmp_path / "cert.pem")))
    assert isinstance(ours, ssl.SSLCertVerificationError)


def test_a_client_that_checks_names_needs_one(authority: Authority) -> None:
    """CPython test_check_hostname, test_bad_server_hostname."""
    contexts = authority.client(), authority.server()
    with pytest.raises(ValueError, match="server_hostname"):
        outcome(contexts, None)
    contexts[0].check_hostname = False
    assert outcome(contexts, None) == (None, None)
    for bad in ("", ".example.org"):
        with pytest.raises((ValueError, OSError)):
            outcome((authority.client(), contexts[1]), bad)


def test_a_name_needs_verification() -> None:
    """CPython ContextTests.test_check_hostname, test_verify_mode_protocol."""
    context = client_context()
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(ValueError, match="check_hostname"):
        context.verify_mode = ssl.CERT_NONE


# Issuers.


def test_a_stranger_is_not_trusted_and_learns_why(contexts: Contexts, authority: Authority) -> None:
    """CPython test_connect_fail, test_connect_with_context_fail, test_ssl_cert_verify_error."""
    contexts[1].load_cert_chain(authority.issue("localhost", by_stranger=True))
    ours, theirs = outcome(contexts)
    assert isinstance(ours, ssl.SSLCertVerificationError)
    assert ours.verify_code == 20
    assert "unable to get local issuer certificate" in ours.verify_message
    assert "certificate verify failed" in str(ours)
    assert "unknown_ca" in reason(theirs)


def test_without_authorities_nobody_is_trusted(contexts: Contexts) -> None:
    """CPython SimpleBackgroundTests.test_connect_fail."""
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ours, _ = outcome((empty, contexts[1]))
    assert isinstance(ours, ssl.SSLCertVerificationError)


def test_a_client_may_trust_anybody_if_told_to(contexts: Contexts, authority: Authority) -> None:
    """CPython test_connect, test_connect_with_context: then the certificate is not parsed."""
    contexts[0].check_hostname = False
    contexts[0].verify_mode = ssl.CERT_NONE
    contexts[1].load_cert_chain(authority.issue("localhost", by_stranger=True))

    def test(client: TLS, server: TLS) -> Steps:
        assert client.peer_certificate == {}
        assert client.ssl_object.getpeercert(True)
        yield from ()

    connected(contexts, test)


def test_an_empty_directory_of_authorities_trusts_nobody(contexts: Contexts, tmp_path: Path) -> None:
    """CPython test_connect_capath, test_get_ca_certs_capath: it is read when it is needed."""
    context = client_context(ca=tmp_path)
    assert context.get_ca_certs() == []
    ours, _ = outcome((context, contexts[1]))
    assert isinstance(ours, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("form", ["pem", "der"])
def test_authorities_in_memory(contexts: Contexts, authority: Authority, form: str) -> None:
    """CPython test_connect_cadata, test_load_verify_cadata."""
    pem = authority.file.read_text()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pem if form == "pem" else ssl.PEM_cert_to_DER_cert(pem))
    assert outcome((context, contexts[1])) == (None, None)


def test_the_authorities_of_a_context_can_be_listed(authority: Authority) -> None:
    """CPython test_get_ca_certs, test_cert_store_stats."""
    context = authority.client()
    (only,) = context.get_ca_certs()
    assert only["issuer"] == only["subject"]
    assert context.cert_store_stats() == {"x509": 1, "x509_ca": 1, "crl": 0}


def test_intermediate_certificates_are_sent(contexts: Contexts, tmp_path: Path) -> None:
    """CPython test_internal_chain_client, test_internal_chain_server."""
    root = trustme.CA()
    root.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    middle = root.create_child_ca()
    made = middle.issue_cert("localhost")
    made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "chain.pem"))
    alone = tmp_path / "alone.pem"
    alone.write_bytes(made.private_key_pem.bytes() + made.cert_chain_pems[0].bytes())
    trusting = client_context(ca=tmp_path / "ca.pem")
    assert outcome((trusting, server_context(tmp_path / "chain.pem"))) == (None, None)
    ours, _ = outcome((trusting, server_context(alone)))
    assert isinstance(ours, ssl.SSLCertVerificationError)


def test_a_revocation_list_is_required_if_the_context_checks_it(contexts: Contexts) -> None:
    """CPython test_crl_check."""
    contexts[0].verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    ours, _ = outcome(contexts)
    assert isinstance(ours, ssl.SSLCertVerificationError)
    assert "unable to get certificate CRL" in ours.verify_message


@pytest.mark.parametrize("kind", ["RSA", "ECDSA"])
def test_keys_of_each_kind(contexts: Contexts, tmp_path: Path, kind: str) -> None:
    """CPython test_echo, test_ecc_cert."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    made = ca.issue_cert("localhost", key_type=trustme.KeyType[kind])
    made.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "cert.pem"))
    assert outcome((client_context(ca=tmp_path / "ca.pem"), server_context(tmp_path / "cert.pem"))) == (None, None)


@pytest.mark.parametrize("wanted", ["RSA", "ECDSA"])
def test_a_server_with_keys_of_two_kinds_shows_the_one_that_the_client_can_use(tmp_path: Path, wanted: str) -> None:
    """CPython test_dual_rsa_ecc."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    files = []
    for kind in ("RSA", "ECDSA"):
        made = ca.issue_cert("localhost", common_name=kind, key_type=trustme.KeyType[kind])
        files.append(tmp_path / f"{kind}.pem")
        made.private_key_and_cert_chain_pem.write_to_path(str(files[-1]))
    server = server_context(files[0])
    server.load_cert_chain(files[1])
    client = client_context(ca=tmp_path / "ca.pem")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(f"ECDHE-{wanted}-AES128-GCM-SHA256")

    def test(client: TLS, server: TLS) -> Steps:
        assert client.peer_certificate
        assert (("commonName", wanted),) in client.peer_certificate["subject"]
        yield from ()

    connected((client, server), test)


# Certificates of the peer.


def test_what_is_in_a_certificate(contexts: Contexts) -> None:
    """CPython test_getpeercert, test_parse_all_sans; trio test_getpeercert."""

    def test(client: TLS, server: TLS) -> Steps:
        found = client.peer_certificate
        assert found
        assert found["subjectAltName"] == (("DNS", "localhost"), ("IP Address", "127.0.0.1"))
        assert found["issuer"]
        assert ssl.cert_time_to_seconds(found["notBefore"]) < datetime.now(UTC).timestamp()
        assert ssl.cert_time_to_seconds(found["notAfter"]) > datetime.now(UTC).timestamp()
        assert server.peer_certificate is None
        yield from ()

    connected(contexts, test)


def client_certificates(contexts: Contexts, authority: Authority, mode: ssl.VerifyMode) -> None:
    contexts[1].verify_mode = mode
    contexts[1].load_verify_locations(authority.file)


def test_a_client_shows_its_certificate(contexts: Contexts, authority: Authority) -> None:
    """CPython test_internal_chain_server, test_getpeercert."""
    client_certificates(contexts, authority, ssl.CERT_REQUIRED)
    contexts[0].load_cert_chain(authority.issue("someone.example.org"))

    def test(client: TLS, server: TLS) -> Steps:
        assert server.peer_certificate
        assert ("DNS", "someone.example.org") in server.peer_certificate["subjectAltName"]
        yield from ()

    connected(contexts, test)


@pytest.mark.parametrize("who", ["nobody", "a stranger"])
def test_a_client_that_is_not_trusted_is_told(contexts: Contexts, authority: Authority, who: str) -> None:
    """CPython test_wrong_cert_tls12, test_wrong_cert_tls13: in TLS 1.3 after its own handshake."""
    client_certificates(contexts, authority, ssl.CERT_REQUIRED)
    if who == "a stranger":
        contexts[0].load_cert_chain(authority.issue("someone.example.org", by_stranger=True))
    ours, theirs = outcome(contexts)
    assert "alert" in reason(ours)
    assert reason(theirs) in ("peer_did_not_return_a_certificate", "certificate_verify_failed")


@pytest.mark.parametrize("who", ["nobody", "a friend"])
def test_a_client_may_have_no_certificate_if_it_is_optional(contexts: Contexts, authority: Authority, who: str) -> None:
    """CPython test_verify_mode_protocol, test_pha_optional."""
    client_certificates(contexts, authority, ssl.CERT_OPTIONAL)
    if who == "a friend":
        contexts[0].load_cert_chain(authority.issue("someone.example.org"))

    def test(client: TLS, server: TLS) -> Steps:
        assert bool(server.peer_certificate) == (who == "a friend")
        yield from ()

    connected(contexts, test)


def test_a_stranger_is_refused_even_if_a_certificate_is_optional(contexts: Contexts, authority: Authority) -> None:
    """CPython test_wrong_cert_tls12."""
    client_certificates(contexts, authority, ssl.CERT_OPTIONAL)
    contexts[0].load_cert_chain(authority.issue("someone.example.org", by_stranger=True))
    ours, theirs = outcome(contexts)
    assert "unknown_ca" in reason(ours)
    assert isinstance(theirs, ssl.SSLCertVerificationError)


# Files.


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\njunk\n-----END CERTIFICATE-----\n"])
def test_files_that_hold_no_certificate(tmp_path: Path, content: bytes) -> None:
    """CPython test_empty_cert, test_malformed_cert, test_malformed_key, test_load_verify_locations."""
    path = tmp_path / "bad.pem"
    path.write_bytes(content)
    with pytest.raises(ssl.SSLError):
        server_context(path)
    with pytest.raises(ssl.SSLError):
        client_context(ca=path)


def test_a_key_that_belongs_to_another_certificate(tmp_path: Path, authority: Authority) -> None:
    """CPython test_load_cert_chain."""
    with pytest.raises(ssl.SSLError, match="(?i)key.values.mismatch"):
        server_context(authority.issue("localhost"), authority.issue("other.example.org"))
    with pytest.raises(FileNotFoundError):
        server_context(authority.issue("localhost"), tmp_path / "nothing.pem")
