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
from .line import Place
from .lock import lock
from .queues import checked_size, text_of_content
from .thread import over_at_once

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")


class EndOfChannel(Closed):
    """All senders of a channel are closed, and no item is left to receive. (trio's EndOfChannel)"""


class BrokenChannel(Closed):
    """All receivers of a channel are closed, so no item can be sent any more. (trio's BrokenResourceError)"""


class _Channel(Generic[T]):
    """What the ends of a channel share."""

    __slots__ = ("exchange", "receivers", "senders")

    def __init__(self, size: int | None) -> None:
        self.exchange: Exchange[T] = Exchange(size, "channel")
        self.senders = self.receivers = 0  # open ends

    def __repr__(self) -> str:
        waiting = f"{len(self.exchange.putters)} sending, {len(self.exchange.getters)} receiving"
        ends = f"{self.senders} senders, {self.receivers} receivers"
        return f"{text_of_content(self.exchange)}, {ends}, {waiting}"


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
        return within(timeout_s, self._send, item)

    def send_nowait(self, item: T) -> None:
        """Send an item without waiting. Raises WouldBlock if send() would wait, or the errors of send()."""
        self._offer(item, False)

    def close(self) -> None:
        """Close this sender. A thread that waits in its send() gets Closed. A second close() does nothing.

        If it was the last sender, threads receive the items that are left. Then they get EndOfChannel.
        """
        exchange = self._channel.exchange
        with lock:
            if not self._is_closed:
                self._is_closed = True
                self._channel.senders -= 1
            exchange.putters.dissolve(_closed, self)  # again, if a signal handler raised in the first close()
            if not self._channel.senders:
                exchange.no_get = _ended
                exchange.getters.dissolve(_ended)

    @operation
    def _send(self, item: T) -> Generator[Any, None, None]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        place = self._offer(item, True)
        if place is not None:
            yield from self._channel.exchange.putters.stay(place)

    def _offer(self, item: T, wait: bool) -> Place | None:
        with lock:
            self._check_open()
            return self._channel.exchange.offer(item, wait, self)

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
        return within(timeout_s, self._receive)

    def receive_nowait(self) -> T:
        """Receive an item without waiting. Raises WouldBlock if receive() would wait, or the errors of receive()."""
        item: T = self._take(False)
        return item

    def close(self) -> None:
        """Close this receiver. A thread that waits in its receive() gets Closed. A second close() does nothing.

        If it was the last receiver, items that are left are dropped, and threads that send, or wait for that, get
        BrokenChannel.
        """
        exchange = self._channel.exchange
        dropped: deque[T] | None = None  # kept until the lock is free: destructors of the program may run
        with lock:
            if not self._is_closed:
                self._is_closed = True
                self._channel.receivers -= 1
            exchange.getters.dissolve(_closed, self)  # again, if a signal handler raised in the first close()
            if not self._channel.receivers:
                exchange.no_put = _broken
                exchange.putters.dissolve(_broken)
                dropped, exchange.items = exchange.items, deque()
        del dropped

    @operation
    def _receive(self) -> Generator[Any, None, T]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        got = self._take(True)
        if type(got) is Place:
            got = yield from self._channel.exchange.getters.stay(got, self._take_back)
        item: T = got
        return item

    def _take(self, wait: bool) -> Any:
        with lock:
            self._check_open()
            return self._channel.exchange.take(wait, self)

    def _take_back(self, item: T) -> None:
        if self._channel.receivers:
            self._channel.exchange.take_back(item)

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
