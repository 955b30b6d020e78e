"""The functions of the namespace that turn results into errors and back, and lookups."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

import socket2
from socket2 import luasocket
from socket2.threads import osthreads

from ..interop.peers import LIMIT_S
from .face import Do, Pair
from .test_namespace import NO_NAME

# Results.


def test_skip() -> None:
    assert luasocket.skip(0, 1, 2) == (1, 2)
    assert luasocket.skip(1, 1, 2, 3) == (2, 3)
    assert luasocket.skip(5, 1, 2) == ()
    with pytest.raises(ValueError, match="a number of values"):
        luasocket.skip(-1, 2)


@pytest.mark.parametrize("values", [(1,), (0, None), (b"", "err"), ("text", None, None), ([], 1), (True,)])
def test_try_lets_pass_what_is_true_in_lua(values: tuple[Any, ...]) -> None:
    assert luasocket.try_(*values) == values
    assert luasocket.try_(values) == values


@pytest.mark.parametrize(
    ("values", "err"), [((None, "timeout"), "timeout"), ((None, "e", b"p"), "e"), ((False, 5), 5), ((None,), None)]
)
def test_try_raises_the_error_of_what_is_not(values: tuple[Any, ...], err: Any) -> None:
    for arguments in (values, (values,)):
        with pytest.raises(luasocket.TryError) as raised:
            luasocket.try_(*arguments)
        assert raised.value.err == err
    assert luasocket.protect(luasocket.try_)(*values) == (None, err)


def test_try_of_no_result_raises() -> None:
    with pytest.raises(TypeError, match="`yield from`"):
        luasocket.try_()


def test_newtry_finalizes() -> None:
    done: list[str] = []
    try_ = luasocket.newtry(lambda: done.append("finalized"))
    assert try_(1, 2) == (1, 2)
    assert done == []
    with pytest.raises(luasocket.TryError):
        try_(None, "err")
    assert done == ["finalized"]
    assert luasocket.newtry()(1) == (1,)


def test_a_finalizer_that_raises_is_heard_by_nobody() -> None:
    def fails() -> None:
        raise ZeroDivisionError

    assert luasocket.protect(luasocket.newtry(fails))(None, "the first error") == (None, "the first error")


def test_a_finalizer_cannot_wait() -> None:
    def waits() -> Any:
        yield from luasocket.sleep(1)

    with pytest.raises(RuntimeError, match="cannot wait"):
        luasocket.newtry(waits)(None, "err")


def test_protect_catches_the_errors_of_try_only() -> None:
    assert luasocket.protect(lambda *args: args)(1, 2) == (1, 2)
    assert luasocket.protect(lambda: 5)() == 5
    for error in (ZeroDivisionError, OSError, ValueError, KeyboardInterrupt):

        def fails(error: Any = error) -> None:
            raise error

        with pytest.raises(error):
            luasocket.protect(fails)()


def test_protect_within_protect() -> None:
    def inner() -> tuple[Any, ...]:
        return luasocket.try_(None, "inner")

    def outer() -> tuple[Any, ...]:
        assert luasocket.protect(inner)() == (None, "inner")
        return luasocket.try_(None, "outer")

    assert luasocket.protect(outer)() == (None, "outer")


@pytest.mark.parametrize("kind", ["generator", "async"])
async def test_protect_of_what_waits(do: Do, pair: Pair, kind: str) -> None:
    """LuaSocket's own clients are written like this: a function that uses try and is protected as a whole."""

    def generator(text: bytes) -> Any:
        try_ = luasocket.newtry(pair.client.close)
        try_(*(yield from pair.client.send(text)))
        line, *_ = try_(*(yield from pair.client.receive()))
        return line, None

    async def coroutine(text: bytes) -> Any:
        try_ = luasocket.newtry(pair.client.close)
        try_(*await pair.client.send(text))
        line, *_ = try_(*await pair.client.receive())
        return line, None

    func: Callable[..., Any] = luasocket.protect(generator if kind == "generator" else coroutine)
    pair.peer.sendall(b"answer\nhalf")
    assert await do(func, b"question\n") == (b"answer", None)
    assert pair.peer.recv(100) == b"question\n"
    pair.peer.shutdown(socket.SHUT_WR)
    assert await do(func, b"another\n") == (None, "closed")
    assert pair.client.getfd() == -1, "the finalizer has closed it"


def test_choose() -> None:
    chosen = luasocket.choose({"one": lambda *options: ("one", *options), "default": lambda *options: options})
    assert chosen("one", 1, 2) == ("one", 1, 2)
    assert chosen(1, 2) == (1, 2)
    for unknown in ("no", ""):
        with pytest.raises(ValueError, match=rf"unknown key \({unknown}\)"):
            chosen(unknown)


# Lookups.


KNOWN = ("host.test", ["alias.test"], ["127.0.0.1", "127.0.0.2"])


