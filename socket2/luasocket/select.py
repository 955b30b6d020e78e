"""select(): which of many objects are ready, and a wait for the first of them, without a limit on their number.

What is ready now is asked in one system call. Where nothing is, each object is watched by a thread of its own, since a
thread waits for one thing at a time; none of them is left when select() returns.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Any, overload

from pollers import Cancelled, Closed, Handle, Operation, operation

from ..threads import deadline
from ..threads.loop import newthread, now
from ..threads.scheduler import current_scheduler
from ..threads.thread import Thread, all_ended
from ..threads.wait import Wait
from .calls import call
from .messages import Message
from .objects import Object
from .timeouts import seconds_of


class Ready(list[Any]):
    """The objects that are ready, and the place of each: `ready[0]` is the first, and `ready[sock]` its place.

    Places count from 1, as in Lua, so that they are true; None: the object is not ready.
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
    """Wait until something can be received from one of `recvt`, or sent to one of `sendt`; return who is ready.

    The result is (ready to receive, ready to send, None), or two empty lists and 'timeout' after `timeout` seconds;
    None or a negative number: no limit. What has data in its buffer (dirty()) is ready. Any object with a getfd() may
    take part; what has none, or is closed, is passed over, and so is the rest of a list from a None on. What is closed
    meanwhile is ready: a receive will say so.

    Cancelled: nothing was taken. ValueError when there is nothing to wait for; TypeError for what is no list; Busy when
    a thread is receiving from or sending to one of the objects; OSError when the system refuses.
    """
    readers, writers = _objects(recvt), _objects(sendt)
    seconds = seconds_of(timeout)
    if seconds is None and not readers and not writers:
        raise ValueError("select() has nothing to wait for, and no timeout")
    return _select(readers, writers, seconds)


def _objects(table: Iterable[Any] | None) -> list[Any]:
    """Those in a list that can be watched."""
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
            with deadline.timeout(left):
                yield from _until_any(readers, writers)
        except TimeoutError:
            pass  # a last look


def _refuse_those_in_use(readers: list[Any], writers: list[Any]) -> None:
    """Busy when a thread is in one of them, whether or not there is anything to wait for."""
    for sock in readers:
        if isinstance(sock, Object):
            sock._refuse_if_in_use("reading")
    for sock in writers:
        if isinstance(sock, Object):
            sock._refuse_if_in_use("writing")


def _ready(readers: list[Any], writers: list[Any]) -> tuple[Ready, Ready]:
    """Who is ready now; what has been closed since it was given is."""
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
    threads: list[Thread] = []
    try:
        for operate, sockets in ((_wait_readable, readers), (_wait_writable, writers)):
            threads += [newthread(_watch, operate, sock, wait, name="select") for sock in _one_each(sockets)]
        yield from wait.wait()
    except GeneratorExit:  # after which there is no waiting
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
    """One object for each descriptor, one of ours rather than a stranger with the same."""
    return {sock.getfd(): sock for sock in sorted(sockets, key=lambda sock: isinstance(sock, Object))}.values()


def _cancel(threads: list[Thread]) -> None:
    for thread in threads:
        thread.cancel()


def _wait_readable(handle: Handle, owner: object) -> Operation[None]:
    return handle.wait_readable(owner)


def _wait_writable(handle: Handle, owner: object) -> Operation[None]:
    return handle.wait_writable(owner)


def _watch(operate: Callable[[Handle, object], Operation[None]], sock: Any, wait: Wait) -> Generator[Any, None, None]:
    """A thread: wait until one object is ready, or closed, and end the wait of all."""
    try:
        if isinstance(sock, Object):
            connection = sock._opened
            yield from operate(connection.handle, connection)
        else:
            # Strangers keep their descriptor to themselves: it may be in use elsewhere, even with this poller.
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
