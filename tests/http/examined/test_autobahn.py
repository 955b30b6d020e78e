"""The Autobahn test suite, which asks a WebSocket server, and a client, all that it can think of.

It runs under Python 2.7 only. AUTOBAHN names the folder that it was installed into:

    python2.7 -m pip install --target FOLDER autobahntestsuite

AUTOBAHN_PYTHON is that Python, unless it is `python2.7`; AUTOBAHN_CASES are the cases, separated by blanks. `*` for all
of them takes an hour.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

import socket2
from socket2 import http

from ...interop.peers import Program, needs

SUITE_S = 7200.0

# All cases but those of compression, of which three of each kind, for messages of a few sizes.
KINDS = [*(f"12.{kind}" for kind in range(1, 6)), *(f"13.{kind}" for kind in range(1, 8))]
CASES = " ".join(["1.* 2.* 3.* 4.* 5.* 6.* 7.* 9.* 10.*", *(f"{kind}.{case}" for kind in KINDS for case in (1, 4, 11))])

# Text that is not UTF-8, in a frame of which only a part has come: strictly it would be refused before the rest. A
# frame is decoded when it is complete, because that takes one pass. RFC 6455, 8.1 does not say when.
LATER = {"6.4.3", "6.4.4"}

RUNNER = """
import site, sys
site.addsitedir(sys.argv.pop(1))
from autobahntestsuite.wstest import run
run()
"""


@pytest.fixture
def command() -> list[str]:
    where = os.environ.get("AUTOBAHN")
    if where is None:
        pytest.skip("AUTOBAHN does not name the folder of the Autobahn test suite")
    return [needs(os.environ.get("AUTOBAHN_PYTHON", "python2.7"), "pyenv install 2.7.18"), "-c", RUNNER, where]


def suite(command: list[str], folder: Path, mode: str, **spec: object) -> Program:
    """Run the suite in a mode of its own."""
    cases = os.environ.get("AUTOBAHN_CASES", CASES).split()
    spec |= {"outdir": str(folder), "cases": cases, "exclude-cases": [], "exclude-agent-cases": {}}
    (folder / "spec.json").write_text(json.dumps(spec))
    return Program([*command, "-m", mode, "-u", "0", "-s", str(folder / "spec.json")])


def check(folder: Path) -> None:
    """Look at what the suite has found, for the one that it has asked."""
    (found,) = json.loads((folder / "index.json").read_text()).values()
    bad = {case for case, verdict in found.items() if verdict["behavior"] not in ("OK", "INFORMATIONAL")}
    assert all(found[case]["behavior"] == "NON-STRICT" for case in bad)
    assert bad <= LATER
    assert all(verdict["behaviorClose"] in ("OK", "INFORMATIONAL") for verdict in found.values())
    print(f"{len(found)} cases, {len(bad)} of them not strict")


async def echo(request: http.Request) -> None:
    ws = await request.websocket(max_bytes=1 << 26)
    async for message in ws:
        await ws.send(message)


def test_our_server(command: list[str], tmp_path: Path) -> None:
    async def main() -> None:
        server = socket2.Server(http.handler(echo))
        await server.listen("127.0.0.1", 0)
        url = f"ws://127.0.0.1:{server.addresses[0][1]}"
        with suite(command, tmp_path, "fuzzingclient", servers=[{"agent": "socket2", "url": url}]) as program:
            assert await socket2.call_in_thread(program.wait, SUITE_S) == 0
        await server.stop()

    socket2.run(main)
    check(tmp_path)


async def reached(url: str) -> http.WebSocket:
    """Connect to the suite as soon as it listens."""
    while True:
        try:
            return await http.websocket(url)
        except http.ConnectError:
            await socket2.sleep(0.05)


async def answer_cases(url: str) -> None:
    async with await reached(f"{url}/getCaseCount") as ws:
        count = int(await ws.recv() or 0)
    for case in range(1, count + 1):
        try:
            async with await http.websocket(f"{url}/runCase?case={case}&agent=socket2", max_bytes=1 << 26) as ws:
                async for message in ws:
                    await ws.send(message)
        except (http.WebSocketClosed, OSError):
            pass  # many cases end so
    async with await http.websocket(f"{url}/updateReports?agent=socket2") as ws:
        assert await ws.recv() is None


def test_our_client(command: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"ws://127.0.0.1:{free.getsockname()[1]}"
    with suite(command, tmp_path, "fuzzingserver", url=url):
        socket2.run(answer_cases, url)
    check(tmp_path)
