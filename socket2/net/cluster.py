"""Processes that listen together: the primary opens the sockets, and the workers get them from it.

joinCluster() makes a process a worker. Its servers then ask the primary for their listening sockets, unless they are
exclusive. Workers that ask for the same address share one socket, even with port 0. The primary closes a socket when
the last worker has closed it.
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
    """The sockets that the primary shares with its workers. Make a Cluster(), then add() the channel to each worker."""

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
    """A worker's side: asks for listeners, and reports when they are closed."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._open: set[str] = set()

    @operation
    def listener(self, options: dict[str, Any]) -> Generator[Any, None, Listener]:
        """Get a listener for a server. Raises OSError as if it were opened here; Closed if the primary is gone."""
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
        """Return a key that is the same in every worker for the same request. A repeated request gets another key."""
        wish = [asked.get(name) for name in _SAME]
        return next(key for n in range(len(self._open) + 1) if (key := json.dumps([*wish, n])) not in self._open)

    def _leave(self, key: str) -> None:
        self._open.discard(key)
        if self._channel.connected:
            self._channel._post({"type": "leave", "key": key, "id": -1}, None)


def joinCluster(channel: Channel | None) -> None:
    """Let the servers of this process get their sockets from a Cluster through `channel`; None ends that."""
    use_primary(_Worker(channel).listener if channel is not None else None)
