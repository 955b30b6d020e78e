"""A stream over anything with the interface of a byte stream: over memory, and over streams over streams."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import reduce
from typing import Any

import pytest

from socket2 import (
    AnyByteStream,
    Busy,
    Cancelled,
    Closed,
    IncompleteRead,
    Server,
    Stream,
    connect,
    newthread,
    run,
    sleep,
    stream,
    timeout,
)
from socket2.threads.scheduler import Scheduler, local

from ..handclock import KINDS, HandClock
from ..interop.peers import pattern
from ..memory import memory_pair

Steps = Generator[Any, Any, Any]

HEIGHTS = (1, 2, 4)  # this many streams, one over the other


@contextmanager
def streams(height: int, room: int = 1 << 16) -> Iterator[tuple[Stream, Stream]]:
    ours, theirs = memory_pair(room)
    with over(ours, height) as one, over(theirs, height) as other:
        yield one, other


def over(lowest: AnyByteStream, height: int) -> Stream:
    made: Any = reduce(lambda under, _: stream(under), range(height), lowest)
    assert isinstance(made, Stream)
    return made


@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize("room", [1, 7, 1 << 16])
def test_lines_counts_and_the_end(height: int, room: int) -> None:
    with streams(height, room) as (one, other):

        def send() -> Steps:
            yield from one.sendall(b"a line\r\nexactly;until|")
            yield from one.sendv([b"the ", b"rest ", bytearray(b"of it")])
            one.shutdown()

        def main() -> Steps:
            sending = newthread(send)
            assert (yield from other.recvline()) == b"a line"
            assert (yield from other.recvn(7)) == b"exactly"
            assert (yield from other.peek(1)) == b";"
            assert (yield from other.recvuntil(b"|")) == b";until"
            assert (yield from other.recvall()) == b"the rest of it"
            assert (yield from other.recvline()) is None
            yield from sending.join()
            sending = newthread(other.sendall(b"half a li"))
            assert (yield from one.peek(9)) == b"half a li"
            yield from sending.join()
            other.shutdown()
            with pytest.raises(IncompleteRead):
                yield from one.recvline()
            assert (yield from one.recv()) == b"half a li"

        run(main)


@pytest.mark.parametrize("height", HEIGHTS)
def test_much_in_both_directions(height: int) -> None:
    data = pattern(15, 300_000)
    with streams(height) as (one, other):

        def send(at: Stream) -> Steps:
            yield from at.sendall(data)
            at.shutdown()

        def main() -> Steps:
            sending = [newthread(send, at) for at in (one, other)]
            receiving = [newthread(at.recvall()) for at in (one, other)]
            for thread in receiving:
                assert (yield from thread.join()) == data
            for thread in sending:
                yield from thread.join()

        run(main)


@pytest.mark.parametrize("height", HEIGHTS)
def test_what_is_given_up_loses_nothing(height: int) -> None:
    with streams(height) as (one, other):

        def main() -> Steps:
            yield from one.sendall(b"half a ")
            receiving = newthread(other.recvline())
            yield from sleep(0)
            receiving.cancel()
            with pytest.raises(Cancelled):
                yield from receiving.join()
            with pytest.raises(TimeoutError), timeout(0):
                yield from other.recvline()
            yield from one.sendall(b"line\n")
            assert (yield from other.recvline()) == b"half a line"

        run(main)


@pytest.mark.parametrize("height", HEIGHTS)
def test_what_ends_a_send_early_tells_how_far_it_was(height: int) -> None:
    with streams(height, 1000) as (one, other):

        def main() -> Steps:
            one.settimeout(0.001, "write")
            sends: list[Callable[[], Any]] = [
                lambda: one.sendall(bytes(1500)),
                lambda: one.sendv([bytes(700), bytes(800)]),
            ]
            for send in sends:
                with pytest.raises(TimeoutError) as failure:
                    yield from send()
                assert failure.value.bytes_sent == 1000  # type: ignore[attr-defined]
                assert (yield from other.recvn(1000)) == bytes(1000)

        run(main)


@pytest.mark.parametrize("height", HEIGHTS)
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_timeout_is_for_the_whole_operation(height: int, kind: str) -> None:
    """With a clock that is moved by hand it ends exactly on time, although a byte comes every two seconds."""
    clock: HandClock = KINDS[kind]()
    local.scheduler = Scheduler(clock)
    with streams(height) as (one, other):

        def drip() -> Steps:
            while True:
                yield from sleep(2)
                yield from one.sendall(b"x")

        def main() -> Steps:
            dripping = newthread(drip)
            other.settimeout(7)
            assert other.gettimeout() == other.gettimeout("write") == 7
            begun = clock.now()
            with pytest.raises(TimeoutError):
                yield from other.recvline()
            assert round(clock.now() - begun, 3) == 7
            dripping.cancel()
            with pytest.raises(Cancelled):
                yield from dripping.join()
            assert (yield from other.recvn(3)) == b"xxx"
            begun = clock.now()
            one.settimeout(5, "write")
            with pytest.raises(TimeoutError) as failure:
                yield from one.sendv(bytes(1000) for _ in range(1000))
            assert failure.value.bytes_sent == 1 << 16  # type: ignore[attr-defined]
            assert round(clock.now() - begun, 3) == 5

        run(main)


@pytest.mark.parametrize("height", HEIGHTS)
def test_one_thread_in_each_direction_and_close_wakes_both(height: int) -> None:
    with streams(height, 10) as (one, _):

        def main() -> Steps:
            receiving, sending = newthread(one.recvline(), name="a reader"), newthread(one.sendall(bytes(20)))
            with pytest.raises(Busy, match="thread 'a reader' is receiving"):
                yield from one.recv(1)
            with pytest.raises(Busy):
                yield from one.sendall(b"x")
            assert not one.closed
            one.close()
            assert one.closed
            assert one.fileno() == -1
            for thread in (receiving, sending):
                with pytest.raises(Closed):
                    yield from thread.join()
            with pytest.raises(Closed):
                yield from one.recv(1)
            one.close()

        run(main)


@pytest.mark.parametrize("height", HEIGHTS)
def test_finish_waits_for_the_others_end(height: int) -> None:
    with streams(height) as (one, other):

        def main() -> Steps:
            yield from one.sendall(b"the last words")
            yield from other.sendall(b"nobody reads this")
            finishing = newthread(one.finish(20))
            assert (yield from other.recvall()) == b"the last words"
            assert not finishing.done
            other.close()
            yield from finishing.join()
            assert one.closed

        run(main)


def test_what_is_in_the_buffer_takes_no_receive_beneath() -> None:
    ours, theirs = memory_pair()

    def main() -> Steps:
        with stream(stream(ours)) as one, stream(theirs) as other:
            yield from other.sendall(b"1\n2\n3\n")
            for line in (b"1", b"2", b"3"):
                assert (yield from one.recvline()) == line
            assert ours.receives == 1

    run(main)


@pytest.mark.parametrize("height", HEIGHTS)
def test_over_a_connection_it_has_the_descriptor_and_the_socket(height: int) -> None:
    def handler(conn: Any) -> Steps:
        client = over(conn, height)
        while (line := (yield from client.recvline())) is not None:
            yield from client.sendall(line.upper() + b"\n")

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1", 0)
        sock = yield from connect(server.addresses[0])
        with over(sock, height) as client:
            assert client.fileno() == sock.fileno() >= 0
            yield from client.sendall(b"hello\n")
            assert (yield from client.recvline()) == b"HELLO"
        assert sock.closed
        yield from server.stop()

    run(main)


def test_whose_fault_an_end_is_a_server_knows_through_all_of_them(caplog: pytest.LogCaptureFixture) -> None:
    """The client has left in the middle of a line: this is not an error of the handler."""

    def handler(conn: Any) -> Steps:
        yield from over(conn, 2).recvline()

    def main() -> Steps:
        server = Server(handler)
        yield from server.listen("127.0.0.1", 0)
        with (yield from connect(server.addresses[0])) as sock:
            yield from sock.sendall(b"half a li")
            sock.shutdown(socket.SHUT_WR)
            assert (yield from sock.recv(1)) == b""
        yield from server.stop()

    with caplog.at_level("INFO", "socket2.server"):
        run(main)
    assert [record.levelname for record in caplog.records] == ["INFO"]


class Lacking:
    def recv(self, n: int) -> Any: ...
    def sendall(self, data: Any) -> Any: ...


@pytest.mark.parametrize("wrong", [Lacking, socket.socket, int])
def test_what_lacks_something_makes_no_stream(wrong: Callable[[], Any]) -> None:
    candidate = wrong()
    with pytest.raises(TypeError, match="byte stream.*has no .*closed"):
        stream(candidate)
    if isinstance(candidate, socket.socket):
        candidate.close()


def test_what_only_passes_on_makes_one() -> None:
    """The class lacks the names, but its objects have them."""

    class Passing:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    ours, theirs = memory_pair()

    def main() -> Steps:
        passing: Any = Passing(ours)
        with stream(passing) as one, stream(theirs) as other:
            yield from one.sendall(b"through\n")
            assert (yield from other.recvline()) == b"through"

    run(main)
