"""select(): ready sockets in lists with two kinds of keys; buffers, foreign objects, many descriptors."""

from __future__ import annotations

import errno
import resource
import select
import socket
from time import monotonic
from typing import Any

import pytest

import pollers
import socket2
from socket2 import luasocket
from socket2.luasocket.select import Ready

from ..interop.peers import LIMIT_S
from .face import Do, Pair, server


class Stranger:
    """A foreign object for select(): it has getfd(), and may have dirty()."""

    def __init__(self, sock: socket.socket | None) -> None:
        self._sock = sock

    def getfd(self) -> int:
        return self._sock.fileno() if self._sock is not None else -1


async def test_results_are_keyed_twice(do: Do, pair: Pair) -> None:
    listener, _ = server()
    with listener:
        pair.peer.sendall(b"x")
        assert await do(luasocket.select, [pair.client], None, LIMIT_S)
        readable, writable, err = await do(luasocket.select, [listener, pair.client], [pair.client])
        assert err is None
        assert readable == writable == [pair.client]
        assert readable[0] is pair.client
        assert readable[pair.client] == writable[pair.client] == 1, "places count from 1, so they are true"
        assert readable[listener] is None
        assert pair.client in readable
        assert listener not in readable
        assert readable[:] == [pair.client]


def test_ready_is_a_list() -> None:
    one, two, other = object(), object(), object()
    ready = Ready([one, two])
    assert (ready[0], ready[-1], ready[1:], ready[two], ready[other], len(ready)) == (one, two, [two], 2, None, 2)


async def test_nobody_is_ready_in_time(do: Do, pair: Pair) -> None:
    for seconds in (0, 0.02):
        begun = monotonic()
        assert await do(luasocket.select, [pair.client], [], seconds) == ([], [], "timeout")
        assert monotonic() >= begun + seconds


async def test_with_nothing_to_watch_it_is_a_sleep(do: Do, pair: Pair) -> None:
    begun = monotonic()
    assert await do(luasocket.select, None, None, 0.02) == ([], [], "timeout")
    assert monotonic() >= begun + 0.02
    assert await do(luasocket.select, [], (), 0) == ([], [], "timeout")
    pair.client.close()
    assert await do(luasocket.select, [pair.client], None, 0) == ([], [], "timeout")


def test_for_ever_of_nothing_raises(pair: Pair) -> None:
    pair.client.close()
    for nothing in (None, [], [pair.client], [None, Stranger(pair.peer)]):
        for seconds in (None, -1):
            with pytest.raises(ValueError, match="nothing to wait for"):
                luasocket.select(nothing, None, seconds)


@pytest.mark.parametrize("which", ["recvt", "sendt"])
async def test_it_waits_for_each_kind(do: Do, pair: Pair, which: str) -> None:
    if which == "sendt":
        pair.client.settimeout(0)
        while (await do(pair.client.send, bytes(100_000)))[1] is None:
            pass

    def later() -> Any:
        yield from luasocket.sleep(0.01)
        if which == "recvt":
            pair.peer.sendall(b"x")
            return
        pair.peer.setblocking(False)
        while True:
            try:
                pair.peer.recv(1_000_000)
            except BlockingIOError:
                return

    socket2.newthread(later)
    arguments = ([pair.client], None) if which == "recvt" else (None, [pair.client])
    ready = await do(luasocket.select, *arguments)
    assert ready == (([pair.client], [], None) if which == "recvt" else ([], [pair.client], None))


async def test_a_client_to_be_accepted_makes_a_server_ready(do: Do) -> None:
    listener, port = server()
    with listener:
        assert await do(luasocket.select, [listener], None, 0) == ([], [], "timeout")
        with socket.create_connection(("127.0.0.1", port)):
            assert await do(luasocket.select, [listener], None, LIMIT_S) == ([listener], [], None)
            client, _ = await do(listener.accept)
            client.close()


