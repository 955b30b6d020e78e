"""What is logged, at which level, with which fields: each row of the table in docs/logging.md."""

from __future__ import annotations

import ast
import errno
import json
import logging
import logging.config
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from typing import Any, NamedTuple

import pytest

import socket2
from pollers import Cancelled
from socket2 import TCP, Server, debug, http, newthread, run, serve, sleep, start, tcp
from socket2.servers import server as server_module
from socket2.sockets.address import format_address

from .http.gateway import troubles
from .http.scene import a_lifespan_fails
from .interop.peers import LIMIT_S, ROOT
from .test_main import SEARCH

Steps = Generator[Any, Any, Any]

STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class Row(NamedTuple):
    logger: str
    level: str
    message: str
    fields: set[str]
    traceback: bool

    def describes(self, record: logging.LogRecord) -> bool:
        pattern = re.sub(r"\b[A-Z]+\b", ".*", re.escape(self.message)) + "$"
        if (self.logger, self.level) != (record.name, record.levelname):
            return False
        return re.match(pattern.replace(r"\ ", r"\s"), record.getMessage(), re.DOTALL) is not None


def row_of(line: str) -> Row:
    logger, level, message, fields, traceback = (cell.strip() for cell in line.strip("|").split("|"))
    return Row(logger.strip("`"), level, message, set(re.findall(r"`(\w+)`", fields)), traceback == "yes")


ROWS = [
    row_of(line) for line in (ROOT / "docs" / "logging.md").read_text().splitlines() if line.startswith("| `socket2")
]

# What causes each message.


@contextmanager
def handled(handler: logging.Handler, name: str = "socket2") -> Iterator[None]:
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def fails() -> Steps:
    yield from sleep(0)
    raise LookupError("lost")


def a_thread_fails(patch: pytest.MonkeyPatch) -> None:
    newthread(fails, name="unlucky")
    start()


def serve_one(handler: Callable[[TCP], Any], server: Server | None = None) -> None:
    """Serve a client until its connection is closed."""

    def main() -> Steps:
        serving = server if server is not None else Server(handler)
        yield from serving.listen("127.0.0.1")
        with tcp() as client:
            yield from client.connect(serving.addresses[0])
            yield from client.sendall(b"x")
            with suppress(ConnectionResetError):  # not every handler receives it
                while (yield from client.recv(1)):
                    pass
        yield from serving.stop(0)

    run(main)


def a_client_leaves(patch: pytest.MonkeyPatch) -> None:
    def handler(conn: TCP) -> Steps:
        yield from conn.recv(1)
        raise ConnectionResetError(errno.ECONNRESET, "it has left")

    serve_one(handler)


def is_wrong(conn: TCP) -> Steps:
    yield from conn.recv(1)
    raise ValueError("of the handler")


def a_handler_fails(patch: pytest.MonkeyPatch) -> None:
    serve_one(is_wrong)


def a_connection_cannot_start(patch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object) -> str:
        raise MemoryError("for a thread")

    patch.setattr(server_module, "name_of", no_memory)
    serve_one(is_wrong)


def a_listener_fails(patch: pytest.MonkeyPatch) -> None:
    def broken(listener: TCP) -> Any:
        raise OSError(errno.EINVAL, "the listener is broken")

    patch.setattr(server_module, "accept", broken)

    def main() -> Steps:
        server = Server(is_wrong)
        yield from server.listen("127.0.0.1")
        with pytest.raises(OSError, match="broken"):
            yield from server.wait()

    run(main)


def a_thread_does_not_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(server_module, "CLEANUP_S", 0.01)
    let_go = socket2.Event()

    def handler(conn: TCP) -> Steps:
        try:
            yield from let_go.wait()
        except Cancelled:
            yield from let_go.wait()

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1")
        with tcp() as client:
            yield from client.connect(server.addresses[0])
            while not server.connections:
                yield from sleep(0.001)
            yield from server.stop(0)
        let_go.set()
        while server.connections:
            yield from sleep(0.001)

    run(main)


