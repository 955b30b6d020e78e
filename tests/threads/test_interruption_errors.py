"""Cancels and deadlines: what their errors refer to, turns, connecting, and the ends of programs."""

from __future__ import annotations

import gc
import os
import socket
import sys
import weakref
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import pollers
import socket2
from socket2 import (
    call_in_thread,
    currentthread,
    newthread,
    run,
    sleep,
    start,
    tcp,
    timeout,
    udp,
    unix,
)
from socket2.threads.member import current_member
from socket2.threads.scheduler import current_scheduler

from .test_interruptions import ended, pair, pause

Steps = Generator[Any, Any, Any]


# What errors refer to.


class Held:
    """An object in the frame of a handler."""


def test_errors_leave_no_cycles_that_hold_the_handlers_frame() -> None:
    kept: list[weakref.ref[Held]] = []

    def times_out(conn: socket2.TCP) -> Steps:
        conn.settimeout(0.001)
        yield from conn.recv(1)

    def in_a_block(conn: socket2.TCP) -> Steps:
        with timeout(0.001):
            yield from conn.recv(1)

    def is_closed(conn: socket2.TCP) -> Steps:
        conn.close()
        yield from conn.recv(1)

    def handler(conn: socket2.TCP, inner: Any) -> Steps:
        held = Held()
        kept.append(weakref.ref(held))
        try:
            yield from inner(conn)
        except OSError:
            pass

    def main() -> Steps:
        for inner in (times_out, in_a_block, is_closed):
            for _ in range(5):
                client, server = yield from pair()
                with client, server:
                    yield from newthread(handler, server, inner).join()
        thread = newthread(sleeper)
        thread.cancel()
        yield from sleep(0)

    def sleeper() -> Steps:
        held = Held()
        kept.append(weakref.ref(held))
        yield from sleep(1000)

    gc.collect()
    gc.disable()
    try:
        run(main)
        assert len(kept) == 16
        assert [one for one in kept if one() is not None] == []
    finally:
        gc.enable()


def test_a_timeout_block_passes_on_how_far_a_send_had_come() -> None:
    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            with pytest.raises(TimeoutError) as failure, timeout(0.02):
                yield from client.sendall(bytes(1 << 25))
            assert failure.value.bytes_sent > 0  # type: ignore[attr-defined]

    run(main)


# Turns.


def test_places_in_the_line_that_were_given_up_are_gone() -> None:
    def main() -> Steps:
        with tcp() as listener:
            listener.listen("127.0.0.1", 0)
            first = newthread(listener.accept())
            listener.settimeout(0)
            for _ in range(20):
                with pytest.raises(TimeoutError):
                    yield from listener.accept()
            assert listener._set_up().receivers._line == type(listener._set_up().receivers._line)()
            first.cancel()
            yield from ended(first)

    run(main)


# Connecting.


def test_a_cancel_wins_over_a_close_during_connect() -> None:
    def connects(sock: socket2.TCP, address: Any) -> Steps:
        yield from sock.connect(address)

    def main() -> Steps:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            sock = tcp()
            thread = newthread(connects, sock, full.getsockname())
            thread.cancel()
            sock.close()
            yield from ended(thread)
            for filler in fillers:
                filler.close()

    run(main)


def test_a_bound_unix_socket_survives_a_connect_that_failed(tmp_path: Path) -> None:
    def main() -> Steps:
        with unix() as sock, unix() as listener:
            sock.bind(str(tmp_path / "own"))
            with pytest.raises(FileNotFoundError):
                yield from sock.connect(tmp_path / "nobody")
            listener.listen(tmp_path / "listener")
            yield from sock.connect(tmp_path / "listener")
            with (yield from listener.accept()) as conn:
                assert conn.remote_address == str(tmp_path / "own")

    run(main)


def test_addresses_of_another_family_are_passed_over() -> None:
    def main() -> Steps:
        with tcp() as listener, tcp() as client, udp() as datagrams:
            listener.listen("127.0.0.1", 0)
            six = socket2.AddressList((yield from socket2.addr("::1", 9, family="inet6")))
            four = yield from socket2.addr(listener.getsockname())
            yield from client.connect(socket2.AddressList([*six, *four]))
            (yield from listener.accept()).close()
            with pytest.raises(OSError, match="cannot be used with a socket of family inet"):
                yield from datagrams.sendto(b"x", six)
            with pytest.raises(ValueError, match="empty"):
                client.connect(socket2.AddressList([]))

    run(main)


