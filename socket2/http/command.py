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
from .serving.program import serve as serve_http

if TYPE_CHECKING:
    import ssl


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("target", metavar="DIRECTORY", help="the directory whose files are served")
    command.add_argument("--bind", default="127.0.0.1:8000", metavar="HOST:PORT", help="by default %(default)s")
    command.add_argument("--tls", action="store_true", help="HTTPS, by default with a certificate made for this run")
    command.add_argument("--certificate", type=Path, metavar="FILE", help="the server's certificate in PEM; for --tls")
    command.add_argument("--key", type=Path, metavar="FILE", help="its private key, if that is in another file")
    command.add_argument("--workers", type=int, metavar="N", help="serve in N processes")
    command.add_argument("--log", choices=("common", "combined", "json"), help="print each request in this format")
    command.add_argument("--listing", action="store_true", help="list directories that have no index.html")


def handler_of(options: argparse.Namespace) -> Callable[[Any], Any]:
    """Return the handler for what is to be served. Raises ValueError if that is nothing that can be."""
    if os.path.isdir(options.target):
        return directory(options.target, listing=options.listing)
    raise ValueError(f"{options.target} is not a directory")


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
