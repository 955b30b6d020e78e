"""What SOCKET2_CHECK=1 reports, where, and that it reports nothing else."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import pollers
from pollers import Cancelled, Poller
from pollers.checked.checking import Checked

from ..interop.peers import LIMIT_S, ROOT, OSThread

PRELUDE = """
from contextlib import suppress

from socket2 import *

def connected():
    listener = tcp()
    listener.listen("127.0.0.1")
    conn = tcp()
    yield from conn.connect(*listener.getsockname())
    peer = yield from listener.accept()
    return listener, conn, peer

def close(*socks):
    for sock in socks:
        sock.close()
"""


class Script:
    """A program that uses socket2, and its output. Its lines can be marked with `# HERE`."""

    def __init__(self, directory: Path, body: str, check: str | None = "1") -> None:
        path = directory / "program.py"
        text = PRELUDE + textwrap.dedent(body)
        path.write_text(text)
        self.here = [f"{path}:{at}" for at, line in enumerate(text.splitlines(), 1) if line.endswith("# HERE")]
        env = {name: value for name, value in os.environ.items() if name != "SOCKET2_CHECK"}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
        if check is not None:
            env["SOCKET2_CHECK"] = check
        done = subprocess.run(
            [sys.executable, path], env=env, capture_output=True, timeout=LIMIT_S, check=False, text=True
        )
        assert done.returncode == 0, done.stderr
        self.stdout = done.stdout
        self.stderr = done.stderr
        self.warnings = [line for line in done.stderr.splitlines() if " RuntimeWarning: " in line and os.sep in line]


# Operations that nobody awaited.

FORGOTTEN = {
    "recv": "conn.recv(1)",
    "recv_into": "conn.recv_into(bytearray(1))",
    "send": "conn.send(b'x')",
    "sendall": "conn.sendall(b'x')",
    "sendfile": "conn.sendfile(open(__file__, 'rb'))",
    "connect": "conn.connect('127.0.0.1', 9)",
    "accept": "listener.accept()",
    "sleep": "sleep(1)",
    "suspend": "suspend()",
    "join": "currentthread().join()",
    "addr": "addr('127.0.0.1', 9)",
    "call_in_thread": "call_in_thread(print)",
    "recvfrom": "datagrams.recvfrom(1)",
    "recvfrom_into": "datagrams.recvfrom_into(bytearray(1))",
    "sendto": "datagrams.sendto(b'x', '127.0.0.1', 9)",
}


@pytest.mark.parametrize(("name", "made"), FORGOTTEN.items(), ids=FORGOTTEN)
def test_a_forgotten_yield_from_is_told_once_with_its_place(tmp_path: Path, name: str, made: str) -> None:
    script = Script(
        tmp_path,
        f"""
        def main():
            listener, conn, peer = yield from connected()
            datagrams = udp()
            {made}  # HERE
            close(listener, conn, peer, datagrams)

        run(main)
        """,
    )
    (told,) = script.warnings
    assert f" {name} made at {script.here[0]} was never awaited" in told
    assert "`yield from`" in told
    assert "`await`" in told


@pytest.mark.parametrize(
    ("name", "made"),
    [("recv", "conn.recv(1)"), ("sendall", "conn.sendall(b'x')"), ("accept", "listener.accept()")],
)
def test_it_has_the_same_name_on_a_socket_with_a_timeout(tmp_path: Path, name: str, made: str) -> None:
    script = Script(
        tmp_path,
        f"""
        def main():
            listener, conn, peer = yield from connected()
            conn.settimeout(1)
            listener.settimeout(1)
            {made}  # HERE
            close(listener, conn, peer)

        run(main)
        """,
    )
    (told,) = script.warnings
    assert f" {name} made at {script.here[0]} was never awaited" in told


@pytest.mark.parametrize(("name", "made"), [("recv", "datagrams.recv(1)"), ("send", "datagrams.send(b'x')")])
def test_a_datagram_that_nobody_awaits_is_told_by_the_name_that_was_called(
    tmp_path: Path, name: str, made: str
) -> None:
    script = Script(
        tmp_path,
        f"""
        datagrams = udp()
        {made}  # HERE
        datagrams.close()
        """,
    )
    (told,) = script.warnings
    assert f" {name} made at {script.here[0]} was never awaited" in told


def test_it_is_told_in_plain_functions_async_functions_and_of_operations_dropped_elsewhere(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        def plain(conn):
            conn.recv(1)  # HERE

        async def asynchronous(conn):
            conn.recv(2)  # HERE

        def drop(operation):
            pass

        def main():
            listener, conn, peer = yield from connected()
            plain(conn)
            newthread(asynchronous, conn)
            kept = conn.recv(3)  # HERE
            drop(kept)
            del kept
            close(listener, conn, peer)

        run(main)
        """,
    )
    assert len(script.warnings) == len(script.here) == 3
    for told, place in zip(script.warnings, script.here, strict=True):
        assert f" recv made at {place} was never awaited" in told


