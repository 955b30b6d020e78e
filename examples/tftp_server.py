"""A TFTP server (RFC 1350) with the options blksize, timeout and tsize (RFC 2347 to 2349). It can take files, too.

Shows a socket for each transfer, from the address that the client has asked, and a graceful stop of datagrams. A
block is sent again when its answer does not come in time, and only then, so no packet is doubled forever. What a
forged sender address can make the server send is limited by the number of attempts and of transfers.

    $ python examples/tftp_server.py --port 6969 /srv/tftp
    listening on 127.0.0.1:6969
    $ curl tftp://127.0.0.1:6969/boot.img --output boot.img
"""

from __future__ import annotations

import argparse
import os
import signal
import struct
import sys
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path

import socket2

RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)
NOT_DEFINED, NOT_FOUND, DENIED, DISK_FULL, ILLEGAL, _, EXISTS, _, BAD_OPTION = range(9)
REQUEST_MAX, BLOCK_MAX, READ = 1024, 65464, 1 << 18
ATTEMPTS = 5


class Refusal(Exception):
    """The transfer ends with an error packet."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    def packet(self) -> bytes:
        return struct.pack("!HH", ERROR, self.code) + str(self).encode() + b"\0"


class PeerError(Exception):
    """The other side has ended the transfer."""


class Request:
    """A request, and the options of it that we accept."""

    def __init__(self, packet: bytes) -> None:
        (self.kind,) = struct.unpack_from("!H", packet)
        name, mode, *rest = [*packet[2:].split(b"\0")[:-1], b"", b""]
        if not name or mode.lower() not in (b"octet", b"netascii", b"mail"):
            raise Refusal(ILLEGAL, "not a request")
        if mode.lower() != b"octet":
            raise Refusal(ILLEGAL, "only mode octet is known")
        self.name = os.fsdecode(name)
        self.block = 512
        self.timeout_s: float | None = None
        self.size: int | None = None
        self.accepted: dict[str, int] = {}
        for option, value in zip(rest[::2], rest[1::2], strict=False):
            if value.isdigit() and len(value) < 20:
                self._accept(option.lower(), int(value))

    def _accept(self, option: bytes, value: int) -> None:
        if option == b"blksize" and value >= 8:
            self.accepted["blksize"] = self.block = min(value, BLOCK_MAX)
        elif option == b"timeout" and 1 <= value <= 255:
            self.accepted["timeout"] = value
            self.timeout_s = value
        elif option == b"tsize":
            self.accepted["tsize"] = self.size = value


def oack(options: Mapping[str, int]) -> bytes:
    return struct.pack("!H", OACK) + b"".join(b"%b\0%d\0" % (name.encode(), value) for name, value in options.items())


class Transfer:
    """The packets of one transfer, on a socket of its own that is connected to the client."""

    def __init__(self, sock: socket2.UDP, request: Request, timeout_s: float) -> None:
        self._sock = sock
        self._request = request
        self._timeout_s = request.timeout_s or timeout_s

    async def _ask(self, packet: bytes, kind: int, number: int) -> bytes:
        """Send a packet, again and again, until its answer comes. Return the data of the answer."""
        for _ in range(ATTEMPTS):
            await self._sock.send(packet)
            with socket2.move_on_after(self._timeout_s):
                while True:
                    answer = await self._sock.recv(4 + self._request.block)
                    if answer[:2] == struct.pack("!H", ERROR):
                        raise PeerError(answer[4:].strip(b"\0").decode(errors="replace"))
                    if answer[:4] == struct.pack("!HH", kind, number & 0xFFFF):
                        return answer[4:]
        raise TimeoutError("no answer")

    async def send(self, file: socket2.File[bytes], size: int) -> None:
        """Send a file to the client."""
        block = self._request.block
        if accepted := self._request.accepted:
            await self._ask(oack(accepted | ({"tsize": size} if "tsize" in accepted else {})), ACK, 0)
        number, data, at = 1, b"", 0
        while True:
            if len(data) - at < block:
                data, at = data[at:] + await file.read(READ), 0
            piece = data[at : at + block]
            await self._ask(struct.pack("!HH", DATA, number & 0xFFFF) + piece, ACK, number)
            if len(piece) < block:
                return
            number, at = number + 1, at + block

    async def receive(self, file: socket2.File[bytes], size_max: int) -> bytes:
        """Write what the client sends to the file. Return the last answer, which nobody has sent yet."""
        accepted = self._request.accepted
        answer = oack(accepted) if accepted else struct.pack("!HH", ACK, 0)
        number, size = 1, 0
        while True:
            piece = await self._ask(answer, DATA, number)
            size += len(piece)
            if size > size_max:
                raise Refusal(DISK_FULL, "the file is too large")
            try:
                await file.write(piece)
            except OSError as error:
                raise Refusal(DISK_FULL, str(error.strerror)) from error
            answer = struct.pack("!HH", ACK, number & 0xFFFF)
            if len(piece) < self._request.block:
                return answer
            number += 1

    async def say_last(self, packet: bytes) -> None:
        """Send a packet that is not answered, and again while the client shows that it has missed it."""
        await self._sock.send(packet)
        with socket2.move_on_after(self._timeout_s):
            for _ in range(ATTEMPTS):
                await self._sock.recv(4)
                await self._sock.send(packet)


class Server:
    """The directory, the requests, and which transfers there are."""

    def __init__(self, options: Options) -> None:
        self._root = options.directory.resolve()
        self._options = options
        self._numbers = count(1)
        self._active: set[socket2.SocketAddress] = set()

    async def listen(self, sock: socket2.UDP, threads: socket2.threadset[None]) -> None:
        sock.setopt("packet_info", True)
        while True:
            message = await sock.recvmsg(REQUEST_MAX)
            client = message.address
            if client is None or client in self._active or message.data[:2] not in (b"\0\1", b"\0\2"):
                continue  # asked again, or no request: two servers that answer everything could talk forever
            if len(self._active) < self._options.transfers:
                self._active.add(client)
                local = message.packet_info.local if message.packet_info else ""
                threads.newthread(self._serve, message.data, client, local or self._options.host)

    async def _serve(self, packet: bytes, client: socket2.SocketAddress, local: str) -> None:
        try:
            with socket2.bind(local, 0) as sock:
                await sock.connect(client)
                try:
                    await self._transfer(sock, Request(packet))
                except Refusal as refusal:
                    await sock.send(refusal.packet())
        except (OSError, PeerError) as error:  # the client has gone, or does not want it any more
            print(f"{socket2.format_address(client)}: {error}", flush=True)
        finally:
            self._active.discard(client)

    async def _transfer(self, sock: socket2.UDP, request: Request) -> None:
        path = await socket2.call_in_thread(self._find, request)
        transfer = Transfer(sock, request, self._options.timeout)
        if request.kind == RRQ:
            try:
                file = await socket2.open_file(path, "rb")
            except OSError as error:
                raise Refusal(DENIED, str(error.strerror)) from error
            async with file:
                await transfer.send(file, os.fstat(file.fileno()).st_size)
            return
        # Nobody sees the file before it is complete, and a file that has appeared meanwhile is not replaced.
        part = path.with_name(f".{next(self._numbers)}.{os.getpid()}.part")
        try:
            async with await socket2.open_file(part, "xb") as file:
                answer = await transfer.receive(file, self._options.size)
            await socket2.call_in_thread(os.link, part, path)
        except FileExistsError:
            raise Refusal(EXISTS, "the file exists already") from None
        finally:
            part.unlink(missing_ok=True)
        await transfer.say_last(answer)

    def _find(self, request: Request) -> Path:
        """Return the path for a request. It is in our directory, whatever dots and links the name contains."""
        try:
            path = (self._root / request.name.lstrip("/\\")).resolve()
            if not path.is_relative_to(self._root):
                raise Refusal(DENIED, "outside the directory")
            if request.kind == WRQ:
                self._check_new(path, request.size or 0)
            elif not path.is_file():
                raise Refusal(NOT_FOUND, "no such file")
        except (OSError, ValueError, RuntimeError) as error:  # a name that is too long, or a loop of links
            raise Refusal(NOT_FOUND, "no such file") from error
        return path

    def _check_new(self, path: Path, size: int) -> None:
        if not self._options.write:
            raise Refusal(DENIED, "this server takes no files")
        if path.exists():
            raise Refusal(EXISTS, "the file exists already")
        if not path.parent.is_dir():
            raise Refusal(NOT_FOUND, "no such directory")
        if size > self._options.size:
            raise Refusal(DISK_FULL, "the file is too large")


async def serve(sock: socket2.UDP, options: Options) -> None:
    """Serve until a signal comes; then let the transfers end."""
    with socket2.signals(signal.SIGTERM, signal.SIGINT) as got:
        async with socket2.threadset() as transfers:
            async with socket2.threadset() as listening:
                listening.newthread(Server(options).listen, sock, transfers)
                print("listening on", socket2.format_address(sock.local_address), flush=True)
                await got.next()
                listening.cancel()
            with socket2.move_on_after(options.grace):
                await transfers.join()
            transfers.cancel()


class Options(argparse.Namespace):
    host: str
    port: int
    write: bool
    size: int
    timeout: float
    transfers: int
    grace: float
    directory: Path


def main() -> None:
    parser = argparse.ArgumentParser(description="Serve the files of a directory over TFTP.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=6969, type=int, help="0: a free port")
    parser.add_argument("--write", action="store_true", help="take new files, too")
    parser.add_argument("--size", default=1 << 30, type=int, metavar="BYTES", help="limit for a file that is taken")
    parser.add_argument("--timeout", default=1.0, type=float, metavar="SECONDS", help="send again after this time")
    parser.add_argument("--transfers", default=100, type=int, help="at a time (default: %(default)s)")
    parser.add_argument("--grace", default=3.0, type=float, metavar="SECONDS", help="for transfers at the end")
    parser.add_argument("directory", type=Path)
    args = parser.parse_args(namespace=Options())
    if not args.directory.is_dir():
        parser.error(f"{args.directory} is not a directory")
    try:
        sock = socket2.bind(args.host, args.port)
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
    with sock, suppress(KeyboardInterrupt):
        socket2.run(serve, sock, args)


if __name__ == "__main__":
    main()
