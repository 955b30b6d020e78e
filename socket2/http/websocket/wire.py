"""The two directions of a WebSocket: who moves its bytes, what is answered without the program, and how it ends.

Whoever holds the lane of a direction moves its bytes. Who reads finds control frames, too, but never waits to send
their answers: the writer of the moment takes them along, or else a thread that ends when they are sent. No more is
decoded than was asked for; while nobody asks, one fragment at most. Nothing here waits without an end once a Close
frame was sent or received: _watch() is told, and the connection is closed when the time is up.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pollers import Busy, Unique, operation

from ...sockets.tcp import TCP
from ...streams.buffer import BLOCK
from ...streams.stream import Stream
from ...streams.transport import AnyByteStream
from ...threads.loop import newthread
from ...threads.scheduler import current_scheduler
from ...threads.scope import move_on_after
from ...threads.thread import over_at_once
from ...threads.wait import alike
from ...tls.lane import Lane
from ...tls.layer import TLS
from .closing import LOST, Close, End, Violation, WebSocketClosed, shortened
from .codec import PING, PONG, Control, Fragment, Frames

if TYPE_CHECKING:
    from ...threads.events import Event

# How long a peer has to close the connection after both Close frames, or after ours if it has broken the protocol.
_LINGER_S = 2.0

# How many pings may wait for their answers. Of more, the latest are answered (RFC 6455, 5.5.3).
_PONGS_MAX = 64


class Wire(Unique):
    """What a WebSocket is made of."""

    def __init__(self, conn: AnyByteStream, received: bytes, frames: Frames, is_client: bool) -> None:
        self._conn: Any = conn if isinstance(conn, (TCP, TLS, Stream)) else Stream(conn)
        self._conn.settimeout(None)
        self._fd = conn.fileno()
        self._frames = frames
        if received:
            frames.receive(received)
        self._is_client = is_client
        self._receiving = Lane("receiving from", "WebSocket")
        self._sending = Lane("sending to", "WebSocket")
        # These belong to whoever holds the lane for receiving.
        self._ahead: Fragment | None = None  # was received while nobody asked
        self._met_control = False  # whether the latest frame was a control frame, after which others may run
        self._ending: End | None = None  # the end has come, but there is something left to do
        # These belong to whoever holds the lane for sending.
        self._rest: bytes | memoryview | None = None  # of a frame whose send was interrupted
        self._unsent: End | None = None  # the connection takes no more
        # Any thread may change these.
        self._pongs: deque[bytes] = deque(maxlen=_PONGS_MAX)  # the payloads of pings that were not answered
        self._ping: bytes | None = None  # of a ping that was not sent
        self._farewell: bytes | None = None  # a Close frame that was not sent
        self._flusher = False  # whether a thread is about to send these
        self._closing: End | None = None  # what the first Close frame says, ours or the peer's
        self._over: End | None = None  # all is done
        self._pings: dict[bytes, Event] = {}  # that wait for their pongs
        self._now = current_scheduler().now
        self.heard_at = self._now()

    # Receiving. The caller holds the lane.

    def _at_hand(self) -> Fragment | None:
        """Return the next fragment if it has come. If not, or after each control frame, None: then call _more()."""
        fragment = self._ahead
        if fragment is not None:
            self._ahead = None
            return fragment
        if self._over is not None or self._ending is not None:
            return None
        try:
            event = self._frames.next()
        except Violation as error:
            self._fail(error.code, error.reason)
            return None
        if isinstance(event, Fragment):
            return event
        if isinstance(event, Control):
            self._met_control = True
            self._take(event)
        elif event is not None:
            self._answer(event)
        return None

    def _more(self) -> Generator[Any, None, None]:
        """Do what must be done before there can be another fragment. Raises WebSocketClosed at the end."""
        if self._over is not None:
            raise self._over.error(self._fd)
        if self._ending is not None:
            yield from self._end(self._ending)
            return
        if self._met_control:
            self._met_control = False
            if (turn := over_at_once()) is not None:
                yield from turn.wait()
            return
        try:
            data = yield from self._conn.recv(BLOCK)
        except OSError as error:
            if not is_of_connection(error):
                raise
            self._lose(str(error), error)
            return
        if data:
            self.heard_at = self._now()
            self._frames.receive(data)
        else:
            self._lose("the connection has ended")

    def _take(self, control: Control) -> None:
        if control.is_ping:
            if self._closing is None:
                self._pongs.append(control.data)
                self._send_controls()
        elif control.data in self._pings:
            for data in list(self._pings):  # the ones before it have been answered as well
                self._pings[data].set()
                if data == control.data:
                    break

    # The end. Only who holds the lane for receiving finds it.

    def _answer(self, close: Close) -> None:
        """The peer has sent a Close frame."""
        if self._closing is None:
            self._closing = End(close.code, close.reason, by_peer=True)
            self._farewell = self._frames.close(close)
            self._watch()
        self._ending = self._closing

    def _fail(self, code: int, reason: str) -> None:
        """The peer has broken the protocol, or a limit. Nothing that it sends counts any more."""
        self._ending = End(code, reason)
        if self._closing is None:
            self._closing = self._ending
            self._farewell = self._frames.close(Close(code, shortened(reason)))
            self._watch()

    def _end(self, ending: End) -> Generator[Any, None, None]:
        """Send the Close frame if it is still to be sent, and wait until the peer closes the connection."""
        sending = self._sending
        while self._over is None and not sending.visit():
            yield from sending.changed()
        if self._over is None:
            try:
                yield from self._part()
            finally:
                sending.free = None
                sending.left()
        self._finish(ending)

    def _part(self) -> Generator[Any, None, None]:
        """Do this with both lanes. The server closes the connection first. RFC 6455, 7.1.1."""
        conn = self._conn
        try:
            yield from self._drain()
            if self._is_client:
                with move_on_after(_LINGER_S):
                    while (yield from conn.recv(BLOCK)):
                        pass
            yield from (conn if isinstance(conn, Stream) else Stream(conn)).finish(_LINGER_S)
        except OSError as error:
            if not is_of_connection(error) and not conn.closed:
                raise

    def _lose(self, reason: str, cause: BaseException | None = None) -> None:
        """The connection has failed or ended."""
        ending = self._ending
        if ending is None:
            closing = self._closing
            ending = (
                closing
                if closing is not None and closing.by_peer
                else End(LOST, reason, cause=cause and without_traceback(cause))
            )
        self._finish(ending)

    def _finish(self, ending: End) -> None:
        """Note the end, close the connection and wake whoever waits. A second call changes nothing."""
        if self._over is None:
            self._over = ending
            self._ahead = None
            self._pongs.clear()
            self._ping = self._farewell = None
            self._stopped()
        for pong in list(self._pings.values()):
            pong.set()
        self._conn.close()
        self._receiving.wake()
        self._sending.wake()

    def _stopped(self) -> None:
        """Called at the end, once."""

    def _watch(self) -> None:
        """Called when a Close frame is to be sent."""

    @operation
    def _attend(self, drop: bool) -> Generator[Any, None, None]:
        """Receive as a guest what comes next, and keep it, or `drop` it. Wait if another thread receives."""
        receiving = self._receiving
        if not receiving.visit():
            yield from receiving.changed()
            return
        try:
            if self._ahead is None and self._over is None:
                fragment = self._at_hand()
                if fragment is None:
                    yield from self._more()
                else:
                    self._ahead = fragment
            if drop:
                self._ahead = None
                self._frames.joined = 0
        except WebSocketClosed:
            pass
        finally:
            receiving.free = None
            receiving.left()

    def attend(self) -> Generator[Any, None, None]:
        """Be a thread that receives while the program does not, until there is something for the program."""
        while self.unattended:
            yield from self._attend(False)

    # Sending.

    @operation
    def _flush(self) -> Generator[Any, None, None]:
        """Send as a guest what the program has not asked for, or see that another thread does. OSErrors are ignored."""
        sending = self._sending
        while self._owes and self._over is None:
            if not sending.visit():
                yield from sending.changed()
                continue
            try:
                yield from self._drain()
            except OSError as error:
                if not is_of_connection(error):
                    raise
            finally:
                sending.free = None
                sending.left()

    @property
    def _owes(self) -> bool:
        """Whether there is something to send that the program does not wait for."""
        return self._rest is not None or self._farewell is not None or self._ping is not None or bool(self._pongs)

    def _send_controls(self) -> None:
        """Have control frames sent, by a thread unless one is sending."""
        if not self._sending.taken and not self._flusher:
            self._flusher = True
            newthread(self._be_flusher, name="websocket control")

    def _be_flusher(self) -> Generator[Any, None, None]:
        try:
            yield from self._flush()
        finally:
            self._flusher = False
        if self._owes and self._over is None:  # another OS thread has just added it
            self._send_controls()

    def _drain(self) -> Generator[Any, None, None]:
        """Send what is left of an interrupted send, and control frames. The caller holds the lane."""
        while self._owes:
            if self._rest is not None:
                yield from self._transmit(self._rest)
            frames = self._frames
            pieces = []
            while self._pongs:
                pieces.append(frames.control(PONG, self._pongs.popleft()))
            if self._ping is not None:
                payload, self._ping = self._ping, None
                pieces.append(frames.control(PING, payload))
            if self._farewell is not None:
                farewell, self._farewell = self._farewell, None
                pieces.append(farewell)
            if pieces:
                yield from self._transmit(b"".join(pieces))

    def _transmit(self, data: bytes | memoryview) -> Generator[Any, None, None]:
        """Send whole frames. What an interruption leaves goes out before anything else. The caller holds the lane.

        If the connection has failed, nothing is left, and all later sends raise the same error.
        """
        self._rest = data
        try:
            # Its result is None: nothing is left. No signal handler can come between the two.
            self._rest = yield from self._conn.sendall(data)
        except BaseException as error:
            self._note_failure(error)
            raise

    def _note_failure(self, error: BaseException) -> None:
        """Note what is left of a frame after an error in its send."""
        rest = self._rest
        if is_of_connection(error):
            self._rest = self._ping = self._farewell = None
            self._pongs.clear()
            self._unsent = End(LOST, str(error), cause=without_traceback(error))
        elif rest is not None:
            self._rest = memoryview(rest)[getattr(error, "bytes_sent", 0) :]

    def _check_open(self) -> None:
        """Raise WebSocketClosed if nothing can be sent any more."""
        why = self._over or self._closing or self._unsent
        if why is not None:
            raise why.error(self._fd)

    def leave(self, code: int, reason: str = "") -> None:
        """Begin to close, unless that has begun. The program may receive what the peer sends until it answers."""
        if self._closing is None and self._over is None:
            self._closing = End(code, reason, wanted=True)
            self._farewell = self._frames.close(Close(code, reason))
            self._watch()
            self._send_controls()

    # What the watch asks.

    @property
    def over(self) -> bool:
        return self._over is not None

    @property
    def ahead(self) -> bool:
        """Whether something waits for the program, so that no more is received."""
        return self._ahead is not None

    @property
    def unattended(self) -> bool:
        """Whether nobody receives, although there is room."""
        return self._over is None and self._ahead is None and not self._receiving.taken

    def send_ping(self, payload: bytes) -> None:
        """Have a ping sent, unless one could not be sent yet, or the end is near."""
        if self._ping is None and self._closing is None:
            self._ping = payload
            self._send_controls()

    def give_up(self, reason: str) -> None:
        """Close the connection now."""
        self._lose(reason)


def is_of_connection(error: BaseException) -> bool:
    """Whether the connection has failed, and not only a deadline of the program has expired."""
    if isinstance(error, TimeoutError):
        return error.errno == errno.ETIMEDOUT
    return isinstance(error, OSError) and not isinstance(error, (Busy, WebSocketClosed))


def without_traceback(error: BaseException) -> BaseException:
    """Return a copy to keep. A traceback would hold the frames whose `self` keeps it."""
    return alike(error).with_traceback(None)
