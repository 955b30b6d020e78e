"""Cancels an operation at every byte boundary of a handshake, of records, of new keys and of the end.

The stream below lets a number of bytes through and then makes the operation wait, so each boundary costs one attempt.
`python -m tests.tls.each_byte` tries all of them. The tests try a part.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from socket2 import TLS, Cancelled, Closed, Event, Thread, newthread, sleep
from socket2.threads.coroutines import awaiting

from ..memory import MemoryStream, memory_pair
from .certificates import VERSIONS, Authority
from .ends import Steps, limited, shaken
from .hostile import Hostile

MUCH = 1 << 30


class Gate:
    """A byte stream that lets so many bytes through, in one direction, and then waits until it is opened."""

    def __init__(self, below: MemoryStream) -> None:
        self._below = below
        self._left = {"in": MUCH, "out": MUCH}
        self._opened = Event()
        self.waits = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    def let(self, way: str, n: int) -> None:
        self._left[way] = n
        self.waits = False

    def open(self) -> None:
        self._left = {"in": MUCH, "out": MUCH}
        opened, self._opened = self._opened, Event()
        opened.set()

    def _room(self, way: str) -> Steps:
        while not self._left[way]:
            self.waits = True
            yield from self._opened.wait()
        return self._left[way]

    def recv(self, n: int) -> Steps:
        data = yield from self._below.recv(min(n, (yield from self._room("in"))))
        self._left["in"] -= len(data)
        return data

    def sendall(self, data: bytes) -> Steps:
        sent = 0
        try:
            while sent < len(data):
                some = data[sent : sent + (yield from self._room("out"))]
                yield from awaiting(self._below.sendall(some))
                sent += len(some)
                self._left["out"] -= len(some)
        except BaseException as error:
            error.bytes_sent = sent  # type: ignore[attr-defined]
            raise

    def close(self) -> None:
        self._below.close()
        self.open()


class Pair:
    """Our side behind a gate, and a peer without one."""

    def __init__(self, authority: Authority, version: str, who: str) -> None:
        one, self.below = memory_pair()
        self.gate = Gate(one)
        gated: Any = self.gate
        client, server = authority.client(version), authority.server(version)
        if who == "client":
            self.ours = TLS(gated, client, server_hostname="localhost")
            self.theirs = TLS(self.below, server, server_side=True)
        else:
            self.ours = TLS(gated, server, server_side=True)
            self.theirs = TLS(self.below, client, server_hostname="localhost")
        self.result: Any = None

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.ours.close()
        self.theirs.close()

    def cancelled(self, operation: Any) -> Steps:
        """Make an operation, and cancel it when it waits at the gate.

        Return the Cancelled; None if it was complete, and `result` is its result.
        """
        doing: Thread[Any] = newthread(operation)
        while not doing.done and not self.gate.waits:
            yield from sleep(0)
        doing.cancel()
        try:
            self.result = yield from doing.join()
        except Cancelled as error:
            return error
        return None


def quietly(operation: Any) -> Steps:
    with suppress(OSError):
        yield from operation


def handshake(authority: Authority, version: str, who: str, way: str, boundary: int) -> Any:
    """Cancel a handshake after so many bytes: both sides close, and no data comes through. False: it has fewer."""

    def main() -> Steps:
        with Pair(authority, version, who) as pair:
            pair.gate.let(way, boundary)
            theirs = newthread(quietly(pair.theirs.handshake()))
            cancelled = yield from pair.cancelled(pair.ours.handshake())
            if cancelled is None:
                pair.gate.open()
            else:
                assert pair.ours.closed
                assert pair.gate.closed
                with suppress(Closed):
                    assert not (yield from pair.ours.recv())
                    raise AssertionError("a handshake that was cancelled can be used")
            yield from theirs.join()
            if cancelled is not None:
                with suppress(OSError):
                    assert not (yield from pair.theirs.recv())
                    raise AssertionError("the peer takes this for an end")
            return cancelled is not None

    return limited(main)


def received(at: TLS, size: int, first: bytes = b"") -> Steps:
    """Receive `size` bytes, and no more."""
    while len(first) < size:
        data = yield from at.recv()
        assert data, "the end came early"
        first += data
    assert len(first) == size, "bytes are doubled"
    return first


def a_receive(pair: Pair, boundary: int, into: bool) -> Steps:
    data = b"data %d" % boundary
    pair.gate.let("in", boundary)
    yield from pair.theirs.sendall(data)
    buffer = bytearray(40)
    cancelled = yield from pair.cancelled(pair.ours.recv_into(buffer) if into else pair.ours.recv())
    pair.gate.open()
    first = b""
    if cancelled is None:
        first = bytes(buffer[: pair.result]) if into else pair.result
    else:
        assert not any(buffer), "it has changed the buffer"
    assert (yield from received(pair.ours, len(data), first)) == data
    return cancelled is not None


def a_send(pair: Pair, boundary: int) -> Steps:
    data = b"data %d" % boundary
    pair.gate.let("out", boundary)
    cancelled = yield from pair.cancelled(pair.ours.sendall(data))
    assert cancelled is None or cancelled.bytes_sent == len(data), "a record cannot be taken back"
    pair.gate.open()
    yield from pair.ours.sendall(b"more")
    assert (yield from received(pair.theirs, len(data) + 4)) == data + b"more"
    return cancelled is not None


def an_end(authority: Authority, version: str, who: str, way: str, boundary: int) -> Any:
    """Cancel finish() after so many bytes of our close_notify, or of the peer's: what was sent before has come."""

    def main() -> Steps:
        with Pair(authority, version, who) as pair:
            yield from shaken(pair.ours, pair.theirs)
            yield from pair.ours.sendall(b"the last words")
            if way == "in":
                yield from pair.theirs.sendall(b"!")
                yield from received(pair.ours, 1)
                pair.theirs.shutdown()
                while pair.theirs._owes:
                    yield from sleep(0)
            pair.gate.let(way, boundary)
            cancelled = yield from pair.cancelled(pair.ours.finish(0 if way == "out" else 20))
            assert pair.ours.closed
            assert (yield from received(pair.theirs, 14)) == b"the last words"
            try:
                assert (yield from pair.theirs.recv()) == b""
            except ssl.SSLEOFError:
                assert way == "out"
                assert pair.gate.waits
            return pair.gate.waits or cancelled is not None

    return limited(main)


