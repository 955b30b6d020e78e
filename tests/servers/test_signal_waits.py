"""serve() and signals: threads that wait for a signal, and handlers that block."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import TCP, Event, Server, between_requests, newthread, run, serve, serve_threads, sleep, timeout

from ..interop.peers import LIMIT_S, ROOT, Program, connect, receive_all
from . import test_server_signals
from .test_server import connected, echo, everything, until
from .test_server_signals import TERM

signals_are_as_they_were = test_server_signals.signals_are_as_they_were


Steps = Generator[Any, Any, Any]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process cannot be sent SIGTERM here")


# A thread that waits for a signal.


def test_an_event_that_a_signal_handler_sets_is_worth_waiting_for() -> None:
    event = Event()
    previous = signal.signal(signal.SIGUSR2, lambda signum, frame: event.set())
    try:

        def main() -> Steps:
            with timeout(0.001):
                yield from event.wait()

        def waits() -> Steps:
            yield from event.wait()
            return "woken"

        with pytest.raises(TimeoutError):
            run(main)
        kicker = threading.Timer(0.05, signal.raise_signal, [signal.SIGUSR2])
        kicker.start()
        try:
            assert run(waits) == "woken"
        finally:
            kicker.join()
    finally:
        signal.signal(signal.SIGUSR2, previous)


def test_an_event_that_a_signal_handler_sets_in_a_program_of_one_os_thread() -> None:
    program = """
import signal, socket2
event = socket2.Event()
signal.signal(signal.SIGALRM, lambda signum, frame: event.set())
def main():
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    yield from event.wait()
    print("woken")
socket2.run(main)
signal.signal(signal.SIGALRM, signal.SIG_DFL)
try:
    socket2.run(socket2.Event().wait)
except RuntimeError as error:
    print(str(error).split(":")[0])
"""
    with Program([sys.executable, "-W", "error", "-c", program], env={"PYTHONPATH": str(ROOT)}) as running:
        assert running.wait() == 0, running.stderr().decode()
        assert running.stdout() == b"woken\ndeadlock\n"


# ready, and clients that say nothing.


async def ready_async(server: Server) -> None:
    with await socket2.connect(server.addresses[0]) as conn:
        await conn.sendall(b"hello")
        assert await conn.recv(100) == b"hello"
    await server.stop()


def ready_steps(server: Server) -> Steps:
    conn = yield from connected(server.addresses[0])
    with conn:
        yield from conn.sendall(b"hello")
        assert (yield from conn.recv(100)) == b"hello"
    yield from server.stop()


@pytest.mark.parametrize("ready", [ready_async, ready_steps, lambda server: server.stop()])
def test_ready_is_run_whatever_kind_of_function_it_is(ready: Any) -> None:
    assert run(lambda: serve(echo, "127.0.0.1", ready=ready)) == 0


def test_a_ready_that_goes_on_ends_with_the_server() -> None:
    ended = []

    async def ready(server: Server) -> None:
        try:
            TERM()
            await socket2.suspend()
        finally:
            ended.append(server.stopping.is_set())

    assert run(lambda: serve(echo, "127.0.0.1", ready=ready)) == 0
    assert ended == [True]


def test_an_error_of_an_async_ready_ends_serve() -> None:
    async def ready(server: Server) -> None:
        await sleep(0)
        raise LookupError("of ready")

    with pytest.raises(LookupError, match="of ready"):
        run(lambda: serve(echo, "127.0.0.1", ready=ready))


def requests(conn: TCP) -> Steps:
    while True:
        with between_requests():
            data = yield from conn.recv(100)
        if not data:
            return
        yield from conn.sendall(data)


@pytest.mark.parametrize("comes_late", [False, True])
def test_a_client_that_has_never_said_anything_does_not_hold_a_stop(comes_late: bool) -> None:
    def main() -> Steps:
        server = Server(requests, first_request_s=0.05)
        yield from server.listen("127.0.0.1")
        with (yield from connected(server.addresses[0])) as silent:
            if not comes_late:
                yield from until(lambda: server.connections == 1)
                yield from sleep(0.06)
            assert (yield from server.stop(LIMIT_S)) == 0
            assert (yield from everything(silent)) == b""

    with_limit(main)


def with_limit(main: Any) -> None:
    def limited() -> Steps:
        with timeout(LIMIT_S / 2):
            yield from main()

    run(limited)


def test_a_first_request_is_waited_for_as_long_as_is_said() -> None:
    def main() -> Steps:
        server = Server(requests, first_request_s=float("inf"))
        yield from server.listen("127.0.0.1")
        with (yield from connected(server.addresses[0])) as late:
            yield from until(lambda: server.connections == 1)
            stopping = newthread(server.stop, LIMIT_S)
            yield from sleep(0.05)
            assert not stopping.done
            yield from late.sendall(b"late")
            assert (yield from everything(late)) == b"late"
        assert (yield from stopping.join()) == 0

    run(main)
    with pytest.raises(ValueError, match="negative"):
        Server(echo, first_request_s=-1)


def test_serve_passes_it_on() -> None:
    def ready(server: Server) -> Steps:
        with socket.create_connection(("127.0.0.1", server.addresses[0][1])) as silent:
            yield from until(lambda: server.connections == 1)
            yield from server.stop(LIMIT_S)
            assert receive_all(silent) == b""

    with_limit(lambda: serve(requests, "127.0.0.1", first_request_s=0, ready=ready))


def test_a_signal_under_serve_threads_in_this_process() -> None:
    serving = newthread(serve(echo, "127.0.0.1", ready=lambda server: TERM()))
    serve_threads(3)
    assert serving.result() == 0


# Handlers that block.


def test_a_handler_that_blocks_from_its_first_step_on_delays_no_accept() -> None:
    """Its request has arrived with its connection, so it does not wait before it blocks."""
    go_on = threading.Event()

    def handler(conn: TCP) -> Steps:
        request = yield from conn.recv(100)
        if request == b"block":
            assert go_on.wait(LIMIT_S)
        yield from conn.sendall(request)

    def client(address: Any) -> None:
        with connect(*address) as blocking:
            blocking.sendall(b"block")
            for _ in range(3):
                with connect(*address) as other:
                    other.sendall(b"ping")
                    assert receive_all(other) == b"ping"
            go_on.set()
            assert receive_all(blocking) == b"block"

    def ready(server: Server) -> Steps:
        try:
            yield from socket2.call_in_thread(client, server.addresses[0])
        finally:
            go_on.set()
            yield from server.stop()

    serving = newthread(serve(handler, "127.0.0.1", ready=ready))
    serve_threads(3)
    assert serving.result() == 0


def test_a_plain_function_that_blocks_delays_no_accept() -> None:
    both = threading.Barrier(2, timeout=LIMIT_S)

    def handler(conn: TCP) -> None:
        both.wait()

    def ready(server: Server) -> Steps:
        one = yield from connected(server.addresses[0])
        other = yield from connected(server.addresses[0])
        for client in (one, other):
            assert (yield from everything(client)) == b""
            client.close()
        yield from server.stop()

    serving = newthread(serve(handler, "127.0.0.1", ready=ready))
    serve_threads(4)
    assert serving.result() == 0
