"""socket2.luasocket and LuaSocket itself: HTTP's chunks, UDP and UNIX sockets."""

from __future__ import annotations

from pathlib import Path

from socket2 import luasocket

from . import test_lua
from .peers import beside, run
from .test_lua import accepted, outcome, program

lua = test_lua.lua
lua_unix = test_lua.lua_unix


# HTTP's chunks, through the sinks and sources of both.


def test_chunks_from_its_sink_to_our_source(lua: str) -> None:
    code = """
    require "socket.http"
    local ltn12 = require "ltn12"
    local client = assert(socket.connect("127.0.0.1", arg[1]))
    local source = ltn12.source.cat(ltn12.source.string(("x"):rep(5000)), ltn12.source.string("the end"))
    assert(ltn12.pump.all(source, socket.sink("http-chunked", client)))
    """

    async def main() -> None:
        server, err = await luasocket.bind("127.0.0.1", 0)
        assert server is not None, err
        with server, beside(outcome, lua, code, server.getsockname()[1]):
            with await accepted(server) as conn:
                sink, chunks = luasocket.ltn12.sink.table()
                assert await luasocket.ltn12.pump.all(luasocket.source("http-chunked", conn), sink) == (1, None)
                assert b"".join(chunks) == b"x" * 5000 + b"the end"

    run(main)


def test_chunks_from_our_sink_to_its_source(lua: str) -> None:
    code = """
    require "socket.http"
    local ltn12 = require "ltn12"
    local client = assert(socket.connect("127.0.0.1", arg[1]))
    local chunks = {}
    assert(ltn12.pump.all(socket.source("http-chunked", client), (ltn12.sink.table(chunks))))
    print(table.concat(chunks) == ("x"):rep(5000) .. "the end")
    """

    async def main() -> None:
        server, err = await luasocket.bind("127.0.0.1", 0)
        assert server is not None, err
        with server, beside(outcome, lua, code, server.getsockname()[1]) as client:
            with await accepted(server) as conn:
                source = luasocket.ltn12.source
                both = source.cat(source.string(b"x" * 5000), source.table([b"", b"the end"]))
                assert await luasocket.ltn12.pump.all(both, luasocket.sink("http-chunked", conn)) == (1, None)
        assert client.outcome() == b"true\n"

    run(main)


# UDP.


def test_datagrams_from_its_client(lua: str) -> None:
    code = """
    local sock = assert(socket.udp())
    assert(sock:sendto("to anybody", "127.0.0.1", arg[1]) == 10)
    print((sock:receivefrom()))
    assert(sock:setpeername("127.0.0.1", arg[1]))
    assert(sock:send("") == 0)
    print(#sock:receive())
    sock:settimeout(0.01)
    print(sock:receive())
    """

    async def main() -> None:
        with luasocket.udp() as sock:
            assert await sock.setsockname("127.0.0.1", 0) == (1, None)
            with beside(outcome, lua, code, sock.getsockname()[1]) as client:
                data, ip, port = await sock.receivefrom()
                assert (data, ip) == (b"to anybody", "127.0.0.1")
                assert isinstance(ip, str)
                assert isinstance(port, int)
                assert await sock.sendto(b"answer", ip, port) == (6, None)
                assert await sock.receive() == (b"", None)
                assert await sock.sendto(b"", ip, port) == (0, None)
            assert client.outcome().split() == [b"answer", b"0", b"nil", b"timeout"]

    run(main)


def test_datagrams_to_its_server(lua: str) -> None:
    code = """
    local sock = assert(socket.udp())
    assert(sock:setsockname("127.0.0.1", 0))
    print("listening on 127.0.0.1:" .. select(2, sock:getsockname()))
    while true do
        local data, ip, port = sock:receivefrom()
        if data == "end" then break end
        sock:sendto(data:upper(), ip, port)
    end
    """

    async def main(port: int) -> None:
        with luasocket.udp() as one, luasocket.udp() as other:
            assert await one.setpeername("127.0.0.1", port) == (1, None)
            for data in (b"hello", b"", bytes(8000)):
                assert await one.send(data) == (len(data), None)
                assert await one.receive() == (data.upper(), None)
            assert await other.sendto(b"from the other", "127.0.0.1", port) == (14, None)
            assert await other.receivefrom() == (b"FROM THE OTHER", "127.0.0.1", port)
            assert await one.send(b"end") == (3, None)

    with program(lua, code) as server:
        run(main, server.port())
        assert server.wait() == 0


# UNIX.


def test_a_unix_stream_from_its_client(lua_unix: str, tmp_path: Path) -> None:
    code = """
    local client = assert(require "socket.unix".stream())
    assert(client:connect(arg[1]))
    assert(client:send("a line\\r\\n" .. ("x"):rep(300000)))
    assert(client:shutdown("send"))
    print(#client:receive("*a"))
    """
    path = str(tmp_path / "socket")

    async def main() -> None:
        with luasocket.unix() as server:
            assert await server.bind(path) == (1, None)
            assert server.listen() == (1, None)
            with beside(outcome, lua_unix, code, path) as client:
                with await accepted(server) as conn:
                    assert await conn.receive() == (b"a line", None, None)
                    data, _, _ = await conn.receive("*a")
                    assert data == b"x" * 300_000
                    assert await conn.send(data) == (300_000, None, None)
            assert client.outcome() == b"300000\n"

    run(main)


def test_a_unix_stream_to_its_server(lua_unix: str, tmp_path: Path) -> None:
    code = """
    local server = assert(require "socket.unix".stream())
    assert(server:bind(arg[1]))
    assert(server:listen())
    print("listening on it:1")
    local client = assert(server:accept())
    assert(client:receive() == "a line")
    client:settimeout(0.01)
    local data, err = client:receive()
    client:send(err .. "\\n")
    client:close()
    """
    path = str(tmp_path / "socket")

    async def main() -> None:
        with luasocket.unix() as client:
            assert await client.connect(path) == (1, None)
            assert await client.send(b"a line\n") == (7, None, None)
            assert await client.receive("*a") == (b"timeout\n", None, None)

    with program(lua_unix, code, path) as server:
        server.announced("listening")
        run(main)
        assert server.wait() == 0


def test_unix_datagrams(lua_unix: str, tmp_path: Path) -> None:
    code = """
    local sock = assert(require "socket.unix".dgram())
    assert(sock:bind(arg[2]))
    assert(sock:sendto("hello", arg[1]) == 5)
    local data, path = sock:receivefrom()
    print(data, path == arg[1])
    assert(sock:connect(arg[1]))
    assert(sock:send("") == 0)
    """
    path, other = str(tmp_path / "ours"), str(tmp_path / "its")

    async def main() -> None:
        with luasocket.unix.dgram() as sock:
            assert await sock.bind(path) == (1, None)
            with beside(outcome, lua_unix, code, path, other) as client:
                assert await sock.receivefrom() == (b"hello", other)
                assert await sock.sendto(b"answer", other) == (6, None)
                assert await sock.receivefrom() == (b"", other)
            assert client.outcome() == b"answer\ttrue\n"

    run(main)
