"""TLS with nginx, in both roles: our clients ask it, and it asks a server of ours as a proxy."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from socket2 import TCP, TLS, Server, connect, stream

from ..interop.peers import Program, needs, pattern
from .certificates import Authority, versions
from .ends import Steps, limited

BODY = pattern(72, 300_000)

PATHS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx(folder: Path, *servers: str) -> Iterator[Program]:
    """Run nginx with these blocks in its configuration. It listens at UNIX paths, so no port can be taken."""
    folder.mkdir()
    temporary = "".join(f"{name}_temp_path {folder};\n" for name in PATHS)
    blocks = "\n".join(f"server {{\n{block}\n}}" for block in servers)
    (folder / "conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log stderr notice;\n"
        f"events {{}}\nhttp {{ access_log off; root {folder};\n{temporary}{blocks}\n}}\n"
    )
    (folder / "body").write_bytes(BODY)
    with Program([needs("nginx", "nginx-light"), "-p", str(folder), "-c", str(folder / "conf"), "-e", "stderr"],
                 announces="stderr") as program:  # fmt: skip
        program.announced("getrlimit|emerg")
        assert b"[emerg]" not in program.stderr(), program.stderr()
        yield program


def ask(conn: TCP | TLS, path: str = "body") -> Steps:
    """Ask for a page; return its head and body."""
    lines = stream(conn)
    yield from lines.sendall(f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head = yield from lines.recvuntil(b"\r\n\r\n")
    body = yield from lines.recvall()
    return head, body


@versions
def test_a_client_of_nginx(authority: Authority, version: str, tmp_path: Path) -> None:
    """The end of its answer is a close_notify, and the second connection resumes the session."""
    path = tmp_path / "n" / "s"
    block = (
        f"listen unix:{path} ssl; ssl_protocols {version}; ssl_session_cache shared:a:1m;\n"
        f"ssl_certificate {authority.ours}; ssl_certificate_key {authority.ours};"
    )

    def main() -> Steps:
        with nginx(tmp_path / "n", block):
            context = authority.client()
            session = None
            for round in range(2):
                with (yield from connect(path, tls=context, server_hostname="localhost", session=session)) as conn:
                    assert (conn.version, conn.resumed) == (version, round == 1)
                    head, body = yield from ask(conn)
                    assert head.startswith(b"HTTP/1.1 200 ")
                    assert body == BODY
                    session = conn.session

    limited(main)


@versions
def test_nginx_asks_for_a_certificate(authority: Authority, version: str, tmp_path: Path) -> None:
    path = tmp_path / "n" / "s"
    block = (
        f"listen unix:{path} ssl; ssl_protocols {version};\n"
        f"ssl_certificate {authority.ours}; ssl_certificate_key {authority.ours};\n"
        f"ssl_client_certificate {authority.file}; ssl_verify_client on;\n"
        "add_header Client $ssl_client_verify;"
    )

    def main() -> Steps:
        with nginx(tmp_path / "n", block):
            for certificate, answer in (authority.issue("me"), b"200 "), (None, b"400 "):
                context = authority.client(certificate=certificate)
                with (yield from connect(path, tls=context, server_hostname="localhost")) as conn:
                    head, _ = yield from ask(conn)
                    assert head.startswith(b"HTTP/1.1 " + answer)
                    assert (b"Client: SUCCESS" in head) == (certificate is not None)

    limited(main)


@versions
def test_a_server_behind_nginx(any_poller: None, authority: Authority, version: str, tmp_path: Path) -> None:
    """nginx verifies our certificate, shows its own, and keeps the connection for the next request."""
    plain, ours = tmp_path / "n" / "s", tmp_path / "ours"
    mine = authority.issue("nginx.example")
    block = (
        f"listen unix:{plain};\n"
        f"location / {{ proxy_pass https://unix:{ours}:; proxy_http_version 1.1; proxy_set_header Connection '';\n"
        "proxy_ssl_verify on; proxy_ssl_name localhost; proxy_ssl_server_name on;\n"
        f"proxy_ssl_trusted_certificate {authority.file}; proxy_ssl_protocols {version};\n"
        f"proxy_ssl_certificate {mine}; proxy_ssl_certificate_key {mine}; }}"
    )
    seen: list[TLS] = []

    def serve(conn: TLS) -> Steps:
        seen.append(conn)
        lines = stream(conn)
        yield from lines.recvuntil(b"\r\n\r\n")
        yield from lines.sendv([b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", BODY])

    def main() -> Steps:
        server = Server(serve, tls=authority.server(client_ca=authority.file))
        yield from server.listen(ours)
        with nginx(tmp_path / "n", block):
            for _ in range(2):
                with (yield from connect(plain)) as conn:
                    head, body = yield from ask(conn)
                    assert head.startswith(b"HTTP/1.1 200 ")
                    assert b"".join(chunks(body)) == BODY
        yield from server.stop()
        assert [(conn.version, conn.server_name) for conn in seen] == [(version, "localhost")] * 2
        assert seen[1].resumed

    limited(main)


def chunks(body: bytes) -> Iterator[bytes]:
    """Take a body with the chunked encoding apart; nginx uses it if it does not know the length."""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        yield body[:length]
        body = body[length + 2 :]


def test_nginx_does_not_trust_a_stranger(authority: Authority, tmp_path: Path) -> None:
    """Our server logs why in one line, and the client gets an answer from nginx."""
    plain, ours = tmp_path / "n" / "s", tmp_path / "ours"
    block = (
        f"listen unix:{plain};\n"
        f"location / {{ proxy_pass https://unix:{ours}:; proxy_ssl_verify on; proxy_ssl_name localhost;\n"
        f"proxy_ssl_trusted_certificate {authority.file}; }}"
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("localhost", by_stranger=True))

    def main() -> Steps:
        def serve(conn: TLS) -> Steps:
            while (yield from conn.recv()):
                pass

        server = Server(serve, tls=context)
        yield from server.listen(ours)
        with nginx(tmp_path / "n", block), (yield from connect(plain)) as conn:
            head, _ = yield from ask(conn)
            assert head.startswith(b"HTTP/1.1 502 ")
        yield from server.stop()

    limited(main)
