"""A syslog collector: datagrams over UDP and a UNIX socket, streams over TCP; into files by host and facility.

Shows three kinds of input that share one bounded queue. A stream waits when the disk is slow; a datagram that has no
room is counted and dropped, as the kernel would drop it. SIGHUP opens the files again, for logrotate. At SIGTERM what
has been received is written before the program ends (RFC 3164, RFC 5424, RFC 6587).

    $ python examples/syslog_collector.py --port 5514 --tcp 5514 --unix /tmp/log /tmp/logs
    listening on 127.0.0.1:5514
    $ logger --server 127.0.0.1 --port 5514 --priority mail.err hello
    $ cat /tmp/logs/127.0.0.1/mail.log
"""

from __future__ import annotations

import argparse
import queue
import re
import signal
import sys
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeAlias

import socket2

FACILITIES = ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"]
FACILITIES += ["ntp", "audit", "alert", "clock", *(f"local{number}" for number in range(8))]
SEVERITIES = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"]
MESSAGE_MAX = 65536
QUEUE, BATCH = 10000, 1000
FILES_MAX, HOSTS_MAX = 200, 1000

Entry: TypeAlias = tuple[str, str, bytes]  # when it came, the host, the message
if sys.platform == "win32":
    REOPEN = signal.SIGBREAK
else:
    REOPEN = signal.SIGHUP


