"""An MQTT broker (MQTT 3.1.1): it passes on the messages of each client to all clients that have subscribed to them.

Shows a binary protocol whose clients are mostly silent. A client must send something before its keep-alive time is
over; otherwise it counts as lost, and the message is published that it left for this case, its will. Messages arrive
with QoS 0 or 1 and are delivered with QoS 0: a subscriber that does not read in time misses some, and delays nobody.
Retained messages are kept in memory. Sessions end with their connections.

    $ python examples/mqtt_broker.py --port 1883
    listening on 127.0.0.1:1883
    $ mosquitto_sub -p 1883 -t 'home/+/temperature' &
    $ mosquitto_pub -p 1883 -t home/kitchen/temperature -m 21.5
"""

from __future__ import annotations

import argparse
import struct
import sys
from collections.abc import Iterator
from enum import IntEnum

import socket2

ACCEPTED, WRONG_VERSION, WRONG_ID = 0, 1, 2
REFUSED = 0x80
PACKET_MAX = 256 * 1024  # bytes
LEVELS_MAX = 64  # of a topic
FILTERS_MAX = 1000  # for each client
UNREAD_MAX = 2 * 1024 * 1024  # bytes that wait for a client; then it misses messages, and is not read
OVERHEAD = 50  # bytes of memory for each packet that waits, about
CONNECT_S = 10.0
SEND_S = 30.0  # a client that takes nothing for so long is gone


Kind = IntEnum(
    "Kind",
    "CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP "
    "DISCONNECT",
)
FLAGS: dict[int, int] = {Kind.SUBSCRIBE: 2, Kind.UNSUBSCRIBE: 2}  # of packets that clients send


class Violation(Exception):
    """The client has broken the protocol, so its connection ends."""


