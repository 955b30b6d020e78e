"""The command `python -m socket2 serve`: an HTTP server from the command line."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..sockets.address import format_address
from .files.directory import directory
from .hosting.asgi import asgi
from .hosting.loading import kind_of, load
from .hosting.wsgi import wsgi
from .serving.program import serve as serve_http

if TYPE_CHECKING:
    import ssl


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "target",
        metavar="TARGET",
        help="a directory whose files are served, or a WSGI or ASGI application: MODULE:NAME",
    )
    command.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT", help="by default %(default)s")
    command.add_argument("--tls", action="store_true", help="HTTPS, by default with a certificate made for this run")
    command.add_argument("--certificate", type=Path, metavar="FILE", help="the server's certificate in PEM; for --tls")
    command.add_argument("--key", type=Path, metavar="FILE", help="its private key, if that is in another file")
    command.add_argument("--workers", type=int, metavar="N", help="serve in N processes")
    command.add_argument("--log", choices=("common", "combined", "json"), help="print each request in this format")
    command.add_argument("--listing", action="store_true", help="list directories that have no index.html")
    kinds = command.add_mutually_exclusive_group()
    for kind in ("wsgi", "asgi"):
        kinds.add_argument(
            f"--{kind}", dest="kind", action="store_const", const=kind, help=f"the application is for {kind.upper()}"
        )
    command.add_argument("--asyncio", action="store_true", help="the ASGI application needs asyncio, as most do")
    command.add_argument("--factory", action="store_true", help="NAME is a function that returns the application")
    command.add_argument("--root-path", default="", metavar="PATH", help="where the application is mounted, as /shop")


def handler_of(options: argparse.Namespace) -> Callable[[Any], Any]:
    """Return the handler for what is to be served. Raises ValueError if that is nothing that can be."""
    if os.path.isdir(options.target):
        return directory(options.target, listing=options.listing)
    module, _, name = options.target.partition(":")
    words = [*module.split("."), *(name.split(".") if name else ())]
    if not all(word.isidentifier() for word in words):  # such as the path behind a drive of Windows
        raise ValueError(f"{options.target} is not a directory, and not MODULE:NAME")
    app = load(options.target, factory=options.factory)
    if (options.kind or kind_of(app)) == "wsgi":
        return wsgi(app, root_path=options.root_path)
    return asgi(app, root_path=options.root_path, asyncio=options.asyncio)


def serve(options: argparse.Namespace, tls: ssl.SSLContext | None) -> None:
    """Serve until SIGINT or SIGTERM. Raises OSError, ValueError."""
    scheme = "http" if tls is None else "https"

    def ready(server: Any) -> None:
        where = " and ".join(f"{scheme}://{format_address(address)}" for address in server.addresses)
        print(f"serving {options.target} on {where}   (Ctrl-C ends it)", flush=True)

    if options.log is not None:
        logging.basicConfig(level=logging.WARNING, format="%(message)s")
        logging.getLogger("socket2.http.access").setLevel(logging.INFO)
    answer = handler_of(options)
    serve_http(answer, options.bind, access_log=options.log, workers=options.workers, tls=tls, ready=ready)
