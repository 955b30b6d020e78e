"""connect(), listen() and bind(): an early end, and other programs."""

from __future__ import annotations

import errno
import gc
import os
import pathlib
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import socket2
from socket2 import TCP, UDP, Address, AddressList, Cancelled, bind, connect, listen, newthread, sleep, stream, timeout
from socket2.threads.scheduler import current_scheduler

from ..conftest import descriptors, meaning
from ..interop.peers import Program, needs, run
from . import test_connect_by_name
from .test_connect_by_name import black_hole, connected_to, refusing
from .test_udp import needs_unix

alive = test_connect_by_name.alive


# An early end.


@pytest.fixture
def holes() -> Iterator[AddressList]:
    with black_hole() as one, black_hole() as two, black_hole() as three:
        yield AddressList([one, two, three])


def sockets() -> int:
    return sum(meaning(fd).startswith("socket:") for fd in descriptors())


def test_a_timeout_leaves_no_socket_and_no_thread(holes: AddressList) -> None:
    async def main() -> None:
        before = sockets()
        with pytest.raises(TimeoutError), timeout(0.1):
            await connect(holes, delay_s=0.01)
        assert sockets() == before
        assert len(current_scheduler().threads) == 1, "nobody but this one"

    run(main)


@pytest.mark.parametrize("turns", range(6))
def test_a_cancel_leaves_no_socket_and_no_thread(holes: AddressList, turns: int) -> None:
    async def main() -> None:
        before = sockets()
        connecting = newthread(connect(holes, delay_s=0))
        for _ in range(turns):
            await sleep(0)
        connecting.cancel()
        with pytest.raises(Cancelled):
            await connecting.join()
        assert sockets() == before
        assert len(current_scheduler().threads) == 1

    run(main)


def test_attempts_that_somebody_else_cancels_are_an_error(holes: AddressList) -> None:
    async def main() -> None:
        before = set(current_scheduler().threads)
        connecting = newthread(connect(holes, delay_s=0))
        while len(current_scheduler().threads) < len(before) + 1 + len(holes):
            await sleep(0)
        for thread in set(current_scheduler().threads) - before - {connecting}:
            thread.cancel()
        with pytest.raises(OSError, match="the attempt was cancelled") as failure:
            await connecting.join()
        assert failure.value.errno == errno.ECANCELED

    run(main)


@pytest.mark.parametrize("turns", range(8))
def test_a_cancel_about_the_time_of_success_leaks_nothing(alive: Address, turns: int) -> None:
    """The connection is either delivered or closed; it is never lost."""

    async def main() -> None:
        before = sockets()
        with black_hole() as hole:
            holding = sockets() - before
            connecting = newthread(connect(AddressList([hole, alive, hole]), delay_s=0))
            for _ in range(turns):
                await sleep(0)
            connecting.cancel()
            try:
                (await connecting.join()).close()
            except Cancelled:
                pass
            assert sockets() == before + holding
            assert len(current_scheduler().threads) == 1

    run(main)


def test_losers_are_closed_when_there_is_a_winner(alive: Address, holes: AddressList) -> None:
    async def main() -> None:
        before = sockets()
        with await connect(AddressList([*holes, alive]), delay_s=0.01):
            assert sockets() == before + 1
            assert len(current_scheduler().threads) == 1
        assert sockets() == before

    run(main)


def test_a_connect_that_is_closed_cannot_wait_and_closes_its_sockets(holes: AddressList) -> None:
    def main() -> Any:
        before = sockets()
        steps: Any = iter(connect(holes))
        next(steps)
        assert sockets() == before + 1
        steps.close()
        assert sockets() == before
        while len(current_scheduler().threads) > 1:
            yield from sleep(0)

    socket2.run(main)


@pytest.mark.parametrize("depth", range(61, 67))
def test_attempts_that_have_not_begun_are_given_up_too(alive: Address, holes: AddressList, depth: int) -> None:
    """A thread that is started deep inside the starts of others begins only at the next turn."""

    def nested(depth: int, where: Any) -> Any:
        if depth:
            return newthread(nested, depth - 1, where).result()
        return newthread(connected_to(where, delay_s=0))

    async def main() -> None:
        before = sockets()
        connecting = nested(depth, holes)
        connecting.cancel()
        with pytest.raises(Cancelled):
            await connecting.join()
        assert await nested(depth, AddressList([alive, *holes])).join() == alive.sockaddr
        assert sockets() == before
        assert len(current_scheduler().threads) == 1

    run(main)


