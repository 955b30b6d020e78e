"""Upstreams that refuse, break off, talk nonsense or say nothing, and clients that leave."""

from __future__ import annotations

import logging
from typing import Any

import pytest

import socket2
from socket2 import http
from socket2.http.gateway import lookout

from ...interop.peers import refusing_port, swallowing
from ..client.scripted import OK, Server, Steps, always, answer, echo, in_thread
from ..scene import undated
from .scene import BAD_GATEWAY, CLOSE, GET, at_warning, once, through, url_of

POST = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"


def silent(peer: Any) -> Steps:
    """Take a request, and close the connection."""
    yield from peer.request()


def reset(peer: Any) -> Steps:
    yield from peer.request()
    peer.conn.setopt("linger", 0)


@pytest.mark.parametrize("script", [silent, reset])
def test_an_upstream_that_closes_without_an_answer(script: Any, caplog: pytest.LogCaptureFixture) -> None:
    with at_warning(caplog):
        found, heads = once(CLOSE, script)
    assert found.startswith(BAD_GATEWAY)
    assert found.endswith(b"\r\n\r\nBad Gateway\n")
    assert len(heads) == 1
    (record,) = caplog.records
    assert record.getMessage().startswith("http://127.0.0.1:")
    assert record.target == "/a?b"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "response",
    [
        b"hello\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip\r\n\r\n",
        OK + b"X : y\r\n\r\n",
        OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 65 + answer(b""),
        OK[:5],
        b"",
    ],
)
def test_a_response_that_is_none(response: bytes, caplog: pytest.LogCaptureFixture) -> None:
    found, _ = once(CLOSE, always(response), others=1, failures=9)
    at = found.rfind(b"HTTP/1.1 ")
    if response:
        assert found[at:].startswith(BAD_GATEWAY)
    else:
        assert found.endswith(b"GET /a?b HTTP/1.1")  # nothing has come, so the other one was asked
    assert not any(record.levelno > logging.WARNING for record in caplog.records)


@pytest.mark.parametrize(
    "response",
    [
        OK + b"Content-Length: 9\r\n\r\nhello",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0x\r\n",
    ],
)
@pytest.mark.parametrize("minor", [0, 1])
def test_a_response_that_breaks_off_does_not_look_complete(response: bytes, minor: int, caplog: Any) -> None:
    with at_warning(caplog):
        found, _ = once(b"GET / HTTP/1.%d\r\nHost: a\r\n\r\n" % minor, always(response))
    if b"Content-Length: 9" in response:
        assert found.endswith(b"\r\n\r\nhello") or found == b"reset"
    elif minor:
        assert found.endswith(b"5\r\nhello\r\n") or found == b"reset"
    else:
        assert found == b"reset"  # nothing else can tell it
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_an_upstream_that_does_not_answer_in_time() -> None:
    def script(peer: Any) -> Steps:
        yield from peer.request()
        assert not (yield from peer.lines.recvall())  # the proxy has closed it

    assert once(CLOSE, script, read_s=0.02)[0].startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert once(POST, script, read_s=0.02)[0].startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    slow = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)
    assert once(slow, script, read_s=0.02)[0].startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")


def test_an_upstream_that_does_not_take_the_body() -> None:
    def script(peer: Any) -> Steps:
        yield from peer.head()
        yield from gone.wait()

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")

            def fill() -> Steps:
                try:
                    while True:
                        yield from conn.sendall(bytes(1 << 20))
                except OSError:
                    pass

            filling = socket2.newthread(fill)
            assert (yield from conn.recvuntil(b"\r\n")) == b"HTTP/1.1 504 Gateway Timeout"
            conn.close()
            yield from filling.join()
            gone.set()

    gone = socket2.Event()
    through(test, script, send_s=0.05, limits=http.Limits(body_bytes=None))


def proxied(test: Any, *urls: str, **options: Any) -> Any:
    """Run `test(ask)` with a proxy for these URLs. ask() sends a request, and returns the status and the body."""

    def main() -> Steps:
        proxy = http.proxy(urls, **options)
        server = socket2.Server(http.handler(proxy))
        yield from server.listen("127.0.0.1", 0)

        def ask(data: bytes = CLOSE) -> Steps:
            with socket2.stream((yield from socket2.connect(*server.addresses[0]))) as conn:
                yield from conn.sendall(data)
                found = yield from conn.recvall()
                return int(found[9:12]), found.partition(b"\r\n\r\n")[2]

        try:
            yield from test(ask, proxy)
        finally:
            yield from server.stop(0)

    return in_thread(main)()


def test_nobody_listens() -> None:
    def test(ask: Any, proxy: Any) -> Steps:
        assert (yield from ask()) == (502, b"Bad Gateway\n")
        assert (yield from ask(POST)) == (502, b"Bad Gateway\n")

    proxied(test, f"http://127.0.0.1:{refusing_port()}")


def test_a_connection_that_cannot_be_made_in_time() -> None:
    def test(ask: Any, proxy: Any) -> Steps:
        assert (yield from ask()) == (504, b"Gateway Timeout\n")

    with swallowing() as port:
        proxied(test, f"http://127.0.0.1:{port}", connect_s=0.02)


