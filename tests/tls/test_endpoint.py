"""connect(), listen() and starttls(), and what a context decides."""

from __future__ import annotations

import shutil
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest

from socket2 import (
    TCP,
    TLS,
    Stream,
    TLSListener,
    addr,
    bytes_sent,
    client_context,
    connect,
    listen,
    newthread,
    run,
    server_context,
    starttls,
    stream,
    timeout,
)
from socket2.tls.contexts import default_client_context

from .certificates import VERSIONS, Authority
from .ends import Steps, ends

versions = pytest.mark.parametrize("version", VERSIONS)


def serve_one(listener: TLSListener, data: bytes = b"data") -> Steps:
    with (yield from listener.accept()) as conn:
        yield from conn.sendall(data)
        yield from conn.finish()
        return conn


@versions
def test_connect_and_listen(any_poller: None, authority: Authority, version: str) -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server(version)) as listener:
            serving = newthread(serve_one, listener)
            with (yield from connect(*listener.getsockname(), tls=authority.client())) as conn:
                assert isinstance(conn, TLS)
                assert conn.version == version
                assert conn.sock.getopt("nodelay")
                assert (yield from stream(conn).recvall()) == b"data"
            yield from serving.join()

    run(main)


def test_a_unix_path(authority: Authority, tmp_path: Path) -> None:
    def main() -> Steps:
        path = tmp_path / "s"
        with listen(path, tls=authority.server()) as listener:
            assert listener.local_address == str(path)
            assert listener.fileno() >= 0
            assert "TLSListener" in repr(listener)
            serving = newthread(serve_one, listener)
            with (yield from connect(path, tls=authority.client(), server_hostname="localhost")) as conn:
                assert (yield from stream(conn).recvall()) == b"data"
            yield from serving.join()
            listener.settimeout(0)
            with pytest.raises(TimeoutError):
                yield from listener.accept()
            with pytest.raises(ValueError, match="server_hostname"):
                yield from connect(path, tls=authority.client())
            (yield from listener.sock.accept()).close()
        assert listener.closed

    run(main)


def test_the_name_is_that_of_the_place(authority: Authority) -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server()) as listener:
            port = listener.getsockname()[1]
            literal = yield from addr("127.0.0.1", port)
            for where in (
                f"127.0.0.1:{port}",
                f"localhost:{port}",
                f":{port}",
                literal,
                literal[0],
                b"127.0.0.1:%d" % port,
            ):
                serving = newthread(serve_one, listener)
                with (yield from connect(where, tls=authority.client())) as conn:
                    assert conn.server_name in ("127.0.0.1", "localhost")
                yield from serving.join()

    run(main)


def test_a_name_or_an_issuer_that_is_not_trusted(any_poller: None, authority: Authority) -> None:
    def main() -> Steps:
        stranger = server_context(authority.issue("localhost", by_stranger=True))
        for context, name in ((authority.server(), "example.org"), (stranger, "localhost")):
            with listen("127.0.0.1:0", tls=context) as listener:
                serving = newthread(serve_one, listener)
                with pytest.raises(ssl.SSLCertVerificationError):
                    yield from connect(*listener.getsockname(), tls=authority.client(), server_hostname=name)
                with pytest.raises(ssl.SSLError, match="(?i)alert"):
                    yield from serving.join()

    run(main)


def test_arguments(authority: Authority) -> None:
    bad: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"tls": "yes"}, TypeError),
        ({"tls": authority.client(), "alpn": ["h2"]}, ValueError),
        ({"tls": True, "alpn": "h2"}, TypeError),
        ({"server_hostname": "localhost"}, TypeError),
        ({"alpn": ["h2"]}, TypeError),
        ({"tls": True, "colour": 5}, ValueError),
    ]
    for options, error in bad:
        with pytest.raises(error):
            connect("127.0.0.1:1", **options)
    with pytest.raises(TypeError):
        listen("127.0.0.1:0", tls=True)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        client_context(alpn="h2")
    with pytest.raises(ValueError, match="certificate"):
        client_context(key=authority.ours)
    with pytest.raises(ValueError, match="required"):
        server_context(authority.ours, client_certificate="maybe")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        server_context("/does/not/exist.pem")


def test_tls_true_makes_a_context_once(monkeypatch: pytest.MonkeyPatch, authority: Authority) -> None:
    default_client_context.cache_clear()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server(alpn=["a", "b"])) as listener:
            for _ in range(2):
                serving = newthread(serve_one, listener)
                with (yield from connect(*listener.getsockname(), tls=True, alpn=["b", "c"])) as conn:
                    assert conn.alpn == "b"
                yield from serving.join()

    run(main)
    assert default_client_context.cache_info().misses == 1
    default_client_context.cache_clear()


