"""Servers with TLS: handshakes in the connections' own threads, what is logged, and how they stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from socket2 import (
    TLS,
    Event,
    Server,
    between_requests,
    connect,
    newthread,
    run,
    serve,
    server_context,
    sleep,
    stream,
    timeout,
)
from socket2.threads.catching import name_of

from ..interop.peers import LIMIT_S, ROOT, Program
from .certificates import Authority
from .ends import Steps
from .hosting import at_info, echo, gone, lines, with_server


def test_a_handler_gets_tls(any_poller: None, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    def test(server: Server, address: Any) -> Steps:
        for _ in range(3):
            with (yield from connect(*address, tls=authority.client())) as conn:
                yield from conn.sendall(b"data")
                conn.shutdown()
                assert (yield from stream(conn).recvall()) == b"data"  # the end is a close_notify
        yield from gone(server)

    with at_info(caplog):
        run(with_server, Server(echo, tls=authority.server()), test)
    assert not lines(caplog)


def test_a_handler_of_any_kind(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    async def coroutine(conn: TLS) -> None:
        await conn.sendall(b"data")

    def function(conn: TLS) -> Any:
        return coroutine(conn)

    def wrong(conn: TLS) -> Any:
        async def generator() -> Any:
            yield 1

        return generator()

    def test(server: Server, address: Any) -> Steps:
        with (yield from connect(*address, tls=authority.client())) as conn:
            assert (yield from stream(conn).recvall()) == b"data"
        yield from gone(server)

    for handler in (coroutine, function):
        run(with_server, Server(handler, tls=authority.server()), test)
    with pytest.raises(ssl.SSLEOFError):
        run(with_server, Server(wrong, tls=authority.server()), test)
    assert "async generator" in caplog.text


def test_a_handler_that_fails_cuts_off_its_answer(authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """A close_notify would say that the answer is whole."""

    def fails(conn: TLS) -> Steps:
        yield from conn.sendall(b"half")
        raise ValueError("of the handler")

    def test(server: Server, address: Any) -> Steps:
        with (yield from connect(*address, tls=authority.client())) as conn:
            with pytest.raises(ssl.SSLEOFError):
                yield from stream(conn).recvall()
        yield from gone(server)

    run(with_server, Server(fails, tls=authority.server()), test)
    assert [level for level, _ in lines(caplog)] == ["ERROR"]


def test_arguments(authority: Authority) -> None:
    with pytest.raises(TypeError, match="SSLContext"):
        Server(echo, tls=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_handshakes"):
        Server(echo, tls=authority.server(), max_handshakes=0)
    with pytest.raises(ValueError, match="negative"):
        Server(echo, tls=authority.server(), handshake_s=-1)
    with pytest.raises(TypeError, match="reload|again"):
        serve(echo, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), reload_signals=[signal.SIGTERM])


def test_a_stop_in_mid_handshake(any_poller: None, authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """Who has been at it for longer than a first request may take is dropped at once, and not counted as cut off."""

    def main() -> Steps:
        server = Server(echo, tls=authority.server(), first_request_s=0)
        yield from server.listen("127.0.0.1")
        with (yield from connect(*server.addresses[0])) as silent:
            while not server.connections:
                yield from sleep(0.001)
            with timeout(20):
                assert (yield from server.stop()) == 0
            assert (yield from silent.recv(1)) == b""

    with at_info(caplog):
        run(main)
    assert not lines(caplog)


def test_a_first_request_is_served_although_the_handshake_was_before_the_stop(authority: Authority) -> None:
    begun = Event()

    def handle(conn: TLS) -> Steps:
        begun.set()
        data = stream(conn)
        with between_requests():
            line = yield from data.recvn(5)
        yield from data.sendall(line)
        with between_requests():
            yield from data.recvline()

    def main() -> Steps:
        server = Server(handle, tls=authority.server(), first_request_s=20)
        yield from server.listen("127.0.0.1")
        with (yield from connect(*server.addresses[0], tls=authority.client())) as conn:
            yield from begun.wait()
            stopping = newthread(server.stop())
            yield from sleep(0.01)
            yield from conn.sendall(b"late\n")
            data = stream(conn)
            assert (yield from data.recvline()) == b"late"
            assert (yield from stopping.join()) == 0

    run(main)


def test_a_handshake_that_began_before_the_stop_is_completed(authority: Authority) -> None:
    def main() -> Steps:
        server = Server(echo, tls=authority.server(), first_request_s=20)
        yield from server.listen("127.0.0.1")
        sock = yield from connect(*server.addresses[0])
        while not server.connections:
            yield from sleep(0.001)
        stopping = newthread(server.stop())
        yield from sleep(0.01)
        with TLS(sock, authority.client(), server_hostname="localhost") as conn:
            yield from conn.sendall(b"x")
            assert (yield from conn.recv()) == b"x"
            yield from conn.finish(1)
        assert (yield from stopping.join()) == 0

    run(main)


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP")
def test_a_signal_loads_the_certificate_again(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cert.pem"
    shutil.copy(authority.ours, path)

    def logged(count: int) -> Steps:
        while len(caplog.records) < count:
            yield from sleep(0.001)

    def ready(server: Server) -> Steps:
        with timeout(20):
            shutil.copy(authority.issue("localhost", "127.0.0.1", "new.example"), path)
            os.kill(os.getpid(), signal.SIGHUP)
            yield from logged(2)
            with (yield from connect(*server.addresses[0], tls=authority.client())) as conn:
                assert conn.peer_certificate
                assert ("DNS", "new.example") in conn.peer_certificate["subjectAltName"]
                yield from conn.finish()
            path.write_text("junk")
            os.kill(os.getpid(), signal.SIGHUP)
            yield from logged(4)
        newthread(server.stop())

    def reload() -> None:
        newest.append(context.newest)  # the certificate is loaded first

    context, newest = server_context(path), list[ssl.SSLContext]()
    with at_info(caplog):
        run(lambda: serve(echo, "127.0.0.1", tls=context, ready=ready, reload=reload))
    name = name_of(signal.SIGHUP)
    (good, _, bad, _) = lines(caplog)
    assert newest[0] is newest[1] is not context
    assert good == ("INFO", f"{name}: loaded the certificate again")
    assert bad[0] == "ERROR"
    assert "cannot load the certificate again" in bad[1]


WORKERS = """
import os, sys
import socket2

