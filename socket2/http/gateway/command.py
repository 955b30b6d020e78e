"""The command `python -m socket2 proxy CONFIG.toml`: a proxy that is described by a file, and reads it again."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...servers.networks import Networks
from ...sockets.address import format_address
from ...tls.contexts import client_context, server_context
from ..messages.bounds import Limits
from ..serving.program import handler as check_handler
from ..serving.program import serve
from ..serving.request import Request
from .reverse import Proxy, proxy
from .routes import Handler, Routes, wildcards
from .settings import Settings, WrongSettings, read
from .tunnels import forward_proxy

if TYPE_CHECKING:
    import ssl


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("config", type=Path, metavar="CONFIG.toml", help="what to pass on, and where")
    command.add_argument("--check", action="store_true", help="only say whether the file is right")


class Configured:
    """The handler that a configuration describes. It can be replaced while requests are on their way."""

    def __init__(self, file: Path) -> None:
        """Raises WrongSettings."""
        self.settings = read(file)
        self._proxies: dict[str, Proxy] = {}
        self._routes = self._build(self.settings)

    def __call__(self, request: Request) -> Any:
        return self._routes.answer(request)

    def reload(self) -> None:
        """Read the file again. If it is wrong, raise WrongSettings, and go on with the old one.

        Requests that have begun end as they began. Groups of upstreams that are the same keep what they know.
        """
        settings = read(self.settings.file)
        for name in ("server", "limits"):
            if getattr(settings, name) != getattr(self.settings, name):
                raise WrongSettings(f"{settings.file}: [server] has changed, and that needs a restart")
        old, self._proxies = self._proxies, dict(self._proxies)
        try:
            for name in old:
                if settings.upstreams.get(name) != self.settings.upstreams[name]:
                    del self._proxies[name]
            routes = self._build(settings)
        except BaseException:
            self._proxies = old
            raise
        self._routes, self.settings = routes, settings
        for replaced in old.values():
            if replaced not in self._proxies.values():
                replaced.retire()
        print(f"read {settings.file} again", flush=True)

    def _build(self, settings: Settings) -> Routes:
        for name, options in settings.upstreams.items():
            if name not in self._proxies:
                self._proxies[name] = _named(settings, f"upstreams.{name}", _proxy, settings, options)
        routes = [(route.host, route.path, self._proxies[route.upstream]) for route in settings.routes]
        tunnels = None
        if settings.forward is not None:
            tunnels = _named(settings, "forward", _forward, settings.forward)
        for name in self._proxies.keys() - settings.upstreams.keys():
            del self._proxies[name]
        return Routes(routes, tunnels)


def _named(settings: Settings, path: str, make: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Make something. Say where its settings are if they are wrong."""
    try:
        return make(*args, **options)
    except (ValueError, TypeError, OSError) as error:
        raise WrongSettings(f"{settings.file}: {path}: {error}") from None


def _proxy(settings: Settings, options: dict[str, Any]) -> Proxy:
    options = dict(options)
    servers = options.pop("servers")
    files = {name: options.pop(name, None) for name in ("authorities", "certificate", "key")}
    tls: ssl.SSLContext | None = None
    if any(where.startswith("https:") for where in servers) or any(files.values()):
        ca, certificate, key = (name and settings.beside(name) for name in files.values())
        tls = client_context(ca=ca, certificate=certificate, key=key)
    return proxy(servers, tls=tls, **options)


def _forward(options: dict[str, Any]) -> Handler:
    others = {name: value for name, value in options.items() if name not in ("allow", "clients")}
    return forward_proxy(allowing(options), **others)


def allowing(options: dict[str, Any]) -> Callable[[Any, str, int], bool]:
    """Return what decides whether a client may have a connection to a place. Raises ValueError."""
    clients = Networks(options["clients"]) if "clients" in options else None
    places = {_place(text) for text in options["allow"]}

    def allow(request: Any, host: str, port: int) -> bool:
        if clients is not None and request.client not in clients:
            return False
        host = host.lower().removesuffix(".")
        return any((name, number) in places for name in (host, *wildcards(host)) for number in (port, None))

    return allow


def _place(text: str) -> tuple[str, int | None]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]").lower()
    if not host or "*" in host.removeprefix("*.") or not (port == "*" or (port.isdecimal() and int(port) < 1 << 16)):
        raise ValueError(f"allow has places as example.org:443, *.example.org:443 or 10.0.0.1:*, not {text!r}")
    return host, None if port == "*" else int(port)


def run_proxy(options: argparse.Namespace) -> None:
    """Serve until SIGINT or SIGTERM, or only check. Raises OSError, ValueError."""
    answer = Configured(options.config)
    settings = answer.settings
    given = dict(settings.server)
    files = [given.pop(name, None) for name in ("certificate", "key")]
    certificate, key = (name and settings.beside(name) for name in files)
    if key and not certificate:
        raise WrongSettings(f"{settings.file}: server.key needs server.certificate")
    tls = _named(settings, "server.certificate", server_context, certificate, key) if certificate else None
    limits = _named(settings, "server.limits", Limits, **settings.limits)
    common = ("access_log", "health", "metrics", "trusted", "trusted_fields")
    of_handler = {name: given[name] for name in common if name in given}
    _named(settings, "server", check_handler, answer, **of_handler)
    if options.check:
        print(f"{settings.file} is right")
        return
    scheme = "http" if tls is None else "https"

    def ready(server: Any) -> None:
        where = " and ".join(f"{scheme}://{format_address(address)}" for address in server.addresses)
        print(f"proxy on {where}   (Ctrl-C ends it)", flush=True)

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if "access_log" in given:
        access = logging.getLogger("socket2.http.access")
        access.setLevel(logging.INFO)
        access.propagate = False
        printing = logging.StreamHandler(sys.stdout)
        printing.setFormatter(logging.Formatter("%(message)s"))
        access.addHandler(printing)
    serve(answer, given.pop("bind"), limits=limits, tls=tls, reload=answer.reload, ready=ready, **given)
