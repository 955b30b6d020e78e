"""connect(), listen() and starttls(), and what a context decides."""

from __future__ import annotations

import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest

from socket2 import (
    TCP,
    TLS,
    addr,
    client_context,
    connect,
    listen,
    newthread,
    run,
    server_context,
    stream,
    timeout,
)
from socket2.tls.contexts import default_client_context

from .certificates import Authority, versions
from .ends import Steps
from .hosting import serve_one


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
                connect(path, tls=authority.client())
        assert listener.closed

    run(main)


def test_a_name_beyond_ascii(authority: Authority) -> None:
    """The certificate has it in the form of IDNA 2008, which is not that of the `ssl` module."""
    pytest.importorskip("idna")

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=server_context(authority.issue("xn--fa-hia.example"))) as listener:
            serving = newthread(serve_one, listener)
            where = listener.getsockname()
            with (yield from connect(where, tls=authority.client(), server_hostname="faß.example")) as conn:
                assert conn.server_name == "xn--fa-hia.example"
                assert (yield from stream(conn).recvall()) == b"data"
            yield from serving.join()
            with pytest.raises(UnicodeError, match="not a valid host name"):
                connect(where, tls=authority.client(), server_hostname="\ud800.example")

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
    with pytest.raises(TypeError, match="sequence of names"):
        client_context(alpn="h2")
    with pytest.raises(TypeError, match="sequence of names"):
        server_context(authority.ours, alpn="h2")
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
                with (yield from connect(listener.getsockname(), tls=True, alpn=["b", "c"])) as conn:
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