async def test_an_end_makes_ready(do: Do, pair: Pair) -> None:
    pair.peer.close()
    assert (await do(luasocket.select, [pair.client], None, LIMIT_S))[0] == [pair.client]
    assert await do(pair.client.receive) == (None, "closed", b"")


async def test_what_is_in_the_buffer_is_ready_and_comes_without_a_wait(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"one\ntwo\n")
    assert await do(pair.client.receive) == (b"one", None, None)
    listener, _ = server()
    with listener:
        readable, _, err = await do(luasocket.select, [listener, pair.client], None)
        assert (readable, err) == ([pair.client], None)
        assert await do(pair.client.receive) == (b"two", None, None)
        assert await do(luasocket.select, [listener, pair.client], None, 0) == ([], [], "timeout")


async def test_strangers_take_part(do: Do, pair: Pair) -> None:
    stranger = Stranger(pair.peer)
    assert await do(luasocket.select, [stranger], None, 0.01) == ([], [], "timeout")
    assert await do(luasocket.select, [stranger], [stranger], LIMIT_S) == ([], [stranger], None)

    def later() -> Any:
        yield from luasocket.sleep(0.01)
        yield from pair.client.send(b"x")

    socket2.newthread(later)
    assert await do(luasocket.select, [stranger]) == ([stranger], [], None)
    assert pair.peer.recv(10) == b"x"


async def test_sources_and_sinks_take_part(do: Do, pair: Pair) -> None:
    source, sink = luasocket.source("until-closed", pair.client), luasocket.sink("keep-open", pair.client)
    assert await do(luasocket.select, [source], [sink], LIMIT_S) == ([], [sink], None)
    pair.peer.sendall(b"line\nmore")
    assert await do(luasocket.select, [source], None, LIMIT_S) == ([source], [], None)
    assert await do(pair.client.receive) == (b"line", None, None)
    assert source.dirty()
    assert await do(luasocket.select, [source, pair.client], None, LIMIT_S) == ([source, pair.client], [], None)
    assert await do(pair.client.receive, 4) == (b"more", None, None)
    assert await do(luasocket.select, [source, pair.client, source], None, 0.01) == ([], [], "timeout")


async def test_what_cannot_be_watched_is_passed_over(do: Do, pair: Pair) -> None:
    pair.peer.sendall(b"x")
    with luasocket.tcp() as master:
        others = [master, 5, "text", object(), Stranger(None)]
        assert (await do(luasocket.select, [*others, pair.client], others, LIMIT_S)) == ([pair.client], [], None)


async def test_a_list_ends_at_none(do: Do, pair: Pair) -> None:
    assert await do(luasocket.select, None, [None, pair.client], 0) == ([], [], "timeout")
    assert await do(luasocket.select, None, [pair.client, None, Stranger(pair.peer)], 0) == ([], [pair.client], None)


@pytest.mark.parametrize("arguments", [(5, None), (None, 5), ("text", None), (None, b"x"), (None, None, "x")])
def test_what_is_no_list_raises(arguments: Any) -> None:
    with pytest.raises(TypeError):
        luasocket.select(*arguments)


async def test_closed_meanwhile_is_ready(do: Do, pair: Pair) -> None:
    def later() -> Any:
        yield from luasocket.sleep(0.01)
        pair.client.close()

    socket2.newthread(later)
    listener, _ = server()
    with listener:
        assert await do(luasocket.select, [listener, pair.client], None) == ([pair.client], [], None)
        assert await do(pair.client.receive) == (None, "closed", b"")


async def test_while_a_thread_receives_it_refuses(do: Do, pair: Pair) -> None:
    thread = socket2.newthread(pair.client.receive)
    with pytest.raises(socket2.Busy):
        await do(luasocket.select, [pair.client])
    assert await do(luasocket.select, None, [pair.client]) == ([], [pair.client], None)
    pair.peer.sendall(b"hello\n")
    while not thread.done:
        await do(luasocket.sleep, 0)
    assert thread.result() == (b"hello", None, None)


