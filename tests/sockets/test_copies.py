"""Unique objects cannot be copied: a second owner of a descriptor would close it under the first one."""

from __future__ import annotations

import copy
import pickle
import socket
from collections.abc import Callable
from typing import Any

import pytest

from socket2 import (
    CapacityLimiter,
    Condition,
    Event,
    Lock,
    PriorityQueue,
    Queue,
    RLock,
    Semaphore,
    Server,
    channel,
    luasocket,
    net,
    newthread,
    scope,
    tcp,
    timeout,
    udp,
    unix,
)
from socket2.streams.stream import Stream
from socket2.threads.thread import currentthread

from ..interop.peers import run

COPIES = pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy, pickle.dumps])


@COPIES
def test_what_belongs_to_the_loop(make_copy: Callable[[Any], Any]) -> None:
    async def nothing() -> None: ...

    async def main() -> None:
        thread = newthread(nothing)
        with tcp() as sock, udp() as datagrams:
            handle = sock.handle
            for it in (
                sock,
                datagrams,
                Stream(sock),
                handle,
                handle.reading,
                currentthread().scheduler.poller,
                currentthread().scheduler,
                thread,
                Server(lambda _: None),
                Event(),
                Lock(),
                Semaphore(2),
                RLock(),
                Condition(),
                CapacityLimiter(1),
                Queue[int](),
                PriorityQueue[int](),
                *channel[int](),
                scope(),
                timeout(1),
                net.Socket(),
                net.createServer(),
            ):
                with pytest.raises(TypeError):
                    make_copy(it)
        await thread.join()

    run(main)


@COPIES
def test_luasocket(make_copy: Callable[[Any], Any]) -> None:
    sock: Any = luasocket.tcp()
    with pytest.raises(TypeError):
        make_copy(sock)
    sock.close()


def test_a_copy_has_no_end_that_is_the_first_one_s() -> None:
    one, two = socket.socketpair()
    with two, unix(fileno=one.detach()) as sock:
        with pytest.raises(TypeError):
            copy.copy(sock)
        two.sendall(b"still open")
        assert sock.fileno() >= 0
