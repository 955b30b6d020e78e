"""What a context decides: certificates of clients, names of servers, new certificates, safe defaults."""

from __future__ import annotations

import shutil
import ssl
from contextlib import suppress
from pathlib import Path

import pytest

from socket2 import (
    TLS,
    TLSListener,
    client_context,
    connect,
    listen,
    newthread,
    run,
    server_context,
    stream,
)

from ..memory import memory_pair
from .certificates import Authority, versions
from .ends import Steps, limited
from .hosting import serve_one


@versions
def test_client_certificates(authority: Authority, version: str) -> None:
    mine = client_context(ca=authority.file, certificate=authority.issue("me"))
    strange = client_context(ca=authority.file, certificate=authority.issue("me", by_stranger=True))
    required = authority.server(version, client_ca=authority.file)
    optional = authority.server(version, client_ca=authority.file, client_certificate="optional")

    def attempt(server: ssl.SSLContext, client: ssl.SSLContext) -> Steps:
        with listen("127.0.0.1:0", tls=server) as listener:
            serving = newthread(serve_one, listener)
            try:
                with (yield from connect(*listener.getsockname(), tls=client)) as conn:
                    # In TLS 1.3 the server's verdict comes after the client's handshake.
                    assert (yield from stream(conn).recvall()) == b"data"
            except ssl.SSLError as error:
                with pytest.raises(ssl.SSLError):
                    yield from serving.join()
                return error.reason
            return (yield from serving.join()) is not None

    def main() -> Steps:
        assert (yield from attempt(required, mine)) is True
        assert (yield from attempt(optional, mine)) is True
        assert (yield from attempt(optional, authority.client())) is True
        assert "ALERT" in (yield from attempt(required, strange))
        assert "ALERT" in (yield from attempt(optional, strange))
        assert "ALERT" in (yield from attempt(required, authority.client()))

    run(main)


@versions
def test_the_authorities_for_clients_hold_for_every_name(authority: Authority, version: str) -> None:
    """OpenSSL asks the context that was chosen by name, which has none of its own."""
    by_name = server_context(authority.issue("a.example"))
    context = authority.server(version, client_ca=authority.file, names={"a.example": by_name})
    mine = client_context(ca=authority.file, certificate=authority.issue("me"))
    strange = client_context(ca=authority.file, certificate=authority.issue("me", by_stranger=True))

    def ask(listener: TLSListener, client: ssl.SSLContext) -> Steps:
        serving = newthread(serve_one, listener)
        try:
            with (yield from connect(*listener.getsockname(), tls=client, server_hostname="a.example")) as conn:
                assert (yield from stream(conn).recvall()) == b"data"
        finally:
            with suppress(ssl.SSLError):
                yield from serving.join()

    def main() -> Steps:
        for _ in range(2):
            with listen("127.0.0.1:0", tls=context) as listener:
                yield from ask(listener, mine)
                for client in strange, authority.client():
                    with pytest.raises(ssl.SSLError, match="ALERT"):
                        yield from ask(listener, client)
            context.reload()

    run(main)


def test_a_name_cannot_let_in_clients_of_other_authorities(authority: Authority) -> None:
    """They could resume their sessions under the other names."""
    other = server_context(authority.ours, client_ca=authority.stranger)
    with pytest.raises(ValueError, match=r"names\['a.example'\] trusts other authorities"):
        server_context(authority.ours, client_ca=authority.file, names={"a.example": other})


@versions
def test_contexts_by_name(authority: Authority, version: str) -> None:
    one = server_context(authority.issue("a.example"), alpn=["of a"])
    wild = server_context(authority.issue("*.b.example"))
    context = authority.server(version, names={"A.example": one, "*.b.example": wild}, alpn=["default"])
    client = authority.client(alpn=["of a", "default"])

    def ask(listener: TLSListener, name: str) -> Steps:
        serving = newthread(serve_one, listener)
        with (yield from connect(*listener.getsockname(), tls=client, server_hostname=name)) as conn:
            assert (yield from stream(conn).recvall()) == b"data"
            certificate = conn.peer_certificate
            assert certificate is not None
            names = [name for kind, name in certificate["subjectAltName"]]
        assert (yield from serving.join()).server_name == name
        return names[0], conn.alpn

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=context) as listener:
            assert (yield from ask(listener, "a.example")) == ("a.example", "of a")
            assert (yield from ask(listener, "x.b.example")) == ("*.b.example", None)
            assert (yield from ask(listener, "localhost")) == ("localhost", "default")
            serving = newthread(serve_one, listener)
            with pytest.raises(ssl.SSLCertVerificationError):
                yield from ask_for_strange_name(listener)
            with pytest.raises(ssl.SSLError):
                yield from serving.join()

    def ask_for_strange_name(listener: TLSListener) -> Steps:
        yield from connect(*listener.getsockname(), tls=client, server_hostname="b.example")

    run(main)


