"""A web server for the files of a directory: Range, conditional requests, HEAD, listings, TLS (RFC 9110, RFC 9112).

Shows sendfile, by which the kernel sends a file without copying it to the program, and blocking calls about files in OS
threads. With --cert it speaks TLS, and SIGHUP loads the certificate again. Names that lead out of the directory, by
dots or by links, are refused.

    $ python examples/static_server.py --port 8000 /srv/www
    listening on 127.0.0.1:8000
    $ curl -r 0-99 http://127.0.0.1:8000/index.html
"""

from __future__ import annotations

import argparse
import html
import mimetypes
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from email.utils import formatdate, parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, unquote_to_bytes

import socket2

HEAD_MAX = 16384
PIECE = 1 << 18
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\x00-\x08\x0a-\x1f\x7f]*)")

Connection: TypeAlias = socket2.TCP | socket2.TLS


class Failure(Exception):
    """A request that is answered with a status, and with no file."""

    def __init__(self, status: HTTPStatus, *fields: str) -> None:
        super().__init__(f"{status} {status.phrase}")
        self.status = status
        self.fields = fields


class Request:
    """A request: its method, path, and fields by their names in lower case."""

    def __init__(self, head: bytes) -> None:
        line, *rest = head.split(b"\r\n")
        match = re.fullmatch(rb"([A-Za-z]+) (/[\x21-\x7e\x80-\xff]*) HTTP/1\.([01])", line)
        fields = [FIELD.fullmatch(field) for field in rest]
        if not match or not all(fields):
            raise Failure(HTTPStatus.BAD_REQUEST)
        self.method = match[1].decode()
        self.path = match[2].partition(b"?")[0]
        self._fields = {field[1].lower(): field[2].strip().decode("latin-1") for field in fields if field}
        if self.field("content-length") not in ("", "0") or b"transfer-encoding" in self._fields:
            raise Failure(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)  # there is nothing here that takes a body
        self.goes_on = match[3] == b"1" and self.field("connection").lower() != "close"

    def field(self, name: str) -> str:
        return self._fields.get(name.encode(), "")


class Version:
    """What is known of a file while it is open."""

    def __init__(self, file: socket2.File[bytes]) -> None:
        facts = os.fstat(file.fileno())
        self.size = facts.st_size
        self._time = int(facts.st_mtime)
        self._modified = formatdate(facts.st_mtime, usegmt=True)
        self._tag = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"'
        self.fields = [f"ETag: {self._tag}", f"Last-Modified: {self._modified}", "Accept-Ranges: bytes"]

    def is_known(self, request: Request) -> bool:
        """Whether the client says that it has this version already."""
        if tags := request.field("if-none-match"):
            return tags == "*" or self._tag in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
        with suppress(ValueError, TypeError, OverflowError):
            return self._time <= parsedate_to_datetime(request.field("if-modified-since")).timestamp()
        return False

    def part(self, request: Request) -> tuple[int, int] | None:
        """Return where the part begins that is asked for, and its size; None for everything."""
        match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", request.field("range"), re.ASCII)
        if not match or not any(match.groups()) or request.field("if-range") not in ("", self._tag, self._modified):
            return None  # several parts, or another unit: everything is an answer, too
        if not match[1]:
            first, last = max(self.size - int(match[2]), 0), self.size - 1
        else:
            first, last = int(match[1]), min(int(match[2] or self.size), self.size - 1)
            if match[2] and int(match[2]) < first:
                return None
        if first > last:
            raise Failure(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"Content-Range: bytes */{self.size}")
        return first, last - first + 1


