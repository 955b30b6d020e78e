"""A peer that breaks the rules: tlslite-ng, which is pure Python, so any record can be made under the right keys."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from socket2.threads.coroutines import awaiting

from .ends import Steps

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports asyncore
    from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
    from tlslite.messages import Message

CHANGE_CIPHER, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23
"""The types of records."""

NUMBERS = {"TLSv1.2": (3, 3), "TLSv1.3": (3, 4)}


def handshake_message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def plain_record(kind: int, data: bytes, version: int = 0x0303) -> bytes:
    return bytes([kind]) + version.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


class Wire:
    """What tlslite takes for a socket that does not block."""

    def __init__(self) -> None:
        self.came = bytearray()
        self.made = bytearray()
        self.ended = False

    def send(self, data: bytes) -> int:
        self.made += data
        return len(data)

    sendall = send

    def recv(self, n: int) -> bytes:
        if not self.came and not self.ended:
            raise BlockingIOError(errno.EWOULDBLOCK, "nothing has come")
        data = bytes(self.came[:n])
        del self.came[:n]
        return data

    def close(self) -> None:
        pass


class Hostile:
    """One side of a connection over a byte stream. Its operations are for coroutine threads."""

    def __init__(self, below: Any, version: str, piece: int = 1 << 30) -> None:
        self.below = below
        self._piece = piece  # how many bytes to send at a time
        self.wire = Wire()
        self.conn = TLSConnection(self.wire)
        self.conn.closeSocket = False
        self.settings = HandshakeSettings()
        self.settings.minVersion = self.settings.maxVersion = NUMBERS[version]

    def _drive(self, steps: Iterable[Any]) -> Steps:
        """Run one of tlslite's generators, which yield 0 when they need data, and their result at the end."""
        step = None
        try:
            for step in steps:
                yield from self._flush()
                if step == 0:
                    came = yield from awaiting(self.below.recv(1 << 16))
                    self.wire.came += came
                    self.wire.ended = not came
        finally:
            yield from self._flush()
        return step

    def _flush(self) -> Steps:
        made, self.wire.made = self.wire.made, bytearray()
        for at in range(0, len(made), self._piece):
            yield from awaiting(self.below.sendall(bytes(made[at : at + self._piece])))

    def connect(self) -> Steps:
        yield from self._drive(
            self.conn.handshakeClientCert(settings=self.settings, serverName="localhost", async_=True)
        )

    def accept(self, certificate: Path) -> Steps:
        pem = certificate.read_text()
        chain = X509CertChain()
        chain.parsePemList(pem)
        key = parsePEMKey(pem, private=True)
        yield from self._drive(self.conn.handshakeServerAsync(certChain=chain, privateKey=key, settings=self.settings))

    def recv(self) -> Steps:
        return (yield from self._drive(self.conn.readAsync(1 << 16, 1)))

    def sendall(self, data: bytes) -> Steps:
        yield from self._drive(self.conn.writeAsync(bytearray(data)))

    def raw(self, data: bytes) -> Steps:
        yield from awaiting(self.below.sendall(data))

    def make(self, kind: int, data: bytes) -> bytes:
        """Return a record of any content under the keys of the connection."""
        for _ in self.conn._recordLayer.sendRecord(Message(kind, bytearray(data))):
            pass
        made, self.wire.made = bytes(self.wire.made), bytearray()
        return made

    def record(self, kind: int, data: bytes) -> Steps:
        yield from self.raw(self.make(kind, data))

    def new_keys(self, requested: bool) -> Steps:
        yield from self._drive(self.conn.send_keyupdate_request(int(requested)))
