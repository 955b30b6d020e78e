"""socket2.luasocket and LuaSocket itself, each as server and client of the other, and side by side."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

import socket2
from socket2 import luasocket

from .peers import LIMIT_S, Program, beside, call, pattern, run

BIG = pattern(50, 2_000_000).replace(b"\r", b"r")


@pytest.fixture(scope="module")
def lua() -> str:
    """A Lua interpreter that has LuaSocket."""
    for name in ("lua5.4", "lua5.3", "lua5.1", "lua", "luajit"):
        path = shutil.which(name)
        if path and not subprocess.run([path, "-e", 'require "socket"'], capture_output=True, check=False).returncode:
            return path
    pytest.skip("there is no Lua with LuaSocket (Debian: lua5.4 lua-socket)")


@pytest.fixture
def lua_unix(lua: str) -> str:
    if subprocess.run([lua, "-e", 'require "socket.unix"'], capture_output=True, check=False).returncode:
        pytest.skip("this LuaSocket has no UNIX sockets")
    return lua


def script(code: str) -> str:
    return 'io.stdout:setvbuf("no") local socket = require "socket"\n' + code


def program(lua: str, code: str, *args: object) -> Program:
    """Run Lua code beside the block. `arg` has its arguments. It prints its port when it is ready."""
    return Program([lua, "-e", f"arg = {{{', '.join(map(_quoted, args))}}}\n{script(code)}"])


def outcome(lua: str, code: str, *args: object) -> bytes:
    """Run Lua code to its end, in an OS thread. Return what it printed."""
    return call([lua, "-e", f"arg = {{{', '.join(map(_quoted, args))}}}\n{script(code)}"]).stdout


def _quoted(value: object) -> str:
    return str(value) if isinstance(value, int) else '"' + str(value).replace("\\", "\\\\") + '"'


# Its servers and our clients.

ECHO_SERVER = """
local server = assert(socket.bind("127.0.0.1", 0))
print("listening on 127.0.0.1:" .. select(2, server:getsockname()))
local client = assert(server:accept())
while true do
    local line, err = client:receive()
    if err then break end
    assert(client:send(line .. "\\n"))
