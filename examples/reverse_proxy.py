"""An HTTP/1.1 reverse proxy: it spreads the requests of many clients over several servers (RFC 9110, RFC 9112).

Shows a request that is sent while its response is already received, and a deadline that is moved. Bodies are passed on
piece by piece, so neither side has to fit into memory. A request that two servers could understand differently is
refused, which prevents request smuggling. A backend that cannot be connected is left alone for a while.

    $ python examples/reverse_proxy.py --port 8080 127.0.0.1:8001 127.0.0.1:8002
    listening on 127.0.0.1:8080
    $ curl http://127.0.0.1:8080/
"""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial
from http import HTTPStatus
from typing import Literal, TypeAlias

import socket2

HEAD_MAX, LINE_MAX, TRAILERS_MAX = 32768, 4096, 64
BLOCK = 65536
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
TARGET = re.compile(rb"\*|/[\x21-\x7e\x80-\xff]*")
TEXT = re.compile(rb"[^\x00-\x08\x0a-\x1f\x7f]*")
# Fields that are about one connection and not about the message.
HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te"}
HOP_BY_HOP |= {b"expect", b"trailer", b"transfer-encoding", b"upgrade"}
FOR = frozenset([b"x-forwarded-for"])

Framing: TypeAlias = int | Literal["chunked", "to the end"]


class Malformed(Exception):
    """The message breaks the protocol, or its parts contradict each other."""


class Failure(Exception):
    """What the client gets instead of a response."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status

    def page(self) -> bytes:
        body = f"{self.status} {self.status.phrase}: {self}\n"
        head = f"HTTP/1.1 {self.status} {self.status.phrase}\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


class Broken(Exception):
    """The client has got a part of a response, and the rest does not come."""


class Head:
    """The first line of a message and its fields. Raises Malformed for what is not exactly in the form of RFC 9112."""

    def __init__(self, data: bytes) -> None:
        first, *rest = data.split(b"\r\n")
        self.words = first.split(b" ", 2)
        self.fields: list[tuple[bytes, bytes]] = []
        for line in rest:
            name, colon, value = line.partition(b":")
            if not colon or not TOKEN.fullmatch(name) or not TEXT.fullmatch(value):
                raise Malformed("bad header field")
            self.fields.append((name, value.strip(b" \t")))
        if len(self.words) != 3 or not TEXT.fullmatch(first):
            raise Malformed("bad first line")

    def values(self, name: bytes) -> list[bytes]:
        """Return the items of a list, in lower case, from all fields of this name."""
        return [item.strip().lower() for key, value in self.fields if key.lower() == name for item in value.split(b",")]

    def framing(self, otherwise: Framing) -> Framing:
        """Return how to find the end of the body."""
        codings, lengths = self.values(b"transfer-encoding"), self.values(b"content-length")
        if codings and (lengths or codings != [b"chunked"]):
            raise Malformed("unknown Transfer-Encoding, or a Content-Length beside it")
        if len(lengths) > 1 or (lengths and not re.fullmatch(rb"[0-9]{1,15}", lengths[0])):
            raise Malformed("bad Content-Length")
        return "chunked" if codings else int(lengths[0]) if lengths else otherwise

    def forwarded(self, replaced: frozenset[bytes] = frozenset()) -> list[bytes]:
        """Return the lines of the fields that are for the next server, too."""
        left_out = HOP_BY_HOP | replaced | (set(self.values(b"connection")) - {b"content-length", b"host"})
        return [b"%b: %b" % field for field in self.fields if field[0].lower() not in left_out]


class Body:
    """The body of a message that is being received."""

    def __init__(self, source: socket2.Stream, framing: Framing) -> None:
        self._source = source
        self.framing = framing
        self._left = framing if isinstance(framing, int) else 0  # of the body or the chunk, in bytes
        self.ended = framing == 0

    async def next(self) -> bytes:
        """Return the next piece, b"" at the end. Raises EOFError if the stream ends before."""
        if self.framing == "chunked" and not self._left and not self.ended:
            await self._begin_chunk()
        if self.ended:
            return b""
        piece = await self._source.recv(BLOCK if self.framing == "to the end" else min(self._left, BLOCK))
        if self.framing == "to the end":
            self.ended = not piece
            return piece
        if not piece:
            raise EOFError("the body is incomplete")
        self._left -= len(piece)
        if self.framing != "chunked":
            self.ended = not self._left
        elif not self._left and await self._source.recvn(2) != b"\r\n":
            raise Malformed("bad chunk")
        return piece

    async def _begin_chunk(self) -> None:
        line = await self._source.recvuntil(b"\r\n", LINE_MAX)
        size, _, _extensions = line.partition(b";")
        if not re.fullmatch(rb"[0-9A-Fa-f]{1,15}[ \t]*", size) or not TEXT.fullmatch(line):
            raise Malformed("bad size of a chunk")
        self._left = int(size, 16)
        if not self._left:
            for _ in range(TRAILERS_MAX):
                if not await self._source.recvuntil(b"\r\n", LINE_MAX):  # trailer fields are dropped
                    self.ended = True
                    return
            raise Malformed("too many trailer fields")


async def send_piece(sink: socket2.Stream, piece: bytes, chunked: bool) -> None:
    """Send a piece of a body; b"" ends it."""
    await (sink.sendv([b"%x\r\n" % len(piece), piece, b"\r\n"]) if chunked else sink.sendall(piece))


class Backend:
    """A server behind the proxy."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.down_until = 0.0

    def fail(self, error: OSError, pause_s: float) -> None:
        if not self.down_until:
            print(f"{self.where} is down: {error}", flush=True)
        self.down_until = socket2.now() + pause_s

    def succeed(self) -> None:
        if self.down_until:
            print(f"{self.where} is up", flush=True)
        self.down_until = 0.0


