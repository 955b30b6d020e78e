"""socket2.luasocket and LuaSocket itself, each as server and client of the other, and side by side."""

from __future__ import annotations

import random
import shutil
import socket
import subprocess
from pathlib import Path
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


# The same calls, the same results.

RECEIVER = """
local function hex(s) return s and "x" .. s:gsub(".", function(c) return ("%02x"):format(c:byte()) end) or "nil" end
local function bytes(h) return (h:gsub("..", function(d) return string.char(tonumber(d, 16)) end)) end
for line in io.lines(arg[2]) do
    local client = assert(socket.connect("127.0.0.1", arg[1]))
    client:settimeout(30)
    for asked, prefix in line:gmatch("(%S+):x(%x*)") do
        local data, err, partial = client:receive(tonumber(asked) or asked, bytes(prefix))
        print(hex(data), err or "nil", hex(partial))
    end
    print(("%d"):format((client:getstats())))
    client:close()
end
"""


def test_the_same_receives_give_the_same(lua: str, tmp_path: Path) -> None:
    """Both receive the same streams to their ends, by the same random patterns and prefixes."""
    rng = random.Random(8)
    dialogues = [(_stream(rng), _patterns(rng)) for _ in range(150)]
    commands = tmp_path / "patterns"
    commands.write_text("".join(_line(asked) for _, asked in dialogues))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            for stream, _ in dialogues:
                conn, _ = listener.accept()
                with conn:
                    conn.settimeout(LIMIT_S)
                    conn.sendall(stream)
                    conn.shutdown(socket.SHUT_WR)
                    while conn.recv(100):
                        pass

        with beside(serve):
            theirs = outcome(lua, RECEIVER, port, commands).decode().splitlines()
        with beside(serve):
            ours = run(_receive, port, dialogues)
    for at, (mine, its) in enumerate(zip(ours, theirs, strict=True)):
        assert mine == its.split(), f"line {at}"


def _stream(rng: random.Random) -> bytes:
    pieces = [b"\r\n", b"\n", b"\r", b"", b"x", b"some text", b"\0", bytes(9000)]
    return b"".join(rng.choices(pieces, [8, 4, 2, 1, 4, 6, 1, 0.3], k=rng.randrange(30)))


def _patterns(rng: random.Random) -> list[tuple[str | int, bytes]]:
    asked: list[tuple[str | int, bytes]] = []
    for _ in range(rng.randrange(1, 20)):
        prefix = rng.choice([b"", b"", b"pre", b"\r\n"])
        choices: list[str | int] = ["*l", "*l", "*l", rng.randrange(1, 12), 5000]
        asked.append((rng.choice(choices), prefix))
    return [*asked, ("*a", b"pre"), ("*l", b""), ("*a", b"")]


def _line(asked: list[tuple[str | int, bytes]]) -> str:
    return " ".join(f"{pattern}:x{prefix.hex()}" for pattern, prefix in asked) + "\n"


async def _receive(port: int, dialogues: list[tuple[bytes, list[tuple[str | int, bytes]]]]) -> list[list[str]]:
    def told(data: bytes | None) -> str:
        return "nil" if data is None else f"x{data.hex()}"

    lines = []
    for _, asked in dialogues:
        client, err = await luasocket.connect("127.0.0.1", port)
        assert client is not None, err
        with client:
            for pattern, prefix in asked:
                data, err, partial = await client.receive(pattern, prefix)
                lines.append([told(data), err or "nil", told(partial)])
            lines.append([str(client.getstats()[0])])
    return lines


SENDER = """
local client = assert(socket.connect("127.0.0.1", arg[1]))
for i = -9, 9 do for j = -9, 9 do print((client:send("hello", i, j))) end end
"""