end
client:close()
"""


def test_our_client_and_its_echo_server_in_lines(lua: str) -> None:
    async def main(port: int) -> None:
        client, err = await luasocket.connect("localhost", port)
        assert client is not None, err
        with client:
            for line in (b"one", b"", b"three " * 1000):
                assert await client.send(line + b"\r\n") == (len(line) + 2, None, None)
                assert await client.receive() == (line, None, None)
            assert client.shutdown("send") == 1
            assert await client.receive("*a") == (None, "closed", b"")

    with program(lua, ECHO_SERVER) as server:
        run(main, server.port())
        assert server.wait() == 0


def test_our_script_and_its_echo_server(lua: str) -> None:
    """The client runs outside any thread, as users of LuaSocket write it."""
    with program(lua, ECHO_SERVER) as server:
        client, err = luasocket.connect("127.0.0.1", server.port())
        assert err is None
        client.settimeout(LIMIT_S)
        for line in (b"one", b"two"):
            luasocket.try_(*client.send(line + b"\n"))
            data, err, _partial = client.receive()
            assert (data, err) == (line, None)
        assert client.close() == 1
        assert server.wait() == 0


def test_a_big_transfer_to_its_server_and_back(lua: str) -> None:
    """The server ends its stream after it has received everything; we end ours before we receive."""
    code = """
    local server = assert(socket.bind("127.0.0.1", 0))
    print("listening on 127.0.0.1:" .. select(2, server:getsockname()))
    local client = assert(server:accept())
    local all = assert(client:receive("*a"))
    assert(client:send(all) == #all)
    client:close()
    """

    async def main(port: int) -> None:
        client, err = await luasocket.connect("127.0.0.1", port)
        assert client is not None, err
        with client:
            assert await client.send(BIG) == (len(BIG), None, None)
            client.shutdown("send")
            assert await client.receive(1000) == (BIG[:1000], None, None)
            assert await client.receive("*a", BIG[:1000]) == (BIG, None, None)
            assert client.getstats()[:2] == (len(BIG), len(BIG))

    with program(lua, code) as server:
        run(main, server.port())
        assert server.wait() == 0


def test_its_silent_server_makes_our_client_time_out(lua: str) -> None:
    code = """
    local server = assert(socket.bind("127.0.0.1", 0))
    print("listening on 127.0.0.1:" .. select(2, server:getsockname()))
    local client = assert(server:accept())
    client:send("half a line")
    assert(client:receive() == "the end")
    client:send(" and the rest\\n")
    client:close()
    """

    async def main(port: int) -> None:
        client, err = await luasocket.connect("127.0.0.1", port)
        assert client is not None, err
        with client:
            assert await client.receive(1) == (b"h", None, None)
            client.settimeout(0.05)
            data, err, partial = await client.receive("*l", b"h")
            assert (data, err, partial) == (None, "timeout", b"half a line")
            client.settimeout(0.05, "t")
            assert await client.receive("*l", partial) == (None, "timeout", partial)
            client.settimeout(None)
            client.settimeout(None, "t")
            await client.send(b"the end\n")
            assert await client.receive("*l", partial) == (b"half a line and the rest", None, None)

    with program(lua, code) as server:
        run(main, server.port())
        assert server.wait() == 0


# Our servers and its clients.


async def accepted(server: luasocket.TCP | luasocket.UnixStream) -> Any:
    client, err = await server.accept()
    assert client is not None, err
    return client


async def echo_lines(client: Any) -> None:
    with client:
        while (line := (await client.receive())[0]) is not None:
            await client.send(line + b"\n")


def test_its_clients_and_our_echo_server(lua: str) -> None:
    code = """
    local client = assert(socket.connect("127.0.0.1", arg[1]))
    for _, line in ipairs {"one", "", ("three "):rep(1000)} do
        assert(client:send(line .. "\\r\\n") == #line + 2)
        assert(client:receive() == line)
    end
    assert(client:shutdown("send"))
    print(client:receive("*a"))
    """

    async def main() -> None:
        server, err = await luasocket.bind("127.0.0.1", 0)
        assert server is not None, err
        with server, beside(outcome, lua, code, server.getsockname()[1]) as first:
            with beside(outcome, lua, code, server.getsockname()[1]) as second:
                threads = [socket2.newthread(echo_lines, await accepted(server)) for _ in range(2)]
                for thread in threads:
                    await thread.join()
        for client in (first, second):
            assert client.outcome().split() == [b"nil", b"closed"]

    run(main)


def test_a_big_transfer_from_its_client_and_back(lua: str) -> None:
    code = """
    local client = assert(socket.connect("127.0.0.1", arg[1]))
    local data = ("0123456789abcde\\n"):rep(100000)
    local sent = assert(client:send(data))
    client:shutdown("send")
    local back = assert(client:receive("*a"))
    print(sent == #data and back == data)
    """

    async def main() -> None:
        server, err = await luasocket.bind("127.0.0.1", 0)
        assert server is not None, err
        with server, beside(outcome, lua, code, server.getsockname()[1]) as client:
            with await accepted(server) as conn:
                data, err, _ = await conn.receive("*a")
                assert (len(data), err) == (1_600_000, None)
                assert await conn.send(data) == (len(data), None, None)
        assert client.outcome() == b"true\n"

    run(main)


def test_our_silent_server_makes_its_client_time_out(lua: str) -> None:
    code = """
    local client = assert(socket.connect("127.0.0.1", arg[1]))
    assert(client:receive(1) == "h")
    client:settimeout(0.05)
    local data, err, partial = client:receive("*l", "h")
    print(data, err, partial)
    client:settimeout(nil)
    client:send("the end\\n")
    print(client:receive("*l", partial))
    """

    async def main() -> None:
        server, err = await luasocket.bind("127.0.0.1", 0)
        assert server is not None, err
        with server, beside(outcome, lua, code, server.getsockname()[1]) as client:
            with await accepted(server) as conn:
                await conn.send(b"half a line")
                assert await conn.receive() == (b"the end", None, None)
                await conn.send(b" and the rest\n")
        first, second = client.outcome().splitlines()
        assert first.split(maxsplit=2) == [b"nil", b"timeout", b"half a line"]
        assert second.rstrip() == b"half a line and the rest\tnil\tnil"

    run(main)


def test_our_reset_is_closed_to_its_client_as_its_is_to_ours(lua: str) -> None:
    code = """
    local client = assert(socket.connect("127.0.0.1", arg[1]))
    client:send("x\\n")
    print(client:receive("*a"))
    """

    async def main() -> None:
        server, err = await luasocket.bind("127.0.0.1", 0)
        assert server is not None, err
        with server, beside(outcome, lua, code, server.getsockname()[1]) as client:
            with await accepted(server) as conn:
                assert await conn.receive() == (b"x", None, None)
                assert conn.setoption("linger", {"on": True, "timeout": 0}) == (1, None)
        assert client.outcome().split() == [b"nil", b"closed"]

    run(main)