class Proxy:
    """The settings of the proxy, its backends, and the life of a connection."""

    def __init__(self, options: Options) -> None:
        self._backends = [Backend(where) for where in options.backend]
        self._connect_s = options.connect
        self._upstream_s = options.response
        self._client_s = options.client
        self._pause_s = options.pause

    async def serve(self, conn: socket2.TCP) -> None:
        conn.settimeout(self._client_s)
        client = socket2.stream(conn)
        goes_on = True
        try:
            while goes_on:
                with socket2.between_requests():
                    if not await client.peek():
                        return
                goes_on = await self._exchange(conn, client)
        except Failure as failure:
            await client.sendall(failure.page())
        except (Broken, ExceptionGroup) as error:  # a group: the request and the response broke off at the same time
            print(f"a response was broken off: {error}", flush=True)
            conn.setopt("linger", 0)  # a reset, so that the response does not look complete
            return
        except EOFError:
            return  # the client left in the middle of a request
        await client.finish()

    async def _exchange(self, conn: socket2.TCP, client: socket2.Stream) -> bool:
        """Pass on a request and its response. Return whether the client may send another request."""
        request = await self._receive(client)
        method, _, version = request.words
        try:
            framing = request.framing(otherwise=0)
        except Malformed as error:
            raise Failure(HTTPStatus.BAD_REQUEST, str(error)) from None
        if framing == "chunked" and version == b"HTTP/1.0":
            raise Failure(HTTPStatus.BAD_REQUEST, "chunks in HTTP/1.0")
        body = Body(client, framing)
        head = self._request_head(request, conn, framing)
        with await self._connect() as sock:
            sock.settimeout(self._upstream_s)
            upstream = socket2.stream(sock)
            if b"100-continue" in request.values(b"expect") and not body.ended:
                await client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            async with socket2.threadset() as threads:
                try:
                    with socket2.timeout(None) as patience:
                        threads.newthread(self._send, upstream, head, body, framing == "chunked", patience)
                        response = await self._response_head(upstream)
                    bodiless = method == b"HEAD" or response.words[1] in (b"204", b"304")
                    rest = Body(upstream, 0 if bodiless else response.framing(otherwise="to the end"))
                except TimeoutError:
                    raise Failure(HTTPStatus.GATEWAY_TIMEOUT, "the backend has not answered") from None
                except (OSError, EOFError, Malformed) as error:
                    raise Failure(HTTPStatus.BAD_GATEWAY, "the backend has not answered properly") from error
                chunked = version == b"HTTP/1.1" and not isinstance(rest.framing, int)
                goes_on = version == b"HTTP/1.1" and b"close" not in request.values(b"connection")
                try:
                    await client.sendall(self._response_lines(response, chunked, goes_on))
                    while piece := await rest.next():
                        await send_piece(client, piece, chunked)
                    if chunked:
                        await send_piece(client, b"", chunked)
                except (OSError, EOFError, Malformed) as error:
                    raise Broken(str(error)) from error
                if not body.ended:  # the backend did not want all of it
                    threads.cancel()
        return goes_on and body.ended

    async def _receive(self, client: socket2.Stream) -> Head:
        """Receive the head of a request, and check what this proxy relies on."""
        try:
            with socket2.timeout(self._client_s):
                head = Head((await client.recvuntil(b"\r\n\r\n", HEAD_MAX)).lstrip(b"\r\n"))
        except TimeoutError:
            raise Failure(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time") from None
        except socket2.LimitExceeded:
            raise Failure(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {HEAD_MAX} bytes") from None
        except Malformed as error:
            raise Failure(HTTPStatus.BAD_REQUEST, str(error)) from None
        if head.words[2] not in (b"HTTP/1.1", b"HTTP/1.0"):
            raise Failure(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "this is an HTTP/1.1 server")
        if not TOKEN.fullmatch(head.words[0]) or not TARGET.fullmatch(head.words[1]):
            raise Failure(HTTPStatus.BAD_REQUEST, "bad request line")
        if len(head.values(b"host")) != 1:
            raise Failure(HTTPStatus.BAD_REQUEST, "there must be one Host")
        return head

    def _request_head(self, request: Head, conn: socket2.TCP, framing: Framing) -> bytes:
        address = conn.remote_address
        client = address[0] if isinstance(address, tuple) else "unknown"
        passed = [*request.values(b"x-forwarded-for"), client.encode()]
        lines = [
            b"%b %b HTTP/1.1" % (request.words[0], request.words[1]),
            *request.forwarded(FOR),
        ]
        lines += [b"X-Forwarded-For: " + b", ".join(passed), b"Via: 1.1 reverse_proxy", b"Connection: close"]
        return b"\r\n".join([*lines, *[b"Transfer-Encoding: chunked"] * (framing == "chunked"), b"", b""])

    async def _connect(self) -> socket2.TCP:
        """Connect to the next backend that is not down; if all are down, to the first that works after all."""
        failure = Failure(HTTPStatus.BAD_GATEWAY, "no backend can be connected")
        self._backends.append(self._backends.pop(0))
        for backend in sorted(self._backends, key=lambda backend: backend.down_until > socket2.now()):
            try:
                with socket2.timeout(self._connect_s):
                    upstream = await socket2.connect(backend.where)
            except OSError as error:
                backend.fail(error, self._pause_s)
                if isinstance(error, TimeoutError):
                    failure = Failure(HTTPStatus.GATEWAY_TIMEOUT, "no backend can be connected")
            else:
                backend.succeed()
                return upstream
        raise failure

    async def _send(
        self, upstream: socket2.Stream, head: bytes, body: Body, chunked: bool, patience: socket2.timeout
    ) -> None:
        """Send a request. When it is sent, the time for the response begins."""
        try:
            await upstream.sendall(head)
            while not body.ended:
                await send_piece(upstream, await self._next_piece(body), chunked)
        except OSError:
            pass  # the backend may have answered before it closed the connection
        patience.deadline = socket2.now() + self._upstream_s

    async def _next_piece(self, body: Body) -> bytes:
        try:
            return await body.next()
        except TimeoutError:
            raise Failure(HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time") from None
        except (Malformed, socket2.LimitExceeded) as error:
            raise Failure(HTTPStatus.BAD_REQUEST, str(error)) from None
        except OSError as error:
            raise EOFError(str(error)) from error  # the client has gone

    async def _response_head(self, upstream: socket2.Stream) -> Head:
        while True:
            head = Head(await upstream.recvuntil(b"\r\n\r\n", HEAD_MAX))
            if not re.fullmatch(rb"HTTP/1\.[01] [1-5][0-9][0-9]", b" ".join(head.words[:2])):
                raise Malformed("bad status line")
            if head.words[1][:1] != b"1":  # 100 Continue: the body is on its way already
                return head

    def _response_lines(self, response: Head, chunked: bool, goes_on: bool) -> bytes:
        lines = [b" ".join([b"HTTP/1.1", *response.words[1:]]), *response.forwarded()]
        lines += [b"Via: 1.1 reverse_proxy", b"Connection: " + (b"keep-alive" if goes_on else b"close")]
        return b"\r\n".join([*lines, *[b"Transfer-Encoding: chunked"] * chunked, b"", b""])


def announce(server: socket2.Server) -> None:
    print("listening on", socket2.format_address(server.addresses[0]), flush=True)


class Options(argparse.Namespace):
    host: str
    port: int
    connections: int
    connect: float
    response: float
    client: float
    pause: float
    grace: float
    backend: list[str]


def main() -> None:
    parser = argparse.ArgumentParser(description="Pass HTTP requests on to several servers.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=8080, type=int, help="0: a free port")
    parser.add_argument("--connections", default=1000, type=int, help="at a time (default: %(default)s)")
    parser.add_argument("--connect", default=3.0, type=float, metavar="SECONDS", help="limit for each backend")
    parser.add_argument("--response", default=30.0, type=float, metavar="SECONDS", help="limit for a silent backend")
    parser.add_argument("--client", default=30.0, type=float, metavar="SECONDS", help="limit for a silent client")
    parser.add_argument("--pause", default=10.0, type=float, metavar="SECONDS", help="for a backend that is down")
    parser.add_argument("--grace", default=3.0, type=float, metavar="SECONDS", help="for requests at the end")
    parser.add_argument("backend", nargs="+", metavar="HOST:PORT")
    args = parser.parse_args(namespace=Options())
    for where in args.backend:
        if not re.fullmatch(r".+:[0-9]{1,5}", where):
            parser.error(f"{where!r} is not HOST:PORT")
    serve = partial(
        socket2.serve,
        Proxy(args).serve,
        args.host,
        args.port,
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
