"""Bodies on their way through a proxy, in both directions, and what one side does while the other is not ready."""

from __future__ import annotations

from typing import Any

import pytest

import socket2
from socket2.http import Limits

from ...interop.peers import pattern
from ..client.scripted import OK, Steps, always, answer, echo
from ..scene import undated
from .scene import CLOSE, GET, once, through

BIG = pattern(18, 3_000_000)


def post(body: bytes, more: bytes = b"", *, close: bool = True) -> bytes:
    closing = b"Connection: close\r\n" * close
    return b"POST / HTTP/1.1\r\nHost: a\r\n%b%bContent-Length: %d\r\n\r\n%b" % (closing, more, len(body), body)


def chunked(*pieces: bytes) -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [post(b""), post(b"hello"), post(BIG), chunked(), chunked(b"hello"), chunked(b"hel", b"lo"), chunked(BIG)],
)
def test_a_request_with_a_body(request_: bytes) -> None:
    found, heads = once(request_, limits=Limits(body_bytes=None))
    body = found.partition(b"\r\n\r\n")[2]
    assert body in (b"hello", BIG, b"POST / HTTP/1.1")
    assert (b"Content-Length" in request_[:200]) == ("content-length: " in heads[0])
    assert (b"chunked" in request_[:200]) == ("transfer-encoding: chunked" in heads[0])


RESPONSES = [
    answer(BIG),
    OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (len(BIG), BIG) + b"0\r\n\r\n",
    OK + b"Connection: close\r\n\r\n" + BIG,
]


@pytest.mark.parametrize("response", RESPONSES)
@pytest.mark.parametrize("minor", [0, 1])
def test_a_response_with_a_body(response: bytes, minor: int) -> None:
    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(b"GET / HTTP/1.%d\r\nHost: a\r\n\r\n" % minor)
            head = yield from conn.recvuntil(b"\r\n\r\n")
            if b"content-length: " in head:
                return head, (yield from conn.recvn(len(BIG)))
            if b"connection: close" in head:
                return head, (yield from conn.recvall())
            body = b""
            while size := int((yield from conn.recvuntil(b"\r\n")), 16):
                body += (yield from conn.recvn(size + 2))[:-2]
            return head, body

    head, body = through(test, always(response))
    assert body == BIG
    assert (b"transfer-encoding: chunked" in head) == bool(minor and b"Content-Length" not in response[:100])


def test_a_response_with_a_length_cut_anywhere() -> None:
    """Requests of one client, which come on one connection, and so do their responses, each in one piece or two."""
    response = answer(b"hello", "X: y")

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            for _ in range(1, len(response) + 1):
                yield from conn.sendall(GET)
                head = yield from conn.recvuntil(b"\r\n\r\n", keep_end=True)
                assert undated(head) == b"HTTP/1.1 200 OK\r\nx: y\r\nvia: 1.1 socket2\r\ncontent-length: 5\r\n\r\n"
                assert (yield from conn.recvn(5)) == b"hello"
        assert scene.upstream.connections == 1

    def script(peer: Any) -> Steps:
        for cut in range(1, len(response) + 1):
            if (yield from peer.request()) is None:
                return
            yield from peer.send(response[:cut])
            for _ in range(3):
                yield from socket2.sleep(0)
            if cut < len(response):
                yield from peer.send(response[cut:])

    through(test, script)


