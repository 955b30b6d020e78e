"""A request as code in an OS thread uses it: each operation is made in the loop, and the OS thread waits for it.

A send goes on while the OS thread does something else, at most until it sends or receives again. So an answer of one
piece costs no wait. If the connection's thread ends, all of this fails with a ConnectionError.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, TypeVar

from pollers import Operation, operation

from ...threads.events import Event
from ...threads.portal import portal
from ..messages.errors import ProtocolError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

T = TypeVar("T")


class UnreadableBody(OSError):
    """The body cannot be received. `reason`: why. An OSError, because that is what applications expect of a read."""

    def __init__(self, reason: ProtocolError) -> None:
        super().__init__(reason.reason)
        self.reason = reason


class Bridge:
    """Operations that an OS thread begins. Make it in the thread of the connection."""

    __slots__ = ("_portal", "_sending")

    def __init__(self, way: portal) -> None:
        self._portal = way
        self._sending: Future[None] | None = None

    # In the OS thread.

    def call(self, begin: Callable[[], Operation[T]]) -> T:
        """Make an operation in the loop, and wait for it. Raises what it raises; ConnectionError if it is too late."""
        self.settle()
        try:
            return self._portal.call(begin)
        except ProtocolError as error:
            raise UnreadableBody(error) from error
        except (CancelledError, RuntimeError) as error:
            raise _gone() from error

    def send(self, begin: Callable[[], Operation[None]]) -> None:
        """Begin an operation in the loop when the one before has ended. Raises what the one before raises."""
        self.settle()
        try:
            self._sending = self._portal.spawn(begin)
        except RuntimeError as error:
            raise _gone() from error

    def settle(self) -> None:
        """Wait until what was begun has ended. Raises what it raises."""
        sending, self._sending = self._sending, None
        if sending is not None:
            try:
                sending.result()
            except (CancelledError, RuntimeError) as error:
                raise _gone() from error

    # In the loop.

    @operation
    def settled(self) -> Generator[Any, None, None]:
        """Do what settle() does, in the thread of the connection."""
        sending, self._sending = self._sending, None
        if sending is None:
            return
        ended = Event()
        sending.add_done_callback(lambda _: ended.set())
        yield from ended.wait()
        sending.result()


def _gone() -> ConnectionError:
    return ConnectionAbortedError("the connection of this request has ended")


class Incoming(io.RawIOBase):
    """A body as a raw file, for an io.BufferedReader. `receive(n)` receives up to n bytes."""

    def __init__(self, bridge: Bridge, receive: Callable[[int], Operation[bytes]]) -> None:
        self._bridge = bridge
        self._receive = receive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        data = self._bridge.call(lambda: self._receive(len(view)))
        view[: len(data)] = data
        return len(data)