def a_signal_stops(patch: pytest.MonkeyPatch) -> None:
    run(lambda: serve(is_wrong, "127.0.0.1", ready=lambda server: os.kill(os.getpid(), signal.SIGTERM)))


class Loading:
    """Loads something once, with the given outcome, and stops the server."""

    def __init__(self, outcome: Exception | None) -> None:
        self._outcome = outcome
        self._server: Server | None = None

    def reload(self) -> None:
        assert self._server is not None
        newthread(self._server.stop(0))
        if self._outcome is not None:
            raise self._outcome

    def ready(self, server: Server) -> None:
        self._server = server
        os.kill(os.getpid(), signal.SIGHUP)


def loads_certificate(outcome: Exception | None, patch: pytest.MonkeyPatch) -> None:
    context: Any = Loading(outcome)
    patch.setattr("socket2.servers.handshaking.check_context", lambda context, server_side: None)
    run(lambda: serve(is_wrong, "127.0.0.1", tls=context, reload_signals=[signal.SIGHUP], ready=context.ready))


def loads_configuration(outcome: Exception | None, patch: pytest.MonkeyPatch) -> None:
    loading = Loading(outcome)
    run(lambda: serve(is_wrong, "127.0.0.1", reload=loading.reload, ready=loading.ready))


def no_descriptor_is_left(patch: pytest.MonkeyPatch) -> None:
    def main() -> Steps:
        with tcp() as listener:
            listener.listen("127.0.0.1")
            listener.tell_exhausted(OSError(errno.EMFILE, "too many"))  # type: ignore[arg-type]
            yield from sleep(0)

    run(main)


def a_thread_blocks(patch: pytest.MonkeyPatch) -> None:
    class Noticed(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            noticed.set()

    def blocks() -> Steps:
        yield from sleep(0)
        assert noticed.wait(LIMIT_S)

    noticed = threading.Event()
    debug.enable(slow_s=0.02, signum=None, serve=False)
    try:
        with handled(Noticed()):
            run(blocks)
    finally:
        debug.disable()


def there_is_no_private_directory(patch: pytest.MonkeyPatch) -> None:
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("nobody can ask a process without UNIX sockets")
    patch.setenv("SOCKET2_DEBUG_DIR", os.devnull)
    debug.enable(slow_s=None, signum=None)
    debug.disable()


SUPERVISOR = """
import json, logging, os, signal, socket, sys
from socket2.servers import staff, supervisor

class Lines(logging.Handler):
    def emit(self, record):
        error = record.exc_info and repr(record.exc_info[1])
        made = {**vars(record), "msg": record.getMessage(), "args": None, "exc_info": error}
        os.write(1, json.dumps(made).encode() + b"\\n")

logging.basicConfig(level=logging.DEBUG, handlers=[Lines()])
supervisor.CLEANUP_S = 0
forks, real_fork = 0, os.fork

def fork():
    global forks
    forks += 1
    if forks == 1:
        raise BlockingIOError("no more processes")
    return real_fork()

def work(its, listeners):
    if forks == 2:
        its.sendall(staff.READY)
        raise ValueError("of a worker")
    elif forks == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    elif forks == 4:
        its.sendall(staff.LEAVING)
        its.recv(1)
    elif forks == 5:
        its.sendall(b"0")
    else:
        its.sendall(staff.READY)
        os.kill(os.getppid(), signal.SIGTERM)
        while True:
            signal.pause()

os.fork = fork
workers = supervisor.Workers(work, 1, [("127.0.0.1", 80)], 0)
workers.run(None)
"""


@cache
def of_a_supervisor() -> list[logging.LogRecord]:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR], env=os.environ | SEARCH, capture_output=True, timeout=LIMIT_S, check=True
    )
    assert done.stderr == b""
    return [logging.makeLogRecord(json.loads(line)) for line in done.stdout.splitlines()]


def a_request_fails(request: http.Request) -> Steps:
    raise LookupError("lost")
    yield


