"""The functions of the namespace: shortcuts, time, results, constants, lookups."""

from __future__ import annotations

import inspect
import re
import socket
import sys
import time
from typing import Any

import pytest

import socket2
from socket2 import luasocket
from socket2.luasocket import options

from ..interop.peers import LIMIT_S, ROOT, refusing_port, swallowing
from ..machine import has_ipv6, needs_ipv6
from .face import Do, free_port
from .test_tcp import NOT_OURS

NO_NAME = ("host or service not provided, or not known", "temporary failure in name resolution")


def test_every_name_of_luasocket_is_here() -> None:
    names = """BLOCKSIZE _DATAGRAMSIZE _DEBUG _SETSIZE _SOCKETINVALID _VERSION bind choose connect connect4 connect6 dns
    gettime newtry protect select sink sinkt skip sleep source sourcet tcp tcp4 tcp6 try_ udp udp4 udp6 unix"""
    assert set(names.split()) <= set(luasocket.__all__)
    assert not [name for name in luasocket.__all__ if not hasattr(luasocket, name)]


def test_every_method_of_luasocket_is_here() -> None:
    common = """close dirty getfd getoption getsockname gettimeout receive send setfd setoption setpeername setsockname
    settimeout"""
    stream = "accept bind connect getstats listen setstats shutdown"
    for made, names in (
        (luasocket.TCP, f"{common} {stream} getfamily getpeername"),
        (luasocket.UDP, f"{common} getfamily getpeername receivefrom sendto"),
        (luasocket.UnixStream, f"{common} {stream}"),
        (luasocket.UnixDgram, f"{common} bind connect receivefrom sendto"),
    ):
        assert not [name for name in names.split() if not callable(getattr(made, name, None))]


def test_every_one_has_a_docstring() -> None:
    for name in luasocket.__all__:
        value = getattr(luasocket, name)
        if callable(value):
            assert value.__doc__, name
    for cls in (luasocket.TCP, luasocket.UDP, luasocket.UnixStream, luasocket.UnixDgram):
        bare = [name for name in dir(cls) if not name.startswith("_") and not inspect.getdoc(getattr(cls, name))]
        assert not bare


def test_every_name_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "luasocket.md").read_text()
    written = set(re.findall(r"[\w-]+", guide))
    classes = {"TCP", "UDP", "UnixStream", "UnixDgram"}  # the guide lists these by their kinds
    assert set(luasocket.__all__) - classes <= written
    for cls in (luasocket.TCP, luasocket.UDP, luasocket.UnixStream, luasocket.UnixDgram):
        assert {name for name in dir(cls) if not name.startswith("_")} <= written
    for kind in ("tcp", "udp", "unix"):
        assert options.settable(kind) | options.gettable(kind) <= written
    for part in (luasocket.ltn12.filter, luasocket.ltn12.source, luasocket.ltn12.sink, luasocket.ltn12.pump):
        own = {name for name, value in vars(part).items() if getattr(value, "__module__", "") == part.__name__}
        assert {name for name in own if name.islower() and name != "link"} <= written
    assert {*luasocket.sinkt, *luasocket.sourcet} - {"default"} <= written


def test_constants() -> None:
    assert luasocket.BLOCKSIZE == 2048
    assert luasocket._DATAGRAMSIZE == 8192
    assert luasocket._DEBUG is False
    assert sys.maxsize == luasocket._SETSIZE
    assert luasocket._SOCKETINVALID == -1
    assert f"LuaSocket 3.1.0, by socket2 {socket2.__version__}" == luasocket._VERSION


# Shortcuts.


async def test_bind_and_connect(do: Do) -> None:
    server, err = await do(luasocket.bind, "127.0.0.1", 0)
    assert err is None
    with server:
        assert repr(server).startswith("tcp{server}")
        assert server.getoption("reuseaddr") == (True, None)
        client, err = await do(luasocket.connect, "127.0.0.1", server.getsockname()[1])
        assert err is None
        with client:
            assert repr(client).startswith("tcp{client}")
            assert client.getpeername() == server.getsockname()
            accepted, _ = await do(server.accept)
            accepted.close()


async def test_bind_to_any_interface_is_ipv4(do: Do) -> None:
    server, _ = await do(luasocket.bind, "*", 0, 5)
    with server:
        assert server.getsockname()[::2] == ("0.0.0.0", "inet")


@needs_ipv6
async def test_bind_to_ipv6_is_of_ipv6_only(do: Do) -> None:
    server, _ = await do(luasocket.bind, "::", 0)
    with server:
        assert server.getsockname()[::2] == ("::", "inet6")
        assert server.getoption("ipv6-v6only") == (True, None)


