"""A wrong argument is an error of the call itself: nothing has to be awaited, and nothing is sent or begun."""

from __future__ import annotations

import io
import math
import socket
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import socket2
from socket2 import File, run

Steps = Generator[Any, Any, Any]
LONG = "a" * 64 + ".invalid"

# Each call gets `on`, which has a socket of each kind, and must raise this error.
Wrong = tuple[type[BaseException], Callable[[Any], Any]]


def _of_stream_sockets() -> list[Wrong]:
    return [
        *((TypeError, lambda on, data=data: on.conn.sendall(data)) for data in ("t", 5, None, [b"t"])),
        *((TypeError, lambda on, data=data: on.conn.send(data)) for data in ("t", 5, None)),
        *((TypeError, lambda on, n=n: on.conn.recv(n)) for n in ("1", None, 1.5, b"1")),
        (ValueError, lambda on: on.conn.recv(-1)),
        (OverflowError, lambda on: on.conn.recv(2**70)),
        (TypeError, lambda on: on.conn.recv_into("x")),
        (TypeError, lambda on: on.conn.recv_into(b"x")),
        (ValueError, lambda on: on.conn.recv_into(bytearray(2), 3)),
        (ValueError, lambda on: on.conn.recv_into(bytearray(2), -1)),
        *((TypeError, lambda on, file=file: on.conn.sendfile(file)) for file in (5, "x", None, io.StringIO("x"))),
        (ValueError, lambda on: on.conn.sendfile(io.BytesIO(b"x"), -1)),
        (ValueError, lambda on: on.conn.sendfile(io.BytesIO(b"x"), 0, 0)),
        (TypeError, lambda on: on.conn.sendfile(io.BytesIO(b"x"), 0, "1")),
        *(
            (TypeError, lambda on, pieces=pieces: on.stream.sendv(pieces))
            for pieces in ("x", ["x"], b"x", 5, [b"x", 5])
        ),
        (TypeError, lambda on: on.conn.connect(5.5, 1)),
        (OverflowError, lambda on: on.conn.connect("127.0.0.1", -1)),
        (OverflowError, lambda on: on.conn.connect("127.0.0.1", 70000)),
        (ValueError, lambda on: on.conn.connect(LONG, 1)),
        (TypeError, lambda on: on.conn.settimeout("1")),
        (ValueError, lambda on: on.conn.settimeout(math.nan)),
        (ValueError, lambda on: on.conn.settimeout(-1)),
        (ValueError, lambda on: on.conn.settimeout(1, "both")),
        (ValueError, lambda on: on.conn.setopt("nosuch", 1)),
        (TypeError, lambda on: on.conn.setopt("nodelay", "x")),
        *((ValueError, lambda on, name=name, n=n: on.conn.setopt(name, n)) for name, n in _out_of_range()),
        (TypeError, lambda on: on.conn.shutdown("x")),
    ]


def _out_of_range() -> Iterator[tuple[str, int]]:
    """Numbers that no system takes. Some of them setsockopt(2) would take for another number."""
    for name in ("ttl", "tos", "multicast_ttl", "sndbuf", "rcvbuf", "linger", "multicast_interface"):
        yield from ((name, -1), (name, 10**12))
    yield from (("ttl", 0), ("ttl", 256), ("tos", 256), ("multicast_ttl", 256), ("linger", 65536))
    for name in ("keepalive_idle", "keepalive_interval", "keepalive_count"):
        yield from ((name, 0), (name, -1), (name, 10**12))


def _of_streams() -> list[Wrong]:
    return [
        (ValueError, lambda on: on.stream.recvline(-1)),
        (TypeError, lambda on: on.stream.recvline("x")),
        (ValueError, lambda on: on.stream.recvn(-1)),
        *((TypeError, lambda on, n=n: on.stream.recvn(n)) for n in ("1", 1.5, None)),
        (TypeError, lambda on: on.stream.recvuntil("x")),
        (ValueError, lambda on: on.stream.recvuntil(b"")),
        (ValueError, lambda on: on.stream.recvuntil(b"x", -1)),
        *((TypeError, lambda on, n=n: on.stream.recv(n)) for n in ("1", None)),
        (ValueError, lambda on: on.stream.recv(-1)),
        *((TypeError, lambda on, data=data: on.stream.sendall(data)) for data in ("t", 5, None)),
        (TypeError, lambda on: on.stream.chunks("1")),
        *((ValueError, lambda on, n=n: on.stream.chunks(n)) for n in (0, -1)),
        (TypeError, lambda on: on.stream.finish("x")),
        (ValueError, lambda on: on.stream.finish(-1)),
        (ValueError, lambda on: on.stream.finish(math.nan)),
        (TypeError, lambda on: socket2.stream(5)),  # type: ignore[arg-type]
        (TypeError, lambda on: socket2.stream(on.udp)),
    ]


