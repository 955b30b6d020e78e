"""Channels: a queue whose two sides are closed on their own, and know whether the other side is still there.

Must not know how items pass: exchange.py does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pollers
from pollers import Closed, Operation, operation

from .block import Block
from .deadline import within
from .exchange import Exchange
from .lock import lock, locked
from .queues import checked_size, text_of_content
from .scheduler import leave_to_loop

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")


class EndOfChannel(Closed):
    """All senders of a channel are closed, and no item is left to receive. (trio's EndOfChannel)"""


class BrokenChannel(Closed):
    """All receivers of a channel are closed, so no item can be sent any more. (trio's BrokenResourceError)"""


class _Channel(Exchange[T]):
    """What the ends of a channel share: items, and how many ends are open."""

    __slots__ = ("receivers", "senders")

    def __init__(self, size: int | None) -> None:
        super().__init__(size, "channel")
        self.senders = self.receivers = 0

    @locked
    def take_back(self, item: T) -> None:
        if self.receivers:
            super().take_back(item)

    def __repr__(self) -> str:
        waiting = f"{len(self.putters)} sending, {len(self.getters)} receiving"
        return f"{text_of_content(self)}, {self.senders} senders, {self.receivers} receivers, {waiting}"


class _End(pollers.Unique, Block, Generic[T]):
    """One end of a channel. It is closed once."""

    __slots__ = ("_channel", "_is_closed")

    def __init__(self, channel: _Channel[T]) -> None:
        self._channel = channel
        self._is_closed = False
        self._opened()

    @property
    def closed(self) -> bool:
        """Whether this end is closed."""
        return self._is_closed

    def clone(self) -> Self:
        """Return another end of the same channel, which is closed on its own. Raises Closed if this one is closed."""
        with lock:
            self._check_open()
            return type(self)(self._channel)

    def _check_open(self) -> None:
        if self._is_closed:
            raise _closed()

    def _opened(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        if not leave_to_loop(self.close):  # a finalizer may close the generator that has this block
            self.close()

    @operation
    def _leave(self) -> Generator[Any, None, None]:
        self.close()
        yield from ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{' (closed)' * self._is_closed}, {self._channel!r}>"


class Sender(_End[T]):
    """The end of a channel that sends items. channel() makes it. `with` and `async with` close it."""

    __slots__ = ()

    def send(self, item: T, timeout_s: float | None = None) -> Operation[None]:
        """Send an item. Wait until there is room for it, or, if the size is 0, until a thread receives it.

        Raises BrokenChannel if all receivers are closed, before the call or while it waits; Closed if this sender is;
        TimeoutError after `timeout_s` seconds; None: no limit. After an error or a cancellation the item has not been
        sent. Raises ValueError if `timeout_s` is negative or NaN.
        """
        return within(timeout_s, self._channel.put, item, self)

    def send_nowait(self, item: T) -> None:
        """Send an item without waiting. Raises WouldBlock if send() would wait, or the errors of send()."""
        self._channel.put_nowait(item, self)

    def close(self) -> None:
        """Close this sender. A thread that waits in its send() gets Closed. A second close() does nothing.

        If it was the last sender, threads receive the items that are left. Then they get EndOfChannel.
        """
        channel = self._channel
        with lock:
            if not self._is_closed:
                self._is_closed = True
                channel.senders -= 1
            channel.putters.dissolve(_closed, self)  # again, if a signal handler raised in the first close()
            if not channel.senders:
                channel.no_get = _ended
                channel.getters.dissolve(_ended)

    def _opened(self) -> None:
        self._channel.senders += 1


class Receiver(_End[T]):
    """The end of a channel that receives items. channel() makes it. `with` and `async with` close it.

    `async for item in receiver` receives items until all senders are closed and no item is left.
    """

    __slots__ = ()

    def receive(self, timeout_s: float | None = None) -> Operation[T]:
        """Receive an item, or wait for one, and return it.

        Raises EndOfChannel if all senders are closed and no item is left; Closed if this receiver is closed;
        TimeoutError after `timeout_s` seconds; None: no limit. After an error or a cancellation no item has been
        received. Raises ValueError if `timeout_s` is negative or NaN.
        """
        return within(timeout_s, self._channel.get, self)

    def receive_nowait(self) -> T:
        """Receive an item without waiting. Raises WouldBlock if receive() would wait, or the errors of receive()."""
        return self._channel.get_nowait(self)

    def close(self) -> None:
        """Close this receiver. A thread that waits in its receive() gets Closed. A second close() does nothing.

        If it was the last receiver, items that are left are dropped, and threads that send, or wait for that, get
        BrokenChannel.
        """
        channel = self._channel
        dropped: deque[T] | None = None  # kept until the lock is free: destructors of the program may run
        with lock:
            if not self._is_closed:
                self._is_closed = True
                channel.receivers -= 1
            channel.getters.dissolve(_closed, self)  # again, if a signal handler raised in the first close()
            if not channel.receivers:
                channel.no_put = _broken
                channel.putters.dissolve(_broken)
                dropped, channel.items = channel.items, deque()
        del dropped

    def _opened(self) -> None:
        self._channel.receivers += 1

    def __aiter__(self) -> Receiver[T]:
        return self

    @operation
    def __anext__(self) -> Generator[Any, None, T]:
        try:
            return (yield from self.receive())
        except EndOfChannel:
            raise StopAsyncIteration from None


class channel(tuple[Sender[T], Receiver[T]]):
    """A pair of a Sender and a Receiver: `sender, receiver = channel[int](10)`.

    `size` is the number of items that fit in before send() waits. With 0, send() waits until another thread receives
    the item. None means no limit: send() never waits. Items are received in the order in which they were sent. Clone an
    end for each thread that closes it on its own. Raises ValueError if `size` is negative. (trio's open_memory_channel)
    """

    __slots__ = ()

    def __new__(cls, size: int | None = 0) -> channel[T]:
        shared: _Channel[T] = _Channel(checked_size(size, "a channel"))
        return super().__new__(cls, (Sender(shared), Receiver(shared)))


def _closed() -> Closed:
    return Closed("this end of the channel is closed")


def _ended() -> EndOfChannel:
    return EndOfChannel("all senders of the channel are closed, and no item is left")


def _broken() -> BrokenChannel:
    return BrokenChannel("all receivers of the channel are closed")
