"""TLS in the middle of a connection: after a command, and behind a PROXY header."""

from __future__ import annotations

from typing import Any

import pytest

from socket2 import (
    TLS,
    Busy,
    Stream,
    bytes_sent,
    newthread,
    run,
    sleep,
    starttls,
    stream,
)

from ..interop.peers import LIMIT_S
from .certificates import Authority
from .ends import Steps, ends, limited, shaken


def test_starttls(any_poller: None, authority: Authority) -> None:
    one, other = ends(authority, "tcp")

    def serve() -> Steps:
        lines = stream(other)
        assert (yield from lines.recvline()) == b"STARTTLS"
        yield from lines.sendall(b"220 go ahead\r\n")
        secure = yield from starttls(lines, authority.server(), server_side=True)
        assert isinstance(secure, Stream)
        assert (yield from secure.recvline()) == b"EHLO"
        yield from secure.sendall(b"250 hello\r\n")
        yield from secure.finish()

    def main() -> Steps:
        serving = newthread(serve)
        lines = stream(one)
        yield from lines.sendall(b"STARTTLS\r\n")
        assert (yield from lines.recvline()) == b"220 go ahead"
        secure = yield from starttls(lines, authority.client(), server_hostname="localhost")
        yield from secure.sendall(b"EHLO\r\n")
        assert secure.sock.version == "TLSv1.3"
        assert (yield from secure.recvline()) == b"250 hello"
        assert (yield from secure.recvline()) is None
        yield from secure.finish()
        yield from serving.join()

    run(main)


def test_plain_bytes_before_tls_are_refused(authority: Authority) -> None:
    """An attacker may have sent a command behind STARTTLS, so that it looks protected."""
    one, other = ends(authority, "tcp")
    with one, other:

        def main() -> Steps:
            lines = stream(other)
            yield from one.sendall(b"STARTTLS\r\nRSET\r\n")
            yield from lines.recvline()
            assert lines.buffered == 6
            with pytest.raises(ConnectionAbortedError, match="6 bytes came in plain text") as failure:
                yield from starttls(lines, authority.server(), server_side=True)
            assert failure.value.socket_fd == other.fileno()  # type: ignore[attr-defined]
            assert (yield from lines.recvline()) == b"RSET"
            with pytest.raises(ValueError, match="buffered"):
                starttls(lines, authority.server(), server_side=True, buffered="drop")  # type: ignore[call-overload]

        run(main)


def test_plain_bytes_that_came_since_the_call_are_refused(authority: Authority) -> None:
    """An operation does nothing before it is awaited, so that is when it looks."""
    one, other = ends(authority, "memory")

    def main() -> Steps:
        lines = stream(other)
        other.settimeout(5)
        beginning = starttls(lines, authority.server(), server_side=True)
        yield from stream(one).sendall(b"RSET\r\n")
        yield from lines.peek()
        with pytest.raises(ConnectionAbortedError, match="6 bytes came in plain text"):
            yield from beginning
        assert other.gettimeout() == 5
        assert (yield from lines.recvline()) == b"RSET"

    run(main)


@pytest.mark.parametrize("kind", ["memory", "tcp", "tls", "tcp without a stream", "tls without a stream"])
@pytest.mark.parametrize("buffered", ["refuse", "tls"])
@pytest.mark.parametrize("side", ["receives", "sends"])
def test_a_stream_in_use_stays_as_it_is(authority: Authority, kind: str, buffered: Any, side: str) -> None:
    """Whoever uses it goes on, as with every other Busy."""
    kind, _, without = kind.partition(" ")
    below, other = ends(authority, kind)
    one = stream(below)
    big = bytes(20_000_000)
    options: dict[str, Any] = {"context": authority.server(), "server_side": True}
    if without:
        options = {"context": authority.client(), "server_hostname": "localhost"}  # it would send first

    def main() -> Steps:
        if kind == "tls":
            yield from shaken(below, other)
        theirs: Any = other if without else stream(other)
        if buffered == "tls" and not without:
            yield from one.sendall(b"plain")
            yield from theirs.peek(5)
        theirs.settimeout(LIMIT_S)
        using = newthread(stream(other).recvn(5) if without else theirs.recvn(10)) if side == "receives" else None
        using = using or newthread(theirs.sendall(big))
        yield from sleep(0)
        with pytest.raises(Busy):
            yield from starttls(theirs, buffered=buffered, **options)
        assert not theirs.closed
        assert theirs.gettimeout() == LIMIT_S
        if side == "receives":
            yield from one.sendall(b"0123456789")
            yield from using.join()
        else:
            assert (yield from one.recvn(len(big))) == big
            yield from using.join()
        theirs.close()
        one.close()

    limited(main)


def test_the_old_stream_is_busy_during_the_handshake(authority: Authority) -> None:
    one, other = ends(authority, "tcp")

    def main() -> Steps:
        lines = stream(other)
        beginning = newthread(starttls(lines, authority.server(), server_side=True))
        yield from sleep(0)
        for op in lines.recvline(), lines.sendall(b"plain"), starttls(lines, authority.server(), server_side=True):
            with pytest.raises(Busy):
                yield from op
        conn = yield from starttls(one, authority.client(), server_hostname="localhost")
        with conn, (yield from beginning.join()) as secure:
            yield from secure.sendall(b"protected")
            assert (yield from conn.recv()) == b"protected"

    limited(main)


def test_a_client_hello_behind_a_proxy_header(any_poller: None, authority: Authority) -> None:
    one, other = ends(authority, "tcp")

    def serve() -> Steps:
        lines = stream(other)
        yield from lines.peek(100)  # the beginning of TLS has come, too
        assert (yield from lines.recvline()) == b"PROXY UNKNOWN"
        assert lines.buffered
        secure = yield from starttls(lines, authority.server(), server_side=True, buffered="tls")
        yield from secure.sendall((yield from secure.recvn(4)))
        yield from secure.finish()

    def main() -> Steps:
        serving = newthread(serve)
        yield from one.sendall(b"PROXY UNKNOWN\r\n")
        conn = yield from starttls(one, authority.client(), server_hostname="localhost")
        assert isinstance(conn, TLS)
        with conn:
            yield from conn.sendall(b"data")
            assert (yield from stream(conn).recvall()) == b"data"
        yield from serving.join()

    run(main)


def test_a_failure_tells_how_much_was_sent(authority: Authority) -> None:
    one, other = ends(authority, "tcp")
    with one, other:

        def main() -> Steps:
            thread = newthread(starttls(other, authority.server(), server_side=True))
            conn = yield from starttls(one, authority.client(), server_hostname="localhost")
            yield from thread.join()
            conn.settimeout(0.01, "write")
            with pytest.raises(TimeoutError) as failure:
                yield from conn.sendall(bytes(20_000_000))
            assert 0 < bytes_sent(failure.value) < 20_000_000
            assert bytes_sent(failure.value) % (1 << 16) == 0

        run(main)
