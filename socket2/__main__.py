"""The command line: `python -m socket2` describes the installation, `echo HOST:PORT` runs an echo server, `serve
TARGET` an HTTP server, `proxy FILE` a reverse proxy, `get URL` sends an HTTP request, `ps PID` and `top PID` show what
a process is doing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pollers

from . import TCP, TLS, __version__, addr, debug, newthread, run, server_context, tcp
from .console.redraw import watch
from .console.table import listing
from .debug.inquiry import Unanswered
from .sockets.address import format_address
from .threads.native import in_c
from .threads.scheduler import current_scheduler

if TYPE_CHECKING:
    import ssl

_BLOCK = 1 << 16
_EVERY_S = 2.0

# The parts in C other than the native poller, and the package of each.
PARTS_IN_C = {
    "_once": "pollers",
    "_stepping": "socket2",
    "_shortcut": "socket2",
    "_records": "socket2",
    "_http": "socket2",
}


def echo(conn: TCP | TLS) -> Generator[Any, None, None]:
    try:
        while data := (yield from conn.recv(_BLOCK)):
            yield from conn.sendall(data)
        if isinstance(conn, TLS):
            yield from conn.finish()
    except OSError:
        pass  # the client has gone, or does not speak TLS, which concerns nobody else
    finally:
        conn.close()


def serve_echo(host: str, port: int, tls: ssl.SSLContext | None, trust: Path | None) -> Generator[Any, None, None]:
    addresses = yield from addr(host, port, family=None)
    with tcp(addresses.family) as listener:
        listener.listen(addresses[0])
        name, number = listener.getsockname()[:2]
        where = format_address(listener.getsockname())
        print(f"echo server on {where}, {'TLS, ' * bool(tls)}poller {current_scheduler().poller.name}")
        if trust is not None:
            print("its certificate is for development only: clients have to trust the authority in the file below")
        if tls is None:
            client = f"nc {name} {number}"
        else:
            client = f"openssl s_client -quiet -connect {where}" + (f" -CAfile {trust}" if trust else "")
        print(f"try it:  {client}   (Ctrl-C ends it)", flush=True)
        while True:
            conn: TCP = yield from listener.accept()
            newthread(echo, conn if tls is None else TLS(conn, tls, server_side=True))


def context_for(
    host: str, certificate: Path | None, key: Path | None, folder: Path
) -> tuple[ssl.SSLContext, Path | None]:
    """Return a context, and the authority of its certificate if that had to be made, in `folder`."""
    if certificate is not None:
        try:
            return server_context(certificate, key), None
        except OSError as error:
            reason = str(error.strerror)
            raise Unanswered(reason if str(error.filename) in reason else f"{error.filename}: {reason}") from None
    from .tls.development import development_certificate

    names = {"localhost", "127.0.0.1", "::1", *({host.partition("%")[0]} - {"", "*"})}
    try:
        certificate, authority = development_certificate(folder, sorted(names))
    except ModuleNotFoundError as error:
        if error.name != "trustme":
            raise
        raise Unanswered(
            "--tls without --certificate needs the package trustme: pip install 'socket2[certificate]'"
        ) from None
    return server_context(certificate), authority


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
    status = pollers.native_status()
    missing = [name for name, package in PARTS_IN_C.items() if status == "yes" and in_c(name, package) is None]
    print(f"native: {status}{', without ' * bool(missing)}{' and '.join(missing)}")


def process_id(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a process ID")
    return int(text)


def seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds")
    return value


def show(pid: int, kind: str | None, every_s: float | None) -> None:
    if every_s is None:
        print(listing(pid, kind), end="")
    else:
        watch(partial(listing, pid, kind), every_s or _EVERY_S)


def show_rates(pid: int, every_s: float, times: int | None) -> None:
    try:
        from .console.top import top
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise Unanswered("top needs the package rich: pip install 'socket2[top]'") from None
    top(pid, every_s, times)


def exit_at_signals() -> None:
    """Let the signals that end a process raise SystemExit, unless they are ignored."""
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", None)):
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, lambda number, _: sys.exit(128 + number))


def echo_until_interrupted(options: argparse.Namespace) -> None:
    host, port = options.address
    debug.enable()
    with ExitStack() as stack:
        tls = authority = None
        if options.tls:
            exit_at_signals()  # the folder must not stay
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="socket2-echo-")))
            tls, authority = context_for(host, options.certificate, options.key, folder)
        run(serve_echo, host, port, tls, authority)


def serve_http(options: argparse.Namespace) -> None:
    from .http.command import serve

    debug.enable()
    with ExitStack() as stack:
        tls = None
        if options.tls:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="socket2-serve-")))
            host = options.bind.rpartition(":")[0].removeprefix("[").removesuffix("]")
            tls, authority = context_for(host, options.certificate, options.key, folder)
            if authority is not None:
                print(f"its certificate is for development only: clients have to trust the authority in {authority}")
        serve(options, tls)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m socket2", description="A coroutine socket library.")
    parser.add_argument("--version", action="version", version=f"socket2 {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    command = commands.add_parser("echo", help="run an echo server")
    command.add_argument("address", type=host_and_port, metavar="HOST:PORT")
    command.add_argument("--tls", action="store_true", help="over TLS, by default with a certificate made for this run")
    command.add_argument("--certificate", type=Path, metavar="FILE", help="the server's certificate in PEM; for --tls")
    command.add_argument("--key", type=Path, metavar="FILE", help="its private key, if that is in another file")
    echo = command
    named = (sys.argv[1:] if arguments is None else arguments)[:1]
    serve = command = commands.add_parser("serve", help="serve a directory or an application over HTTP")
    if named == ["serve"]:  # the others do not need HTTP
        from .http.command import add_arguments

        add_arguments(command)
    command = commands.add_parser("get", help="send an HTTP request and show the response; options as those of curl")
    if named == ["get"]:
        from .http.client.command import add_arguments

        add_arguments(command)
    command = commands.add_parser("proxy", help="pass HTTP requests on to other servers, as a file says")
    if named == ["proxy"]:
        from .http.gateway.command import add_arguments

        add_arguments(command)
    ps = command = commands.add_parser("ps", help="show what the threads of a process are waiting for")
    command.add_argument(
        "pid", type=process_id, metavar="PID", nargs="?", help="one of your processes, run with SOCKET2_DEBUG=1"
    )
    command.add_argument(
        "--watch", type=seconds, nargs="?", const=0.0, metavar="SECONDS", help="again every 2 s or so, until Ctrl-C"
    )
    kinds = command.add_mutually_exclusive_group()
    for kind, help in (
        ("threads", "of a supervisor: also the threads of each worker"),
        ("tree", "each thread below the thread that started it"),
        ("stacks", "where each thread is: its chain of `yield from` and `await`"),
        ("stats", "the counters of each loop"),
        ("json", "everything as a line of JSON"),
    ):
        kinds.add_argument(f"--{kind}", dest="kind", action="store_const", const=kind, help=help)
    command = commands.add_parser("top", help="show what a process does in each second; needs socket2[top]")
    command.add_argument("pid", type=process_id, metavar="PID", help="one of your processes, run with SOCKET2_DEBUG=1")
    command.add_argument("--every", type=seconds, default=_EVERY_S, metavar="SECONDS", help="how often; by default 2")
    command.add_argument("--times", type=process_id, metavar="N", help="end after N pictures")
    return complete({"echo": echo, "serve": serve, "ps": ps}, parser.parse_args(arguments))


def complete(parsers: dict[str, argparse.ArgumentParser], options: argparse.Namespace) -> argparse.Namespace:
    """Refuse options that need another; tell `ps --watch PID` from `ps --watch SECONDS PID`."""
    if options.command in ("echo", "serve"):
        if options.certificate and not options.tls:
            parsers[options.command].error("--certificate needs --tls")
        if options.key and not options.certificate:
            parsers[options.command].error("--key needs --certificate")
    if options.command == "ps" and options.pid is None:
        if not options.watch or options.watch != int(options.watch):
            parsers["ps"].error("the following arguments are required: PID")
        options.pid, options.watch = int(options.watch), 0.0
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        if options.command is None:
            describe()
        elif options.command == "ps":
            show(options.pid, options.kind, options.watch)
        elif options.command == "top":
            show_rates(options.pid, options.every, options.times)
        elif options.command == "serve":
            serve_http(options)
        elif options.command == "proxy":
            from .http.gateway.command import run_proxy

            run_proxy(options)
        elif options.command == "get":
            from .http.client.command import get

            get(options)
        else:
            echo_until_interrupted(options)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # whoever read has left; what is still buffered goes nowhere
        return 1
    except (OSError, ValueError, Unanswered) as error:
        from_system = options.command == "echo" and not isinstance(error, Unanswered)
        where = f"{format_address(options.address)}: " if from_system else ""
        print(f"python -m socket2: {where}{getattr(error, 'strerror', None) or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
