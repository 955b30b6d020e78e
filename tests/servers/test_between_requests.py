"""Servers that stop between the requests of a client."""

from __future__ import annotations

import signal
import socket
from collections.abc import Generator
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
    newthread,
    run,
    runafter,
    serve,
    sleep,
    threadset,
)

from ..interop.peers import LIMIT_S, beside, connect, receive_all
from .test_server import ask, connected, echo, everything, handlers_are_put_back, several, turns, until

Steps = Generator[Any, Any, Any]


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


@pytest.mark.parametrize("at", range(0, 200, 9))
def test_requests_that_the_handler_has_received_already_are_answered(at: int) -> None:
    """Wherever it is when the server stops, for example where it lets other threads run."""

    def handler(conn: TCP) -> Steps:
        requests = socket2.stream(conn)
        count = 0
        while True:
            with between_requests():
                request = yield from requests.recvline()
            if request is None:
                return
            count += 1
            if count == at:
                newthread(server.stop, LIMIT_S)
            yield from requests.sendall(request)

    def main() -> Steps:
        yield from server.listen("127.0.0.1")
        with (yield from connected(server.addresses[0])) as client:
            yield from client.sendall(b"x\n" * 200)
            newthread(server.stop, LIMIT_S)
            assert (yield from everything(client)) == b"x" * 200
        yield from server.wait()

    server = Server(handler)
    run(main)


def test_between_requests_means_nothing_elsewhere() -> None:
    def main() -> Steps:
        with between_requests():
            yield from sleep(0)

    run(main)


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
        yield from until(server.stopping.is_set)
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
            yield from until(server.stopping.is_set)
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
        with threadset(keep_outcomes=True) as ts:
            for at in range(12):
                ts.newthread(call_in_thread, client, ("127.0.0.1", int(server.addresses[0][1])), b"client %d" % at)
            yield from until(lambda: accepted >= 200)
            begun = monotonic()
            assert (yield from server.stop(LIMIT_S)) == 0
            assert monotonic() - begun < LIMIT_S / 2
            outcomes = yield from ts.join()
        assert sum(answered for answered, _ in outcomes) == accepted

    run(main)