# Operations that were stepped by something other than a thread.


@pytest.mark.parametrize(
    "step",
    [
        "kept = iter(conn.recv(1)); next(kept)",
        "kept = conn.recv(1).__await__(); kept.send(None)",
        "next(iter(conn.recv(1)))",
        "with __import__('contextlib').suppress(RuntimeError): list(conn.recv(1))",
    ],
    ids=["kept", "kept and sent to", "dropped", "stepped again"],
)
def test_an_operation_that_no_thread_drives_is_told_at_the_next_poll(tmp_path: Path, step: str) -> None:
    script = Script(
        tmp_path,
        f"""
        def main():
            listener, conn, peer = yield from connected()
            {step}  # HERE
            for _ in range(3):
                yield from sleep(0)  # once may be in the same turn, without a poll
            print("polled")
            close(listener, conn, peer)

        run(main)
        """,
    )
    (told,) = script.warnings
    assert f" recv made at {script.here[0]} was stepped at {script.here[0]} by something that is not a thread" in told
    assert script.stdout == "polled\n"


def test_a_thread_that_was_never_told_of_a_close_is_told_at_the_end_of_the_program(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        def waits(conn):
            yield from conn.recv(1)  # HERE

        def main():
            listener, conn, peer = yield from connected()
            newthread(waits, conn)
            newthread(waits, peer)
            conn.close()
            close(listener)
            globals()["kept"] = peer  # open, and waited on: this is not misuse

        run(main)
        """,
    )
    (told,) = script.warnings
    assert f" recv made at {script.here[0]} was in flight when its socket was closed: nobody took its outcome" in told


# What is not misuse.


@pytest.mark.parametrize("check", [None, "", "0"])
def test_without_checking_nothing_is_told_and_nothing_of_it_is_loaded(tmp_path: Path, check: str | None) -> None:
    script = Script(
        tmp_path,
        """
        import sys

        from socket2.threads.scheduler import current_scheduler

        def main():
            listener, conn, peer = yield from connected()
            assert type(conn.recv(1)).__name__ in ("Once", "_Once", "Operation")
            assert type(sleep(1)).__name__ in ("Once", "_Once")
            kept = iter(conn.sendall(b"x"))
            listener.accept()
            next(iter(conn.recv(1)))
            yield from sleep(0.001)
            assert "Checked" not in type(current_scheduler().poller).__name__
            close(listener, conn, peer)

        run(main)
        assert not {"pollers.checked.checking", "pollers.checked.watched"} & sys.modules.keys()
        """,
        check,
    )
    assert script.stderr == ""


CORRECT = {
    "conversation": """
        def echo(peer):
            while data := (yield from peer.recv(10)):
                yield from peer.sendall(data)

        def main():
            listener, conn, peer = yield from connected()
            thread = newthread(echo, peer)
            yield from conn.sendall(b"hello")
            print((yield from conn.recv(10)))
            conn.shutdown(1)
            yield from thread.join()
            close(listener, conn, peer)

        run(main)
        """,
    "cancelled and late receivers": """
        def main():
            listener, conn, peer = yield from connected()
            newthread(receive, conn).cancel()
            yield from sleep(0)
            try:
                with timeout(0.001):
                    yield from conn.recv(10)
            except TimeoutError:
                print("late")
            close(listener, conn, peer)

        def receive(conn):
            yield from conn.recv(10)

        run(main)
        """,
    "closed while others wait": """
        def main():
            listener, conn, peer = yield from connected()
            threads = [newthread(attempt, conn.recv, 1), newthread(attempt, listener.accept)]
            close(listener, conn, peer)
            for thread in threads:
                print((yield from thread.join()))

        def attempt(func, *args):
            try:
                yield from func(*args)
            except Closed as error:
                return error

        run(main)
        """,
    "cancelled in a line of acceptors": """
        def main():
            listener, conn, peer = yield from connected()
            threads = [newthread(accept, listener) for _ in range(3)]
            for thread in reversed(threads):
                thread.cancel()
            yield from sleep(0)
            close(listener, conn, peer)

        def accept(listener):
            yield from listener.accept()

        run(main)
        """,
    "cancelled in a line of receivers": """
        def main():
            datagrams = udp()
            datagrams.bind("127.0.0.1")
            threads = [newthread(receive, datagrams) for _ in range(3)]
            for thread in reversed(threads):
                thread.cancel()
            yield from sleep(0)
            datagrams.close()

        def receive(datagrams):
            yield from datagrams.recv(1)

        run(main)
        """,
    "threads that are left at the end": """
        def main():
            listener, conn, peer = yield from connected()
            newthread(receive, conn)
            newthread(receive, peer)
            yield from sleep(0)

        def receive(conn):
            try:
                yield from conn.recv(1)
            finally:
                conn.close()

        run(main)
        """,
    "a loop that is closed": """
        from socket2.threads.member import current_member

        def main():
            listener, conn, peer = yield from connected()
            newthread(receive, conn)
            newthread(receive, peer)
            listener.close()
            yield from sleep(0)

        def receive(conn):
            with conn:
                yield from conn.recv(1)

        run(main)
        current_member().close()
        """,
    "an operation as a thread": """
        def main():
            listener, conn, peer = yield from connected()
            receiving = newthread(peer.recv, 5)
            sending = newthread(conn.sendall(b"hello"))
            yield from sending.join()
            print((yield from receiving.join()))
            close(listener, conn, peer)

        run(main)
        print(run(addr("127.0.0.1", 9)))
        """,
}


@pytest.mark.parametrize("program", CORRECT.values(), ids=CORRECT)
def test_a_correct_program_does_the_same_when_it_is_checked(tmp_path: Path, program: str) -> None:
    bare = Script(tmp_path, program, None)
    checked = Script(tmp_path, program, "1")
    assert (checked.stdout, checked.stderr) == (bare.stdout, bare.stderr)
    assert bare.stderr == ""


# Without socket2.


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = pollers.choose(checked=True)
    yield poller
    poller.shutdown()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    a, b = socket.socketpair()
    with a, b:
        yield a, b


def line() -> int:
    return sys._getframe(1).f_lineno


def place(at: int) -> str:
    return f"{__file__}:{at}"


def in_another_os_thread(func: Callable[..., Any], *args: Any) -> str:
    """Make a call that must fail in another OS thread, and return the message."""
    thread = OSThread(func, *args)
    thread.start()
    with pytest.raises(RuntimeError) as caught:
        thread.outcome()
    return str(caught.value)


def test_choose_checks_when_it_is_told_to() -> None:
    for checked in (True, False):
        poller = pollers.choose(checked=checked)
        assert isinstance(poller, Checked) == checked
        assert poller.name in pollers.available()
        poller.shutdown()


def test_a_checked_operation_ends_as_a_bare_one_does(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    receiving = iter(poller.attach(pair[0]).recv(10))
    direction = next(receiving)
    assert direction.park("waiter") is False
    assert direction.waiter == "waiter"
    assert poller.poll(0) == []
    pair[1].send(b"hello")
    assert poller.poll(LIMIT_S) == ["waiter"]
    with pytest.raises(StopIteration) as stopped:
        next(receiving)
    assert stopped.value.value == b"hello"
    assert direction.waiter is None


def test_an_operation_that_was_parked_twice_is_told_with_its_place(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    receiving = iter(poller.attach(pair[0]).recv(10))
    made_at = line() - 1
    direction = next(receiving)
    direction.park("first")
    with pytest.raises(RuntimeError, match="parked twice: recv on fd") as caught:
        direction.park("second")
    assert place(made_at) in str(caught.value)
    assert direction.waiter == "first"
    direction.cancel(Cancelled())
    with pytest.raises(Cancelled):
        next(receiving)


class Repeating:
    """A poller that returns every finished waiter twice."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def poll(self, *args: Any) -> list[Any]:
        finished: list[Any] = self._inner.poll(*args)
        return finished * 2

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_an_operation_that_finished_twice_is_told_with_its_place(pair: tuple[socket.socket, socket.socket]) -> None:
    inner: Any = Repeating(pollers.choose(checked=False))
    poller = Checked(inner)
    try:
        receiving = iter(poller.attach(pair[0]).recv(10))
        made_at = line() - 1
        next(receiving).park("waiter")
        pair[1].send(b"hello")
        with pytest.raises(RuntimeError, match="finished twice") as caught:
            poller.poll(LIMIT_S)
        assert place(made_at) in str(caught.value)
        with pytest.raises(StopIteration):
            next(receiving)
    finally:
        poller.shutdown()


def test_a_poller_used_from_another_os_thread_is_told_with_the_place(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    handle = poller.attach(pair[0])
    receiving = iter(handle.recv(10))
    made_at = line() - 1
    direction = next(receiving)
    assert direction.park("waiter") is False

    def poll_elsewhere() -> None:
        poller.poll(0)

    def send_elsewhere() -> None:
        next(iter(handle.send(b"hello")))

    def attach_elsewhere() -> None:
        poller.attach(pair[1])

    for func in (poll_elsewhere, send_elsewhere, attach_elsewhere):
        told = in_another_os_thread(func)
        assert "from an OS thread other than" in told
        assert f"used at {place(func.__code__.co_firstlineno + 1)} " in told
    for method, args in ((direction.park, ("other",)), (direction.cancel, (Cancelled(),))):
        assert f"(made at {place(made_at)})" in in_another_os_thread(method, *args)
    assert poller.poll(0) == []
    direction.cancel(Cancelled())
    with pytest.raises(Cancelled):
        next(receiving)


def test_a_poller_may_be_woken_from_another_os_thread(poller: Poller) -> None:
    waking = OSThread(poller.wakeup)
    waking.start()
    waking.outcome()
    assert poller.poll(LIMIT_S) == []


def test_an_operation_in_flight_at_shutdown_is_told_with_its_place(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    receiving = iter(poller.attach(pair[0]).recv(10))
    made_at = line() - 1
    direction = next(receiving)
    direction.park("waiter")
    with pytest.warns(RuntimeWarning, match="recv made at .* was in flight when its poller was shut down") as told:
        assert poller.shutdown() == ["waiter"]
    assert [place(made_at) in str(warning.message) for warning in told] == [True]
    with pytest.raises(pollers.Closed):
        next(receiving)


def test_an_operation_that_nobody_came_back_for_is_told_at_shutdown(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    receiving = iter(poller.attach(pair[0]).recv(10))
    made_at = line() - 1
    next(receiving).park("waiter")
    pair[1].send(b"hello")
    assert len(poller.poll(LIMIT_S)) == 1
    with pytest.warns(RuntimeWarning, match="nobody took its outcome") as told:
        poller.shutdown()
    assert place(made_at) in str(told[0].message)
    receiving.close()


def test_nothing_is_told_at_shutdown_when_every_operation_was_joined(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    handle = poller.attach(pair[0])
    for _ in range(2):
        receiving = iter(handle.recv(10))
        direction = next(receiving)
        direction.park("waiter")
        direction.cancel(Cancelled())
        with pytest.raises(Cancelled):
            next(receiving)
    with warnings.catch_warnings(record=True) as told:
        assert poller.shutdown() == []
        assert poller.shutdown() == []
    assert told == []


def test_an_operation_that_was_stepped_and_not_parked_is_told_by_poll(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    receiving = iter(poller.attach(pair[0]).recv(10))
    made_at = line() - 1
    next(receiving)
    with pytest.warns(RuntimeWarning, match="something that is not a thread") as told:
        poller.poll(0)
    assert len(told) == 1
    assert f"recv made at {place(made_at)} was stepped at {place(made_at + 2)} by" in str(told[0].message)
    assert poller.poll(0) == []  # one report is enough
    receiving.close()


def test_an_accepted_connection_is_checked_too(poller: Poller) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        accepting = iter(poller.attach(server).accept())
        with pytest.raises(StopIteration) as stopped:
            while not next(accepting).park("acceptor"):
                poller.poll(LIMIT_S)
        handle, address = stopped.value.value
        assert address == client.getsockname()
        receiving = iter(handle.recv(10))
        direction = next(receiving)
        direction.park("first")
        with pytest.raises(RuntimeError, match="parked twice"):
            direction.park("second")
        handle.close()
        assert poller.poll(0) == ["first"]
        with pytest.raises(pollers.Closed):
            next(receiving)


def test_an_error_thrown_into_a_checked_operation_ends_it(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    handle = poller.attach(pair[0])
    receiving = iter(handle.recv(10))
    next(receiving).park("waiter")
    with pytest.raises(ZeroDivisionError):
        receiving.throw(ZeroDivisionError)
    receiving = iter(handle.recv(10))
    direction = next(receiving)
    direction.park("waiter")
    pair[1].send(b"hello")
    assert poller.poll(LIMIT_S) == ["waiter"]
    with pytest.raises(StopIteration) as stopped:
        next(receiving)
    assert stopped.value.value == b"hello"


def test_an_operation_that_is_taken_apart_is_refused_before_it_does_anything(
    poller: Poller, pair: tuple[socket.socket, socket.socket]
) -> None:
    handle = poller.attach(pair[0])
    pair[1].send(b"hello")
    missing = "is unpacked or iterated over, not awaited: is a `yield from` or an `await` missing"
    with pytest.raises(TypeError, match=re.escape(f"recvfrom made at {place(line() + 1)} ") + missing):
        _data, _sender = handle.recvfrom(10)
    with pytest.raises(TypeError, match=missing):
        _first, *_ = handle.recvfrom(10)
    with pytest.raises(TypeError, match=missing):
        print(*handle.recvfrom(10))
    with pytest.raises(TypeError, match=missing):
        [*handle.recvfrom(10)]
    with pytest.raises(TypeError, match=missing):
        for _ in handle.recv(10):
            pass
    assert pair[0].recv(10) == b"hello"