def test_another_upstream_gets_what_could_not_be_sent() -> None:
    def test(ask: Any, proxy: Any) -> Steps:
        server = Server([echo])
        proxy.upstreams[1].__init__(url_of(server), None)
        for _ in range(4):
            assert (yield from ask()) == (200, b"GET /a?b HTTP/1.1")
            assert (yield from ask(POST)) == (200, b"hello")
        assert proxy.upstreams[0].failed == 3  # then it got no more
        assert proxy.upstreams[0].out_until > socket2.now()
        server.close()

    port = refusing_port()
    proxied(test, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")


def test_what_may_have_been_done_is_not_done_again() -> None:
    def test(scene: Any) -> Steps:
        assert (yield from scene.ask(POST)).startswith(BAD_GATEWAY)
        assert scene.upstream.bodies == [b"hello"]
        assert not scene.upstreams[1].heads
        yield from scene.ask(POST)  # it is the other one's turn
        assert (yield from scene.ask(CLOSE)).endswith(b"\r\n\r\nGET /a?b HTTP/1.1")  # first failed, then repeated
        assert len(scene.heads) == 2

    through(test, silent, others=1, failures=9)


def test_a_connection_that_ended_while_it_was_idle() -> None:
    """A request for which that is safe is sent again. Any other one gets a connection that was looked at before."""

    def script(peer: Any) -> Steps:
        yield from peer.request()
        yield from peer.send(answer(b"one"))
        yield from closing.wait()
        closing.clear()

    def test(scene: Any) -> Steps:
        for request in (CLOSE, POST):
            yield from scene.ask(CLOSE)
            connections = scene.upstream.connections
            assert scene.proxy.upstreams[0].idle == 1
            closing.set()
            while closing.is_set():
                yield from socket2.sleep(0)
            assert (yield from scene.ask(request)).endswith(b"one")
            assert scene.upstream.connections == connections + 1
            closing.set()
            while closing.is_set():
                yield from socket2.sleep(0)
        assert not scene.proxy.upstreams[0].failed

    closing = socket2.Event()
    through(test, script)


def test_connections_are_used_again() -> None:
    def test(scene: Any) -> Steps:
        for _ in range(3):
            yield from scene.ask(CLOSE, end=False)
        assert scene.upstream.connections == 1
        assert scene.proxy.upstreams[0].served == 3

    through(test)


@pytest.mark.parametrize("extra", [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"x"])
def test_what_comes_behind_a_response_belongs_to_nobody(extra: bytes) -> None:
    def test(scene: Any) -> Steps:
        for _ in range(2):
            assert (yield from scene.ask(CLOSE)).endswith(b"\r\n\r\nmine")
        assert scene.upstream.connections == 2

    through(test, always(answer(b"mine") + extra))


def test_a_client_that_leaves_ends_its_request_at_the_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookout, "LOOK_S", 0.1)

    def script(peer: Any) -> Steps:
        yield from peer.request()
        came.set()
        assert not (yield from peer.lines.recvall())
        left.set()

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(GET)
            yield from came.wait()
        yield from left.wait()
        assert not scene.proxy.upstreams[0].failed

    came, left = socket2.Event(), socket2.Event()
    through(test, script)


def test_a_client_that_leaves_within_its_body_ends_its_request() -> None:
    def script(peer: Any) -> Steps:
        yield from peer.head()
        came.set()
        yield from peer.lines.recvall()
        left.set()

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            yield from conn.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhello")
            yield from came.wait()
        yield from left.wait()

    came, left = socket2.Event(), socket2.Event()
    through(test, script)


@pytest.mark.parametrize("size", [b"5", b"100000"])
def test_a_body_that_is_wrong_ends_the_request(size: bytes) -> None:
    def test(scene: Any) -> Steps:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        found = yield from scene.ask(head + b"5\r\nhello\r\nx\r\n")
        assert found.startswith(b"HTTP/1.1 400 ")

    def script(peer: Any) -> Steps:
        yield from peer.head()
        assert b"0\r\n" not in (yield from peer.lines.recvall())

    through(test, script)


def test_no_more_requests_than_one_may_have() -> None:
    def script(peer: Any) -> Steps:
        while (yield from peer.request()) is not None:
            came.set()
            yield from go_on.wait()
            yield from peer.send(answer(b"ok"))

    def test(scene: Any) -> Steps:
        waiting = socket2.newthread(scene.ask, CLOSE, end=False)
        yield from came.wait()
        assert (yield from scene.ask(CLOSE)).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        go_on.set()
        yield from waiting.join()
        assert (yield from scene.ask(CLOSE)).endswith(b"ok")

    came, go_on = socket2.Event(), socket2.Event()
    through(test, script, max_requests=1)


def test_connect_is_not_for_a_reverse_proxy() -> None:
    found, heads = once(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
    assert found.startswith(b"HTTP/1.1 405 ")
    assert not heads


def test_a_stop_finishes_requests_and_leaves_no_connection() -> None:
    def script(peer: Any) -> Steps:
        yield from peer.request()
        came.set()
        yield from go_on.wait()
        yield from peer.send(answer(b"ok"))
        assert not (yield from peer.lines.recvall())

    def test(scene: Any) -> Steps:
        waiting = socket2.newthread(scene.ask, GET)
        yield from came.wait()
        stopping = socket2.newthread(scene.server.stop, 10)
        yield from scene.server.stopping.wait()
        go_on.set()
        found = undated((yield from waiting.join()))
        assert b"connection: close\r\n" in found
        assert found.endswith(b"ok")
        yield from stopping.join()
        assert not scene.proxy.upstreams[0].idle

    came, go_on = socket2.Event(), socket2.Event()
    through(test, script)
