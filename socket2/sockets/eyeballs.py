"""Happy eyeballs: one connection from several addresses, without waiting for one that does not answer. RFC 8305.

The addresses are tried in the order of the lookup (RFC 6724), alternating between families. Each attempt has its own
thread and socket. The next attempt begins when one fails or after 250 ms. The first connection wins. When it is
returned, or the wait for it is given up, nothing is left of the other attempts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from errno import EADDRNOTAVAIL, EAFNOSUPPORT, ECANCELED, ENETUNREACH
from typing import Any

from pollers import Operation, operation

from ..threads.loop import newthread
from ..threads.thread import Thread, all_ended, currentthread
from ..threads.timers import Timer
from ..threads.wait import Wait
from .address import Address
from .socket import make
from .tcp import TCP

DELAY_S = 0.25
"""How long an attempt may take before the next one begins. RFC 8305, section 5."""

# Errors that only say that this host lacks the network. Any other error is more informative.
_NO_NETWORK = {EADDRNOTAVAIL, EAFNOSUPPORT, ENETUNREACH}


Tell = Callable[[str, Address, OSError | None], Any]


def connect_to_first(
    addresses: Sequence[Address], options: dict[str, Any], delay_s: float, made_at: str, tell: Tell | None = None
) -> Operation[TCP]:
    """Connect to one of the addresses and return the socket. `options`: setopt() of each socket before it connects.

    If there are several addresses, `tell` is called when an attempt begins ("begun"), when it fails ("failed", with the
    error), and when it is slow, so that the next one begins as well ("slow").

    Raises OSError if every attempt fails. The text lists each address with its reason, and __cause__ is the group of
    the errors. If all informative errors have the same class, so does the OSError.
    """
    order = interleaved(addresses)
    if len(order) == 1:
        return _connect_to(order[0], options, made_at, [])
    return _Race(order, options, delay_s, made_at, tell).winner()


def interleaved(addresses: Iterable[Address]) -> list[Address]:
    """Return the addresses without duplicates, alternating between families. RFC 8305, section 4."""
    families: dict[str, deque[Address]] = {}
    for address in dict.fromkeys(addresses):
        families.setdefault(address.family, deque()).append(address)
    order = []
    while families:
        for family in list(families):
            order.append(families[family].popleft())
            if not families[family]:
                del families[family]
    return order


@operation
def _connect_to(
    address: Address, options: dict[str, Any], made_at: str, opened: list[TCP]
) -> Generator[Any, None, TCP]:
    """Connect a new socket. It is added to `opened` as soon as it exists, and closed if it cannot connect."""
    sock = TCP(make(address.family, "tcp", None, None), None, made_at)
    opened.append(sock)
    try:
        for name, value in options.items():
            sock.setopt(name, value)
        yield from sock.connect(address)
    except BaseException as error:
        sock.close()
        if address.family == "unix" and isinstance(error, OSError) and error.errno is not None:
            error.filename = str(address)
        raise
    return sock


class _Race:
    """The attempts. An attempt that ends adds its outcome to `_ended` and then finishes `_news`."""

    def __init__(
        self, order: list[Address], options: dict[str, Any], delay_s: float, made_at: str, tell: Tell | None
    ) -> None:
        self._order = order
        self._tell: Tell = tell if tell is not None else lambda event, address, error: None
        self._options = options
        self._delay_s = delay_s
        self._made_at = made_at
        self._opened: list[TCP] = []
        self._threads: list[Thread[object]] = []
        self._ended: list[tuple[Address, TCP | Exception]] = []
        self._news = self._wait()

    def _wait(self) -> Wait:
        return Wait(f"connection to {self._order[0]} or one of {len(self._order) - 1} other addresses")

    @operation
    def winner(self) -> Generator[Any, None, TCP]:
        """Return the first connection. By then the other sockets are closed and the other threads have ended."""
        try:
            first = yield from self._first()
            yield from self._end(but=first)
        except GeneratorExit:  # a generator that is being closed cannot wait
            self._close()
            raise
        except BaseException:
            yield from self._end()
            raise
        finally:
            self._ended.clear()  # the errors have tracebacks that lead here: break the cycle
        return first

    @operation
    def _first(self) -> Generator[Any, None, TCP]:
        left = deque(self._order)
        while True:
            self._news = news = self._wait()  # made before looking at the outcomes, so that no end is missed
            for _, outcome in self._ended:
                if isinstance(outcome, TCP):
                    return outcome
            if left:
                address = left.popleft()
                self._tell("begun", address, None)
                self._threads.append(newthread(self._attempt, address, name=f"connect to {address}"))
            elif len(self._ended) == len(self._order):
                raise _failure(self._ended)
            ended = len(self._ended)
            yield from self._until(news, self._delay_s if left else None)
            if left and len(self._ended) == ended:
                self._tell("slow", address, None)

    @operation
    def _until(self, news: Wait, limit_s: float | None) -> Generator[Any, None, None]:
        scheduler = currentthread().scheduler
        timer = Timer(scheduler.timers, news.finish)
        if limit_s is not None:
            timer.arm(scheduler.now() + limit_s)
        try:
            yield from news.wait()
        finally:
            timer.disarm()

    @operation
    def _attempt(self, address: Address) -> Generator[Any, None, None]:
        outcome: TCP | Exception = OSError(ECANCELED, "the attempt was cancelled")
        try:
            outcome = yield from _connect_to(address, self._options, self._made_at, self._opened)
        except Exception as error:
            outcome = error
            if isinstance(error, OSError):
                self._tell("failed", address, error)
        finally:
            self._ended.append((address, outcome))
            self._news.finish()
            del outcome  # an error's traceback has this frame: break the cycle

    def _close(self, but: TCP | None = None) -> None:
        for sock in self._opened:
            if sock is not but:
                sock.close()

    @operation
    def _end(self, but: TCP | None = None) -> Generator[Any, None, None]:
        """End all attempts, also those that have no socket yet. Leave the connection `but` open."""
        for thread in self._threads:
            thread.cancel()
        self._close(but)
        try:
            yield from all_ended(self._threads)
        finally:
            self._close(but)


def _failure(ended: Sequence[tuple[Address, TCP | Exception]]) -> Exception:
    """Return the one error that stands for all of them."""
    failures = [(address, error) for address, error in ended if isinstance(error, OSError)]
    for _, error in ended:
        if isinstance(error, Exception) and not isinstance(error, OSError):
            return error  # a bug in the program, not a network failure
    telling = [error for _, error in failures if error.errno not in _NO_NETWORK] or [error for _, error in failures]
    text = "cannot connect: " + "; ".join(f"{address}: {error.strerror or error}" for address, error in failures)
    if len({type(error) for error in telling}) == 1:
        made = OSError(telling[0].errno, text)  # OSError picks the class by the number
    else:
        made = OSError(text)
        made.errno, made.strerror = telling[-1].errno, text
    made.__cause__ = ExceptionGroup(text, [error for _, error in failures])
    return made