class Reader:
    """The fields of a packet."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise Violation("a packet is too short for its fields")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def data(self) -> bytes:
        return self.take(self.number(2))

    def text(self) -> str:
        try:
            text = self.data().decode()
        except UnicodeDecodeError:
            raise Violation("a text is not UTF-8") from None
        if "\0" in text:
            raise Violation("a text contains NUL")
        return text

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)


def packet(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    size, length = len(body), bytearray()
    while size >= 128:
        length.append(size % 128 | 128)
        size //= 128
    return bytes([kind << 4 | flags, *length, size]) + body


async def receive(stream: socket2.Stream) -> tuple[int, int, Reader] | None:
    """Receive a packet: its kind, its flags and its fields. Return None at the end of the stream."""
    if not await stream.peek():
        return None
    (first,) = await stream.recvn(1)
    size = 0
    for shift in range(0, 28, 7):
        (digit,) = await stream.recvn(1)
        size |= (digit & 127) << shift
        if digit < 128:
            break
    else:
        raise Violation("the length of a packet has more than four bytes")
    if size > PACKET_MAX:
        raise Violation(f"a packet of {size} bytes is too long")
    return first >> 4, first & 15, Reader(await stream.recvn(size))


def levels_of(topic: str) -> list[str]:
    levels = topic.split("/", LEVELS_MAX)
    if not topic or len(levels) > LEVELS_MAX:
        raise Violation("a topic has no level, or too many")
    return levels


def is_filter(levels: list[str]) -> bool:
    """Whether wildcards are where they may be: `+` alone in its level, `#` alone in the last one."""
    return all(level == "+" or not set("+#") & set(level) for level in levels[:-1]) and (
        levels[-1] in ("+", "#") or not set("+#") & set(levels[-1])
    )


class Node:
    """A level of the filters, with the levels below it and the clients whose filter ends here."""

    def __init__(self) -> None:
        self.below: dict[str, Node] = {}
        self.clients: dict[Client, None] = {}

    def add(self, levels: list[str], client: Client) -> None:
        node = self
        for level in levels:
            node = node.below.setdefault(level, Node())
        node.clients[client] = None

    def discard(self, levels: list[str], client: Client) -> None:
        path = [self]
        for level in levels:
            path.append(path[-1].below[level])
        path[-1].clients.pop(client, None)
        for above, level in zip(path[-2::-1], levels[::-1], strict=True):
            node = above.below[level]
            if node.below or node.clients:
                return
            del above.below[level]

    def matching(self, levels: list[str], is_root: bool = True) -> Iterator[Client]:
        """Find the clients of all filters that match. A client may appear more than once."""
        wild = not (is_root and levels[0].startswith("$"))  # those topics are of the broker itself
        if wild and "#" in self.below:
            yield from self.below["#"].clients
        if not levels:
            yield from self.clients
            return
        for level in (levels[0], "+") if wild else (levels[0],):
            if level in self.below:
                yield from self.below[level].matching(levels[1:], False)


class Client:
    """A connection, its filters, and what waits to be sent to it."""

    def __init__(self, conn: socket2.TCP) -> None:
        self.stream = socket2.stream(conn)
        self.filters: dict[str, None] = {}
        self.will: tuple[str, bytes, bool] | None = None
        self.outbox: socket2.Queue[bytes] = socket2.Queue()
        self._unsent = 0  # bytes in the outbox or being sent
        self._has_room = socket2.Condition()

    def tell(self, data: bytes) -> None:
        """Queue a packet. Does not wait."""
        self._unsent += len(data) + OVERHEAD
        self.outbox.put_nowait(data)

    async def room(self) -> None:
        """Wait until the client has read most of what is for it, before it can ask for more."""
        if self._unsent >= UNREAD_MAX:
            async with self._has_room:
                await self._has_room.wait_for(lambda: self._unsent < UNREAD_MAX)

    def pass_on(self, data: bytes) -> None:
        """Queue a message of QoS 0, unless too much waits already."""
        if self._unsent < UNREAD_MAX:
            self.tell(data)

    async def write(self) -> None:
        async for data in self.outbox:
            pieces = [data, *(self.outbox.get_nowait() for _ in range(len(self.outbox)))]
            await self.stream.sendv(pieces)
            self._unsent -= sum(map(len, pieces)) + OVERHEAD * len(pieces)
            async with self._has_room:
                self._has_room.notify_all()


class Broker:
    """All clients, what they have subscribed to, and the retained messages."""

    def __init__(self, retained_max: int) -> None:
        self._clients: dict[str, Client] = {}
        self._root = Node()
        self._retained: dict[str, bytes] = {}
        self._retained_bytes = 0
        self._retained_max = retained_max

    async def serve(self, conn: socket2.TCP) -> None:
        conn.settimeout(SEND_S, "write")
        client = Client(conn)
        try:
            async with socket2.threadset() as threads:
                threads.newthread(client.write)
                try:
                    with socket2.timeout(CONNECT_S):
                        name, keep_alive_s = await self._connect(client)
                    if name is not None:
                        await self._take_part(client, name, keep_alive_s)
                except Violation as error:
                    raise ConnectionAbortedError(str(error)) from error  # for the log: it is the client's fault
                finally:
                    client.outbox.close()  # the writer ends when it has sent everything
        except* socket2.Closed:
            pass  # another client has taken its name

    async def _connect(self, client: Client) -> tuple[str | None, float | None]:
        """Take the first packet. Return the client's name, None if it is refused, and its keep-alive time."""
        came = await receive(client.stream)
        if came is None or came[:2] != (Kind.CONNECT, 0):
            raise Violation("the first packet is not CONNECT")
        fields = came[2]
        if (fields.data(), fields.number(1)) != (b"MQTT", 4):
            client.tell(packet(Kind.CONNACK, bytes([0, WRONG_VERSION])))
            return None, None
        flags, keep_alive_s = fields.number(1), fields.number(2)
        name = fields.text()
        if not name and not flags & 2:  # a session that lasts needs a name
            client.tell(packet(Kind.CONNACK, bytes([0, WRONG_ID])))
            return None, None
        if flags & 4:
            topic, message = fields.text(), fields.data()
            check_topic(topic)
            client.will = topic, message, bool(flags & 32)
        client.tell(packet(Kind.CONNACK, bytes([0, ACCEPTED])))  # a name and password are not looked at
        return name or f"\0{id(client)}", 1.5 * keep_alive_s or None

    async def _take_part(self, client: Client, name: str, keep_alive_s: float | None) -> None:
        former = self._clients.get(name)
        if former is not None:
            former.stream.close()
        self._clients[name] = client
        try:
            await self._packets(client, keep_alive_s)
        finally:
            if self._clients.get(name) is client:
                del self._clients[name]
            for text in client.filters:
                self._root.discard(levels_of(text), client)
            if client.will is not None:
                self._publish(*client.will)

    async def _packets(self, client: Client, keep_alive_s: float | None) -> None:
        while True:
            await client.room()
            with socket2.between_requests(), socket2.timeout(keep_alive_s):
                came = await receive(client.stream)
            if came is None:
                return
            kind, flags, fields = came
            if kind != Kind.PUBLISH and flags != FLAGS.get(kind, 0):
                raise Violation(f"a packet of kind {kind} with flags {flags}")
            match kind:
                case Kind.PUBLISH:
                    self._published(client, flags, fields)
                case Kind.SUBSCRIBE:
                    self._subscribe(client, fields)
                case Kind.UNSUBSCRIBE:
                    self._unsubscribe(client, fields)
                case Kind.PINGREQ:
                    client.tell(packet(Kind.PINGRESP))
                case Kind.DISCONNECT:
                    client.will = None
                    return
                case _:
                    raise Violation(f"a packet of kind {kind} is not for a broker")

    def _published(self, client: Client, flags: int, fields: Reader) -> None:
        topic, qos = fields.text(), flags >> 1 & 3
        check_topic(topic)
        number = fields.take(2) if qos else b""
        if qos > 1:
            raise Violation("a message of QoS 2 or 3")
        self._publish(topic, fields.rest(), bool(flags & 1))
        if qos:
            client.tell(packet(Kind.PUBACK, number))

    def _publish(self, topic: str, message: bytes, retain: bool) -> None:
        if retain:
            self._retain(topic, message)
        data = published(topic, message)
        for client in dict.fromkeys(self._root.matching(levels_of(topic))):
            client.pass_on(data)

    def _retain(self, topic: str, message: bytes) -> None:
        """Keep a message for clients that come later. If it is empty or has no room, only remove the old one."""
        former = self._retained.pop(topic, None)
        if former is not None:
            self._retained_bytes -= len(topic) + len(former)
        if message and self._retained_bytes + len(topic) + len(message) <= self._retained_max:
            self._retained_bytes += len(topic) + len(message)
            self._retained[topic] = message

    def _subscribe(self, client: Client, fields: Reader) -> None:
        number, codes, retained = fields.number(2), bytearray(), list[bytes]()
        while not codes or not fields.is_at_end:
            text, _ = fields.text(), fields.number(1)  # the client's QoS: it gets 0
            levels = levels_of(text)
            if not is_filter(levels):
                raise Violation(f"{text!r} is not a filter")
            if len(client.filters) >= FILTERS_MAX and text not in client.filters:
                codes.append(REFUSED)
                continue
            codes.append(0)
            client.filters[text] = None
            self._root.add(levels, client)
            alone = Node()
            alone.add(levels, client)
            for topic, message in self._retained.items():
                if any(alone.matching(topic.split("/"))):
                    retained.append(published(topic, message, retained=True))
        client.tell(packet(Kind.SUBACK, struct.pack("!H", number) + codes))
        for data in retained:
            client.pass_on(data)

    def _unsubscribe(self, client: Client, fields: Reader) -> None:
        number = fields.number(2)
        while not fields.is_at_end:
            text = fields.text()
            if text in client.filters:
                del client.filters[text]
                self._root.discard(levels_of(text), client)
        client.tell(packet(Kind.UNSUBACK, struct.pack("!H", number)))


def check_topic(topic: str) -> None:
    if set("+#") & set(topic):
        raise Violation("a topic with wildcards")
    levels_of(topic)


def published(topic: str, message: bytes, retained: bool = False) -> bytes:
    """Return a message of QoS 0 as a packet."""
    name = topic.encode()
    return packet(Kind.PUBLISH, struct.pack("!H", len(name)) + name + message, flags=int(retained))


def announce(server: socket2.Server) -> None:
    print("listening on", socket2.format_address(server.addresses[0]), flush=True)


class Options(argparse.Namespace):
    host: str
    port: int
    clients: int
    retained: int
    grace: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Pass on messages by their topics (MQTT).")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=1883, type=int, help="0: a free port")
    parser.add_argument("--clients", default=10_000, type=int, help="connections at a time (default: %(default)s)")
    parser.add_argument("--retained", default=64, type=int, metavar="MB", help="limit (default: %(default)s)")
    parser.add_argument("--grace", default=3.0, type=float, metavar="SECONDS", help="for connections at the end")
    args = parser.parse_args(namespace=Options())
    try:
        socket2.run(
            socket2.serve(
                Broker(args.retained * 1024 * 1024).serve,
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
