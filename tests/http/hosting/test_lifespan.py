"""The lifespan of ASGI applications: before the server listens, and after all connections have ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

import socket2
from socket2 import http

from ...garbage import left_by
from ...interop.peers import run
from ..scene import ask
from ..test_server import GET
from .test_asgi import Scope, hello
from .test_wsgi import HELLO

Note = Callable[[str], None]


class App:
    """Notes what it is asked for. `startup` and `shutdown`: what it sends, or raises."""

    def __init__(self, startup: Any = None, shutdown: Any = None) -> None:
        self.seen: list[str] = []
        self._answers = {"startup": startup, "shutdown": shutdown}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.seen.append(f"request {scope.get('state')}")
            await hello(scope, receive, send)
            return
        scope["state"]["one"] = 1
        for stage in ("startup", "shutdown"):
            message = await receive()
            assert message == {"type": f"lifespan.{stage}"}
            self.seen.append(stage)
            answer = self._answers[stage]
            if isinstance(answer, Exception):
                raise answer
            await send(answer or {"type": f"lifespan.{stage}.complete"})
        self.seen.append("end")


def serve(app: Any, ready: Any = None, **options: Any) -> None:
    """Serve one request, then stop."""

    async def once(server: socket2.Server) -> None:
        assert await ask(server, GET) == HELLO
        await server.stop()

    async def main() -> int:
        answer = http.handler(http.asgi(app, **options))
        return await socket2.serve(answer, "127.0.0.1", 0, ready=ready or once, grace_s=0.2)

    assert run(main) == 0


def test_before_and_after_the_connections() -> None:
    app = App()
    serve(app, lifespan="on")
    assert app.seen == ["startup", "request {'one': 1}", "shutdown", "end"]
    serve(app)
    assert app.seen[4:] == app.seen[:4]


def test_an_application_is_not_asked() -> None:
    app = App()
    serve(app, lifespan="off")
    assert app.seen == ["request None"]


async def knows_none(scope: Scope, receive: Any, send: Any) -> None:
    assert scope["type"] == "http", "only http"
    assert "state" not in scope
    await hello(scope, receive, send)


async def ends_at_once(scope: Scope, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await hello(scope, receive, send)


@pytest.mark.parametrize("app", [knows_none, ends_at_once])
def test_applications_that_know_no_lifespan(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    serve(app)
    assert not caplog.records
    with pytest.raises(http.LifespanError, match="does not know lifespans"):
        serve(app, lifespan="on")


def never(server: socket2.Server) -> None:
    raise AssertionError


def test_a_startup_that_fails() -> None:
    with pytest.raises(http.LifespanError, match="startup of the application failed: no database"):
        serve(App({"type": "lifespan.startup.failed", "message": "no database"}), never)
    with pytest.raises(http.LifespanError, match="no reason"):
        serve(App({"type": "lifespan.startup.failed"}), never)


def test_a_startup_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """ASGI wants such an application to be served, so nothing but the log can tell."""
    serve(App(KeyError("secret")))
    assert "KeyError: 'secret'" in caplog.text
    assert "served without" in caplog.text
    with pytest.raises(http.LifespanError, match="does not know"):
        serve(App(KeyError("secret")), lifespan="on")


def test_a_startup_that_needs_asyncio() -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        import asyncio

        await receive()
        asyncio.get_running_loop()

    with pytest.raises(http.LifespanError, match="needs the event loop of asyncio"):
        serve(app, never)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"type": "lifespan.shutdown.failed", "message": "busy"}, "has not ended well: busy"),
        (KeyError("secret"), "KeyError: 'secret'"),
        ({"type": "lifespan.startup.complete"}, "no message of an application that is in its shutdown"),
    ],
)
def test_a_shutdown_that_fails(answer: Any, text: str, caplog: pytest.LogCaptureFixture) -> None:
    serve(App(None, answer))
    assert text in caplog.text


def test_a_shutdown_that_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        while True:
            await receive()

    serve(app)
    assert "has not ended within 0.2 s" in caplog.text


def test_a_lifespan_that_fails_while_its_server_runs(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await hello(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise ValueError

    serve(app)
    assert "failed while its server ran" in caplog.text


def test_a_server_that_is_stopped_during_the_startup() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await receive()
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await socket2.Event().wait()
        finally:
            seen.append("ended")

    serve(app, never)
    assert seen == ["ended"]


def test_a_server_that_fails() -> None:
    app = App()

    def fail(server: socket2.Server) -> None:
        raise KeyError("ready")

    with pytest.raises(KeyError, match="ready"):
        serve(app, fail)
    assert app.seen == ["startup", "shutdown", "end"]


def test_a_server_that_is_cancelled() -> None:
    app = App()
    ready = socket2.Event()

    async def main() -> None:
        answer = http.handler(http.asgi(app))
        thread = socket2.newthread(socket2.serve(answer, "127.0.0.1", 0, ready=lambda _: ready.set()))
        await ready.wait()
        thread.cancel()
        with pytest.raises(socket2.Cancelled):
            await thread.join()

    run(main)
    assert app.seen[0] == "startup"


def test_a_server_of_ones_own() -> None:
    app = App()
    hosted = http.asgi(app)

    async def main() -> None:
        server = socket2.Server(http.handler(hosted))
        assert hosted.lifespan is not None
        await hosted.lifespan.startup()
        with pytest.raises(RuntimeError, match="has started already"):
            hosted.lifespan.startup()
        await server.listen("127.0.0.1", 0)
        assert await ask(server, GET) == HELLO
        await server.stop()
        await hosted.lifespan.shutdown(1)
        await hosted.lifespan.shutdown(1)

    run(main)
    assert app.seen == ["startup", "request {'one': 1}", "shutdown", "end"]


def test_no_reference_cycles() -> None:
    def fail() -> None:
        with pytest.raises(http.LifespanError):
            serve(App({"type": "lifespan.startup.failed", "message": "no database"}), never)

    assert left_by(lambda: serve(App(None, KeyError("secret")))) == []
    assert left_by(fail) == []