def _of_datagrams_and_descriptors() -> list[Wrong]:
    return [
        (TypeError, lambda on: on.udp.sendto("x", "127.0.0.1", 1)),
        (TypeError, lambda on: on.udp.sendto("x", ("127.0.0.1", 1))),
        (TypeError, lambda on: on.udp.send("x")),
        (OverflowError, lambda on: on.udp.sendto(b"x", "127.0.0.1", 70000)),
        (ValueError, lambda on: on.udp.recvfrom(-1)),
        *((TypeError, lambda on, n=n: on.udp.recvfrom(n)) for n in ("1", None, 1.5)),
        (TypeError, lambda on: on.udp.recvfrom_into(b"x")),
        (ValueError, lambda on: on.udp.recv(-1)),
        *((ValueError, lambda on, n=n: on.udp.join_group("239.1.2.3", n)) for n in (-1, 10**12)),
        (TypeError, lambda on: socket2.send_fds(on.unix, "x", [1])),  # type: ignore[arg-type]
        (TypeError, lambda on: socket2.send_fds(on.unix, b"x", ["x"])),  # type: ignore[list-item]
        (TypeError, lambda on: socket2.send_fds(on.unix, b"x", 5)),  # type: ignore[arg-type]
        (TypeError, lambda on: socket2.recv_fds(on.unix, "x", 1)),  # type: ignore[arg-type]
        (ValueError, lambda on: socket2.recv_fds(on.unix, -1, 1)),
        (ValueError, lambda on: socket2.recv_fds(on.unix, 1, -1)),
        (ValueError, lambda on: socket2.send_fds(on.conn, b"x", [1])),
        (TypeError, lambda on: socket2.send_fds(5, b"x", [1])),  # type: ignore[arg-type]
        (TypeError, lambda on: socket2.recv_fds(5, 1, 1)),  # type: ignore[arg-type]
        (TypeError, lambda on: socket2.wait_readable("x")),  # type: ignore[arg-type]
        (TypeError, lambda on: socket2.wait_readable(None)),  # type: ignore[arg-type]
        (TypeError, lambda on: socket2.wait_writable("x")),  # type: ignore[arg-type]
    ]


def _of_names() -> list[Wrong]:
    return [
        (TypeError, lambda on: socket2.connect("127.0.0.1", 9, nodelay="x")),
        (ValueError, lambda on: socket2.connect("127.0.0.1", 9, nosuch=1)),
        (ValueError, lambda on: socket2.connect("host")),
        (ValueError, lambda on: socket2.connect(None)),
        (ValueError, lambda on: socket2.connect(False)),
        (OverflowError, lambda on: socket2.connect("host:99999")),
        (OverflowError, lambda on: socket2.connect("host", -5)),
        (ValueError, lambda on: socket2.connect(LONG, 1)),
        (ValueError, lambda on: socket2.connect("host", 1, delay_s=-1)),
        (ValueError, lambda on: socket2.addr(LONG, 1)),
        (TypeError, lambda on: socket2.addr(1.5, 1)),  # type: ignore[arg-type]
        (OverflowError, lambda on: socket2.addr("h", 70000)),
        (OverflowError, lambda on: socket2.addr("h", "-1")),
        (ValueError, lambda on: socket2.addr("h", 1, "nosuch")),
        (ValueError, lambda on: socket2.addr("h", 1, "tcp", "nosuch")),
        *((ValueError, lambda on, n=n: socket2.connect("127.0.0.1", 9, ttl=n)) for n in (-1, 10**12)),
        (ValueError, lambda on: socket2.connect("./path", tls=True)),
        (TypeError, lambda on: socket2.connect("127.0.0.1", 9, tls=True, session=5)),  # type: ignore[call-overload]
        (ValueError, lambda on: socket2.connect("127.0.0.1", 9, tls=True, handshake_s=-1)),
        (ValueError, lambda on: socket2.connect("127.0.0.1", 9, tls=True, server_hostname=LONG)),
        (ValueError, lambda on: socket2.listen("127.0.0.1:0", nosuch=1)),
        (TypeError, lambda on: socket2.listen("127.0.0.1:0", backlog="x")),  # type: ignore[call-overload]
        *((TypeError, lambda on, make=make: make(8000)) for make in (socket2.listen, socket2.bind, socket2.connect)),
        *((TypeError, lambda on, host=host: socket2.listen(host)) for host in (True, 1.5, ("h",))),
        (ValueError, lambda on: socket2.listen("127.0.0.1:80x")),
        (ValueError, lambda on: socket2.tcp("nosuch")),
        (ValueError, lambda on: socket2.bind("127.0.0.1:0", type="nosuch")),  # type: ignore[call-overload]
    ]


