"""Applications of the usual frameworks: Starlette, FastAPI, Flask and Django with Channels, and their own adapters."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

import pytest

import socket2
from socket2 import http

from ...interop.peers import run

Check = Callable[[http.Client, str], Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def _end_the_os_thread_of_asgiref() -> Iterator[None]:
    """It has one for the process."""
    yield
    if "asgiref.sync" in sys.modules:
        owner: Any = sys.modules["asgiref.sync"].SyncToAsync
        owner.single_thread_executor.shutdown()
        owner.single_thread_executor = ThreadPoolExecutor(max_workers=1)


LARGE = bytes(2_000_000)


def check(answer: Any, use: Check) -> None:
    """Let a client use a hosted application."""

    async def ready(server: socket2.Server) -> None:
        with http.Client(cookies=CookieJar()) as client:
            await use(client, f"127.0.0.1:{server.addresses[0][1]}")
        await server.stop(5)
        done.append(True)

    async def main() -> None:
        await socket2.serve(http.handler(answer), "127.0.0.1:0", ready=ready)

    done: list[bool] = []
    run(main)
    assert done


async def get(client: http.Client, url: str, **options: Any) -> tuple[int, bytes]:
    return await fetch(client, "GET", url, **options)


async def fetch(client: http.Client, method: str, url: str, **options: Any) -> tuple[int, bytes]:
    with await client.request(method, f"http://{url}", **options) as response:
        return response.status, await response.read()


def upload(data: bytes) -> dict[str, Any]:
    """Return how to send a form with a file."""
    body = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + data + b"\r\n--xyz--\r\n"
    return {"body": body, "headers": {"Content-Type": "multipart/form-data; boundary=xyz"}}


async def use_what_all_have(client: http.Client, server: str) -> None:
    """Use what each of the applications below offers."""
    assert await get(client, f"{server}/hello") == (200, b"hello")
    for data in (b"small", LARGE):
        assert await fetch(client, "POST", f"{server}/upload", **upload(data)) == (200, b"%d" % len(data))
    assert await get(client, f"{server}/stream") == (200, b"012")
    assert await get(client, f"{server}/file") == (200, LARGE)
    for number in (b"1", b"2"):
        assert await get(client, f"{server}/session") == (200, number)
    status, body = await get(client, f"{server}/fail")
    assert status == 500
    assert b"secret" not in body
    status, _ = await get(client, f"{server}/missing")
    assert status == 404


async def use_websocket(client: http.Client, server: str) -> None:
    async with await http.websocket(f"ws://{server}/ws", client=client, subprotocols=["chat"]) as ws:
        assert ws.subprotocol == "chat"
        for message in ("hello", "é" * 50_000):
            await ws.send(message)
            assert await ws.recv() == message
    with pytest.raises(http.WebSocketRefused, match="403"):
        await http.websocket(f"ws://{server}/closed", client=client)
    with pytest.raises(http.WebSocketRefused):
        await http.websocket(f"ws://{server}/nowhere", client=client)


# Starlette and FastAPI.


def file_of(directory: Path) -> Path:
    path = directory / "file"
    path.write_bytes(LARGE)
    return path


async def sockets(ws: Any) -> None:
    await ws.accept(subprotocol="chat")
    while True:
        await ws.send_text(await ws.receive_text())


async def closed(ws: Any) -> None:
    await ws.close()


async def session(request: Any) -> Any:
    from starlette.responses import PlainTextResponse

    request.session["visits"] = request.session.get("visits", 0) + 1
    return PlainTextResponse(str(request.session["visits"]))


def test_starlette(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("starlette.applications", reason="Starlette is not installed (pip install starlette)")
    pytest.importorskip("itsdangerous", reason="itsdangerous is not installed (pip install itsdangerous)")
    pytest.importorskip("python_multipart", reason="python-multipart is not installed (pip install python-multipart)")
    from starlette.applications import Starlette
    from starlette.background import BackgroundTask
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.middleware.sessions import SessionMiddleware
    from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Route, WebSocketRoute

    path, in_background = file_of(tmp_path), list[str]()

    async def hello(request: Any) -> Any:
        return PlainTextResponse("hello", background=BackgroundTask(in_background.append, "done"))

    async def receive(request: Any) -> Any:
        async with request.form() as form:
            return PlainTextResponse(str(len(await form["file"].read())))

    def stream(request: Any) -> Any:  # in an OS thread
        return StreamingResponse(str(number) for number in range(3))

    async def fail(request: Any) -> None:
        assert not await request.is_disconnected()
        raise ValueError("secret")

    async def pass_on(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    app = Starlette(
        routes=[
            Route("/hello", hello),
            Route("/upload", receive, methods=["POST"]),
            Route("/stream", stream),
            Route("/file", lambda request: FileResponse(path)),
            Route("/session", session),
            Route("/fail", fail),
            WebSocketRoute("/ws", sockets),
            WebSocketRoute("/closed", closed),
        ],
        middleware=[Middleware(SessionMiddleware, secret_key="a"), Middleware(BaseHTTPMiddleware, dispatch=pass_on)],
    )

    async def use(client: http.Client, server: str) -> None:
        await use_what_all_have(client, server)
        await use_websocket(client, server)

    check(http.asgi(app, asyncio=True), use)
    assert in_background == ["done"]
    assert caplog.text.count("Traceback") == caplog.text.count("ValueError: secret") > 0


def test_fastapi(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fastapi = pytest.importorskip("fastapi", reason="FastAPI is not installed (pip install fastapi)")
    pytest.importorskip("itsdangerous", reason="itsdangerous is not installed (pip install itsdangerous)")
    pytest.importorskip("python_multipart", reason="python-multipart is not installed (pip install python-multipart)")
    from starlette.middleware.sessions import SessionMiddleware
    from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse

    path, in_background = file_of(tmp_path), list[str]()
    app = fastapi.FastAPI()
    app.add_middleware(SessionMiddleware, secret_key="a")

    def hello(tasks: Any) -> Any:
        tasks.add_task(in_background.append, "done")
        return PlainTextResponse("hello")

    hello.__annotations__["tasks"] = fastapi.BackgroundTasks

    async def receive(file: Any) -> Any:
        return len(await file.read())

    receive.__annotations__["file"] = fastapi.UploadFile

    async def stream() -> Any:
        async def numbers() -> Any:
            for number in range(3):
                yield str(number)

        return StreamingResponse(numbers())

    def fail() -> None:
        raise ValueError("secret")

    async def visits(request: Any) -> Any:
        return await session(request)

    visits.__annotations__["request"] = fastapi.Request
    sockets.__annotations__["ws"] = closed.__annotations__["ws"] = fastapi.WebSocket

    app.get("/hello")(hello)
    app.post("/upload")(receive)
    app.get("/stream")(stream)
    app.get("/file")(lambda: FileResponse(path))
    app.get("/session")(visits)
    app.get("/fail")(fail)
    app.websocket("/ws")(sockets)
    app.websocket("/closed")(closed)

    async def use(client: http.Client, server: str) -> None:
        await use_what_all_have(client, server)
        await use_websocket(client, server)
        status, body = await fetch(client, "POST", f"{server}/upload")
        assert status == 422
        assert b"Field required" in body

    check(http.asgi(app, asyncio=True), use)
    assert in_background == ["done"]
    assert caplog.text.count("Traceback") == caplog.text.count("ValueError: secret") > 0


# Flask.


@pytest.mark.parametrize("options", [{}, {"in_loop": True}], ids=["in OS threads", "in the loop"])
def test_flask(options: dict[str, Any], tmp_path: Path) -> None:
    flask = pytest.importorskip("flask", reason="Flask is not installed (pip install flask)")
    path = file_of(tmp_path)
    app = flask.Flask("app")
    app.secret_key = "a"

    def visits() -> str:
        flask.session["visits"] = flask.session.get("visits", 0) + 1
        return str(flask.session["visits"])

    def fail() -> None:
        raise ValueError("secret")

    app.add_url_rule("/hello", "hello", lambda: "hello")
    app.add_url_rule("/upload", "u", lambda: str(len(flask.request.files["file"].read())), methods=["POST"])
    app.add_url_rule("/stream", "stream", lambda: flask.Response(str(number) for number in range(3)))
    app.add_url_rule("/file", "file", lambda: flask.send_file(path, mimetype="text/plain"))
    app.add_url_rule("/session", "session", visits)
    app.add_url_rule("/fail", "fail", fail)
    check(http.wsgi(app, **options), use_what_all_have)
    check(http.wsgi(validator(app.wsgi_app), **options), use_what_all_have_validated)


async def use_what_all_have_validated(client: http.Client, server: str) -> None:
    assert await get(client, f"{server}/hello") == (200, b"hello")
    assert await get(client, f"{server}/stream") == (200, b"012")
    assert await get(client, f"{server}/file") == (200, LARGE)


# Django.


@pytest.fixture
def django_urls(tmp_path: Path) -> Any:
    pytest.importorskip("django", reason="Django is not installed (pip install django)")
    import django
    from django.conf import settings
    from django.http import FileResponse, HttpResponse, StreamingHttpResponse
    from django.urls import path

    if not settings.configured:
        settings.configure(
            SECRET_KEY="a",
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=[],
            LOGGING_CONFIG=None,
            INSTALLED_APPS=["django.contrib.sessions"],
            MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
            SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        )
        django.setup()
    file = file_of(tmp_path)

    def visits(request: Any) -> Any:
        request.session["visits"] = request.session.get("visits", 0) + 1
        return HttpResponse(str(request.session["visits"]))

    def fail(request: Any) -> None:
        raise ValueError("secret")

    async def numbers() -> Any:
        for number in range(3):
            yield str(number)

    def stream(request: Any) -> Any:
        in_asyncio = hasattr(request, "scope")
        return StreamingHttpResponse(numbers() if in_asyncio else (str(number) for number in range(3)))

    settings.ROOT_URLCONF = type("urls", (), {})
    settings.ROOT_URLCONF.urlpatterns = [
        path("hello", lambda request: HttpResponse("hello")),
        path("upload", lambda request: HttpResponse(str(request.FILES["file"].size))),
        path("stream", stream),
        path("file", lambda request: FileResponse(file.open("rb"))),
        path("session", visits),
        path("fail", fail),
    ]
    return settings


def test_django_over_wsgi(django_urls: Any) -> None:
    from django.core.wsgi import get_wsgi_application

    check(http.wsgi(get_wsgi_application()), use_what_all_have)


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume:Warning")
def test_django_over_asgi(django_urls: Any) -> None:
    from django.core.asgi import get_asgi_application

    check(http.asgi(get_asgi_application(), asyncio=True), use_what_all_have)


def test_django_channels(django_urls: Any) -> None:
    pytest.importorskip("channels", reason="Channels is not installed (pip install channels)")
    from channels.generic.websocket import AsyncWebsocketConsumer
    from channels.routing import ProtocolTypeRouter, URLRouter
    from django.core.asgi import get_asgi_application
    from django.urls import path

    class Echo(AsyncWebsocketConsumer):  # type: ignore[misc, unused-ignore]
        async def connect(self) -> None:
            await self.accept("chat")

        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            await self.send(text_data=text_data)

    class Closed(AsyncWebsocketConsumer):  # type: ignore[misc, unused-ignore]
        async def connect(self) -> None:
            await self.close()

    routes = URLRouter([path("ws", Echo.as_asgi()), path("closed", Closed.as_asgi())])
    app = ProtocolTypeRouter({"http": get_asgi_application(), "websocket": routes})
    check(http.asgi(app, asyncio=True), use_websocket)


# What asgiref says.


def test_scopes_have_what_asgiref_names() -> None:
    asgiref = pytest.importorskip("asgiref.typing", reason="asgiref is not installed (pip install asgiref)")
    scopes: dict[str, dict[str, Any]] = {}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes[scope["type"]] = scope
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body"})

    async def use(client: http.Client, server: str) -> None:
        await get(client, server)
        with pytest.raises(http.WebSocketRefused):
            await http.websocket(f"ws://{server}/", client=client)

    check(http.asgi(app, lifespan="off"), use)
    for kind, named in (("http", asgiref.HTTPScope), ("websocket", asgiref.WebSocketScope)):
        given = set(scopes[kind])
        assert given <= set(named.__annotations__)
        assert set(named.__annotations__) - given <= {"state"}


def test_asgiref_runs_wsgi_applications() -> None:
    asgiref = pytest.importorskip("asgiref.wsgi", reason="asgiref is not installed (pip install asgiref)")

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].read() or b"hello"]

    async def use(client: http.Client, server: str) -> None:
        assert await get(client, server) == (200, b"hello")
        assert await fetch(client, "POST", server, body=LARGE) == (200, LARGE)

    check(http.asgi(asgiref.WsgiToAsgi(app), asyncio=True), use)
