"""Pipes: from one socket to another, at the speed of the slower one. Uses only their events and methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Destination(Protocol):
    """What a socket can be piped to: another socket, or anything that behaves like one."""

    def write(self, data: Any, /) -> Any: ...
    def end(self) -> Any: ...
    def addListener(self, event: str, listener: Any) -> Any: ...
    def removeListener(self, event: str, listener: Any) -> Any: ...


class Source(Protocol):
    """What can be piped from."""

    def pause(self) -> Any: ...
    def resume(self) -> Any: ...
    def unpipe(self, destination: Destination) -> Any: ...
    def addListener(self, event: str, listener: Any) -> Any: ...
    def removeListener(self, event: str, listener: Any) -> Any: ...


class Pipe:
    """The listeners that make up a pipe, until close()."""

    def __init__(self, source: Source, destination: Destination, end: bool) -> None:
        self.destination = destination
        self._source = source
        self._listening: list[tuple[Source | Destination, str, Callable[..., Any]]] = [
            (destination, "drain", source.resume),
            (destination, "close", self._stop),
            (source, "data", self._hand_on),
        ]
        self._listening.append((source, "end", destination.end if end else self._stop))
        for emitter, event, listener in self._listening:
            emitter.addListener(event, listener)
        self._tell("pipe")

    def _tell(self, event: str) -> None:
        tell = getattr(self.destination, "_soon", None)
        if tell is not None:
            tell(event, self._source)

    def _hand_on(self, data: Any) -> None:
        if self.destination.write(data) is False:
            self._source.pause()

    def _stop(self, *_: Any) -> None:
        self._source.unpipe(self.destination)

    def close(self) -> None:
        """Remove the listeners again."""
        for emitter, event, listener in self._listening:
            emitter.removeListener(event, listener)
        self._listening.clear()
        self._tell("unpipe")