def test_a_response_cut_anywhere() -> None:
    """It comes to the client as a whole, or so that the client sees that it is not."""
    response = OK + b"Transfer-Encoding: chunked\r\nX: y\r\n\r\n2\r\nhi\r\n3\r\nyou\r\n0\r\nX-T: z\r\n\r\n"

    def test(scene: Any) -> Steps:
        whole = (
            b"HTTP/1.1 200 OK\r\nx: y\r\nvia: 1.1 socket2\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        )
        for _ in range(1, len(response)):
            found = yield from scene.ask(CLOSE)
            assert found.startswith(whole)
            assert found.endswith(b"0\r\nx-t: z\r\n\r\n")

    def script(peer: Any) -> Steps:
        for cut in range(1, len(response)):
            if (yield from peer.request()) is None:
                return
            yield from peer.send(response[:cut])
            for _ in range(3):
                yield from socket2.sleep(0)
            yield from peer.send(response[cut:])

    through(test, script)


def test_a_response_that_comes_bit_by_bit_is_not_held_back() -> None:
    def script(peer: Any) -> Steps:
        yield from peer.request()
        yield from peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        yield from got.wait()
        got.clear()
        yield from peer.send(b"2\r\nhi\r\n")
        yield from got.wait()
        yield from peer.send(b"0\r\n\r\n")

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(GET)
            yield from conn.recvuntil(b"\r\n\r\n")
            got.set()
            assert (yield from conn.recvn(7)) == b"2\r\nhi\r\n"
            got.set()
            assert (yield from conn.recvn(5)) == b"0\r\n\r\n"

    got = socket2.Event()
    through(test, script)


def test_a_client_sends_no_faster_than_the_upstream_takes() -> None:
    """The upstream receives nothing until the client has been blocked."""
    size = 64_000_000

    def script(peer: Any) -> Steps:
        yield from peer.head()
        yield from blocked.wait()
        peer.lines.settimeout(None)
        yield from peer.lines.recvn(size)
        yield from peer.send(answer(b"ok"))

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            head = post(b"", b"").replace(b"Content-Length: 0", b"Content-Length: %d" % size)
            yield from conn.sendall(head)
            sent = 0
            conn.settimeout(0.1, "write")
            with pytest.raises(TimeoutError) as caught:
                while sent < size:
                    yield from conn.sendall(bytes(1 << 20))
                    sent += 1 << 20
            sent += socket2.bytes_sent(caught.value)
            assert sent < size  # so much is in the buffers of the system and of the proxy
            conn.settimeout(None)
            blocked.set()
            while sent < size:
                piece = bytes(min(1 << 20, size - sent))
                yield from conn.sendall(piece)
                sent += len(piece)
            return (yield from conn.recvall())

    blocked = socket2.Event()
    assert through(test, script, limits=Limits(body_bytes=None)).endswith(b"\r\n\r\nok")


EXPECT = b"Expect: 100-continue\r\n"


@pytest.mark.parametrize("size", [5, 100_000])
def test_100_continue_comes_from_the_upstream(size: int) -> None:
    body = pattern(19, size)

    def script(peer: Any) -> Steps:
        yield from peer.head()
        assert not peer.lines.buffered
        yield from peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert (yield from peer.lines.recvn(size)) == body
        yield from peer.send(answer(b"ok"))

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(post(body, EXPECT).partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            assert (yield from conn.recvuntil(b"\r\n\r\n")) == b"HTTP/1.1 100 Continue"
            yield from conn.sendall(body)
            return (yield from conn.recvall())

    assert through(test, script).endswith(b"\r\n\r\nok")


def test_an_upstream_that_refuses_gets_no_body() -> None:
    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(post(b"hello", EXPECT, close=False).removesuffix(b"hello"))
            return undated((yield from conn.recvall()))

    def script(peer: Any) -> Steps:
        yield from peer.head()
        yield from peer.send(answer(b"no", status="403 Forbidden"))
        assert not (yield from peer.lines.recvall())

    found = through(test, script)
    assert found.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert found.endswith(b"connection: close\r\n\r\nno")
    assert b"100 Continue" not in found


def test_an_upstream_that_knows_no_expectations_gets_the_body_after_a_while() -> None:
    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(post(b"hello", EXPECT).removesuffix(b"hello"))
            assert (yield from conn.recvuntil(b"\r\n\r\n")) == b"HTTP/1.1 100 Continue"
            yield from conn.sendall(b"hello")
            return (yield from conn.recvall())

    assert through(test, echo, continue_s=0.01).endswith(b"\r\n\r\nhello")


def test_interim_responses_are_passed_on() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x\r\nX: y\r\n\r\n"
    found, _ = once(CLOSE, always(hints + hints + b"HTTP/1.1 102 Processing\r\n\r\n" + answer(b"ok")))
    passed = b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n"
    assert found.startswith(passed * 2 + b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n")
    assert found.endswith(b"\r\n\r\nok")


def test_an_answer_before_the_end_of_the_request() -> None:
    """The upstream wants no more, and answers. The client gets that, although it is still sending."""

    def script(peer: Any) -> Steps:
        yield from peer.head()
        yield from peer.send(answer(b"enough", "Connection: close", status="413 Content Too Large"))

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(post(b"", close=False).replace(b"Content-Length: 0", b"Content-Length: 9000000"))
            head = yield from conn.recvuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 413 ")
            assert b"connection: close" in head
            assert (yield from conn.recvall()) == b"enough"

    through(test, script)


def test_both_bodies_at_the_same_time() -> None:
    """A response that has begun does not end the request."""

    def script(peer: Any) -> Steps:
        yield from peer.head()
        yield from peer.send(OK + b"Content-Length: 10\r\n\r\n")
        for _ in range(10):
            piece = yield from peer.lines.recvn(100_000)
            yield from peer.send(piece[:1])

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(post(b"").replace(b"Content-Length: 0", b"Content-Length: 1000000"))
            for n in range(10):
                yield from conn.sendall(b"%d" % n * 100_000)
                if not n:
                    yield from conn.recvuntil(b"\r\n\r\n")
                assert (yield from conn.recvn(1)) == b"%d" % n
            assert not (yield from conn.recvall())

    through(test, script)
