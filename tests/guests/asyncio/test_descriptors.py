"""add_reader(), add_writer() and sock_*() of our loop for asyncio."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
from typing import Any

import pytest

from ...limits import no_descriptor_left
from .conftest import Run

HERE = "127.0.0.1"


def test_a_reader_is_called_as_long_as_there_is_something_to_read(run: Run[None]) -> None:
    async def main() -> None:
        reading, writing = os.pipe()
        loop = asyncio.get_running_loop()
        read: list[bytes] = []
        done = asyncio.Event()

        def on_readable() -> None:
            read.append(os.read(reading, 1))
            if len(read) == 3:
                loop.remove_reader(reading)
                done.set()

        loop.add_reader(reading, on_readable)
        os.write(writing, b"abcd")
        await done.wait()
        await asyncio.sleep(0)
        assert read == [b"a", b"b", b"c"]
        os.close(reading)
        os.close(writing)

    run(main)


@pytest.mark.parametrize("writing", [False, True])
def test_a_number_that_is_closed_and_used_again_is_watched(run: Run[None], writing: bool) -> None:
    """Its first owner has closed the descriptor without removing the callback."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
        first, first_peer = socket.socketpair()
        number = first.fileno()
        if not writing:
            add(number, pytest.fail)
        else:
            while True:
                try:
                    first.setblocking(False)
                    first.send(b"x" * 100_000)
                except BlockingIOError:
                    break
            add(number, pytest.fail)
        await asyncio.sleep(0)
        first.close()
        second, second_peer = socket.socketpair()
        assert second.fileno() == number
        called = asyncio.Event()
        add(number, called.set)
        second_peer.send(b"x")
        await called.wait()
        assert remove(number)
        for sock in (first_peer, second, second_peer):
            sock.close()

    run(main)


def test_a_number_that_was_closed_behind_a_transport_is_refused_and_then_free(run: Run[None]) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=ours)
        os.close(ours.fileno())
        again, peer = socket.socketpair()
        assert again.fileno() == ours.fileno()
        with theirs, peer:
            with pytest.raises(RuntimeError, match="is used by transport"):
                await asyncio.open_connection(sock=again)
            writer.close()
            await writer.wait_closed()
            reader, writer = await asyncio.open_connection(sock=again)
            peer.send(b"x")
            assert await reader.read(1) == b"x"
            writer.close()
            await writer.wait_closed()

    run(main)


def test_a_cancelled_sock_recv_loses_nothing(run: Run[None]) -> None:
    """It is cancelled when its data is there, before its task has run again."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours, theirs:
            for n in range(20):
                task = asyncio.create_task(loop.sock_recv(ours, 100))
                await asyncio.sleep(0)
                theirs.send(b"%d" % n)
                for _ in range(n % 4):
                    await asyncio.sleep(0)
                cancelled = task.cancel()
                try:
                    data = await task
                except asyncio.CancelledError:
                    data = await loop.sock_recv(ours, 100)
                else:
                    assert not cancelled
                assert data == b"%d" % n

    run(main)


def test_a_cancelled_sock_accept_loses_no_connection(run: Run[None]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server((HERE, 0)) as listener:
            listener.setblocking(False)
            for n in range(8):
                task = asyncio.create_task(loop.sock_accept(listener))
                await asyncio.sleep(0)
                with socket.create_connection(listener.getsockname()) as peer:
                    for _ in range(n % 4):
                        await asyncio.sleep(0)
                    task.cancel()
                    try:
                        conn, address = await task
                    except asyncio.CancelledError:
                        conn, address = await loop.sock_accept(listener)
                    with conn:
                        assert address == peer.getsockname()
                        assert conn.gettimeout() == 0

    run(main)


def test_receives_of_datagrams(run: Run[None]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as two:
            for sock in (one, two):
                sock.bind((HERE, 0))
                sock.setblocking(False)
            buffer = bytearray(10)
            receive = asyncio.create_task(loop.sock_recvfrom(one, 10))
            await asyncio.sleep(0)
            await loop.sock_sendto(two, b"first", one.getsockname())
            assert await receive == (b"first", two.getsockname())
            await loop.sock_sendto(two, b"second", one.getsockname())
            assert await loop.sock_recvfrom_into(one, buffer) == (6, two.getsockname())
            await loop.sock_sendto(two, b"third", one.getsockname())
            assert await loop.sock_recv_into(one, buffer) == 5
            assert buffer == b"thirdd\0\0\0\0"

    run(main)


def test_a_server_survives_having_no_descriptor(run: Run[None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0.01)

    async def main() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(10))
            writer.close()

        async with await asyncio.start_server(echo, HERE, 0) as server:
            with socket.socket() as client:
                client.setblocking(False)
                with no_descriptor_left():
                    await asyncio.get_running_loop().sock_connect(client, server.sockets[0].getsockname())
                    while not reported:
                        await asyncio.sleep(0.001)
                assert reported[0]["exception"].errno == errno.EMFILE
                client.send(b"echo")
                assert await asyncio.get_running_loop().sock_recv(client, 10) == b"echo"

    run(main)


def test_signals_wake_the_loop(run: Run[None]) -> None:
    async def main() -> None:
        came = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, came.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await came.wait()
        assert loop.remove_signal_handler(signal.SIGUSR1)

    run(main)


def test_other_os_threads_wake_the_loop(run: Run[None]) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(100):
            came = asyncio.Event()
            await asyncio.to_thread(loop.call_soon_threadsafe, came.set)
            await came.wait()

    run(main)


def test_subprocesses_and_their_pipes(run: Run[None]) -> None:
    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate(b"x" * 300_000)
        assert out == b"x" * 300_000
        assert process.returncode == 0

    run(main)
