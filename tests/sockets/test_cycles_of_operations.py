"""Operations leave no reference cycle behind, however they end: done, failed, cancelled, out of time.

Each case runs in a thread of its own, and catches errors in a frame that refers to nothing else.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from typing import Any

import pytest

from socket2 import (
    Busy,
    Cancelled,
    Closed,
    Event,
    IncompleteRead,
    LimitExceeded,
    Lock,
    Queue,
    Semaphore,
    Server,
    addr,
    call_in_thread,
    connect,
    newthread,
    recv_fds,
    resume,
    run,
    runafter,
    runevery,
    send_fds,
    serve,
    sleep,
    socketpair,
    stream,
    suspend,
    tcp,
    timeout,
    udp,
    unix,
)

from ..garbage import left_by

Steps = Generator[Any, Any, Any]
Case = Callable[[], Steps]

CASES: list[Case] = []
BIG = bytes(1 << 23)


def case(func: Case) -> Case:
    CASES.append(func)
    return func


# Since Python 3.12 the frame of a finished generator leads to the frames that called it, if a traceback contains
# it. So an error that a caller keeps, as a thread keeps its own, is in a cycle then, whoever raised it.
FRAMES_LEAD_ON = sys.version_info >= (3, 12)


def fails(operation: Any, *errors: type[BaseException]) -> Steps:
    with pytest.raises(errors) as caught:
        yield from operation
    if FRAMES_LEAD_ON:
        caught.value.__traceback__ = None
    del caught


def cancelled(make: Callable[[], Any]) -> Steps:
    thread = newthread(make)
    yield from sleep(0)
    thread.cancel()
    yield from fails(thread.join(), Cancelled)


def out_of_time(operation: Any) -> Steps:
    with pytest.raises(TimeoutError), timeout(0):
        yield from operation


def given_up(make: Callable[[], Any]) -> Steps:
    """Give up an operation once by a cancel, and once by a timeout."""
    yield from cancelled(make)
    yield from out_of_time(make())


def pair() -> tuple[Any, socket.socket]:
    one, other = socket.socketpair()
    return unix("stream", fileno=one.detach()), other


def boom() -> None:
    raise LookupError


@case
def stream_done() -> Steps:
    sock, peer = pair()
    ours = stream(sock)
    peer.sendall(b"abc\ndef;xyz123")
    yield from ours.recvline()
    yield from ours.recvuntil(b";")
    yield from ours.recvn(2)
    yield from ours.recv()
    yield from ours.sendall(b"x")
    yield from ours.sendv([b"a", b"b"])
    peer.recv(10)
    peer.close()
    yield from ours.recvall()
    ours.close()


@case
def stream_failed() -> Steps:
    sock, peer = pair()
    ours = stream(sock)
    peer.sendall(b"abc")
    peer.close()
    yield from fails(ours.recvn(10), IncompleteRead)
    yield from fails(ours.recvline(1), LimitExceeded)
    yield from fails(ours.sendall(b"x"), OSError)
    yield from fails(ours.sendv([b"x"]), OSError)
    yield from ours.finish(0.1)
    yield from fails(ours.recv(), Closed)


@case
def stream_given_up() -> Steps:
    operations: list[Callable[[Any], Any]] = [
        lambda ours: ours.recvline(),
        lambda ours: ours.sendall(BIG),
        lambda ours: ours.sendv([BIG]),
        lambda ours: ours.peek(),
    ]
    for operate in operations:
        sock, peer = pair()
        ours = stream(sock)
        yield from given_up(lambda: operate(ours))  # noqa: B023
        sock.settimeout(0)
        yield from fails(operate(ours), TimeoutError)
        ours.close()
        peer.close()


@case
def stream_busy_and_closed() -> Steps:
    sock, peer = pair()
    ours = stream(sock)
    thread = newthread(ours.recvline)
    yield from sleep(0)
    yield from fails(ours.recvline(), Busy)
    ours.close()
    yield from fails(thread.join(), Closed)
    peer.close()


@case
def stream_iterated() -> Steps:
    async def iterate() -> None:
        sock, peer = pair()
        peer.sendall(b"a\nb\n")
        peer.shutdown(socket.SHUT_WR)
        ours = stream(sock)
        async for _ in ours:
            pass
        async for _ in ours.chunks():
            pass
        ours.close()
        peer.close()

    yield from iterate().__await__()


@case
def tcp_done() -> Steps:
    with tcp() as listener, tcp() as client:
        listener.listen("127.0.0.1")
        accepting = newthread(listener.accept)
        yield from client.connect("127.0.0.1", listener.local_address[1])
        with (yield from accepting.join()) as server:
            yield from client.sendfile(io.BytesIO(b"abc"))
            yield from server.recv(10)
            yield from client.send(b"abc")
            yield from server.recv_into(bytearray(10))
        with (yield from connect("127.0.0.1", listener.local_address[1])):
            pass


@case
def tcp_failed() -> Steps:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with tcp() as client:
        yield from fails(client.connect("127.0.0.1", port), ConnectionRefusedError)
        yield from fails(client.recv(1), OSError)
    yield from fails(connect("127.0.0.1", port), ConnectionRefusedError)
    yield from fails(client.recv(1), Closed)


@case
def tcp_given_up() -> Steps:
    with tcp() as listener:
        listener.listen("127.0.0.1")
        yield from given_up(lambda: listener.accept())
        for _ in range(2):
            threads = [newthread(lambda: listener.accept()) for _ in range(3)]
            for thread in threads:
                thread.cancel()
            for thread in threads:
                yield from fails(thread.join(), Cancelled)
        listener.settimeout(0)
        yield from fails(listener.accept(), TimeoutError)


@case
def datagrams() -> Steps:
    with udp() as sock:
        sock.bind("127.0.0.1")
        yield from sock.sendto(b"x", sock.local_address)
        yield from sock.recvfrom(10)
        yield from given_up(lambda: sock.recv(10))
        sock.settimeout(0)
        yield from fails(sock.recvfrom(10), TimeoutError)
        yield from fails(sock.sendto(bytes(100_000), sock.local_address), OSError)
        yield from sock.connect("127.0.0.1", sock.local_address[1])
        yield from sock.send(b"x")
    yield from fails(sock.recv(1), Closed)


@case
def descriptors() -> Steps:
    ours, peer = pair()
    with unix("stream", fileno=peer.detach()) as theirs, ours:
        yield from send_fds(ours, b"x", [0])
        _, fds = yield from recv_fds(theirs, 10, 1)
        os.close(fds[0])
        yield from fails(send_fds(ours, b"x", [99_999]), OSError)
        yield from given_up(lambda: recv_fds(theirs, 10, 1))


@case
def messages() -> Steps:
    ours, theirs = socketpair()
    with ours, theirs, ours.dup() as again:
        yield from again.sendmsg([b"x"], fds=[0])
        (yield from theirs.recvmsg(10, max_fds=1)).close()
        yield from fails(ours.sendmsg(b"x", fds=[99_999]), OSError)
        yield from given_up(lambda: theirs.recvmsg(10))
        ours.close()
        again.close()
        yield from fails(theirs.sendmsg(b"x"), OSError)
    yield from fails(theirs.recvmsg(10), Closed)


@case
def look_ups() -> Steps:
    yield from addr("127.0.0.1", 1)
    yield from fails(addr("nobody.invalid", 1), OSError)
    go_on = threading.Event()
    ask = socket.getaddrinfo

    def hang(*args: Any) -> Any:
        if not args[5] & socket.AI_NUMERICHOST:
            go_on.wait()
        return ask(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", hang)
        yield from given_up(lambda: addr("nobody.invalid", 1))
        go_on.set()
    yield from fails(addr("nobody", 1, flags="numerichost"), OSError)
    for thread in [newthread(lambda: addr("nobody.invalid", 1)) for _ in range(3)]:
        yield from fails(thread.join(), OSError)


@case
def calls() -> Steps:
    yield from call_in_thread(len, "abc")
    yield from fails(call_in_thread(boom), LookupError)
    go_on = threading.Event()
    yield from given_up(lambda: call_in_thread(go_on.wait))
    go_on.set()
    yield from call_in_thread(len, "abc")


@case
def jobs() -> Steps:
    yield from runafter(0, len, "a").join()
    yield from fails(runafter(0.001, boom).join(), LookupError)
    yield from runevery(0.001, lambda: False).join()
    thread = runafter(100, len, "a")
    thread.cancel()
    yield from fails(thread.join(), Cancelled)


@case
def threads() -> Steps:
    thread = newthread(sleep, 100)
    yield from given_up(lambda: thread.join())
    thread.cancel()
    yield from fails(thread.join(), Cancelled)
    suspended = newthread(suspend)
    yield from sleep(0)
    resume(suspended, 5)
    assert (yield from suspended.join()) == 5
    yield from given_up(suspend)


@case
def queues() -> Steps:
    queue: Queue[int] = Queue(1)
    yield from queue.put(1)
    yield from given_up(lambda: queue.put(2))
    yield from queue.get()
    yield from given_up(lambda: queue.get())
    thread = newthread(lambda: queue.get())
    yield from sleep(0)
    queue.close()
    yield from fails(thread.join(), Closed)
    yield from fails(queue.get(), Closed)


@case
def events_and_locks() -> Steps:
    event = Event()
    yield from given_up(lambda: event.wait())
    lock = Lock()
    with (yield from lock.acquire()):
        yield from fails(lock.acquire(), RuntimeError)
        yield from cancelled(lambda: lock.acquire())
    semaphore = Semaphore(0)
    yield from given_up(lambda: semaphore.acquire())


@case
def servers() -> Steps:
    def handle(conn: Any) -> Steps:
        line = yield from stream(conn).recvline()
        if line == b"bad":
            boom()
        yield from conn.sendall(b"ok\n")

    server = Server(handle)
    yield from server.listen("127.0.0.1", 0)
    for said in (b"x\n", b"half", b"bad\n"):
        with (yield from connect("127.0.0.1", server.addresses[0][1])) as client:
            yield from client.sendall(said)
            if said.endswith(b"\n"):
                yield from client.recv(10)
    with (yield from connect("127.0.0.1", server.addresses[0][1])):
        yield from given_up(lambda: server.wait())
        yield from server.stop(0)
    yield from server.wait()


@case
def serving() -> Steps:
    def handle(conn: Any) -> Steps:
        yield from conn.recv(10)

    for signals in (), (signal.SIGTERM,):
        ready: Queue[Any] = Queue()
        thread = newthread(lambda: serve(handle, "127.0.0.1", 0, signals=signals, ready=ready.put_nowait))  # noqa: B023
        server = yield from ready.get()
        with (yield from connect("127.0.0.1", server.addresses[0][1])):
            pass
        if signals:
            signal.raise_signal(signal.SIGTERM)
            yield from thread.join()
        else:
            thread.cancel()
            yield from fails(thread.join(), Cancelled)


@pytest.mark.parametrize("steps", CASES, ids=lambda steps: steps.__name__)
def test_no_cycle_is_left(steps: Case) -> None:
    def main() -> Steps:
        yield from steps()
        yield from sleep(0.001)  # threads whose socket was closed learn of it

    assert left_by(lambda: run(main)) == []
