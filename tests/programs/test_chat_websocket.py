"""The chat for browsers, with the package `websockets` in place of browsers."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ..interop.peers import LIMIT_S
from .running import server

pytest.importorskip("websockets", reason="websockets is not installed (pip install websockets)")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect


@contextmanager
def person(port: int, name: str, **options: str) -> Iterator[ClientConnection]:
    where = f"ws://127.0.0.1:{port}/chat?name={name}"
    with connect(where, proxy=None, ping_interval=None, additional_headers=options) as ws:
        yield ws


def test_people_talk() -> None:
    with server("chat_websocket.py") as (_, port), person(port, "Ann") as ann:
        with person(port, "B%C3%B6b", Origin=f"http://127.0.0.1:{port}") as bob:
            assert ann.recv(LIMIT_S) == "* B\xf6b is here"
            ann.send("hello\n\x07")
            assert bob.recv(LIMIT_S) == "Ann: hello"
            bob.send("hi")
            assert ann.recv(LIMIT_S) == "B\xf6b: hi"
        assert ann.recv(LIMIT_S) == "* B\xf6b has left"


def test_the_page() -> None:
    with server("chat_websocket.py") as (_, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            assert b"new WebSocket" in page.read()


def test_who_is_not_let_in() -> None:
    with server("chat_websocket.py") as (_, port):
        for name, options, status in (("", {}, 400), ("Eve", {"Origin": "https://evil.example"}, 403)):
            with pytest.raises(InvalidStatus) as caught, person(port, name, **options):
                pass
            assert caught.value.response.status_code == status


@pytest.mark.parametrize(("message", "code"), [(b"\x00", 1003), ("a" * 5000, 1009)])
def test_what_is_too_much(message: str | bytes, code: int) -> None:
    with server("chat_websocket.py") as (_, port), person(port, "Ann") as ann, person(port, "Eve") as eve:
        assert ann.recv(LIMIT_S) == "* Eve is here"
        eve.send(message)
        with pytest.raises(ConnectionClosed) as caught:
            eve.recv(LIMIT_S)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == code
        assert ann.recv(LIMIT_S) == "* Eve has left"


def test_a_stop_tells_the_people() -> None:
    with server("chat_websocket.py") as (program, port), person(port, "Ann") as ann:
        program.send_signal(15)
        with pytest.raises(ConnectionClosed) as caught:
            ann.recv(LIMIT_S)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1001
        assert program.wait() == 0
