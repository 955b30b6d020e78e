"""Many connections, slow clients, large bodies, and the ends of servers: `python -m tests.http.scale [NAME...]`.

Each scenario prints a line, or fails. With all of them, the command takes two minutes.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import socket2
from tests.interop.peers import LIMIT_S, Program, beside, python

from ...limits import allow_descriptors
from ..scene import whole_answer

PROGRAM = Path(__file__).with_name("subject.py")
GET = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
MB = 1 << 20


@contextmanager
def serving(**options: Any) -> Iterator[tuple[Program, int]]:
    with python(PROGRAM, repr(options)) as program:
        yield program, program.port(r"port (\d+)")


def stop(program: Program) -> bytes:
    """Stop it gracefully, and return what it has printed."""
    program.send_signal(signal.SIGTERM)
    status, said = program.wait(LIMIT_S), program.stderr()
    assert (status, said) == (0, b""), (status, said)
    return program.stdout()


def kilobytes(program: Program, what: str = "VmRSS") -> int:
    """Return how much memory a process has; with "VmHWM", the most that it has had."""
    lines = Path(f"/proc/{program.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))


async def connect(port: int) -> socket2.Stream:
    return socket2.stream(await socket2.connect("127.0.0.1", port))


async def ask(conn: socket2.Stream, path: bytes = b"/") -> str:
    await conn.sendall(GET % path)
    status, _, body = await whole_answer(conn)
    assert status == 200, status
    return body.decode()


async def ask_once(port: int, path: bytes = b"/") -> str:
    with await connect(port) as conn:
        return await ask(conn, path)


async def at_once(count: int, func: Callable[..., Any], *args: Any) -> None:
    """Run so many threads of a function, and raise the first error."""
    async with socket2.threadset() as threads:
        for number in range(count):
            threads.newthread(func, number, *args)


async def idle() -> str:
    """10 000 connections that stay. Each has had an answer and can get another; a stop closes them at once."""
    count = 10_000
    allow_descriptors(count + 100)  # the server inherits it
    with serving(limits={"idle_s": None, "head_s": None}, backlog=1024) as (program, port):
        await ask_once(port)
        before = kilobytes(program)
        conns: list[socket2.Stream] = []

        async def one(_: int) -> None:
            for _ in range(count // 100):
                conns.append(await connect(port))
                await ask(conns[-1])

        await at_once(100, one)
        each = (kilobytes(program) - before) / count
        assert int(await ask(conns[0], b"/connections")) == count
        for conn in conns:
            await ask(conn)
        program.send_signal(signal.SIGTERM)
        for conn in conns:
            assert await conn.recvall() == b""
            conn.close()
        assert program.wait(LIMIT_S) == 0
        assert each < 16
    return f"{count} idle connections of {each:.1f} KB each"


BODY = b"POST /drop HTTP/1.1\r\nHost: a\r\n"
CHUNKED = BODY + b"Transfer-Encoding: chunked\r\n\r\n"

# What comes first, then again and again, and the status that ends it; 0: none.
SLOW = {
    "nothing": (b"", b"", 0),
    "heads": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"A: b\r\n", 408),
    "bodies": (BODY + b"Content-Length: 1000000\r\n\r\n", b"a", 408),
    "chunks": (CHUNKED, b"1\r\na\r\n", 408),
    "trailers": (CHUNKED + b"0\r\n", b"A: b\r\n", 408),
}
ENDLESS = {
    "empty lines": (b"", b"\r\n" * 1000, 400),
    "line": (b"GET /", b"a" * 10_000, 414),
    "fields": (b"GET / HTTP/1.1\r\nHost: a\r\n", b"A: b\r\n" * 1000, 431),
    "field": (b"GET / HTTP/1.1\r\nHost: a\r\nA: ", b"a" * 10_000, 431),
    "body": (CHUNKED, b"8000\r\n" + bytes(1 << 15) + b"\r\n", 413),
    "extension": (CHUNKED + b"1;a=", b"a" * 10_000, 400),
    "extensions": (CHUNKED, b"1;a=bcdefghijkl\r\na\r\n" * 500, 400),
    "trailers": (CHUNKED + b"0\r\n", b"A: b\r\n" * 1000, 431),
}


async def torment(port: int, begun: bytes, again: bytes, pause_s: float) -> int:
    """Send until the server has had enough. Return the status of its answer, 0 if none was received."""
    with await connect(port) as conn:
        said = b""
        try:
            await conn.sendall(begun)
            while not said:
                await conn.sendall(again)
                with socket2.move_on_after(pause_s):
                    said = await conn.recv(1 << 16)
                    break
        except ConnectionError:
            pass  # it has closed while we sent
        return int(said[9:12] or b"0")


async def against(kinds: dict[str, tuple[bytes, bytes, int]], count: int, pause_s: float) -> str:
    """Be so many clients that send without an end, while others are served. All are cut off, and leave nothing."""
    limits = {"head_s": 3, "body_s": 3, "idle_s": 3, "body_bytes": MB}
    with serving(limits=limits, backlog=1024) as (program, port):
        await ask_once(port)
        before = kilobytes(program)
        served = 0
        statuses: dict[str, set[int]] = {name: set() for name in kinds}

        def others() -> None:
            """Be a client in an OS thread, which the work of those here does not delay."""
            nonlocal served
            while not over.is_set():
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=LIMIT_S) as response:
                    response.read()
                served += 1
                over.wait(0.02)

        async def one(number: int) -> None:
            name = list(kinds)[number % len(kinds)]
            statuses[name].add(await torment(port, *kinds[name][:2], pause_s))

        over = threading.Event()
        with beside(others):
            try:
                await at_once(count, one)
            finally:
                over.set()
        while (left := int(await ask_once(port, b"/connections"))) > 1:
            await socket2.sleep(0.05)
        grown = kilobytes(program, "VmHWM") - before
        stop(program)
    assert left == 1
    for name, (_, _, expected) in kinds.items():
        found = statuses[name] - {0, 408}  # nothing was received, or the machine is busy
        assert found == {expected} - {0, 408}, (name, statuses[name])
    assert served > 5
    assert grown < 128 * count, grown  # a head and a block of 64 KB
    return f"{count} clients, at most {grown / count:.1f} KB each; {served} others were served"


async def slow() -> str:
    return await against(SLOW, 2000, 0.3)


async def endless() -> str:
    return await against(ENDLESS, 2000, 0.0)


async def large() -> str:
    """A gigabyte up, with a length and in chunks, and one down, through a proxy whose memory stays flat."""
    size = 1 << 30
    limits = {"body_bytes": None}
    with (
        serving(limits=limits) as (upstream, port),
        serving(limits=limits, upstream=f"http://127.0.0.1:{port}") as (program, proxy),
    ):
        await ask_once(proxy)
        before = kilobytes(program)
        block = bytes(1 << 16)
        with await connect(proxy) as conn:
            await conn.sendall(BODY + b"Content-Length: %d\r\n\r\n" % size)
            for _ in range(0, size, len(block)):
                await conn.sendall(block)
            status, _, body = await whole_answer(conn)
            assert (status, body) == (200, b"%d" % size)
            await conn.sendall(CHUNKED)
            for _ in range(0, size, len(block)):
                await conn.sendv([b"10000\r\n", block, b"\r\n"])
            await conn.sendall(b"0\r\n\r\n")
            status, _, body = await whole_answer(conn)
            assert (status, body) == (200, b"%d" % size)
            await conn.sendall(GET % (b"/bytes?%d" % size))
            await conn.recvuntil(b"\r\n\r\n")
            left = size
            while left:
                left -= len(await conn.recv(min(left, 1 << 18)))
        grown = kilobytes(program, "VmHWM") - before
        stop(program)
        stop(upstream)
    assert grown < 8 * 1024, grown
    return f"3 GB through a proxy whose memory grew by {grown / 1024:.1f} MB"


async def ends() -> str:
    """A stop under load, again and again: each request that a handler has begun is answered, and in full."""
    rounds, total = 10, 0
    for _ in range(rounds):
        with serving() as (program, port):
            answered = 0

            async def one(_: int) -> None:
                nonlocal answered
                try:
                    conn = await connect(port)
                except OSError:
                    return
                with conn:
                    while True:
                        try:
                            await conn.sendall(GET % b"/work")
                            if not await conn.peek():
                                return
                        except ConnectionError:
                            return
                        status, fields, body = await whole_answer(conn)
                        assert (status, int(body)) == (200, program.pid)
                        answered += 1
                        if "connection" in fields:
                            return

            async with socket2.threadset() as clients:
                for number in range(100):
                    clients.newthread(one, number)
                while answered < 200:
                    await socket2.sleep(0.001)
                program.send_signal(signal.SIGTERM)
            begun = stop(program).split()[-1]
            assert int(begun) == answered, (begun, answered)
            total += answered
    return f"{rounds} stops under load, {total} requests begun and answered"


async def killed() -> str:
    """One of four workers is killed: only its connections break, and another takes its place."""
    with serving(workers=4) as (program, port):
        broken: list[str] = []
        pids: dict[int, str] = {}
        over = False

        async def one(number: int) -> None:
            conn = await connect(port)
            while not over:
                try:
                    pids[number] = (await ask(conn)).split()[0]
                except (OSError, EOFError):
                    broken.append(pids[number])
                    conn.close()
                    conn = await connect(port)
            conn.close()

        async with socket2.threadset() as clients:
            for number in range(100):
                clients.newthread(one, number)
            while len(pids) < 100:
                await socket2.sleep(0.001)
            victim = pids[0]
            before = set(pids.values())
            mine = sum(pid == victim for pid in pids.values())
            os.kill(int(victim), signal.SIGKILL)
            while len(broken) < mine:
                await socket2.sleep(0.001)
            while before.issuperset([(await ask_once(port)).split()[0] for _ in range(20)]):
                await socket2.sleep(0.01)
            over = True
        assert broken == [victim] * mine
        program.send_signal(signal.SIGTERM)
        assert program.wait(LIMIT_S) == 0
    return f"one of 4 workers killed: {mine} of 100 clients lost their connection, and none of the others"


SCENARIOS = {"idle": idle, "slow": slow, "endless": endless, "large": large, "ends": ends, "killed": killed}


async def main(names: list[str]) -> None:
    for name, scenario in SCENARIOS.items():
        if not names or name in names:
            print(f"{name}: {await scenario()}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="HTTP servers at scale")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    socket2.run(main, parser.parse_args().names)
