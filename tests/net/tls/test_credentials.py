"""Options of contexts: forms of certificates and keys, versions, ciphers, and what Python's ssl module lacks."""

from __future__ import annotations

import gc
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from socket2.net import tls
from socket2.net.tls import SecureContext
from socket2.net.tls.credentials import context_of, protocols_of
from socket2.net.tls.verdict import what_is_wrong

from ...tls.certificates import Authority
from ..scene import all_of, ended, failed, ignore, run, started
from .secure_scene import client_of, pair, server_of


def texts(authority: Authority) -> tuple[str, str]:
    """Return a key and a certificate."""
    key, _, cert = authority.ours.read_text().partition("-----BEGIN CERTIFICATE-----")
    return key, "-----BEGIN CERTIFICATE-----" + cert


def encrypted(key: str) -> bytes:
    whole = serialization.load_pem_private_key(key.encode(), None)
    rule = serialization.BestAvailableEncryption(b"secret")
    return whole.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, rule)


def test_a_name_that_is_no_text() -> None:
    with pytest.raises(TypeError, match="hostname must be a str, not 5"):
        tls.createServer().addContext(5, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["text", "bytes", "buffer", "path", "list", "passphrase", "pem", "context"])
def test_forms(authority: Authority, form: str) -> None:
    key, cert = texts(authority)
    forms: dict[str, Any] = {
        "text": {"key": key, "cert": cert},
        "bytes": {"key": key.encode(), "cert": cert.encode()},
        "buffer": {"key": bytearray(key.encode()), "cert": memoryview(cert.encode())},
        "path": {"key": authority.ours, "cert": authority.ours},
        "list": {"key": [key], "cert": [cert], "ca": [authority.file, authority.file.read_bytes()]},
        "passphrase": {"key": encrypted(key), "cert": cert, "passphrase": "secret"},
        "pem": {"key": [{"pem": encrypted(key), "passphrase": "secret"}], "cert": [cert]},
        "context": {"secureContext": tls.createSecureContext(key=key, cert=cert)},
    }

    async def main() -> None:
        client, conn = await pair(authority, {"cert": None, **forms[form]})
        assert client.authorized
        client.destroy()
        conn.destroy()

    run(main)


def test_two_certificates_of_different_kinds(authority: Authority) -> None:
    ca = trustme.CA()
    kinds = {"ECDSA": trustme.KeyType.ECDSA, "RSA": trustme.KeyType.RSA}
    issued = {name: ca.issue_cert("localhost", key_type=kind) for name, kind in kinds.items()}
    keys = [one.private_key_pem.bytes() for one in issued.values()]
    certs = [one.cert_chain_pems[0].bytes() for one in issued.values()]

    async def main() -> None:
        for name in kinds:
            rules = {"ciphers": f"ECDHE-{name}-AES128-GCM-SHA256", "maxVersion": "TLSv1.2", "rejectUnauthorized": False}
            client, conn = await pair(authority, {"cert": certs, "key": keys}, ca=ca.cert_pem.bytes(), **rules)
            assert client.authorized, name  # either kind is verified, though it need not be
            assert (client.getCipher() or {})["name"] == f"ECDHE-{name}-AES128-GCM-SHA256"
            client.destroy()
            conn.destroy()

    run(main)


def test_wrong_certificates_and_keys(authority: Authority, tmp_path: Path) -> None:
    key, cert = texts(authority)
    (tmp_path / "empty.pem").touch()
    for wrong in ({"key": key, "cert": "x"}, {"key": "x", "cert": cert}, {"cert": tmp_path / "empty.pem"}):
        with pytest.raises(ssl.SSLError):
            tls.createServer(wrong)
    with pytest.raises(ssl.SSLError):
        tls.createServer(key=encrypted(key), cert=cert)  # without asking for its passphrase
    with pytest.raises(ssl.SSLError):
        tls.createServer(key=texts(authority)[0], cert=authority.issue("another").read_bytes())
    with pytest.raises(OSError, match=r"No such file.*nothing\.pem"):
        tls.createServer(cert=tmp_path / "nothing.pem")
    another = authority.issue("another").read_bytes()
    for options, reason in (
        ({"key": key, "cert": "x"}, "the option cert: it contains no certificate in PEM"),
        ({"key": "x", "cert": cert}, "the option key: it contains no private key in PEM"),
        ({"key": encrypted(key), "cert": cert}, "the option key: the password of the private key is wrong or missing"),
        ({"key": key, "cert": another}, "the option key: it does not fit the certificate in the option cert: KEY_"),
        ({"cert": tmp_path / "empty.pem"}, r"empty\.pem: it contains no certificate in PEM"),
    ):
        with pytest.raises(ssl.SSLError, match=reason):
            tls.createServer(options)
    with pytest.raises(TypeError, match="must be PEM"):
        tls.createServer(cert=1)
    with pytest.raises(ValueError, match="one certificate for each key"):
        tls.createServer(cert=[cert], key=[key, key])


