"""http.asgi(): an ASGI 3 application as a handler of requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

from ..serving.request import Request
from ..websocket.terms import MAX_BYTES
from ..websocket.upgrade import wants_websocket
from .connectionscope import http_scope, websocket_scope
from .cycle import Cycle
from .dialogue import Dialogue
from .isolated import Isolated
from .lifespan import Lifespan, Mode
from .mount import admit, checked_root
from .otherloops import NEEDS_ASYNCIO, needs_asyncio

if TYPE_CHECKING:
    from .aioloop import LifespanWithLoop

Application: TypeAlias = Callable[[dict[str, Any], Callable[[], Any], Callable[[Any], Any]], Awaitable[None]]


class asgi:
    """Make a handler of an ASGI 3 application: `http.serve(http.asgi(app), "localhost:8000")`.

    Each request is a call of `app` in the thread of its connection, with contextvars of its own. So `app` may await
    operations of socket2, but it cannot use asyncio or anyio: it would get an error that says so. `root_path`: the path
    that the application is mounted at, such as "/shop"; a proxy may have removed it from the path.

    `asyncio`: run `app` in an event loop of asyncio instead, in one OS thread beside ours. What it receives and sends
    crosses between the two, which takes time, but every application works. It starts and ends with the lifespan.

    `lifespan`: "auto", "on" or "off": whether `app` is called for its startup before the server listens, and for its
    shutdown at the end. "on": an application that does not know lifespans is an error. If the startup fails, serving
    raises http.LifespanError. serve(), http.serve() and workers do all that; with a Server of your own, call
    `lifespan.startup()` and `lifespan.shutdown(grace_s)` of the handler.

    `max_message_bytes`: how long a message of a WebSocket may be, None for no limit; `compress`: whether messages are
    compressed if the client can. Which pages may open a WebSocket is for the application to say: it sees Origin.

    Raises TypeError if `app` is not callable; ValueError for a `root_path` that does not begin with "/", or if there is
    no such `lifespan`.
    """

    def __init__(
        self,
        app: Application,
        *,
        root_path: str = "",
        lifespan: Mode = "auto",
        asyncio: bool = False,
        max_message_bytes: int | None = MAX_BYTES,
        compress: bool = True,
    ) -> None:
        if not callable(app):
            raise TypeError(f"an ASGI application must be callable, not {app!r}")
        if lifespan not in ("auto", "on", "off"):
            raise ValueError(f"lifespan must be 'auto', 'on' or 'off', not {lifespan!r}")
        self._app = app
        self._root = checked_root(root_path)
        self._in_asyncio = asyncio
        self._max_message_bytes = max_message_bytes
        self._compress = compress
        if asyncio:
            from .aioloop import InAsyncio, LifespanWithLoop  # other applications do not need asyncio

            self._app = in_asyncio = InAsyncio(app)
        self.lifespan: Lifespan | LifespanWithLoop | None = None
        if lifespan != "off":
            self.lifespan = Lifespan(self._app, lifespan == "on")
        if asyncio:
            self.lifespan = LifespanWithLoop(in_asyncio, self.lifespan)
        self.__qualname__ = getattr(app, "__qualname__", type(app).__qualname__)

    def __call__(self, request: Request) -> Generator[Any, None, None]:
        head = request.head
        admit(head, request.body_limit)
        if head.upgrade is not None and wants_websocket(head):
            yield from self._converse(request)
            return
        cycle = Cycle(request.exchange)
        state = self.lifespan.state if self.lifespan is not None else None
        try:
            yield from Isolated(self._app(http_scope(request, self._root, state), cycle.receive, cycle.send))
        except (Exception, SystemExit) as error:
            if cycle.waiting:
                yield from cycle.settle()
            if isinstance(error, SystemExit):
                raise RuntimeError("the application raised SystemExit") from error
            if not self._in_asyncio and needs_asyncio(error):
                raise RuntimeError(NEEDS_ASYNCIO) from error
            if cycle.works():
                raise
        else:
            if cycle.waiting:
                yield from cycle.settle()
        cycle.check()

    def _converse(self, request: Request) -> Generator[Any, None, None]:
        """Be the handler of a request for a WebSocket."""
        dialogue = Dialogue(request, self._max_message_bytes, self._compress)
        state = self.lifespan.state if self.lifespan is not None else None
        scope = websocket_scope(request, self._root, state, dialogue.subprotocols)
        try:
            yield from Isolated(self._app(scope, dialogue.receive, dialogue.send))
        except Exception as error:
            if not self._in_asyncio and needs_asyncio(error):
                raise RuntimeError(NEEDS_ASYNCIO) from error
            if not dialogue.caused(error):
                raise
        except SystemExit as error:
            raise RuntimeError("the application raised SystemExit") from error
        dialogue.check()
