"""Errors that are not OpenSSL's, in the middle of its work: no data is lost or sent twice in silence.

The `ssl` module runs signal handlers when OpenSSL has decrypted or encrypted. If one raises, the result is lost.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest

from socket2 import TLS

from ..injection import Raised
from .certificates import Authority, versions
from .ends import Steps, limited, shaken, tls


class CutShort:
    """An _SSLSocket with a signal handler that raises once, when OpenSSL is done with the `at`-th call of a method."""

    def __init__(self, side: TLS, method: str, at: int = 1, error: type[BaseException] = Raised) -> None:
        engine = side._engine
        self._real, self._method, self._left, self._error = engine._ssl, method, at, error
        engine._ssl = self
        engine.ssl_object._sslobj = self  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)
        return self._cut(real) if name == self._method else real

    def _cut(self, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            result = real(*args)
            self._left -= 1
            if not self._left:
                raise self._error
            return result

        return call


errors = pytest.mark.parametrize("error", [Raised, RuntimeError, KeyboardInterrupt, MemoryError])


def check_failed(side: TLS, error: type[BaseException]) -> Steps:
    """Both directions raise another error from now on, and are free."""
    text = f"{error.__name__} was raised in the middle of a record"
    for _ in range(2):
        with pytest.raises(ssl.SSLError, match=text):
            yield from side.recv()
        with pytest.raises(ssl.SSLError, match=text) as failure:
            yield from side.sendall(b"more")
        assert failure.value.bytes_sent == 0  # type: ignore[attr-defined]


@errors
@versions
@pytest.mark.parametrize("receive", ["recv", "recv_into", "a part"])
def test_a_receive(authority: Authority, version: str, receive: str, error: type[BaseException]) -> None:
    with tls(authority, version=version) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            yield from client.sendall(b"data")
            if receive == "a part":
                assert (yield from server.recv(2)) == b"da"
            CutShort(server, "read", error=error)
            with pytest.raises(error):
                yield from (server.recv_into(bytearray(9)) if receive == "recv_into" else server.recv())
            yield from check_failed(server, error)

        limited(main)


@errors
@pytest.mark.parametrize(("size", "at"), [(4, 1), (60_000, 1), (60_000, 3), (200_000, 5)])
def test_a_send(authority: Authority, size: int, at: int, error: type[BaseException]) -> None:
    with tls(authority, room=1 << 20) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            CutShort(client, "write", at, error)
            with pytest.raises(error) as failure:
                yield from client.sendall(bytes(size))
            assert failure.value.bytes_sent <= (at - 1) << 14  # type: ignore[attr-defined]
            yield from check_failed(client, error)
            client.close()

        limited(main)
