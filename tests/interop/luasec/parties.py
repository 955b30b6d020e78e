"""Where a test makes LuaSec's calls: on LuaSec itself, in a Lua process, or on ours, in this process."""

from __future__ import annotations

import json
import select
import socket as std
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from socket2 import luasocket
from socket2.luasocket import ssl

from ..peers import LIMIT_S

LUA = Path(__file__).with_name("party.lua")


class Ref(NamedTuple):
    """An object of the party, as an argument."""

    name: str


class Party:
    """Has objects by name. The results of a call are a list without the None at its end, and bytes are text."""

    def call(self, name: str, method: str, *args: Any, keep: str = "") -> Any:
        """Call a method. `keep`: the name for the object that it returns."""
        raise NotImplementedError

    def do(self, function: str, *args: Any, keep: str = "") -> Any:
        """Call a function: "socket.bind", "ssl.wrap"."""
        raise NotImplementedError

    def ready(self, name: str, side: str = "read") -> None:
        """Wait until an object is ready."""
        raise NotImplementedError

    def cut(self, name: str) -> None:
        """End the stream below a connection, without a close_notify."""
        raise NotImplementedError

    def give(self, name: str, unit: str, times: int) -> None:
        """Make a long text an object."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all objects."""
        raise NotImplementedError


class LuaSec(Party):
    def __init__(self, lua: str) -> None:
        self._process = subprocess.Popen(
            [lua, str(LUA)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="latin-1", bufsize=1
        )

    def call(self, name: str, method: str, *args: Any, keep: str = "") -> Any:
        return self._result(f"o[{_lua(name)}]:{method}({', '.join(map(_lua, args))})", keep)

    def do(self, function: str, *args: Any, keep: str = "") -> Any:
        if function == "ssl.wrap":
            self._ask(f"keep({_lua('raw ' + args[0].name)}, {_lua(args[0])})")
        return self._result(f"{function}({', '.join(map(_lua, args))})", keep)

    def ready(self, name: str, side: str = "read") -> None:
        assert self._ask(f"ready({_lua(name)}, {_lua(side)})") == []

    def cut(self, name: str) -> None:
        self._ask(f"cut({_lua(name)})")

    def give(self, name: str, unit: str, times: int) -> None:
        self._ask(f"keep({_lua(name)}, ({_lua(unit)}):rep({times})):len()")

    def close(self) -> None:
        self._ask("close_all()")

    def end(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(LIMIT_S)
        self._process.stdout.close()

    def _result(self, call: str, keep: str) -> Any:
        return self._ask(f"keep({_lua(keep)}, {call})" if keep else call)

    def _ask(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        if not select.select([self._process.stdout], [], [], LIMIT_S)[0]:
            self._process.kill()  # it does not end by itself: LuaSec can loop
        done, *results = json.loads(self._process.stdout.readline() or "[false]")
        assert done, results
        return _without_trailing_none(results)


class Ours(Party):
    """The calls run at once, since no thread is running."""

    def __init__(self) -> None:
        self._objects: dict[str, Any] = {}

    def call(self, name: str, method: str, *args: Any, keep: str = "") -> Any:
        return self._result(getattr(self._objects[name], method)(*self._args(args)), keep)

    def do(self, function: str, *args: Any, keep: str = "") -> Any:
        room, name = function.split(".")
        return self._result(getattr(luasocket if room == "socket" else ssl, name)(*self._args(args)), keep)

    def ready(self, name: str, side: str = "read") -> None:
        one = [self._objects[name]]
        _, _, err = luasocket.select(one if side == "read" else None, one if side == "write" else None, LIMIT_S)
        assert err is None

    def cut(self, name: str) -> None:
        self._objects[name]._sock.std.shutdown(std.SHUT_WR)

    def give(self, name: str, unit: str, times: int) -> None:
        self._objects[name] = unit.encode() * times

    def close(self) -> None:
        for one in self._objects.values():
            if hasattr(one, "close"):
                one.close()
        self._objects.clear()

    def _args(self, args: Sequence[Any]) -> list[Any]:
        return [self._arg(arg) for arg in args]

    def _arg(self, arg: Any) -> Any:
        if isinstance(arg, Ref):
            return self._objects[arg.name]
        return {key: self._arg(value) for key, value in arg.items()} if isinstance(arg, Mapping) else arg

    def _result(self, result: Any, keep: str) -> Any:
        results = list(result) if isinstance(result, tuple) else [result]
        if keep:
            self._objects[keep] = results[0]
        return told(results)


def told(value: Any) -> Any:
    """Return our results in the form in which both are compared: as JSON from Lua, where text is bytes."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, (list, tuple)):
        return _without_trailing_none([told(one) for one in value])
    if isinstance(value, dict):
        return {str(key): told(one) for key, one in value.items() if one is not None} or []
    if isinstance(value, str):
        return value.encode().decode("latin-1")
    return value if value is None or isinstance(value, (int, float)) else "object"


def _without_trailing_none(values: list[Any]) -> list[Any]:
    while values and values[-1] is None:
        values.pop()
    return values


def _lua(value: Any) -> str:
    if isinstance(value, Ref):
        return f"o[{_lua(value.name)}]"
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"[{_lua(key)}] = {_lua(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "{" + ", ".join(map(_lua, value)) + "}"
    data = value if isinstance(value, bytes) else str(value).encode()
    return '"' + "".join(f"\\{octet:03d}" for octet in data) + '"'
