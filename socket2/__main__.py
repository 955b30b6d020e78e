"""The command line: `python -m socket2` says what is here, `python -m socket2 echo HOST:PORT` serves."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from typing import Any

import pollers

from . import TCP, __version__, addr, newthread, run, tcp
from .addr import text_of
from .scheduler import current_scheduler

_BLOCK = 1 << 16


def echo(conn: TCP) -> Generator[Any, None, None]:
    try:
        while data := (yield from conn.recv(_BLOCK)):
            yield from conn.sendall(data)
    except ConnectionError:
        pass  # the client has gone, and nobody else is concerned
    finally:
        conn.close()


def serve_echo(host: str, port: int) -> Generator[Any, None, None]:
    addresses = yield from addr(host, port, family=None)
    with tcp(addresses.family) as listener:
        listener.listen(addresses[0])
        where = text_of(listener.getsockname())
        print(f"echo server on {where}, poller {current_scheduler().poller.name}", flush=True)
        print(f"try it:  nc {' '.join(map(str, listener.getsockname()[:2]))}   (Ctrl-C ends it)", flush=True)
        while True:
            newthread(echo, (yield from listener.accept()))


def host_and_port(text: str) -> tuple[str, int]:
    """Split 'host:port' or '[v6]:port'."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def describe() -> None:
    poller = pollers.choose()
    poller.shutdown()
    print(f"socket2 {__version__}, Python {sys.version.split()[0]}")
    print(f"pollers: {', '.join(pollers.available())}; chosen: {poller.name}{' (checked)' * pollers.CHECKING}")
    print(f"native: {pollers.native_status()}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m socket2", description="A coroutine socket stack.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    command = commands.add_parser("echo", help="run an echo server")
    command.add_argument("address", type=host_and_port, metavar="HOST:PORT")
    options = parser.parse_args(arguments)
    try:
        if options.command is None:
            describe()
        else:
            run(serve_echo, *options.address)
    except KeyboardInterrupt:
        pass
    except (OSError, ValueError) as error:
        where = f"{text_of(options.address)}: " if options.command else ""
        print(f"python -m socket2: {where}{getattr(error, 'strerror', None) or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
