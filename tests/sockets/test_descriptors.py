"""Descriptors over UNIX sockets: between threads, to another process, and after an early end."""

from __future__ import annotations

import array
import errno
import fcntl
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

import pollers
from socket2 import TCP, UDP, Busy, Cancelled, Closed, newthread, recv_fds, send_fds, sleep, tcp, timeout, udp, unix

from ..conftest import descriptors
from ..interop.peers import LIMIT_S, pattern, receive_exactly, run

pytestmark = pytest.mark.skipif(not hasattr(socket, "SCM_RIGHTS"), reason="this system passes no descriptors")


@contextmanager
def pair() -> Iterator[tuple[TCP, TCP]]:
    one, two = socket.socketpair()
    with unix(fileno=one.detach()) as first, unix(fileno=two.detach()) as second:
        yield first, second


@contextmanager
def half() -> Iterator[tuple[TCP, socket.socket]]:
    """Return our socket, and the standard library's at the other end."""
    one, two = socket.socketpair()
    two.settimeout(LIMIT_S)
    with unix(fileno=one.detach()) as first, two:
        yield first, two


@contextmanager
def files(count: int) -> Iterator[list[int]]:
    with ExitStack() as stack:
        yield [stack.enter_context(open(os.devnull, "rb")).fileno() for _ in range(count)]


def same_file(one: int, two: int) -> bool:
    return os.path.samestat(os.fstat(one), os.fstat(two))


def test_descriptors_arrive_close_on_exec() -> None:
    async def main() -> None:
        read_end, write_end = os.pipe()
        with pair() as (ours, theirs):
            await send_fds(ours, b"a pipe", [write_end, read_end])
            data, fds = await recv_fds(theirs, 100, 10)
            assert data == b"a pipe"
            assert len(fds) == 2
            assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in fds)
            assert same_file(fds[0], write_end)
            for fd in (read_end, write_end, fds[1]):
                os.close(fd)
            # The pipe's read ends are closed, so this is the only end left.
            with pytest.raises(BrokenPipeError):
                os.write(fds[0], b"x")
            os.close(fds[0])

    run(main)


def test_a_connection_is_handed_over() -> None:
    async def main() -> None:
        with pair() as (ours, theirs), tcp() as listener, tcp() as client:
            listener.listen(False)
            await client.connect(listener.getsockname())
            with await listener.accept() as server:
                await send_fds(ours, b"\0", [server.fileno()])
            _, [fd] = await recv_fds(theirs, 1, 1)
            with tcp(fileno=fd) as taken_over:
                await taken_over.sendall(b"still here")
                assert await client.recv(100) == b"still here"

    run(main)


def test_to_another_process_and_back() -> None:
    program = """
import array, os, socket
sock = socket.socket(fileno=0)
data, fds, _, _ = socket.recv_fds(sock, 100, 10)
os.write(fds[0], data.upper())
socket.send_fds(sock, [b"back"], fds)
"""

    async def main() -> None:
        with (
            half() as (ours, theirs),
            subprocess.Popen([sys.executable, "-c", program], stdin=theirs.fileno()) as child,
        ):
            read_end, write_end = os.pipe()
            await send_fds(ours, b"hello", [write_end])
            os.close(write_end)
            data, fds = await recv_fds(ours, 100, 5)
            assert (data, len(fds)) == (b"back", 1)
            assert child.wait(LIMIT_S) == 0
            os.close(fds[0])
            with open(read_end, "rb") as pipe:
                assert pipe.read() == b"HELLO"

    run(main)


def test_data_without_descriptors_and_the_end() -> None:
    async def main() -> None:
        with half() as (ours, theirs):
            theirs.sendall(b"plain")
            assert await recv_fds(ours, 3, 5) == (b"pla", [])
            assert await recv_fds(ours, 3, 0) == (b"in", [])
            await send_fds(ours, b"none", [])
            assert theirs.recv(10) == b"none"
            theirs.close()
            assert await recv_fds(ours, 3, 5) == (b"", [])
            with pytest.raises(BrokenPipeError):
                await send_fds(ours, b"x", [0])

    run(main)


def test_datagrams_carry_descriptors() -> None:
    async def main() -> None:
        one, two = socket.socketpair(type=socket.SOCK_DGRAM)
        with unix("dgram", fileno=one.detach()) as ours, unix("dgram", fileno=two.detach()) as theirs:
            assert isinstance(ours, UDP)
            with files(2) as sent:
                await send_fds(ours, b"two", sent)
                data, fds = await recv_fds(theirs, 100, 2)
                assert data == b"two"
                assert all(same_file(a, b) for a, b in zip(sent, fds, strict=True))
                for fd in fds:
                    os.close(fd)

    run(main)


def test_all_of_the_data_goes_however_much_it_is() -> None:
    data = pattern(1, 2_000_000)

    async def main() -> None:
        with half() as (ours, theirs), files(1) as sent:
            sending = newthread(send_fds(ours, data, sent))
            assert not sending.done
            first, fds, _, _ = socket.recv_fds(theirs, 10, 5)
            assert len(fds) == 1
            os.close(fds[0])
            while len(first) < len(data):
                first += theirs.recv(1 << 20)
                await sleep(0)
            await sending.join()
            assert first == data

    run(main)


