"""How a server accepts: as connections come, in turn with its other listeners, or all that is there at the end.

Knows listeners and how many connections there is room for; what becomes of them is the server's affair.
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
from ..threads.deadline import Patience, timeout
from ..threads.lock import lock
from ..threads.sleeping import persist, sleep
from ..threads.sync import Semaphore

_MADE_AT = "a server's accept"

# When the system has no descriptor left for a connection, nothing tells when it has one again.
_AGAIN_S = 0.1
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Room(Semaphore):
    """Room for so many connections."""

    __slots__ = ()

    def take(self) -> bool:
        """Take a place if there is one. A line of those who wait there is only when there is none."""
        with lock:
            free = self._free > 0
            self._free -= free
            return free

    def give_back(self) -> None:
        """As release(), under the lock, too."""
        self._release()


def accept(listener: TCP) -> Operation[TCP]:
    """As listener.accept(), whatever timeout that has."""
    return listener.accept_untimed(_MADE_AT)


@operation
def accept_in_turn(listener: TCP, room: Room, give_back: Callable[[], Any]) -> Generator[Any, None, TCP]:
    """Wait for a connection and then for room, and accept it then: whoever is accepted is served.

    Nobody holds a place while he waits for a client, and of those whose clients wait, the first gets it. If it is not
    needed after all, it is given back.
    """
    handle = listener.handle
    accept_at_once = partial(_accept_at_once, handle, listener)
    while True:
        yield from handle.wait_readable(listener)
        yield from room.acquire()
        try:
            conn, address = yield from persist(accept_at_once, _AGAIN_S, _AGAIN_S, listener.tell_exhausted)
        except TimeoutError:
            give_back()  # it has left, or another process that has this listener was faster
        except BaseException:
            give_back()
            raise
        else:
            return TCP(None, conn, _MADE_AT, address)


def _accept_at_once(handle: Handle, listener: TCP) -> Operation[tuple[Handle, Any]]:
    return Patience(0).limit(handle.accept(listener))


@operation
def drain(listener: TCP, admit: Callable[[TCP], Any], over: Callable[[], bool]) -> Generator[Any, None, None]:
    """Admit what the kernel has queued. Close right after: what comes in between is refused by the kernel.

    Where there are no descriptors left it waits for some, until it is `over`. Clients that come meanwhile do not keep
    it at it: it takes no more than a queue can hold.
    """
    places = iter(range(socket.SOMAXCONN))
    while not listener.closed and not over():
        for _ in range(2):  # a poller may have accepted ahead; whoever gives up waiting at once makes it end that
            with suppress(OSError), timeout(0):
                while True:
                    admit((yield from accept(listener)))
        if _drain_at_once(listener, admit, over, places):
            return
        yield from sleep(_AGAIN_S)


def _drain_at_once(listener: TCP, admit: Callable[[TCP], Any], over: Callable[[], bool], places: Iterator[int]) -> bool:
    """Admit all without a wait, which would let others come. False: the system has no room for those that are left."""
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
