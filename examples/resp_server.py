"""A key-value server that speaks Redis's protocol, RESP2: strings with expiry, counters, publish and subscribe.

Shows a protocol with pipelining: each connection has a reader and a writer, so that messages of other clients can be
sent at any time, and all answers that are ready go out in one send. A client that sends commands but does not read the
answers is not read any more. A subscriber that does not read is disconnected. All sizes are limited before anything is
stored: lines, arguments, requests, answers, and the memory for all values.

    $ python examples/resp_server.py --port 6380
    listening on 127.0.0.1:6380
    $ redis-cli -p 6380 set greeting hello ex 60
    OK
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import sys
from dataclasses import dataclass

import socket2

LINE_MAX = 64 * 1024  # bytes of an inline command
ARGS_MAX = 1024
REQUEST_MAX = 16 * 1024 * 1024  # bytes of all arguments together
UNSENT_MAX = 256 * 1024  # bytes of answers that wait for a client; then its commands wait
UNREAD_MAX = 4 * 1024 * 1024  # bytes that wait for a subscriber; then it is disconnected
CHANNELS_MAX = 1000  # for each subscriber
PATTERN_MAX = 1000  # bytes
SEND_S = 30.0  # a client that takes nothing for so long is gone
SWEEP_S = 0.1
SWEEP_KEYS = 500  # looked at in each sweep
OVERHEAD = 150  # bytes of memory for each key, and for each answer that waits, about
NAMES = set(b"PING ECHO SET GET DEL EXISTS INCR EXPIRE TTL KEYS PUBLISH SUBSCRIBE UNSUBSCRIBE COMMAND QUIT".split())
WHILE_SUBSCRIBED = {b"PING", b"SUBSCRIBE", b"UNSUBSCRIBE", b"QUIT"}


class Refused(Exception):
    """A command that cannot be carried out. The text is the answer."""


class Broken(Exception):
    """What came is not RESP. Nobody knows where the next command begins, so the connection ends."""


def bulk(data: bytes | None) -> bytes:
    return b"$-1\r\n" if data is None else b"$%d\r\n%s\r\n" % (len(data), data)


def array(*items: bytes) -> bytes:
    return b"*%d\r\n%s" % (len(items), b"".join(items))


def integer(text: bytes) -> int:
    if not re.fullmatch(rb"0|-?[1-9]\d{0,18}", text) or not -(2**63) <= int(text) < 2**63:
        raise Refused("ERR value is not an integer or out of range")
    return int(text)


async def read_command(stream: socket2.Stream) -> list[bytes] | None:
    """Read an array of strings, or a line of words. Return None at the end of the stream."""
    with socket2.between_requests():
        line = await stream.recvline(LINE_MAX)
    if line is None or not line.startswith(b"*"):
        return None if line is None else line.split()
    left = REQUEST_MAX
    args: list[bytes] = []
    for _ in range(size_of(line, b"*", ARGS_MAX)):
        line = await stream.recvline(LINE_MAX) or b""
        size = size_of(line, b"$", left)
        args.append((await stream.recvn(size + 2))[:-2])
        left -= size
    return args


def size_of(line: bytes, sign: bytes, size_max: int) -> int:
    if line[:1] != sign:
        raise Broken(f"ERR Protocol error: expected '{sign.decode()}'")
    if not re.fullmatch(rb"\d{1,10}", line[1:]) or int(line[1:]) > size_max:
        raise Broken(f"ERR Protocol error: invalid {'bulk' if sign == b'$' else 'multibulk'} length")
    return int(line[1:])


@dataclass(slots=True)
class Entry:
    value: bytes
    expires: float | None = None  # on the clock of socket2.now()


class Store:
    """Keys and values. An expired key is dropped when somebody asks for it, or by a sweep."""

    def __init__(self, memory_max: int) -> None:
        self._entries: dict[bytes, Entry] = {}
        self._memory = 0  # bytes
        self._memory_max = memory_max
        self._to_sweep: list[bytes] = []

    def get(self, key: bytes) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None and entry.expires is not None and entry.expires <= socket2.now():
            self.drop(key)
            return None
        return entry

    def put(self, key: bytes, entry: Entry) -> None:
        former = self.get(key)
        more = len(entry.value) - len(former.value) if former else len(key) + len(entry.value) + OVERHEAD
        if more > 0 and self._memory + more > self._memory_max:
            raise Refused("OOM command not allowed when used memory > 'maxmemory'.")
        self._memory += more
        self._entries[key] = entry

    def drop(self, key: bytes) -> bool:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._memory -= len(key) + len(entry.value) + OVERHEAD
        return entry is not None

    def keys(self, pattern: bytes) -> list[bytes]:
        """Find keys by a glob. It looks at all keys at once, as Redis does."""
        if len(pattern) > PATTERN_MAX:
            raise Refused("ERR pattern is too long")
        glob = pattern.decode("latin-1").replace("[^", "[!")
        glob = re.sub(r"\\(.)", lambda match: f"[{match[1]}]" if match[1] in "*?[" else match[1], glob)
        matches = re.compile(fnmatch.translate(glob), re.DOTALL).match
        return [key for key in list(self._entries) if matches(key.decode("latin-1")) and self.get(key)]

    def sweep(self) -> None:
        if not self._to_sweep:
            self._to_sweep = [key for key, entry in self._entries.items() if entry.expires is not None]
        for key in self._to_sweep[-SWEEP_KEYS:]:
            self.get(key)
        del self._to_sweep[-SWEEP_KEYS:]


class Client:
    """A connection, what it has subscribed to, and what waits to be sent to it."""

    def __init__(self, conn: socket2.TCP) -> None:
        self.stream = socket2.stream(conn)
        self.channels: dict[bytes, None] = {}
        self._outbox: socket2.Queue[bytes] = socket2.Queue()
        self._unsent = 0  # bytes in the outbox or being sent
        self._has_room = socket2.Condition()

    def tell(self, data: bytes) -> None:
        """Queue data for the writer. Does not wait."""
        self._unsent += len(data) + OVERHEAD
        self._outbox.put_nowait(data)

    def push(self, data: bytes) -> None:
        """Queue a message of another client. If too much has piled up, disconnect instead."""
        if self._unsent > UNREAD_MAX:
            self.stream.close()  # the reader and the writer get Closed
        else:
            self.tell(data)

    async def room(self) -> None:
        """Wait until the client has read most of its answers."""
        if self._unsent > UNSENT_MAX:
            async with self._has_room:
                await self._has_room.wait_for(lambda: self._unsent <= UNSENT_MAX)

    def finish(self) -> None:
        """Tell the writer to end after it has sent everything."""
        self._outbox.close()

    async def write(self) -> None:
        async for data in self._outbox:
            pieces = [data, *(self._outbox.get_nowait() for _ in range(len(self._outbox)))]
            await self.stream.sendv(pieces)
            self._unsent -= sum(map(len, pieces)) + OVERHEAD * len(pieces)
            async with self._has_room:
                self._has_room.notify_all()


class Database:
    """The commands."""

    def __init__(self, memory_max: int) -> None:
        self.store = Store(memory_max)
        self._subscribers: dict[bytes, dict[Client, None]] = {}

    async def serve(self, conn: socket2.TCP) -> None:
        conn.settimeout(SEND_S, "write")
        client = Client(conn)
        try:
            async with socket2.threadset() as threads:
                threads.newthread(client.write)
                try:
                    await self._answer_all(client)
                finally:
                    for channel in list(client.channels):
                        self._unsubscribe(client, channel)
                    client.finish()
        except* socket2.Closed:
            pass  # it was disconnected, because it does not read

    async def _answer_all(self, client: Client) -> None:
        try:
            while (command := await read_command(client.stream)) is not None:
                name, *args = command or [b""]
                if name:
                    client.tell(self._answer(client, name.upper(), args))
                if name.upper() == b"QUIT":
                    return
                await client.room()
        except Broken as error:
            client.tell(b"-%s\r\n" % str(error).encode())
        except socket2.LimitExceeded:
            client.tell(b"-ERR Protocol error: too big inline request\r\n")

    def _answer(self, client: Client, name: bytes, args: list[bytes]) -> bytes:
        shown = "".join(filter(str.isprintable, name.decode(errors="replace").lower()))[:64]
        try:
            if client.channels and name not in WHILE_SUBSCRIBED:
                raise Refused(f"ERR Can't execute '{shown}': only (UN)SUBSCRIBE / PING / QUIT are allowed")
            answer = self._carry_out(client, name, args)
            if answer is None and name in NAMES:
                raise Refused(f"ERR wrong number of arguments for '{shown}' command")
            if answer is None:
                raise Refused(f"ERR unknown command '{shown}'")
            return answer
        except Refused as error:
            return b"-%s\r\n" % str(error).encode()

    def _carry_out(self, client: Client, name: bytes, args: list[bytes]) -> bytes | None:
        store = self.store
        match [name, *args]:
            case [b"PING"]:
                return array(bulk(b"pong"), bulk(b"")) if client.channels else b"+PONG\r\n"
            case [b"PING", message]:
                return array(bulk(b"pong"), bulk(message)) if client.channels else bulk(message)
            case [b"ECHO", message]:
                return bulk(message)
            case [b"SET", key, value, *options]:
                return self._set(key, value, options)
            case [b"GET", key]:
                return bulk(entry.value if (entry := store.get(key)) else None)
            case [b"DEL", _, *_]:
                return b":%d\r\n" % sum(store.get(key) is not None and store.drop(key) for key in args)
            case [b"EXISTS", _, *_]:
                return b":%d\r\n" % sum(store.get(key) is not None for key in args)
            case [b"INCR", key]:
                entry = store.get(key) or Entry(b"0")
                number = integer(b"%d" % (integer(entry.value) + 1))
                store.put(key, Entry(b"%d" % number, entry.expires))
                return b":%d\r\n" % number
            case [b"EXPIRE", key, seconds]:
                expires = socket2.now() + integer(seconds)
                if (entry := store.get(key)) is not None:
                    entry.expires = expires
                return b":%d\r\n" % (entry is not None)
            case [b"TTL", key]:
                if (entry := store.get(key)) is None:
                    return b":-2\r\n"
                return b":-1\r\n" if entry.expires is None else b":%d\r\n" % round(entry.expires - socket2.now())
            case [b"KEYS", pattern]:
                return array(*map(bulk, store.keys(pattern)))
            case [b"PUBLISH", channel, message]:
                return b":%d\r\n" % self._publish(channel, message)
            case [b"SUBSCRIBE", _, *_]:
                return b"".join(self._subscribe(client, channel) for channel in args)
            case [b"UNSUBSCRIBE", *_]:
                return b"".join(
                    self._unsubscribe(client, channel) for channel in args or list(client.channels) or [b""]
                )
            case [b"COMMAND", *_]:
                return b"*0\r\n"  # redis-cli asks for the list of commands, and can do without
            case [b"QUIT", *_]:
                return b"+OK\r\n"
        return None

    def _set(self, key: bytes, value: bytes, options: list[bytes]) -> bytes:
        expires, only_new = None, False
        while options:
            match [options.pop(0).upper(), *options[:1]]:
                case [b"NX", *_]:
                    only_new = True
                case [(b"EX" | b"PX") as unit, time] if expires is None:
                    options.pop(0)
                    if integer(time) <= 0:
                        raise Refused("ERR invalid expire time in 'set' command")
                    expires = socket2.now() + integer(time) / (1 if unit == b"EX" else 1000)
                case _:
                    raise Refused("ERR syntax error")
        if only_new and self.store.get(key):
            return bulk(None)
        self.store.put(key, Entry(value, expires))
        return b"+OK\r\n"

    def _publish(self, channel: bytes, message: bytes) -> int:
        subscribers = list(self._subscribers.get(channel, ()))
        for subscriber in subscribers:
            subscriber.push(array(bulk(b"message"), bulk(channel), bulk(message)))
        return len(subscribers)

    def _subscribe(self, client: Client, channel: bytes) -> bytes:
        if len(client.channels) >= CHANNELS_MAX:
            raise Refused("ERR too many channels")
        client.channels[channel] = None
        self._subscribers.setdefault(channel, {})[client] = None
        return array(bulk(b"subscribe"), bulk(channel), b":%d\r\n" % len(client.channels))

    def _unsubscribe(self, client: Client, channel: bytes) -> bytes:
        if channel in client.channels:
            del client.channels[channel], self._subscribers[channel][client]
            if not self._subscribers[channel]:
                del self._subscribers[channel]
        return array(bulk(b"unsubscribe"), bulk(channel or None), b":%d\r\n" % len(client.channels))

    async def ready(self, server: socket2.Server) -> None:
        """Say where the server listens, and drop keys that expire."""
        print("listening on", socket2.format_address(server.addresses[0]), flush=True)
        while True:
            await socket2.sleep(SWEEP_S)
            self.store.sweep()


class Options(argparse.Namespace):
    host: str
    port: int
    clients: int
    memory: int
    grace: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep keys and values, and pass on messages, as Redis does.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=6380, type=int, help="0: a free port")
    parser.add_argument("--clients", default=10_000, type=int, help="connections at a time (default: %(default)s)")
    parser.add_argument("--memory", default=256, type=int, metavar="MB", help="for all values (default: %(default)s)")
    parser.add_argument("--grace", default=3.0, type=float, metavar="SECONDS", help="for connections at the end")
    args = parser.parse_args(namespace=Options())
    database = Database(args.memory * 1024 * 1024)
    try:
        socket2.run(
            socket2.serve(
                database.serve,
                args.host,
                args.port,
                max_connections=args.clients,
                grace_s=args.grace,
                ready=database.ready,
            )
        )
    except (OSError, OverflowError, ValueError) as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")


if __name__ == "__main__":
    main()