@pytest.fixture
def host_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose name is known with any resolver of the machine."""

    def unless_it_is_ours(ask: Callable[[str], Any]) -> Callable[[str], Any]:
        return lambda name: KNOWN if name in ("host.test", "alias.test", "127.0.0.1") else ask(name)

    for name in ("gethostbyname_ex", "gethostbyaddr"):
        monkeypatch.setattr(socket, name, unless_it_is_ours(getattr(socket, name)))


@pytest.mark.usefixtures("host_test")
async def test_toip(do: Do) -> None:
    ip, known = await do(luasocket.dns.toip, "alias.test")
    assert ip == "127.0.0.1"
    assert known == {"name": "host.test", "alias": ["alias.test"], "ip": ["127.0.0.1", "127.0.0.2"]}
    assert await do(luasocket.dns.toip, "no.such.name.invalid") == (None, "host not found")
    assert await do(luasocket.dns.toip, "x" * 300) == (None, "host not found")


@pytest.mark.usefixtures("host_test")
async def test_tohostname(do: Do) -> None:
    for address in ("127.0.0.1", "alias.test"):
        name, known = await do(luasocket.dns.tohostname, address)
        assert name == known["name"] == "host.test"
        assert known["ip"] == ["127.0.0.1", "127.0.0.2"]
    assert (await do(luasocket.dns.toip, "127.0.0.1"))[0] == "127.0.0.1"


async def test_a_host_that_is_not_known(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(_: str) -> Any:
        raise socket.herror(1, "Unknown host")

    monkeypatch.setattr(socket, "gethostbyaddr", unknown)
    assert await do(luasocket.dns.tohostname, "192.0.2.1") == (None, "host not found")


async def test_getaddrinfo(do: Do) -> None:
    found, err = await do(luasocket.dns.getaddrinfo, "127.0.0.1")
    assert (found, err) == ([{"family": "inet", "addr": "127.0.0.1"}], None)
    found, err = await do(luasocket.dns.getaddrinfo, "::1")
    assert (found, err) == ([{"family": "inet6", "addr": "::1"}], None)
    found, err = await do(luasocket.dns.getaddrinfo, "no.such.name.invalid")
    assert found is None
    assert err in NO_NAME
    assert await do(luasocket.dns.getaddrinfo, "x" * 300) == (None, NO_NAME[0])


async def test_getnameinfo(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    def getnameinfo(sockaddr: Any, flags: int) -> Any:
        host, port, *_ = sockaddr
        return host if flags & socket.NI_NUMERICHOST else f"name-of-{host}", f"service-{port}"

    monkeypatch.setattr(socket, "getnameinfo", getnameinfo)
    names = ["name-of-127.0.0.1"]
    assert await do(luasocket.dns.getnameinfo, "127.0.0.1", 80) == (names, "service-80")
    assert await do(luasocket.dns.getnameinfo, "127.0.0.1") == (names, None)
    assert await do(luasocket.dns.getnameinfo, None, 80) == ([], "service-80")
    found, err = await do(luasocket.dns.getnameinfo, "no.such.name.invalid")
    assert found is None
    assert err in NO_NAME
    with pytest.raises(TypeError, match="cannot be both nil"):
        luasocket.dns.getnameinfo(None)


async def test_the_resolver_is_not_asked_for_a_name_that_nobody_wants(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    really = socket.getnameinfo
    asked = []

    def getnameinfo(sockaddr: Any, flags: int) -> Any:
        asked.append(flags)
        return really(sockaddr, flags)

    monkeypatch.setattr(socket, "getnameinfo", getnameinfo)
    assert await do(luasocket.dns.getnameinfo, None, 9) == ([], really(("127.0.0.1", 9), socket.NI_NUMERICHOST)[1])
    assert set(asked) == {socket.NI_NUMERICHOST}


def test_gethostname() -> None:
    assert luasocket.dns.gethostname() == socket.gethostname()


@pytest.mark.parametrize("name", ["toip", "tohostname", "getaddrinfo", "getnameinfo"])
@pytest.mark.parametrize("wrong", [5, b"localhost", ["localhost"]])
def test_what_is_no_name_raises(name: str, wrong: Any) -> None:
    with pytest.raises(TypeError, match="an address must be a string"):
        getattr(luasocket.dns, name)(wrong)


async def test_a_look_up_holds_up_nobody_else(do: Do, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()

    def slow(name: str) -> Any:
        answer.wait(LIMIT_S)
        return name, [], ["192.0.2.1"]

    monkeypatch.setattr(socket, "gethostbyname_ex", slow)
    thread = socket2.newthread(luasocket.dns.toip, "slow.invalid")
    await do(luasocket.sleep, 0.01)
    assert not thread.done
    answer.set()
    while not thread.done or osthreads.lookups._busy:
        await do(luasocket.sleep, 0.001)
    assert thread.result()[0] == "192.0.2.1"
