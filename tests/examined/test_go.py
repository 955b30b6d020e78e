"""TLS with the implementation of Go, in both roles."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from socket2 import TLS, Server, call_in_thread, connect, newthread, stream

from ..interop.golang import built
from ..interop.peers import Program, call
from ..tls.certificates import Authority, versions
from ..tls.ends import Steps, limited

SOURCE = Path(__file__).with_name("go") / "peer.go"
BODY = b"0123456789abcdef" * 20000


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return built(SOURCE, tmp_path_factory.mktemp("go"))


@versions
def test_a_client_of_go(authority: Authority, peer: str, version: str) -> None:
    """It shows its certificate, half-closes, and resumes the session."""
    seen: list[TLS] = []

    def echo(conn: TLS) -> Steps:
        seen.append(conn)
        while data := (yield from conn.recv()):
            yield from conn.sendall(data)

    def main() -> Steps:
        server = Server(echo, tls=authority.server(client_ca=authority.file, alpn=["b"]))
        yield from server.listen("127.0.0.1")
        files = [str(authority.file), str(authority.issue("me"))]
        command = [peer, "client", *files, version, str(server.addresses[0][1])]
        done = yield from call_in_thread(call, command)
        assert done.stdout.decode().splitlines() == [
            "state b localhost false [localhost]",
            "same true",
            "state b localhost true [localhost]",
            "same true",
        ]
        yield from server.stop()
        assert [(conn.version, conn.alpn, conn.server_name, conn.resumed) for conn in seen] == [
            (version, "b", "localhost", False),
            (version, "b", "localhost", True),
        ]

    limited(main)


@versions
def test_a_server_of_go(authority: Authority, peer: str, version: str) -> None:
    def main() -> Steps:
        with Program([peer, "server", str(authority.file), str(authority.ours), version]) as server:
            port = server.port()
            context = authority.client(certificate=authority.issue("me"), alpn=["b"])
            session = None
            for round in range(2):
                conn = yield from connect("127.0.0.1", port, tls=context, server_hostname="localhost", session=session)
                with conn:
                    assert (conn.version, conn.alpn, conn.resumed) == (version, "b", round == 1)
                    lines = stream(conn)
                    sending = newthread(lines.sendall(BODY))
                    assert (yield from lines.recvn(len(BODY))) == BODY
                    yield from sending.join()
                    lines.shutdown()
                    assert (yield from lines.recv()) == b""
                    session = conn.session
            with pytest.raises((ssl.SSLError, ConnectionError)):  # TLS 1.3: the refusal comes with the first receive
                plain = authority.client(version)
                with (yield from connect("127.0.0.1", port, tls=plain, server_hostname="localhost")) as conn:
                    yield from conn.recv()
            server.announced("handshake: .*certificate")

    limited(main)
