"""Proxies: forwarding, CONNECT and SOCKS5, and what they must not learn. UNIX sockets in place of a host."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from socket2 import connect, gather, http, stream
from socket2.http import Client
from tests.tls.certificates import Authority

from .scripted import Peer, Script, Steps, echo, in_thread, serving


def pump(one: Any, other: Any) -> Steps:
    while data := (yield from one.recv()):
        yield from other.sendall(data)
    other.shutdown(socket.SHUT_WR)


def relay(peer: Peer, port: int) -> Steps:
    with (yield from connect("127.0.0.1", port)) as further:
        yield from gather(pump(peer.lines, stream(further)), pump(stream(further), peer.lines))


def connecting(to: Callable[[], int], reply: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Script:
    """A proxy that answers CONNECT, and connects to the port `to()` whatever was asked for."""

    def script(peer: Peer) -> Steps:
        yield from peer.head()
        yield from peer.send(reply)
        if reply.startswith(b"HTTP/1.1 200 OK\r\n\r\n"):
            yield from relay(peer, to())

    return script


@in_thread
def test_a_proxy_gets_requests_for_http() -> Steps:
    with serving(echo) as proxy:
        with Client(proxy=f"http://me:secret@127.0.0.1:{proxy.port}") as client:
            for host in ("a.example", "b.example:81"):
                with (yield from client.request("GET", f"http://{host}/c?d#e")) as response:
                    assert (yield from response.read()) == f"GET http://{host}/c?d HTTP/1.1".encode()
                assert proxy.fields()["host"] == host
                assert proxy.fields()["proxy-authorization"] == "Basic bWU6c2VjcmV0"
            assert proxy.connections == 1


@in_thread
def test_a_proxy_connects_for_https(authority: Authority) -> Steps:
    with serving(echo, tls=authority.server()) as server, serving(connecting(lambda: server.port)) as proxy:
        with Client(proxy={"https": f"http://me:secret@127.0.0.1:{proxy.port}"}, tls=authority.client()) as client:
            for _ in range(2):
                with (yield from client.request("GET", "https://localhost/a")) as response:
                    assert (yield from response.read()) == b"GET /a HTTP/1.1"
            assert proxy.heads == [
                "CONNECT localhost:443 HTTP/1.1\r\nhost: localhost:443\r\n"
                "proxy-authorization: Basic bWU6c2VjcmV0\r\n\r\n"
            ]
            assert "proxy-authorization" not in server.fields()


@in_thread
def test_a_proxy_with_tls(authority: Authority) -> Steps:
    """TLS inside of TLS."""
    with serving(echo, tls=authority.server()) as server:
        with serving(connecting(lambda: server.port), tls=authority.server()) as proxy:
            with Client(proxy=proxy.secure_url, tls=authority.client()) as client:
                with (yield from client.request("POST", "https://localhost/a", body=b"x" * 100_000)) as response:
                    assert (yield from response.read()) == b"x" * 100_000


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "the proxy answers 407 Proxy"),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "the proxy answers 502"),
        (b"hello\r\n\r\n", "malformed"),
        (b"", "malformed: the connection ended before a response"),
        (b"HTTP/1.1 200 OK\r\n\r\nearly", "data before the connection has begun"),
        (b"HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\n\r\n", "the proxy answers 302"),
    ],
)
@in_thread
def test_a_proxy_that_does_not_connect(reply: bytes, error: str) -> Steps:
    def script(peer: Peer) -> Steps:
        yield from peer.head()
        yield from peer.send(reply)

    with serving(script) as proxy, Client(proxy=f"http://127.0.0.1:{proxy.port}", retries=3) as client:
        with pytest.raises(http.ProxyError, match=rf"GET https://a.example/: .*{error}"):
            yield from client.request("GET", "https://a.example/")
        assert proxy.connections == 1
        assert client._means.pool.used == 0


def socks(
    to: Callable[[], int], seen: list[bytes], login: bool = False, reply: bytes = b"\5\0\0\1" + bytes(6)
) -> Script:
    def script(peer: Peer) -> Steps:
        greeting = yield from peer.lines.recvn(2)
        methods = yield from peer.lines.recvn(greeting[1])
        seen.append(methods)
        yield from peer.send(b"\5\2" if login else b"\5\0")
        if login:
            _, size = yield from peer.lines.recvn(2)
            user = yield from peer.lines.recvn(size)
            password = yield from peer.lines.recvn((yield from peer.lines.recvn(1))[0])
            seen.append(user + b":" + password)
            yield from peer.send(b"\1\0" if password == b"secret" else b"\1\1")
        head = yield from peer.lines.recvn(4)
        size = {1: 4, 4: 16}.get(head[3]) or (yield from peer.lines.recvn(1))[0]
        seen.append(head + (yield from peer.lines.recvn(size + 2)))
        yield from peer.send(reply)
        if reply[1:2] == b"\0":
            yield from relay(peer, to())

    return script


@pytest.mark.parametrize("reply", [b"\5\0\0\1" + bytes(6), b"\5\0\0\3\4name" + bytes(2), b"\5\0\0\4" + bytes(18)])
@in_thread
def test_socks(authority: Authority, reply: bytes) -> Steps:
    seen: list[bytes] = []
    with serving(echo) as server, serving(echo, tls=authority.server()) as secure:
        with serving(socks(lambda: server.port, seen, reply=reply), socks(lambda: secure.port, seen)) as proxy:
            with Client(proxy=f"socks5://127.0.0.1:{proxy.port}", tls=authority.client()) as client:
                with (yield from client.request("GET", "http://name.example/a")) as response:
                    assert (yield from response.read()) == b"GET /a HTTP/1.1"
                with (yield from client.request("GET", "https://127.0.0.1/b")) as response:
                    assert (yield from response.read()) == b"GET /b HTTP/1.1"
    assert seen == [b"\0", b"\5\1\0\3name.example\0\x50", b"\0", b"\5\1\0\1\x7f\0\0\1\1\xbb"]


@in_thread
def test_socks_with_a_login() -> Steps:
    seen: list[bytes] = []
    with serving(echo) as server, serving(socks(lambda: server.port, seen, login=True)) as proxy:
        with Client(proxy=f"socks5h://m%40e:secret@127.0.0.1:{proxy.port}") as client:
            with (yield from client.request("GET", "http://[::1]/a")) as response:
                assert (yield from response.read()) == b"GET /a HTTP/1.1"
        assert seen == [b"\0\2", b"m@e:secret", b"\5\1\0\4" + bytes(15) + b"\1\0\x50"]
        for login, error in (("me:wrong@", "does not accept"), ("", "wants a user name")):
            with Client(proxy=f"socks5://{login}127.0.0.1:{proxy.port}") as client:
                with pytest.raises(http.ProxyError, match=error) as caught:
                    yield from client.request("GET", "http://a.example/")
                assert "wrong" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (b"\5\5\0\1" + bytes(6), "the connection is refused"),
        (b"\5\x63\0\1" + bytes(6), "reply 99"),
        (b"\4\0\0\1" + bytes(6), "does not speak SOCKS5"),
        (b"\5\0\0\7" + bytes(6), "malformed"),
        (b"\5\0", "has closed the connection"),
    ],
)
@in_thread
def test_socks_that_does_not_connect(reply: bytes, error: str) -> Steps:
    def wrong(peer: Peer) -> Steps:
        yield from peer.lines.recvn(3)
        yield from peer.send(b"\5\0")
        yield from peer.lines.recvn(4 + 1 + 9 + 2)
        yield from peer.send(reply)

    with serving(wrong) as proxy, Client(proxy=f"socks5://127.0.0.1:{proxy.port}") as client:
        with pytest.raises(http.ProxyError, match=error):
            yield from client.request("GET", "http://a.example/")


@in_thread
def test_the_environment_counts_only_if_asked(monkeypatch: pytest.MonkeyPatch) -> Steps:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving(echo) as proxy, serving(echo) as server:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        for options, direct in (({}, True), ({"trust_env": True}, False), ({"proxy": {"http": None}}, True)):
            with Client(**options) as client, (yield from client.request("GET", server.url)) as response:
                assert (yield from response.read()).startswith(b"GET / " if direct else b"GET http://")
        monkeypatch.setenv("no_proxy", "127.0.0.1,a.example")
        with Client(trust_env=True) as client, (yield from client.request("GET", server.url)) as response:
            assert (yield from response.read()).startswith(b"GET / ")


@pytest.mark.parametrize(
    ("proxy", "error"),
    [
        ("ftp://a", "scheme must be http or https or socks5"),
        ("a:80", "begins with a scheme"),
        ("http://a/b", "no path"),
        ({"ftp": "http://a"}, "http and https"),
    ],
)
def test_proxies_that_cannot_be(proxy: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Client(proxy=proxy)


@in_thread
def test_a_unix_socket(tmp_path: Path) -> Steps:
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("Python has no UNIX sockets on this system")
    path = tmp_path / "s"
    with serving(echo, where=str(path)) as server, Client(unix=path) as client:
        with (yield from client.request("GET", "http://docker/containers")) as response:
            assert (yield from response.read()) == b"GET /containers HTTP/1.1"
        assert server.fields()["host"] == "docker"
    with pytest.raises(ValueError, match="either"):
        Client(unix=path, proxy="http://a")
