"""A peer that plays a script: it expects these bytes, sends those, waits, closes, resets.

Knows a script as a list of steps, and which of them a connection has come to. Each error names its step. It must not
know a protocol.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from pollers import Operation, operation

from ..sockets.address import Host
from ..sockets.tcp import TCP
from ..threads.events import Event
from ..threads.loop import newthread
from ..threads.scope import move_on_after
from ..threads.sleeping import sleep
from ..threads.thread import Thread, all_ended
from ..threads.timers import duration
from ..tls.endpoint import connect, listen

Steps: TypeAlias = Generator[Any, Any, None]

# How many bytes around a difference an error shows.
_AROUND = 20
_SHOWN_MAX = 60
_BLOCK = 65536

PATIENCE_S = 5.0


class ScriptError(AssertionError):
    """A step of a script did not come about. The message names the step, and what came instead."""


class Line:
    """A connection, and what has been received on it and not been expected yet."""

    def __init__(self, conn: TCP) -> None:
        self.conn = conn
        self.pending = bytearray()
        self.taken = 0  # how many bytes the steps have taken
        self.ended = False

    def receive(self) -> Generator[Any, Any, bool]:
        """Receive more. Return False at the end."""
        data = b"" if self.ended else (yield from self.conn.recv(_BLOCK))
        self.ended = not data
        self.pending += data
        return bool(data)

    def take(self, count: int) -> None:
        del self.pending[:count]
        self.taken += count


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a script, such as expect() returns. `text` describes it in errors."""

    text: str
    play: Callable[[Line], Steps]


def expect(data: bytes) -> Step:
    """Receive exactly these bytes next. The first byte that differs is an error at once."""
    _check_bytes(data)

    def play(line: Line) -> Steps:
        while True:
            count = min(len(line.pending), len(data))
            if line.pending[:count] != data[:count]:
                raise ScriptError(_difference(data, line))
            if count == len(data):
                line.take(count)
                return
            if not (yield from line.receive()):
                raise ScriptError(f"the connection ended after {shown(bytes(line.pending))}")

    return Step(f"expect({shown(data)})", play)


def expect_until(separator: bytes) -> Step:
    """Receive any bytes up to and including `separator`."""
    _check_bytes(separator)

    def play(line: Line) -> Steps:
        while (at := line.pending.find(separator)) < 0:
            if not (yield from line.receive()):
                raise ScriptError(f"the connection ended after {shown(bytes(line.pending))}")
        line.take(at + len(separator))

    return Step(f"expect_until({shown(separator)})", play)


def expect_end() -> Step:
    """Receive the end of the stream, and no byte before it. A reset is an error."""

    def play(line: Line) -> Steps:
        while not line.pending and (yield from line.receive()):
            pass
        if line.pending:
            raise ScriptError(f"received {shown(bytes(line.pending))}")

    return Step("expect_end()", play)


def send(data: bytes, piece: int | None = None, every_s: float = 0) -> Step:
    """Send these bytes: at once, or in pieces of `piece` bytes with `every_s` seconds between two of them."""
    _check_bytes(data)
    if piece is not None and piece < 1:
        raise ValueError(f"a piece must have at least one byte, not {piece}")
    size, pause_s = piece or len(data), duration(every_s)

    def play(line: Line) -> Steps:
        for start in range(0, len(data), size):
            if start:
                yield from sleep(pause_s)
            yield from line.conn.sendall(data[start : start + size])

    return Step(f"send({shown(data)})", play)


def wait(what: float | Event) -> Step:
    """Wait for a number of seconds, or for an Event that the test sets."""
    seconds = None if isinstance(what, Event) else duration(what)

    def play(line: Line) -> Steps:
        yield from what.wait() if isinstance(what, Event) else sleep(what)

    return Step("wait(Event)" if seconds is None else f"wait({seconds:g})", play)


def shutdown() -> Step:
    """Say that nothing more will be sent, and go on receiving."""
    return _at_once("shutdown()", lambda conn: conn.shutdown(socket.SHUT_WR))


def close() -> Step:
    """Close the connection, as the end of a script does."""
    return _at_once("close()", lambda conn: conn.close())


def reset() -> Step:
    """Close the connection with a reset: what the other side has not received yet is lost."""

    def cut(conn: TCP) -> None:
        conn.setopt("linger", 0)
        conn.close()

    return _at_once("reset()", cut)


def _at_once(text: str, act: Callable[[TCP], None]) -> Step:
    def play(line: Line) -> Steps:
        act(line.conn)
        yield from ()

    return Step(text, play)