def records(authority: Authority, version: str, who: str) -> int:
    """Cancel receives and sends, all on one connection. Return how many it were."""

    def main() -> Steps:
        with Pair(authority, version, who) as pair:
            yield from shaken(pair.ours, pair.theirs)
            for one, other in ((pair.theirs, pair.ours), (pair.ours, pair.theirs)):
                yield from one.sendall(b"!")  # with the tickets of TLS 1.3
                yield from received(other, 1)
            steps: list[Callable[[int], Steps]] = [
                lambda boundary: a_receive(pair, boundary, False),
                lambda boundary: a_receive(pair, boundary, True),
                lambda boundary: a_send(pair, boundary),
            ]
            tried = 0
            for step in steps:
                boundary = 0
                while (yield from step(boundary)):
                    boundary += 1
                tried += boundary
            return tried

    tried: int = limited(main)
    return tried


def new_keys(authority: Authority, who: str, way: str) -> int:
    """Cancel a receive at every byte of a request for new keys and of the data behind it, or of our answer."""

    def main() -> Steps:
        with Pair(authority, "TLSv1.3", who) as pair:
            peer = Hostile(pair.below, "TLSv1.3")
            shaking = newthread(pair.ours.handshake())
            yield from peer.accept(authority.ours) if who == "client" else peer.connect()
            yield from shaking.join()
            boundary = 0
            while True:
                data = b"data %d" % boundary
                pair.gate.let(way, boundary)
                yield from peer.new_keys(True)
                if way == "in":
                    yield from peer.sendall(data)
                else:  # OpenSSL answers the first of two at once, the last one before its next data
                    yield from peer.new_keys(True)
                receiving = newthread(pair.ours.recv())
                for _ in range(20):
                    yield from sleep(0)
                waited = pair.gate.waits
                receiving.cancel()
                first = b""
                with suppress(Cancelled):
                    first = yield from receiving.join()
                pair.gate.open()
                if way == "out":
                    yield from peer.sendall(data)
                assert (yield from received(pair.ours, len(data), first)) == data
                yield from pair.ours.sendall(b"under new keys")
                assert (yield from peer.recv()) == b"under new keys"
                if not waited:
                    return boundary
                boundary += 1

    tried: int = limited(main)
    return tried


def handshakes(authority: Authority, version: str, who: str, step: int = 1) -> int:
    """Cancel a handshake at every `step`-th boundary of each direction. Return how many it were."""
    return _boundaries(partial(handshake, authority, version, who), step)


def finishes(authority: Authority, version: str, who: str, step: int = 1) -> int:
    """Cancel finish() at every `step`-th boundary of each close_notify. Return how many it were."""
    return _boundaries(partial(an_end, authority, version, who), step)


def _boundaries(case: Callable[[str, int], bool], step: int) -> int:
    tried = 0
    for way in ("in", "out"):
        boundary = 0
        while case(way, boundary):
            boundary += step
            tried += 1
    return tried


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority(Path(folder))
        tried = 0
        for who in ("client", "server"):
            for version in VERSIONS:
                for kind in (handshakes, records, finishes):
                    tried += kind(authority, version, who)
            for way in ("in", "out"):
                tried += new_keys(authority, who, way)
    print(f"{tried} boundaries, nothing lost, nothing doubled")


if __name__ == "__main__":
    main()
