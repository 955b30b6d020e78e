"""TCP and UNIX stream sockets: forgotten and inherited ones, and many at once."""

from __future__ import annotations

import errno
import gc
import io
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import TCP, currentthread, newthread, run, sleep, tcp, unix
from socket2.threads.scheduler import current_scheduler

from ..limits import allow_descriptors
from .test_tcp import ended, pair

Steps = Generator[Any, Any, Any]


# Forgotten and inherited sockets.


def test_an_unclosed_socket_warns_with_its_place() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tcp()
        here = sys._getframe().f_lineno - 1
        gc.collect()
    messages = [str(one.message) for one in caught if one.category is ResourceWarning]
    assert len(messages) == 1
    assert f"{__file__}:{here}" in messages[0]


def test_an_accepted_socket_warns_with_the_place_of_the_accept() -> None:
    places = []

    def main() -> Steps:
        with tcp() as listener, tcp() as client:
            listener.listen("127.0.0.1", 0)
            yield from client.connect(*listener.getsockname())
            yield from listener.accept()
            places.append(sys._getframe().f_lineno - 1)
            gc.collect()
            assert (yield from client.recv(1)) == b"", "it was closed"

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(main)
    messages = [str(one.message) for one in caught if one.category is ResourceWarning]
    assert len(messages) == 1
    assert f"{__file__}:{places[0]}" in messages[0]


def test_an_operation_keeps_its_socket_alive() -> None:
    def waits(operation: Any) -> Steps:
        return (yield from operation)

    def main() -> Steps:
        client, server = yield from pair()
        thread = newthread(waits(server.recv(10)))
        del server
        gc.collect()
        with client, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield from client.sendall(b"hello")
            assert (yield from thread.join()) == b"hello"
            gc.collect()

    run(main)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_listener_made_before_a_fork_serves_in_the_child() -> None:
    with tcp() as listener:
        listener.listen("127.0.0.1", 0)
        address = listener.getsockname()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:

                def serve() -> Steps:
                    with (yield from listener.accept()) as conn:
                        yield from conn.sendall(b"from the child")

                run(serve)
                status = 0
            finally:
                os._exit(status)
        with socket.create_connection(address, timeout=20) as client:
            assert client.recv(100) == b"from the child"
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_fork_in_the_middle_of_a_thread() -> None:
    """The parent continues. In the child the old sockets raise an error that says why, and a new loop works."""

    def fresh() -> Steps:
        client, server = yield from pair()
        with client, server:
            yield from client.sendall(b"x")
            return (yield from server.recv(1))

    def main() -> Steps:
        client, server = yield from pair()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                try:
                    next(iter(server.recv(1)))
                except RuntimeError as error:
                    if "after a fork" in str(error):
                        client.close()
                        server.close()
                        status = 0 if run(fresh) == b"x" else 3
                    else:
                        status = 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        with client, server:
            yield from client.sendall(b"parent goes on")
            assert (yield from server.recv(100)) == b"parent goes on"

    run(main)


def test_epoll_fd() -> None:
    if current_scheduler().poller.name == "epoll":
        assert os.readlink(f"/proc/self/fd/{socket2.epoll_fd()}") == "anon_inode:[eventpoll]"
    else:
        with pytest.raises(OSError, match="not 'epoll'"):
            socket2.epoll_fd()


def test_kqueue_fd() -> None:
    poller = current_scheduler().poller
    if poller.name == "kqueue":
        assert socket2.kqueue_fd() == poller.fileno()
        assert not os.get_inheritable(socket2.kqueue_fd())
    else:
        with pytest.raises(OSError, match="not 'kqueue'"):
            socket2.kqueue_fd()


def test_iocp() -> None:
    poller = current_scheduler().poller
    if poller.name == "iocp":
        assert socket2.iocp() == poller.fileno() > 0
    else:
        with pytest.raises(OSError, match="not 'iocp'"):
            socket2.iocp()


# Many.


def test_5_000_connections_at_once() -> None:
    allow_descriptors(10_200)

    def echo(conn: TCP) -> Steps:
        with conn:
            while data := (yield from conn.recv(100)):
                yield from conn.sendall(data)

    def server(listener: TCP) -> Steps:
        while True:
            newthread(echo, (yield from listener.accept()))

    def client(number: int, address: tuple[str, int], meet: list[int]) -> Steps:
        with tcp() as conn:
            yield from conn.connect(*address)
            meet.append(number)
            while len(meet) < 5000:
                yield from sleep(0.05)
            yield from conn.sendall(b"%d" % number)
            assert (yield from conn.recv(100)) == b"%d" % number

    def main() -> Steps:
        with tcp() as listener:
            listener.listen("127.0.0.1", 0)
            serving = newthread(server, listener)
            meet: list[int] = []
            clients = [newthread(client, number, listener.getsockname(), meet) for number in range(5000)]
            for thread in clients:
                yield from thread.join()
            serving.cancel()
            yield from ended(serving)
            while len(current_scheduler().threads) > 1:
                yield from sleep(0.01)

    run(main)


def test_currentthread_is_whose_turn_it_is() -> None:
    def worker() -> Steps:
        me = currentthread()
        for _ in range(3):
            yield from sleep(0)
            assert currentthread() is me

    for _ in range(3):
        newthread(worker)
    assert socket2.start() is True


@pytest.mark.parametrize("offset", [0, 3])
def test_sendfile_begins_at_the_offset_wherever_the_file_is(offset: int) -> None:
    one, two = socket.socketpair()
    with two, unix(fileno=one.detach()) as sock, tempfile.TemporaryFile() as real:
        real.write(b"0123456789")
        memory = io.BytesIO(b"0123456789")
        for file in (real, memory):
            file.seek(7)
            assert run(sock.sendfile, file, offset, 5) == 5
            assert two.recv(10) == b"0123456789"[offset : offset + 5]
            assert file.tell() == offset + 5


def test_a_reset_that_getsockopt_has_told_is_one_to_receives_and_sends() -> None:
    one, two = socket.socketpair()
    with two, unix(fileno=one.detach()) as sock:

        def main() -> Any:
            yield from sock.sendall(b"not received")
            two.close()
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
            with pytest.raises(ConnectionResetError):
                yield from sock.recv(10)
            with pytest.raises(ConnectionResetError):
                yield from sock.sendall(b"x")

        run(main)
