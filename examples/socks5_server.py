"""A SOCKS5 proxy (RFC 1928): clients name a host and a port, and the proxy connects them. It may ask for a password.

Shows a binary protocol with limits on time: for the greeting, for connecting, and for silence in both directions. The
proxy looks names up itself and tries their addresses with happy eyeballs. A refusal tells the client why. The two
directions end separately, and if one side breaks off, the other side is reset.

    $ python examples/socks5_server.py --port 1080 --user ann:secret
    listening on 127.0.0.1:1080
    $ curl --proxy socks5h://ann:secret@127.0.0.1:1080 http://example.org/
"""

from __future__ import annotations

import argparse
import errno
import hmac
import ipaddress
import socket
import struct
import sys

import socket2

VERSION, PASSWORD_VERSION = 5, 1
NO_PASSWORD, PASSWORD, NO_METHOD = 0, 2, 0xFF
CONNECT = 1
IPV4, NAME, IPV6 = 1, 3, 4
SUCCEEDED, FAILED, NETWORK_UNREACHABLE, HOST_UNREACHABLE, REFUSED, EXPIRED, NO_COMMAND, NO_ADDRESS_TYPE = (
    *(0, 1),
    *range(3, 9),
)
GREETING_S = 10.0
BLOCK = 65536


class Refusal(Exception):
    """A request that the proxy does not carry out. `code` is the reply field of RFC 1928, section 6."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def code_of(error: OSError) -> int:
    """Return the reply that tells a client why connecting has failed."""
    if isinstance(error, TimeoutError):
        return EXPIRED
    if isinstance(error, ConnectionRefusedError):
        return REFUSED
    if isinstance(error, socket.gaierror) or error.errno in (errno.EHOSTUNREACH, errno.EHOSTDOWN):
        return HOST_UNREACHABLE
    return NETWORK_UNREACHABLE if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL) else FAILED


def reply(code: int, bound: socket2.SocketAddress = ("0.0.0.0", 0)) -> bytes:
    """Return a reply with the address of our side of the connection."""
    assert isinstance(bound, tuple)
    address = ipaddress.ip_address(bound[0].partition("%")[0])
    kind = IPV4 if address.version == 4 else IPV6
    return bytes([VERSION, code, 0, kind]) + address.packed + struct.pack("!H", bound[1])


class Relay:
    """Two connections. Each byte that passes moves the deadline for silence."""

    def __init__(self, client: socket2.Stream, upstream: socket2.TCP, idle_s: float) -> None:
        self.client = client
        self.upstream = upstream
        self._idle_s = idle_s
        self._silence = socket2.fail_after(idle_s)

    async def run(self) -> None:
        with self._silence:
            async with socket2.threadset() as threads:
                threads.newthread(self._carry, self.client, self.upstream)
                await self._carry(self.upstream, self.client)

    async def _carry(self, source: socket2.TCP | socket2.Stream, sink: socket2.TCP | socket2.Stream) -> None:
        while data := await source.recv(BLOCK):
            self._silence.deadline = socket2.now() + self._idle_s
            await sink.sendall(data)
        sink.shutdown()


class Proxy:
    """The settings of the proxy, and the life of a connection."""

    def __init__(self, users: dict[bytes, bytes], connect_s: float, idle_s: float) -> None:
        self._users = users
        self._connect_s = connect_s
        self._idle_s = idle_s

    async def serve(self, conn: socket2.TCP) -> None:
        client = socket2.stream(conn)
        try:
            with socket2.timeout(GREETING_S):
                await self._greet(client)
                host, port = await self._request(client)
            upstream = await self._connect(host, port)
        except Refusal as error:
            with socket2.timeout(GREETING_S):
                await client.sendall(reply(error.code))
                await client.finish()
            return
        except EOFError:
            return  # the client has left
        with upstream:
            try:
                await client.sendall(reply(SUCCEEDED, upstream.local_address))
                await Relay(client, upstream, self._idle_s).run()
            except* OSError:
                conn.setopt("linger", 0)  # a stream that was cut off must not look complete
                upstream.setopt("linger", 0)

    async def _greet(self, client: socket2.Stream) -> None:
        """Agree on a method, and check the password (RFC 1929)."""
        version, count = await client.recvn(2)
        if version != VERSION:
            raise EOFError("not SOCKS5")
        wanted = PASSWORD if self._users else NO_PASSWORD
        method = wanted if wanted in await client.recvn(count) else NO_METHOD
        await client.sendall(bytes([VERSION, method]))
        if method == NO_METHOD:
            await client.finish()
            raise EOFError("no common method")
        if method == PASSWORD:
            version, length = await client.recvn(2)
            name = await client.recvn(length)
            (length,) = await client.recvn(1)
            password = await client.recvn(length)
            right = hmac.compare_digest(self._users.get(name, b""), password) and name in self._users
            await client.sendall(bytes([PASSWORD_VERSION, 0 if right and version == PASSWORD_VERSION else 1]))
            if not right:
                await client.finish()
                raise EOFError("wrong password")

    async def _request(self, client: socket2.Stream) -> tuple[str, int]:
        """Receive a request and return its destination."""
        version, command, _, kind = await client.recvn(4)
        if version != VERSION:
            raise EOFError("not SOCKS5")
        if kind == IPV4:
            host = str(ipaddress.IPv4Address(await client.recvn(4)))
        elif kind == IPV6:
            host = str(ipaddress.IPv6Address(await client.recvn(16)))
        elif kind == NAME:
            (length,) = await client.recvn(1)
            host = (await client.recvn(length)).decode("latin-1")
        else:
            raise Refusal(NO_ADDRESS_TYPE, f"unknown address type {kind}")
        (port,) = struct.unpack("!H", await client.recvn(2))
        if command != CONNECT:
            raise Refusal(NO_COMMAND, f"unknown command {command}")
        if not host or not all(letter.isalnum() or letter in "-._:" for letter in host):
            raise Refusal(HOST_UNREACHABLE, f"{host!r} is not the name of a host")
        return host, port

    async def _connect(self, host: str, port: int) -> socket2.TCP:
        try:
            with socket2.timeout(self._connect_s):
                return await socket2.connect(host, port, nodelay=True)
        except (OSError, ValueError) as error:
            code = code_of(error) if isinstance(error, OSError) else HOST_UNREACHABLE
            raise Refusal(code, f"{host}:{port}: {error}") from error


def announce(server: socket2.Server) -> None:
    print("listening on", socket2.format_address(server.addresses[0]), flush=True)


def name_and_password(text: str) -> tuple[bytes, bytes]:
    name, colon, password = text.encode().partition(b":")
    if not colon or not 0 < len(name) < 256 or not 0 < len(password) < 256:
        raise ValueError(f"{text!r} is not NAME:PASSWORD")
    return name, password


class Options(argparse.Namespace):
    host: str
    port: int
    user: list[tuple[bytes, bytes]]
    clients: int
    connect: float
    idle: float
    grace: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Connect clients to where they ask for (SOCKS5).")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=1080, type=int, help="0: a free port")
    parser.add_argument("--user", default=[], type=name_and_password, action="append", metavar="NAME:PASSWORD")
    parser.add_argument("--clients", default=1000, type=int, help="connections at a time (default: %(default)s)")
    parser.add_argument("--connect", default=10.0, type=float, metavar="SECONDS", help="limit (default: %(default)s)")
    parser.add_argument("--idle", default=600.0, type=float, metavar="SECONDS", help="limit (default: %(default)s)")
    parser.add_argument("--grace", default=3.0, type=float, metavar="SECONDS", help="for connections at the end")
    args = parser.parse_args(namespace=Options())
    proxy = Proxy(dict(args.user), args.connect, args.idle)
    try:
        socket2.run(
            socket2.serve(
                proxy.serve,
                args.host,
                args.port,
                max_connections=args.clients,
                grace_s=args.grace,
                ready=announce,
            )
        )
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")


if __name__ == "__main__":
    main()
