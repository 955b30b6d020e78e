"""LuaSec's calls in threads and in scripts. tests/interop/test_luasec.py compares their results with LuaSec's."""

from __future__ import annotations

import socket
import ssl as std
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from socket2 import client_context, luasocket
from socket2.luasocket import ssl

from ..interop.peers import LIMIT_S, ROOT, OSThread, beside
from ..tls.certificates import Authority, versions
from .ciphered import params
from .face import Do, Pair


def answer(authority: Authority, peer: socket.socket, data: bytes = b"") -> bytes:
    """Serve with the standard library: send `data` and return everything that comes."""
    with authority.server().wrap_socket(peer, server_side=True) as tls:
        tls.sendall(data)
        received = b""
        while part := tls.recv(1 << 16):
            received += part
        return received


@contextmanager
def answered(authority: Authority, pair: Pair, data: bytes = b"", **more: Any) -> Iterator[tuple[Any, OSThread[bytes]]]:
    """A client, wrapped, and the OS thread that serves it."""
    client, err = ssl.wrap(pair.client, params(authority, **more))
    assert client is not None, err
    with client, beside(answer, authority, pair.peer, data) as peer:
        try:
            yield client, peer
        finally:
            client.close()


# How it is loaded.


def test_luasocket_does_not_load_it_nor_the_ssl_module() -> None:
    code = (
        "import sys; from socket2 import luasocket; print('ssl' in sys.modules, 'socket2.luasocket.ssl' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, timeout=LIMIT_S)
    assert done.stdout.split() == [b"False", b"False"]


def test_every_public_name_is_in_the_guide_and_has_a_docstring() -> None:
    guide = (ROOT / "docs" / "luasocket.md").read_text()
    for name in ("newcontext", "wrap", "loadcertificate", "config"):
        assert f"`{name}" in guide
    for cls in (ssl.Connection, ssl.Certificate):
        for name in dir(cls):
            if not name.startswith("_"):
                assert getattr(cls, name).__doc__, name
                assert f"`{name}" in guide, name


# Calls that wait.


@versions
async def test_a_dialogue(do: Do, pair: Pair, authority: Authority, version: str) -> None:
    with answered(authority, pair, b"one\r\ntwo", protocol=version.lower().replace(".", "_")) as (client, peer):
        assert pair.client.getfd() == -1
        assert await do(client.dohandshake) == (True, None)
        assert client.info("protocol") == (version, None)
        assert await do(client.receive) == (b"one", None, None)
        assert await do(client.receive, 5, b"so") == (b"sotwo", None, None)
        assert await do(client.send, b"question") == (8, None, None)
        assert client.getstats()[:2] == (8, 8)
        assert client.close() == 1
        assert client.getfd() == -1
        assert await do(client.receive) == (None, "closed", b"")
    assert peer.outcome() == b"question"


async def test_a_timeout_wants_to_read_and_loses_nothing(do: Do, pair: Pair, authority: Authority) -> None:
    client, _ = ssl.wrap(pair.client, params(authority))
    assert client is not None
    with client:
        client.settimeout(0.01)
        assert await do(client.dohandshake) == (False, "wantread")
        client.settimeout(0)
        assert await do(client.dohandshake) == (False, "wantread")
        assert client.want() == "read"
        client.settimeout(LIMIT_S, "t")
        client.settimeout(None)
        with beside(answer, authority, pair.peer, b"half"):
            assert await do(client.dohandshake) == (True, None)
            assert client.want() == "nothing"
            assert await do(client.receive, 4) == (b"half", None, None)
            client.settimeout(0)
            assert await do(client.receive, "*a", b"pre") == (None, "wantread", b"pre")
            client.close()


async def test_half_a_stream_is_shut_down(do: Do, pair: Pair, authority: Authority) -> None:
    def serve() -> None:
        with authority.server().wrap_socket(pair.peer, server_side=True) as tls:
            assert tls.recv(100) == b"question"
            assert tls.recv(100) == b""
            tls.sendall(b"answer")

    client, _ = ssl.wrap(pair.client, params(authority))
    assert client is not None
    with client, beside(serve):
        await do(client.dohandshake)
        await do(client.send, b"question")
        assert client.shutdown("send") == 1
        assert await do(client.send, b"more") == (None, "closed", 0)
        assert (await do(client.receive, 6))[0] == b"answer"
        client.close()


async def test_a_context_that_checks_names_checks_the_name_for_sni(do: Do, pair: Pair, authority: Authority) -> None:
    client, _ = ssl.wrap(pair.client, client_context(ca=authority.file))
    assert client is not None
    with client:
        with pytest.raises(ValueError, match="name"):
            await do(client.dohandshake)
        client.sni("elsewhere.example")

        def serve() -> None:
            with pytest.raises(std.SSLError, match="CERTIFICATE"), authority.server().wrap_socket(pair.peer, True):
                raise AssertionError

        with beside(serve):
            assert await do(client.dohandshake) == (False, "certificate verify failed")
            assert await do(client.dohandshake) == (False, "certificate verify failed")
            assert await do(client.receive) == (None, "closed", b"")
            client.close()


async def test_select_sees_what_is_decrypted_or_was_received(do: Do, pair: Pair, authority: Authority) -> None:
    with answered(authority, pair, b"one\ntwo\n") as (client, _):
        await do(client.dohandshake)
        assert await do(client.receive) == (b"one", None, None)
        assert client.dirty()
        readable, _, err = await do(luasocket.select, [client], None, LIMIT_S)
        assert (readable, err) == ([client], None)
        assert await do(client.receive) == (b"two", None, None)
        assert not client.dirty()
        assert await do(luasocket.select, [client], [client], 0) == ([], [client], None)


async def test_sources_and_sinks(do: Do, pair: Pair, authority: Authority) -> None:
    with answered(authority, pair, b"12345") as (client, peer):
        await do(client.dohandshake)
        assert await do(luasocket.source("by-length", client, 5)) == (b"12345", None)
        assert await do(luasocket.sink("close-when-done", client), b"data") == (1, None)
        assert await do(luasocket.sink("close-when-done", client), None) == (1, None)
    assert peer.outcome() == b"data"


@versions
async def test_close_does_not_reset_what_was_sent(do: Do, pair: Pair, authority: Authority, version: str) -> None:
    """Data that we have not received would make the kernel reset the connection, and drop what has not left."""
    data = bytes(200_000)
    pair.client.setoption("send-buffer-size", len(data))  # the kernel doubles it
    pair.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)
    pair.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent, closed = threading.Event(), threading.Event()

    def serve() -> bytes:
        with authority.server(version).wrap_socket(pair.peer, server_side=True) as tls:
            tls.sendall(b"unread")
            sent.set()
            assert closed.wait(LIMIT_S)
            return b"".join(iter(lambda: tls.recv(1 << 14), b""))

    client, _ = ssl.wrap(pair.client, params(authority))
    assert client is not None
    with client, beside(serve) as peer:
        await do(client.dohandshake)
        assert sent.wait(LIMIT_S)
        assert await do(client.send, data) == (len(data), None, None)
        client.close()
        closed.set()
        assert peer.outcome() == data


async def test_over_a_unix_socket(do: Do, authority: Authority) -> None:
    one, other = socket.socketpair()
    under = luasocket.unix()
    under.setfd(one.detach())
    client, _ = ssl.wrap(under, params(authority))
    assert client is not None
    with client, beside(answer, authority, other, b"hello\n"):
        await do(client.dohandshake)
        assert await do(client.receive) == (b"hello", None, None)
        assert client.getpeername() == (None, "not supported", None)
        client.close()
