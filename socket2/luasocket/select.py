"""select(): which of many objects are ready, and a wait for the first one, with no limit on their number.

One system call finds the objects that are ready now. If there are none, a thread watches each object, because a thread
waits for one thing at a time. All these threads have ended when select() returns.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Any, overload

from pollers import Cancelled, Closed, Handle, Operation, operation

from ..threads import scope
from ..threads.loop import newthread, now
from ..threads.scheduler import current_scheduler
from ..threads.thread import Thread, all_ended
from ..threads.wait import Wait
from .calls import call
from .messages import Message
from .objects import Object
from .timeouts import seconds_of


class Ready(list[Any]):
    """The ready objects, and their positions: `ready[0]` is the first object, `ready[sock]` the position of one.

    Positions count from 1, as in Lua, so they are true in a condition. None means that the object is not ready.
    """

    def __init__(self, ready: Iterable[Any] = ()) -> None:
        super().__init__(ready)
        self._places = {id(sock): place for place, sock in enumerate(self, 1)}

    @overload  # type: ignore[override]
    def __getitem__(self, key: slice) -> list[Any]: ...
    @overload
    def __getitem__(self, key: object) -> Any: ...
    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, (int, slice)):
            return super().__getitem__(key)
        return self._places.get(id(key))


Selected = tuple[Ready, Ready, Message | None]


def select(
    recvt: Iterable[Any] | None = None, sendt: Iterable[Any] | None = None, timeout: float | None = None
) -> Operation[Selected]:
    """Wait until one of `recvt` can be received from, or one of `sendt` can be sent to; return the ready objects.

    Returns (ready to receive, ready to send, None), or two empty lists and 'timeout' after `timeout` seconds. None or a
    negative number: no limit. An object with data in its buffer (dirty()) is ready. Any object with a getfd() can be
    given. An object without one, or a closed one, is skipped, and a None ends the list. An object that is closed during
    the wait is ready: a receive will report it.

    A cancellation takes nothing. Raises ValueError if there is nothing to wait for, TypeError if an argument is not a
    list, Busy if a thread is receiving from or sending to one of the objects, OSError if the system refuses.
    """
    readers, writers = _objects(recvt), _objects(sendt)
    seconds = seconds_of(timeout)
    if seconds is None and not readers and not writers:
        raise ValueError("select() has nothing to wait for: pass an object or a timeout")
    return _select(readers, writers, seconds)


def _objects(table: Iterable[Any] | None) -> list[Any]:
    """Return the objects of a list that can be watched."""
    if isinstance(table, (str, bytes)):
        raise TypeError(f"list expected, got {type(table).__name__}")
    found = []
    for candidate in table or ():
        if candidate is None:
            break
        if callable(getattr(candidate, "getfd", None)) and candidate.getfd() >= 0:
            found.append(candidate)
    return found


@call
def _select(readers: list[Any], writers: list[Any], seconds: float | None) -> Generator[Any, None, Selected]:
    _refuse_those_in_use(readers, writers)
    end = None if seconds is None else now() + seconds
    while True:
        readable, writable = _ready(readers, writers)
        if readable or writable:
            return readable, writable, None
        left = None if end is None else end - now()
        if left is not None and left <= 0:
            return readable, writable, Message("timeout")
        try:
            with scope.timeout(left):
                yield from _until_any(readers, writers)
        except TimeoutError:
            pass  # look once more


def _refuse_those_in_use(readers: list[Any], writers: list[Any]) -> None:
    """Raise Busy if a thread uses one of them, whether or not there is anything to wait for."""
    for sock in readers:
        if isinstance(sock, Object):
            sock._refuse_if_in_use("reading")
    for sock in writers:
        if isinstance(sock, Object):
            sock._refuse_if_in_use("writing")


def _ready(readers: list[Any], writers: list[Any]) -> tuple[Ready, Ready]:
    """Return the objects that are ready now, including those that were closed since they were given."""
    poller = current_scheduler().poller
    readable, writable = poller.ready({sock.getfd() for sock in readers} - {-1}, {s.getfd() for s in writers} - {-1})
    return (
        Ready(sock for sock in readers if sock.getfd() < 0 or sock.getfd() in readable or _dirty(sock)),
        Ready(sock for sock in writers if sock.getfd() < 0 or sock.getfd() in writable),
    )


def _dirty(sock: Any) -> bool:
    return bool(sock.dirty()) if callable(getattr(sock, "dirty", None)) else False


@operation
def _until_any(readers: list[Any], writers: list[Any]) -> Generator[Any, None, None]:
    """Wait until one of them may be ready."""
    wait = Wait(f"select of {len(readers)} to receive from, {len(writers)} to send to")
    threads: list[Thread[object]] = []
    try:
        for operate, sockets in ((_wait_readable, readers), (_wait_writable, writers)):
            threads += [newthread(_watch, operate, sock, wait, name="select") for sock in _one_each(sockets)]
        yield from wait.wait()
    except GeneratorExit:  # a generator that is being closed cannot wait
        _cancel(threads)
        raise
    except BaseException:
        _cancel(threads)
        yield from all_ended(threads)
        raise
    _cancel(threads)
    yield from all_ended(threads)
    for thread in threads:
        thread.result()


def _one_each(sockets: list[Any]) -> Iterable[Any]:
    """Return one object for each descriptor: ours, if another object has the same."""
    return {sock.getfd(): sock for sock in sorted(sockets, key=lambda sock: isinstance(sock, Object))}.values()


def _cancel(threads: list[Thread[object]]) -> None:
    for thread in threads:
        thread.cancel()


def _wait_readable(handle: Handle, owner: object) -> Operation[None]:
    return handle.wait_readable(owner)


def _wait_writable(handle: Handle, owner: object) -> Operation[None]:
    return handle.wait_writable(owner)


def _watch(operate: Callable[[Handle, object], Operation[None]], sock: Any, wait: Wait) -> Generator[Any, None, None]:
    """Wait until one object is ready or closed, and then end the wait for all. Runs in its own thread."""
    try:
        if isinstance(sock, Object):
            connection = sock._opened
            yield from operate(connection.handle, connection)
        else:
            # Other objects keep their descriptors: these may be in use elsewhere, even with this poller.
            poller = current_scheduler().poller
            handle = poller.attach(poller.adopt(socket.dup(sock.getfd())))
            with closing(handle):
                yield from operate(handle, None)
    except Cancelled:
        return
    except Closed:
        pass
    except OSError as error:
        wait.fail(error)
    wait.finish()
