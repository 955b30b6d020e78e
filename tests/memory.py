"""A byte stream without a socket: two ends in memory. Each has limited room for data that was not received."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import nullcontext
from typing import Any, Literal

from socket2 import Closed, Event, timeout

Steps = Generator[Any, Any, Any]


class Channel:
    """One direction."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.held = bytearray()
        self.ended = self.unwanted = False
        self.changed = Event()

    def change(self) -> None:
        changed, self.changed = self.changed, Event()
        changed.set()


class MemoryStream:
    """One end: a byte stream that also counts its receives."""

    def __init__(self, incoming: Channel, outgoing: Channel) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._timeouts: dict[str, float | None] = {"read": None, "write": None}
        self.closed = False
        self.receives = 0

    def fileno(self) -> int:
        return -1

    def recv(self, n: int) -> Steps:
        incoming = self._incoming
        self.receives += 1
        with self._limit("read"):
            while True:
                if self.closed:
                    raise Closed
                if incoming.held or incoming.ended or not n:
                    break
                yield from incoming.changed.wait()
        data = bytes(incoming.held[:n])
        del incoming.held[:n]
        incoming.change()
        return data

    def recv_into(self, buffer: Any, n: int | None = None) -> Steps:
        data = yield from self.recv(n or len(buffer))
        buffer[: len(data)] = data
        return len(data)

    async def sendall(self, data: Any) -> None:
        outgoing, sent = self._outgoing, 0
        try:
            with self._limit("write"), memoryview(data) as view:
                while sent < len(view):
                    if self.closed:
                        raise Closed
                    if outgoing.ended or outgoing.unwanted:
                        raise BrokenPipeError
                    some = view[sent : sent + outgoing.room - len(outgoing.held)]
                    outgoing.held += some
                    sent += len(some)
                    if some:
                        outgoing.change()
                    else:
                        await outgoing.changed.wait()
        except BaseException as error:
            error.bytes_sent = sent  # type: ignore[attr-defined]
            raise

    def shutdown(self, how: int) -> None:
        if how != socket.SHUT_RD:
            self._outgoing.ended = True
            self._outgoing.change()

    def close(self) -> None:
        self.closed = self._outgoing.ended = self._incoming.unwanted = True
        self._incoming.change()
        self._outgoing.change()

    def settimeout(self, seconds: float | None, direction: Literal["read", "write"] | None = None) -> None:
        for each in (direction,) if direction else ("read", "write"):
            self._timeouts[each] = seconds

    def gettimeout(self, direction: Literal["read", "write"] = "read") -> float | None:
        return self._timeouts[direction]

    def _limit(self, direction: str) -> Any:
        seconds = self._timeouts[direction]
        return nullcontext() if seconds is None else timeout(seconds)


def memory_pair(room: int = 1 << 16) -> tuple[MemoryStream, MemoryStream]:
    there, back = Channel(room), Channel(room)
    return MemoryStream(there, back), MemoryStream(back, there)
