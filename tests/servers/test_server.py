"""Servers: where they listen, what happens to connections and their threads, and how they stop."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import (
    TCP,
    Cancelled,
    Event,
    Server,
    between_requests,
    call_in_thread,
    inherited_listeners,
    newthread,
    run,
    runafter,
    serve,
    sleep,
    suspend,
    tcp,
    threadset,
    timeout,
    unix,
)
from socket2.servers import listeners

from ..interop.peers import LIMIT_S, ROOT, Program, beside, connect, receive_all
from ..machine import needs_ipv6

Steps = Generator[Any, Any, Any]


def echo(conn: TCP) -> Steps:
    while data := (yield from conn.recv(65536)):
        yield from conn.sendall(data)


def ask(address: Any, data: bytes = b"hello", end: bool = True) -> Steps:
    """Connect, send, and return the whole answer."""
    family = "inet6" if len(address) == 4 else "inet"
    with tcp(family) as client:
        yield from client.connect(address)
        yield from client.sendall(data)
        if end:
            client.shutdown(socket.SHUT_WR)
        return (yield from everything(client))


def everything(conn: TCP) -> Steps:
    found = b""
    while data := (yield from conn.recv(65536)):
        found += data
    return found


def connected(address: Any) -> Steps:
    client = tcp()
    yield from client.connect(address)
    return client


def several(count: int, address: Any) -> Steps:
    with threadset() as ts:
        for _ in range(count):
            ts.newthread(connected, address)
        return (yield from ts.join())


def turns(count: int = 10) -> Steps:
    """Run the loop until all other threads wait."""
    for _ in range(count):
        yield from sleep(0.001)


def until(holds: Callable[[], bool]) -> Steps:
    with timeout(LIMIT_S):
        while not holds():
            yield from sleep(0.001)


def refused(address: Any) -> Steps:
    with tcp() as client, pytest.raises(ConnectionRefusedError):
        yield from client.connect(address)


@pytest.fixture
def crashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    reported: list[str] = []
    monkeypatch.setattr(
        "socket2.thread.crashhook", lambda thread, error: reported.append(f"{thread.name.split()[0]}: {error!r}")
    )
    return reported


needs_descriptors = pytest.mark.skipif(os.name == "nt", reason="a socket is not a descriptor of the C library here")


# Where it listens.


@needs_ipv6
@pytest.mark.parametrize("host", [None, "", "*", "localhost", False])
def test_both_families_have_one_port(host: Any) -> None:
    def main() -> Steps:
        server = Server(echo)
        yield from server.listen(host)
        (host_4, port), (host_6, port_6, *_) = server.addresses
        assert port == port_6 != 0
        assert (host_4, host_6) == (("0.0.0.0", "::") if host in (None, "", "*") else ("127.0.0.1", "::1"))
        for address in (("127.0.0.1", port), ("::1", port, 0, 0)):
            assert (yield from ask(address)) == b"hello"
        assert (yield from server.stop()) == 0

    run(main)


def test_a_machine_without_ipv6_serves_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = tcp

    def no_ipv6(family: str) -> TCP:
        if family == "inet6":
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return real(family)

    monkeypatch.setattr(listeners, "tcp", no_ipv6)

    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("localhost")
        assert [address[0] for address in server.addresses] == ["127.0.0.1"]
        yield from server.stop()
        with pytest.raises(OSError, match="family not supported"):
            yield from Server(echo).listen("::1")

    run(main)


@needs_ipv6
def test_another_port_is_tried_when_one_is_free_in_one_family_only(monkeypatch: pytest.MonkeyPatch) -> None:
    real, taken = listeners._bind_to, list[int]()

    def takes_the_port(address: Any, reuse_port: bool) -> TCP:
        if address.family == "inet6" and len(taken) < 3:
            taken.append(address.port)
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return real(address, reuse_port)

    monkeypatch.setattr(listeners, "_bind_to", takes_the_port)

    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("localhost")
        assert len(taken) == 3
        assert len(server.addresses) == 2
        yield from server.stop()

    run(main)


def test_many_listeners_of_many_kinds(tmp_path: Any) -> None:
    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1")
        yield from server.listen("127.0.0.1")
        listener = unix()
        listener.listen(str(tmp_path / "socket"))
        server.add(listener)
        assert len(server.addresses) == 3
        for address in server.addresses[:2]:
            assert (yield from ask(address)) == b"hello"
        with unix() as client:
            yield from client.connect(str(tmp_path / "socket"))
            yield from client.sendall(b"hello")
            assert (yield from client.recv(100)) == b"hello"
        yield from server.stop(0)
        assert listener.closed
        with pytest.raises(RuntimeError, match="stopped"):
            yield from server.listen("127.0.0.1")

    run(main)


def test_an_address_that_cannot_be_had() -> None:
    def main() -> Steps:
        with tcp() as taken:
            taken.listen("127.0.0.1")
            with pytest.raises(OSError, match="in use"):
                yield from Server(echo).listen(*taken.getsockname())
            with pytest.raises(OSError, match="in use"):
                yield from serve(echo, *taken.getsockname())
        with pytest.raises(OSError, match="assign"):
            yield from Server(echo).listen("192.0.2.1")

    run(main)


def test_a_stopped_server_leaves_no_listener_behind() -> None:
    """Each address of the name has a listener. A ResourceWarning would reveal the second one."""

    def main() -> Steps:
        server = Server(echo)
        yield from server.stop()
        with pytest.raises(RuntimeError, match="stopped"):
            yield from server.listen("localhost", 0)

    run(main)


def test_reuse_port_lets_two_servers_share_one() -> None:
    def main() -> Steps:
        one, other = Server(echo), Server(echo)
        yield from one.listen("127.0.0.1", reuse_port=True)
        yield from other.listen(*one.addresses[0], reuse_port=True)
        assert one.addresses == other.addresses
        with pytest.raises(OSError, match="in use"):
            yield from Server(echo).listen(*one.addresses[0])
        yield from one.stop()
        assert (yield from ask(other.addresses[0])) == b"hello"
        yield from other.stop()

    run(main)


# Connections and their threads.


async def echo_async(conn: TCP) -> None:
    while data := await conn.recv(65536):
        await conn.sendall(data)


def say_something(conn: TCP) -> None:
    conn.std.send(b"hello")  # a plain function cannot wait


@pytest.mark.parametrize("handler", [echo, echo_async, say_something, lambda conn: echo(conn)])
def test_a_handler_is_whatever_can_be_a_thread(handler: Any) -> None:
    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        for _ in range(3):
            data = b"" if handler is say_something else b"hello"
            assert (yield from ask(server.addresses[0], data)) == b"hello"
        yield from until(lambda: server.connections == 0)
        yield from server.stop()

    run(main)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_crash_is_logged_and_closes_its_socket_only(
    at_once: bool, crashes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(conn: TCP) -> Steps:
        if not at_once:
            yield from conn.recv(1)
        raise ValueError("of a handler")

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        for _ in range(3):
            assert (yield from ask(server.addresses[0], b"" if at_once else b"x")) == b""
        assert server.connections == 0
        assert (yield from server.stop()) == 0

    run(main)
    assert not crashes
    assert [(record.levelname, record.name) for record in caplog.records] == [("ERROR", "socket2.server")] * 3
    assert caplog.text.count("Traceback") == caplog.text.count("ValueError: of a handler") == 3


@pytest.mark.parametrize("at_once", [True, False])
def test_a_client_that_has_gone_is_no_crash(
    at_once: bool, crashes: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def handler(conn: TCP) -> Steps:
        if not at_once:
            yield from sleep(0)
        raise ConnectionResetError(errno.ECONNRESET, "gone")

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        assert (yield from ask(server.addresses[0], b"")) == b""
        yield from server.stop()

    with caplog.at_level(logging.INFO, logger="socket2"):
        run(main)
    assert not crashes
    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_a_handler_that_cannot_be_called_does_not_end_the_server(caplog: pytest.LogCaptureFixture) -> None:
    def handler(conn: TCP, more: int) -> None: ...

    def main() -> Steps:
        server = Server(handler)  # type: ignore[arg-type]
        yield from server.listen("127.0.0.1")
        for _ in range(2):
            assert (yield from ask(server.addresses[0], b"")) == b""
        assert server.connections == 0
        yield from server.stop()

    run(main)
    assert len(caplog.records) == 2
    with pytest.raises(TypeError, match="handler must be a function"):
        Server(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("listeners_count", [1, 2])
def test_no_more_connections_than_the_limit(listeners_count: int) -> None:
    most = now = 0

    def handler(conn: TCP) -> Steps:
        nonlocal most, now
        now += 1
        most = max(most, now)
        data = yield from conn.recv(100)
        yield from conn.sendall(data)
        now -= 1

    def main() -> Steps:
        server = Server(handler, max_connections=2)
        for _ in range(listeners_count):
            yield from server.listen("127.0.0.1")
        clients = []
        for at in range(8):
            client = yield from connected(server.addresses[at % listeners_count])
            clients.append(client)
        yield from turns()
        assert server.connections == 2
        with threadset() as ts:
            for client in clients:
                yield from client.sendall(b"x")
            for client in clients:
                ts.newthread(everything, client)
            assert (yield from ts.join()) == [b"x"] * 8
        for client in clients:
            client.close()
        assert (yield from server.stop()) == 0
        assert most == 2

    run(main)
    with pytest.raises(ValueError, match="max_connections must be at least 1"):
        Server(echo, max_connections=0)


def test_no_descriptor_left_neither_spins_nor_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1")
        assert (yield from ask(server.addresses[0])) == b"hello"
        yield from until(lambda: server.connections == 0)
        poller = socket2.threads.scheduler.current_scheduler().poller
        with tcp() as client:
            spare = os.dup(0)
            os.close(spare)
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
            try:
                yield from client.connect(server.addresses[0])
                polls = poller.stats().polls
                yield from sleep(0.25)
                assert poller.stats().polls - polls < 50
                assert server.connections == 0
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            yield from client.sendall(b"hello")
            assert (yield from client.recv(100)) == b"hello"
        yield from server.stop()

    run(main)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_listener_that_breaks_ends_the_server_when_it_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1")
        client = yield from connected(server.addresses[0])
        yield from until(lambda: server.connections == 1)
        accepting = next(iter(server._accepting.values()))
        assert accepting is not None
        broken = OSError(errno.ENOTSOCK, "broken")
        accepting.scheduler.interrupt(accepting, broken)
        yield from turns()
        yield from client.sendall(b"still served")
        assert (yield from client.recv(100)) == b"still served"
        client.close()
        with pytest.raises(OSError, match="broken"):
            yield from server.wait()

    run(main)


# Stopping.


def test_stop_lets_handlers_finish() -> None:
    def main() -> Steps:
        stopping = Event()

        def handler(conn: TCP) -> Steps:
            data = yield from conn.recv(100)
            yield from stopping.wait()
            yield from conn.sendall(data)

        server = Server(handler)
        yield from server.listen("127.0.0.1")
        with threadset() as ts:
            for at in range(5):
                ts.newthread(ask, server.addresses[0], b"%d" % at)
            yield from until(lambda: server.connections == 5)
            ts.newthread(server.stop, LIMIT_S)
            assert server.stopping
            stopping.set()
            assert (yield from server.wait()) == 0
            assert (yield from ts.join()) == [*(b"%d" % at for at in range(5)), 0]
        yield from refused(server.addresses[0])
        assert (yield from server.stop()) == 0
        assert (yield from server.wait()) == 0

    run(main)


def test_what_the_kernel_had_queued_is_answered() -> None:
    """Five clients wait in the queue, since the server is full. They are accepted when it stops."""

    def main() -> Steps:
        server = Server(echo, max_connections=1)
        yield from server.listen("127.0.0.1")
        busy = yield from connected(server.addresses[0])
        yield from until(lambda: server.connections == 1)
        with threadset() as ts:
            for at in range(5):
                client = yield from connected(server.addresses[0])
                yield from client.sendall(b"%d" % at)
                client.shutdown(socket.SHUT_WR)
                ts.newthread(all_of, client)
            assert server.connections == 1
            stopping = newthread(server.stop, LIMIT_S)
            yield from refused_soon(server)
            busy.close()
            assert (yield from ts.join()) == [b"%d" % at for at in range(5)]
            assert (yield from stopping.join()) == 0

    def all_of(client: TCP) -> Steps:
        with client:
            return (yield from everything(client))

    def refused_soon(server: Server) -> Steps:
        yield from until(lambda: not server._accepting)
        yield from refused(server.addresses[0])

    run(main)


def test_a_stop_ends_though_clients_do_not_cease_to_come() -> None:
    """Each greeted client brings another one. All that were accepted get an answer, and none delays the stop."""

    def main() -> Steps:
        clients: list[socket.socket] = []

        def handler(conn: TCP) -> Steps:
            yield from sleep(0)
            with suppress(ConnectionRefusedError):
                clients.append(connect(*server.addresses[0]))
            yield from conn.sendall(b"hello")

        server = Server(handler)
        yield from server.listen("127.0.0.1")
        clients.append(connect(*server.addresses[0]))
        yield from until(lambda: len(clients) > 20)
        assert (yield from server.stop(LIMIT_S)) == 0
        for client in clients:
            with client:
                assert receive_all(client) == b"hello"

    run(main)


def test_who_does_not_finish_is_cut_off_and_counted() -> None:
    ended: list[str] = []

    def handler(conn: TCP) -> Steps:
        try:
            yield from suspend()
        finally:
            yield from conn.sendall(b"goodbye")
            ended.append("cleaned up")

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        clients = yield from several(3, server.addresses[0])
        yield from until(lambda: server.connections == 3)
        begun = monotonic()
        first = newthread(server.stop, LIMIT_S)
        yield from turns()
        assert not first.done
        assert (yield from server.stop(0.02)) == 3
        assert 0.02 <= monotonic() - begun < LIMIT_S / 2
        assert (yield from first.join()) == 3
        assert (yield from server.wait()) == 3
        for client in clients:
            assert (yield from everything(client)) == b"goodbye"
            client.close()

    run(main)
    assert len(ended) == 3


def test_a_thread_that_hangs_in_its_cleanup_has_its_socket_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket2.servers.server.CLEANUP_S", 0.02)

    def handler(conn: TCP) -> Steps:
        try:
            yield from suspend()
        finally:
            yield from conn.recv(1)

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        client = yield from connected(server.addresses[0])
        yield from until(lambda: server.connections == 1)
        assert (yield from server.stop(0)) == 1
        assert server.connections == 0
        assert (yield from everything(client)) == b""
        client.close()

    run(main)


def test_a_thread_that_never_ends_does_not_hold_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("socket2.servers.server.CLEANUP_S", 0.02)
    let_go = Event()

    def handler(conn: TCP) -> Steps:
        try:
            yield from suspend()
        finally:
            yield from let_go.wait()

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        client = yield from connected(server.addresses[0])
        yield from until(lambda: server.connections == 1)
        assert (yield from server.stop(0)) == 1
        assert (yield from everything(client)) == b""
        client.close()
        let_go.set()
        yield from until(lambda: server.connections == 0)

    run(main)
    assert "did not end" in caplog.text


def test_stop_without_a_listener_or_a_connection() -> None:
    def main() -> Steps:
        server = Server(echo)
        assert (yield from server.stop()) == 0
        with pytest.raises(ValueError, match="negative"):
            server.stop(-1)

    run(main)


def test_a_stop_that_is_cancelled_can_be_made_again() -> None:
    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1")
        client = yield from connected(server.addresses[0])
        yield from until(lambda: server.connections == 1)
        with pytest.raises(TimeoutError), timeout(0.01):
            yield from server.stop(LIMIT_S)
        yield from client.sendall(b"still served")
        assert (yield from client.recv(100)) == b"still served"
        yield from refused(server.addresses[0])
        client.close()
        assert (yield from server.stop()) == 0

    run(main)


def test_a_handler_can_stop_its_server() -> None:
    def main() -> Steps:
        def handler(conn: TCP) -> Steps:
            newthread(server.stop, LIMIT_S)
            yield from conn.sendall(b"stopping")

        server = Server(handler)
        yield from server.listen("127.0.0.1")
        assert (yield from ask(server.addresses[0], b"")) == b"stopping"
        assert (yield from server.wait()) == 0

    run(main)


# Between requests.


def lines(conn: TCP) -> Steps:
    """Send one answer per line, after a pause."""
    while True:
        with between_requests():
            data = yield from conn.recv(100)
        if not data:
            return
        yield from sleep(0.02)
        yield from conn.sendall(data)


def test_who_waits_for_the_next_request_leaves_at_once() -> None:
    def main() -> Steps:
        server = Server(lines)
        yield from server.listen("127.0.0.1")
        idle, working, fresh = yield from several(3, server.addresses[0])
        for client in (idle, working):
            yield from client.sendall(b"first")
            assert (yield from client.recv(100)) == b"first"
        yield from working.sendall(b"second")
        yield from turns(5)
        begun = monotonic()
        stopping = newthread(server.stop, LIMIT_S)
        assert (yield from idle.recv(100)) == b""
        assert not stopping.done
        assert (yield from everything(working)) == b"second"
        yield from fresh.sendall(b"first")  # it was accepted, so it is served
        assert (yield from everything(fresh)) == b"first"
        assert (yield from stopping.join()) == 0
        assert monotonic() - begun < LIMIT_S / 2
        for client in (idle, working, fresh):
            client.close()

    run(main)


def test_a_request_that_has_arrived_when_the_server_stops_is_answered() -> None:
    """Its receive finishes before the interruption, which is postponed until the answer is sent."""

    def main() -> Steps:
        server = Server(lines)
        yield from server.listen("127.0.0.1")
        client = yield from connected(server.addresses[0])
        yield from client.sendall(b"first")
        assert (yield from client.recv(100)) == b"first"
        handler = next(iter(server._connections)).thread
        assert handler is not None
        yield from until(lambda: "recv" in repr(handler.waiting_on))
        client.std.send(b"second")
        stopping = newthread(server.stop, LIMIT_S)
        assert (yield from everything(client)) == b"second"
        assert (yield from stopping.join()) == 0
        client.close()

    run(main)


def test_a_request_that_came_while_the_last_one_was_answered_is_answered_too() -> None:
    def main() -> Steps:
        working, go_on = Event(), Event()

        def handler(conn: TCP) -> Steps:
            while True:
                with between_requests():
                    data = yield from conn.recv(100)
                if not data:
                    return
                working.set()
                yield from go_on.wait()
                yield from conn.sendall(data)

        server = Server(handler)
        yield from server.listen("127.0.0.1")
        client = yield from connected(server.addresses[0])
        yield from client.sendall(b"first")
        yield from working.wait()
        stopping = newthread(server.stop, LIMIT_S)
        yield from client.sendall(b"second")
        go_on.set()
        assert (yield from everything(client)) == b"firstsecond"
        assert (yield from stopping.join()) == 0
        client.close()

    run(main)


def test_between_requests_means_nothing_elsewhere() -> None:
    def main() -> Steps:
        with between_requests():
            yield from sleep(0)

    run(main)


# serve() and signals.


@contextmanager
def handlers_are_put_back(*signals: signal.Signals) -> Iterator[None]:
    before = [signal.getsignal(signum) for signum in signals]
    yield
    assert [signal.getsignal(signum) for signum in signals] == before


def kill(*signals: signal.Signals) -> None:
    for signum in signals:
        signal.raise_signal(signum)


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_serve_stops_gracefully_at_a_signal(signum: signal.Signals) -> None:
    answers = []
    gate = Event()

    def ready(server: Server) -> None:
        newthread(client, server)

    def client(server: Server) -> Steps:
        asking = newthread(ask, server.addresses[0])
        yield from until(lambda: server.connections == 1)
        kill(signum)
        yield from until(lambda: server.stopping)
        gate.set()
        answers.append((yield from asking.join()))

    def handler(conn: TCP) -> Steps:
        yield from gate.wait()
        yield from echo(conn)

    with handlers_are_put_back(signal.SIGTERM, signal.SIGINT):
        assert run(lambda: serve(handler, "127.0.0.1", ready=ready)) == 0
    socket2.start()
    assert answers == [b"hello"]


def test_a_second_signal_cuts_at_once() -> None:
    def ready(server: Server) -> None:
        newthread(client, server)

    def client(server: Server) -> Steps:
        with (yield from connected(server.addresses[0])) as conn:
            yield from until(lambda: server.connections == 1)
            kill(signal.SIGTERM)
            yield from until(lambda: server.stopping)
            kill(signal.SIGINT)
            assert (yield from everything(conn)) == b""

    with handlers_are_put_back(signal.SIGTERM, signal.SIGINT):
        assert run(lambda: serve(echo, "127.0.0.1", ready=ready, grace_s=LIMIT_S)) == 1
    socket2.start()


def test_a_signal_that_is_ignored_stays_so() -> None:
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:

        def ready(server: Server) -> None:
            kill(signal.SIGINT)
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            runafter(0.01, server.stop)

        assert run(lambda: serve(echo, "127.0.0.1", ready=ready)) == 0
    finally:
        signal.signal(signal.SIGINT, previous)


def test_serve_without_signals_and_in_another_os_thread() -> None:
    def main() -> Steps:
        stop = partial(runafter, 0.005)
        begun = signal.getsignal(signal.SIGTERM)

        def ready(server: Server) -> None:
            assert signal.getsignal(signal.SIGTERM) is begun
            stop(server.stop)

        assert (yield from serve(echo, "127.0.0.1", signals=(), ready=ready)) == 0

    run(main)

    def elsewhere() -> None:
        run(main)
        socket2.threads.member.current_member().close()

    with beside(elsewhere):
        pass


def test_a_cancelled_serve_cuts_and_leaves_nothing() -> None:
    def main() -> Steps:
        servers: list[Server] = []
        thread = newthread(serve(echo, "127.0.0.1", signals=(), ready=servers.append))
        client = yield from connected(servers[0].addresses[0])
        yield from until(lambda: servers[0].connections == 1)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert (yield from everything(client)) == b""
        client.close()
        assert servers[0].connections == 0

    run(main)


def test_an_error_of_ready_ends_serve() -> None:
    def ready(server: Server) -> None:
        raise LookupError("of ready")

    with pytest.raises(LookupError, match="of ready"), handlers_are_put_back(signal.SIGTERM, signal.SIGINT):
        run(lambda: serve(echo, "127.0.0.1", ready=ready))


def test_a_server_under_load_answers_all_that_it_has_accepted() -> None:
    """Each client is an OS thread with blocking sockets. It sends requests again and again until it is refused."""
    accepted = 0

    def handler(conn: TCP) -> Steps:
        nonlocal accepted
        accepted += 1
        while True:
            with between_requests():
                data = yield from conn.recv(100)
            if not data:
                return
            yield from sleep(0.002)
            yield from conn.sendall(data)

    def client(address: tuple[str, int], name: bytes) -> tuple[int, int]:
        answered = reset = 0
        while True:
            try:
                with connect(*address) as sock:
                    sock.sendall(name)
                    sock.shutdown(socket.SHUT_WR)
                    if receive_all(sock) == name:
                        answered += 1
                    else:
                        reset += 1
            except ConnectionResetError:
                reset += 1
            except ConnectionRefusedError:
                return answered, reset

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        with threadset() as ts:
            for at in range(12):
                ts.newthread(call_in_thread, client, server.addresses[0], b"client %d" % at)
            yield from until(lambda: accepted >= 200)
            begun = monotonic()
            assert (yield from server.stop(LIMIT_S)) == 0
            assert monotonic() - begun < LIMIT_S / 2
            outcomes = yield from ts.join()
        assert sum(answered for answered, _ in outcomes) == accepted

    run(main)


# Listeners from a service manager.


@contextmanager
def passed(monkeypatch: pytest.MonkeyPatch, *socks: socket.socket, pid: int | None = None) -> Iterator[None]:
    """Pass listeners as systemd does, but not from descriptor 3 on, which is not free here."""
    start = 200
    for at, sock in enumerate(socks):
        os.dup2(sock.fileno(), start + at)
        sock.close()
    monkeypatch.setattr(listeners, "_LISTEN_FDS_START", start)
    monkeypatch.setenv("LISTEN_FDS", str(len(socks)))
    monkeypatch.setenv("LISTEN_PID", str(os.getpid() if pid is None else pid))
    yield


@needs_descriptors
def test_inherited_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses: list[Any] = []

    def ready(server: Server) -> None:
        assert server.addresses == addresses
        newthread(client, server)

    def client(server: Server) -> Steps:
        for address in addresses:
            assert (yield from ask(address)) == b"hello"
        yield from server.stop()

    one, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    addresses += [one.getsockname(), other.getsockname()]
    with passed(monkeypatch, one, other):
        found = inherited_listeners()
        assert not {"LISTEN_FDS", "LISTEN_PID"} & os.environ.keys()
        assert not any(os.get_inheritable(listener.fileno()) for listener in found)
        assert inherited_listeners() == []
        assert run(lambda: serve(echo, listeners=found, ready=ready)) == 0
    socket2.start()


def test_what_was_passed_to_another_process_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    assert inherited_listeners() == []
    with passed(monkeypatch, pid=1):
        assert inherited_listeners() == []


@needs_descriptors
def test_what_was_passed_and_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    with passed(monkeypatch, socket.create_server(("127.0.0.1", 0)), socket.socket()):
        with pytest.raises(ValueError, match="201.*is not listening"):
            inherited_listeners()
    with passed(monkeypatch, socket.socket(type=socket.SOCK_DGRAM)):
        with pytest.raises(ValueError, match="is not a tcp socket"):
            inherited_listeners()
    os.close(200)  # not ours, so it was not touched


@needs_descriptors
def test_connections_that_wait_in_a_shared_listener_are_left_to_the_others() -> None:
    def main() -> Steps:
        with socket.create_server(("127.0.0.1", 0)) as theirs:
            server = Server(echo, max_connections=1)
            server.add(tcp(fileno=os.dup(theirs.fileno())), shared=True)
            busy = yield from connected(theirs.getsockname())
            yield from until(lambda: server.connections == 1)
            waiting = yield from connected(theirs.getsockname())
            assert (yield from server.stop(0)) == 1
            conn, peer = theirs.accept()
            assert peer == waiting.getsockname()
            for sock in (conn, waiting, busy):
                sock.close()

    run(main)


@needs_descriptors
def test_a_service_manager_passes_a_socket_to_a_real_program() -> None:
    program = """
import os, sys
import socket2
def handler(conn):
    yield from conn.sendall(b"from " + sys.argv[1].encode())
socket2.run(lambda: socket2.serve(handler, listeners=socket2.inherited_listeners()))
"""
    manager = """
import os, socket, sys
sock = socket.create_server(("127.0.0.1", 0))
print("listening on", "%s:%d" % sock.getsockname(), flush=True)
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1], "the service"])
"""
    with Program([sys.executable, "-W", "error", "-c", manager, program], env={"PYTHONPATH": str(ROOT)}) as service:
        port = service.port()
        with connect("127.0.0.1", port) as sock:
            assert receive_all(sock) == b"from the service"
        service.send_signal(signal.SIGTERM)
        assert service.wait() == 0
        assert service.stderr() == b""
