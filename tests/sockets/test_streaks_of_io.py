"""A thread whose receives, sends and lookups never wait: other threads still run, and deadlines and cancels come.

The data is in a buffer already, or no system call is needed, or the call fails without a wait.
"""

from __future__ import annotations

import io
import socket
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, Stream, Thread, luasocket, net, newthread, run, sleep, stream, timeout
from socket2.luasocket import ltn12

Steps = Generator[Any, Any, Any]
Once = Callable[[], Any]
Kind = Callable[[ExitStack], Generator[Any, Any, Once]]

# There is this much data, and at most this many attempts.
MANY = 1000

# In a row: 64 and the one that waits. A stream counts by eights, and may have counted some of them before.
ROW = 73

KINDS: list[Kind] = []


def kind(make: Kind) -> Kind:
    KINDS.append(make)
    return make


def raises(*errors: type[BaseException]) -> Callable[[Callable[[], Any]], Once]:
    """Check that what `once` awaits fails with this error, at once."""

    def decorate(once: Callable[[], Any]) -> Once:
        def failing() -> Steps:
            with pytest.raises(errors):
                yield from once()

        return failing

    return decorate


def pair(stack: ExitStack) -> tuple[Any, socket.socket]:
    one, other = socket.socketpair()
    stack.enter_context(other)
    return stack.enter_context(socket2.unix("stream", fileno=one.detach())), other


def buffered(stack: ExitStack, data: bytes) -> Generator[Any, Any, Stream]:
    """Return a stream that has these bytes in its buffer."""
    sock, peer = pair(stack)
    peer.sendall(data)
    ours = stream(sock)
    yield from ours.peek(len(data))
    return ours


def of_stream(name: str, data: bytes, operate: Callable[[Stream], Any]) -> None:
    def make(stack: ExitStack) -> Generator[Any, Any, Once]:
        ours = yield from buffered(stack, data)
        return lambda: operate(ours)

    make.__name__ = f"stream_{name}"
    kind(make)


def of_sock(name: str, operate: Callable[[Any], Any]) -> None:
    def make(stack: ExitStack) -> Generator[Any, Any, Once]:
        yield from ()
        sock, _ = pair(stack)
        return lambda: operate(sock)

    make.__name__ = f"sock_{name}"
    kind(make)


of_stream("recv", b"x" * MANY, lambda ours: ours.recv(1))
of_stream("recvn", b"x" * MANY, lambda ours: ours.recvn(1))
of_stream("recvn_0", b"x", lambda ours: ours.recvn(0))
of_stream("recvuntil", b"x;" * MANY, lambda ours: ours.recvuntil(b";"))
of_stream("recvline", b"x\n" * MANY, lambda ours: ours.recvline())
of_stream("peek", b"x", lambda ours: ours.peek())
of_stream("lines", b"x\n" * MANY, lambda ours: aiter(ours).__anext__())
of_stream("chunks", b"x" * MANY, lambda ours: ours.chunks(1).__anext__())
of_stream("long_line", b"xyz", lambda ours: raises(socket2.LimitExceeded)(lambda: ours.recvline(1))())
of_stream("too_much", b"xyz", lambda ours: raises(socket2.LimitExceeded)(lambda: ours.recvall(1))())
of_stream("sendall_nothing", b"x", lambda ours: ours.sendall(b""))
of_stream("sendv_nothing", b"x", lambda ours: ours.sendv([]))
of_stream("sendv_empty_pieces", b"x", lambda ours: ours.sendv([b"", b""]))
of_sock("send_nothing", lambda sock: sock.send(b""))
of_sock("sendall_nothing", lambda sock: sock.sendall(b""))
of_sock("sendall_empty_array", lambda sock: sock.sendall(bytearray()))
of_sock("recv_nothing", lambda sock: sock.recv(0))
of_sock("recv_into_nothing", lambda sock: sock.recv_into(bytearray()))
of_sock("sendfile_of_memory", lambda sock: sock.sendfile(io.BytesIO()))


