"""TCP and UNIX stream sockets as programs use them: generators, timeouts, closing, connecting, many at once."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import TCP, Cancelled, Closed, addr, newthread, run, sleep, tcp, udp, unix
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S, refusing
from ..limits import needs_limit, no_descriptor_left
from ..machine import needs_ipv6

Steps = Generator[Any, Any, Any]


def pair(family: str = "inet") -> Steps:
    """Return a connected pair of our own sockets."""
    with tcp(family) as listener:
        listener.listen(False)
        client = tcp(family)
        yield from client.connect(*listener.getsockname()[:2])
        return client, (yield from listener.accept())


def fill(conn: TCP) -> Steps:
    """Send until the kernel takes no more. Return how many bytes it took."""
    conn.settimeout(0, "write")
    sent = 0
    try:
        while True:
            sent += yield from conn.send(bytes(1 << 16))
    except TimeoutError:
        conn.settimeout(None, "write")
        return sent


def ended(thread: socket2.Thread[object]) -> Steps:
    """Wait for a cancelled thread."""
    with pytest.raises(Cancelled):
        yield from thread.join()


# Attributes.


def test_the_standard_librarys_socket_is_there_until_the_end() -> None:
    sock = tcp()
    assert sock.std.fileno() == sock.fileno()
    sock.close()
    with pytest.raises(Closed):
        assert sock.std


def test_what_is_built_on_a_socket_has_its_timeouts() -> None:
    def main() -> Steps:
        with tcp() as sock:
            sock.settimeout(0.001, "read")
            with pytest.raises(TimeoutError):
                yield from sock.limit_read(sleep(LIMIT_S))
            yield from sock.limit_write(sleep(0.002))
            sock.settimeout(0.001, "write")
            with pytest.raises(TimeoutError):
                yield from sock.limit_write(sleep(LIMIT_S))

    run(main)


def test_one_attempt_leaves_the_socket_as_it_is() -> None:
    def main() -> Steps:
        with refusing() as port, tcp() as sock:
            (address,) = yield from addr("127.0.0.1", port)
            fd = sock.fileno()
            with pytest.raises(ConnectionRefusedError):
                yield from sock.connect_to(address)
            assert sock.fileno() == fd

    run(main)


@needs_ipv6
def test_what_it_is() -> None:
    with tcp() as four, tcp("inet6") as six, unix() as path, udp() as datagrams, unix("dgram") as path_datagrams:
        assert (four.type, four.family, four.protocol) == ("tcp", "inet", "tcp")
        assert (six.type, six.family, six.protocol) == ("tcp", "inet6", "tcp")
        assert (path.type, path.family) == ("stream", "unix")
        assert (datagrams.type, datagrams.family, datagrams.protocol) == ("udp", "inet", "udp")
        assert (path_datagrams.type, path_datagrams.family) == ("dgram", "unix")
        assert not four.closed
        assert four.fileno() >= 0
        four.close()
        four.close()
        assert four.closed
        assert four.fileno() == -1
        assert "closed" in repr(four)
        for use in (four.getsockname, four.getpeername, four.detach, lambda: four.shutdown(2), lambda: four.type):
            with pytest.raises(Closed):
                use()
        with pytest.raises(Closed):
            four.recv(1)
        with pytest.raises(Closed):
            four.listen("127.0.0.1")


def test_unknown_names() -> None:
    for wrong in ({"family": "ipx"}, {"protocol": "sctpp"}):
        with pytest.raises(ValueError, match="unknown"):
            tcp(**wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown"):
        unix("raw")  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        tcp(4)  # type: ignore[arg-type]


def test_addresses_of_both_ends() -> None:
    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            assert server.remote_address == client.local_address == client.getsockname()
            assert server.local_address == client.remote_address == client.getpeername()
            assert "127.0.0.1" in repr(server)
            client.close()
            assert server.remote_address[0] == "127.0.0.1", "known after the peer has gone"

    run(main)


def test_options_are_the_standard_librarys() -> None:
    with tcp() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert len(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)) in (4, 8)  # type: ignore[arg-type]
        with pytest.raises(OSError, match=r"."):
            sock.setsockopt(socket.SOL_SOCKET, 9999, 1)


def test_adopting_and_giving_away_descriptors() -> None:
    with socket.socket() as sock:
        ours = tcp(fileno=sock.detach())
    assert ours.family == "inet"
    number = ours.detach()
    assert ours.closed
    socket.close(number)
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams, pytest.raises(ValueError, match="is not a tcp socket"):
        tcp(fileno=datagrams.fileno())
    with pytest.raises(ValueError, match="negative"):
        tcp(fileno=-1)


def test_giving_away_a_descriptor_ends_who_waits_on_it() -> None:
    def main() -> Steps:
        client, server = yield from pair()
        reader = newthread(server_reads, server)
        number = server.detach()
        with pytest.raises(Closed):
            yield from reader.join()
        with socket.socket(fileno=number) as raw, client:
            yield from client.sendall(b"x")
            raw.setblocking(True)
            assert raw.recv(10) == b"x"

    def server_reads(server: TCP) -> Steps:
        yield from server.recv(10)

    run(main)


# Listening.


def test_listen_forms(tmp_path: Path) -> None:
    with tcp() as sock:
        sock.listen("127.0.0.1", 0)
        assert sock.getsockname()[0] == "127.0.0.1"
        assert sock.getsockname()[1] > 0
    with tcp() as sock:
        sock.listen("localhost", 0, 5)
        assert sock.getsockname()[0] == "127.0.0.1"
    for anywhere in (None, "*", ""):
        with tcp() as sock:
            sock.listen(anywhere, 0)
            assert sock.getsockname()[0] == "0.0.0.0"
    with tcp() as sock:
        sock.listen(5, False, 0)  # the order of luapower
        assert sock.getsockname()[0] == "127.0.0.1"
    with tcp() as sock:
        with pytest.raises(TypeError, match="needs a host"):
            sock.listen(5)
        with pytest.raises(TypeError, match="backlog"):
            sock.listen("127.0.0.1", 0, "5")
        with pytest.raises(OverflowError):
            sock.listen("127.0.0.1", 65536)
        sock.bind("127.0.0.1", 0)
        bound = sock.getsockname()
        sock.listen("8.8.8.8", 1)  # it is bound already, so the address is fixed
        assert sock.getsockname() == bound
    with unix() as sock:
        sock.listen(str(tmp_path / "s"))
        assert sock.getsockname() == str(tmp_path / "s")


def test_listen_on_what_addr_found() -> None:
    def main() -> Steps:
        with tcp() as sock:
            sock.listen((yield from addr("127.0.0.1", 0)))
            assert sock.getsockname()[1] > 0

    run(main)


def test_a_used_port_is_an_error() -> None:
    with tcp() as one, tcp() as other:
        one.listen("127.0.0.1", 0)
        with pytest.raises(OSError, match=r".") as failure:
            other.listen(*one.getsockname())
        assert failure.value.errno == errno.EADDRINUSE


def test_a_port_can_be_taken_again_while_old_connections_linger() -> None:
    def main() -> Steps:
        listener = tcp()
        listener.listen("127.0.0.1", 0)
        address = listener.getsockname()
        with tcp() as client:
            yield from client.connect(*address)
            server = yield from listener.accept()
            server.close()  # close this end first, so that the TIME_WAIT is on this port
            assert (yield from client.recv(1)) == b""
        listener.close()
        with tcp() as again:
            again.listen(*address)

    run(main)


def test_a_name_is_not_looked_up_by_bind_inside_a_thread() -> None:
    def main() -> Steps:
        with tcp() as sock, pytest.raises(ValueError, match=r"yield from addr"):
            sock.bind("some.host.example", 80)
        yield from sleep(0)

    run(main)
    with tcp() as sock, pytest.raises(socket.gaierror):
        sock.bind("nosuchhost.invalid", 80)


def test_several_threads_accept_in_the_order_they_came() -> None:
    order: list[str] = []

    def acceptor(listener: TCP, name: str) -> Steps:
        conn = yield from listener.accept()
        order.append(name)
        conn.close()

    def main() -> Steps:
        with tcp() as listener:
            listener.listen("127.0.0.1", 0)
            threads = [newthread(acceptor, listener, name) for name in "abcd"]
            threads[1].cancel()
            yield from ended(threads.pop(1))
            for _ in range(3):
                with tcp() as client:
                    yield from client.connect(*listener.getsockname())
            for thread in threads:
                yield from thread.join()
        assert order == ["a", "c", "d"]

    run(main)


def test_closing_the_listener_wakes_every_acceptor() -> None:
    def acceptor(listener: TCP) -> Steps:
        with pytest.raises(Closed):
            yield from listener.accept()
        return "woken"

    def main() -> Steps:
        listener = tcp()
        listener.listen("127.0.0.1", 0)
        threads = [newthread(acceptor, listener) for _ in range(3)]
        listener.close()
        for thread in threads:
            assert (yield from thread.join()) == "woken"

    run(main)


@needs_limit
def test_accept_with_no_descriptor_left_neither_spins_nor_dies(caplog: pytest.LogCaptureFixture) -> None:
    def main() -> Steps:
        with tcp() as listener:
            listener.listen("127.0.0.1", 0)
            accepting = newthread(listener.accept())
            with tcp() as client:
                scheduler = current_scheduler()
                polls = scheduler.poller.stats().polls
                with no_descriptor_left():
                    yield from client.connect(*listener.getsockname())
                    yield from sleep(0.25)
                assert not accepting.done
                assert scheduler.poller.stats().polls - polls < 50, "it does not spin"
                conn = yield from accepting.join()
                assert conn.remote_address == client.local_address
                conn.close()

    with caplog.at_level(logging.WARNING, logger="socket2"):
        run(main)
    assert [record.levelname for record in caplog.records] == ["WARNING"], "told once"
