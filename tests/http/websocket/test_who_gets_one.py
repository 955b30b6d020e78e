"""Who gets a WebSocket: what a server and a client refuse, and what they agree on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

import socket2
from socket2 import http
from tests.tls.certificates import Authority

from ..client.scripted import Steps, in_thread
from ..client.scripted import serving as serving_scripts
from ..client.test_proxies import connecting
from .scene import PROOF, TEXT, Raw, answer, echo, frame, raw_client, request, serving, url


def answer_to(data: bytes, handler: Callable[[http.Request], Steps] = echo) -> Steps:
    """Return the status of the answer to a request, its fields, and what comes behind them."""
    with serving(handler) as server:
        with socket2.stream((yield from socket2.connect(server.addresses[0]))) as lines:
            yield from lines.sendall(data)
            head = (yield from lines.recvuntil(b"\r\n\r\n")).decode()
            line, *fields = head.split("\r\n")
            return int(line.split()[1]), dict(field.split(": ", 1) for field in fields)


@in_thread
def test_the_answer_of_a_server() -> Steps:
    status, fields = yield from answer_to(request())
    assert status == 101
    assert fields.pop("date")
    assert fields == {"upgrade": "websocket", "connection": "upgrade", "sec-websocket-accept": PROOF}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request(line="POST / HTTP/1.1"), 405),
        (request(line="GET / HTTP/1.0"), 426),
        (request(left_out="Connection"), 426),
        (request(left_out="Upgrade"), 426),
        (request("Upgrade: h2c", left_out="Upgrade"), 426),
        (request(left_out="Sec-WebSocket-Version"), 426),
        (request("Sec-WebSocket-Version: 8", left_out="Sec-WebSocket-Version"), 426),
        (request(left_out="Sec-WebSocket-Key"), 400),
        (request("Sec-WebSocket-Key: AAAA", left_out="Sec-WebSocket-Key"), 400),
        (request("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==="), 400),
        (request("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="), 400),  # a second one
        (request("Content-Length: 1") + b"x", 400),
        (request("Sec-WebSocket-Extensions: a;;"), 400),
        (request("Sec-WebSocket-Protocol: a b"), 400),
        (request("Origin: https://evil.example"), 403),
        (request("Origin: null"), 403),
        (request("Origin: http://example.org", "Origin: http://example.org"), 403),
        (request("Origin: http://example.org:81"), 403),
        (request("Origin: https://Example.org"), 101),
    ],
)
@in_thread
def test_what_a_server_refuses(data: bytes, status: int) -> Steps:
    found, fields = yield from answer_to(data)
    assert found == status
    if status == 426:
        assert fields["upgrade"] == "websocket"
        assert fields["sec-websocket-version"] == "13"
        assert fields["connection"] == "close, upgrade"
    if status == 405:
        assert fields["allow"] == "GET"


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [
        (["https://a.example"], "https://A.example", 101),
        (["https://a.example"], "http://a.example", 403),
        (["https://a.example"], "https://example.org", 403),
        ([], "https://example.org", 403),
        (["*"], "https://evil.example", 101),
        (["*"], "null", 101),
    ],
)
@in_thread
def test_origins(origins: list[str], origin: str, status: int) -> Steps:
    def handler(req: http.Request) -> Steps:
        yield from req.websocket(origins=origins)

    assert (yield from answer_to(request(f"Origin: {origin}"), handler))[0] == status
    assert (yield from answer_to(request(), handler))[0] == 101


@in_thread
def test_a_handler_may_answer_instead() -> Steps:
    def handler(req: http.Request) -> Steps:
        try:
            yield from req.websocket()
        except http.ProtocolError:
            yield from req.respond(404)

    assert (yield from answer_to(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", handler))[0] == 404


@pytest.mark.parametrize(
    ("offered", "known", "chosen"),
    [
        ("b, a", ["a", "b"], "a"),
        ("b", ["a", "b"], "b"),
        ("c,,d", ["a"], None),
        ("A", ["a"], None),
        ("a", [], None),
    ],
)
@in_thread
def test_subprotocols(offered: str, known: list[str], chosen: str | None) -> Steps:
    seen = []

    def handler(req: http.Request) -> Steps:
        seen.append((yield from req.websocket(subprotocols=known, headers={"X": "y"})).subprotocol)

    _, fields = yield from answer_to(request(f"Sec-WebSocket-Protocol: {offered}"), handler)
    assert fields.get("sec-websocket-protocol") == chosen
    assert fields["x"] == "y"
    assert seen == [chosen]


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        ("permessage-deflate", "permessage-deflate; server_max_window_bits=12"),
        (
            "permessage-deflate; client_max_window_bits; server_no_context_takeover",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=12; client_max_window_bits=12",
        ),
        ("x-other, permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            "permessage-deflate; server_max_window_bits=12",
        ),
        ("permessage-deflate; unknown=1", None),
        ("permessage-deflate; server_max_window_bits=7", None),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
        ("x-webkit-deflate-frame", None),
    ],
)
@in_thread
def test_compression(offered: str, answer: str | None) -> Steps:
    _, fields = yield from answer_to(request(f"Sec-WebSocket-Extensions: {offered}"))
    assert fields.get("sec-websocket-extensions") == answer

    def without(req: http.Request) -> Steps:
        yield from req.websocket(compress=False)

    _, fields = yield from answer_to(request(f"Sec-WebSocket-Extensions: {offered}"), without)
    assert "sec-websocket-extensions" not in fields


@in_thread
def test_frames_that_come_with_the_request() -> Steps:
    with serving(echo) as server:
        with socket2.stream((yield from socket2.connect(server.addresses[0]))) as lines:
            yield from lines.sendall(request() + frame(TEXT, b"early") + frame(TEXT, b"too")[:4])
            yield from lines.recvuntil(b"\r\n\r\n")
            raw = Raw(lines, True)
            assert (yield from raw.recv()) == (TEXT, b"early")
            yield from lines.sendall(frame(TEXT, b"too")[4:])
            assert (yield from raw.recv()) == (TEXT, b"too")


# The client.


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda answer: answer.replace(b"Upgrade: websocket", b"Upgrade: h2c"), "another protocol"),
        (lambda answer: answer.replace(b"Accept: ", b"Accept: x"), "does not fit"),
        (lambda answer: answer.replace(b"Sec-WebSocket-Accept", b"X"), "does not fit"),
        (lambda answer: answer.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: c\r\n\r\n"), "a subprotocol"),
        (lambda answer: answer.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"), "a subprotocol"),
        (lambda answer: answer.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: x\r\n\r\n"), "an extension"),
        (
            lambda answer: answer.replace(
                b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7\r\n\r\n"
            ),
            "parameters",
        ),
        (
            lambda answer: answer.replace(
                b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate, permessage-deflate\r\n\r\n"
            ),
            "an extension",
        ),
    ],
)
@in_thread
def test_what_a_client_refuses(change: Callable[[bytes], bytes], error: str) -> Steps:
    def script(peer: Any) -> Steps:
        yield from peer.send(change(answer((yield from peer.head()))))
        assert not (yield from peer.lines.recvall())

    with serving_scripts(script) as server, pytest.raises(http.ResponseError, match=error):
        yield from http.websocket(server.url.replace("http", "ws"), subprotocols=["a", "b"])


@pytest.mark.parametrize("status", [200, 302, 403, 404])
@in_thread
def test_another_answer(status: int) -> Steps:
    def handler(req: http.Request) -> Steps:
        yield from req.respond(status, b"no", {"Location": "/x", "WWW-Authenticate": "Basic"})

    with (
        serving(handler) as server,
        pytest.raises(http.WebSocketRefused, match=f"the server answers {status}") as caught,
    ):
        yield from http.websocket(url(server))
    assert caught.value.response is not None
    assert caught.value.response.status == status
    assert caught.value.response.headers["www-authenticate"] == "Basic"


@in_thread
def test_what_a_client_sends() -> Steps:
    heads = []

    def handler(req: http.Request) -> Steps:
        heads.append(req.headers)
        yield from req.websocket(origins=["http://b.example"], subprotocols=["p"])

    with serving(handler) as server, http.Client(headers={"X-Client": "1"}, auth=("me", "secret")) as client:
        ws = yield from http.websocket(
            url(server), client=client, headers={"Origin": "http://b.example", "Upgrade": "x"}, subprotocols=["q", "p"]
        )
        assert ws.subprotocol == "p"
        yield from ws.close()
        assert client._means.pool.used == 0
    (found,) = heads
    assert found["x-client"] == "1"
    assert found["authorization"] == "Basic bWU6c2VjcmV0"
    assert found["upgrade"] == "websocket"
    assert found["connection"] == "upgrade"
    assert found["sec-websocket-protocol"] == "q, p"
    assert found["sec-websocket-extensions"] == "permessage-deflate; client_max_window_bits"


@in_thread
def test_a_client_that_does_not_compress() -> Steps:
    def handler(req: http.Request) -> Steps:
        assert "sec-websocket-extensions" not in req.headers
        yield from req.websocket()

    with serving(handler) as server:
        ws = yield from http.websocket(url(server), compress=False)
        assert (yield from ws.recv()) is None
        assert ws.close_code == 1000


@in_thread
def test_a_frame_that_comes_with_the_answer() -> Steps:
    def script(peer: Any) -> Steps:
        yield from peer.send(answer((yield from peer.head())) + frame(TEXT, b"early", mask=False))
        yield from peer.lines.recvall()

    with serving_scripts(script) as server:
        with (yield from http.websocket(server.url.replace("http", "ws"))) as ws:
            assert (yield from ws.recv()) == "early"


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("http://example.org", "the scheme must be ws or wss"),
        ("example.org", "begins with a scheme"),
        ("ws://example.org/#a", "no fragment"),
        ("ws://", "no host"),
    ],
)
def test_urls(address: str, error: str) -> None:
    with pytest.raises(http.InvalidURL, match=error):
        http.websocket(address)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"subprotocols": "chat"}, TypeError),
        ({"subprotocols": ["a b"]}, ValueError),
        ({"subprotocols": ["a", "a"]}, ValueError),
        ({"max_bytes": -1}, ValueError),
        ({"ping_interval_s": 0}, ValueError),
        ({"ping_timeout_s": "1"}, TypeError),
        ({"close_s": -1}, ValueError),
        ({"headers": {"a": "b\r\n"}}, ValueError),
    ],
)
@in_thread
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception]) -> Steps:
    with pytest.raises(error):
        http.websocket("ws://example.org", **arguments)

    def handler(req: http.Request) -> Steps:
        with pytest.raises(error):
            req.websocket(**arguments)
        with pytest.raises(TypeError):
            req.websocket(origins="*")
        yield from req.websocket()

    assert (yield from answer_to(request(), handler))[0] == 101


@in_thread
def test_tls_and_a_proxy(authority: Authority) -> Steps:
    server = socket2.Server(http.handler(echo), tls=authority.server())
    server.add(socket2.listen("127.0.0.1:0"))
    address = f"wss://localhost:{server.addresses[0][1]}/"
    with serving_scripts(connecting(lambda: int(server.addresses[0][1]))) as proxy:
        for given in (None, f"http://127.0.0.1:{proxy.port}"):
            with http.Client(proxy=given, tls=authority.client()) as client:
                ws = yield from http.websocket(address, client=client)
                yield from ws.send("hello")
                assert (yield from ws.recv()) == "hello"
                yield from ws.close()
        assert proxy.connections == 1
    yield from server.stop()


@in_thread
def test_a_proxy_tunnels_what_is_not_secure() -> Steps:
    with serving(echo) as server, serving_scripts(connecting(lambda: int(server.addresses[0][1]))) as proxy:
        with http.Client(proxy=f"http://127.0.0.1:{proxy.port}") as client:
            ws = yield from http.websocket("ws://a.example/", client=client)
            yield from ws.send("hello")
            assert (yield from ws.recv()) == "hello"
            yield from ws.close()
        assert proxy.heads[0].startswith("CONNECT a.example:80 HTTP/1.1\r\n")


@in_thread
def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> Steps:
    for name in ("websockets", "websockets.speedups", "websockets.utils"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'socket2\[http\]'"):
        http.websocket("ws://example.org")

    def handler(req: http.Request) -> Steps:
        with pytest.raises(ImportError, match=r"pip install 'socket2\[http\]'"):
            req.websocket()
        yield from req.respond(501)

    assert (yield from answer_to(request(), handler))[0] == 501


@in_thread
def test_raw_clients_open_as_others_do() -> Steps:
    with serving(echo) as server, raw_client(server, "Origin: http://example.org") as connect:
        raw = yield from connect()
        yield from raw.send((TEXT, b"a"), (TEXT, b""))
        assert (yield from raw.recv()) == (TEXT, b"a")
        assert (yield from raw.recv()) == (TEXT, b"")
