"""Certificates of clients that a server asks for after the handshake (TLS 1.3), and key logs."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from socket2 import TLS

from ..certificates import Authority
from ..ends import Steps
from .pairs import Contexts, attempt, connected, reason

FRIEND, STRANGER, NOBODY = "friend", "stranger", "nobody"


def willing(authority: Authority, who: str, mode: ssl.VerifyMode, version: str = "TLSv1.3") -> Contexts:
    """Return contexts for a client that can show a certificate later, if it has any."""
    client, server = authority.client(version), authority.server(version)
    if who != NOBODY:
        client.load_cert_chain(authority.issue("someone.example.org", by_stranger=who == STRANGER))
    client.post_handshake_auth = server.post_handshake_auth = True
    server.verify_mode = mode
    server.load_verify_locations(authority.file)
    return client, server


@pytest.mark.parametrize("mode", [ssl.CERT_REQUIRED, ssl.CERT_OPTIONAL])
def test_a_client_shows_its_certificate_when_it_is_asked(authority: Authority, mode: ssl.VerifyMode) -> None:
    """CPython test_pha_required, test_pha_optional."""

    def test(client: TLS, server: TLS) -> Steps:
        assert server.peer_certificate is None
        server.ssl_object.verify_client_post_handshake()
        yield from server.sendall(b"who are you?")
        assert (yield from client.recv()) == b"who are you?"
        yield from client.sendall(b"see my certificate")
        assert (yield from server.recv()) == b"see my certificate"
        assert server.peer_certificate
        assert ("DNS", "someone.example.org") in server.peer_certificate["subjectAltName"]

    connected(willing(authority, FRIEND, mode), test)


@pytest.mark.parametrize("who", [NOBODY, STRANGER])
def test_a_client_without_a_good_one_is_cut_off(authority: Authority, who: str) -> None:
    """CPython test_pha_required_nocert."""

    def test(client: TLS, server: TLS) -> Steps:
        server.ssl_object.verify_client_post_handshake()
        yield from server.sendall(b"who are you?")
        assert (yield from client.recv()) == b"who are you?"
        yield from client.sendall(b"see my certificate")
        theirs = yield from attempt(server.recv())
        assert reason(theirs) in ("peer_did_not_return_a_certificate", "certificate_verify_failed")
        ours = yield from attempt(client.recv())
        assert "alert" in reason(ours)

    connected(willing(authority, who, ssl.CERT_REQUIRED), test)


def test_a_client_without_one_may_stay_if_it_is_optional(authority: Authority) -> None:
    """CPython test_pha_optional_nocert."""

    def test(client: TLS, server: TLS) -> Steps:
        server.ssl_object.verify_client_post_handshake()
        yield from server.sendall(b"who are you?")
        assert (yield from client.recv()) == b"who are you?"
        yield from client.sendall(b"nobody")
        assert (yield from server.recv()) == b"nobody"
        assert server.peer_certificate is None

    connected(willing(authority, NOBODY, ssl.CERT_OPTIONAL), test)


def test_a_client_that_did_not_offer_it_is_not_asked(authority: Authority) -> None:
    """CPython test_pha_no_pha_client."""
    contexts = willing(authority, FRIEND, ssl.CERT_REQUIRED)
    contexts[0].post_handshake_auth = False

    def test(client: TLS, server: TLS) -> Steps:
        with pytest.raises(ssl.SSLError, match="(?i)extension not received"):
            server.ssl_object.verify_client_post_handshake()
        yield from ()

    contexts[1].verify_mode = ssl.CERT_OPTIONAL
    connected(contexts, test)


def test_a_server_that_does_not_ask_later_asks_at_once(authority: Authority) -> None:
    """CPython test_pha_no_pha_server."""
    contexts = willing(authority, FRIEND, ssl.CERT_REQUIRED)
    contexts[1].post_handshake_auth = False

    def test(client: TLS, server: TLS) -> Steps:
        assert server.peer_certificate
        yield from ()

    connected(contexts, test)


def test_an_old_version_cannot_ask_later(authority: Authority) -> None:
    """CPython test_pha_not_tls13."""

    def test(client: TLS, server: TLS) -> Steps:
        with pytest.raises(ssl.SSLError, match="(?i)wrong ssl version"):
            server.ssl_object.verify_client_post_handshake()
        yield from ()

    connected(willing(authority, FRIEND, ssl.CERT_REQUIRED, "TLSv1.2"), test)


def test_only_a_server_asks(authority: Authority) -> None:
    """CPython test_pha_setter, test_pha_required."""

    def test(client: TLS, server: TLS) -> Steps:
        with pytest.raises(ssl.SSLError, match="(?i)not server"):
            client.ssl_object.verify_client_post_handshake()
        yield from ()

    connected(willing(authority, FRIEND, ssl.CERT_REQUIRED), test)


# Key logs.


def no_test(client: TLS, server: TLS) -> Steps:
    yield from ()


@pytest.mark.parametrize(("version", "secrets"), [("TLSv1.2", 1), ("TLSv1.3", 5)])
def test_the_secrets_of_both_sides_are_in_the_log(
    authority: Authority, tmp_path: Path, version: str, secrets: int
) -> None:
    """CPython test_keylog_filename: one file may be the log of many."""
    log = tmp_path / "keys"
    contexts = authority.client(version, keylog=log), authority.server(version, keylog=log)
    connected(contexts, no_test)
    lines = [line for line in log.read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == 2 * secrets
    assert len(set(lines)) == secrets


def test_the_environment_names_the_log(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CPython test_keylog_env, test_keylog_defaults."""
    assert authority.client().keylog_filename is None
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    for context in (authority.client(), authority.server()):
        assert context.keylog_filename == str(tmp_path / "keys")
    monkeypatch.setenv("SSLKEYLOGFILE", "")
    assert authority.client().keylog_filename is None


def test_a_log_that_cannot_be_written_is_an_error(authority: Authority, tmp_path: Path) -> None:
    """CPython test_keylog_defaults."""
    with pytest.raises(OSError, match="(?i)directory"):
        authority.client(keylog=tmp_path)
