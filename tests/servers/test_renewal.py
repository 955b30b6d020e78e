"""serve(reload=...) and serve_workers(reload=...): SIGHUP loads configuration again, and nothing is interrupted."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from socket2 import Event, Server, newthread, run, serve, serve_workers, sleep, suspend
from socket2.servers.renewal import signals_to_reload
from socket2.threads import catching

from ..interop.peers import LIMIT_S, ROOT, Program, connect
from .test_server import echo, handlers_are_put_back, until
from .test_workers import receive_line

Steps = Generator[Any, Any, Any]

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="there is no SIGHUP here")


@pytest.fixture(autouse=True)
def signals_are_as_they_were() -> Iterator[None]:
    with handlers_are_put_back(signal.SIGHUP, signal.SIGTERM, signal.SIGUSR2):
        yield
    assert not any(catching._catching.values())


def hang_up() -> None:
    signal.raise_signal(signal.SIGHUP)


def served(reload: Callable[[], Any] | None, ready: Callable[[Server], Any], **options: Any) -> int:
    return run(lambda: serve(echo, "127.0.0.1", reload=reload, ready=ready, **options))


# One process.


def kinds(calls: list[str]) -> dict[str, Callable[[], Any]]:
    def plain() -> None:
        calls.append("plain")

    def generator() -> Steps:
        yield from sleep(0)
        calls.append("generator")

    async def coroutine() -> None:
        await sleep(0)
        calls.append("coroutine")

    return {"plain": plain, "generator": generator, "coroutine": coroutine}


@pytest.mark.parametrize("kind", ["plain", "generator", "coroutine"])
def test_a_signal_calls_reload_whatever_kind_of_function_it_is(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []

    def ready(server: Server) -> Steps:
        hang_up()
        yield from until(lambda: len(calls) == 1)
        hang_up()
        yield from until(lambda: len(calls) == 2)
        assert not server.stopping.is_set()
        yield from server.stop()

    with caplog.at_level(logging.INFO, "socket2.server"):
        assert served(kinds(calls)[kind], ready) == 0
    assert calls == [kind, kind]
    assert [record.getMessage() for record in caplog.records] == ["SIGHUP: reloaded"] * 2


def test_an_error_of_reload_is_logged_and_the_server_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def reload() -> Steps:
        yield from sleep(0)
        raise LookupError("no such setting")

    def ready(server: Server) -> Steps:
        for count in (1, 2):
            hang_up()
            yield from until(lambda count=count: len(caplog.records) == count)  # type: ignore[misc]
        with socket.create_connection(("127.0.0.1", server.addresses[0][1]), LIMIT_S) as client:
            yield from until(lambda: server.connections == 1)
            client.close()
        yield from server.stop()

    assert served(reload, ready) == 0
    record = caplog.records[0]
    assert (record.levelname, record.getMessage()) == ("ERROR", "SIGHUP: reload failed")
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "no such setting"
    assert "127.0.0.1" in record.server  # type: ignore[attr-defined]


def test_signals_during_a_reload_make_one_more() -> None:
    gate = Event()
    begun: list[int] = []
    ended: list[int] = []

    def reload() -> Steps:
        assert len(begun) == len(ended)
        begun.append(len(begun))
        yield from gate.wait()
        ended.append(len(ended))

    def ready(server: Server) -> Steps:
        hang_up()
        yield from until(lambda: bool(begun))
        for _ in range(5):
            hang_up()
        yield from sleep(0.001)  # the loop learns of them
        gate.set()
        yield from until(lambda: len(ended) == 2)
        yield from sleep(0.001)
        yield from server.stop()

    assert served(reload, ready) == 0
    assert ended == [0, 1]


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_reload_that_never_ends_is_cancelled_with_the_server(cancelled: bool) -> None:
    ended: list[bool] = []
    begun: list[Server] = []

    def reload() -> Steps:
        begun.append(servers[0])
        try:
            yield from suspend()
        finally:
            yield from sleep(0.001)
            ended.append(begun[0].stopping.is_set())

    servers: list[Server] = []

    def main() -> Steps:
        serving = newthread(serve(echo, "127.0.0.1", reload=reload, ready=servers.append))
        yield from until(lambda: bool(servers))
        hang_up()
        yield from until(lambda: bool(begun))
        if cancelled:
            serving.cancel()
            yield from until(lambda: serving.done)
        else:
            yield from servers[0].stop()
            yield from serving.join()
        assert ended == [True]

    run(main)


def test_other_signals_may_be_chosen_or_none() -> None:
    calls: list[str] = []

    def reload() -> None:
        calls.append("reload")

    def ready(server: Server) -> Steps:
        signal.raise_signal(signal.SIGUSR2)
        yield from until(lambda: bool(calls))
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        yield from server.stop()

    def ready_for_none(server: Server) -> Steps:
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        yield from server.stop()

    served(reload, ready, reload_signals=[signal.SIGUSR2])
    served(reload, ready_for_none, reload_signals=())
    served(None, ready_for_none)


def test_which_signals_are_chosen_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reloadable:
        def reload(self) -> None: ...

    def chosen(tls: Any = None, reload: Any = None, stops: Any = (signal.SIGTERM,), signals: Any = None) -> Any:
        return signals_to_reload(signals, tls, reload, stops)

    hangup = (signal.SIGHUP,)
    assert chosen() == ()
    assert chosen(tls=object()) == ()
    assert chosen(tls=Reloadable()) == hangup
    assert chosen(tls=Reloadable(), stops=()) == ()
    assert chosen(reload=print) == hangup
    assert chosen(reload=print, stops=()) == hangup
    assert chosen(reload=print, signals=[signal.SIGUSR2]) == (signal.SIGUSR2,)
    for handler in (signal.SIG_IGN, lambda signum, frame: None):
        before = signal.signal(signal.SIGHUP, handler)
        assert chosen(tls=Reloadable()) == ()  # the program has other plans for it
        assert chosen(reload=print) == hangup
        signal.signal(signal.SIGHUP, before)
    with pytest.raises(TypeError, match="reload must be a function"):
        serve(echo, reload=1)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="load its certificate again"):
        chosen(signals=hangup)
    with pytest.raises(ValueError, match="SIGKILL cannot be caught"):
        chosen(reload=print, signals=[signal.SIGKILL])
    with pytest.raises(ValueError, match="SIGTERM cannot reload, because it stops the server"):
        serve(echo, reload=print, reload_signals=[signal.SIGUSR2, signal.SIGTERM])
    with pytest.raises(ValueError, match="SIGINT cannot reload"):
        serve_workers(echo, reload=print, reload_signals=[signal.SIGINT])
    serve(echo, port=0, reload=print, reload_signals=[signal.SIGINT], signals=[signal.SIGTERM]).close()
    monkeypatch.delattr(signal, "SIGHUP")
    assert chosen(reload=print) == ()


# Several processes.

WORKERS = """
import os, sys, signal, socket2