class Peer:
    """One connection that plays a script. `address` is where it listens; None if it does not."""

    def __init__(self, script: tuple[Step, ...], listener: TCP | None, opening: Callable[[], Any]) -> None:
        for step in script:
            if not isinstance(step, Step):
                raise TypeError(f"a script is made of steps such as expect(b'...'), not of {step!r}")
        self._script = script
        self._listener = listener
        self._opening = opening
        self._at = 0
        self._connected = False
        self.address = listener.getsockname() if listener is not None else None
        self._thread: Thread[None] = newthread(self._play, name="recorded peer")

    def played(self) -> Operation[None]:
        """Wait until the script has been played to its end. Raises ScriptError if it cannot be."""
        return self._thread.join()

    def left(self) -> str:
        """Return which step has not been played yet, for people. '' if there is none."""
        if self._thread.done:
            return ""
        return f"{self._name()} of a recorded peer has not been played" if self._connected else "nobody has connected"

    def stop(self) -> None:
        """Close the connection, wherever the script is."""
        self._thread.cancel()

    def _name(self) -> str:
        if self._at == len(self._script):
            return "the end of the script"
        return f"step {self._at + 1} of {len(self._script)}, {self._script[self._at].text},"

    def _play(self) -> Steps:
        with (yield from self._opened()) as conn:
            self._connected = True
            line = Line(conn)
            for step in self._script:
                try:
                    yield from step.play(line)
                except ScriptError as error:
                    raise ScriptError(f"{self._name()} failed: {error}") from None
                except OSError as error:
                    raise ScriptError(f"{self._name()} failed: {error}") from error
                self._at += 1

    def _opened(self) -> Generator[Any, Any, TCP]:
        try:
            conn: TCP = yield from self._opening()
            return conn
        finally:
            if self._listener is not None:
                self._listener.close()


class Recorded:
    """Starts peers that play scripts, and knows which of them have come to their end.

    A script is played in a thread of its own. If it fails, that is an error in the background, with the number and the
    text of the step. At the end of a script the connection is closed.
    """

    def __init__(self) -> None:
        self._peers: list[Peer] = []

    def listen(self, *script: Step, host: str = "127.0.0.1") -> Peer:
        """Play the script to the first connection that is made to `address` of the peer."""
        listener = listen(host, 0)
        try:
            return self._started(Peer(script, listener, listener.accept))
        except BaseException:
            listener.close()
            raise

    def connect(self, where: Host, *script: Step) -> Peer:
        """Connect to a server, and play the script to it. `where`: as in socket2.connect()."""
        return self._started(Peer(script, None, lambda: connect(where)))

    def play(self, conn: TCP, *script: Step) -> Peer:
        """Play the script on a connection, such as one of a connected pair."""

        def opened() -> Generator[Any, Any, TCP]:
            yield from ()
            return conn

        return self._started(Peer(script, None, opened))

    def _started(self, peer: Peer) -> Peer:
        self._peers.append(peer)
        return peer

    @operation
    def end(self, patience_s: float = PATIENCE_S) -> Generator[Any, Any, None]:
        """Wait until all scripts have been played, `patience_s` seconds at most, and end the others.

        Raises ScriptError if there are others. The scripts that have failed are not mentioned again.
        """
        with move_on_after(patience_s):
            for peer in self._peers:
                with suppress(ScriptError):  # it has been reported
                    yield from peer.played()
        left = [text for peer in self._peers if (text := peer.left())]
        for peer in self._peers:
            peer.stop()
        yield from all_ended([peer._thread for peer in self._peers])
        self._peers.clear()
        if left:
            raise ScriptError("; ".join(left))


def _check_bytes(data: object) -> None:
    if not isinstance(data, bytes):
        raise TypeError(f"a step takes bytes, not {data!r}")


def shown(data: bytes) -> str:
    """Return bytes for people. Of many, only the first ones."""
    if len(data) <= _SHOWN_MAX:
        return repr(data)
    return f"{data[:_SHOWN_MAX]!r} and {len(data) - _SHOWN_MAX} bytes more"


def _difference(data: bytes, line: Line) -> str:
    received = bytes(line.pending)
    at = next(n for n, (one, other) in enumerate(zip(data, received, strict=False)) if one != other)
    begin = max(at - _AROUND, 0)
    here, there = data[begin : at + _AROUND], received[begin : at + _AROUND]
    return f"at byte {at} came {there!r} in place of {here!r}"
