"""Requests and their responses, against servers that say exactly what a test tells them to."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from socket2 import http, pipe, run
from socket2.http import Client

from .scripted import OK, Peer, Steps, always, answer, echo, in_thread, serving


def fetch(client: Client, method: str, url: str, **options: Any) -> Steps:
    with (yield from client.request(method, url, **options)) as response:
        return (yield from response.read())


@in_thread
def test_one_request() -> Steps:
    with serving(always(answer(b"hello", "A: b"))) as server:
        with (yield from http.request("GET", f"{server.url}/a?b=c#d")) as response:
            assert (response.status, response.reason, response.http_version) == (200, "OK", "1.1")
            assert response.headers["a"] == "b"
            assert (yield from response.read()) == b"hello"
            assert (yield from response.read()) == b""
            assert response.url == f"{server.url}/a?b=c#d"
        assert server.heads[0].startswith(
            f"GET /a?b=c HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\nuser-agent: socket2/"
        )


def test_with_async_def() -> None:
    async def main() -> None:
        with serving(always(*[answer(b"a\nb\r\nc")] * 2)) as server, Client() as client:
            with await client.request("GET", server.url) as response:
                assert [line async for line in response.lines()] == [b"a", b"b", b"c"]
            with await client.request("POST", server.url, body=made()) as response:
                assert b"".join([piece async for piece in response]) == b"a\nb\r\nc"
            assert server.bodies == [b"", b"one two"]

    async def made() -> Any:
        yield b"one "
        yield b""
        yield b"two"

    run(main)


@pytest.mark.parametrize(
    ("options", "type", "body"),
    [
        ({"body": b"\0\1"}, None, b"\0\1"),
        ({"body": bytearray(b"ab")}, None, b"ab"),
        ({"body": "\xe9"}, "text/plain; charset=utf-8", "\xe9".encode()),
        ({"json": {"a": ["\xe9", 1]}}, "application/json", '{"a":["\xe9",1]}'.encode()),
        ({"form": {"a": "b c", "d": ["1", "2"]}}, "application/x-www-form-urlencoded", b"a=b+c&d=1&d=2"),
        ({"json": 1, "headers": {"Content-Type": "x/y"}}, "x/y", b"1"),
    ],
    ids=["bytes", "bytearray", "text", "json", "form", "own type"],
)
@in_thread
def test_bodies(options: dict[str, Any], type: str | None, body: bytes) -> Steps:
    with serving(echo) as server, Client() as client:
        assert (yield from fetch(client, "POST", server.url, **options)) == body
        assert server.fields().get("content-type") == type
        assert server.fields()["content-length"] == str(len(body))


@in_thread
def test_bodies_that_come_piece_by_piece() -> Steps:
    with serving(echo) as server, Client() as client:
        assert (yield from fetch(client, "POST", server.url, body=iter([b"a", b"", b"bc"]))) == b"abc"
        assert server.fields()["transfer-encoding"] == "chunked"
        assert (yield from fetch(client, "PUT", server.url, body=[b"a", memoryview(b"bc")], length=3)) == b"abc"
        assert server.fields()["content-length"] == "3"
        with (yield from client.request("POST", server.url, body=b"again")) as first:
            assert (yield from fetch(client, "POST", server.url, body=first)) == b"again"


@in_thread
def test_a_body_comes_through_a_pipe() -> Steps:
    receiving, sending = pipe()
    with serving(echo) as server, Client() as client, receiving:
        with sending:
            yield from sending.sendall(b"through a pipe")
        assert (yield from fetch(client, "POST", server.url, body=receiving)) == b"through a pipe"


@in_thread
def test_large_bodies_both_ways() -> Steps:
    data = bytes(range(256)) * 4096
    with serving(echo) as server, Client() as client:
        assert (yield from fetch(client, "POST", server.url, body=data)) == data
        assert (yield from fetch(client, "POST", server.url, body=[data, data])) == data * 2
        assert server.connections == 1


@in_thread
def test_a_response_comes_while_the_request_is_sent() -> Steps:
    def mirror(peer: Peer) -> Steps:
        yield from peer.head()
        yield from peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        while size := int((yield from peer.lines.recvuntil(b"\r\n")), 16):
            data = yield from peer.lines.recvn(size + 2)
            yield from peer.send(b"%x\r\n%b" % (size, data))
        yield from peer.lines.recvuntil(b"\r\n")
        yield from peer.send(b"0\r\nSum: 3\r\n\r\n")

    receiving, sending = pipe()
    with serving(mirror) as server, Client() as client, receiving, sending:
        with (yield from client.request("POST", server.url, body=receiving)) as response:
            for piece in (b"one", b"two", b"three"):
                yield from sending.sendall(piece)
                assert (yield from response.recv()) == piece
            sending.close()
            assert (yield from response.recv()) == b""
            assert response.trailers["sum"] == "3"


@in_thread
def test_an_early_answer_ends_the_request() -> Steps:
    def refuse(peer: Peer) -> Steps:
        yield from peer.head()
        yield from peer.send(answer(b"no", "Connection: close", status="413 Content Too Large"))
        yield from peer.lines.finish()

    with serving(refuse) as server, Client() as client:
        for body in (bytes(50_000_000), iter(partial(bytes, 100_000), None)):
            with (yield from client.request("POST", server.url, body=body)) as response:
                assert response.status == 413
                assert (yield from response.read()) == b"no"
                with pytest.raises(http.StatusError, match="POST http://.*: 413 Content Too Large"):
                    response.raise_for_status()


@in_thread
def test_the_body_waits_for_a_continue() -> Steps:
    def go_ahead(peer: Peer) -> Steps:
        yield from peer.head()
        assert peer.lines.buffered == 0
        yield from peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
        server.bodies.append((yield from peer.lines.recvn(4)))
        yield from peer.send(answer(b"thanks"))

    def refuse(peer: Peer) -> Steps:
        yield from peer.head()
        yield from peer.send(answer(b"no", status="403 Forbidden"))
        assert (yield from peer.lines.recvall()) == b""

    expect = {"Expect": "100-continue"}
    with serving(go_ahead, refuse, always(answer(b"late"))) as server:
        with Client(continue_s=20) as client:
            with (yield from client.request("PUT", server.url, body=b"body", headers=expect)) as response:
                assert (yield from response.read()) == b"thanks"
                assert [(status, fields.items()) for status, fields in response.interim] == [
                    (100, []),
                    (103, [("link", "x")]),
                ]
        with Client(continue_s=20) as client:
            assert (yield from fetch(client, "PUT", server.url, body=b"body", headers=expect)) == b"no"
        with Client(continue_s=0) as client:
            assert (yield from fetch(client, "PUT", server.url, body=b"body", headers=expect)) == b"late"
        assert server.bodies == [b"body", b"body"]


@in_thread
def test_what_the_code_that_makes_the_body_raises_is_raised() -> Steps:
    class Broken(Exception):
        pass

    def broken() -> Any:
        yield b"abc"
        raise Broken

    with serving(echo) as server, Client() as client:
        with pytest.raises(Broken):
            yield from client.request("POST", server.url, body=broken())
        with pytest.raises(TypeError, match="must be bytes"):
            yield from client.request("POST", server.url, body=["text"])  # type: ignore[list-item]
        for length in (1, 3):
            with pytest.raises(ValueError, match="less|more"):
                yield from client.request("POST", server.url, body=iter([b"ab"]), length=length)
        assert (yield from fetch(client, "POST", server.url, body=b"ok")) == b"ok"


@in_thread
def test_the_end_of_the_block() -> Steps:
    """A response that has come is dropped and its connection kept. Otherwise the connection is closed."""
    rest = OK + b"Content-Length: 1000000\r\n\r\n" + bytes(100)
    with serving(always(answer(b"unread"), rest), always(answer(b"x"), answer(b"y"))) as server, Client() as client:
        for _ in range(2):
            with (yield from client.request("GET", server.url)) as response:
                pass
            assert response.closed
            assert server.connections == 1
        with pytest.raises(RuntimeError, match="closed"):
            yield from response.read()
        assert (yield from fetch(client, "GET", server.url)) == b"x"
        assert server.connections == 2
        assert repr(client) == "<Client, 0 connections used, 1 idle>"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "ended before a response"),
        (b"HTTP/1.1 200 OK\r\n", "ended within a head"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "first line of the response is malformed"),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "line that does not end with CR LF"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "malformed"),
        (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "more than one Content-Length"),
        (OK + b"Content-Length: -1\r\n\r\n", "not a number"),
        (OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "both"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", "only chunked"),
        (OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n", "too long"),
        (OK + b"X: y\r\n" * 300 + b"\r\n", "too many fields"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 65, "too many interim"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "without being asked"),
        (OK + b"Content-Length: 5\r\n\r\nabc", "incomplete: the connection ended within"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabc", "incomplete: the connection ended within"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n", "incomplete: a chunk is longer"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "incomplete: the size of a chunk is malformed"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "cannot be decoded"),
        (OK + b"Content-Encoding: gzip, gzip, gzip, gzip, gzip\r\n\r\n", "too many codings"),
    ],
)
@in_thread
def test_ugly_answers(data: bytes, error: str) -> Steps:
    with serving(always(data)) as server, Client() as client:
        with pytest.raises(http.ResponseError, match=error) as caught:
            yield from fetch(client, "GET", server.url)
        assert caught.value.url == f"{server.url}/"
        assert repr(client).startswith("<Client, 0 connections used")


@pytest.mark.parametrize(
    ("data", "method", "body", "is_kept"),
    [
        (OK + b"\r\nuntil the end", "GET", b"until the end", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "GET", b"a", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", "GET", b"a", True),
        (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\na", "GET", b"a", False),
        (OK + b"Content-Length: 7\r\n\r\n", "HEAD", b"", True),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 7\r\n\r\n", "HEAD", b"", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "DELETE", b"", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", "GET", b"", True),
        (b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", "GET", b"a", True),
        (b"\r\nHTTP/1.1 299 \r\nContent-Length: 1\r\n\r\na", "GET", b"a", True),
        (OK + b"Content-Length: 1\r\n\r\nabc", "GET", b"a", False),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n", "GET", b"", True),
        (OK + b"Content-Encoding: unheard-of\r\nContent-Length: 1\r\n\r\na", "GET", b"a", True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1;a=b\r\na\r\n0\r\nX: y\r\n\r\n", "GET", b"a", True),
    ],
)
@in_thread
def test_where_a_response_ends(data: bytes, method: str, body: bytes, is_kept: bool) -> Steps:
    def script(peer: Peer) -> Steps:
        yield from peer.request()
        yield from peer.send(data)
        if is_kept:
            assert (yield from peer.lines.recvall()) == b""

    with serving(script) as server, Client() as client:
        assert (yield from fetch(client, method, server.url)) == body
        assert repr(client) == f"<Client, 0 connections used, {is_kept:d} idle>"


@in_thread
def test_text_and_json() -> Steps:
    answers = [
        answer("\xe9".encode("latin-1"), "Content-Type: text/plain; charset=ISO-8859-1"),
        answer("\xe9".encode(), "Content-Type: text/plain; charset=nonsense"),
        answer("\xe9".encode(), "Content-Type: text/plain; charset=hex"),
        answer(b"\xff"),
    ]
    with serving(always(*answers, answer(b'{"a": 1}'), answer(b"{"))) as server, Client() as client:
        for text in ("\xe9", "\xe9", "\xe9", "\ufffd"):
            with (yield from client.request("GET", server.url)) as response:
                assert (yield from response.text()) == text
        with (yield from client.request("GET", server.url)) as response:
            assert (yield from response.json()) == {"a": 1}
        with (yield from client.request("GET", server.url)) as response:
            with pytest.raises(http.ResponseError, match="not JSON"):
                yield from response.json()


@in_thread
def test_limits_of_a_body() -> Steps:
    with serving(always(answer(b"x" * 100), answer(b"ab\ncdefg"))) as server, Client() as client:
        with (yield from client.request("GET", server.url)) as response:
            with pytest.raises(http.ResponseError, match="larger than 99 bytes"):
                yield from response.read(99)
        with (yield from client.request("GET", server.url)) as response:
            assert (yield from response.recvline(4)) == b"ab"
            assert (yield from response.recv(1)) == b"c"
            with pytest.raises(http.ResponseError, match="longer than 3 bytes"):
                yield from response.recvline(3)
            assert (yield from response.read()) == b"defg"


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (("GET", "http://a/", {"headers": {"A": "b\r\nc: d"}}), "control characters"),
        (("GET", "http://a/", {"headers": {"A b": "c"}}), "not a name"),
        (("GET", "http://a/", {"headers": {"Transfer-Encoding": "chunked"}}), "Transfer-Encoding cannot be set"),
        (("G T", "http://a/", {}), "not a method"),
        (("CONNECT", "http://a/", {}), "CONNECT"),
        (("GET", "ftp://a/", {}), "scheme"),
        (("POST", "http://a/", {"json": float("nan")}), "JSON"),
        (("GET", "http://a/", {"auth": ("a:b", "c")}), "colon"),
        (("GET", "http://a/", {"redirects": -1}), "redirects"),
        (("POST", "http://a/", {"body": iter([b"a"]), "length": -1}), "length of a body"),
        (("POST", "http://a/", {"body": iter([b"a"]), "length": 1.5}), "length of a body"),
        (("POST", "http://a/", {"body": b"abc", "headers": {"Content-Length": "5"}}), "Content-Length is 5"),
        (("GET", "http://a/", {"headers": {"Content-Length": "5"}}), "Content-Length is 5"),
    ],
)
def test_the_call_refuses_what_cannot_be_sent(call: Any, error: str) -> None:
    method, url, options = call
    with Client() as client, pytest.raises(ValueError, match=error):
        client.request(method, url, **options)


def test_the_call_refuses_what_is_no_body() -> None:
    with Client() as client:
        for body in (5, {"a": "b"}, object()):
            with pytest.raises(TypeError, match="a body is"):
                client.request("POST", "http://a/", body=body)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="only one"):
            client.request("POST", "http://a/", body=b"", json=1)


@in_thread
def test_fields_of_requests() -> Steps:
    with serving(echo) as server, Client(headers={"A": "1", "B": "2"}, auth=("me", "secret")) as client:
        yield from fetch(
            client, "GET", server.url, headers={"b": "3", "Host": "other"}, params={"x": [1, 2], "y": None}
        )
        assert server.heads[-1].startswith("GET /?x=1&x=2 HTTP/1.1\r\n")
        fields = server.fields()
        assert (fields["a"], fields["b"], fields["host"]) == ("1", "3", "other")
        assert fields["authorization"] == "Basic bWU6c2VjcmV0"
        assert "gzip" in fields["accept-encoding"]
        yield from fetch(client, "GET", server.url.replace("//", "//you:p%3A@"), headers={"Range": "bytes=0-1"})
        assert server.fields()["authorization"] == "Basic eW91OnA6"
        assert "accept-encoding" not in server.fields()


@in_thread
def test_another_protocol() -> Steps:
    def script(peer: Peer) -> Steps:
        yield from peer.request()
        yield from peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nhello")
        yield from peer.send((yield from peer.lines.recvn(3)))

    offer = {"Upgrade": "echo", "Connection": "upgrade"}
    with serving(script) as server, Client() as client:
        with (yield from client.request("GET", server.url, headers=offer)) as response:
            with response.upgrade() as lines:
                assert client._means.pool.used == 0
                yield from lines.sendall(b"you")
                assert (yield from lines.recvall()) == b"helloyou"
            with pytest.raises(RuntimeError, match="closed"):
                response.upgrade()
        with (yield from client.request("GET", server.url, headers=offer)) as response:
            with pytest.raises(http.ResponseError, match="another protocol"):
                yield from response.read()
        assert client._means.pool.used == 0
    with serving(echo) as server, Client() as client:
        with (yield from client.request("GET", server.url, headers=offer)) as response:
            with pytest.raises(RuntimeError, match="the status is 200"):
                response.upgrade()


@in_thread
def test_a_response_that_is_dropped_gives_its_turn_back() -> Steps:
    with serving(always(OK + b"Content-Length: 5\r\n\r\n")) as server, Client() as client:
        response = yield from client.request("GET", server.url)
        assert client._means.pool.used == 1
        with pytest.warns(ResourceWarning, match="unclosed <Response 200 OK, GET http://.*: use it as a block"):
            del response
        assert repr(client) == "<Client, 0 connections used, 0 idle>"
