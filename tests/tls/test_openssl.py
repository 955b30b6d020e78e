"""TLS with the programs of OpenSSL: both roles, new keys, renegotiations, certificates of clients."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from socket2 import (
    Cancelled,
    connect,
    listen,
    newthread,
    sleep,
    stream,
)

from ..interop.peers import needs, pattern
from .certificates import Authority, versions
from .ends import Steps, limited
from .interactive import Interactive

BODY = pattern(70, 300_000)


def s_client(authority: Authority, port: int, *options: str) -> Interactive:
    return Interactive(
        needs("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost",
        "-CAfile", str(authority.file), "-verify_return_error", *options,
    )  # fmt: skip


def s_server(authority: Authority, *options: str) -> Interactive:
    path = str(authority.ours)
    return Interactive(needs("openssl"), "s_server", "-accept", "0", "-cert", path, "-key", path, *options)


def flag_of(version: str) -> str:
    return "-" + version.lower().replace("v", "").replace(".", "_")


# openssl


@versions
def test_s_client(any_poller: None, authority: Authority, version: str) -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server(alpn=["b"])) as listener:
            with s_client(authority, listener.getsockname()[1], flag_of(version), "-alpn", "a,b") as client:
                with (yield from listener.accept()) as conn:
                    lines = stream(conn)
                    yield from conn.handshake()
                    assert (conn.version, conn.alpn, conn.server_name) == (version, "b", "localhost")
                    client.say("from the client")
                    assert (yield from lines.recvline()) == b"from the client"
                    yield from lines.sendall(b"from the server\n")
                    yield from client.until("from the server")
                    client.end()
                    assert (yield from lines.recvline()) is None
                    yield from lines.finish()

    limited(main)


@versions
def test_s_server(any_poller: None, authority: Authority, version: str) -> None:
    def main() -> Steps:
        with s_server(authority, flag_of(version), "-alpn", "b") as server:
            port = int((yield from server.until(r"ACCEPT \S+:(\d+)"))[1])
            context = authority.client(alpn=["a", "b"])
            with (yield from connect("127.0.0.1", port, tls=context)) as conn:
                assert (conn.version, conn.alpn) == (version, "b")
                lines = stream(conn)
                yield from lines.sendall(b"from the client\n")
                yield from server.until("from the client")
                server.say("from the server")
                assert (yield from lines.recvline()) == b"from the server"
                lines.shutdown()
                assert (yield from lines.recvline()) is None
                yield from lines.finish()
                yield from server.until("DONE")

    limited(main)


def test_new_keys_of_s_client(any_poller: None, authority: Authority) -> None:
    """The answer to a key update goes out before the next data, while another thread receives."""

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server()) as listener:
            with s_client(authority, listener.getsockname()[1], "-tls1_3", "-msg") as client:
                with (yield from listener.accept()) as conn:
                    lines = stream(conn)
                    for round in range(3):
                        client.say(f"round {round}")
                        assert (yield from lines.recvline()) == b"round %d" % round
                        receiving = newthread(lines.recvline())
                        client.say("K")
                        yield from client.until(r">>> .*KeyUpdate")
                        client.say("more")
                        assert (yield from receiving.join()) == b"more"
                        receiving = newthread(lines.recvline())
                        yield from lines.sendall(b"answer %d\n" % round)
                        yield from client.until(r"<<< .*KeyUpdate")
                        yield from client.until(f"answer {round}")
                        client.say("and more")
                        assert (yield from receiving.join()) == b"and more"

    limited(main)


def test_new_keys_of_s_server(any_poller: None, authority: Authority) -> None:
    def main() -> Steps:
        with s_server(authority, "-tls1_3", "-msg") as server:
            port = int((yield from server.until(r"ACCEPT \S+:(\d+)"))[1])
            with (yield from connect("127.0.0.1", port, tls=authority.client())) as conn:
                lines = stream(conn)
                receiving = newthread(lines.recvline())
                yield from lines.sendall(b"hello\n")
                yield from server.until("hello")
                server.say("K")
                yield from server.until(r">>> .*KeyUpdate")
                server.say("with new keys")
                assert (yield from receiving.join()) == b"with new keys"
                yield from lines.sendall(b"these, too\n")
                yield from server.until(r"<<< .*KeyUpdate")
                yield from server.until("these, too")

    limited(main)


@pytest.mark.parametrize("receives", [True, False], ids=["receives", "sends"])
def test_a_renegotiation_is_refused(authority: Authority, receives: bool) -> None:
    """The connection goes on as it was, or ends with an error. It does not hang."""

    def main() -> Steps:
        with s_server(authority, "-tls1_2", "-legacy_renegotiation") as server:
            port = int((yield from server.until(r"ACCEPT \S+:(\d+)"))[1])
            with (yield from connect("127.0.0.1", port, tls=authority.client())) as conn:
                lines = stream(conn)
                yield from lines.sendall(b"hello\n")
                yield from server.until("hello")
                server.say("r")
                try:
                    if receives:
                        server.say("after it")
                        while (yield from lines.recvline()) not in (b"after it", None):
                            pass
                    else:
                        for _ in range(100):
                            yield from lines.sendall(b"still there\n")
                        lines.shutdown()
                except (ssl.SSLError, ConnectionError):
                    pass

    limited(main)


@pytest.mark.parametrize("receives", [True, False], ids=["receives", "sends"])
def test_a_renegotiation_that_the_context_allows(any_poller: None, authority: Authority, receives: bool) -> None:
    """A send may have to receive first: by itself, or it waits for the thread that receives anyway."""
    context = ssl.create_default_context(cafile=authority.file)
    context.options &= ~ssl.OP_NO_RENEGOTIATION

    def main() -> Steps:
        with s_server(authority, "-tls1_2", "-msg") as server:
            port = int((yield from server.until(r"ACCEPT \S+:(\d+)"))[1])
            with (yield from connect("127.0.0.1", port, tls=context)) as conn:
                lines = stream(conn)
                yield from lines.sendall(b"hello\n")
                yield from server.until("hello")
                receiving = newthread(lines.recvline()) if receives else None
                server.say("r")
                yield from server.until(">>> .*HelloRequest")
                if receiving is None:
                    # Sees the request for a handshake, and is cancelled in its middle, or has not begun it yet.
                    receiving = newthread(lines.recvline())
                    yield from sleep(0.001)
                    receiving.cancel()
                    with pytest.raises(Cancelled):
                        yield from receiving.join()
                    receiving = None
                for number in range(20):
                    yield from lines.sendall(b"still there %d\n" % number)
                    yield from sleep(0)
                if receiving is None:
                    receiving = newthread(lines.recvline())
                yield from server.until("still there 19")
                server.say("after it")
                assert (yield from receiving.join()) == b"after it"

    limited(main)


@versions
def test_a_client_certificate_of_openssl(authority: Authority, version: str) -> None:
    mine, strange = authority.issue("me"), authority.issue("me", by_stranger=True)

    def main() -> Steps:
        context = authority.server(version, client_ca=authority.file)
        with listen("127.0.0.1:0", tls=context) as listener:
            port = listener.getsockname()[1]
            with s_client(authority, port, "-cert", str(mine), "-key", str(mine)) as client:
                with (yield from listener.accept()) as conn:
                    client.say("hello")
                    assert (yield from stream(conn).recvline()) == b"hello"
                    assert conn.peer_certificate is not None
                    assert ("DNS", "me") in conn.peer_certificate["subjectAltName"]
            with s_client(authority, port, "-cert", str(strange), "-key", str(strange)) as client:
                with (yield from listener.accept()) as conn:
                    with pytest.raises(ssl.SSLError, match="(?i)verify failed"):
                        yield from conn.handshake()
                yield from client.until("(?i)alert.*unknown ca")

    limited(main)


@versions
def test_sessions_of_s_client(authority: Authority, version: str, tmp_path: Path) -> None:
    path = str(tmp_path / "session")

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server(version)) as listener:
            for resumed, option in ((False, "-sess_out"), (True, "-sess_in")):
                with s_client(authority, listener.getsockname()[1], option, path) as client:
                    with (yield from listener.accept()) as conn:
                        yield from conn.handshake()
                        assert conn.resumed is resumed
                        yield from conn.sendall(b"the tickets go with this\n")
                        yield from client.until("the tickets go with this")
                        client.end()
                        assert (yield from conn.recv()) == b""
                        yield from conn.finish()
                        yield from client.until("DONE")

    limited(main)


@versions
def test_sessions_and_names_of_s_server(authority: Authority, version: str) -> None:
    path = str(authority.issue("a.example"))

    def main() -> Steps:
        options = ["-servername", "a.example", "-cert2", path, "-key2", path]
        with s_server(authority, flag_of(version), *options) as server:
            port = int((yield from server.until(r"ACCEPT \S+:(\d+)"))[1])
            context = authority.client()
            for name in ("localhost", "a.example"):
                session = None
                for resumed in (False, True):
                    conn = yield from connect("127.0.0.1", port, tls=context, server_hostname=name, session=session)
                    with conn:
                        assert conn.resumed is resumed
                        yield from conn.sendall(b"hello\n")
                        yield from server.until("hello")
                        server.say("the tickets came before this")
                        yield from conn.recv()
                        assert conn.peer_certificate is not None
                        assert ("DNS", name) in conn.peer_certificate["subjectAltName"]
                        session = conn.session
                        yield from conn.finish()
                        yield from server.until("DONE")

    limited(main)
