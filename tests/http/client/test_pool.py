"""Connections that are kept: which one is used next, how many there are, and what becomes of dead ones."""

from __future__ import annotations

from typing import Any

import pytest

from socket2 import Cancelled, Event, Thread, gather, http, newthread, run, sleep, threadset
from socket2.http import Client, PoolLimits, Timeouts
from socket2.http.client.exchange import Exchange
from socket2.http.client.pool import Pool
from tests.interop.peers import OSThread, beside, refusing_port

from .scripted import OK, Peer, Server, Steps, always, answer, echo, in_thread, serving


def fetch(client: Client, url: str, method: str = "GET", **options: Any) -> Steps:
    with (yield from client.request(method, url, **options)) as response:
        return (yield from response.read())


def waiting(client: Client, count: int) -> Steps:
    """Wait until so many threads wait for a connection."""
    while len(client._means.pool._line) < count:
        yield from sleep(0)


@in_thread
def test_the_latest_connection_is_used_first() -> Steps:
    def number(peer: Peer) -> Steps:
        while (yield from peer.request()) is not None:
            yield from peer.send(answer(b"%d" % peer.number))

    with serving(number) as server, Client() as client:
        for last in (0, 1):
            responses = []
            for _ in range(2):
                responses.append((yield from client.request("GET", server.url)))
            for response in responses if last else reversed(responses):
                yield from response.read()
            assert (yield from fetch(client, server.url)) == b"%d" % last
        assert server.connections == 2


@in_thread
def test_requests_take_turns() -> Steps:
    """No more connections than allowed, and the threads are served in their order."""
    order: list[int] = []

    def one(client: Client, server: Server, number: int) -> Steps:
        with (yield from client.request("GET", server.url)) as response:
            order.append(number)
            yield from response.read()

    with serving(echo) as server, Client(pool=PoolLimits(per_origin=1)) as client:
        with (yield from client.request("GET", server.url)):
            threads: list[Thread[Any]] = []
            for number in range(5):
                threads.append(newthread(one, client, server, number))
                yield from waiting(client, number + 1)
            threads[1].cancel()
        for thread in threads:
            try:
                yield from thread.join()
            except Cancelled:
                assert thread is threads[1]
        assert order == [0, 2, 3, 4]
        assert server.connections == 1


@in_thread
def test_an_idle_connection_gives_way_if_there_are_too_many() -> Steps:
    with serving(echo) as one, serving(echo) as other, Client(pool=PoolLimits(total=1)) as client:
        for server in (one, one, other, other, one):
            yield from fetch(client, server.url)
        assert (one.connections, other.connections) == (2, 1)
        with (yield from client.request("GET", one.url)):
            thread = newthread(fetch, client, other.url)
            yield from waiting(client, 1)
        yield from thread.join()
        assert repr(client) == "<Client, 0 connections used, 1 idle>"


@in_thread
def test_a_thread_that_waits_for_one_server_does_not_hold_up_others() -> Steps:
    with serving(echo) as one, serving(echo) as other, Client(pool=PoolLimits(per_origin=1, total=2)) as client:
        with (yield from client.request("GET", one.url)):
            thread = newthread(fetch, client, one.url)
            yield from waiting(client, 1)
            yield from fetch(client, other.url)
        yield from thread.join()