class Site:
    """The directory, and how its files are found and sent."""

    def __init__(self, root: Path, client_s: float) -> None:
        self._root = root.resolve()
        self._client_s = client_s

    async def serve(self, conn: Connection) -> None:
        conn.settimeout(self._client_s)
        stream = socket2.stream(conn)
        with suppress(EOFError):  # the client left in the middle of a request, or a file became shorter
            while await self._serve_request(stream, conn):
                pass
            await stream.finish()

    async def _serve_request(self, stream: socket2.Stream, conn: Connection) -> bool:
        """Serve one request. Return whether the client may send another one."""
        with socket2.between_requests():
            if not await stream.peek():
                return False
        try:
            with socket2.timeout(self._client_s):
                request = Request(await stream.recvuntil(b"\r\n\r\n", HEAD_MAX))
        except socket2.LimitExceeded:
            await conn.sendall(told(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))
            return False
        except Failure as failure:
            await conn.sendall(told(failure.status))
            return False
        try:
            await self._answer(request, conn)
        except Failure as failure:
            await conn.sendall(told(failure.status, failure.fields, request))
        return request.goes_on

    async def _answer(self, request: Request, conn: Connection) -> None:
        if request.method not in ("GET", "HEAD"):
            raise Failure(HTTPStatus.METHOD_NOT_ALLOWED, "Allow: GET, HEAD")
        path = await socket2.call_in_thread(self._find, request)
        if path.is_dir():
            text = await socket2.call_in_thread(listing, path)
            await conn.sendall(response(HTTPStatus.OK, ["Content-Type: text/html; charset=utf-8"], text, request))
            return
        try:
            file = await socket2.open_file(path, "rb", 0)
        except OSError as error:  # a FIFO, or not allowed
            raise Failure(HTTPStatus.FORBIDDEN) from error
        async with file:
            version = Version(file)
            if version.is_known(request):
                raise Failure(HTTPStatus.NOT_MODIFIED, *version.fields)
            part = version.part(request)
            first, size = part or (0, version.size)
            fields = [*version.fields, f"Content-Type: {mimetypes.guess_type(path)[0] or 'application/octet-stream'}"]
            if part:
                fields.append(f"Content-Range: bytes {first}-{first + size - 1}/{version.size}")
            status = HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK
            await conn.sendall(head(status, fields, size, request.goes_on))
            if request.method == "GET":
                await send_file(conn, file, first, size)

    def _find(self, request: Request) -> Path:
        """Return the file that is asked for, or the directory without index.html."""
        try:
            path = self._inside(os.fsdecode(unquote_to_bytes(request.path)).lstrip("/"))
            if path.is_dir():
                if not request.path.endswith(b"/"):  # or links in the page would lead elsewhere
                    raise Failure(HTTPStatus.MOVED_PERMANENTLY, f"Location: /{request.path.strip(b'/').decode()}/")
                if (path / "index.html").exists():
                    path = self._inside(path / "index.html")
            elif not path.is_file() or request.path.endswith(b"/"):
                raise Failure(HTTPStatus.NOT_FOUND)
        except (OSError, ValueError, RuntimeError) as error:  # too long, a NUL, a loop of links
            raise Failure(HTTPStatus.NOT_FOUND) from error
        return path

    def _inside(self, name: str | Path) -> Path:
        path = (self._root / name).resolve()
        if not path.is_relative_to(self._root):
            raise Failure(HTTPStatus.NOT_FOUND)
        return path


async def send_file(conn: Connection, file: socket2.File[bytes], at: int, size: int) -> None:
    """Send a part of a file. The time that the client has is for each piece of it."""
    await file.seek(at)
    while size:
        if isinstance(conn, socket2.TCP):
            sent = await conn.sendfile(file, at, min(size, PIECE))
        else:
            data = await file.read(min(size, PIECE))
            await conn.sendall(data)
            sent = len(data)
        if not sent:
            raise EOFError("the file has become shorter")
        at, size = at + sent, size - sent


def listing(path: Path) -> bytes:
    names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(path) if entry.name[0] != ".")
    items = [f'<li><a href="./{quote(os.fsencode(name))}">{html.escape(ascii(name)[1:-1])}</a>' for name in names]
    return "\n".join(["<!DOCTYPE html><title>Files</title><ul>", *items, "</ul>", ""]).encode()


def head(status: HTTPStatus, fields: Iterable[str], size: int, goes_on: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {status.phrase}", f"Date: {formatdate(usegmt=True)}", *fields]
    if status != HTTPStatus.NOT_MODIFIED:
        lines.append(f"Content-Length: {size}")
    return "\r\n".join([*lines, f"Connection: {'keep-alive' if goes_on else 'close'}", "", ""]).encode("latin-1")


def response(status: HTTPStatus, fields: Iterable[str], text: bytes, request: Request | None) -> bytes:
    """Return a response without a file. If the request was not understood, it is the last one."""
    has_body = status != HTTPStatus.NOT_MODIFIED and (request is None or request.method != "HEAD")
    return head(status, fields, len(text), request is not None and request.goes_on) + text * has_body


def told(status: HTTPStatus, fields: Iterable[str] = (), request: Request | None = None) -> bytes:
    return response(status, ["Content-Type: text/plain", *fields], f"{status} {status.phrase}\n".encode(), request)


def announce(server: socket2.Server) -> None:
    print("listening on", socket2.format_address(server.addresses[0]), flush=True)


class Options(argparse.Namespace):
    host: str
    port: int
    cert: Path | None
    key: Path | None
    connections: int
    client: float
    grace: float
    directory: Path


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the files of a directory over HTTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=8000, type=int, help="0: a free port")
    parser.add_argument("--cert", type=Path, help="a certificate for TLS (PEM); SIGHUP loads it again")
    parser.add_argument("--key", type=Path, help="its key, if it is in another file")
    parser.add_argument("--connections", default=1000, type=int, help="at a time (default: %(default)s)")
    parser.add_argument("--client", default=30.0, type=float, metavar="SECONDS", help="limit for a silent client")
    parser.add_argument("--grace", default=3.0, type=float, metavar="SECONDS", help="for responses at the end")
    parser.add_argument("directory", type=Path)
    args = parser.parse_args(namespace=Options())
    if not args.directory.is_dir():
        parser.error(f"{args.directory} is not a directory")
    try:
        tls = None if args.cert is None else socket2.server_context(args.cert, args.key)
    except OSError as error:  # ssl.SSLError is one
        sys.exit(f"cannot use {args.cert}: {error}")
    serve = partial(
        socket2.serve,
        Site(args.directory, args.client).serve,
        args.host,
        args.port,
        tls=tls,
        max_connections=args.connections,
        grace_s=args.grace,
        ready=announce,
    )
    try:
        socket2.run(serve)
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")


if __name__ == "__main__":
    main()
