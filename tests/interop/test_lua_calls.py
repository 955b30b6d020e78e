"""socket2.luasocket and LuaSocket itself, side by side: the same calls have the same results."""

from __future__ import annotations

import random
import socket
from pathlib import Path
from typing import Any

from socket2 import luasocket

from . import test_lua
from .peers import LIMIT_S, beside, run
from .test_lua import outcome

lua = test_lua.lua


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
