"""The lifespan of an ASGI application: what it does before its server accepts, and after all connections have ended.

It is one long call of the application, in a thread of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, MutableMapping
from typing import Any, Literal, TypeAlias

from pollers import Operation, operation

from ...threads.coroutines import name_of
from ...threads.events import Event
from ...threads.journal import Journal
from ...threads.loop import newthread
from ...threads.scope import move_on_after
from ...threads.thread import Thread
from ...threads.timers import duration
from .isolated import NOW, Isolated
from .otherloops import NEEDS_ASYNCIO, needs_asyncio

Message: TypeAlias = MutableMapping[str, Any]
Mode: TypeAlias = Literal["auto", "on", "off"]

log = Journal("socket2.http.server")

_VERSION = {"version": "3.0", "spec_version": "2.0"}


class LifespanError(RuntimeError):
    """The startup of an application failed, or its shutdown."""


class Lifespan:
    """The lifespan of one application. `state`: what it gives to the scopes of its requests; None if it has none.

    `needed`: whether an application that does not know lifespans is an error. A server calls startup() before it
    listens, and shutdown() when it has ended, in the same process.
    """

    def __init__(self, app: Callable[..., Any], needed: bool) -> None:
        self._app = app
        self._name = name_of(app) or type(app).__qualname__
        self._needed = needed
        self.state: dict[str, Any] | None = None
        self._thread: Thread[None] | None = None

    def startup(self) -> Operation[None]:
        """Let the application start. Raises LifespanError if it fails.

        An application that does not know lifespans is served without. A cancellation ends its thread.
        """
        if self._thread is not None:
            raise RuntimeError("this application has started already")
        return self._startup()

    @operation
    def _startup(self) -> Generator[Any, None, None]:
        self._asked = self._told = self._complete = False
        self._failed: str | None = None
        self._error: Exception | None = None
        self._started, self._stopping, self._ended = Event(), Event(), Event()
        state: dict[str, Any] = {}
        thread = self._thread = newthread(self._live, state, name=f"lifespan of {self._name}")
        try:
            yield from self._started.wait()
            if self._complete:
                self.state = state
                return
            thread.cancel()  # usually it has ended
            yield from self._ended.wait()
        except BaseException:
            self._thread = None
            thread.cancel()
            yield from self._ended.wait()
            raise
        self._thread = None
        self._explain()

    def _live(self, state: dict[str, Any]) -> Generator[Any, None, None]:
        """Be the thread of the application."""
        scope = {"type": "lifespan", "asgi": _VERSION, "state": state}
        try:
            yield from Isolated(self._app(scope, self._receive, self._send))
        except (Exception, SystemExit) as error:
            if self._complete and not self._stopping.is_set():
                self._log("failed while its server ran", error)
            else:
                self._error = error if isinstance(error, Exception) else LifespanError(f"it raised {error!r}")
        finally:
            self._started.set()
            self._ended.set()

    def _explain(self) -> None:
        """Raise why the application has not started, unless it does not know lifespans and need not."""
        error, self._error = self._error, None
        try:
            if error is not None and needs_asyncio(error):
                raise LifespanError(NEEDS_ASYNCIO) from error
            if self._failed is not None:
                raise LifespanError(f"the startup of the application failed: {self._failed}") from error
            if self._needed:
                raise LifespanError("the application does not know lifespans") from error
            if error is not None and self._asked:
                self._log("failed, and the application is served without it", error)
        finally:
            del error  # its traceback may have this frame: avoid a cycle

    def shutdown(self, grace_s: float) -> Operation[None]:
        """Let the application shut down. If it fails, that is logged. After `grace_s` seconds its thread is cancelled.

        A cancellation cancels its thread, too.
        """
        return self._shutdown(duration(grace_s))

    @operation
    def _shutdown(self, grace_s: float) -> Generator[Any, None, None]:
        thread, self._thread, self.state = self._thread, None, None
        if thread is None:
            return
        self._stopping.set()
        try:
            with move_on_after(grace_s):
                yield from self._ended.wait()
        finally:
            in_time = not thread.cancel()
        if not in_time:
            yield from self._ended.wait()
            self._log(f"has not ended within {grace_s:g} s", None)
        elif self._failed is not None:
            self._log(f"has not ended well: {self._failed}", self._error)
        elif self._error is not None:
            self._log("failed at its end", self._error)
        self._error = None

    @operation
    def _receive(self) -> Generator[Any, None, Message]:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        yield from self._stopping.wait()
        if self._told:
            yield from Event().wait()  # there is nothing more to come
        self._told = True
        return {"type": "lifespan.shutdown"}

    def _send(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        stage = "shutdown" if self._complete else "startup"
        if kind == f"lifespan.{stage}.failed":
            self._failed = str(message.get("message", "")) or "no reason is given"
        elif kind != f"lifespan.{stage}.complete":
            raise ValueError(f"{kind!r} is no message of an application that is in its {stage}")
        else:
            self._complete = True
        self._started.set()
        return NOW

    def _log(self, what: str, error: BaseException | None) -> None:
        log.error("the lifespan of %s %s", self._name, what, error=error, about={})
