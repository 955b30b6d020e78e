"""Runs one scenario of socket2.net and logs the events of each emitter, as stage.js does for Node's net."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import socket2
from socket2 import net
from socket2.net import Server, Socket

Act = Callable[[], Any]

MUCH = "x" * 12_000_000
"""More than the kernel accepts at once. On loopback that is up to 3 MB with CUBIC, and up to 5 MB with BBR."""


class Stage:
    """The tools of a scenario. It keeps a log for each emitter: there is no order between emitters.

    `slowness`: by how much to multiply its pauses.
    """

    def __init__(self, directory: str, slowness: int) -> None:
        self.directory = directory
        self._slowness = slowness
        self.trace: dict[str, list[list[Any]]] = {}
        self._names: dict[Any, str] = {}
        self._made: list[Socket | Server] = []
        self._over = False

    def told(self) -> dict[str, Any]:
        """Return everything that was logged."""
        found: dict[str, Any] = _shorter(self.trace)
        return found

    def clean_up(self) -> None:
        """Close what the scenario has left open, as the end of Node's process does."""
        self._over = True
        for one in self._made:
            if isinstance(one, Server):
                one.close()
                one.closeAllConnections()
            else:
                one.destroy()
        socket2.start()

    def say(self, who: str, event: str, *args: Any) -> None:
        if self._over:
            return
        told = self.trace.setdefault(who, [])
        what = [self._plain(arg) for arg in args]
        if event == "data" and told and told[-1][0] == "data" and type(told[-1][1]) is type(what[0]):
            if isinstance(what[0], str):
                told[-1][1] += what[0]
            else:
                told[-1][1]["bytes"] += what[0]["bytes"]
        else:
            told.append([event, *what])

    def noting(self, who: str, event: str) -> Callable[..., None]:
        return lambda *args: self.say(who, event, *args)

    def done(self, who: str, event: str) -> Callable[..., None]:
        return lambda error: self.say(who, event, error)

    def watch(self, who: str, emitter: Any, *events: str) -> Any:
        self._made.append(emitter)
        for event in events:
            emitter.on(event, self.noting(who, event))
        return emitter

    def dial(self, who: str, where: Any, *events: str) -> Socket:
        client = Socket()
        self.watch(who, client, *events)
        return client.connect(where)

    def attempt(self, who: str, event: str, act: Act) -> None:
        try:
            made = act()
        except Exception as error:
            self.say(who, event, "raises", error)
        else:
            self.say(who, event, "itself" if isinstance(made, (Socket, Server)) else made)

    def after(self, ms: float, act: Act) -> None:
        socket2.runafter(ms * self._slowness / 1000, act)

    def soon(self, act: Act) -> None:
        socket2.runafter(0, act)

    def known(self, value: int | str, name: str) -> None:
        self._names[value] = name

    def serve(self, options: Any, connection: Any, then: Callable[[int, Server], Any]) -> Server:
        server = net.createServer(options, connection)
        self._made.append(server)

        def begin() -> None:
            address = server.address()
            assert isinstance(address, dict)
            self.known(address["port"], "PORT")
            then(address["port"], server)

        return server.listen(0, "127.0.0.1", begin)

    def _plain(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, (int, float, str)):
            return self._names.get(value, value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return {"bytes": bytes(value).decode("latin-1")}
        if isinstance(value, Socket):
            return "a Socket"
        if isinstance(value, Server):
            return "a Server"
        if isinstance(value, BaseException):
            return self._failure(value)
        if isinstance(value, dict):
            return {name: self._plain(of) for name, of in value.items()}
        return [self._plain(one) for one in value]

    def _failure(self, error: BaseException) -> dict[str, Any]:
        told = {"code": getattr(error, "code", None) or str(error)}
        for name in ("syscall", "address", "port"):
            if getattr(error, name, None) is not None:
                told[name] = self._plain(getattr(error, name))
        if hasattr(error, "errors"):
            told["errors"] = [self._failure(one) for one in error.errors]
        return told


def _shorter(value: Any) -> Any:
    if isinstance(value, str):
        return f"{len(value)} of them" if len(value) > 1000 else value
    if isinstance(value, dict):
        return {name: _shorter(of) for name, of in value.items()}
    return [_shorter(one) for one in value] if isinstance(value, list) else value