def handle(conn):
    yield from conn.sendall(b"%d %d\\n" % (os.getpid(), conn.resumed))

context = socket2.server_context(sys.argv[1])
ready = lambda workers: print(f"listening on port:{workers.addresses[0][1]}", flush=True)
socket2.serve_workers(handle, "127.0.0.1", 0, workers=2, tls=context, ready=ready)
"""


@pytest.mark.skipif(
    not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"), reason="needs fork and SO_REUSEPORT"
)
def test_workers_share_sessions(authority: Authority) -> None:
    """The context exists before they are forked, so each of them understands the others' tickets."""

    def ask(port: int, client: ssl.SSLContext, session: ssl.SSLSession | None) -> Steps:
        with (yield from connect("127.0.0.1", port, tls=client, session=session)) as conn:
            pid, resumed = (yield from stream(conn).recvall()).split()
            return pid, int(resumed), conn.session

    def main(port: int) -> Steps:
        client = authority.client()
        first, resumed, session = yield from ask(port, client, None)
        assert not resumed
        with timeout(LIMIT_S):
            while True:
                pid, resumed, session = yield from ask(port, client, session)
                assert resumed
                if pid != first:
                    return

    with python_program(WORKERS, str(authority.ours)) as server:
        run(main, server.port(r"port:(\d+)"))
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert server.stderr() == b""


RELOADED = """
import sys
import socket2

def echo(conn):
    while data := (yield from conn.recv()):
        yield from conn.sendall(data)

context = socket2.server_context(sys.argv[1])
ready = lambda workers: print(f"listening on port:{workers.addresses[0][1]}", flush=True)
socket2.serve_workers(echo, "127.0.0.1", 0, workers=2, tls=context, ready=ready)
"""


@pytest.mark.skipif(
    not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"), reason="needs fork and SO_REUSEPORT"
)
def test_a_signal_loads_the_certificate_of_workers_again(authority: Authority, tmp_path: Path) -> None:
    """New workers have the new one, and a connection of an old worker continues."""
    path = tmp_path / "cert.pem"
    shutil.copy(authority.ours, path)

    def asks(conn: TLS) -> Steps:
        yield from conn.sendall(b"x")
        assert (yield from conn.recv()) == b"x"

    def main(server: Program) -> Steps:
        port = server.port(r"port:(\d+)")
        client = authority.client()
        with timeout(LIMIT_S), (yield from connect("127.0.0.1", port, tls=client)) as old:
            yield from asks(old)
            shutil.copy(authority.issue("localhost", "127.0.0.1", "new.example"), path)
            server.send_signal(signal.SIGHUP)
            names: tuple[Any, ...] = ()
            while ("DNS", "new.example") not in names:
                with (yield from connect("127.0.0.1", port, tls=client)) as conn:
                    assert conn.peer_certificate
                    names = conn.peer_certificate["subjectAltName"]
                    yield from asks(conn)
                    yield from conn.finish()
                yield from sleep(0.001)
            yield from asks(old)
            yield from old.finish()

    with python_program(RELOADED, str(path)) as server:
        run(main, server)
        server.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert server.stderr() == b""


def python_program(text: str, *args: str) -> Program:
    return Program([sys.executable, "-W", "error", "-c", text, *args], env={"PYTHONPATH": str(ROOT)})
