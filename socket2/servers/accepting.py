"""How a server accepts: connections as they come, in turn with its other listeners, or all that are left at the end.

This module knows listeners and the limit on connections. The server decides what becomes of a connection.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from pollers import Handle, Operation, operation

from ..sockets.tcp import TCP
from ..threads.deadline import Patience
from ..threads.lock import lock
from ..threads.scope import scope
from ..threads.semaphores import Semaphore
from ..threads.sleeping import persist, sleep

_MADE_AT = "a server's accept"

# The system may have no descriptor left for a connection. It does not report when one is free again.
_AGAIN_S = 0.1
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

# No system has longer queues. On Windows SOMAXCONN only means as many as the system allows.
_QUEUE_MAX = 65535


class Room(Semaphore):
    """The limit on connections: one permit for each."""

    __slots__ = ()

    def take(self) -> bool:
        """Take a place if one is free. Threads wait for a place only while none is free."""
        with lock:
            free = self._free > 0
            self._free -= free
            return free

    def give_back(self) -> None:
        """Do what release() does; the caller may hold the lock."""
        self._put_back()


def accept(listener: TCP) -> Operation[TCP]:
    """Accept a connection, without the listener's timeout."""
    return listener.accept_untimed(_MADE_AT)


@operation
def accept_in_turn(listener: TCP, room: Room, give_back: Callable[[], Any]) -> Generator[Any, None, TCP]:
    """Wait for a connection, then for a place, and accept only then: every accepted connection is served.

    A listener does not hold a place while it waits for a client. Among listeners with waiting clients, the one that has
    waited longest gets the place. A place that turns out not to be needed is given back.
    """
    handle = listener.handle
    accept_at_once = partial(_accept_at_once, handle, listener)
    while True:
        yield from handle.wait_readable(listener)
        yield from room.acquire()
        try:
            conn, address = yield from persist(accept_at_once, _AGAIN_S, _AGAIN_S, listener.tell_exhausted)
        except TimeoutError:
            give_back()  # the client has left, or another process with this listener was faster
        except BaseException:
            give_back()
            raise
        else:
            return TCP(None, conn, _MADE_AT, address)


def _accept_at_once(handle: Handle, listener: TCP) -> Operation[tuple[Handle, Any]]:
    return Patience(0).limit(handle.accept(listener))


@operation
def drain(
    listener: TCP, admit: Callable[[TCP], Any], over: Callable[[], bool], leaves_queue: bool = False
) -> Generator[Any, None, None]:
    """Admit all connections that wait. Close the listener right after: the kernel refuses later ones.

    If the system has no descriptors left, wait for some until `over` returns true. New clients cannot prolong this: it
    takes no more connections than a queue can hold. `leaves_queue`: other processes serve those that wait in the
    kernel. Admit only those that the poller has accepted ahead.
    """
    with suppress(OSError), scope() as accepted_ahead:
        accepted_ahead.cancel()  # first, so that the poller accepts no more
        while True:
            admit((yield from accept(listener)))
    places = iter(range(min(socket.SOMAXCONN, _QUEUE_MAX)))
    while not leaves_queue and not listener.closed and not over():
        if _drain_at_once(listener, admit, over, places):
            return
        yield from sleep(_AGAIN_S)


def _drain_at_once(listener: TCP, admit: Callable[[TCP], Any], over: Callable[[], bool], places: Iterator[int]) -> bool:
    """Admit all connections without waiting, so that no new one comes between. Return False if descriptors ran out."""
    for _ in places:
        if listener.closed or over():
            break
        try:
            conn, address = listener.std.accept()
        except ConnectionError:
            continue
        except OSError as error:
            return error.errno not in _EXHAUSTED
        admit(TCP(conn, None, "a server's queue", address))
    return True
