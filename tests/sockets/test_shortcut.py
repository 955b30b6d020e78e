"""The methods of sockets that exist in C as well: they look and work like the functions that they stand for."""

from __future__ import annotations

import gc
import inspect
import socket
from typing import Any

import pytest

from pollers import Busy, Closed
from socket2 import TCP, newthread, run, tcp
from socket2.threads.native import in_c, shortcut

METHODS = ["recv", "send", "sendall"]
needs_c = pytest.mark.skipif(in_c("_shortcut") is None, reason="not built, or switched off")


class Sock:
    __slots__ = ("_handle", "_setup")

    def __init__(self, handle: Any = None, setup: Any = None) -> None:
        self._handle = handle
        self._setup = setup

    @shortcut
    def act(self, argument: Any, more: str = "") -> Any:
        """Say what it does."""
        return "the function", argument, more


class Handle:
    def act(self, argument: Any, sock: Sock) -> Any:
        return "the handle", argument


@pytest.mark.parametrize("name", METHODS)
def test_it_looks_like_the_method_it_is(name: str) -> None:
    method: Any = getattr(TCP, name)
    assert method.__name__ == name
    assert method.__qualname__ == f"TCP.{name}"
    assert method.__module__ == "socket2.sockets.tcp"
    assert "send(2)" in method.__doc__ or "recv(2)" in method.__doc__ or "send() does" in method.__doc__
    assert [*inspect.signature(method).parameters] == ["self", "n" if name == "recv" else "data"]
    assert inspect.isroutine(method)
    assert name in repr(method)
    with tcp() as sock:
        bound = getattr(sock, name)
        assert bound.__self__ is sock
        assert [*inspect.signature(bound).parameters] == ["n" if name == "recv" else "data"]
        assert bound.__doc__ == method.__doc__


def test_it_does_the_same_called_in_any_way() -> None:
    def main() -> Any:
        one, other = (tcp(fileno=sock.detach()) for sock in pair())
        with one, other:
            for _ in range(3):
                yield from one.sendall(b"hello")
                yield from TCP.sendall(one, b" and ")
                yield from one.sendall(data=b"more")
                assert (yield from other.recv(5)) == b"hello"
                assert (yield from TCP.recv(other, n=5)) == b" and "
                receive = other.recv
                assert (yield from receive(10)) == b"more"
            one.settimeout(10)
            assert (yield from one.send(b"x")) == 1
            assert (yield from other.recv(1)) == b"x"

    run(main)


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def test_wrong_calls_are_told_of_as_ever() -> None:
    with tcp() as sock:
        wrong: Any = sock
        for call in (wrong.sendall, lambda: wrong.recv(1, 2), lambda: wrong.sendall(), lambda: wrong.recv(size=1)):
            with pytest.raises(TypeError):
                call()
        for stranger in (1, None, object()):
            with pytest.raises((AttributeError, TypeError)):
                TCP.recv(stranger, 1)  # type: ignore[arg-type]

    def main() -> Any:
        with pytest.raises(Closed):
            yield from sock.recv(1)
        with pytest.raises(Closed):
            yield from sock.sendall(b"x")

    run(main)


def test_errors_of_the_handle_come_through() -> None:
    def receive(sock: TCP) -> Any:
        return (yield from sock.recv(1))

    def main() -> Any:
        one, other = (tcp(fileno=sock.detach()) for sock in pair())
        with one, other:
            waiting = newthread(receive, one)
            with pytest.raises(Busy):
                yield from one.recv(1)
            with pytest.raises((TypeError, ValueError)):
                yield from other.recv(-1)
            with pytest.raises(TypeError):
                yield from other.sendall("text")  # type: ignore[arg-type]
            yield from other.sendall(b"x")
            assert (yield from waiting.join()) == b"x"

    run(main)


def test_a_subclass_may_have_its_own() -> None:
    class Loud(TCP):
        __slots__ = ("said",)

        def recv(self, n: int = 1) -> Any:
            return super().recv(n + 1)

    def main() -> Any:
        mine, other = pair()
        with other, Loud(mine) as sock:
            other.sendall(b"abc")
            assert (yield from sock.recv(2)) == b"abc"
            yield from sock.sendall(b"d")
            assert other.recv(10) == b"d"

    run(main)


@pytest.mark.parametrize(
    ("sock", "result"),
    [
        (Sock(), "the function"),
        (Sock(Handle(), "a setup"), "the function"),
        (Sock(Handle()), "the handle" if in_c("_shortcut") else "the function"),
    ],
)
def test_the_function_is_for_what_is_not_the_rule(sock: Sock, result: str) -> None:
    for _ in range(3):
        assert sock.act(7)[:2] == (result, 7)
        assert sock.act(7, "more") == ("the function", 7, "more")
        assert sock.act(7, more="more") == ("the function", 7, "more")


@needs_c
def test_slots_that_are_gone_and_handles_without_the_method() -> None:
    sock = Sock(Handle())
    del sock._setup
    assert sock.act(1)[0] == "the function"
    del sock._handle
    assert sock.act(1)[0] == "the function"
    with pytest.raises(AttributeError):
        Sock(object()).act(1)


@needs_c
def test_a_class_without_the_slots_is_refused() -> None:
    with pytest.raises((TypeError, RuntimeError, AttributeError)):

        class Wrong:
            @shortcut
            def act(self, argument: Any) -> None: ...


@needs_c
def test_it_goes_with_its_class() -> None:
    def make() -> type:
        class Temporary(Sock):
            @shortcut
            def act(self, argument: Any, more: str = "") -> Any: ...

        Temporary(Handle()).act(1)
        return Temporary

    make()
    gc.collect()
    assert not [found for found in gc.get_objects() if isinstance(found, type) and found.__name__ == "Temporary"]
