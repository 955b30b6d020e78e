"""Which sockets a server accepts on, and in which order; and fair shares of max_connections."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Generator
from typing import Any

import pytest

from socket2 import TCP, Closed, Event, Server, newthread, run, serve, sleep, tcp, threadset, timeout, udp, unix
from socket2.servers import accepting
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S
from ..machine import needs_ipv6
from .test_server import ask, connected, echo, everything, until

Steps = Generator[Any, Any, Any]

needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no UNIX sockets here")


# The standard library's sockets, and objects that are not listeners.


def test_a_listener_of_the_standard_library_is_adopted() -> None:
    def main() -> Steps:
        server = Server(echo)
        listener = socket.create_server(("127.0.0.1", 0))
        server.add(listener)
        assert listener.fileno() == -1
        assert (yield from ask(server.addresses[0])) == b"hello"
        yield from server.stop()

    run(main)


def test_serve_takes_listeners_of_both_kinds() -> None:
    asked = []

    def ready(server: Server) -> Steps:
        for address in server.addresses:
            asked.append((yield from ask(address)))
        yield from server.stop()

    ours = tcp()
    ours.listen("127.0.0.1")
    listeners: list[TCP | socket.socket] = [socket.create_server(("127.0.0.1", 0)), ours]
    run(lambda: serve(echo, listeners=listeners, ready=ready))
    assert asked == [b"hello", b"hello"]


def datagrams() -> Any:
    return udp()


def std_datagrams() -> Any:
    return socket.socket(type=socket.SOCK_DGRAM)


def not_listening() -> Any:
    return tcp()


def std_not_listening() -> Any:
    return socket.socket()


def closed() -> Any:
    sock = tcp()
    sock.close()
    return sock


def std_closed() -> Any:
    sock = socket.socket()
    sock.close()
    return sock


def tls() -> Any:
    listener = socket.create_server(("127.0.0.1", 0))
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_socket(listener, server_side=True)


def a_descriptor() -> Any:
    return 1


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (datagrams, TypeError),
        (std_datagrams, TypeError),
        (tls, TypeError),
        (a_descriptor, TypeError),
        (not_listening, ValueError),
        (std_not_listening, ValueError),
        (closed, Closed),
        (std_closed, Closed),
    ],
)
def test_what_is_no_listener_is_refused_at_once(make: Any, error: type[Exception]) -> None:
    def main() -> Steps:
        wrong = make()
        server = Server(echo)
        with pytest.raises(error):
            server.add(wrong)
        good = socket.create_server(("127.0.0.1", 0))
        with good, pytest.raises(error):
            serve(echo, listeners=[good, wrong])
        assert good.fileno() == -1  # by its block: the server has not taken it over
        assert not server.addresses
        if not isinstance(wrong, int):
            wrong.close()
        assert (yield from server.stop()) == 0

    run(main)


def test_a_listener_is_added_once() -> None:
    def main() -> Steps:
        server = Server(echo)
        listener = tcp()
        listener.listen("127.0.0.1")
        server.add(listener)
        with pytest.raises(ValueError, match="already"):
            server.add(listener)
        assert (yield from ask(server.addresses[0])) == b"hello"
        yield from server.stop()

    run(main)


@pytest.mark.parametrize("limit", [None, 1])
def test_a_listener_with_a_timeout_goes_on_accepting(limit: int | None) -> None:
    def main() -> Steps:
        server = Server(echo, max_connections=limit)
        listener = tcp()
        listener.listen("127.0.0.1")
        listener.settimeout(0.001)
        server.add(listener)
        yield from sleep(0.02)
        assert (yield from ask(server.addresses[0])) == b"hello"
        yield from server.stop()

    run(main)


# Places in one string.


@pytest.mark.parametrize("place", ["127.0.0.1:0", "localhost:0", ":0", b"127.0.0.1:0"])
def test_a_place_in_one_piece(place: Any) -> None:
    def main() -> Steps:
        server = Server(echo)
        yield from server.listen(place)
        port = server.addresses[0][1]
        assert (yield from ask(("127.0.0.1", port))) == b"hello"
        with pytest.raises(OSError, match="in use"):
            yield from serve(echo, f"127.0.0.1:{port}")
        yield from server.stop()
        asked: list[bytes] = []

        def ready(server: Server) -> Steps:
            asked.append((yield from ask(("127.0.0.1", server.addresses[0][1]))))
            yield from server.stop()

        yield from serve(echo, place, ready=ready)
        assert asked == [b"hello"]

    run(main)


@needs_ipv6
@pytest.mark.parametrize("place", ["[::1]:0", "::1", "[::1]"])
def test_an_ipv6_place(place: str) -> None:
    def main() -> Steps:
        server = Server(echo)
        yield from server.listen(place)
        assert (yield from ask(server.addresses[0])) == b"hello"
        yield from server.stop()

    run(main)


@needs_unix
def test_a_unix_path(tmp_path: Any) -> None:
    path = tmp_path / "socket"

    def asks() -> Steps:
        with unix() as client:
            yield from client.connect(str(path))
            yield from client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            return (yield from everything(client))

    def main() -> Steps:
        for place in (str(path), path):  # the second takes over the file that the first has left
            server = Server(echo)
            yield from server.listen(place, reuse_port=True, unlink="never")
            assert server.addresses == [str(path)]
            assert (yield from asks()) == b"hello"
            with pytest.raises(OSError, match="in use"):
                yield from Server(echo).listen(path)
            yield from server.stop()

    run(main)


# max_connections.


def test_a_listener_under_load_does_not_starve_another() -> None:
    """Its clients come again and again; the only client of the other listener gets the next free place."""
    served: list[str] = []

    def main() -> Steps:
        def handler(conn: TCP) -> Steps:
            served.append(by_address[conn.getsockname()])
            yield from sleep(0.001)

        server = Server(handler, max_connections=1)
        for _ in range(2):
            yield from server.listen("127.0.0.1")
        by_address = dict(zip(server.addresses, ("busy", "quiet"), strict=True))
        over = Event()

        def load() -> Steps:
            while not over.is_set():
                yield from ask(server.addresses[0], b"", end=False)

        with threadset() as ts:
            for _ in range(8):
                ts.newthread(load)
            yield from until(lambda: len(served) > 20)
            for _ in range(5):
                before = len(served)
                yield from ask(server.addresses[1], b"", end=False)
                while "quiet" not in served[before:]:
                    yield from sleep(0.001)
                assert served[before:].index("quiet") <= 4
            over.set()
            yield from ts.join()
        yield from server.stop()

    run(main)


def test_whom_there_is_no_room_for_waits_in_the_kernels_queue() -> None:
    def main() -> Steps:
        server = Server(echo, max_connections=1)
        for _ in range(2):
            yield from server.listen("127.0.0.1")
        with (yield from connected(server.addresses[0])) as first:
            yield from until(lambda: server.connections == 1)
            attached = current_scheduler().poller.stats().attached
            waiting = []
            for address in server.addresses * 2:
                waiting.append((yield from connected(address)))
            yield from sleep(0.02)
            assert server.connections == 1
            assert current_scheduler().poller.stats().attached - len(waiting) == attached
            first.close()
        for client in waiting:
            yield from client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            assert (yield from everything(client)) == b"x"
            client.close()
        yield from server.stop()

    run(main)


def test_a_client_that_leaves_the_queue_takes_no_place() -> None:
    def main() -> Steps:
        server = Server(echo, max_connections=1)
        yield from server.listen("127.0.0.1")
        with (yield from connected(server.addresses[0])) as first:
            yield from until(lambda: server.connections == 1)
            for _ in range(3):
                client = yield from connected(server.addresses[0])
                client.setopt("linger", 0)
                client.close()
            yield from first.sendall(b"x")
            assert (yield from first.recv(1)) == b"x"
        with timeout(LIMIT_S):
            assert (yield from ask(server.addresses[0])) == b"hello"
        yield from server.stop()

    run(main)


def test_no_more_than_the_limit_when_it_stops_either() -> None:
    most = now = 0

    def handler(conn: TCP) -> Steps:
        nonlocal most, now
        now += 1
        most = max(most, now)
        yield from sleep(0.001)
        yield from echo(conn)
        now -= 1

    def main() -> Steps:
        server = Server(handler, max_connections=2)
        yield from server.listen("127.0.0.1")
        clients = []
        for _ in range(9):
            client = yield from connected(server.addresses[0])
            yield from client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            clients.append(client)
        assert (yield from server.stop(LIMIT_S)) == 0
        for client in clients:
            assert (yield from everything(client)) == b"x"
            client.close()

    run(main)
    assert most == 2


def test_who_waits_for_room_at_the_end_of_the_grace_is_cut_off() -> None:
    def main() -> Steps:
        server = Server(echo, max_connections=1)
        yield from server.listen("127.0.0.1")
        clients = []
        for _ in range(4):
            clients.append((yield from connected(server.addresses[0])))
        yield from until(lambda: server.connections == 1)
        assert (yield from server.stop(0.02)) == 4
        for client in clients:
            assert (yield from everything(client)) == b""
            client.close()

    run(main)


def test_a_stop_without_a_descriptor_left_answers_whoever_waits() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def main() -> Steps:
        server = Server(echo)
        yield from server.listen("127.0.0.1")
        with tcp() as client:
            spare = os.dup(0)
            os.close(spare)
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
            try:
                yield from client.connect(server.addresses[0])
                yield from client.sendall(b"hello")
                stopping = newthread(server.stop, LIMIT_S)
                yield from sleep(0.05)
                assert not stopping.done
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert (yield from client.recv(100)) == b"hello"
        assert (yield from stopping.join()) == 0

    run(main)


def test_clients_that_go_on_coming_do_not_keep_a_stop_from_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors run out again and again, and whenever one is free, another client comes."""

    class Crowded:
        closed = False
        calls = 0

        @property
        def std(self) -> Crowded:
            return self

        def accept_untimed(self, made_at: str) -> Any:
            raise OSError(errno.EMFILE, "not one by one")

        def accept(self) -> tuple[socket.socket, Any]:
            self.calls += 1
            if self.calls % 3 == 0:
                raise OSError(errno.EMFILE, "none left")
            return socket.socket(), ("127.0.0.1", 1)

    admitted = []

    def admit(conn: TCP) -> None:
        admitted.append(conn)
        conn.close()

    monkeypatch.setattr(socket, "SOMAXCONN", 2**31 - 1)  # as on Windows
    monkeypatch.setattr(accepting, "_QUEUE_MAX", 10)
    monkeypatch.setattr(accepting, "_AGAIN_S", 0)
    listener: Any = Crowded()
    run(lambda: accepting.drain(listener, admit, lambda: len(admitted) > 1000))
    assert len(admitted) == 7
    assert listener.calls == 10