def _lazy() -> tuple[Any, ...]:
    def steps() -> Steps:
        yield

    async def waits() -> None: ...

    async def pieces() -> AsyncIterator[int]:
        yield 1

    return steps, waits, pieces, partial(waits), SimpleNamespace(method=steps).method


_NO_TIMES: tuple[Any, ...] = ("x", None, [])


def _of_threads() -> list[Wrong]:
    return [
        (TypeError, lambda on: socket2.newthread(5)),  # type: ignore[call-overload]
        (TypeError, lambda on: socket2.newthread(socket2.sleep, 1, 2, 3)),  # type: ignore[call-overload]
        (TypeError, lambda on: socket2.newthread(socket2.sleep, 0, name=5)),  # type: ignore[call-arg, arg-type]
        *((TypeError, lambda on, time=time: socket2.sleep(time)) for time in _NO_TIMES),
        (ValueError, lambda on: socket2.sleep(math.nan)),
        (ValueError, lambda on: socket2.timeout(-1)),
        (TypeError, lambda on: socket2.call_in_thread(5)),  # type: ignore[call-overload]
        *((TypeError, lambda on, func=func: socket2.call_in_thread(func)) for func in _lazy()),
        *((TypeError, lambda on, thread=thread: socket2.resume(thread)) for thread in (5, None, "x")),
        (TypeError, lambda on: socket2.runafter(1, 5)),  # type: ignore[call-overload]
        (ValueError, lambda on: socket2.runevery(-1, print)),
        *((TypeError, lambda on, func=func: socket2.Condition().wait_for(func)) for func in (*_lazy(), True, None)),
        *((TypeError, lambda on, size=size: socket2.Queue(size)) for size in ("x", 1.5)),
        (ValueError, lambda on: socket2.Queue(-1)),
        *((TypeError, lambda on, value=value: socket2.Semaphore(value)) for value in ("x", 1.5, None)),
        (ValueError, lambda on: socket2.Semaphore(-1)),
        (TypeError, lambda on: socket2.Queue().get("x")),  # type: ignore[arg-type]
        (ValueError, lambda on: socket2.Queue[int]().put(1, -1)),
        (ValueError, lambda on: socket2.Lock().acquire(math.nan)),
        (TypeError, lambda on: socket2.Event().wait("x")),  # type: ignore[arg-type]
    ]


def _of_files() -> list[Wrong]:
    return [
        *((ValueError, lambda on, mode=mode: socket2.open_file(__file__, mode)) for mode in ("", "qq", "rw", "rbt")),
        (TypeError, lambda on: socket2.open_file(__file__, None)),  # type: ignore[call-overload]
        *((TypeError, lambda on, path=path: socket2.open_file(path)) for path in (3.5, None, 3)),
        (ValueError, lambda on: socket2.open_file("nul\0")),
        (ValueError, lambda on: socket2.open_file(__file__, "rb", encoding="ascii")),
        (ValueError, lambda on: socket2.open_file(__file__, newline="x")),
        (LookupError, lambda on: socket2.open_file(__file__, encoding="nosuch")),
        *((TypeError, lambda on, data=data: on.text.write(data)) for data in (3, b"x", None)),
        *((TypeError, lambda on, data=data: on.binary.write(data)) for data in (3, "x", None)),
        *((TypeError, lambda on, n=n: on.text.seek(n)) for n in ("x", 1.5, None)),
        *((TypeError, lambda on, n=n: on.text.read(n)) for n in ("x", 1.5)),
        *((TypeError, lambda on, n=n: on.binary.truncate(n)) for n in ("x", 1.5)),
    ]


