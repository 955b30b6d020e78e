"""A WebSocket as a program sees it: messages, pings, and the end."""

from __future__ import annotations

from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pollers import Operation, operation

from ...sockets.socket import check_octets
from ...streams.transport import AnyByteStream
from ...threads.deadline import within
from ...threads.events import Event
from ...threads.loop import newthread
from ...threads.scheduler import current_scheduler
from ...threads.scope import move_on_after
from ...threads.thread import over_at_once
from .closing import INTERNAL, LOST, NORMAL, End, WebSocketClosed, check_close
from .codec import CONTROL_MAX, PING, Fragment, Frames, Message
from .deflate import Deflate
from .entropy import unpredictable
from .keepalive import Watch
from .terms import Terms
from .wire import Wire, is_of_connection

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer

# How long the end of a plain `with` block tries to send a Close frame that cannot be sent at once.
_PART_S = 1.0


class WebSocket(Wire):
    """A WebSocket. Request.websocket() makes it in a server, http.websocket() in a client.

    One thread may receive while another sends; a second one in the same direction gets Busy. Pings of the peer are
    answered by themselves. `subprotocol`: the one that was agreed on, or None.

    At the end of an `async with` block, or of the handler of a request, the WebSocket is closed as by close(), with
    code 1000, or 1011 if an error has ended it. At the end of a plain `with` block, which cannot wait, the Close frame
    is sent and the connection closed.
    """

    def __init__(
        self,
        conn: AnyByteStream,
        received: bytes,
        terms: Terms,
        *,
        is_client: bool,
        subprotocol: str | None = None,
        deflate: Deflate | None = None,
    ) -> None:
        super().__init__(conn, received, Frames(is_client, terms.max_bytes, deflate), is_client)
        self.subprotocol = subprotocol
        self._message: Message | None = None  # has been received in part
        self._watcher = Watch(
            self,
            current_scheduler(),
            terms.ping_interval_s,
            terms.ping_timeout_s,
            terms.close_s,
        )

    # Receiving.

    def recv(self) -> Operation[str | bytes | None]:
        """Receive a message: a str if it is text, otherwise bytes. None at the end.

        That is when the peer has closed the WebSocket with code 1000, 1001 or without a code, or this program has
        closed it. Any other end raises WebSocketClosed. A cancellation or timeout takes nothing: the parts of a message
        that have come stay for the next call. Raises Busy.

        In a generator: `while (message := (yield from ws.recv())) is not None:`
        """
        return self._receive(True)

    def recv_fragment(self) -> Operation[Fragment | None]:
        """Receive a piece of a message as the peer has sent it: its `data`, and whether it is the `last` one.

        Use it for messages that are too large to keep: the limit for the size of a message counts for each piece alone.
        If recv() was interrupted within a message, what it had received comes first. The end, a cancellation and errors
        are as with recv().
        """
        return self._receive(False)

    @operation
    def _receive(self, whole: bool) -> Generator[Any, None, Any]:
        """Receive a message, or a fragment of one."""
        lane = self._receiving
        try:
            del lane.free
        except AttributeError:
            yield from lane.enter()
        try:
            if (turn := over_at_once()) is not None:
                yield from turn.wait()
            if not whole and (message := self._message) is not None:
                self._message = None
                self._frames.joined = 0
                return Fragment(message.whole(), False)
            while True:
                fragment = self._at_hand()
                if fragment is None:
                    if self._over is not None and self._over.is_normal:
                        return None
                    yield from self._more()
                    continue
                message = self._message
                if message is None:
                    if fragment.last or not whole:
                        self._frames.joined = 0
                        return fragment.data if whole else fragment
                    message = self._message = Message()
                message.add(fragment.data)
                if fragment.last:
                    self._message = None
                    self._frames.joined = 0
                    return message.whole()
        finally:
            lane.free = None
            if lane.waiting:
                lane.wake()
            if self._pings:
                self._see_to_pongs()

    def __aiter__(self) -> Self:
        """Iterate over the messages with `async for`: recv() until it returns None."""
        return self

    @operation
    def __anext__(self) -> Generator[Any, None, str | bytes]:
        message = yield from self.recv()
        if message is None:
            raise StopAsyncIteration
        return message

    # Sending.

    def send(self, data: str | ReadableBuffer, last: bool = True) -> Operation[None]:
        """Send a message: a str as text, anything else as bytes. Returns when the system has accepted it.

        `last`: False if this is a piece of a message that further sends continue. After a cancellation or timeout,
        `bytes_sent` on the exception is 0 if nothing of the message was or will be sent. Otherwise it is the length of
        the message in bytes, and what is left of it is sent before anything else.

        Raises WebSocketClosed, Busy; TypeError if a piece is text and its message is not, or the other way round;
        UnicodeEncodeError if the text has a surrogate.
        """
        if isinstance(data, str):
            return self._send(True, data.encode(), last)
        if type(data) is bytes:
            return self._send(False, data, last)
        check_octets(data)
        return self._send(False, memoryview(data).cast("B"), last)

    @operation
    def _send(self, is_text: bool, data: bytes | memoryview, last: bool) -> Generator[Any, None, None]:
        lane = self._sending
        try:
            del lane.free
        except AttributeError:
            self._check_open()
            yield from lane.enter()
        begun, taken = False, 0
        try:
            if self._owes:
                yield from self._drain()
            self._check_open()
            frame = self._frames.encode(is_text, data, last)
            self._rest, begun, taken = frame, True, len(data)
            # As in _transmit(), whose frame would cost time.
            self._rest = yield from self._conn.sendall(frame)
        except BaseException as error:
            if begun:
                self._note_failure(error)
            if is_of_connection(error):
                raise self._broken(error) from error
            error.bytes_sent = taken  # type: ignore[attr-defined]
            raise
        finally:
            lane.free = None
            if lane.waiting:
                lane.wake()
            if self._owes and self._over is None:
                self._send_controls()

    def _broken(self, error: BaseException) -> WebSocketClosed:
        """Return what a send raises whose connection has failed."""
        return (self._over or End(LOST, str(error))).error(self._fd)

    # Pings.

    def ping(self, data: bytes | None = None, timeout_s: float | None = None) -> Operation[float]:
        """Send a ping and wait for the pong. Return how many seconds that took.

        `data`: the payload, at most 125 bytes; None for a random one. Pongs come in the order of all that the peer
        sends. So if no thread receives, and a message comes first, the pong waits behind it until the program has
        received this message. Raises WebSocketClosed; TimeoutError after `timeout_s` seconds; ValueError if the
        payload is too long, or a ping with it is on its way.
        """
        payload = unpredictable(8) if data is None else bytes(data)
        if len(payload) > CONTROL_MAX:
            raise ValueError(f"a ping has at most {CONTROL_MAX} bytes, not {len(payload)}")
        return within(timeout_s, self._ping_once, payload)

    @operation
    def _ping_once(self, payload: bytes) -> Generator[Any, None, float]:
        sending = self._sending
        while not sending.visit():
            self._check_open()
            yield from sending.changed()
        pong = Event()
        try:
            try:
                self._check_open()
                if payload in self._pings:
                    raise ValueError("a ping with this payload is on its way")
                self._pings[payload] = pong
                yield from self._drain()
                begun = self._now()
                yield from self._transmit(self._frames.control(PING, payload))
            except OSError as error:
                if is_of_connection(error):
                    raise self._broken(error) from error
                raise
            finally:
                sending.free = None
                sending.left()
                if self._owes and self._over is None:
                    self._send_controls()
            self._see_to_pongs()
            yield from pong.wait()
        finally:
            if self._pings.get(payload) is pong:
                del self._pings[payload]
        if self._over is not None:
            raise self._over.error(self._fd)
        return self._now() - begun

    def _see_to_pongs(self) -> None:
        """Have somebody receive while pings wait for their pongs."""
        if self.unattended:
            newthread(self.attend, name="websocket reader")

    # The end.

    @property
    def closed(self) -> bool:
        """Whether the WebSocket is closed, and its connection as well."""
        return self._over is not None

    @property
    def close_code(self) -> int | None:
        """The code of the first Close frame, the peer's or ours; 1005 if it has none; 1006 without a Close frame.

        None while there was none. After recv() has returned None, it tells why.
        """
        known = self._over or self._closing
        return None if known is None else known.code

    @property
    def close_reason(self) -> str:
        """The reason in the first Close frame, or what else has ended the WebSocket. "" if there is none."""
        known = self._over or self._closing
        return "" if known is None else known.reason

    def close(self, code: int = NORMAL, reason: str = "") -> Operation[None]:
        """Close: send a Close frame, wait for the peer's, and close the connection. Messages that come are dropped.

        If another thread receives, it still gets messages until the peer's Close frame comes. A second call waits for
        the same end. After `close_s` seconds the connection is closed anyway, also if this call was cancelled.
        Raises ValueError if the code cannot be sent, or the reason is longer than 123 bytes.
        """
        check_close(code, reason)
        return self._close(code, reason)

    @operation
    def _close(self, code: int, reason: str) -> Generator[Any, None, None]:
        self.leave(code, reason)
        yield from self._flush()
        while self._over is None:
            yield from self._attend(True)

    def abort(self) -> None:
        """Close the connection now, without a Close frame. Operations that wait raise WebSocketClosed."""
        self._finish(End(LOST, "closed by this program"))

    @operation
    def end(self, error: BaseException | None) -> Generator[Any, None, None]:
        """Close at the end of a block or handler, which has failed with `error`. For the other rooms of socket2."""
        yield from self._close(NORMAL if error is None else INTERNAL, "")

    def is_end(self, error: BaseException) -> bool:
        """Whether an error says that this WebSocket is closed. For the other rooms of socket2."""
        return self._over is not None and getattr(error, "socket_fd", None) == self._fd

    @operation
    def _part_quickly(self, error: BaseException | None) -> Generator[Any, None, None]:
        try:
            with move_on_after(_PART_S):
                self.leave(NORMAL if error is None else INTERNAL)
                yield from self._flush()
        finally:
            self._finish(self._closing or End(LOST, "closed by this program"))

    def _stopped(self) -> None:
        self._message = None
        self._watcher.disarm()
        super()._stopped()

    def _watch(self) -> None:
        self._watcher.limit_the_end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._over is not None:
            return
        if kind is None or issubclass(kind, Exception):
            newthread(self._part_quickly(error), name="websocket close")
        else:
            self.abort()

    @operation
    def __aenter__(self) -> Generator[Any, None, Self]:
        yield from ()
        return self

    @operation
    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> Generator[Any, None, None]:
        if kind is None or issubclass(kind, Exception):
            yield from self.end(error)
        else:
            self.abort()

    def __repr__(self) -> str:
        state = "closed" if self._over is not None else "closing" if self._closing is not None else "open"
        return f"<WebSocket, {state}, over {self._conn!r}>"
