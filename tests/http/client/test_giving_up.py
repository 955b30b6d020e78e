"""Timeouts and cancellations at every wait: the connection is not used again, and nothing is lost or done twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from socket2 import Cancelled, Event, Thread, http, newthread, now, sleep, timeout
from socket2.http import Client, PoolLimits, Timeouts
from tests.interop.peers import LIMIT_S, swallowing
from tests.tls.certificates import Authority

from .scripted import OK, Peer, Script, Steps, always, answer, echo, in_thread, serving

SHORT = 0.02


def silent(peer: Peer) -> Steps:
    yield from peer.lines.recvall()


def silent_behind(data: bytes) -> Script:
    def script(peer: Peer) -> Steps:
        yield from peer.request()
        yield from peer.send(data)
        yield from peer.lines.recvall()

    return script


def deaf(peer: Peer) -> Steps:
    """Take nothing of what the client sends."""
    yield from done.wait()


done = Event()


@in_thread
def test_a_timeout_while_connecting() -> Steps:
    with swallowing() as port, Client(timeouts=Timeouts(connect=SHORT)) as client:
        with pytest.raises(http.RequestTimeout, match="no connection could be made in time") as caught:
            yield from client.request("GET", f"http://127.0.0.1:{port}/")
        assert caught.value.phase == "connect"
        assert isinstance(caught.value, TimeoutError)
        assert client._means.pool.used == 0


@in_thread
def test_a_timeout_in_the_handshake(authority: Authority) -> Steps:
    with serving(silent) as server, Client(timeouts=Timeouts(connect=SHORT), tls=authority.client()) as client:
        with pytest.raises(http.RequestTimeout) as caught:
            yield from client.request("GET", server.secure_url)
        assert caught.value.phase == "connect"


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 ", b"HTTP/1.1 100 Continue\r\n\r\n"])
@in_thread
def test_a_timeout_before_the_head(data: bytes) -> Steps:
    with serving(silent_behind(data)) as server, Client(timeouts=Timeouts(read=SHORT), retries=3) as client:
        with pytest.raises(http.RequestTimeout, match="does not answer") as caught:
            yield from client.request("GET", server.url)
        assert caught.value.phase == "read"
        assert server.connections == 1
        assert repr(client) == "<Client, 0 connections used, 0 idle>"


@in_thread
def test_after_a_timeout_the_body_can_be_received_on() -> Steps:
    go_on = Event()

    def script(peer: Peer) -> Steps:
        yield from peer.request()
        yield from peer.send(OK + b"Content-Length: 6\r\n\r\nabc")
        yield from go_on.wait()
        yield from peer.send(b"def")
        yield from silent(peer)

    with serving(script) as server, Client() as client:
        with (yield from client.request("GET", server.url)) as response:
            response._exchange.conn.settimeout(SHORT, None)
            for _ in range(2):
                with pytest.raises(http.RequestTimeout, match="sends nothing more"):
                    yield from response.read()
            go_on.set()
            response._exchange.conn.settimeout(LIMIT_S, None)
            assert (yield from response.read()) == b"abcdef"
        assert repr(client) == "<Client, 0 connections used, 1 idle>"


@pytest.mark.parametrize("body", [lambda: bytes(50_000_000), lambda: iter(lambda: bytes(100_000), None)])
@in_thread
def test_a_server_that_takes_nothing(body: Callable[[], Any]) -> Steps:
    with serving(deaf) as server, Client(timeouts=Timeouts(send=SHORT)) as client:
        with pytest.raises(http.RequestTimeout, match="does not take the request") as caught:
            yield from client.request("POST", server.url, body=body())
        assert caught.value.phase == "send"
        assert client._means.pool.used == 0


@in_thread
def test_the_total_time() -> Steps:
    def for_ever(peer: Peer) -> Steps:
        while (yield from peer.request()) is not None:
            yield from peer.send(answer(b"", "Location: /", status="302 Found"))

    limit = Timeouts(total=SHORT)
    with serving(for_ever) as server, Client(redirects=1_000_000, timeouts=limit) as client:
        with pytest.raises(http.RequestTimeout, match=f"longer than {SHORT} s") as caught:
            yield from client.request("GET", server.url)
        assert caught.value.phase == "total"
        assert client._means.pool.used == 0
    drop = b"".join(b"1\r\nx\r\n" for _ in range(2))
    with serving(silent_behind(OK + b"Transfer-Encoding: chunked\r\n\r\n" + drop)) as server:
        with Client(timeouts=Timeouts(total=LIMIT_S)) as client:
            with (yield from client.request("GET", server.url)) as response:
                assert response._deadline is not None
                response._deadline = now() + SHORT
                with pytest.raises(http.RequestTimeout) as caught:
                    yield from response.read()
                assert caught.value.phase == "total"
            with pytest.raises(ValueError, match="more than 0"):
                Timeouts(read=0)


@in_thread
def test_a_timeout_of_the_program_is_its_own() -> Steps:
    with serving(silent) as server, Client() as client:
        with pytest.raises(TimeoutError) as caught:
            with timeout(SHORT):
                yield from client.request("GET", server.url)
        assert not isinstance(caught.value, http.RequestError)
        assert repr(client) == "<Client, 0 connections used, 0 idle>"


def cancelled_at_each_wait(client: Client, request: Callable[[], Steps], most: int) -> Steps:
    """Run a request again and again, and cancel it one turn later each time. Return how often that was too late."""
    ended = 0
    for turns in range(most):
        thread: Thread[Any] = newthread(request)
        for _ in range(turns):
            yield from sleep(0)
        thread.cancel()
        try:
            yield from thread.join()
            ended += 1
        except Cancelled:
            pass
        assert client._means.pool.used == 0
    return ended


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("kind", ["small", "large", "stream"])
@in_thread
def test_a_cancellation_at_each_wait(is_kept: bool, kind: str) -> Steps:
    body: Any = {"small": b"x" * 100, "large": b"x" * 300_000, "stream": [b"x" * 100] * 10}[kind]
    plain = b"".join(body) if isinstance(body, list) else body

    def request() -> Steps:
        with (yield from client.request("POST", server.url, body=body)) as response:
            assert (yield from response.read()) == plain

    with serving(echo) as server, Client(pool=PoolLimits(per_origin=2, idle=int(is_kept))) as client:
        yield from cancelled_at_each_wait(client, request, 30)
        yield from request()
        assert client._means.pool.idle == is_kept
        assert set(server.bodies) == {plain}


@in_thread
def test_a_cancellation_at_each_wait_with_tls(authority: Authority) -> Steps:
    def request() -> Steps:
        with (yield from client.request("GET", server.secure_url)) as response:
            yield from response.read()

    with serving(echo, tls=authority.server()) as server:
        with Client(tls=authority.client(), pool=PoolLimits(idle=0)) as client:
            yield from cancelled_at_each_wait(client, request, 20)
            yield from request()


@in_thread
def test_a_cancelled_request_frees_the_way_for_the_next() -> Steps:
    with serving(silent, echo) as server, Client(pool=PoolLimits(per_origin=1)) as client:
        first = newthread(lambda: client.request("GET", server.url))
        yield from sleep(0)
        second = newthread(lambda: client.request("GET", server.url))
        while not len(client._means.pool._line):
            yield from sleep(0)
        first.cancel()
        response = yield from second.join()
        with response:
            assert (yield from response.read()) == b"GET / HTTP/1.1"


@in_thread
def test_the_body_ends_with_its_request() -> Steps:
    """The thread that sends it does not go on when its response is closed."""
    begun: list[int] = []

    def endless() -> Any:
        while True:
            begun.append(1)
            yield b"x"

    def script(peer: Peer) -> Steps:
        yield from peer.head()
        yield from peer.send(OK + b"Transfer-Encoding: chunked\r\n\r\n")
        yield from peer.lines.recvall()

    with serving(script) as server, Client() as client:
        with (yield from client.request("POST", server.url, body=endless())) as response:
            assert response.status == 200
        assert client._means.pool.used == 0
        assert begun


@in_thread
def test_a_mistake_in_the_block_closes_the_connection() -> Steps:
    with serving(silent_behind(OK + b"Content-Length: 5\r\n\r\na"), always(answer(b"b"))) as server, Client() as client:
        with pytest.raises(ZeroDivisionError):
            with (yield from client.request("GET", server.url)):
                raise ZeroDivisionError
        assert repr(client) == "<Client, 0 connections used, 0 idle>"
