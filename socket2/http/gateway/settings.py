"""The configuration of `python -m socket2 proxy`: a TOML file, checked key by key.

Whatever is wrong is found at once, and told with the file, the key and what is allowed there. What a value means is
checked later, by those who get it.
"""

from __future__ import annotations

import inspect
import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from ..messages.bounds import Limits
from .reverse import proxy
from .tunnels import forward_proxy


class Kind(NamedTuple):
    """A kind of value. `words`: what is allowed, for people."""

    words: str
    types: tuple[type, ...]
    is_list: bool = False


TEXT = Kind("a string", (str,))
TEXTS = Kind("a list of strings", (str,), is_list=True)
WHOLE = Kind("a whole number", (int,))
SECONDS = Kind("a number", (int, float))
NUMBER_OR_OFF = Kind("a number, or false for no limit", (int, float))

_SERVER = {
    "bind": TEXT,
    "workers": WHOLE,
    "certificate": TEXT,
    "key": TEXT,
    "access_log": TEXT,
    "health": TEXT,
    "metrics": TEXT,
    "metrics_at": TEXT,
    "trusted": TEXTS,
    "trusted_fields": TEXTS,
    "proxy_protocol": TEXTS,
    "max_connections": WHOLE,
    "max_handshakes": WHOLE,
    "handshake_s": SECONDS,
    "grace_s": SECONDS,
    "drain_s": SECONDS,
}
_OF_OPTIONS = {"str": TEXT, "int": WHOLE, "float": SECONDS, "Iterable[str]": TEXTS}
_ROUTE = {"host": TEXT, "path": TEXT, "upstream": TEXT}


def _kind_of(annotation: str) -> Kind:
    """Return the kind of an argument of ours by its annotation."""
    plain = annotation.removesuffix(" | None")
    if plain in ("int", "float") and plain != annotation:
        return NUMBER_OR_OFF
    return _OF_OPTIONS.get(plain, TEXT)


_KINDS_OF_LIMITS = {each.name: _kind_of(str(each.type)) for each in fields(Limits)}
_KINDS_OF_UPSTREAMS = {
    "servers": TEXTS,
    "authorities": TEXT,
    "certificate": TEXT,
    "key": TEXT,
} | {
    name: _kind_of(str(each.annotation))
    for name, each in inspect.signature(proxy).parameters.items()
    if name not in ("upstreams", "tls")
}
_KINDS_OF_FORWARD = {"allow": TEXTS, "clients": TEXTS} | {
    name: _kind_of(str(each.annotation))
    for name, each in inspect.signature(forward_proxy).parameters.items()
    if name != "allow"
}


class WrongSettings(ValueError):
    """The configuration has mistakes. The message has a line for each."""


@dataclass
class Route:
    """Requests for a host, "" for any, and below a path go to a group of upstreams."""

    host: str
    path: str
    upstream: str


@dataclass
class Settings:
    """What a configuration says. Only known keys with values of the right kind are in it; None is no limit."""

    file: Path
    server: dict[str, Any] = field(default_factory=dict)
    limits: dict[str, Any] = field(default_factory=dict)
    upstreams: dict[str, dict[str, Any]] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    forward: dict[str, Any] | None = None

    def beside(self, name: str) -> Path:
        """Return a file that is named in the configuration: relative to it."""
        return self.file.parent / name


def read(file: Path) -> Settings:
    """Read a configuration. Raises WrongSettings with all mistakes."""
    try:
        with open(file, "rb") as opened:
            table = tomllib.load(opened)
    except (OSError, ValueError) as error:
        raise WrongSettings(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    return _Reader(file).settings(table)


class _Reader:
    """Takes a table apart, and collects mistakes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._wrong: list[str] = []

    def settings(self, table: dict[str, Any]) -> Settings:
        settings = Settings(self._file)
        self._only(table, "", ("server", "upstreams", "routes", "forward"))
        server = self._table(table.get("server", {}), "server")
        limits = self._table(server.pop("limits", {}), "server.limits")
        settings.server = self._values(server, "server", _SERVER, also=("limits",))
        settings.limits = self._values(limits, "server.limits", _KINDS_OF_LIMITS)
        self._required(settings.server, "server", "bind")
        for name, group in self._table(table.get("upstreams", {}), "upstreams").items():
            path = f"upstreams.{name}"
            values = self._values(self._table(group, path), path, _KINDS_OF_UPSTREAMS)
            self._required(values, path, "servers")
            settings.upstreams[name] = values
        self._routes(table.get("routes", []), settings)
        if "forward" in table:
            settings.forward = self._values(self._table(table["forward"], "forward"), "forward", _KINDS_OF_FORWARD)
            self._required(settings.forward, "forward", "allow")
        elif not settings.routes and not self._wrong:
            self._say("routes", "is missing: a proxy needs [[routes]] or [forward]")
        if self._wrong:
            raise WrongSettings("\n".join(self._wrong))
        return settings

    def _routes(self, routes: Any, settings: Settings) -> None:
        if not isinstance(routes, list):
            self._say("routes", f"must be tables [[routes]], not {routes!r}")
            return
        seen = set()
        for number, each in enumerate(routes, 1):
            path = f"routes[{number}]"
            values = self._values(self._table(each, path), path, _ROUTE)
            self._required(values, path, "upstream")
            route = Route(values.get("host", "").lower(), values.get("path", "/"), values.get("upstream", ""))
            if not route.path.startswith("/"):
                self._say(f"{path}.path", f"must begin with /, unlike {route.path!r}")
            if "*" in route.host.removeprefix("*.") or ":" in route.host:
                self._say(f"{path}.host", f"must be a name, or *.name, without a port, not {route.host!r}")
            if route.upstream and route.upstream not in settings.upstreams:
                known = ", ".join(settings.upstreams) or "none"
                self._say(f"{path}.upstream", f"must be one of [upstreams]: {known}; not {route.upstream!r}")
            if (route.host, route.path) in seen:
                self._say(path, f"has the same host and path as another: {route.host!r}, {route.path!r}")
            seen.add((route.host, route.path))
            settings.routes.append(route)

    def _table(self, value: Any, path: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return dict(value)
        self._say(path, f"must be a table, not {value!r}")
        return {}

    def _only(self, table: dict[str, Any], path: str, known: tuple[str, ...]) -> None:
        for name in table:
            if name not in known:
                self._say(f"{path}.{name}" if path else name, f"is unknown; allowed are {', '.join(known)}")

    def _values(
        self, table: dict[str, Any], path: str, kinds: dict[str, Kind], also: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        self._only(table, path, (*kinds, *also))
        found = {}
        for name, value in table.items():
            kind = kinds.get(name)
            if kind is None:
                continue
            if not _fits(value, kind):
                self._say(f"{path}.{name}", f"must be {kind.words}, not {value!r}")
            else:
                found[name] = None if value is False and kind is NUMBER_OR_OFF else value
        return found

    def _required(self, values: dict[str, Any], path: str, name: str) -> None:
        if name not in values and not any(line.startswith(f"{self._file}: {path}.{name} ") for line in self._wrong):
            self._say(f"{path}.{name}", "is missing")

    def _say(self, path: str, what: str) -> None:
        self._wrong.append(f"{self._file}: {path} {what}")


def _fits(value: Any, kind: Kind) -> bool:
    if kind.is_list:
        return isinstance(value, list) and all(isinstance(each, kind.types) for each in value)
    if isinstance(value, bool):
        return kind is NUMBER_OR_OFF and not value
    return isinstance(value, kind.types)