def answered(handler: Callable[[http.Request], Any], sent: bytes, patch: pytest.MonkeyPatch) -> None:
    """Send something to an HTTP server, and receive until it closes."""

    def main() -> Steps:
        server = Server(http.handler(handler, access_log="common"))
        yield from server.listen("127.0.0.1")
        with tcp() as client:
            yield from client.connect(server.addresses[0])
            yield from client.sendall(sent)
            while (yield from client.recv(1000)):
                pass
        yield from server.stop(0)

    run(main)


GET = b"GET / HTTP/1.0\r\n\r\n"


CAUSES: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "accept on LISTENER": no_descriptor_is_left,
    "exception in thread NAME": a_thread_fails,
    "NAME: ERROR": a_client_leaves,
    "NAME failed": a_handler_fails,
    "cannot start HANDLER": a_connection_cannot_start,
    "LISTENER stopped": a_listener_fails,
    "N threads": a_thread_does_not_end,
    "SIGNAL: stopping": a_signal_stops,
    "SIGNAL: loaded": partial(loads_certificate, None),
    "SIGNAL: cannot load": partial(loads_certificate, ValueError("it is broken")),
    "SIGNAL: reloaded": partial(loads_configuration, None),
    "SIGNAL: reload failed": partial(loads_configuration, ValueError("it is broken")),
    "the handler of": partial(answered, a_request_fails, GET),
    "the lifespan": a_lifespan_fails,
    "REQUEST was not": partial(answered, lambda request: None, GET),
    "CLIENT: REASON": partial(answered, lambda request: None, b"nonsense\r\n"),
    "LINE": partial(answered, lambda request: request.respond(200, "hello"), GET),
    **troubles.CAUSES,
    "thread NAME has": a_thread_blocks,
    "thread NAME ran": a_thread_blocks,
    "`python": there_is_no_private_directory,
}


def test_the_table_has_each_message() -> None:
    formats = set()
    for source in (ROOT / "socket2").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log")), args=[ast.Constant(str(text)), *_]):
                    formats.add(text)
    assert len(formats) > 10
    for text in formats:
        pattern = re.sub("'?%[a-z]'?", ".+", re.escape(" ".join(text.split())))
        assert any(re.fullmatch(pattern, row.message) for row in ROWS), text


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", "-", row.message)[:40])
def test_a_row_of_the_table(row: Row, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    causes = [cause for words, cause in CAUSES.items() if row.message.startswith(words)]
    if re.search(r"worker N\b", row.message):
        records = of_a_supervisor()
    elif "SIGNAL: " in row.message and not hasattr(signal, "SIGHUP"):
        pytest.skip("this system has no such signals")
    else:
        (cause,) = causes
        with caplog.at_level(logging.INFO, logger="socket2"):
            cause(monkeypatch)
        records = caplog.records
    found = [record for record in records if row.describes(record)]
    assert len(found) == 1, [record.getMessage() for record in records]
    assert vars(found[0]).keys() - STANDARD == row.fields
    assert bool(found[0].exc_info) == row.traceback
    fields = {name: getattr(found[0], name) for name in row.fields}
    assert json.loads(json.dumps(fields)) == pickle.loads(pickle.dumps(fields)) == fields
    # A worker may be the first one, and a duration less than a tick of the clock.
    assert all(fields[name] for name in row.fields - {"worker", "worker_pid", "duration_s"})


def test_every_message_of_a_supervisor_has_a_row() -> None:
    records = of_a_supervisor()
    assert all(any(row.describes(record) for row in ROWS) for record in records), records
    assert {record.server for record in records} == {"127.0.0.1:80"}  # type: ignore[attr-defined]


def test_the_fields_say_who_it_was(caplog: pytest.LogCaptureFixture) -> None:
    names = []

    def main() -> Steps:
        server = Server(is_wrong)
        yield from server.listen("127.0.0.1")
        with tcp() as client:
            yield from client.connect(server.addresses[0])
            names.extend([format_address(client.getsockname()), format_address(server.addresses[0])])
            yield from client.sendall(b"x")
            assert (yield from client.recv(1)) == b""
        yield from server.stop(0)

    run(main)
    (record,) = caplog.records
    fields = vars(record)
    assert [fields["peer"], fields["server"]] == names
    assert fields["coro_thread"] == f"is_wrong {names[0]}"
