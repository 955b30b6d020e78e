"""The client with servers that others have written: Python's own, Node, nginx, and our own."""

from __future__ import annotations

import gzip
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from socket2 import Server, http
from socket2.http import Client
from socket2.http.client.decoding import accepted
from tests.interop.peers import Program, needs, pattern
from tests.tls.certificates import Authority
from tests.tls.test_nginx import BODY, nginx

from .scripted import Steps, in_thread, pythons_server

DATA = pattern(18, 300_000)


class Handler(BaseHTTPRequestHandler):
    """It sends heads and bodies in pieces of their own."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/old":
            self.send_response(301)
            self.send_header("Location", "/new")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        body = gzip.compress(self.path.encode())
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        """It sends 100 (Continue) by itself."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(body), 100_000):
            piece = body[start : start + 100_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
@in_thread
def test_pythons_server(version: str) -> Steps:
    class Versioned(Handler):
        protocol_version = version

    with pythons_server(Versioned) as url, Client() as client:
        with (yield from client.request("GET", f"{url}/old")) as response:
            assert (yield from response.text()) == "/new"
            assert response.http_version == version[-3:]
        if version == "HTTP/1.1":
            for headers in ({}, {"Expect": "100-continue"}):
                with (yield from client.request("PUT", url, body=DATA, headers=headers)) as response:
                    assert (yield from response.read()) == DATA
                assert [status for status, _ in response.interim] == [100] * len(headers)
            assert client._means.pool.idle == 1


NODE = """
const http = require('http'), zlib = require('zlib');
const server = http.createServer((request, response) => {
    if (request.url === '/echo') {
        response.writeHead(200, {'Content-Type': request.headers['content-type'] || 'none', Trailer: 'Sum'});
        let size = 0;
        request.on('data', data => { size += data.length; response.write(data); });
        request.on('end', () => { response.addTrailers({Sum: String(size)}); response.end(); });
    } else if (request.url === '/early') {
        response.writeHead(413, {Connection: 'close'});
        response.end('too much');
    } else {
        response.writeEarlyHints({link: '</style.css>; rel=preload; as=style'});
        const coded = {br: zlib.brotliCompressSync, gzip: zlib.gzipSync, deflate: zlib.deflateSync};
        const name = request.url.slice(1);
        response.writeHead(200, {'Content-Encoding': name, 'Set-Cookie': ['a=1', 'b=2']});
        response.end(coded[name]('hello '.repeat(10000)));
    }
});
server.listen(0, '127.0.0.1', () => console.log('listening on 127.0.0.1:' + server.address().port));
"""


@in_thread
def test_node() -> Steps:
    with Program([needs("node", "nodejs"), "-e", NODE]) as node, Client() as client:
        url = f"http://127.0.0.1:{node.port()}"
        for body in (DATA, [DATA[:100_000], DATA[100_000:]], b""):
            with (yield from client.request("POST", f"{url}/echo", body=body)) as response:
                assert (yield from response.read()) == b"".join(body if isinstance(body, list) else [body])
                assert response.trailers["sum"] == str(300_000 * bool(body))
        with (yield from client.request("POST", f"{url}/echo", json={"a": "\xe9"})) as response:
            assert (yield from response.json()) == {"a": "\xe9"}
            assert response.headers["content-type"] == "application/json"
        for name in ("gzip", "deflate", *(["br"] if "br" in accepted() else [])):
            with (yield from client.request("GET", f"{url}/{name}")) as response:
                assert (yield from response.text()) == "hello " * 10_000
                assert [(status, "link" in fields) for status, fields in response.interim] == [(103, True)]
        assert client.cookies is not None
        assert {cookie.name: cookie.value for cookie in client.cookies} == {"a": "1", "b": "2"}
        assert client._means.pool.idle == 1
        with (yield from client.request("POST", f"{url}/early", body=bytes(20_000_000))) as response:
            assert response.status == 413
            assert (yield from response.read()) == b"too much"


@in_thread
def test_nginx(authority: Authority, tmp_path: Path) -> Steps:
    path = tmp_path / "n" / "s"
    block = (
        f"listen unix:{path} ssl; ssl_certificate {authority.ours}; ssl_certificate_key {authority.ours};\n"
        "gzip on; gzip_types *; gzip_min_length 1; client_max_body_size 1k; keepalive_requests 5;\n"
        "location /old { return 302 /body; }  location /closing { keepalive_timeout 0; return 200 closing; }"
    )
    with nginx(tmp_path / "n", block), Client(unix=path, tls=authority.client()) as client:
        for number in range(12):  # nginx ends a connection after five requests
            with (yield from client.request("GET", f"https://localhost/{'old' if number % 2 else 'body'}")) as response:
                assert (yield from response.read()) == BODY
        with (yield from client.request("GET", "https://localhost/body", headers={"Range": "bytes=5-9"})) as response:
            assert response.status == 206
            assert (yield from response.read()) == BODY[5:10]
        with (yield from client.request("POST", "https://localhost/", body=bytes(3_000_000))) as response:
            assert response.status == 413
        with (yield from client.request("GET", "https://localhost/closing")) as response:
            assert (yield from response.read()) == b"closing"
        assert client._means.pool.idle == 0
        with pytest.raises(http.ConnectError, match="certificate"):
            yield from client.request("GET", "https://other.example/")


@in_thread
def test_our_own_server(authority: Authority) -> Steps:
    def echo(request: http.Request) -> Steps:
        yield from request.respond(200, (yield from request.read()), headers={"Method": request.method})

    server = Server(http.handler(echo), tls=authority.server())
    yield from server.listen("127.0.0.1:0")
    url = f"https://localhost:{server.addresses[0][1]}"
    try:
        with Client(tls=authority.client()) as client:
            for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
                body = b"" if method in ("GET", "HEAD") else DATA
                for headers in ({}, {"Expect": "100-continue"}):
                    with (yield from client.request(method, url, body=body, headers=headers)) as response:
                        assert response.headers["method"] == method
                        assert (yield from response.read()) == body
            assert client._means.pool.idle == 1
    finally:
        yield from server.stop(0)