def _of_processes() -> list[Wrong]:
    return [
        (TypeError, lambda on: socket2.run_process(["true"], input="x")),  # type: ignore[arg-type]
        *((TypeError, lambda on, args=args: socket2.run_process(args)) for args in ("true", b"true", 5)),
        (ValueError, lambda on: socket2.run_process([])),
        *((TypeError, lambda on, make=make: make(["true"], stdout="x")) for make in _RUNS),
        *((TypeError, lambda on, make=make: make(["true"], stdin=1.5)) for make in _RUNS),
        *((TypeError, lambda on, make=make: make(["true"], env=["A=1"])) for make in _RUNS),
        *((TypeError, lambda on, make=make: make(["true"], cwd=5)) for make in _RUNS),
    ]


_RUNS: tuple[Any, ...] = (socket2.process, socket2.run_process)


def _of_servers() -> list[Wrong]:
    def server() -> socket2.Server:
        return socket2.Server(print)

    return [
        (TypeError, lambda on: socket2.Server(5)),  # type: ignore[arg-type]
        *((TypeError, lambda on, n=n: socket2.Server(print, max_connections=n)) for n in ("x", 1.5)),
        (ValueError, lambda on: socket2.Server(print, max_connections=0)),
        *((ValueError, lambda on, n=n: socket2.Server(print, max_handshakes=n)) for n in (0, -1)),
        (TypeError, lambda on: socket2.Server(print, max_handshakes="x")),  # type: ignore[arg-type]
        (ValueError, lambda on: socket2.Server(print, handshake_s=-1)),
        (TypeError, lambda on: socket2.Server(print, handshake_s="x")),  # type: ignore[arg-type]
        (TypeError, lambda on: socket2.serve(print, 8000)),  # type: ignore[arg-type]
        (OverflowError, lambda on: server().listen("127.0.0.1", -1)),
        (TypeError, lambda on: server().listen(5.5, 1)),  # type: ignore[arg-type]
        (TypeError, lambda on: server().listen("127.0.0.1", 0, backlog="x")),  # type: ignore[arg-type]
        (ValueError, lambda on: server().stop(-1)),
        (TypeError, lambda on: socket2.serve(5, "127.0.0.1", 0)),  # type: ignore[arg-type]
        (OverflowError, lambda on: socket2.serve(print, "127.0.0.1", 70000)),
        (TypeError, lambda on: socket2.serve(print, "127.0.0.1", 0, grace_s="x")),  # type: ignore[arg-type]
        (TypeError, lambda on: socket2.serve(print, "127.0.0.1", 0, signals=["x"])),  # type: ignore[list-item]
        (TypeError, lambda on: socket2.serve(print, "127.0.0.1", 0, signals=5)),  # type: ignore[arg-type]
        (ValueError, lambda on: socket2.serve(print, "127.0.0.1", 0, signals=[9999])),
        (ValueError, lambda on: socket2.serve(print, "127.0.0.1", 0, signals=[9])),
        (OverflowError, lambda on: socket2.serve(print, "127.0.0.1:-1")),
        (TypeError, lambda on: socket2.serve(print, "127.0.0.1", 0, ready=5)),  # type: ignore[arg-type]
        (TypeError, lambda on: socket2.serve(print, listeners=[5])),  # type: ignore[list-item]
        (TypeError, lambda on: socket2.serve(print, "127.0.0.1", 0, backlog="x")),  # type: ignore[arg-type]
    ]


TABLE = [
    pytest.param(*wrong, id=f"{table.__name__.removeprefix('_of_')}-{number}")
    for table in (
        _of_stream_sockets,
        _of_streams,
        _of_datagrams_and_descriptors,
        _of_names,
        _of_threads,
        _of_files,
        _of_processes,
        _of_servers,
    )
    for number, wrong in enumerate(table())
]


@pytest.mark.parametrize(("error", "call"), TABLE)
def test_a_wrong_argument_is_an_error_of_the_call(
    error: type[BaseException], call: Callable[[Any], Any], tmp_path: Path
) -> None:
    def main() -> Steps:
        with socket2.listen("127.0.0.1:0") as listener:
            conn = yield from socket2.connect(listener.getsockname())
            peer = yield from listener.accept()
            one, other = socket.socketpair()
            datagrams, unix = socket2.udp(), socket2.unix(fileno=one.detach())
            with conn, peer, datagrams, unix, other:
                on = SimpleNamespace(conn=conn, stream=socket2.stream(conn), udp=datagrams, unix=unix)
                with (tmp_path / "text").open("w") as text, (tmp_path / "binary").open("wb") as binary:
                    on.text, on.binary = File(text), File(binary)
                    with pytest.raises(error):
                        call(on)
                yield from conn.sendall(b"still here")
                assert (yield from peer.recv(100)) == b"still here"

    run(main)
