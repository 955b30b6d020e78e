"""The body of a request on its way to an upstream, in a thread of its own: the response may come meanwhile."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from ...threads.events import Event
from ...threads.loop import newthread, now
from ...threads.scope import move_on_after
from ...threads.sleeping import sleep
from ...threads.thread import Thread
from ..messages.errors import ProtocolError
from ..messages.framing import CHUNKED
from ..messages.incoming import BLOCK
from ..serving.exchange import Exchange
from .hops import trailer_fields
from .upstream import Link


class Sending:
    """`has_ended`: whether the whole request was sent. `error`: what the client has done wrong, if it has.

    `was_slow`: whether the upstream has not taken a piece in time. After that, and after an error of the client, the
    upstream's connection is closed.
    """

    __slots__ = (
        "_exchange",
        "_go_ahead",
        "_is_refused",
        "_link",
        "_read_s",
        "_send_s",
        "_thread",
        "error",
        "has_ended",
        "was_slow",
    )

    def __init__(self, exchange: Exchange, link: Link, send_s: float | None, read_s: float) -> None:
        self._exchange = exchange
        self._link = link
        self._send_s = send_s
        self._read_s = read_s
        self._go_ahead = Event() if exchange.head.expects_continue else None
        self._is_refused = False
        self._thread: Thread[None] | None = None
        self.has_ended = False
        self.was_slow = False
        self.error: Exception | None = None

    def begin(self, head: bytes, continue_s: float) -> None:
        """Start the thread. `continue_s`: how long to wait for 100 (Continue), if the client does."""
        self._thread = newthread(self._run, head, continue_s, name="request body")

    def go_ahead(self) -> Generator[Any, None, None]:
        """Pass on 100 (Continue), and send the body."""
        if self._go_ahead is not None and not self._go_ahead.is_set():
            if self._exchange.side.waits_for_continue:
                yield from self._exchange.informational(100, ())
            self._go_ahead.set()

    def answered(self) -> None:
        """Note that the response has come. Then the client is not asked for a body that it holds back."""
        if self._go_ahead is not None and not self._go_ahead.is_set():
            self._is_refused = True
            self._go_ahead.set()

    def stop(self) -> Generator[Any, None, None]:
        """End the thread, unless it is about to end, and wait for that."""
        thread = self._thread
        if thread is None or thread.done:
            return
        yield from sleep(0)  # it may have sent all, and not know it yet
        self.cancel()
        yield from thread.join()

    def cancel(self) -> None:
        if self._thread is not None and not self._thread.done:
            self._thread.cancel()

    def _run(self, head: bytes, continue_s: float) -> Generator[Any, None, None]:
        sock = self._link.sock
        try:
            sock.settimeout(self._send_s, "write")
            yield from sock.sendall(head)
            if self._go_ahead is not None:
                with move_on_after(continue_s):
                    yield from self._go_ahead.wait()
                if self._is_refused:
                    return
            yield from self._send_body()
            sock.settimeout(None, "write")
            self._link.watch.limit(now() + self._read_s)
        except _OfClient as failed:
            self.error = failed.error
            self._link.close()  # the thread that waits for the response notices it
        except TimeoutError:
            self.was_slow = True
            self._link.close()
        except OSError:
            pass  # the other thread finds the response, or the reason

    def _send_body(self) -> Generator[Any, None, None]:
        """Send the body. The request counts as received and sent before its last piece is on the way."""
        exchange, side = self._exchange, self._link.side
        incoming = exchange.side.incoming
        while True:
            pieces = side.data((yield from self._next()))
            if exchange.side.received_all or not incoming.left:
                yield from self._next()  # the end, without a wait
                trailers = exchange.trailers if exchange.head.body == CHUNKED else None
                pieces.append(side.end(() if trailers is None else trailer_fields(trailers.raw)))
                self.has_ended = True
            if data := b"".join(pieces):
                yield from self._link.sock.sendall(data)
            if self.has_ended:
                return

    def _next(self) -> Generator[Any, None, bytes]:
        try:
            return (yield from self._exchange.receive(BLOCK))
        except (ProtocolError, OSError) as error:
            raise _OfClient(error) from None


class _OfClient(Exception):
    """The client's body has failed."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