def test_a_unix_sender_waits_while_the_receivers_queue_is_full(tmp_path: Path) -> None:
    count = 300

    def sender(path: Path) -> Steps:
        with unix("dgram") as sock:
            for number in range(count):
                yield from sock.sendto(b"%d" % number, path)

    def main() -> Steps:
        path = tmp_path / "receiver"
        with unix("dgram") as receiver:
            receiver.bind(path)
            sending = newthread(sender, path)
            yield from sleep(0.02)
            polls = current_scheduler().poller.stats().polls
            assert polls < 200, "it does not spin"
            for number in range(count):
                assert (yield from receiver.recv(10)) == b"%d" % number
            yield from sending.join()

    run(main)


# Ends of programs.


def test_system_exit_of_another_thread_is_not_put_off() -> None:
    def main() -> Steps:
        newthread(lambda: sys.exit(4))
        return 5
        yield

    with pytest.raises(SystemExit):
        run(main)
    with pytest.raises(SystemExit):
        newthread(lambda: sys.exit(4))
    assert run(lambda: 1) == 1


def test_a_deadlock_is_told_though_the_pool_has_os_threads() -> None:
    def main() -> Steps:
        yield from call_in_thread(int)
        yield from socket2.suspend()

    with pytest.raises(RuntimeError, match="deadlock"):
        run(main)
    for thread in list(current_scheduler().threads):
        thread.cancel()
    start()


def test_whatever_can_be_awaited_can_be_a_thread() -> None:
    class Bare:
        def __await__(self) -> Any:
            return iter(())

    class Waits:
        def __await__(self) -> Any:
            return pause(0.001)

    def main() -> Steps:
        yield from newthread(Bare()).join()
        yield from newthread(Waits()).join()
        yield from newthread(Waits).join()
        client, server = yield from pair()
        with client, server:
            receiving = newthread(server.recv, 10)
            yield from newthread(client.sendall, b"hello").join()
            assert (yield from receiving.join()) == b"hello"

    run(main)


@pytest.mark.parametrize("wrong", ["1", b"1"])
def test_lengths_of_time(wrong: Any) -> None:
    from decimal import Decimal
    from fractions import Fraction

    def main() -> Steps:
        for seconds in (Decimal("0.001"), Fraction(1, 1000), 0, 0.001):
            yield from sleep(seconds)  # type: ignore[arg-type]
        with timeout(10**400):
            yield from sleep(0)
        with pytest.raises(TypeError):
            sleep(wrong)
        with pytest.raises(TypeError):
            timeout(wrong)

    run(main)


def test_a_socket_of_another_loop_is_told() -> None:
    """A loop resumes no thread of another loop."""
    import threading

    found: list[BaseException | None] = []

    def borrower(conn: socket2.TCP) -> Steps:
        try:
            yield from conn.recv(10)
            yield from sleep(1000)
        except RuntimeError as error:
            found.append(error)

    def other(conn: socket2.TCP) -> None:
        run(borrower, conn)
        current_member().close()

    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            os_thread = threading.Thread(target=other, args=(server,))
            os_thread.start()
            while not current_scheduler().poller.stats().parked:
                yield from sleep(0.001)
            yield from client.sendall(b"x")
            yield from call_in_thread(os_thread.join)

    if not pollers.CHECKING:  # it refuses this at once
        run(main)
        assert "another OS thread" in str(found[0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_the_child_of_a_fork_leaves_the_parents_threads_alone(tmp_path: Path) -> None:
    trail = tmp_path / "trail"

    def worker() -> Steps:
        try:
            yield from sleep(1000)
        finally:
            with trail.open("a") as file:
                file.write(f"{os.getpid()}\n")

    thread = newthread(worker)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            gc.collect()
            run(pause)
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not trail.exists()
    thread.cancel()
    start()
    assert trail.read_text() == f"{os.getpid()}\n"


def test_a_thread_in_the_middle_is_currentthread_again_after_a_nested_start() -> None:
    def main() -> Steps:
        me = currentthread()
        newthread(lambda: None)
        newthread(pause)
        assert currentthread() is me
        yield from sleep(0)

    run(main)
    start()