def test_the_same_sends_give_the_same(lua: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> bytes:
            conn, _ = listener.accept()
            with conn:
                conn.settimeout(LIMIT_S)
                data = b""
                while part := conn.recv(65536):
                    data += part
                return data

        with beside(serve) as to_it:
            theirs = [int(float(line)) for line in outcome(lua, SENDER, listener.getsockname()[1]).split()]
        with beside(serve) as to_us:
            client, _ = luasocket.connect("127.0.0.1", listener.getsockname()[1])
            ours = []
            for i in range(-9, 10):
                for j in range(-9, 10):
                    last, _err, _last = client.send(b"hello", i, j)
                    ours.append(last)
            client.close()
    assert ours == theirs
    assert to_us.outcome() == to_it.outcome()


ERRORS = r"""
local function show(...) local t = {...} for i = 1, 2 do t[i] = tostring(t[i]) end print(t[1] .. "|" .. t[2]) end
local function free() local s = socket.bind("127.0.0.1", 0) local _, p = s:getsockname() s:close() return p end
local server = socket.bind("127.0.0.1", 0)
local _, port = server:getsockname()
show(socket.connect("127.0.0.1", free()))
show(socket.bind("127.0.0.1", port))
show(socket.bind("192.0.2.1", 0))
show(socket.connect("127.0.0.1", "nosuchservice"))
local client = socket.connect("127.0.0.1", port)
client:connect("127.0.0.1", port) -- on Linux it is answered 1 once more
show(client:connect("127.0.0.1", port))
server:settimeout(0)
local accepted = server:accept()
show(server:accept())
client:settimeout(0)
show(client:receive())
show(socket.tcp():getsockname())
show(server:getpeername())
show(client:setoption("ipv6-v6only", true))
show(client:getoption("error"))
accepted:close()
socket.select({client}, nil, 5)
show(client:receive())
client:close()
show(client:receive())
show(client:send("x"))
show(client:getsockname())
show(client:setoption("keepalive", true))
show(client:getoption("keepalive"))
local udp = socket.udp()
udp:setpeername("127.0.0.1", free())
udp:send("x")
udp:settimeout(5)
show(udp:receive())
udp:settimeout(0)
show(udp:receive())
show(socket.dns.toip("x" .. ("y"):rep(300)))
show(socket.dns.getaddrinfo("no such name"))
show(socket.protect(function() socket.try(nil, "tried") end)())
"""


def test_errors_are_spelled_the_same(lua: str) -> None:
    """The script ERRORS, line by line."""
    theirs = [line.split("|")[1] for line in outcome(lua, ERRORS).decode().splitlines()]
    server, _ = luasocket.bind("127.0.0.1", 0)
    port = server.getsockname()[1]
    results: list[Any] = [luasocket.connect("127.0.0.1", _free())]
    results += [luasocket.bind("127.0.0.1", port), luasocket.bind("192.0.2.1", 0)]
    results.append(luasocket.connect("127.0.0.1", "nosuchservice"))
    client, _ = luasocket.connect("127.0.0.1", port)
    results.append(client.connect("127.0.0.1", port))
    server.settimeout(0)
    accepted, _ = server.accept()
    results.append(server.accept())
    client.settimeout(0)
    results += [client.receive(), luasocket.tcp().getsockname(), server.getpeername()]
    results += [client.setoption("ipv6-v6only", True), client.getoption("error")]
    accepted.close()
    luasocket.select([client], None, 5)
    results.append(client.receive())
    client.close()
    results += [client.receive(), client.send(b"x"), client.getsockname()]
    results += [client.setoption("keepalive", True), client.getoption("keepalive")]
    udp = luasocket.udp()
    udp.setpeername("127.0.0.1", _free())
    udp.send(b"x")
    udp.settimeout(5)
    results.append(udp.receive())
    udp.settimeout(0)
    results.append(udp.receive())
    results += [luasocket.dns.toip("x" + "y" * 300), luasocket.dns.getaddrinfo("no such name")]
    results.append(luasocket.protect(lambda: luasocket.try_(None, "tried"))())
    udp.close()
    server.close()
    ours = ["nil" if result[1] is None else str(result[1]) for result in results]
    assert ours == theirs


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
