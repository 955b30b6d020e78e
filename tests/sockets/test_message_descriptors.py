"""Descriptors that come with messages: who owns them, and that none is lost."""

from __future__ import annotations

import array
import fcntl
import gc
import os
import socket
from contextlib import suppress
from typing import Any

import pytest

import pollers
from socket2 import Cancelled, Message, newthread, recv_fds, sleep, socketpair

from ..conftest import descriptors
from ..injection import PlacedInjection, Raised, at_each_place
from ..interop.peers import run
from ..sources import modules_in
from .test_descriptors import files, same_file

pytestmark = [
    pytest.mark.usefixtures("poller"),
    pytest.mark.skipif(not hasattr(socket, "SCM_RIGHTS"), reason="this system passes no descriptors"),
]


@pytest.mark.parametrize("kind", ["stream", "dgram"])
def test_they_come_close_on_exec_and_can_be_taken(kind: Any) -> None:
    async def main() -> None:
        ours, theirs = socketpair(kind)
        with ours, theirs, files(2) as sent:
            waiting = newthread(theirs.recvmsg(100, max_fds=5))
            assert await ours.sendmsg([b"two", b" files"], fds=sent) == 9
            with await waiting.join() as message:
                assert message.data == b"two files"
                assert message.ancillary == []
                assert len(message.fds) == 2
                assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in message.fds)
                assert "descriptors" in repr(message)
                taken = message.take_fds()
                assert all(same_file(a, b) for a, b in zip(taken, sent, strict=True))
                assert message.fds == ()
                assert message.take_fds() == []
            for fd in taken:
                os.close(fd)

    run(main)


def test_they_are_closed_by_the_message() -> None:
    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs, files(2) as sent:
            await ours.sendmsg(b"x")
            assert (await theirs.recvmsg(1)).data == b"x"
            before = descriptors()
            await ours.sendmsg(b"x", fds=sent)
            with await theirs.recvmsg(10, max_fds=2):
                assert descriptors() != before
            assert descriptors() == before
            await ours.sendmsg(b"x", fds=sent)
            message = await theirs.recvmsg(10, max_fds=2)
            message.close()
            message.close()
            assert descriptors() == before

    run(main)


def test_they_are_closed_with_a_message_that_nobody_takes() -> None:
    def forget(receiving: list[Any]) -> None:
        receiving.clear()
        gc.collect()

    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs, files(2) as sent:
            await ours.sendmsg(b"x")
            assert (await theirs.recvmsg(1)).data == b"x"
            before = descriptors()
            await ours.sendmsg(b"x", fds=sent)
            receiving = [newthread(theirs.recvmsg(10, max_fds=2))]
            while not receiving[0].done:
                await sleep(0)
            assert descriptors() != before
            with pytest.warns(ResourceWarning, match="unclosed descriptors of <Message"):
                forget(receiving)
            assert descriptors() == before

    run(main)


@pytest.mark.parametrize(("sent", "most"), [(1, 0), (2, 1), (3, 2), (5, 1), (100, 3)])
@pytest.mark.parametrize("room", [0, 256, 4096])
def test_those_that_nobody_asked_for_are_closed_at_once(sent: int, most: int, room: int) -> None:
    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs, files(sent) as fds:
            await ours.sendmsg(b"x")
            assert (await theirs.recvmsg(1)).data == b"x"
            before = descriptors()
            await ours.sendmsg(b"lots", fds=fds)
            with await theirs.recvmsg(100, max_fds=most, control_size=room) as message:
                assert message.data == b"lots"
                assert message.control_truncated
                assert len(message.fds) <= most
            assert descriptors() == before

    run(main)


def test_a_message_ends_where_descriptors_begin() -> None:
    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs, files(1) as sent:
            await ours.sendmsg(b"one")
            await ours.sendmsg(b"two", fds=sent)
            await ours.sendmsg(b"three", fds=sent)
            data, count = b"", 0
            while data != b"onetwothree":
                with await theirs.recvmsg(100, max_fds=9) as message:
                    data += message.data
                    count += len(message.fds)
                    assert len(message.fds) <= 1
            assert count == 2

    run(main)


def test_a_cancelled_receive_loses_none() -> None:
    async def main() -> None:
        ours, theirs = socketpair()
        with ours, theirs, files(1) as sent:
            for _ in range(20):
                waiting = newthread(theirs.recvmsg(10, max_fds=1))
                await ours.sendmsg(b"x", fds=sent)
                waiting.cancel()
                try:
                    message = await waiting.join()
                except Cancelled:
                    message = await theirs.recvmsg(10, max_fds=1)
                with message:
                    assert len(message.fds) == 1

    run(main)


def test_several_sets_of_rights_and_those_of_a_wrong_number() -> None:
    one, two = socket.socketpair()
    with one, two, files(2) as sent:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd])) for fd in sent]
        one.sendmsg([b"x"], rights)
        data, rest, fds, flags, _ = pollers.receive_message(two, 1, 0, 5)
        assert (data, rest, len(fds), flags & socket.MSG_CTRUNC) == (b"x", [], 2, 0)
        with pytest.raises(OSError, match="Bad file descriptor"):
            pollers.close_descriptors([*fds, 1 << 20])
        for fd in fds:
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(fd)


def test_all_are_closed_although_a_signal_handler_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def close(fd: int) -> None:
        closed.append(fd)
        if len(closed) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "close", close)
    with pytest.raises(KeyboardInterrupt):
        pollers.close_descriptors([1, 2, 3])
    monkeypatch.undo()
    assert sorted(closed) == [1, 2, 3]


@pytest.mark.filterwarnings("ignore:unclosed descriptors:ResourceWarning")
@pytest.mark.filterwarnings("ignore:Exception ignored.*<function Message:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("most", [3, 1])
@pytest.mark.parametrize("way", ["recvmsg", "recv_fds"])
def test_a_signal_handler_that_raises_leaves_none_open(way: str, most: int) -> None:
    def attempt(injection: PlacedInjection) -> None:
        run(receive, injection)

    async def receive(injection: PlacedInjection) -> None:
        ours, theirs = socketpair()
        with ours, theirs, files(3) as sent:
            await ours.sendmsg(b"x")
            assert (await theirs.recvmsg(1)).data == b"x"
            await ours.sendmsg(b"x", fds=sent)
            before = descriptors()
            fds: list[int] = []
            with suppress(Raised, OSError):
                with injection:
                    op = theirs.recvmsg(1, max_fds=most) if way == "recvmsg" else recv_fds(theirs, 1, most)
                    received: Any = await op
                fds = received.take_fds() if isinstance(received, Message) else received[1]
            pollers.close_descriptors(fds)
            assert descriptors() == before, injection.where

    files_of = modules_in("pollers", "closing control messages")
    assert at_each_place(attempt, files_of | modules_in("socket2/sockets", "ancillary descriptors")) > 10
