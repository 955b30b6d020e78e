"""TCP and UNIX stream sockets: connecting and timeouts."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import TCP, addr, newthread, run, sleep, tcp, timeout, unix

from ..interop.peers import refusing
from ..machine import needs_ipv6
from .test_tcp import ended, pair

Steps = Generator[Any, Any, Any]


# Connecting.


def test_connect_by_name_and_by_list() -> None:
    def main() -> Steps:
        with tcp() as listener:
            listener.listen("127.0.0.1", 0)
            port = listener.getsockname()[1]
            for where in (("localhost", port), (False, port), ((yield from addr("127.0.0.1", port)),)):
                with tcp() as client:
                    yield from client.connect(*where)
                    (yield from listener.accept()).close()

    run(main)


def test_each_address_is_tried_in_turn() -> None:
    def main() -> Steps:
        with refusing() as port, tcp() as listener, tcp() as client:
            listener.listen("127.0.0.1", 0)
            dead = yield from addr("127.0.0.1", port)
            alive = yield from addr("127.0.0.1", listener.getsockname()[1])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            client.bind("127.0.0.1", 0)
            bound = client.getsockname()
            yield from client.connect(socket2.AddressList([*dead, *dead, *alive]))
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), "options are kept"
            assert client.getsockname() == bound, "and the binding"
            (yield from listener.accept()).close()

    run(main)


def test_when_all_addresses_fail_each_is_named() -> None:
    def main() -> Steps:
        with refusing() as one, refusing() as other, tcp() as client:
            dead: list[socket2.Address] = []
            for port in (one, other):
                dead.extend((yield from addr("127.0.0.1", port)))
            with pytest.raises(ConnectionRefusedError) as failure:
                yield from client.connect(socket2.AddressList(dead))
            notes = "\n".join(failure.value.__notes__)
            for port in (one, other):
                assert f"127.0.0.1:{port}" in notes

    run(main)


def test_a_second_connect_is_refused_and_the_connection_lives() -> None:
    def main() -> Steps:
        with tcp() as listener:
            listener.listen("127.0.0.1")
            address = listener.getsockname()
            client = tcp()
            yield from client.connect(address)
            server = yield from listener.accept()
            for sock in (client, listener):
                with pytest.raises(OSError, match=r".") as failure:
                    yield from sock.connect(address)
                assert failure.value.errno == errno.EISCONN
            with client, server:
                yield from client.sendall(b"alive")
                assert (yield from server.recv(10)) == b"alive"

    run(main)


def test_connect_refused_then_again_on_the_same_socket() -> None:
    def main() -> Steps:
        with refusing() as port, tcp() as listener, tcp() as client:
            with pytest.raises(ConnectionRefusedError):
                yield from client.connect("127.0.0.1", port)
            listener.listen("127.0.0.1", 0)
            yield from client.connect(*listener.getsockname())
            (yield from listener.accept()).close()

    run(main)


def test_a_connect_that_ran_out_of_time_leaves_a_usable_socket() -> None:
    def main() -> Steps:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full, tcp() as listener, tcp() as client:
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            client.settimeout(0.03, "write")
            with pytest.raises(TimeoutError):
                yield from client.connect(*full.getsockname())
            listener.listen("127.0.0.1", 0)
            yield from client.connect(*listener.getsockname())
            assert client.remote_address == listener.getsockname(), "not whom the old attempt was for"
            (yield from listener.accept()).close()
            for filler in fillers:
                filler.close()

    run(main)


def test_bad_destinations_fail_before_anything_happens() -> None:
    with tcp() as sock:
        for wrong, error in (
            (("127.0.0.1", -1), OverflowError),
            (("127.0.0.1", 65536), OverflowError),
            (("127.0.0.1", 1.5), TypeError),
            ((5, 80), TypeError),
            (("a\0b", 80), ValueError),
        ):
            with pytest.raises(error):
                sock.connect(*wrong)

    def main() -> Steps:
        with tcp() as sock, pytest.raises(socket.gaierror):
            yield from sock.connect("nosuchhost.invalid", 80)

    run(main)


def test_unix_connect_waits_while_the_queue_is_full(tmp_path: Path) -> None:
    def client(path: str) -> Steps:
        with unix() as sock:
            yield from sock.connect(path)

    def main() -> Steps:
        path = str(tmp_path / "s")
        with unix() as listener:
            assert isinstance(listener, TCP)
            listener.listen(path, backlog=1)
            clients = [newthread(client, path) for _ in range(10)]
            for _ in clients:
                (yield from listener.accept()).close()
            for thread in clients:
                yield from thread.join()

    run(main)


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_abstract_unix_names() -> None:
    def main() -> Steps:
        name = f"\0socket2-test-{os.getpid()}"
        with unix() as listener, unix() as client:
            assert isinstance(listener, TCP)
            listener.listen(name)
            assert "@socket2-test" in repr(listener)
            yield from client.connect(name)
            (yield from listener.accept()).close()

    run(main)


@needs_ipv6
def test_ipv6() -> None:
    def main() -> Steps:
        client, server = yield from pair("inet6")
        with client, server:
            yield from client.sendall(b"six")
            assert (yield from server.recv(10)) == b"six"
            assert "[::1]:" in repr(server)

    run(main)


# Timeouts.


def test_a_receive_that_ran_out_of_time_has_lost_nothing() -> None:
    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            server.settimeout(0.01)
            for _ in range(3):
                with pytest.raises(TimeoutError, match="timed out"):
                    yield from server.recv(10)
            yield from client.sendall(b"hello")
            assert (yield from server.recv(10)) == b"hello"

    run(main)


def test_timeouts_per_direction() -> None:
    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            assert server.gettimeout() is None
            server.settimeout(5)
            assert (server.gettimeout(), server.gettimeout("write")) == (5, 5)
            server.settimeout(0.01, "read")
            assert (server.gettimeout(), server.gettimeout("write")) == (0.01, 5)
            with pytest.raises(TimeoutError):
                yield from server.recv(1)
            yield from server.sendall(b"x")
            server.settimeout(float("inf"))
            assert server.gettimeout() is None
            for wrong in (-1, float("nan")):
                with pytest.raises(ValueError, match="negative"):
                    server.settimeout(wrong)
            with pytest.raises(ValueError, match="direction"):
                server.settimeout(1, "sideways")

    run(main)


def test_a_timeout_of_0_takes_what_is_there_however_much() -> None:
    """This holds also after so many receives without a wait that other threads run first."""
    others = 0

    def other() -> Steps:
        nonlocal others
        while True:
            others += 1
            yield from sleep(0)

    def main() -> Steps:
        server, client = yield from pair()
        with server, client:
            thread = newthread(other)
            yield from client.sendall(bytes(300))
            yield from server.recv(1)
            server.settimeout(0)
            for _ in range(299):
                assert len((yield from server.recv(1))) == 1
            with pytest.raises(TimeoutError):
                yield from server.recv(1)
            thread.cancel()
            yield from ended(thread)

    run(main)
    assert others > 4


def test_timeout_zero_is_an_attempt() -> None:
    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            server.settimeout(0)
            with pytest.raises(TimeoutError):
                yield from server.recv(10)
            yield from client.sendall(b"hello")
            yield from sleep(0.01)
            assert (yield from server.recv(10)) == b"hello"

    run(main)


def test_sendall_has_one_timeout_for_all_of_it_and_tells_how_far_it_came() -> None:
    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            client.settimeout(0.05)
            with pytest.raises(TimeoutError) as failure:
                yield from client.sendall(bytes(1 << 24))
            sent = failure.value.bytes_sent  # type: ignore[attr-defined]
            assert 0 < sent < 1 << 24
            client.close()
            got = 0
            while data := (yield from server.recv(1 << 16)):
                got += len(data)
            assert got == sent

    run(main)


def test_each_acceptor_has_its_own_time() -> None:
    def acceptor(listener: TCP) -> Steps:
        with pytest.raises(TimeoutError):
            yield from listener.accept()
        return "timed out"

    def main() -> Steps:
        with tcp() as listener:
            listener.listen("127.0.0.1", 0)
            listener.settimeout(0.02)
            threads = [newthread(acceptor, listener) for _ in range(3)]
            for thread in threads:
                assert (yield from thread.join()) == "timed out"
            with tcp() as client:
                yield from client.connect(*listener.getsockname())
                (yield from listener.accept()).close()

    run(main)


@pytest.mark.parametrize("rounds", [2000])
def test_timeouts_race_with_data(rounds: int) -> None:
    """Thousands of times the deadline falls just before or after the data. Every byte comes once, in order."""

    def producer(conn: TCP) -> Steps:
        for number in range(rounds):
            yield from conn.sendall(b"%06d" % number)
            if number % 7 == 0:
                yield from sleep(0)
        conn.shutdown(socket.SHUT_WR)

    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            sending = newthread(producer, client)
            got = bytearray()
            timeouts = 0
            ends = False
            while not ends:
                try:
                    with timeout(0.000001 * (timeouts % 50)):
                        data = yield from server.recv(30)
                        got += data
                        ends = not data
                except TimeoutError:
                    timeouts += 1
            yield from sending.join()
            assert bytes(got) == b"".join(b"%06d" % number for number in range(rounds))
            return timeouts

    run(main)