async def test_bind_where_old_connections_linger_and_where_a_server_is(do: Do) -> None:
    server, _ = await do(luasocket.bind, "127.0.0.1", 0)
    port = server.getsockname()[1]
    assert await do(luasocket.bind, "127.0.0.1", port) == (None, "address already in use")
    with socket.create_connection(("127.0.0.1", port)) as peer:
        accepted, _ = await do(server.accept)
        accepted.close()  # close this end first, so that it has the TIME_WAIT
        assert peer.recv(1) == b""
    server.close()
    server, err = await do(luasocket.bind, "127.0.0.1", port)
    assert err is None
    server.close()


async def test_bind_and_connect_tell_why_not(do: Do) -> None:
    for shortcut in (luasocket.bind, luasocket.connect):
        made, err = await do(shortcut, "no.such.name.invalid", 1)
        assert made is None
        assert err in NO_NAME
        assert await do(shortcut, "127.0.0.1", "nosuchservice") == (None, "service not supported for socket type")
    assert await do(luasocket.bind, NOT_OURS, 0) == (None, "Cannot assign requested address")
    assert await do(luasocket.connect, "127.0.0.1", refusing_port()) == (None, "connection refused")
    made, err = await do(luasocket.connect, "localhost", refusing_port())
    assert made is None
    assert err == "connection refused" or not has_ipv6(), "without IPv6, ::1 may be the last to fail"


async def test_connect_from_an_address(do: Do) -> None:
    server, _ = await do(luasocket.bind, "127.0.0.1", 0)
    with server:
        port = server.getsockname()[1]
        err = "address already in use"
        while err == "address already in use":  # by another program that was faster
            own = free_port()
            client, err = await do(luasocket.connect, "127.0.0.1", port, "127.0.0.1", own)
        assert err is None
        with client:
            assert client.getsockname() == ("127.0.0.1", own, "inet")
        client, err = await do(luasocket.connect, "localhost", port, "127.0.0.1")
        assert err is None
        client.close()
        assert await do(luasocket.connect, "127.0.0.1", port, NOT_OURS, 0) == (
            None,
            "Cannot assign requested address",
        )


async def test_connect_to_one_family(do: Do) -> None:
    server, _ = await do(luasocket.bind, "127.0.0.1", 0)
    with server:
        port = server.getsockname()[1]
        for connect, *more in ((luasocket.connect4,), (luasocket.connect, None, None, "inet")):
            client, err = await do(connect, "localhost", port, *more)
            assert err is None
            client.close()
        made, err = await do(luasocket.connect6, "localhost", port)
        assert made is None
        assert err == "connection refused" if has_ipv6() else err
        made, err = await do(luasocket.connect6, "127.0.0.1", port)
        assert made is None
        made, err = await do(luasocket.connect, "127.0.0.1", port, None, None, "inet6")
        assert made is None


@pytest.mark.parametrize("arguments", [(None, 1), ("127.0.0.1", None), (5, 5)])
def test_what_is_no_address_raises(arguments: Any) -> None:
    for shortcut in (luasocket.bind, luasocket.connect, luasocket.connect4, luasocket.connect6):
        with pytest.raises(TypeError):
            shortcut(*arguments)
    with pytest.raises(TypeError, match="backlog"):
        luasocket.bind("*", 0, "5")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="invalid option"):
        luasocket.connect("127.0.0.1", 1, family="ipx")


async def test_cancelled_no_socket_is_left(do: Do) -> None:
    with swallowing() as port:
        thread = socket2.newthread(luasocket.connect, "127.0.0.1", port)
        assert not thread.done
        thread.cancel()
        while not thread.done:
            await do(luasocket.sleep, 0)


async def test_a_warning_names_the_line_that_made_it(do: Do) -> None:
    server, _ = await do(luasocket.bind, "127.0.0.1", 0)
    client, _ = await do(luasocket.connect, "127.0.0.1", server.getsockname()[1])
    accepted, _ = await do(server.accept)
    for made in (server, client, accepted):
        # The caller is Do.__call__.
        assert "face.py:" in made._sock._made_at
        made.close()


# Time.


async def test_sleep(do: Do) -> None:
    begun = time.monotonic()
    assert await do(luasocket.sleep, 0.02) is None
    assert time.monotonic() >= begun + 0.02
    for at_once in (0, -1, -0.5):
        await do(luasocket.sleep, at_once)
    for wrong in ("1", None, True):
        with pytest.raises(TypeError, match="number expected"):
            luasocket.sleep(wrong)  # type: ignore[arg-type]


async def test_others_run_while_one_sleeps(do: Do) -> None:
    seen = []

    def other() -> Any:
        yield from luasocket.sleep(0.001)
        seen.append("other")

    socket2.newthread(other)
    await do(luasocket.sleep, 0.05)
    assert seen == ["other"]


def test_gettime_is_unix_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert abs(luasocket.gettime() - time.time()) < 60
    before = luasocket.gettime()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= luasocket.gettime() - before < LIMIT_S, "somebody may set the clock"