@kind
def sendfile_of_nothing(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    sock, _ = pair(stack)
    file = (Path(stack.enter_context(tempfile.TemporaryDirectory())) / "empty").open("w+b")
    stack.callback(file.close)
    return lambda: sock.sendfile(file)


@kind
def end_of_stream(stack: ExitStack) -> Generator[Any, Any, Once]:
    sock, peer = pair(stack)
    peer.close()
    ours = stream(sock)
    yield from sleep(0)
    return ours.recvline


@kind
def recv_unconnected(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    sock = stack.enter_context(socket2.tcp())
    return raises(OSError)(lambda: sock.recv(1))


@kind
def send_to_nobody(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    sock, peer = pair(stack)
    peer.close()
    return raises(BrokenPipeError)(lambda: sock.send(b"x"))


@kind
def sendall_to_nobody(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    sock, peer = pair(stack)
    peer.close()
    return raises(BrokenPipeError)(lambda: sock.sendall(b"x"))


def nowhere(stack: ExitStack) -> str:
    return str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "nobody")


@kind
def connect_nowhere(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    sock, path = stack.enter_context(socket2.unix()), nowhere(stack)
    return raises(FileNotFoundError)(lambda: sock.connect(path))


@kind
def dial_nowhere(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    path = nowhere(stack)
    return raises(FileNotFoundError)(lambda: socket2.connect(path))


@kind
def literal(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    return lambda: socket2.addr("127.0.0.1", 80)


@kind
def list_of_addresses(stack: ExitStack) -> Generator[Any, Any, Once]:
    found = yield from socket2.addr("127.0.0.1", 80)
    return lambda: socket2.addr(found)


@kind
def no_literal(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    return raises(socket.gaierror)(lambda: socket2.addr("nobody", 80, flags="numerichost"))


@kind
def datagram(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    sock, to = stack.enter_context(socket2.udp()), stack.enter_context(socket2.udp())
    to.bind("127.0.0.1")
    return lambda: sock.sendto(b"x", to.local_address)


@kind
def peer_of_datagrams(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    sock = stack.enter_context(socket2.udp())
    return lambda: sock.connect("127.0.0.1", 9)


@kind
def server_that_has_stopped(stack: ExitStack) -> Generator[Any, Any, Once]:
    server = socket2.Server(lambda conn: None)
    yield from server.listen("127.0.0.1", 0)
    yield from server.stop()
    return server.wait


# net.


def connection(stack: ExitStack, data: bytes = b"") -> Generator[Any, Any, Any]:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    ours = net.connect({"host": "127.0.0.1", "port": listener.getsockname()[1]})
    stack.callback(ours.destroy)
    yield from ours.wait("connect")
    peer, _ = listener.accept()
    stack.enter_context(peer)
    if data:
        peer.sendall(data)
        yield from ours.recv(1)
    return ours


@kind
def net_recv(stack: ExitStack) -> Generator[Any, Any, Once]:
    ours = yield from connection(stack, b"x" * MANY)
    return lambda: ours.recv(1)


@kind
def net_send(stack: ExitStack) -> Generator[Any, Any, Once]:
    ours = yield from connection(stack)
    return lambda: ours.send(b"x")


@kind
def net_closed(stack: ExitStack) -> Generator[Any, Any, Once]:
    ours = yield from connection(stack)
    ours.destroy()
    return raises(OSError)(ours.recv)


@kind
def net_send_closed(stack: ExitStack) -> Generator[Any, Any, Once]:
    ours = yield from connection(stack)
    ours.destroy()
    return raises(OSError)(lambda: ours.send(b"x"))


@kind
def net_accept_closed(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    return raises(socket2.Closed)(net.createServer().accept)


@kind
def net_block(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    server = net.createServer()

    async def block() -> None:
        async with server:
            pass

    return lambda: block().__await__()


# luasocket.


def client(stack: ExitStack, data: bytes = b"") -> Generator[Any, Any, Any]:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    ours: Any
    ours, _ = yield from luasocket.connect("127.0.0.1", listener.getsockname()[1])
    stack.callback(ours.close)
    peer, _ = listener.accept()
    stack.enter_context(peer)
    if data:
        peer.sendall(data)
        got, _, _ = yield from ours.receive(1)
        assert got == data[:1]
    return ours


def of_client(name: str, data: bytes, operate: Callable[[Any], Any], closed: bool = False) -> None:
    def make(stack: ExitStack) -> Generator[Any, Any, Once]:
        ours = yield from client(stack, data)
        if closed:
            ours.close()
        return lambda: operate(ours)

    make.__name__ = f"lua_{name}"
    kind(make)


of_client("receive", b"x" * MANY, lambda ours: ours.receive(1))
of_client("receive_in_time", b"x" * MANY, lambda ours: ours.settimeout(0) and ours.receive(1))
of_client("receive_line", b"x" + b"x\n" * MANY, lambda ours: ours.receive("*l"))
of_client("receive_nothing", b"x", lambda ours: ours.receive(0))
of_client("receive_closed", b"", lambda ours: ours.receive(1), closed=True)
of_client("send_nothing", b"", lambda ours: ours.send(b""))
of_client("send_no_more", b"", lambda ours: ours.send(b"abc", 4))
of_client("send_closed", b"", lambda ours: ours.send(b"x"), closed=True)
of_client("select", b"xy", lambda ours: luasocket.select([ours], None, 0))
of_client("select_nothing", b"", lambda ours: luasocket.select([ours], None, 0))
of_client("sink_of_nothing", b"", lambda ours: luasocket.sink("keep-open", ours)(b""))
of_client("source_of_nothing", b"", lambda ours: luasocket.source("by-length", ours, 0)())
of_client("source_closed", b"", lambda ours: luasocket.source("by-length", ours, 1)(), closed=True)
of_client("step", b"", lambda ours: ltn12.pump.step(lambda: (b"x", None), lambda chunk, err: (1, None)))
of_client("sleep", b"", lambda ours: luasocket.sleep(-1))


@kind
def lua_source(stack: ExitStack) -> Generator[Any, Any, Once]:
    ours = yield from client(stack, b"x" + b"x" * MANY)
    source = luasocket.source("by-length", ours, MANY)
    stack.enter_context(pytest.MonkeyPatch.context()).setattr(luasocket, "BLOCKSIZE", 1)
    return source


@kind
def lua_peer(stack: ExitStack) -> Generator[Any, Any, Once]:
    yield from ()
    ours = luasocket.udp4()
    stack.callback(ours.close)
    return lambda: ours.setpeername("*")


def counted(once: Once, rounds: list[int]) -> Steps:
    for _ in range(MANY - ROW):
        rounds[0] += 1
        with suppress(StopAsyncIteration):
            yield from once()


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_a_deadline_comes_in_between(make: Kind) -> None:
    def main() -> Steps:
        rounds = [0]
        with ExitStack() as stack:
            once = yield from make(stack)
            yield from sleep(0)
            with pytest.raises(TimeoutError), timeout(0):
                yield from counted(once, rounds)
        yield from sleep(0.001)  # the thread that receives from the closed socket learns of it
        assert 0 < rounds[0] <= 2 * ROW

    run(main)


@pytest.mark.parametrize("make", KINDS, ids=lambda make: make.__name__)
def test_others_run_and_a_cancel_comes_in_between(make: Kind) -> None:
    def main() -> Steps:
        rounds = [0]
        with ExitStack() as stack:
            once = yield from make(stack)
            yield from sleep(0)
            thread: Thread[object] = newthread(counted, once, rounds)
            assert 0 < rounds[0] <= ROW  # this thread runs again after at most this many
            thread.cancel()
            with pytest.raises(Cancelled):
                yield from thread.join()
        yield from sleep(0.001)
        assert rounds[0] <= 2 * ROW

    run(main)
