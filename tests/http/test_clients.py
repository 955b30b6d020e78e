"""Clients that others have written, and http.serve(), a whole program."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import socket2
from socket2 import http as http2

from ..interop import curl
from ..interop.peers import LIMIT_S, Program, connect, needs, python, receive_all

SERVER = """
import sys
from socket2 import http

async def answer(request):
    if request.path == "/chunks":
        await request.start(200)
        while data := await request.recv(7):
            await request.send(data)
    elif request.path == "/refuse":
        await request.respond(403, "no")
    else:
        body = await request.read()
        await request.respond(200, body or b"hello", {"X-Method": request.method, "X-Version": request.http_version})

def ready(server):
    print("listening on", server.addresses[0][1], flush=True)

if __name__ == "__main__":
    http.serve(answer, "127.0.0.1", 0, ready=ready, **eval(sys.argv[1]))
"""


@contextmanager
def server(tmp_path: Path, **options: object) -> Iterator[tuple[Program, int]]:
    """Run a program that serves; a signal ends it gracefully. Windows has no SIGTERM that can be handled."""
    path = tmp_path / "server.py"
    path.write_text(SERVER)
    with python(path, repr(options)) as program:
        yield program, program.port(r"listening on (\d+)")
        program.send_signal(signal.SIGINT if os.name == "nt" else signal.SIGTERM)
        status, said = program.wait(LIMIT_S), program.stderr()
        assert (status, said) == (0, b"")


def asked(port: int, *args: str, path: str = "/") -> bytes:
    done = subprocess.run(
        curl.command(*args, f"http://127.0.0.1:{port}{path}"), capture_output=True, timeout=LIMIT_S, check=True
    )
    return done.stdout


def test_curl(tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(bytes(range(256)) * 1000)
    url = "http://127.0.0.1:{}/"
    with server(tmp_path) as (_, port):
        assert asked(port) == b"hello"
        assert b"x-method: HEAD" in asked(port, "--head")
        assert b"x-version: 1.0" in asked(port, "--http1.0", "--include")
        large = ("--data-binary", f"@{body}", "--expect100-timeout", "30")
        assert asked(port, *large) == body.read_bytes()
        chunked = ("--upload-file", str(body), "--header", "Transfer-Encoding: chunked")
        assert asked(port, *chunked, path="/chunks") == body.read_bytes()
        assert asked(port, *large, "--write-out", "%{http_code}", path="/refuse") == b"no403"
        again = asked(port, "--write-out", "%{num_connects}", url.format(port), "--write-out", "%{num_connects}")
        assert again == b"hello1hello0"


def test_the_standard_librarys_client(tmp_path: Path) -> None:
    with server(tmp_path) as (_, port):
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
        for path, body in (("/", b"x"), ("/chunks", iter([b"abc", b"defghijklm"])), ("/", None)):
            client.request("PUT", path, body)
            answer = client.getresponse()
            assert answer.status == 200
            assert answer.read() == {"/": b"x" if body else b"hello", "/chunks": b"abcdefghijklm"}[path]
        client.close()


NODE = """
const http = require('http');
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
const port = +process.argv[1];
const out = [];
function ask(method, path, body, next) {
  const request = http.request({port, host: '127.0.0.1', method, path, agent}, answer => {
    let text = '';
    answer.on('data', data => text += data);
    answer.on('end', () => { out.push([answer.statusCode, text, request.reusedSocket]); setImmediate(next); });
  });
  if (body) for (const piece of body) request.write(piece);
  request.end();
}
ask('GET', '/', null, () => ask('POST', '/chunks', ['abc', 'defg'], () => ask('HEAD', '/', null, () =>
  ask('POST', '/', ['x'], () => { console.log(JSON.stringify(out)); agent.destroy(); }))));
"""


def test_node(tmp_path: Path) -> None:
    node = needs("node", "nodejs")
    with server(tmp_path) as (_, port):
        done = subprocess.run([node, "-e", NODE, str(port)], capture_output=True, timeout=LIMIT_S, check=True)
    assert json.loads(done.stdout) == [[200, "hello", False], [200, "abcdefg", True], [200, "", True], [200, "x", True]]


@pytest.mark.parametrize("options", [{"members": 2}, {"members": None, "workers": 2}, {"members": None}])
def test_several_os_threads_or_processes(options: dict[str, int], tmp_path: Path) -> None:
    if "workers" in options and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    with server(tmp_path, **options) as (_, port):
        for _ in range(4):
            with connect("127.0.0.1", port) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                assert receive_all(client).endswith(b"\r\n\r\nhello")


def test_an_error_of_a_server_of_several_os_threads_is_raised(tmp_path: Path) -> None:
    program = "from socket2 import http\nhttp.serve(print, '127.0.0.1', 0, members=2, ready=lambda server: 1 / 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1
    assert b"ZeroDivisionError" in done.stderr


@pytest.mark.parametrize("members", [0, 2])
def test_wrong_numbers_of_members(members: int) -> None:
    with pytest.raises(ValueError, match="members"):
        http2.serve(print, "127.0.0.1", 0, members=members, workers=1)


def test_https(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    pem = tmp_path / "server.pem"
    certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))

    async def scheme(request: http2.Request) -> None:
        await request.respond(200, request.scheme)

    async def main() -> None:
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
        served = socket2.Server(http2.handler(scheme), tls=socket2.server_context(pem))
        await served.listen("127.0.0.1", 0)
        with await socket2.connect(
            "127.0.0.1", served.addresses[0][1], tls=trusting, server_hostname="localhost"
        ) as conn:
            stream = socket2.stream(conn)
            await stream.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2 + b"GET / HTTP/1.0\r\n\r\n")
            found = await stream.recvall()
            assert found.count(b"\r\n\r\nhttps") == 3
        await served.stop()

    socket2.run(main)