def test_a_connection_that_fails_leaves_nothing(authority: Authority) -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0") as listener:
            assert isinstance(listener, TCP)
            with pytest.raises(TimeoutError, match="handshake"):
                yield from connect(*listener.getsockname(), tls=authority.client(), handshake_s=0.01)
            with pytest.raises(TimeoutError), timeout(0.01):
                yield from connect(*listener.getsockname(), tls=authority.client())
            connecting = newthread(connect(*listener.getsockname(), tls=authority.client()))
            conn = yield from listener.accept()
            for _ in range(2):
                conn.close()
                conn = yield from listener.accept()
            yield from conn.recv(1)
            connecting.cancel()
            with pytest.raises(BaseException, match="cancelled"):
                yield from connecting.join()
            conn.close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(main)


@versions
def test_a_session_is_resumed(authority: Authority, version: str) -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server(version)) as listener:
            context, session = authority.client(), None
            for resumed in (False, True):
                serving = newthread(serve_one, listener)
                with (yield from connect(*listener.getsockname(), tls=context, session=session)) as conn:
                    assert (yield from stream(conn).recvall()) == b"data"
                    session = conn.session
                    assert conn.resumed is resumed
                assert (yield from serving.join()).resumed is resumed

    run(main)


# What a server's context decides.


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


# starttls.


def test_starttls(any_poller: None, authority: Authority) -> None:
    one, other = ends(authority, "tcp")

    def serve() -> Steps:
        lines = stream(other)
        assert (yield from lines.recvline()) == b"STARTTLS"
        yield from lines.sendall(b"220 go ahead\r\n")
        secure = yield from starttls(lines, authority.server(), server_side=True)
        assert isinstance(secure, Stream)
        assert (yield from secure.recvline()) == b"EHLO"
        yield from secure.sendall(b"250 hello\r\n")
        yield from secure.finish()

    def main() -> Steps:
        serving = newthread(serve)
        lines = stream(one)
        yield from lines.sendall(b"STARTTLS\r\n")
        assert (yield from lines.recvline()) == b"220 go ahead"
        secure = yield from starttls(lines, authority.client(), server_hostname="localhost")
        yield from secure.sendall(b"EHLO\r\n")
        assert secure.sock.version == "TLSv1.3"
        assert (yield from secure.recvline()) == b"250 hello"
        assert (yield from secure.recvline()) is None
        yield from secure.finish()
        yield from serving.join()

    run(main)


def test_plain_bytes_before_tls_are_refused(authority: Authority) -> None:
    """An attacker may have sent a command behind STARTTLS, so that it looks protected."""
    one, other = ends(authority, "tcp")
    with one, other:

        def main() -> Steps:
            lines = stream(other)
            yield from one.sendall(b"STARTTLS\r\nRSET\r\n")
            yield from lines.recvline()
            assert lines.buffered == 6
            with pytest.raises(ConnectionAbortedError, match="6 bytes came in plain text") as failure:
                starttls(lines, authority.server(), server_side=True)
            assert failure.value.socket_fd == other.fileno()  # type: ignore[attr-defined]
            assert (yield from lines.recvline()) == b"RSET"
            with pytest.raises(ValueError, match="buffered"):
                starttls(lines, authority.server(), server_side=True, buffered="drop")  # type: ignore[call-overload]

        run(main)


def test_a_client_hello_behind_a_proxy_header(any_poller: None, authority: Authority) -> None:
    one, other = ends(authority, "tcp")

    def serve() -> Steps:
        lines = stream(other)
        yield from lines.peek(100)  # the beginning of TLS has come, too
        assert (yield from lines.recvline()) == b"PROXY UNKNOWN"
        assert lines.buffered
        secure = yield from starttls(lines, authority.server(), server_side=True, buffered="tls")
        yield from secure.sendall((yield from secure.recvn(4)))
        yield from secure.finish()

    def main() -> Steps:
        serving = newthread(serve)
        yield from one.sendall(b"PROXY UNKNOWN\r\n")
        conn = yield from starttls(one, authority.client(), server_hostname="localhost")
        assert isinstance(conn, TLS)
        with conn:
            yield from conn.sendall(b"data")
            assert (yield from stream(conn).recvall()) == b"data"
        yield from serving.join()

    run(main)


def test_a_failure_tells_how_much_was_sent(authority: Authority) -> None:
    one, other = ends(authority, "tcp")
    with one, other:

        def main() -> Steps:
            thread = newthread(starttls(other, authority.server(), server_side=True))
            conn = yield from starttls(one, authority.client(), server_hostname="localhost")
            yield from thread.join()
            conn.settimeout(0.01, "write")
            with pytest.raises(TimeoutError) as failure:
                yield from conn.sendall(bytes(20_000_000))
            assert 0 < bytes_sent(failure.value) < 20_000_000
            assert bytes_sent(failure.value) % (1 << 16) == 0

        run(main)