class Files:
    """The log files. Its methods block; they are called one at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: dict[Path, IO[bytes]] = {}
        self._hosts: set[str] = set()

    def write(self, entries: list[Entry]) -> None:
        for when, host, message in entries:
            priority, text = parsed(message)
            line = f"{when} {SEVERITIES[priority % 8]} {text}\n".encode(errors="backslashreplace")
            self._file(host, FACILITIES[priority // 8]).write(line)
        for file in self._open.values():
            file.flush()

    def _file(self, host: str, facility: str) -> IO[bytes]:
        name = re.sub(r"[^0-9A-Za-z.]", "_", host)
        if name not in self._hosts and len(self._hosts) >= HOSTS_MAX:
            name = "others"  # addresses of datagrams can be forged
        self._hosts.add(name)
        path = self._directory / name / f"{facility}.log"
        file = self._open.pop(path, None)
        if file is None:
            if len(self._open) >= FILES_MAX:
                self._open.pop(next(iter(self._open))).close()  # the one that was used longest ago
            path.parent.mkdir(exist_ok=True)
            file = path.open("ab")
        self._open[path] = file
        return file

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


def parsed(message: bytes) -> tuple[int, str]:
    """Return the priority and a text that is one line; user.notice if there is no priority."""
    match = re.match(rb"<(\d{1,3})>", message)
    has_priority = match is not None and int(match[1]) < 8 * len(FACILITIES)
    text = message[match.end() :] if match and has_priority else message
    shown = text.rstrip(b"\0\r\n").decode(errors="backslashreplace")
    return int(match[1]) if match and has_priority else 13, re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", escaped, shown)


def escaped(match: re.Match[str]) -> str:
    return f"#{ord(match[0]):03o}"  # as rsyslog does


class Collector:
    """The queue between those who receive and the one who writes."""

    def __init__(self, directory: Path, idle_s: float) -> None:
        self._files = Files(directory)
        self._queue: socket2.Queue[Entry | None] = socket2.Queue(QUEUE)  # None: open the files again
        self._idle_s = idle_s
        self._dropped = 0

    async def datagrams(self, sock: socket2.UDP) -> None:
        while True:
            try:
                message, sender = await sock.recvfrom(MESSAGE_MAX)
                self._queue.put_nowait(entry(sender, message))
            except queue.Full:
                self._dropped += 1

    async def connection(self, conn: socket2.TCP) -> None:
        """Take messages in both ways of RFC 6587: after their length, or each as a line."""
        conn.settimeout(self._idle_s)
        stream = socket2.stream(conn)
        while True:
            if not (first := await stream.peek()):
                return
            if first.isdigit():
                length = await stream.recvuntil(b" ", 5)
                if not length.isdigit() or int(length) > MESSAGE_MAX:
                    return
                message = await stream.recvn(int(length))
            else:
                message = await stream.recvuntil(b"\n", MESSAGE_MAX)
            await self._queue.put(entry(conn.remote_address, message))

    async def write(self) -> None:
        """Write what comes, in batches, until the queue is closed and empty."""
        with suppress(socket2.Closed):
            while True:
                batch = [await self._queue.get()]
                with suppress(queue.Empty, socket2.Closed):
                    while len(batch) < BATCH and batch[-1] is not None:
                        batch.append(self._queue.get_nowait())
                await self._write(batch)
        await socket2.call_in_thread(self._files.close)

    async def _write(self, batch: list[Entry | None]) -> None:
        try:
            await socket2.call_in_thread(self._files.write, [item for item in batch if item is not None])
        except OSError as error:
            print(f"{len(batch)} messages may be lost: {error}", file=sys.stderr)
        if self._dropped:
            print(f"{self._dropped} datagrams were dropped", file=sys.stderr)
            self._dropped = 0
        if batch[-1] is None:
            await socket2.call_in_thread(self._files.close)

    async def reopen(self) -> None:
        await self._queue.put(None)

    def end(self) -> None:
        self._queue.close()


def entry(sender: socket2.SocketAddress, message: bytes) -> Entry:
    host = sender[0] if isinstance(sender, tuple) else "local"
    return datetime.now(UTC).isoformat(timespec="milliseconds"), host, message


async def collect(collector: Collector, options: Options, datagrams: list[socket2.UDP]) -> None:
    server = socket2.Server(collector.connection, max_connections=options.connections)
    with socket2.signals(REOPEN, signal.SIGTERM, signal.SIGINT) as got:
        async with socket2.threadset() as writing, socket2.threadset() as receiving:
            writing.newthread(collector.write)
            for sock in datagrams:
                receiving.newthread(collector.datagrams, sock)
            await server.listen(options.host, options.tcp)
            print("streams on", socket2.format_address(server.addresses[0]), flush=True)
            print("listening on", socket2.format_address(datagrams[0].local_address), flush=True)
            async for signum in got:
                if signum != REOPEN:
                    break
                await collector.reopen()
            await server.stop(options.grace)
            receiving.cancel()
            collector.end()


class Options(argparse.Namespace):
    host: str
    port: int
    tcp: int
    unix: Path | None
    connections: int
    idle: float
    grace: float
    directory: Path


def main() -> None:
    parser = argparse.ArgumentParser(description="Collect syslog messages in files.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=5514, type=int, help="for datagrams; 0: a free port")
    parser.add_argument("--tcp", default=5514, type=int, metavar="PORT", help="for streams; 0: a free port")
    parser.add_argument("--unix", type=Path, metavar="PATH", help="take datagrams there, too")
    parser.add_argument("--connections", default=1000, type=int, help="at a time (default: %(default)s)")
    parser.add_argument("--idle", default=3600.0, type=float, metavar="SECONDS", help="limit for a silent connection")
    parser.add_argument("--grace", default=1.0, type=float, metavar="SECONDS", help="for messages on their way")
    parser.add_argument("directory", type=Path)
    args = parser.parse_args(namespace=Options())
    if not args.directory.is_dir():
        parser.error(f"{args.directory} is not a directory")
    with ExitStack() as stack:
        try:
            datagrams = [stack.enter_context(socket2.bind(args.host, args.port))]
        except (OSError, OverflowError) as error:
            sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
        try:
            if args.unix is not None:
                datagrams.append(stack.enter_context(socket2.bind(args.unix, mode=0o666)))
            with suppress(KeyboardInterrupt):
                socket2.run(collect, Collector(args.directory, args.idle), args, datagrams)
        except (OSError, OverflowError) as error:
            sys.exit(f"cannot listen: {error}")


if __name__ == "__main__":
    main()