settings = {"level": 0}

def reload():
    if settings["level"] == 1:
        raise LookupError("no such level")
    settings["level"] += 1

def handler(conn):
    yield from conn.sendall(b"%d %d\\n" % (os.getpid(), settings["level"]))
    while (yield from conn.recv(100)):
        pass

def ready(workers):
    print("supervisor", os.getpid(), flush=True)
    print("listening on %s:%d" % workers.addresses[0][:2], flush=True)

cut = socket2.serve_workers(handler, "127.0.0.1", workers=2, reload=reload, ready=ready, grace_s=20)
assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
print("cut", cut, flush=True)
"""


def level_at(port: int) -> tuple[int, int]:
    with connect("127.0.0.1", port) as client:
        pid, level = receive_line(client).split()
        return int(pid), int(level)


@pytest.mark.skipif(
    not hasattr(os, "fork") or not hasattr(socket, "SO_REUSEPORT"), reason="needs fork and SO_REUSEPORT"
)
def test_a_supervisor_loads_again_and_replaces_its_workers() -> None:
    with Program([sys.executable, "-W", "error", "-c", WORKERS], env={"PYTHONPATH": str(ROOT)}) as program:
        port = program.port()
        with connect("127.0.0.1", port) as old:
            pid, level = map(int, receive_line(old).split())
            assert level == 0
            os.kill(pid, signal.SIGHUP)  # a worker leaves it to its supervisor
            program.send_signal(signal.SIGHUP)
            while level_at(port)[1] == 0:
                pass
            old.sendall(b"x")  # the old worker still serves this client
            with connect("127.0.0.1", port) as kept:
                pid, level = map(int, receive_line(kept).split())
                while level != 1:
                    pid, level = level_at(port)
                program.send_signal(signal.SIGHUP)  # this one fails, and nothing is replaced
                while b"reload failed" not in program.stderr():
                    pass
                kept.sendall(b"x")
        program.send_signal(signal.SIGTERM)
        assert program.wait() == 0, program.stderr().decode()
        assert program.stdout().endswith(b"cut 0\n")
        told = program.stderr().decode()
        assert len(re.findall("LookupError: no such level", told)) == 1
        assert "killed" not in told


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_supervisor_runs_no_loop_for_reload() -> None:
    async def coroutine() -> None: ...

    def generator() -> Steps:
        yield from ()

    for reload in (coroutine, generator):
        with pytest.raises(TypeError, match="`reload` must be a plain function"):
            serve_workers(echo, "127.0.0.1", workers=1, reload=reload)
