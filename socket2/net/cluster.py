"""Processes that listen together: one, the primary, opens the sockets, and the workers get them from it.

A worker is told so by joinCluster(); its servers then ask the primary for what they listen on, unless they want it
exclusively. Who asks for the same gets the same socket, with port 0, too. It is closed when the last of them closes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from typing import Any

from pollers import operation

from ..sockets.tcp import tcp
from .channel import Channel
from .failures import failure
from .opening import Listener, open_listener, use_primary

_ASKED = ("host", "port", "path", "backlog", "ipv6Only", "reusePort", "readableAll", "writableAll")
_SAME = ("host", "port", "path")


class Cluster:
    """What the primary shares with its workers: Cluster(), then add() the channel to each of them."""

    def __init__(self) -> None:
        self._listeners: dict[str, Listener] = {}
        self._users: dict[str, set[Channel]] = {}

    def add(self, channel: Channel) -> None:
        """Open what the process at the other end wants to listen on, and share it with the other workers."""
        channel._answers["listen"] = self._listen
        channel._answers["leave"] = self._leave
        channel.once("disconnect", lambda: self._forget(channel))

    def _listen(self, channel: Channel, question: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
        key = question["key"]
        listener = self._listeners.get(key)
        if listener is None:
            try:
                listener = open_listener(question["options"])
            except OSError as error:
                return {"errno": error.errno, "code": getattr(error, "code", None), "text": error.strerror}, None
            self._listeners[key] = listener
            self._users[key] = set()
        self._users[key].add(channel)
        return {}, os.dup(listener.sock.fileno())

    def _leave(self, channel: Channel, question: dict[str, Any]) -> tuple[dict[str, Any], None]:
        self._drop(channel, question["key"])
        return {}, None

    def _forget(self, channel: Channel) -> None:
        for key in list(self._users):
            self._drop(channel, key)

    def _drop(self, channel: Channel, key: str) -> None:
        users = self._users.get(key, set())
        users.discard(channel)
        if not users and key in self._listeners:
            del self._users[key]
            self._listeners.pop(key).close()


class _Worker:
    """A worker's side: asks for listeners, and tells when they are closed."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._open: set[str] = set()

    @operation
    def listener(self, options: dict[str, Any]) -> Generator[Any, None, Listener]:
        """Get what a server wants to listen on. OSError, as if it had been opened here; Closed without a primary."""
        asked = {name: options[name] for name in _ASKED if options.get(name) is not None}
        key = self._key(asked)
        self._open.add(key)
        try:
            answer, fd = yield from self._channel.ask({"type": "listen", "key": key, "options": asked})
        except BaseException:
            self._open.discard(key)
            raise
        if fd is None:
            self._open.discard(key)
            error = failure(answer["code"], answer["text"], answer["errno"])
            error.syscall = "listen"  # type: ignore[attr-defined]
            raise error
        return Listener(tcp(fileno=fd), on_close=lambda: self._leave(key))

    def _key(self, asked: dict[str, Any]) -> str:
        """The same for the same wish in every worker; a worker's second wish for the same is another."""
        wish = [asked.get(name) for name in _SAME]
        return next(key for n in range(len(self._open) + 1) if (key := json.dumps([*wish, n])) not in self._open)

    def _leave(self, key: str) -> None:
        self._open.discard(key)
        if self._channel.connected:
            self._channel._post({"type": "leave", "key": key, "id": -1}, None)


def joinCluster(channel: Channel | None) -> None:
    """Have the servers of this process get their sockets through `channel`, from a Cluster; None: no longer."""
    use_primary(_Worker(channel).listener if channel is not None else None)
