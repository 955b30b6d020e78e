"""A poller around a poller. It checks that both sides keep to the contract, and reports where they did not.

It reports an operation that was never awaited, was stepped by something that parks nobody, was parked twice, was
returned by poll() twice, was used from an OS thread other than the one that polls, or had no outcome at shutdown().
"""

from __future__ import annotations

import atexit
import os
import socket
import threading
import warnings
import weakref
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from ..operation import Address, Operation, Poller, Stats
from ..unique import Unique
from .watched import Watched, name_and_place, place

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


class CheckedDirection(Unique):
    """A direction that also knows where its operation was made. It parks itself on the real direction."""

    __slots__ = (
        "_checked",
        "_parked",
        "_stepped_at",
        "closed",
        "inner",
        "made_at",
        "offered_in",
        "operation_name",
        "waiter",
    )

    def __init__(self, checked: Checked, inner: Any) -> None:
        self._checked = checked
        self._parked = False
        self._stepped_at: str | None = None
        self.closed = False  # the socket was closed while an operation was in flight
        self.inner = inner
        self.made_at = ""
        self.offered_in = 0  # the id of the OS thread
        self.operation_name = ""
        self.waiter: Any = None

    @property
    def error(self) -> BaseException | None:
        return self.inner.error  # type: ignore[no-any-return]

    def offer(self, name: str, made_at: str) -> None:
        """Note that an operation has yielded: somebody must park on it before the next poll()."""
        self.operation_name, self.made_at = name, made_at
        self._stepped_at = place()
        self.offered_in = threading.get_ident()
        self._checked.offered[self] = None

    def resumed(self) -> None:
        if self in self._checked.offered:
            self._checked.offered.pop(self, None)
            self._checked.never_parked.append(self.never_parked())
        self._checked.unjoined.pop(self, None)
        self._parked = self.closed = False
        self.waiter = None

    def park(self, waiter: Any, /) -> bool:
        self._checked.same_os_thread(self.made_at)
        if self._parked:
            raise RuntimeError(f"parked twice: {self.describe()}")
        self._checked.offered.pop(self, None)
        # Set this first: poll() may return it in another OS thread before this one continues.
        self.waiter = waiter
        self._parked = True
        self._checked.unjoined[self] = None
        finished: bool = True
        try:
            finished = self.inner.park(self)
        except BaseException:
            finished = self.inner.waiter is not self  # False: it is parked, and then a signal handler raised
            if finished:
                self.waiter = None
            raise
        finally:
            if finished:
                self._parked = False
                self._checked.unjoined.pop(self, None)
        return finished

    @property
    def over(self) -> bool:
        return self.inner.over  # type: ignore[no-any-return]

    def cancel(self, error: BaseException, /) -> bool:
        self._checked.same_os_thread(self.made_at)
        ended: bool = self.inner.cancel(error)
        if ended:
            self._parked = False
        return ended

    def finished(self) -> Any:
        """Return the waiter, after poll() has returned this object as the waiter of the real direction."""
        if not self._parked:
            raise RuntimeError(f"finished twice, or without being parked: {self.describe()}")
        self._parked = False
        return self.waiter

    def never_parked(self) -> str:
        return (
            f"{self.operation_name} made at {self.made_at} was stepped at {self._stepped_at} by something that is not"
            " a thread: nobody waited for it"
        )

    def never_joined(self) -> None:
        what = "socket was closed" if self.closed else "poller was shut down"
        warnings.warn(
            f"{self.operation_name} made at {self.made_at} was in flight when its {what}: nobody took its outcome",
            RuntimeWarning,
            stacklevel=3,
        )

    def describe(self) -> str:
        made = f", made at {self.made_at}" if self.made_at else ""
        return f"{self.inner.describe()}{made}"

    def fileno(self) -> int:
        return self.inner.fileno()  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"<checked {self.describe()}>"


class CheckedHandle(Unique):
    """A handle whose operations are checked from the call that makes them to the step that ends them."""

    __slots__ = ("_checked", "inner", "reading", "writing")

    def __init__(self, checked: Checked, inner: Any) -> None:
        self._checked = checked
        self.inner = inner
        self.reading = CheckedDirection(checked, inner.reading)
        self.writing = CheckedDirection(checked, inner.writing)

    @property
    def sock(self) -> socket.socket:
        return self.inner.sock  # type: ignore[no-any-return]

    def fileno(self) -> int:
        return self.inner.fileno()  # type: ignore[no-any-return]

    def recv(self, n: int, owner: object = None, /) -> Operation[bytes]:
        return self._watch(self.reading, self.inner.recv(n, owner))

    def recv_into(self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /) -> Operation[int]:
        return self._watch(self.reading, self.inner.recv_into(buffer, n, owner))

    def recvfrom(self, n: int, owner: object = None, /) -> Operation[tuple[bytes, Address]]:
        return self._watch(self.reading, self.inner.recvfrom(n, owner))

    def recvfrom_into(
        self, buffer: WriteableBuffer, n: int = 0, owner: object = None, /
    ) -> Operation[tuple[int, Address]]:
        return self._watch(self.reading, self.inner.recvfrom_into(buffer, n, owner))

    def accept(self, owner: object = None, /) -> Operation[tuple[CheckedHandle, Address]]:
        def checked(accepted: tuple[Any, Address]) -> tuple[CheckedHandle, Address]:
            return CheckedHandle(self._checked, accepted[0]), accepted[1]

        return self._watch(self.reading, self.inner.accept(owner), checked)

    def wait_readable(self, owner: object = None, /) -> Operation[None]:
        return self._watch(self.reading, self.inner.wait_readable(owner))

    def send(self, data: ReadableBuffer, owner: object = None, /) -> Operation[int]:
        return self._watch(self.writing, self.inner.send(data, owner))

    def sendall(self, data: ReadableBuffer, owner: object = None, /) -> Operation[None]:
        return self._watch(self.writing, self.inner.sendall(data, owner))

    def sendto(self, data: ReadableBuffer, address: Address, owner: object = None, /) -> Operation[int]:
        return self._watch(self.writing, self.inner.sendto(data, address, owner))

    def sendfile(self, fd: int, offset: int, count: int, owner: object = None, /) -> Operation[int]:
        return self._watch(self.writing, self.inner.sendfile(fd, offset, count, owner))

    def connect(self, address: Address, owner: object = None, /) -> Operation[None]:
        return self._watch(self.writing, self.inner.connect(address, owner))

    def wait_writable(self, owner: object = None, /) -> Operation[None]:
        return self._watch(self.writing, self.inner.wait_writable(owner))

    def told(self, error: OSError | None = None, /) -> OSError | None:
        return self.inner.told(error)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._closing()
        self.inner.close()

    def _closing(self) -> None:
        for direction in (self.reading, self.writing):
            direction.closed = direction in self._checked.unjoined

    def detach(self) -> socket.socket:
        self._closing()
        return self.inner.detach()  # type: ignore[no-any-return]

    def _watch(
        self, direction: CheckedDirection, inner: Any, convert: Callable[[Any], Any] | None = None
    ) -> Operation[Any]:
        name, made_at = name_and_place()
        return Watched(_drive(direction, name, inner, made_at, convert), name, made_at)


