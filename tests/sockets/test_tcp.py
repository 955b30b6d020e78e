"""TCP and UNIX stream sockets as programs use them: generators, timeouts, closing, connecting, many at once."""

from __future__ import annotations

import errno
import gc
import io
import logging
import os
import socket
import sys
import tempfile
import warnings
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import TCP, Busy, Cancelled, Closed, addr, currentthread, newthread, run, sleep, tcp, timeout, udp, unix
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S, refusing
from ..limits import allow_descriptors, needs_limit, no_descriptor_left
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


def ended(thread: socket2.Thread) -> Steps:
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


# Both directions.


def test_full_duplex() -> None:
    size = 3 << 20

    def writer(conn: TCP) -> Steps:
        yield from conn.sendall(bytes(size))
        conn.shutdown(socket.SHUT_WR)

    def reader(conn: TCP) -> Steps:
        got = 0
        while data := (yield from conn.recv(1 << 16)):
            got += len(data)
        return got

    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            threads = [newthread(func, conn) for conn in (client, server) for func in (writer, reader)]
            outcomes = []
            for thread in threads:
                outcomes.append((yield from thread.join()))
            assert outcomes == [None, size, None, size]

    run(main)


def test_a_second_reader_is_busy_and_the_first_lives() -> None:
    def reader(conn: TCP) -> Steps:
        return (yield from conn.recv(10))

    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            first = newthread(reader, server)
            with pytest.raises(Busy, match="reading this socket already"):
                yield from server.recv(10)
            yield from client.sendall(b"hello")
            assert (yield from first.join()) == b"hello"

    run(main)


def test_close_wakes_reader_and_writer() -> None:
    def reader(conn: TCP) -> Steps:
        with pytest.raises(Closed):
            yield from conn.recv(10)
        return "woken"

    def writer(conn: TCP) -> Steps:
        with pytest.raises(Closed):
            yield from conn.sendall(bytes(1 << 24))
        return "woken"

    def main() -> Steps:
        client, server = yield from pair()
        with client:
            threads = [newthread(reader, server), newthread(writer, server)]
            server.close()
            for thread in threads:
                assert (yield from thread.join()) == "woken"

    run(main)


def test_recv_into() -> None:
    def main() -> Steps:
        client, server = yield from pair()
        with client, server:
            buffer = bytearray(8)
            yield from client.sendall(b"0123456789")
            assert (yield from server.recv_into(buffer, 3)) == 3
            assert (yield from server.recv_into(memoryview(buffer)[3:])) == 5
            assert buffer == b"01234567"
            with pytest.raises(TypeError):
                server.recv_into(b"read only")

    run(main)


# Files.


def test_sendfile() -> None:
    data = os.urandom(2 << 20)

    def sender(conn: TCP, file: Any, offset: int, count: int | None) -> Steps:
        sent = yield from conn.sendfile(file, offset, count)
        conn.shutdown(socket.SHUT_WR)
        return sent, file.tell()

    def main() -> Steps:
        with tempfile.TemporaryFile() as real:
            real.write(data)
            real.flush()
            for file in (real, io.BytesIO(data)):
                for offset, count in ((0, None), (100, None), (5, 1000), (len(data), None)):
                    client, server = yield from pair()
                    with client, server:
                        sending = newthread(sender, client, file, offset, count)
                        got = bytearray()
                        while block := (yield from server.recv(1 << 16)):
                            got += block
                        expected = data[offset:] if count is None else data[offset : offset + count]
                        assert bytes(got) == expected
                        sent, position = yield from sending.join()
                        assert sent == len(expected)
                        assert not sent or position == offset + sent

    run(main)


def test_sendfile_refuses_what_the_standard_library_refuses(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("text")
    with tcp() as sock, path.open() as text, path.open("rb") as binary:
        with pytest.raises(ValueError, match="binary"):
            sock.sendfile(text)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="positive"):
            sock.sendfile(binary, count=0)
        with pytest.raises(TypeError):
            sock.sendfile(binary, count=1.5)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="negative"):
            sock.sendfile(binary, offset=-1)


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
