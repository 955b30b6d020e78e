"""How a server logs a connection that fails: one line if the client caused it, a traceback if the handler did."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

import socket2
from socket2 import TCP, Cancelled, Server, run, stream, tcp, threadset, timeout
from socket2.sockets.address import format_address
from socket2.threads.lock import lock

from ..interop.peers import LIMIT_S
from .test_server import connected, until

Steps = Generator[Any, Any, Any]


def one_line(conn: TCP) -> Steps:
    with stream(conn) as lines:
        yield from lines.recvline(100)


def whole_body(conn: TCP) -> Steps:
    yield from stream(conn).recvn(100)


async def one_line_async(conn: TCP) -> None:
    async for _line in stream(conn):
        pass


def impatient_socket(conn: TCP) -> Steps:
    conn.settimeout(0.01)
    yield from conn.recv(100)


def impatient_block(conn: TCP) -> Steps:
    with timeout(0.01):
        yield from stream(conn).recvline()


def impatient_sender(conn: TCP) -> Steps:
    conn.settimeout(0.01)
    yield from conn.sendall(bytes(1 << 24))


def both_ways(conn: TCP) -> Steps:
    with threadset() as ts:
        ts.newthread(conn.recv, 1)
        ts.newthread(whole_body, conn)
        yield from ts.join()


def end(client: TCP) -> None:
    client.shutdown(socket.SHUT_WR)


def stay(client: TCP) -> None: ...


CLIENTS = [
    (one_line, b"half a li", end, "9 bytes of a line"),
    (one_line_async, b"half a li", end, "9 bytes of a line"),
    (one_line, b"x" * 101, stay, "longer than 100 bytes"),
    (whole_body, b"x" * 99, end, "99 bytes"),
    (impatient_socket, b"", stay, "timed out"),
    (impatient_block, b"", stay, "took longer"),
    (impatient_sender, b"", stay, "timed out"),
]


def serve_one(handler: Callable[[TCP], Any], data: bytes = b"", then: Callable[[TCP], Any] = stay) -> str:
    """Serve one client. Return its address."""
    names = []

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        with (yield from connected(server.addresses[0])) as client:
            names.append(format_address(client.getsockname()))
            yield from client.sendall(data)
            then(client)
            yield from until(lambda: server.connections == 0 and "ended" in ended)
        assert (yield from server.stop()) == 0

    ended: list[str] = []
    real = Server._ended

    def noted(server: Server, connection: Any) -> None:
        real(server, connection)
        ended.append("ended")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "_ended", noted)
        run(main)
    return names[0]


@pytest.mark.parametrize(("handler", "data", "then", "says"), CLIENTS)
def test_what_a_client_did_is_one_line_with_its_address(
    handler: Any, data: bytes, then: Any, says: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, logger="socket2"):
        name = serve_one(handler, data, then)
    (record,) = caplog.records
    assert (record.levelname, record.name, record.exc_info) == ("INFO", "socket2.server", None)
    assert name in record.getMessage()
    assert says in record.getMessage()
    assert "\n" not in record.getMessage()
    assert record.peer == name  # type: ignore[attr-defined]
    assert capfd.readouterr().err == ""


def dropped_in_a_receive(conn: TCP) -> Steps:
    lines = stream(conn)
    socket2.newthread(lines.close)
    yield from lines.recvline()


def dropped_before_a_receive(conn: TCP) -> Steps:
    waiting = socket2.newthread(conn.recv, 1)
    conn.close()
    yield from waiting.join()


def dropped_both_ways(conn: TCP) -> Steps:
    lines = stream(conn)
    with threadset() as ts:
        ts.newthread(lines.recvline)
        ts.newthread(lines.sendall, bytes(1 << 24))
        lines.close()
        yield from ts.join()


@pytest.mark.parametrize("handler", [dropped_in_a_receive, dropped_before_a_receive, dropped_both_ways])
def test_a_client_that_the_program_drops_is_one_line(handler: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A traceback would let a client that does not read choose how long the log becomes."""
    with caplog.at_level(logging.INFO, logger="socket2"):
        name = serve_one(handler)
    (record,) = caplog.records
    assert (record.levelname, record.name, record.exc_info) == ("INFO", "socket2.server", None)
    assert name in record.getMessage()
    assert "closed by this program" in record.getMessage()


def queue_closed(conn: TCP) -> Steps:
    queue = socket2.Queue[int]()
    queue.close()
    conn.close()
    yield from queue.get()


def its_own_timeout(conn: TCP) -> Steps:
    with timeout(0.01):
        yield from socket2.sleep(LIMIT_S)


def its_own_socket(conn: TCP) -> Steps:
    one, other = socket.socketpair()
    with other, socket2.unix(fileno=one.detach()) as database:
        database.settimeout(0.01)
        yield from database.recv(1)


