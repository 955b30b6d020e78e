"""http.wsgi(): a WSGI application as a handler of requests.

An application blocks, so it runs in an OS thread, from its call to the end of its iterable: some applications keep a
database connection for each OS thread. Small bodies are received before, so slow clients do not occupy OS threads.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterable
from contextvars import copy_context
from tempfile import SpooledTemporaryFile
from typing import IO, Any, TypeAlias

from pollers import operation

from ...threads.capacity import CapacityLimiter
from ...threads.osthreads import call_in_thread
from ...threads.portal import portal
from ...threads.scheduler import current_scheduler
from ..messages.incoming import BLOCK
from ..serving.request import Request
from .bridge import Bridge, Incoming, UnreadableBody
from .environ import environ_of, file_of
from .mount import admit, checked_root
from .replying import Reply, octets
from .sending import Whole, begin, send_file

Application: TypeAlias = Callable[[dict[str, Any], Any], Iterable[bytes]]

# Bodies up to this size are received before the application is called.
_READ_FIRST_MAX = 64 * 1024

# In the loop, larger bodies go to a file while they are received.
_IN_MEMORY_MAX = 1024 * 1024


def wsgi(
    app: Application, *, limiter: CapacityLimiter | None = None, in_loop: bool = False, root_path: str = ""
) -> Callable[[Request], Generator[Any, None, None]]:
    """Make a handler of a WSGI application: `http.serve(http.wsgi(app), "localhost:8000")`.

    Each request is handled in an OS thread, as with call_in_thread(): at most 32 at a time, or as many as `limiter`
    allows. `in_loop`: call `app` in the thread of the connection instead, where it delays all others; the whole body is
    received before. This is for applications that never block, and for servers with `workers` or `members`.
    `root_path`: SCRIPT_NAME, the path that the application is mounted at, such as "/shop"; a proxy may have removed it
    from the path.

    If the client goes away, reads of wsgi.input and calls of write() raise OSError, and close() of the iterable is
    called. Raises TypeError if `app` is not callable; ValueError for a `root_path` that does not begin with "/".
    """
    if not callable(app):
        raise TypeError(f"a WSGI application must be callable, not {app!r}")
    root = checked_root(root_path)
    answer = _in_loop if in_loop else _in_os_thread

    def hosted(request: Request) -> Generator[Any, None, None]:
        admit(request.head, request.body_limit)
        shared = not in_loop or current_scheduler().crew is not None
        environ = environ_of(request, root, multithread=shared)
        return answer(app, environ, request, limiter)

    hosted.__qualname__ = getattr(app, "__qualname__", type(app).__qualname__)
    return hosted


@operation
def _received(request: Request) -> Generator[Any, None, IO[bytes]]:
    """Receive the whole body of a request."""
    size = request.head.body
    body: IO[bytes] = io.BytesIO() if 0 <= size <= _IN_MEMORY_MAX else SpooledTemporaryFile(_IN_MEMORY_MAX)  # noqa: SIM115
    try:
        while True:  # see threads/lock.py
            data = yield from request.recv()
            if not data:
                break
            body.write(data)
        body.seek(0)
    except BaseException:
        body.close()
        raise
    return body


# In an OS thread.


def _in_os_thread(
    app: Application, environ: dict[str, Any], request: Request, limiter: CapacityLimiter | None
) -> Generator[Any, None, None]:
    size = request.head.body
    body: IO[bytes] | None = None
    if size == 0:
        body = io.BytesIO()
    elif 0 < size <= _READ_FIRST_MAX and not request.head.expects_continue:
        body = io.BytesIO((yield from request.read()))
    with portal() as way:
        bridge = Bridge(way)
        environ["wsgi.input"] = body or io.BufferedReader(Incoming(bridge, request.recv), BLOCK)
        run = _Run(app, environ, request, bridge)
        try:
            whole = yield from call_in_thread(run.make, limiter=limiter)
            yield from bridge.settled()
        except UnreadableBody as error:
            raise error.reason from None
        except Exception as error:
            if request.exchange.broken and not isinstance(error, OSError):
                raise ConnectionAbortedError("the client has gone") from error
            raise
    if whole is not None:
        yield from whole.send(request.exchange)


class _Run(Reply):
    """One call of an application, in an OS thread."""

    def __init__(self, app: Application, environ: dict[str, Any], request: Request, bridge: Bridge) -> None:
        super().__init__()
        self._app = app
        self._environ = environ
        self._exchange = request.exchange
        self._bridge = bridge

    def make(self) -> Whole | None:
        """Call the application, and send its answer. If it is known as a whole, return it instead."""
        try:
            return self._make()
        except UnreadableBody:
            raise
        except BaseException as error:
            _settle_quietly(self._bridge)
            if isinstance(error, Exception):
                raise
            raise RuntimeError(f"the application raised {type(error).__name__}") from error

    def _make(self) -> Whole | None:
        result = self._app(self._environ, self.start_response)
        try:
            if isinstance(result, (list, tuple)) and not self.begun:
                return Whole(self.status, self.started(), b"".join(map(octets, result)))
            if not self.begun and (file := file_of(result, self.status)) is not None:
                exchange, status, fields = self._exchange, self.status, self.started()
                self.begun = True
                self._bridge.call(lambda: send_file(exchange, status, fields, *file))
                return None
            for data in result:
                if octets(data):
                    self.write(data)
            return None if self.begun else Whole(self.status, self.started(), b"")
        finally:
            if hasattr(result, "close"):
                result.close()

    def write(self, data: bytes) -> None:
        """Send a piece of the body, behind the head if it is the first one."""
        exchange, status, fields = self._exchange, self.status, self.started()
        octets(data)
        if self.begun:
            self._bridge.send(lambda: exchange.send(data))
        else:
            self._bridge.send(lambda: begin(exchange, status, fields, data))
        self.begun = True


def _settle_quietly(bridge: Bridge) -> None:
    """Wait until what was begun has ended, in whatever way. Another error is on its way."""
    try:
        bridge.settle()
    except Exception:
        pass


# In the loop.


def _in_loop(
    app: Application, environ: dict[str, Any], request: Request, limiter: CapacityLimiter | None
) -> Generator[Any, None, None]:
    with (yield from _received(request)) as body:
        environ["wsgi.input"] = body
        try:
            yield from _call(app, environ, request)
        except SystemExit as error:
            raise RuntimeError("the application raised SystemExit") from error


class _Collected(Reply):
    """An answer that cannot be sent while the application runs."""

    __slots__ = ("pieces",)

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(octets(data))

    def take(self) -> bytes:
        data = b"".join(self.pieces)
        self.pieces.clear()
        return data


def _call(app: Application, environ: dict[str, Any], request: Request) -> Generator[Any, None, None]:
    """Call an application, and send its answer. What it gives to write() is sent behind its next piece."""
    reply = _Collected()
    exchange = request.exchange
    context = copy_context()  # the next request of this connection does not see what the application sets
    result = context.run(app, environ, reply.start_response)
    try:
        if isinstance(result, (list, tuple)) and not reply.pieces:
            yield from Whole(reply.status, reply.started(), b"".join(map(octets, result))).send(exchange)
            return
        if not reply.pieces and (file := file_of(result, reply.status)) is not None:
            yield from send_file(exchange, reply.status, reply.started(), *file)
            return
        pieces = context.run(iter, result)
        while True:  # see threads/lock.py
            piece = context.run(next, pieces, None)
            if piece is None:
                break
            reply.write(piece)
            data = reply.take()
            if not data:
                continue
            fields, begun = reply.started(), reply.begun
            reply.begun = True
            yield from exchange.send(data) if begun else begin(exchange, reply.status, fields, data)
        data = reply.take()
        if not reply.begun:
            yield from Whole(reply.status, reply.started(), data).send(exchange)
        elif data:
            yield from exchange.send(data)
    finally:
        if hasattr(result, "close"):
            context.run(result.close)
