"""TLS with the programs of GnuTLS, which share no code with OpenSSL: both roles, resumption, new keys, ALPN, SNI."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest

from socket2 import connect, listen, newthread, sleep, stream

from ..interop.peers import needs
from .certificates import Authority, versions
from .ends import Steps, limited
from .interactive import Interactive


def only(version: str) -> str:
    return f"NORMAL:-VERS-ALL:+VERS-{version.replace('v', '')}"


def gnutls_client(authority: Authority, port: int, version: str, *options: str) -> Interactive:
    return Interactive(
        needs("gnutls-cli", "gnutls-bin"), "--port", str(port), "--priority", only(version),
        "--x509cafile", str(authority.file), "--sni-hostname", "localhost", "--verify-hostname", "localhost",
        *options, "127.0.0.1",
    )  # fmt: skip


def gnutls_server(authority: Authority, version: str, *options: str) -> Interactive:
    path = str(authority.ours)
    return Interactive(
        needs("gnutls-serv", "gnutls-bin"), "--echo", "--crlf", "--port", "0", "--priority", only(version),
        "--x509certfile", path, "--x509keyfile", path, *options,
    )  # fmt: skip


def port_of(server: Interactive) -> Steps:
    """Wait until it listens. It does not tell its port, but the system knows."""
    process = Path(f"/proc/{server.pid}")
    while True:
        links = [os.readlink(path) for path in (process / "fd").iterdir()]
        for line in (process / "net" / "tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in links:
                return int(fields[1].partition(":")[2], 16)
        yield from sleep(0.001)


@versions
def test_a_client(any_poller: None, authority: Authority, version: str) -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server(alpn=["b"])) as listener:
            port = listener.getsockname()[1]
            with gnutls_client(authority, port, version, "--alpn", "a", "--alpn", "b") as client:
                with (yield from listener.accept()) as conn:
                    lines = stream(conn)
                    yield from conn.handshake()
                    assert (conn.version, conn.alpn, conn.server_name) == (version, "b", "localhost")
                    client.say("from the client")
                    assert (yield from lines.recvline()) == b"from the client"
                    yield from lines.sendall(b"from the server\n")
                    yield from client.until("from the server")
                    client.end()
                    assert (yield from lines.recvline()) is None  # its close_notify
                    yield from lines.finish()

    limited(main)


@versions
def test_a_client_that_resumes(authority: Authority, version: str) -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server()) as listener:
            options = ["--resume", *["--waitresumption"] * (version == "TLSv1.3")]
            with gnutls_client(authority, listener.getsockname()[1], version, *options) as client:
                with (yield from listener.accept()) as conn:
                    yield from conn.handshake()
                    assert not conn.resumed
                    yield from conn.sendall(b"the tickets go with this\n")
                    while (yield from conn.recv()):
                        pass
                with (yield from listener.accept()) as conn:
                    yield from conn.handshake()
                    assert conn.resumed
                    yield from conn.sendall(b"again\n")
                    yield from client.until("again")

    limited(main)


def test_new_keys_of_a_client(authority: Authority) -> None:
    """It asks for new keys on both sides, while another thread receives."""

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server()) as listener:
            with gnutls_client(authority, listener.getsockname()[1], "TLSv1.3", "--inline-commands") as client:
                with (yield from listener.accept()) as conn:
                    lines = stream(conn)
                    for round in range(3):
                        receiving = newthread(lines.recvline())
                        client.say("^rekey^")
                        client.say(f"round {round}")
                        assert (yield from receiving.join()) == b"round %d" % round
                        yield from lines.sendall(b"answer %d\n" % round)
                        yield from client.until(f"answer {round}")

    limited(main)


@versions
def test_a_client_certificate(authority: Authority, version: str) -> None:
    mine, strange = authority.issue("me"), authority.issue("me", by_stranger=True)

    def main() -> Steps:
        context = authority.server(version, client_ca=authority.file)
        with listen("127.0.0.1:0", tls=context) as listener:
            port = listener.getsockname()[1]
            with gnutls_client(
                authority, port, version, "--x509certfile", str(mine), "--x509keyfile", str(mine)
            ) as client:
                with (yield from listener.accept()) as conn:
                    client.say("hello")
                    assert (yield from stream(conn).recvline()) == b"hello"
                    assert conn.peer_certificate is not None
                    assert ("DNS", "me") in conn.peer_certificate["subjectAltName"]
            for path in strange, None:
                options = [] if path is None else ["--x509certfile", str(path), "--x509keyfile", str(path)]
                with gnutls_client(authority, port, version, *options) as client:
                    with (yield from listener.accept()) as conn:
                        with pytest.raises(ssl.SSLError, match="(?i)verify failed|did not return a certificate"):
                            yield from conn.handshake()

    limited(main)


@versions
def test_a_server(authority: Authority, version: str) -> None:
    def main() -> Steps:
        with gnutls_server(authority, version, "--alpn", "b") as server:
            port = yield from port_of(server)
            context = authority.client(alpn=["a", "b"])
            with (yield from connect("127.0.0.1", port, tls=context, server_hostname="localhost")) as conn:
                assert (conn.version, conn.alpn) == (version, "b")
                lines = stream(conn)
                for number in range(20):  # it echoes lines of text, and prints them, too
                    yield from lines.sendall(b"%d " % number * 100 + b"\n")
                    assert (yield from lines.recvline()) == b"%d " % number * 100
                session = conn.session
                yield from lines.finish()
            yield from sleep(0)
            with (
                yield from connect("127.0.0.1", port, tls=context, server_hostname="localhost", session=session)
            ) as conn:
                assert conn.resumed
                yield from conn.sendall(b"again\n")
                assert (yield from stream(conn).recvline()) == b"again"

    limited(main)


@versions
def test_a_server_that_wants_a_certificate(authority: Authority, version: str) -> None:
    mine = authority.issue("me")

    def main() -> Steps:
        options = ["--require-client-cert", "--verify-client-cert", "--x509cafile", str(authority.file)]
        with gnutls_server(authority, version, *options) as server:
            port = yield from port_of(server)
            context = authority.client(version, certificate=mine)
            with (yield from connect("127.0.0.1", port, tls=context, server_hostname="localhost")) as conn:
                yield from conn.sendall(b"hello\n")
                assert (yield from stream(conn).recvline()) == b"hello"
            with pytest.raises((ssl.SSLError, ConnectionError)):  # TLS 1.3: the refusal comes with the first receive
                with (
                    yield from connect("127.0.0.1", port, tls=authority.client(version), server_hostname="localhost")
                ) as conn:
                    yield from conn.sendall(b"hello\n")
                    yield from conn.recv()
                    raise AssertionError("it has accepted a client without a certificate")

    limited(main)