def test_a_certificate_is_loaded_again(authority: Authority, tmp_path: Path) -> None:
    """New connections get the new one, and existing ones go on. If the file is not usable, the old one stays."""
    path, other = tmp_path / "cert.pem", authority.issue("localhost", "127.0.0.1", "new.example")
    shutil.copy(authority.ours, path)
    context, client = server_context(path), authority.client()
    outer = server_context(authority.issue("outer.example"), names={"localhost": context})

    def names_of(conn: TLS) -> list[str]:
        assert conn.peer_certificate is not None
        return [name for _, name in conn.peer_certificate["subjectAltName"]]

    def ask(listener: TLSListener, name: str) -> Steps:
        serving = newthread(serve_one, listener)
        with (yield from connect(*listener.getsockname(), tls=client, server_hostname=name)) as conn:
            assert (yield from stream(conn).recvall()) == b"data"
        yield from serving.join()
        return names_of(conn)

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=context) as listener, listen("127.0.0.1:0", tls=outer) as by_name:
            connecting = newthread(connect(*listener.getsockname(), tls=client))
            with (yield from listener.accept()) as old_server:
                yield from old_server.handshake()
                with (yield from connecting.join()) as old:
                    shutil.copy(other, path)
                    assert "new.example" not in (yield from ask(listener, "localhost"))
                    context.reload()
                    for where in (listener, by_name):
                        assert "new.example" in (yield from ask(where, "localhost"))
                    path.write_text("junk")
                    with pytest.raises(ssl.SSLError):
                        context.reload()
                    path.unlink()
                    with pytest.raises(FileNotFoundError):
                        context.reload()
                    assert "new.example" in (yield from ask(listener, "localhost"))
                    yield from old.sendall(b"still there")
                    assert (yield from old_server.recv()) == b"still there"
                    assert "new.example" not in names_of(old)

    run(main)


def test_a_key_log(authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = [tmp_path / "client.log", tmp_path / "server.log", tmp_path / "environment.log"]

    def main(server: ssl.SSLContext, client: ssl.SSLContext) -> Steps:
        with listen("127.0.0.1:0", tls=server) as listener:
            serving = newthread(serve_one, listener)
            with (yield from connect(*listener.getsockname(), tls=client)) as conn:
                yield from stream(conn).recvall()
            yield from serving.join()

    run(main, authority.server(keylog=logs[1]), authority.client(keylog=logs[0]))
    monkeypatch.setenv("SSLKEYLOGFILE", str(logs[2]))
    run(main, authority.server(), authority.client())
    for log in logs:
        assert "CLIENT_TRAFFIC_SECRET_0" in log.read_text()


def test_defaults_are_safe(authority: Authority) -> None:
    for context in (client_context(), authority.server()):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.options & ssl.OP_NO_RENEGOTIATION
        assert context.options & ssl.OP_NO_COMPRESSION
    assert client_context().verify_mode == ssl.CERT_REQUIRED
    assert client_context().check_hostname


def test_an_encrypted_key_is_never_asked_for_on_the_terminal(authority: Authority, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    pem = authority.ours.read_bytes()
    key = serialization.load_pem_private_key(pem, None)
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    server_context(authority.ours, path, password="secret").reload()
    with pytest.raises((ssl.SSLError, ValueError)):
        server_context(authority.ours, path)


@versions
@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_changed_on_a_context_survives_a_reload(authority: Authority, version: str, when: str) -> None:
    """Above all that a client needs a certificate."""
    context = server_context(authority.ours)
    if when == "after":
        context.reload()
    context.load_verify_locations(authority.file)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion[version.replace(".", "_")]
    context.maximum_version = context.minimum_version
    context.set_alpn_protocols(["b"])
    if when == "before":
        context.reload()
    newest = context.newest
    assert newest is not context
    assert newest.verify_mode == ssl.CERT_REQUIRED
    assert newest.minimum_version == newest.maximum_version == context.minimum_version
    assert newest.get_ca_certs() == context.get_ca_certs() != []
    for certificate in None, authority.issue("me"):
        trusting = client_context(ca=authority.file, certificate=certificate, alpn=["a", "b"])

        def main(context: ssl.SSLContext = context, trusting: ssl.SSLContext = trusting) -> Steps:
            one, other = memory_pair()
            client = TLS(one, trusting, server_hostname="localhost")
            server = TLS(other, context, server_side=True)
            with client, server:
                shaking = newthread(client.handshake())
                try:
                    yield from server.handshake()
                finally:
                    with suppress(OSError):
                        yield from shaking.join()
                return server.version, server.alpn

        if certificate is None:
            with pytest.raises(ssl.SSLError, match="did not return a certificate"):
                limited(main)
        else:
            assert limited(main) == (version, "b")


def test_the_contexts_by_name_are_loaded_again(authority: Authority) -> None:
    by_name = server_context(authority.issue("a.example"))
    context = server_context(authority.ours, names={"a.example": by_name})
    context.reload()
    assert by_name.newest is not by_name


def test_names_that_would_have_no_effect_are_refused(authority: Authority) -> None:
    strict = server_context(authority.ours, client_ca=authority.file)
    with pytest.raises(ValueError, match=r"names\['a.example'\] requires a certificate of clients"):
        server_context(authority.ours, names={"a.example": strict})
    server_context(authority.ours, client_ca=authority.file, names={"a.example": strict})
    for pattern in "*", "a.*.example", "*.*.example":
        with pytest.raises(ValueError, match="matches no name"):
            server_context(authority.ours, names={pattern: server_context(authority.ours)})
    with pytest.raises(TypeError, match=r"names\['a.example'\] must be an ssl.SSLContext"):
        server_context(authority.ours, names={"a.example": "a.pem"})  # type: ignore[dict-item]
    with pytest.raises(TypeError):
        server_context(None)  # type: ignore[arg-type]
