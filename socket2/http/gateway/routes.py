"""Which group of upstreams gets a request: by its host and the beginning of its path."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from ..serving.request import Request
from .reverse import refuse_tunnel

Handler = Callable[[Request], Any]


class Routes:
    """Handlers by host and path. The host counts first: a name, then the longest *.name, then any host.

    Among the paths of a host, the longest that is the path of the request, or is above it, has the request. `tunnels`
    gets CONNECT.
    """

    def __init__(self, routes: Iterable[tuple[str, str, Handler]], tunnels: Handler | None = None) -> None:
        self._hosts: dict[str, list[tuple[str, Handler]]] = {}
        for host, path, handler in routes:
            self._hosts.setdefault(host, []).append((path.rstrip("/"), handler))
        for paths in self._hosts.values():
            paths.sort(key=lambda each: -len(each[0]))
        self._tunnels = tunnels or refuse_tunnel

    def answer(self, request: Request) -> Any:
        """Be the handler of requests."""
        if request.method == "CONNECT":
            return self._tunnels(request)
        path = request.path
        if has_dots(path):
            return request.respond(400, "the path has . or ..\n")
        handler = self.find(request.host, path)
        return request.respond(404, "no route\n") if handler is None else handler(request)

    def find(self, host: str, path: str) -> Handler | None:
        """Return the handler for a host, perhaps with a port, and a path; None without one."""
        for each in _patterns(host):
            for above, handler in self._hosts.get(each, ()):
                if path.startswith(above) and path[len(above) : len(above) + 1] in ("", "/"):
                    return handler
        return None


def has_dots(path: str) -> bool:
    """Whether servers could take the path for another one, which may have another route. Clients resolve these."""
    return any(segment in (".", "..") for segment in path.replace("\\", "/").split("/"))


def _patterns(host: str) -> Generator[str, None, None]:
    """Yield what may stand for a host in a route, the most exact first."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdecimal():
        name = host
    name = name.lower().removesuffix(".")
    yield name
    yield from wildcards(name)
    yield ""


def wildcards(name: str) -> Generator[str, None, None]:
    """Yield *.name for each name that a host is below, the longest first."""
    while name := name.partition(".")[2]:
        yield f"*.{name}"