@pytest.mark.parametrize(("sent", "most"), [(1, 0), (2, 1), (3, 2), (5, 1), (100, 99)])
def test_more_than_were_asked_for_are_closed_all(sent: int, most: int) -> None:
    async def main() -> None:
        with pair() as (ours, theirs), files(sent) as fds:
            await sleep(0)
            await send_fds(ours, b"x", [])
            assert await theirs.recv(1) == b"x"  # both are attached, so the poller has opened all its descriptors
            before = descriptors()
            await send_fds(ours, b"lots", fds)
            with pytest.raises(OSError, match=f"more than {most} descriptors came with 4 bytes") as failure:
                await recv_fds(theirs, 100, most)
            assert failure.value.errno == errno.EMSGSIZE
            assert descriptors() == before
            await send_fds(ours, b"next", fds[:most])
            data, received = await recv_fds(theirs, 100, most)
            assert (data, len(received)) == (b"next", most)
            for fd in received:
                os.close(fd)

    run(main)


def test_a_cancel_or_timeout_takes_nothing() -> None:
    async def main() -> None:
        with pair() as (ours, theirs), files(1) as sent:
            waiting = newthread(recv_fds(theirs, 10, 1))
            waiting.cancel()
            with pytest.raises(Cancelled):
                await waiting.join()
            with pytest.raises(TimeoutError), timeout(0.01):
                await recv_fds(theirs, 10, 1)
            theirs.settimeout(0.01)
            with pytest.raises(TimeoutError):
                await recv_fds(theirs, 10, 1)
            theirs.settimeout(None)
            waiting = newthread(recv_fds(theirs, 10, 1))
            await send_fds(ours, b"x", sent)
            waiting.cancel()  # successful or not: the message is delivered, or it is still there
            try:
                _, fds = await waiting.join()
            except Cancelled:
                _, fds = await recv_fds(theirs, 10, 1)
            os.close(*fds)

    run(main)


def test_a_send_that_is_cut_tells_how_far_it_was() -> None:
    async def main() -> None:
        with half() as (ours, theirs), files(1) as sent:
            data = pattern(2, 5_000_000)
            with pytest.raises(TimeoutError) as failure, timeout(0.01):
                await send_fds(ours, data, sent)
            went: int = failure.value.bytes_sent  # type: ignore[attr-defined]
            assert 0 < went < len(data)
            with pytest.raises(TimeoutError) as failure, timeout(0.01):
                await send_fds(ours, data, sent)
            assert failure.value.bytes_sent == 0  # type: ignore[attr-defined]
            first, fds, _, _ = socket.recv_fds(theirs, 1000, 5)
            os.close(*fds)
            assert first + receive_exactly(theirs, went - len(first)) == data[:went]
            theirs.setblocking(False)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)

    run(main)


def test_a_reader_at_work_is_not_robbed() -> None:
    async def main() -> None:
        with pair() as (ours, theirs):
            reading = newthread(theirs.recv(10))
            with pytest.raises(Busy):
                await recv_fds(theirs, 10, 1)
            await ours.sendall(b"its own")
            assert await reading.join() == b"its own"

    run(main)


def test_mistakes() -> None:
    async def main() -> None:
        with tcp() as internet, udp() as datagrams, pair() as (ours, theirs):
            mistakes: list[Any] = [
                lambda: send_fds(internet, b"x", []),
                lambda: recv_fds(datagrams, 1, 1),
                lambda: send_fds(ours, b"", []),
                lambda: recv_fds(ours, 0, 1),
                lambda: recv_fds(ours, 1, -1),
            ]
            for mistake in mistakes:
                with pytest.raises(ValueError, match=r"."):
                    mistake()
            closed = os.dup(0)
            os.close(closed)
            with pytest.raises(OSError, match=r".") as failure:
                await send_fds(ours, b"x", [closed])
            assert failure.value.errno == errno.EBADF
            with pytest.raises(OSError, match=r"."):
                await send_fds(ours, b"x", [0] * 1000)
            theirs.close()
            with pytest.raises(Closed):
                await recv_fds(theirs, 1, 1)

    run(main)


def test_where_the_system_cannot_set_close_on_exec_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pollers.readiness.messages, "_CLOEXEC", 0)
    one, two = socket.socketpair()
    with one, two, files(1) as sent:
        socket.send_fds(one, [b"x"], sent)
        _, [fd] = pollers.receive_descriptors(two, 1, 1)
        assert not os.get_inheritable(fd)
        os.close(fd)


def test_a_message_of_several_sets_of_rights() -> None:
    one, two = socket.socketpair()
    with one, two, files(2) as sent:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd])) for fd in sent]
        one.sendmsg([b"x"], rights)
        _, fds = pollers.receive_descriptors(two, 1, 5)
        assert len(fds) == 2
        for fd in fds:
            os.close(fd)


def test_a_receive_stops_where_descriptors_begin_and_the_next_one_goes_on() -> None:
    """A short receive does not mean that there is no more data."""

    async def main() -> None:
        with pair() as (ours, theirs), files(1) as sent:
            waiting = newthread(theirs.recv(1))  # so that the poller watches it
            await ours.sendall(b"0")
            await waiting.join()
            await ours.sendall(b"one")
            await send_fds(ours, b"two", sent)
            await ours.sendall(b"three")
            await send_fds(ours, b"four", sent)
            data, fds = await recv_fds(theirs, 100, 1)
            assert data in (b"onetwo", b"one")
            if not fds:
                data, fds = await recv_fds(theirs, 100, 1)
            os.close(*fds)
            received = data[data.index(b"two") :]
            while len(received) < len(b"twothreefour"):
                received += await theirs.recv(100)  # the second descriptor is lost
            assert received == b"twothreefour"

    run(main)


@pytest.mark.skipif(not hasattr(socket, "SO_PASSCRED"), reason="this system passes no credentials")
def test_other_control_data_is_not_taken_for_too_many_descriptors() -> None:
    async def main() -> None:
        with pair() as (ours, theirs), files(1) as sent:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            await send_fds(ours, b"x", sent)
            data, [fd] = await recv_fds(theirs, 10, 1)
            os.close(fd)
            assert data == b"x"

    run(main)