@pytest.mark.parametrize(
    "option", ["pfx", "crl", "dhparam", "sigalgs", "sessionTimeout", "ticketKeys", "ALPNCallback", "requestOCSP"]
)
def test_what_the_ssl_module_lacks(option: str) -> None:
    with pytest.raises(NotImplementedError, match="Python's ssl module cannot"):
        tls.createSecureContext({option: b"x"})
    with pytest.raises(NotImplementedError, match="Python's ssl module cannot"):
        tls.connect(1, {option: b"x"})


def test_methods_that_the_ssl_module_lacks(authority: Authority) -> None:
    server = server_of(authority)
    for call in (server.getTicketKeys, lambda: server.setTicketKeys(b""), tls.TLSSocket().getTLSTicket):
        with pytest.raises(NotImplementedError, match="Python's ssl module cannot"):
            call()


def test_unknown_options(authority: Authority) -> None:
    for call in (tls.createServer, tls.createSecureContext, tls.connect, lambda given: tls.TLSSocket(None, given)):
        with pytest.raises(TypeError, match="unknown option nonsense"):
            call({"nonsense": 1})
    with pytest.raises(TypeError, match="SNICallback must be a function"):
        server_of(authority, SNICallback=1)
    with pytest.raises(TypeError, match="handshakeTimeout must be a number"):
        server_of(authority, handshakeTimeout="1")
    with pytest.raises(TypeError, match="ALPNProtocols must be a list"):
        server_of(authority, ALPNProtocols="h2")


def test_ciphers() -> None:
    all_suites = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"
    context = tls.createSecureContext(ciphers=f"{all_suites}:ECDHE-RSA-AES128-GCM-SHA256").for_client()
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.createSecureContext(ciphers=all_suites).for_client().minimum_version == ssl.TLSVersion.TLSv1_3
    with pytest.raises(NotImplementedError, match=r"choose among the ciphers of TLS 1\.3"):
        tls.createSecureContext(ciphers="TLS_AES_128_GCM_SHA256")
    with pytest.raises(ssl.SSLError):
        tls.createSecureContext(ciphers="NONSENSE")


def test_protocols_in_bytes() -> None:
    assert protocols_of(b"\x02h2\x08http/1.1") == protocols_of(["h2", b"http/1.1"]) == ("h2", "http/1.1")


def test_equal_options_have_one_context(authority: Authority) -> None:
    pem = authority.file.read_bytes()
    one = context_of({"ca": pem, "port": 1})
    assert one is context_of({"ca": bytes(bytearray(pem)), "port": 2})
    assert one is not context_of({"ca": pem, "minVersion": "TLSv1.3"})
    assert context_of({"ca": authority.file}) is not context_of({"ca": authority.file})  # the file may change
    assert one.for_client() is one.for_client(())


def test_a_verdict_is_only_good_if_all_was_read(authority: Authority) -> None:
    """No certificate at all, and one that is cut off, are as bad as one that is not trusted."""
    rules = SecureContext({"ca": authority.file}).for_trial(True)
    own = ssl.PEM_cert_to_DER_cert(texts(authority)[1])
    assert what_is_wrong(rules, [own], "localhost") is None
    for chain in ([], [b""], [own[:-1]], [b"nonsense"], [own + b"x"]):
        assert what_is_wrong(rules, chain, "localhost") is not None
    assert what_is_wrong(rules, [own], "another") is not None


def test_a_key_log(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))

    async def main() -> None:
        async with server_of(authority, lambda conn: conn.end("hello") and None) as server:
            client = client_of(authority, await started(server))
            assert await all_of(client) == b"hello"
            await ended(client)

    run(main)
    gc.collect()  # the contexts have the file open
    assert "CLIENT_TRAFFIC_SECRET_0" in (tmp_path / "keys").read_text()


def test_a_function_that_raises_is_a_refusal(authority: Authority) -> None:
    def check(host: str, cert: dict[str, Any]) -> None:
        raise LookupError(host)

    async def main() -> None:
        async with server_of(authority, lambda conn: conn.on("error", ignore) and None) as server:
            client = client_of(authority, await started(server), checkServerIdentity=check)
            assert isinstance(await failed(client.wait("secureConnect")), LookupError)
            await ended(client)

    run(main)


def test_a_certificate_with_all_its_details(authority: Authority) -> None:
    async def main() -> None:
        client, conn = await pair(authority)
        cert = client.getPeerCertificate(True) or {}
        assert cert["subject"]["O"].startswith("trustme")
        assert cert["issuer"]["OU"].startswith("Testing CA")
        assert cert["raw"] == ssl.PEM_cert_to_DER_cert(texts(authority)[1])
        assert len(cert["fingerprint256"].split(":")) == 32
        client.destroy()
        conn.destroy()

    run(main)
