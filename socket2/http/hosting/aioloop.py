"""An application that needs asyncio: its calls run in asyncio's event loop, in an OS thread beside ours.

What it receives and sends crosses between the two loops, each time through a portal and back. That is slow, but every
application works. Only this module knows asyncio.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, TypeVar, cast

from pollers import Operation, operation

from ...threads.events import Event
from ...threads.osthreads import call_in_thread
from ...threads.portal import portal
from .lifespan import Lifespan

F = TypeVar("F", bound=Callable[..., Any])


class AsyncioLoop:
    """asyncio's loop in an OS thread of its own, from start() to stop()."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="socket2 asyncio", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        loop = self.loop
        asyncio.set_event_loop(loop)
        try:
            while not self._stopping:
                with suppress(SystemExit, KeyboardInterrupt):  # of a task, which has it as its outcome, too
                    loop.run_forever()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    def stop(self) -> Operation[None]:
        """Cancel its tasks, and wait until it has ended."""
        self._stopping = True
        self.loop.call_soon_threadsafe(self.loop.stop)
        return call_in_thread(self._thread.join)


class _Crossing(Coroutine[Any, Any, Any]):
    """The wait for a future, as a coroutine: applications make tasks of what receive() returns."""

    def __init__(self, future: asyncio.Future[Any], delivered: Callable[[], None] | None = None) -> None:
        """`delivered`: called when a task takes the outcome. A task that is cancelled just then does not."""
        self._steps: Any = future.__await__()
        self._delivered = delivered

    def __await__(self) -> Generator[Any, Any, Any]:
        return cast("Generator[Any, Any, Any]", self)

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        try:
            return self._steps.send(value)
        except BaseException:
            if self._delivered is not None:
                self._delivered()
            raise

    def throw(self, *error: Any) -> Any:
        return self._steps.throw(*error)

    def close(self) -> None:
        self._steps.close()


def _marked(function: F) -> F:
    """Say that a function returns a coroutine. Adapters of asgiref ask for that."""
    mark: Any = getattr(inspect, "markcoroutinefunction", None)
    if mark is None:  # before Python 3.12
        vars(function)["_is_coroutine"] = vars(asyncio.coroutines)["_is_coroutine"]
    else:
        mark(function)
    return function


class _Call:
    """One call of an application. All methods but the first two run in asyncio's loop."""

    def __init__(self, way: portal, loop: asyncio.AbstractEventLoop, receive: Any, send: Any) -> None:
        self._way = way
        self._loop = loop
        self._receive = receive
        self._send = send
        self._pending: asyncio.Future[Any] | None = None  # a receive
        self._held: list[Any] = []  # the head of an answer, which is sent with the first piece of the body
        self._task: asyncio.Future[Any] | None = None
        self._cancelled = False
        self.error: BaseException | None = None
        self.ended = Event()

    def cancel(self) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._cancel)

    def begin(self, app: Callable[..., Any], scope: dict[str, Any]) -> None:
        try:
            self._task = asyncio.ensure_future(app(scope, self.receive, self.send), loop=self._loop)
            self._task.add_done_callback(self._end)
            if self._cancelled:
                self._task.cancel()
        except Exception as error:
            self.error = error
            self.ended.set()

    def _cancel(self) -> None:
        self._cancelled = True
        if self._task is not None:
            self._task.cancel()

    def _end(self, task: asyncio.Future[Any]) -> None:
        self._task = None
        if self._pending is not None:
            self._pending.cancel()
        try:
            self.error = asyncio.CancelledError("a task was cancelled") if task.cancelled() else task.exception()
        finally:
            self.ended.set()

    @_marked
    def receive(self) -> Awaitable[Any]:
        """Receive a message. If the task is cancelled meanwhile, the next receive gets it."""
        if self._pending is None:
            self._pending = self._cross(self._receive)
        return _Crossing(asyncio.shield(self._pending), self._received)

    def _received(self) -> None:
        self._pending = None

    @_marked
    def send(self, message: Any) -> Awaitable[None]:
        if message["type"] == "http.response.start" and not self._held:
            self._held.append(message)
            done = self._loop.create_future()
            done.set_result(None)
            return _Crossing(done)
        messages, self._held = [*self._held, message], []
        return _Crossing(self._cross(lambda: _send_all(self._send, messages)))

    def _cross(self, begin: Callable[[], Any]) -> asyncio.Future[Any]:
        """Make an operation in our loop. Return a future of its outcome."""
        try:
            return asyncio.wrap_future(self._way.spawn(begin), loop=self._loop)
        except RuntimeError as error:
            raise ConnectionAbortedError("the client has gone") from error


def _send_all(send: Any, messages: list[Any]) -> Generator[Any, None, None]:
    for message in messages:
        yield from send(message).__await__()


class InAsyncio:
    """Makes an application that runs in our threads of one that needs asyncio. `loop`: set while it can be called."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app
        self.__qualname__ = getattr(app, "__qualname__", type(app).__qualname__)
        self.loop: AsyncioLoop | None = None

    @operation
    def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Generator[Any, None, None]:
        if self.loop is None:
            raise RuntimeError("asyncio does not run yet: call startup() of the handler's lifespan first")
        loop = self.loop.loop
        with portal() as way:
            call = _Call(way, loop, receive, send)
            loop.call_soon_threadsafe(call.begin, self._app, scope)
            try:
                yield from call.ended.wait()
            finally:
                call.cancel()
            error, call.error = call.error, None
        try:
            if error is not None:
                raise error if isinstance(error, Exception) else RuntimeError(f"the application raised {error!r}")
        finally:
            del error


class LifespanWithLoop:
    """The lifespan of an application in asyncio: that of the loop, and within it the application's own, if any."""

    def __init__(self, app: InAsyncio, inner: Lifespan | None) -> None:
        self._app = app
        self._inner = inner

    @property
    def state(self) -> dict[str, Any] | None:
        return self._inner.state if self._inner is not None else None

    @operation
    def startup(self) -> Generator[Any, None, None]:
        """Start the loop, and let the application start. Raises as Lifespan.startup() does."""
        if self._app.loop is not None:
            raise RuntimeError("this application has started already")
        self._app.loop = AsyncioLoop()
        try:
            if self._inner is not None:
                yield from self._inner.startup()
        except BaseException:
            yield from self._stop()
            raise

    @operation
    def shutdown(self, grace_s: float) -> Generator[Any, None, None]:
        """Let the application shut down, as Lifespan.shutdown() does, and end the loop."""
        try:
            if self._inner is not None:
                yield from self._inner.shutdown(grace_s)
        finally:
            yield from self._stop()

    def _stop(self) -> Generator[Any, None, None]:
        loop, self._app.loop = self._app.loop, None
        if loop is not None:
            yield from loop.stop()