async def test_it_leaves_no_thread_and_the_sockets_free(do: Do, pair: Pair) -> None:
    """This holds also if it is cancelled."""
    listener, _ = server()
    with listener:
        thread = socket2.newthread(luasocket.select, [listener, pair.client])
        thread.cancel()
        while not thread.done:
            await do(luasocket.sleep, 0)
        pair.client.settimeout(0)
        assert await do(luasocket.select, [listener, pair.client], None, 0.01) == ([], [], "timeout")
        assert await do(pair.client.receive) == (None, "timeout", b"")
        assert len(thread.scheduler.threads) == do.in_thread


async def test_again_and_again_it_lets_others_run(do: Do, pair: Pair) -> None:
    def later() -> Any:
        yield from luasocket.sleep(0.01)
        pair.peer.sendall(b"x")

    socket2.newthread(later)
    while (await do(luasocket.select, [pair.client], None, 0))[2] == "timeout":
        pass
    assert await do(pair.client.receive, 1) == (b"x", None, None)


async def test_an_error_of_the_system_raises(do: Do, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "dup", no_room)
    with pytest.raises(OSError, match="Too many open files"):
        await do(luasocket.select, [Stranger(pair.peer)], None, LIMIT_S)


async def test_beyond_what_select_2_takes(do: Do) -> None:
    """Descriptors over 1023, and more than 1024 of them."""
    many = 1100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * many + 200:
        pytest.skip(f"this process may have only {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * many + 200), hard))
    socks: list[luasocket.UDP] = []
    try:
        for _ in range(many):
            sock = luasocket.udp4()
            socks.append(sock)
            assert await do(sock.setsockname, "127.0.0.1", 0) == (1, None)
        last = socks[-1]
        assert last.getfd() >= 1024
        assert await do(luasocket.select, socks, None, 0) == ([], [], "timeout")

        port: Any = last.getsockname()[1]

        def later() -> Any:
            yield from last.sendto(b"x", "127.0.0.1", port)

        socket2.newthread(later)
        assert await do(luasocket.select, socks, None, LIMIT_S) == ([last], [], None)
        readable, writable, _ = await do(luasocket.select, socks, socks, LIMIT_S)
        assert (len(readable), len(writable), writable[last]) == (1, many, many)
        assert await do(last.receive) == (b"x", None)
        assert (await do(luasocket.select, socks, None, 0.01))[2] == "timeout"
    finally:
        for sock in socks:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# What it calls in the system.


def test_ready_descriptors() -> None:
    one, other = socket.socketpair()
    with one, other:
        fds = {one.fileno(), other.fileno()}
        assert pollers.ready(fds, fds) == (set(), fds)
        one.send(b"x")
        assert pollers.ready(fds, set()) == ({other.fileno()}, set())
        one.close()
        gone = (fds - {other.fileno()}).pop()
        assert pollers.ready(fds, fds) == ({other.fileno()}, {other.fileno()})
        assert pollers.ready({gone}, {gone}) == (set(), set())
        assert pollers.ready([], []) == (set(), set())


def test_ready_descriptors_without_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll", raising=False)
    one, other = socket.socketpair()
    with one, other:
        one.send(b"x")
        fds = {one.fileno(), other.fileno()}
        assert pollers.ready(fds, fds) == ({other.fileno()}, fds)


async def test_what_a_thread_receives_from_is_busy_without_a_wait_too(pair: Pair, do: Do) -> None:
    if not do.in_thread:
        return
    receiving = socket2.newthread(pair.client.receive)
    await socket2.sleep(0)
    for timeout in (0, 1):
        with pytest.raises(socket2.Busy):
            await luasocket.select([pair.client], None, timeout)
    assert (await luasocket.select(None, [pair.client], 0))[1] == [pair.client]
    pair.peer.sendall(b"line\n")
    assert await receiving.join() == (b"line", None, None)
