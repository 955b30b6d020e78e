"""The health path, and servers that are stopped or killed behind HAProxy while it sends them requests."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import http

from ..interop.haproxy import haproxy
from ..interop.peers import LIMIT_S, Program, python, run
from .scene import ask, connect, exchanges, serve, undated, whole_answer

SERVER = """
import os
from socket2 import http

async def tell(request):
    await request.respond(200, str(os.getpid()))

def ready(server):
    print("listening on", "%s:%d" % server.addresses[0], flush=True)

http.serve(tell, "127.0.0.1:0", health="/healthz", drain_s=2, ready=ready)
"""

needs_signals = pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM for other processes")


async def hello(request: http.Request) -> None:
    await request.respond(200, "hello")


def get(path: bytes, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: a\r\n\r\n" % (method, path)


def test_the_health_path() -> None:
    found = exchanges(hello, get(b"/healthz"), get(b"/healthz?a"), get(b"/healthz/"), health="/healthz")
    assert found.count(b"\r\n\r\nok\n") == 2
    assert found.count(b"\r\n\r\nhello") == 1
    assert exchanges(hello, get(b"/healthz", b"POST"), health="/healthz").endswith(b"hello")
    for wrong in ("healthz", "/\xe9"):
        with pytest.raises(ValueError, match="health path"):
            http.handler(hello, health=wrong)


def test_a_server_that_leaves_says_so_and_goes_on() -> None:
    async def client(server: socket2.Server) -> None:
        with await connect(server) as conn:
            await conn.sendall(get(b"/"))
            assert "connection" not in (await whole_answer(conn))[1]
            server.leaving.set()
            found = await ask(server, get(b"/healthz"), end=False)
            assert found.startswith(b"HTTP/1.1 503 ")
            assert found.endswith(b"\r\nconnection: close\r\n\r\nleaving\n")
            await conn.sendall(get(b"/"))
            assert undated(await conn.recvall()).endswith(b"\r\nconnection: close\r\n\r\nhello")

    serve(hello, client, health="/healthz")


@needs_signals
@pytest.mark.parametrize("signals", [1, 2])
def test_a_signal_begins_the_drain_and_a_second_one_ends_it(signals: int) -> None:
    async def main() -> None:
        async def ready(server: socket2.Server) -> None:
            for _ in range(signals):
                os.kill(os.getpid(), signal.SIGTERM)
                await server.leaving.wait()
            if signals == 1:
                assert not server.stopping.is_set()
                assert (await ask(server, get(b"/"), end=False)).endswith(b"hello")
                await server.stop()

        handler = http.handler(hello)
        await socket2.serve(handler, "127.0.0.1:0", drain_s=LIMIT_S, signals=[signal.SIGTERM], ready=ready)

    run(main)


async def requests(address: Any, over: socket2.Event, answers: list[bytes]) -> None:
    """Send one request after another until it is over, on a connection as long as it lasts; note who answers."""
    while not over.is_set():
        with socket2.stream(await socket2.connect(address)) as conn:
            try:
                while not over.is_set():
                    await conn.sendall(get(b"/"))
                    status, fields, body = await whole_answer(conn)
                    answers.append(body if status == 200 else b"failed")
                    if fields.get("connection") == "close":
                        break
            except (OSError, EOFError):
                answers.append(b"failed")


async def until_more(answers: list[bytes], count: int, but: int = 0) -> None:
    """Wait for so many further answers, none of them by a process."""
    start = len(answers)
    while len([one for one in answers[start:] if one != b"%d" % but]) < count:
        await socket2.sleep(0.005)


@needs_signals
def test_no_request_is_lost_but_on_a_server_that_is_killed(tmp_path: Path) -> None:
    """HAProxy spreads requests over three servers. One leaves, and then another one is killed."""
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    clients = 4

    async def load(address: Any, leaving: Program, killed: Program) -> list[bytes]:
        answers: list[bytes] = []
        over = socket2.Event()
        with socket2.timeout(LIMIT_S):
            async with socket2.threadset() as threads:
                for _ in range(clients):
                    threads.newthread(requests, address, over, answers)
                while len(set(answers)) < 3:
                    await socket2.sleep(0.005)
                leaving.send_signal(signal.SIGTERM)
                while leaving.process.poll() is None:
                    await socket2.sleep(0.005)
                await until_more(answers, 100)
                assert leaving.process.returncode == 0
                assert b"failed" not in answers
                killed.send_signal(signal.SIGKILL)
                await until_more(answers, 200)
                over.set()
        return answers

    with python(path) as one, python(path) as two, python(path) as three:
        check = "check inter 100ms rise 1 fall 1"
        lines = " timeout check 30s\n option httpchk GET /healthz\n balance roundrobin\n option redispatch 1\n"
        servers = (one, two, three)
        lines += "\n".join(f" server s{n} 127.0.0.1:{each.port()} {check}" for n, each in enumerate(servers))
        with haproxy(tmp_path / "h", lines, mode="http") as address:
            answers = run(load, address, two, three)
    # A client may lose a request that is under way, and the next one to a connection that HAProxy has kept.
    assert answers.count(b"failed") <= 2 * clients
    assert answers[-50:] == [b"%d" % one.pid] * 50
