"""A mail server that takes all mail and writes it to a maildir (RFC 5321; SIZE, PIPELINING, 8BITMIME, STARTTLS).

Shows a connection that becomes TLS in the middle, and a goodbye that a cancelled handler still sends. A message is
written piece by piece, and is in the maildir when the client is told so, or not at all. Lines end with CR LF and
nothing else, so no mail can hide another one in it (SMTP smuggling).

    $ python examples/smtp_sink.py --port 2525 /tmp/mail
    listening on 127.0.0.1:2525
    $ printf 'Subject: hello\r\n\r\nhello\r\n' | curl -T - --mail-from ann@a.example --mail-rcpt bob@b.example \
        smtp://127.0.0.1:2525
    $ cat /tmp/mail/new/*
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import ssl
import sys
import time
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from itertools import count
from pathlib import Path

import socket2

COMMAND_MAX, LINE_MAX = 2048, 65536  # bytes
COMMAND_S, MESSAGE_S, LAST_S = 300.0, 1800.0, 0.9
RECIPIENTS_MAX, ERRORS_MAX = 100, 20
BLOCK = 65536
NUMBERS = count(1)
HOST = re.sub(r"[^\w.-]", "_", socket.gethostname())
PATH = rb"\s*<(?:@[^:<>]*:)?([^\s<>\x00-\x1f\x7f]{0,254})>((?: [^\s]+)*)\s*"


class Letter:
    """A mail that is being written. It is in `new` when it is complete and on the disk."""

    def __init__(self, maildir: Path, name: str, file: socket2.File[bytes]) -> None:
        self._maildir = maildir
        self._name = name
        self._file = file
        self._is_kept = False
        self.problem = ""  # the answer if it is not kept

    async def write(self, data: bytes) -> None:
        if self.problem:
            return
        try:
            await self._file.write(data)
        except OSError as error:
            self.problem = f"452 {error.strerror}"

    async def keep(self) -> str:
        """Keep the letter if there was no problem. Return the answer."""
        try:
            if not self.problem:
                await self._file.flush()
                await socket2.call_in_thread(os.fsync, self._file.fileno())
                await self._file.close()
                os.rename(self._maildir / "tmp" / self._name, self._maildir / "new" / self._name)
                self._is_kept = True
        except OSError as error:
            self.problem = f"452 {error.strerror}"
        return self.problem or f"250 it is {self._name}"

    async def drop(self) -> None:
        """Leave nothing behind, unless it is kept."""
        if not self._is_kept:
            with suppress(OSError):
                await self._file.close()
            (self._maildir / "tmp" / self._name).unlink(missing_ok=True)


class Bad(Exception):
    """The answer to a command that is not carried out."""


class Goodbye(Exception):
    """The last answer."""


class Session:
    """A connection, and the mail that is being sent on it."""

    def __init__(self, stream: socket2.Stream, peer: str, options: Options) -> None:
        self._stream = stream
        self._peer = peer
        self._options = options
        self._is_secure = False
        self._client = ""
        self._errors = 0
        self._reset()

    def _reset(self) -> None:
        self._sender: str | None = None
        self._recipients: list[str] = []

    async def _say(self, answer: str) -> None:
        await self._stream.sendall(f"{answer}\r\n".encode())

    async def run(self) -> None:
        try:
            await self._say("220 this server takes all mail ESMTP")
            while True:
                with socket2.between_requests():
                    line = await self._stream.recvuntil(b"\r\n", COMMAND_MAX)
                try:
                    if answer := await self._obey(line):
                        await self._say(answer)
                except Bad as error:
                    self._errors += 1
                    if self._errors > ERRORS_MAX:
                        raise Goodbye("421 too many errors") from error
                    await self._say(str(error))
        except socket2.Cancelled:
            await self._say_last("421 the server stops")
            raise
        except Goodbye as error:
            await self._say_last(str(error))
        except TimeoutError:
            await self._say_last("421 too slow")
        except socket2.LimitExceeded:
            await self._say_last("500 the line is too long")
        except EOFError:
            return  # the client has left
        await self._stream.finish()

    async def _say_last(self, answer: str) -> None:
        """Say something although the thread may have been cancelled, to a client that may have gone."""
        with socket2.move_on_after(LAST_S, shield=True), suppress(OSError):
            await self._say(answer)

    async def _obey(self, line: bytes) -> str:
        word, _, rest = line.partition(b" ")
        if re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", line):
            raise Bad("500 control characters in a command")
        match word.upper():
            case b"EHLO" | b"HELO" if rest.strip():
                self._reset()
                self._client = rest.strip().decode(errors="replace")[:255]
                return self._greeting() if word.upper() == b"EHLO" else "250 hello"
            case b"MAIL" if match := re.fullmatch(rb"(?i:FROM:)" + PATH, rest):
                return self._mail(match[1], match[2].upper().split())
            case b"RCPT" if (match := re.fullmatch(rb"(?i:TO:)" + PATH, rest)) and match[1]:
                return self._rcpt(match[1])
            case b"DATA" if not rest:
                return await self._data()
            case b"RSET":
                self._reset()
                return "250 ok"
            case b"NOOP":
                return "250 ok"
            case b"VRFY":
                return "252 send it, and it is taken"
            case b"STARTTLS" if self._options.context is not None and not self._is_secure:
                return await self._starttls(self._options.context)
            case b"QUIT":
                raise Goodbye("221 goodbye")
            case b"EHLO" | b"HELO" | b"MAIL" | b"RCPT" | b"DATA":
                raise Bad("501 bad arguments")
        raise Bad("500 unknown command")

    def _greeting(self) -> str:
        offers = ["hello", f"SIZE {self._options.size}", "PIPELINING", "8BITMIME"]
        if self._options.context is not None and not self._is_secure:
            offers.append("STARTTLS")
        return "\r\n".join([*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"])

    def _mail(self, sender: bytes, parameters: list[bytes]) -> str:
        if not self._client or self._sender is not None:
            raise Bad("503 say EHLO first" if not self._client else "503 there is a sender already")
        for parameter in parameters:
            if size := re.fullmatch(rb"SIZE=([0-9]{1,20})", parameter):
                if int(size[1]) > self._options.size:
                    raise Bad("552 the message is too large")
            elif parameter not in (b"BODY=7BIT", b"BODY=8BITMIME"):
                raise Bad("555 unknown parameter")
        self._sender = sender.decode(errors="replace")
        return "250 ok"

    def _rcpt(self, recipient: bytes) -> str:
        if self._sender is None:
            raise Bad("503 say MAIL first")
        if len(self._recipients) >= RECIPIENTS_MAX:
            raise Bad("452 too many recipients")
        self._recipients.append(recipient.decode(errors="replace"))
        return "250 ok"

    async def _starttls(self, context: ssl.SSLContext) -> str:
        if self._stream.buffered:
            raise Goodbye("554 nothing may follow STARTTLS")  # it was sent in plain text, perhaps by somebody else
        await self._say("220 go ahead")
        self._stream = await socket2.starttls(self._stream, context, server_side=True)
        self._is_secure = True
        self._client = ""
        self._reset()
        return ""  # the client begins again

    async def _data(self) -> str:
        if not self._recipients:
            raise Bad("503 say MAIL and RCPT first")
        name = f"{time.time():.6f}.P{os.getpid()}Q{next(NUMBERS)}.{HOST}"
        try:
            file = await socket2.open_file(self._options.maildir / "tmp" / name, "xb")
        except OSError as error:
            raise Bad(f"451 {error.strerror}") from error
        letter = Letter(self._options.maildir, name, file)
        try:
            await self._say("354 end with a line with a single dot")
            await letter.write(self._trace())
            with socket2.timeout(MESSAGE_S):
                await self._receive(letter)
            return await letter.keep()
        finally:
            self._reset()
            await letter.drop()

    def _trace(self) -> bytes:
        """Return the fields that say where the mail has come from and for whom it is."""
        protocol = "ESMTPS" if self._is_secure else "ESMTP"
        lines = [f"Return-Path: <{self._sender}>", *(f"Delivered-To: {name}" for name in self._recipients)]
        lines += [f"Received: from {self._client} ({self._peer})", f"\tby {HOST} with {protocol}; {formatdate()}", ""]
        return "\n".join(lines).encode()

    async def _receive(self, letter: Letter) -> None:
        size = 0
        block = bytearray()
        while (line := await self._stream.recvuntil(b"\r\n", LINE_MAX)) != b".":
            if b"\n" in line or b"\r" in line:
                letter.problem = "554 every line must end with CR LF"
            size += len(line) + 2
            if size > self._options.size:
                letter.problem = "552 the message is too large"
            block += line.removeprefix(b".") + b"\n"
            if len(block) > BLOCK:
                await letter.write(bytes(block))
                block.clear()
        await letter.write(bytes(block))


async def serve(options: Options, conn: socket2.TCP) -> None:
    conn.settimeout(COMMAND_S)
    await Session(socket2.stream(conn), socket2.format_address(conn.remote_address), options).run()


def announce(server: socket2.Server) -> None:
    print("listening on", socket2.format_address(server.addresses[0]), flush=True)


class Options(argparse.Namespace):
    host: str
    port: int
    size: int
    connections: int
    grace: float
    cert: Path | None
    key: Path | None
    maildir: Path
    context: ssl.SSLContext | None


def main() -> None:
    parser = argparse.ArgumentParser(description="Take all mail.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=2525, type=int, help="0: a free port")
    parser.add_argument("--size", default=10_000_000, type=int, metavar="BYTES", help="limit for a message")
    parser.add_argument("--connections", default=100, type=int, help="at a time (default: %(default)s)")
    parser.add_argument("--grace", default=3.0, type=float, metavar="SECONDS", help="for messages at the end")
    parser.add_argument("--cert", type=Path, help="a certificate for STARTTLS (PEM); SIGHUP loads it again")
    parser.add_argument("--key", type=Path, help="its key, if it is in another file")
    parser.add_argument("maildir", type=Path)
    args = parser.parse_args(namespace=Options())
    try:
        for part in ("tmp", "new", "cur"):
            (args.maildir / part).mkdir(parents=True, exist_ok=True)
        context = None if args.cert is None else socket2.server_context(args.cert, args.key)
    except OSError as error:  # ssl.SSLError is one
        sys.exit(f"cannot start: {error}")
    args.context = context
    smtp = partial(
        socket2.serve,
        partial(serve, args),
        args.host,
        args.port,
        max_connections=args.connections,
        grace_s=args.grace,
        reload=None if context is None else context.reload,
        ready=announce,
    )
    try:
        socket2.run(smtp)
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")


if __name__ == "__main__":
    main()