def its_own_stream(conn: TCP) -> Steps:
    one, other = socket.socketpair()
    with stream(socket2.unix(fileno=one.detach())) as database:
        other.sendall(b"half a li")
        other.close()
        yield from database.recvline()


def raises_a_timeout(conn: TCP) -> None:
    raise TimeoutError("of a database")


def cannot_reach_its_database(conn: TCP) -> Steps:
    with socket.socket() as free, tcp() as database:
        free.bind(("127.0.0.1", 0))
        yield from database.connect(free.getsockname())


def some_of_several(conn: TCP) -> Steps:
    yield from socket2.sleep(0)
    raise ExceptionGroup("several", [ConnectionResetError(errno.ECONNRESET, "gone"), LookupError("its own")])


def cancelled_without_being_meant(conn: TCP) -> None:
    raise Cancelled("somebody else's")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no UNIX sockets here")
@pytest.mark.parametrize(
    "handler",
    [
        queue_closed,
        its_own_timeout,
        its_own_socket,
        its_own_stream,
        raises_a_timeout,
        cannot_reach_its_database,
        some_of_several,
        cancelled_without_being_meant,
    ],
)
def test_what_a_handler_did_is_logged_with_its_traceback(
    handler: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    name = serve_one(handler)
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("ERROR", "socket2.server")
    assert name in record.getMessage()
    assert handler.__name__ in record.getMessage()
    assert record.exc_info is not None
    assert handler.__name__ in caplog.text.split("Traceback", 1)[1]
    assert capfd.readouterr().err == ""


def test_several_errors_that_are_all_the_clients_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    def handler(conn: TCP) -> Steps:
        yield from socket2.sleep(0)
        raise ExceptionGroup("both", [ConnectionResetError(errno.ECONNRESET, "gone"), BrokenPipeError("gone, too")])

    with caplog.at_level(logging.INFO, logger="socket2"):
        serve_one(handler)
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("INFO", None)


def test_who_is_cut_off_is_not_reported(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    def main() -> Steps:
        server = Server(one_line)
        yield from server.listen("127.0.0.1")
        with (yield from connected(server.addresses[0])):
            yield from until(lambda: server.connections == 1)
            assert (yield from server.stop(0)) == 1

    with caplog.at_level(logging.INFO, logger="socket2"):
        run(main)
    assert not caplog.records
    assert capfd.readouterr().err == ""


def test_who_has_its_socket_closed_in_its_cleanup_is_not_reported_either(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("socket2.servers.server.CLEANUP_S", 0.02)

    def handler(conn: TCP) -> Steps:
        try:
            yield from socket2.suspend()
        finally:
            yield from stream(conn).recvline()

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        with (yield from connected(server.addresses[0])):
            yield from until(lambda: server.connections == 1)
            assert (yield from server.stop(0)) == 1

    with caplog.at_level(logging.INFO, logger="socket2"):
        run(main)
    assert not caplog.records


def test_a_log_that_waits_for_another_thread_is_not_written_under_the_lock(caplog: pytest.LogCaptureFixture) -> None:
    """The log handler waits for an OS thread that needs the lock, and would wait forever."""

    def takes_the_lock() -> None:
        with lock:
            answered.set()

    answered = threading.Event()

    class Waits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            thread = threading.Thread(target=takes_the_lock)
            thread.start()
            thread.join(1)
            free.append(answered.is_set())
            thread_left.append(thread)

    free: list[bool] = []
    thread_left: list[threading.Thread] = []
    logger = logging.getLogger("socket2.server")
    handler = Waits()
    logger.addHandler(handler)
    try:
        serve_one(raises_a_timeout)
    finally:
        logger.removeHandler(handler)
        for thread in thread_left:
            thread.join(LIMIT_S)
    assert free == [True]


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("of the log handler")


def impossible(conn: TCP) -> Steps:
    yield from conn.recv(1)
    raise ValueError("of the handler")


@pytest.mark.parametrize(("handler", "level"), [(impossible, logging.ERROR), (one_line, logging.INFO)])
def test_a_log_handler_that_fails_is_printed_and_ends_nothing(
    handler: Any, level: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    logger, broken = logging.getLogger("socket2.server"), Broken(level)
    logger.addHandler(broken)
    try:
        with caplog.at_level(logging.INFO, logger="socket2"):
            serve_one(handler, b"half", TCP.close)
    finally:
        logger.removeHandler(broken)
    assert "RuntimeError: of the log handler" in capfd.readouterr().err


def test_a_record_names_the_place_that_logs(caplog: pytest.LogCaptureFixture) -> None:
    serve_one(impossible, b"x")
    (record,) = caplog.records
    assert record.module == "connection"
