"""Waiting until a descriptor of any kind can be read or written. The descriptor stays its owner's.

The kernel does not say when a descriptor is closed while a thread waits for it: no event comes, ever. So a waiting
thread looks every second whether it is still open, and still the same file.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from pollers import Busy, Closed, Foreign, Handle, Operation, operation

from ..sockets.socket import Socket
from ..threads.deadline import Patience
from ..threads.scheduler import current_scheduler
from ..threads.thread import Thread, currentthread, over_at_once

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

    Waitable: TypeAlias = FileDescriptorLike | Socket

LOOK_S = 1.0
"""How often a waiting thread looks whether its descriptor was closed."""


class _Waiting:
    """A thread that waits for one direction of a descriptor."""

    def __init__(self, thread: Thread[object], foreign: Foreign) -> None:
        self.thread = thread
        self.foreign = foreign


# By descriptor and direction: True for writing. All schedulers share it, as they share the descriptors.
_waiting: dict[tuple[int, bool], _Waiting] = {}


def wait_readable(what: Waitable) -> Operation[None]:
    """Wait until a read from `what` would not block. Consumes nothing. poll(2).

    `what`: a descriptor, or an object with fileno(): the end of a pipe, a terminal, a pidfd, an inotify or event
    descriptor, the socket of another library, or a socket of socket2, whose timeout then applies. At the end of the
    file and after an error it is readable, too. The descriptor may be blocking or not. It stays yours: it is not
    changed, not closed, and not registered anywhere when the wait has ended, however it ends.

    Raises Busy if another thread waits for the same, Closed if the descriptor is closed meanwhile, within about a
    second; OSError (EBADF) if it is not open; io.UnsupportedOperation for a file on a disk, which is always ready: use
    open_file() or call_in_thread(). Also on Windows for everything but the sockets of socket2. After a cancellation or
    timeout nothing has changed.
    """
    return _wait(what, False)


def wait_writable(what: Waitable) -> Operation[None]:
    """Wait until a write to `what` would not block. If nobody reads any more, it is writable: a write raises then.

    Arguments and errors are those of wait_readable(). One thread may wait for each direction. poll(2).
    """
    return _wait(what, True)


def _wait(what: Waitable, writing: bool) -> Operation[None]:
    currentthread()
    if isinstance(what, Socket):
        return _wait_for_socket(what, writing)
    check_system()
    fd = descriptor_of(what)
    _check_can_wait(fd)
    return _wait_for_descriptor(fd, writing)


def descriptor_of(what: FileDescriptorLike) -> int:
    """Return the descriptor of what has one. Raises TypeError if it has none."""
    if isinstance(what, int):
        return what
    if not callable(getattr(what, "fileno", None)):
        raise TypeError(f"a descriptor or an object with fileno() is needed, not {what!r}")
    return what.fileno()


@operation
def _wait_for_socket(sock: Socket, writing: bool) -> Generator[Any, None, None]:
    if writing:
        yield from sock.limit_write(sock.handle.wait_writable(sock))
    else:
        yield from sock.limit_read(sock.handle.wait_readable(sock))


def check_system() -> None:
    """Raise io.UnsupportedOperation if this system's poller cannot wait for anything but its own sockets."""
    poller = current_scheduler().poller
    poller.file(poller.wakeup_fileno())


def _check_can_wait(fd: int) -> None:
    """Raise io.UnsupportedOperation if `fd` is a file on a disk, OSError (EBADF) if it is not open."""
    if fd < 0:
        raise OSError(errno.EBADF, "a closed descriptor cannot be waited for")
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode):
        kind = "a regular file" if stat.S_ISREG(mode) else "a directory" if stat.S_ISDIR(mode) else "a disk"
        raise io.UnsupportedOperation(
            f"fd {fd} is {kind}, which cannot be waited for: use open_file(), or call_in_thread() for a blocking call"
        )


@operation
def _wait_for_descriptor(fd: int, writing: bool) -> Generator[Any, None, None]:
    if (turn := over_at_once()) is not None:
        yield from turn.wait()
    earlier = _waiting.get((fd, writing))
    if earlier is not None and earlier.foreign.is_same():  # else the number belongs to another file by now
        what = "written" if writing else "read"
        raise Busy(f"thread {earlier.thread.name!r} waits until fd {fd} can be {what} already")
    me = currentthread()
    poller = me.scheduler.poller
    if any(poller.ready(() if writing else (fd,), (fd,) if writing else ())):
        return
    foreign = poller.foreign(fd, writing)
    mine, handle = _Waiting(me, foreign), None
    try:
        handle = poller.attach(foreign.sock)
        _waiting[fd, writing] = mine
        yield from ready(foreign, handle, fd)
    finally:
        if _waiting.get((fd, writing)) is mine:
            del _waiting[fd, writing]
        if handle is not None:
            handle.close()


@operation
def ready(foreign: Foreign, handle: Handle, fd: int) -> Generator[Any, None, None]:
    """Wait until `foreign`, which has this handle, is ready. Raise Closed if its descriptor is closed meanwhile."""
    while True:
        try:
            return (yield from Patience(LOOK_S).limit(handle.wait_readable()))
        except TimeoutError:
            if not foreign.is_same():
                raise Closed(f"fd {fd} was closed while a thread waited for it") from None
        except Closed:
            raise Closed(f"the wait for fd {fd} was ended: its stream or its loop was closed") from None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.clear)