def test_a_failure_leaves_no_cycle() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await connect(AddressList([refusing(), refusing()]))

    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        run(main)
        gc.collect()
        assert not [found for found in gc.garbage if isinstance(found, BaseException)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


# listen() and bind().


def test_listen_on_any_interface() -> None:
    for where in ((":0",), ("*:0",), (None, 0), ("", 0)):
        with listen(*where) as listener:
            assert listener.getsockname()[0] == "0.0.0.0"
            assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if socket.has_dualstack_ipv6():
        with listen("[::]:0", v6only=False) as listener:
            assert listener.family == "inet6"
            port = listener.getsockname()[1]
            socket.create_connection(("127.0.0.1", port)).close()


def test_a_port_in_use_is_an_error_and_leaves_no_socket() -> None:
    with listen("127.0.0.1:0") as listener:
        before = sockets()
        with pytest.raises(OSError, match=r".") as failure:
            listen(listener.getsockname())
        assert failure.value.errno == errno.EADDRINUSE
        assert sockets() == before


def test_listen_on_what_addr_found() -> None:
    async def main() -> None:
        with listen(await socket2.addr("localhost", 0)) as listener:
            assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ValueError, match="yield from addr"):
            listen("peer.test:0")

    run(main)


@needs_unix
def test_a_path_that_a_dead_server_left_behind_is_taken_over(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "s")
    listen(path, unlink="never").close()
    assert os.path.exists(path)
    with listen(path):
        with pytest.raises(OSError, match=r".") as failure:
            listen(path)
        assert failure.value.errno == errno.EADDRINUSE, "that one is alive"


@needs_unix
def test_a_file_that_is_no_socket_stays(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match=r".") as failure:
        listen(path)
    assert failure.value.errno == errno.EADDRINUSE
    assert "there is a file, not a socket" in failure.value.__notes__
    assert path.read_text() == "data"


@needs_unix
def test_a_directory_at_the_path_is_named(tmp_path: pathlib.Path) -> None:
    with pytest.raises(OSError, match=r".") as failure:
        listen(str(tmp_path))
    assert "there is a directory, not a socket" in failure.value.__notes__


def test_bind_gives_a_datagram_socket(tmp_path: pathlib.Path) -> None:
    async def main() -> None:
        with bind("127.0.0.1:0", rcvbuf=65536) as one, bind("127.0.0.1", 0) as two:
            assert isinstance(one, UDP)
            assert isinstance(two, UDP)
            await one.sendto(b"hello", two.getsockname())
            assert await two.recvfrom(10) == (b"hello", one.getsockname())
        with bind("127.0.0.1:0", type="tcp") as sock:
            assert isinstance(sock, TCP)
            assert sock.getsockname()[1] > 0
        if hasattr(socket, "AF_UNIX"):
            with bind(tmp_path / "d") as sock:
                assert sock.type == "dgram"

    run(main)


# With other programs.


def test_socat_answers_by_name() -> None:
    async def main() -> None:
        with Program(
            [needs("socat"), "-d", "-d", "TCP4-LISTEN:0,bind=127.0.0.1", "EXEC:cat"], announces="stderr"
        ) as peer:
            with await connect("localhost", peer.port(r"listening on .*:(\d+)$")) as sock:
                lines = stream(sock)
                await lines.sendall(b"over and back\n")
                lines.shutdown()
                assert [line async for line in lines] == [b"over and back"]

    run(main)


@needs_unix
def test_netcat_over_a_unix_path(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "s"

    async def main() -> None:
        with listen(path) as listener, Program([needs("nc"), "-N", "-U", str(path)], stdin=b"one\ntwo\nthr") as peer:
            with stream(await listener.accept()) as lines:
                assert await lines.recvline() == b"one"
                assert await lines.recvline() == b"two"
                with pytest.raises(socket2.IncompleteRead) as failure:
                    await lines.recvline()
                assert failure.value.partial == b"thr"
                await lines.sendall(b"bye\n")
                await lines.finish()
            assert await socket2.call_in_thread(peer.wait) == 0
            assert peer.stdout() == b"bye\n"

    run(main)
