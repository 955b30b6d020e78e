"""The command `python -m socket2 get`: one request from the command line, as with curl.

What the user has written is on the command line; what is wrong with it becomes an error message there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, BinaryIO

from ...threads.loop import run
from ...tls.contexts import client_context
from .client import REDIRECTS, Client
from .connection import Timings
from .request import Timeouts
from .response import Response

_LINES = (
    ("connected", "connected, with the lookup of the name"),
    ("secured", "TLS handshake done"),
    ("sent", "request sent"),
    ("begun", "head of the response received"),
    ("ended", "all received"),
)


def add_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("url", metavar="URL", help="http:// or https://")
    command.add_argument("-X", "--request", dest="method", metavar="METHOD", help="instead of GET, or POST with -d")
    command.add_argument(
        "-H", "--header", dest="headers", type=_header, action="append", default=[], metavar="'NAME: VALUE'"
    )
    command.add_argument("-d", "--data", metavar="DATA", help="the body; @FILE: from a file, @-: from stdin")
    command.add_argument("-L", "--location", action="store_true", help="follow redirects")
    command.add_argument("-i", "--include", action="store_true", help="show the head of the response, too")
    command.add_argument("-v", "--timing", action="store_true", help="show on stderr when each phase was over")
    command.add_argument("-f", "--fail", action="store_true", help="status 400 or above is an error")
    command.add_argument("-o", "--output", type=Path, metavar="FILE", help="write the body to a file")
    command.add_argument("-u", "--user", type=_user, metavar="USER:PASSWORD", help="for the Basic scheme")
    command.add_argument("-x", "--proxy", metavar="URL", help="http://, https:// or socks5://")
    command.add_argument("--cacert", type=Path, metavar="FILE", help="certificate authorities to trust, in PEM")
    command.add_argument("--unix-socket", type=Path, metavar="PATH", help="connect to this path")
    command.add_argument("--max-time", type=float, metavar="SECONDS", help="for everything together")


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME: VALUE")
    return name, value.strip()


def _user(text: str) -> tuple[str, str]:
    user, _, password = text.partition(":")
    return user, password


def get(options: argparse.Namespace) -> None:
    """Make the request and show the response. Raises OSError, ValueError."""
    run(_get, options)


def _get(options: argparse.Namespace) -> Generator[Any, None, None]:
    with Client(
        timeouts=Timeouts(total=options.max_time),
        redirects=REDIRECTS if options.location else 0,
        proxy=options.proxy,
        unix=options.unix_socket,
        tls=None if options.cacert is None else client_context(ca=options.cacert, alpn=["http/1.1"]),
    ) as client:
        method = options.method or ("GET" if options.data is None else "POST")
        headers = options.headers
        if options.data is not None and not any(name.lower() == "content-type" for name, _ in headers):
            headers = [*headers, ("content-type", "application/x-www-form-urlencoded")]
        body = None if options.data is None else _data(options.data)
        sending = client.request(method, options.url, headers=headers, body=body, auth=options.user)
        with (yield from sending) as response:
            if options.include:
                _show_heads(response)
            if options.fail:
                response.raise_for_status()
            yield from _store(response, options.output)
    if options.timing:
        print(_timing(response.timings), end="", file=sys.stderr)


def _data(text: str) -> bytes:
    if text == "@-":
        return sys.stdin.buffer.read()
    return Path(text[1:]).read_bytes() if text.startswith("@") else os.fsencode(text)


def _show_heads(response: Response) -> None:
    for one in [*response.history, response]:
        print(f"HTTP/{one.http_version} {one.status} {one.reason}".rstrip())
        for name, value in one.headers.items():
            print(f"{name}: {value}")
        print()
    sys.stdout.flush()


def _store(response: Response, path: Path | None) -> Generator[Any, None, None]:
    if path is None:
        yield from _copy(response, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with path.open("wb") as file:
        yield from _copy(response, file)


def _copy(response: Response, file: BinaryIO) -> Generator[Any, None, None]:
    write: Callable[[bytes], object] = file.write
    while data := (yield from response.recv()):
        write(data)


def _timing(timings: Timings) -> str:
    lines = [(getattr(timings, name), text) for name, text in _LINES]
    return "".join(f"{seconds * 1000:9.1f} ms  {text}\n" for seconds, text in lines if seconds is not None)
