"""Peers that play scripts."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import Event, connect, listen, socketpair, stream
from socket2.testing import (
    Loop,
    Recorded,
    ScriptError,
    Step,
    close,
    end_os_threads,
    expect,
    expect_end,
    expect_until,
    reset,
    send,
    shutdown,
    wait,
)

Steps = Generator[Any, Any, Any]


@pytest.fixture
def loop() -> Generator[Loop, None, None]:
    try:
        with Loop() as loop:
            yield loop
    finally:
        end_os_threads()


def test_a_dialogue(loop: Loop) -> None:
    async def main() -> None:
        peers = Recorded()
        peer = peers.listen(
            send(b"+OK ready\r\n"),
            expect(b"USER "),
            expect_until(b"\r\n"),
            send(b"+OK\r\n", piece=1, every_s=0.001),
            expect(b"QUIT\r\n"),
            expect_end(),
            send(b"bye"),
            close(),
        )
        with stream(await connect(peer.address)) as client:
            assert await client.recvline() == b"+OK ready"
            await client.sendall(b"USER somebody\r\nQUIT\r\n")
            assert await client.recvline() == b"+OK"
            client.shutdown()
            assert await client.recv(100) == b"bye"
            assert await client.recv(100) == b""
        await peer.played()
        await peers.end()

    loop.run(main)


def test_a_peer_may_be_the_client(loop: Loop) -> None:
    async def main() -> None:
        peers = Recorded()
        with listen("127.0.0.1:0") as listener:
            peers.connect(listener.getsockname(), send(b"hello"), shutdown(), expect(b"HELLO"), expect_end())
            with await listener.accept() as conn:
                assert await conn.recv(100) == b"hello"
                assert await conn.recv(100) == b""
                await conn.sendall(b"HELLO")
        await peers.end()

    loop.run(main)


def test_a_reset_is_a_reset(loop: Loop) -> None:
    async def main() -> None:
        peers, told = Recorded(), Event()
        peer = peers.listen(wait(told), reset())
        with await connect(peer.address) as conn:
            told.set()
            with pytest.raises(ConnectionResetError):
                await conn.recv(1)
        await peers.end()

    loop.run(main)


def on_a_pair(script: list[Step], other: bytes, ends: bool = True) -> Steps:
    peers = Recorded()
    ours, theirs = socketpair()
    with ours:
        peer = peers.play(theirs, *script)
        yield from ours.sendall(other)
        if ends:
            ours.shutdown()
        yield from peer.played()


@pytest.mark.parametrize(
    ("script", "other", "told"),
    [
        (
            [expect(b"PING")],
            b"PONG",
            r"step 1 of 1, expect\(b'PING'\), failed: at byte 1 came b'PONG' in place of b'PING'",
        ),
        ([expect(b"PI"), expect(b"NG")], b"PIPO", r"step 2 of 2, expect\(b'NG'\), failed: at byte 0 came b'PO'"),
        ([expect(b"PING")], b"PI", r"step 1 of 1, expect\(b'PING'\), failed: the connection ended after b'PI'"),
        ([expect_until(b"\r\n")], b"never", r"expect_until\(b'\\r\\n'\), failed: the connection ended after b'never'"),
        ([expect(b"P"), expect_end()], b"PING", r"step 2 of 2, expect_end\(\), failed: received b'ING'"),
        ([expect(b"x" * 100)], b"x" * 99 + b"y", r"x' and 40 bytes more\), failed: at byte 99 came b'x{20}y'"),
    ],
)
def test_an_error_names_the_step(loop: Loop, script: list[Step], other: bytes, told: str) -> None:
    with pytest.raises(ScriptError, match=told):
        loop.run(on_a_pair, script, other)


def test_the_first_wrong_byte_is_an_error_at_once(loop: Loop) -> None:
    with pytest.raises(ScriptError, match="at byte 0"):
        loop.run(on_a_pair, [expect(b"a long line")], b"x", ends=False)


def test_an_error_of_the_connection_names_the_step(loop: Loop) -> None:
    async def main() -> None:
        peers = Recorded()
        peer = peers.listen(expect(b"a"), expect(b"b"))
        with await connect(peer.address) as conn:
            await conn.sendall(b"a")
            conn.setopt("linger", 0)
        await peer.played()

    with pytest.raises(ScriptError, match=r"step 2 of 2, expect\(b'b'\), failed: .*reset") as caught:
        loop.run(main)
    assert isinstance(caught.value.__cause__, ConnectionResetError)


def test_a_script_that_is_not_played_to_its_end_is_an_error(loop: Loop) -> None:
    async def main() -> None:
        peers = Recorded()
        peers.listen(send(b"never"))
        ours, theirs = socketpair()
        with ours:
            peers.play(theirs, expect(b"a"), expect(b"b"))
            await ours.sendall(b"a")
            await peers.end(patience_s=0.1)

    with pytest.raises(
        ScriptError, match=r"nobody has connected; step 2 of 2, expect\(b'b'\), of a recorded peer has not"
    ):
        loop.run(main)


@pytest.mark.parametrize("step", [expect, expect_until, send])
def test_steps_take_bytes(step: Any) -> None:
    with pytest.raises(TypeError, match="a step takes bytes, not 'text'"):
        step("text")


def test_other_arguments_are_checked(loop: Loop) -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        send(b"x", piece=0)
    with pytest.raises(ValueError, match="must not be negative"):
        wait(-1)

    def main() -> None:
        with pytest.raises(TypeError, match="a script is made of steps"):
            Recorded().listen(b"text")  # type: ignore[arg-type]

    loop.run(main)


def test_pauses_take_no_time_on_a_clock_that_jumps() -> None:
    async def main() -> None:
        peers = Recorded()
        ours, theirs = socketpair()
        with ours:
            peers.play(theirs, wait(60), send(b"slow", piece=1, every_s=60))
            with pytest.raises(TimeoutError), socket2.timeout(30):
                await ours.recv(1)
            assert await stream(ours).recvn(4) == b"slow"
        await peers.end()

    with Loop(autojump=True) as loop:
        loop.run(main)
        assert loop.clock is not None
        assert round(loop.clock.passed_s) == 240
    end_os_threads()