class _drive:
    """The operation as its waiter sees it. When the real direction is yielded, it yields the checked one instead."""

    def __init__(
        self,
        direction: CheckedDirection,
        name: str,
        inner: Any,
        made_at: str,
        convert: Callable[[Any], Any] | None,
    ) -> None:
        self._arguments = (direction, name, inner, made_at, convert)

    def close(self) -> None:
        self._arguments[2].close()

    def __iter__(self) -> Generator[Any, None, Any]:
        direction, name, inner, made_at, convert = self._arguments
        direction._checked.same_os_thread(made_at)
        stepper = iter(inner)
        while True:
            try:
                next(stepper)
            except StopIteration as stop:
                return convert(stop.value) if convert else stop.value
            direction.offer(name, made_at)
            try:
                yield direction
            except BaseException as error:
                direction.resumed()
                stepper.throw(error)
                raise
            direction.resumed()


class Checked(Unique):
    """A wrapper for any poller, with the same interface. It is slower and stricter."""

    def __init__(self, inner: Poller) -> None:
        self.inner: Any = inner
        self.now = inner.now
        self.socket = inner.socket
        self.socketpair = inner.socketpair
        self.adopt = inner.adopt
        self.ready = inner.ready
        self.file = inner.file
        self.foreign = inner.foreign
        # These serve as ordered sets, so that reports come in the order of the operations.
        self.offered: dict[CheckedDirection, None] = {}
        self.unjoined: dict[CheckedDirection, None] = {}
        self.never_parked: list[str] = []  # reported at the next poll(), not inside a generator that is being dropped
        self._os_thread: int | None = threading.get_ident()  # None if several share it
        self._pid = os.getpid()
        atexit.register(_at_exit, weakref.ref(self))

    @property
    def name(self) -> str:
        return self.inner.name  # type: ignore[no-any-return]

    @property
    def streak(self) -> int:
        return self.inner.streak  # type: ignore[no-any-return]

    @streak.setter
    def streak(self, value: int) -> None:
        self.inner.streak = value

    def same_os_thread(self, made_at: str) -> None:
        if self._os_thread is not None and threading.get_ident() != self._os_thread:
            made = f" (made at {made_at})" if made_at else ""
            raise RuntimeError(f"used at {place()} from an OS thread other than the one this poller belongs to{made}")

    def attach(self, sock: socket.socket, /) -> CheckedHandle:
        self.same_os_thread("")
        return CheckedHandle(self, self.inner.attach(sock))

    def poll(self, timeout_s: float | None = None, limit: int = 256, /) -> list[Any]:
        self.same_os_thread("")
        here = threading.get_ident()
        for direction in [direction for direction in list(self.offered) if direction.offered_in == here]:
            self.offered.pop(direction, None)
            self.never_parked.append(direction.never_parked())
        while self.never_parked:
            warnings.warn(self.never_parked.pop(), RuntimeWarning, stacklevel=2)
        return [direction.finished() for direction in self.inner.poll(timeout_s, limit)]

    def wakeup(self) -> None:
        self.inner.wakeup()

    def wakeup_fileno(self) -> int:
        return self.inner.wakeup_fileno()  # type: ignore[no-any-return]

    def fileno(self) -> int:
        return self.inner.fileno()  # type: ignore[no-any-return]

    def watch(self) -> bool:
        return self.inner.watch()  # type: ignore[no-any-return]

    def stats(self) -> Stats:
        return self.inner.stats()  # type: ignore[no-any-return]

    def share(self) -> None:
        self.inner.share()
        self._os_thread = None

    def shutdown(self) -> list[Any]:
        if os.getpid() == self._pid:  # otherwise the waiting threads belong to another process
            for direction in self.unjoined:
                direction.never_joined()
        self.unjoined.clear()
        return [direction.finished() for direction in self.inner.shutdown()]

    def __repr__(self) -> str:
        return f"<checked {self.inner!r}>"


def _at_exit(poller: weakref.ref[Checked]) -> None:
    """Report threads that never learned that their socket was closed. Other threads may still wait at the end."""
    checked = poller()
    if checked is not None and os.getpid() == checked._pid:
        for direction in checked.unjoined:
            if direction.closed:
                direction.never_joined()