@in_thread
def test_limits_of_idle_connections() -> Steps:
    with serving(echo) as server:
        with Client(pool=PoolLimits(idle=1)) as client:
            yield from gather(*(fetch(client, server.url) for _ in range(3)))
            assert repr(client) == "<Client, 0 connections used, 1 idle>"
        server.connections = 0
        with Client(pool=PoolLimits(idle_s=0)) as client:
            for _ in range(2):
                yield from fetch(client, server.url)
            assert server.connections == 2
    for wrong in ({"total": 0}, {"per_origin": 0}, {"idle": -1}, {"idle_s": -1}):
        with pytest.raises(ValueError, match="must"):
            PoolLimits(**wrong)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("behind", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
@in_thread
def test_a_dead_connection_is_not_used(method: str, behind: bytes) -> Steps:
    """Whatever the method is: nothing was sent."""
    ended = Event()

    def script(peer: Peer) -> Steps:
        yield from peer.request()
        yield from peer.send(answer(b"first"))
        yield from ready.wait()
        yield from peer.send(behind)
        peer.conn.close()
        ended.set()

    ready = Event()
    with serving(script, echo) as server, Client() as client:
        assert (yield from fetch(client, server.url)) == b"first"
        ready.set()
        yield from ended.wait()
        assert (yield from fetch(client, server.url, method, body=b"again")) == b"again"
        assert server.connections == 2


def breaking(at: bytes) -> Any:
    """A server that takes the second request of a connection, and closes it behind `at`."""

    def script(peer: Peer) -> Steps:
        yield from peer.request()
        yield from peer.send(answer(b"first"))
        yield from peer.request()
        yield from peer.send(at)

    return script


@in_thread
def test_a_request_is_repeated_if_that_is_safe() -> Steps:
    with serving(breaking(b""), echo) as server, Client() as client:
        yield from fetch(client, server.url)
        assert (yield from fetch(client, server.url, "PUT", body=b"again")) == b"again"
        assert server.bodies == [b"", b"again", b"again"]
        assert server.connections == 2


@pytest.mark.parametrize(
    ("method", "at", "options"),
    [
        ("POST", b"", {"body": b"x"}),
        ("PATCH", b"", {"body": b"x"}),
        ("GET", b"HTTP/1.1 2", {}),
        ("PUT", b"", {"body": iter([b"x"])}),
    ],
)
@in_thread
def test_a_request_is_not_repeated_if_that_is_not_safe(method: str, at: bytes, options: Any) -> Steps:
    with serving(breaking(at), echo) as server, Client(retries=3) as client:
        yield from fetch(client, server.url)
        with pytest.raises(http.ResponseError):
            yield from fetch(client, server.url, method, **options)
        assert server.connections == 1


@in_thread
def test_a_new_connection_that_breaks_is_an_error_without_retries(monkeypatch: pytest.MonkeyPatch) -> Steps:
    monkeypatch.setattr("socket2.http.client.client._FIRST_DELAY_S", 0)
    with serving(always(b""), always(b""), echo) as server:
        with Client() as client, pytest.raises(http.ResponseError):
            yield from fetch(client, server.url)
        with Client(retries=1) as client:
            assert (yield from fetch(client, server.url)) == b"GET / HTTP/1.1"


@in_thread
def test_retries_of_a_connection_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Even a POST is safe: nothing was sent."""
    monkeypatch.setattr("socket2.http.client.client._FIRST_DELAY_S", 0)
    port = refusing_port()
    with Client(retries=2) as client:
        with pytest.raises(http.ConnectError, match=rf"POST http://127.0.0.1:{port}/: Connection refused") as caught:
            yield from fetch(client, f"http://127.0.0.1:{port}", "POST")
        assert isinstance(caught.value.__cause__, ConnectionRefusedError)


@in_thread
def test_what_nobody_asked_for_behind_a_response_closes_the_connection() -> Steps:
    with serving(always(answer(b"a") + OK + b"\r\n"), echo) as server, Client() as client:
        assert (yield from fetch(client, server.url)) == b"a"
        assert (yield from fetch(client, server.url)) == b"GET / HTTP/1.1"
        assert server.connections == 2


@in_thread
def test_closing_a_client() -> Steps:
    client = Client(pool=PoolLimits(per_origin=1))
    with serving(echo) as server:
        with (yield from client.request("GET", server.url)) as response:
            thread = newthread(fetch, client, server.url)
            yield from waiting(client, 1)
            client.close()
            client.close()
            with pytest.raises(RuntimeError, match="closed"):
                yield from thread.join()
            assert (yield from response.read()) == b"GET / HTTP/1.1"
        assert repr(client) == "<Client, 0 connections used, 0 idle>"
        with pytest.raises(RuntimeError, match="closed"):
            yield from client.request("GET", server.url)


def test_a_client_in_several_loops() -> None:
    client = Client()

    def use() -> Steps:
        with serving(echo) as server:
            yield from fetch(client, server.url)

    def share(server: Server, other: OSThread[None]) -> Steps:
        with (yield from client.request("GET", server.url)):
            other.start()
            with pytest.raises(RuntimeError, match="in use in another loop"):
                other.outcome()

    @in_thread
    def test() -> Steps:
        with serving(echo) as server:
            yield from share(server, OSThread(run, use))

    with beside(run, use):
        pass
    assert client._means.pool.idle == 1
    test()
    client.close()


@in_thread
def test_many_threads_and_cancellations() -> Steps:
    """However a request ends, its turn goes to the next one, and no connection is lost or used twice."""
    with serving(echo) as server, Client(pool=PoolLimits(per_origin=3)) as client:

        def one(number: int) -> Steps:
            for again in range(5):
                body = b"%d,%d" % (number, again)
                assert (yield from fetch(client, server.url, "POST", body=body)) == body

        with threadset() as threads:
            victims = [threads.newthread(one, number) for number in range(20)]
            for victim in victims[::2]:
                yield from sleep(0)
                victim.cancel()
            yield from threads.join()
        assert client._means.pool.used == 0
        assert 0 < client._means.pool.idle <= 3


def test_a_pool_that_nobody_uses() -> None:
    assert repr(Pool(PoolLimits())) == "<Pool, 0 used, 0 idle, 0 waiting>"


@in_thread
def test_a_connection_is_not_used_again_before_the_request_was_sent(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """The server answers at once, and the end of the request still waits for room in the socket."""
    real, stuck, waiting = Exchange._send, Event(), Event()

    def send(self: Exchange, data: Any) -> Steps:
        if data == b"0\r\n\r\n":
            waiting.set()
            yield from stuck.wait()
        yield from real(self, data)

    monkeypatch.setattr(Exchange, "_send", send)

    def hasty(peer: Peer) -> Steps:
        yield from peer.head()
        yield from waiting.wait()
        yield from peer.send(answer(b"hasty"))
        yield from peer.lines.finish()

    with serving(hasty, echo) as server, Client() as client:
        with (yield from client.request("POST", server.url, body=iter([b"a"]))) as response:
            assert (yield from response.read()) == b"hasty"
        with (yield from client.request("POST", server.url, body=b"next")) as response:
            assert (yield from response.read()) == b"next"
        assert server.connections == 2


@in_thread
def test_a_wait_for_a_connection_has_a_limit() -> Steps:
    limits = PoolLimits(per_origin=1)
    with serving(echo) as server, Client(pool=limits, timeouts=Timeouts(pool=0.001)) as client:
        with (yield from client.request("GET", server.url)):
            with pytest.raises(http.RequestTimeout, match="as many connections as it may") as caught:
                yield from client.request("GET", server.url)
            assert caught.value.phase == "pool"
        with (yield from client.request("GET", server.url)) as response:
            assert (yield from response.read())
