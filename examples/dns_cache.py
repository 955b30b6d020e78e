"""A caching DNS forwarder, over UDP and TCP. It asks other servers what it does not know, and keeps their answers.

Shows datagrams and connections in one program, and threads that share a result: equal questions that come while the
first one is under way get the same answer. Each question goes out from a socket of its own with a random id, so that
answers are hard to forge. A question that gets no answer is asked again, of the next server, and in the end answered
with SERVFAIL. What is too long for UDP is asked, and answered, over TCP.

    $ python examples/dns_cache.py --port 5353 --upstream 9.9.9.9 --upstream 1.1.1.1:53
    listening on 127.0.0.1:5353
    $ dig -p 5353 @127.0.0.1 example.org
"""

from __future__ import annotations

import argparse
import ipaddress
import re
import secrets
import struct
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

import socket2

MESSAGE_MAX = 65535
UDP_MAX = 512  # bytes, for clients that do not say that they take more
UDP_BEST = 1232  # bytes that fit into one packet everywhere
TTL_MAX_S = 86400
IDLE_S = 10.0
QR, OPCODE, AA, TC, RD, RA, RCODE = 0x8000, 0x7800, 0x0400, 0x0200, 0x0100, 0x0080, 0x000F
FORMERR, SERVFAIL, NXDOMAIN, NOTIMP = 1, 2, 3, 4
SOA, OPT = 6, 41

Place = tuple[str, int]


class Malformed(Exception):
    """A message that is not DNS."""


@dataclass(frozen=True)
class Question:
    """A question, as it is in a message: a name, a type and a class."""

    wire: bytes

    @property
    def key(self) -> bytes:
        return self.wire.lower()[:-4] + self.wire[-4:]  # upper and lower case are the same in names


def skip_name(message: bytes, at: int, *, whole: bool = False) -> int:
    """Return where a name ends. `whole`: it must not continue elsewhere."""
    while (length := message[at]) and length < 64:
        at += 1 + length
    if length and (length < 192 or whole):
        raise Malformed("unknown kind of label")
    return at + (2 if length else 1)


@dataclass(frozen=True)
class Record:
    kind: int
    size_or_class: int
    ttl_at: int
    ttl: int
    end: int


class Message:
    """A message, as far as a cache must understand it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        try:
            self.id, self.flags, asked, *counts = struct.unpack_from("!6H", data)
            end = skip_name(data, 12, whole=True) + 4
            if asked != 1 or end > len(data) or end - 16 > 255:
                raise Malformed("it must have one question")
            self.question = Question(data[12:end])
            self.records: list[Record] = []
            for _ in range(sum(counts)):
                at = skip_name(data, end)
                kind, size_or_class, ttl, length = struct.unpack_from("!HHIH", data, at)
                end = at + 10 + length
                self.records.append(Record(kind, size_or_class, at + 4, ttl, end))
            if end > len(data):
                raise Malformed("its end is missing")
        except (struct.error, IndexError) as error:
            raise Malformed("its end is missing") from error
        self.answered = counts[0] > 0

    @property
    def udp_max(self) -> int:
        """How long an answer by UDP may be for whoever sent this."""
        sizes = [record.size_or_class for record in self.records if record.kind == OPT]
        return min(max([UDP_MAX, *sizes]), UDP_BEST)

    def ttl(self) -> int:
        """Return for how many seconds this answer may be kept. 0: not at all."""
        code = self.flags & RCODE
        if self.flags & TC or code not in (0, NXDOMAIN):
            return 0
        lives = [record.ttl for record in self.records if record.kind != OPT]
        if code == NXDOMAIN or not self.answered:  # RFC 2308: the last number of the SOA record
            soas = [record for record in self.records if record.kind == SOA]
            if not soas:
                return 0
            lives += struct.unpack_from("!I", self.data, soas[0].end - 4)
        return min([TTL_MAX_S, *(life if life < 2**31 else 0 for life in lives)])  # RFC 2181, section 8


def refusal(data: bytes, code: int) -> bytes:
    """Answer a message with an error, without a question, which may be malformed."""
    number, flags = struct.unpack_from("!HH", data)
    return struct.pack("!6H", number, QR | (flags & (OPCODE | RD)) | RA | code, 0, 0, 0, 0)


class Cache:
    """Answers by question. The one that was used longest ago leaves first."""

    def __init__(self, size: int) -> None:
        self._answers: OrderedDict[bytes, tuple[Message, float, int]] = OrderedDict()
        self._size = size

    def get(self, question: Question) -> bytes | None:
        """Return an answer whose TTLs have become smaller by its age."""
        kept = self._answers.get(question.key)
        if kept is None:
            return None
        answer, since, ttl = kept
        age = int(socket2.now() - since)
        if age >= ttl:
            del self._answers[question.key]
            return None
        self._answers.move_to_end(question.key)
        data = bytearray(answer.data)
        for record in answer.records:
            if record.kind != OPT:
                struct.pack_into("!I", data, record.ttl_at, max(0, min(record.ttl, TTL_MAX_S) - age))
        return bytes(data)

    def put(self, answer: Message) -> None:
        if ttl := answer.ttl():
            self._answers[answer.question.key] = (answer, socket2.now(), ttl)
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)


class Forwarder:
    """Answers questions from the cache, or asks the other servers."""

    def __init__(
        self,
        threads: socket2.threadset[None],
        upstreams: list[Place],
        limit_s: float,
        tries: int,
        cache: Cache,
        flying_max: int,
    ) -> None:
        self._threads = threads
        self._upstreams = upstreams
        self._limit_s = limit_s
        self._tries = tries
        self._cache = cache
        self._flying: dict[bytes, socket2.Thread[bytes | None]] = {}
        self._flying_max = flying_max

    async def answer(self, data: bytes, over_udp: bool = False) -> bytes | None:
        """Return the answer to a client's message, None if it deserves none."""
        if len(data) < 12 or data[2] & (QR >> 8):
            return None  # never answer an answer: two servers could do that forever
        try:
            message = Message(data)
        except Malformed:
            return refusal(data, FORMERR)
        if message.flags & OPCODE:
            return refusal(data, NOTIMP)
        found = self._cache.get(message.question)
        if found is None:
            found = await self._ask(message.question)
        if found is None:
            return refusal(data, SERVFAIL)
        flags = Message(found).flags & ~(AA | RD) | RA | message.flags & RD
        wire = message.question.wire  # its upper and lower case are those of the client
        if over_udp and len(found) > message.udp_max:
            return struct.pack("!6H", message.id, flags | TC, 1, 0, 0, 0) + wire
        return struct.pack("!HH", message.id, flags) + found[4:12] + wire + found[12 + len(wire) :]

    async def _ask(self, question: Question) -> bytes | None:
        """Ask the other servers, once for all clients that ask the same now."""
        thread = self._flying.get(question.key)
        if thread is None:
            if len(self._flying) >= self._flying_max:
                return None
            thread = self._threads.newthread(self._fetch, question)
            if not thread.done:  # it may fail before its first wait
                self._flying[question.key] = thread
        return await thread.join()

    async def _fetch(self, question: Question) -> bytes | None:
        try:
            for attempt in range(self._tries):
                upstream = self._upstreams[attempt % len(self._upstreams)]
                with suppress(OSError, EOFError, Malformed), socket2.timeout(self._limit_s):
                    answer = await self._over_udp(question, upstream)
                    if answer.flags & TC:
                        answer = await self._over_tcp(question, upstream)
                    if answer.flags & RCODE != SERVFAIL:
                        self._cache.put(answer)
                        return answer.data
            return None
        finally:
            self._flying.pop(question.key, None)

    async def _over_udp(self, question: Question, upstream: Place) -> Message:
        """Wait for the right answer. Others may be forged, and are ignored."""
        query, number = new_query(question)
        with socket2.udp("inet6" if ":" in upstream[0] else "inet") as sock:
            await sock.connect(*upstream)
            await sock.send(query)
            while True:
                with suppress(Malformed):
                    answer = Message(await sock.recv(MESSAGE_MAX))
                    if answers(answer, number, question):
                        return answer

    async def _over_tcp(self, question: Question, upstream: Place) -> Message:
        query, number = new_query(question)
        with socket2.stream(await socket2.connect(*upstream)) as stream:
            await stream.sendall(struct.pack("!H", len(query)) + query)
            answer = Message(await receive(stream))
            if not answers(answer, number, question):
                raise Malformed("the answer is to another question")
            return answer


def new_query(question: Question) -> tuple[bytes, int]:
    number = secrets.randbelow(65536)
    return struct.pack("!6H", number, RD, 1, 0, 0, 0) + question.wire, number


def answers(message: Message, number: int, question: Question) -> bool:
    return bool(message.flags & QR) and message.id == number and message.question.key == question.key


async def receive(stream: socket2.Stream) -> bytes:
    size = int.from_bytes(await stream.recvn(2), "big")
    return await stream.recvn(size)


class Clients:
    """The two ways in which clients come."""

    def __init__(self, forwarder: Forwarder, datagrams_max: int) -> None:
        self._forwarder = forwarder
        self._room = socket2.CapacityLimiter(datagrams_max)

    async def datagrams(self, sock: socket2.UDP) -> None:
        """Answer each datagram in a thread."""
        async with socket2.threadset() as threads:
            while True:
                data, sender = await sock.recvfrom(MESSAGE_MAX)
                threads.newthread(self._datagram, sock, data, sender)

    async def _datagram(self, sock: socket2.UDP, data: bytes, sender: socket2.SocketAddress) -> None:
        try:
            with self._room.acquire_nowait():
                answer = await self._forwarder.answer(data, over_udp=True)
                if answer is not None:
                    await sock.sendto(answer, sender)
        except socket2.WouldBlock:
            pass  # there are too many; the sender will ask again
        except OSError:
            pass  # the sender is unreachable or forbidden, or its port is 0

    async def connection(self, conn: socket2.TCP) -> None:
        """Answer one question after the other."""
        conn.settimeout(IDLE_S)
        stream = socket2.stream(conn)
        while True:
            with socket2.between_requests():
                if not await stream.peek():
                    return
            with socket2.timeout(IDLE_S):
                message = await receive(stream)
            answer = await self._forwarder.answer(message)
            if answer is None:
                return
            await stream.sendall(struct.pack("!H", len(answer)) + answer)


def announce(server: socket2.Server) -> None:
    print("listening on", socket2.format_address(server.addresses[0]), flush=True)


class Options(argparse.Namespace):
    host: str
    port: int
    upstream: list[Place]
    limit: float
    tries: int
    size: int
    clients: int


def listen(host: str, port: int) -> tuple[socket2.UDP, socket2.TCP]:
    """Return sockets for UDP and TCP at the same port."""
    for tries_left in reversed(range(100 if port == 0 else 1)):
        listener = socket2.listen(host, port)
        try:
            return socket2.bind(host, listener.local_address[1]), listener
        except OSError:
            listener.close()
            if not tries_left:  # else try another free port
                raise
    raise AssertionError


async def serve(options: Options, sock: socket2.UDP, listener: socket2.TCP) -> None:
    """Serve over UDP and TCP until a signal stops the program."""
    async with socket2.threadset() as threads:
        cache = Cache(options.size)
        forwarder = Forwarder(threads, options.upstream, options.limit, options.tries, cache, options.clients)
        clients = Clients(forwarder, options.clients)
        threads.newthread(clients.datagrams, sock)
        await socket2.serve(
            clients.connection,
            listeners=[listener],
            max_connections=options.clients,
            grace_s=options.limit * options.tries,
            ready=announce,
        )
        threads.cancel()


def place(text: str) -> Place:
    match = re.fullmatch(r"\[(.+)\]:(\d+)|([^:]+):(\d+)|(.+)", text)
    if match is None:
        raise ValueError("no address")
    host = match[1] or match[3] or match[5]
    return str(ipaddress.ip_address(host)), int(match[2] or match[4] or 53)


def main() -> None:
    parser = argparse.ArgumentParser(description="Answer DNS questions, and remember the answers.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=5353, type=int, help="0: a free port")
    parser.add_argument("--upstream", required=True, type=place, action="append", metavar="IP[:PORT]")
    parser.add_argument("--limit", default=2.0, type=float, metavar="SECONDS", help="for each try")
    parser.add_argument("--tries", default=3, type=int, help="for each question (default: %(default)s)")
    parser.add_argument("--size", default=10_000, type=int, help="answers to keep (default: %(default)s)")
    parser.add_argument("--clients", default=1000, type=int, help="at a time (default: %(default)s)")
    options = parser.parse_args(namespace=Options())
    if min(options.tries, options.size, options.clients) < 1 or not options.limit > 0:
        parser.error("--limit must be more than 0, --tries, --size and --clients at least 1")
    try:
        sock, listener = listen(options.host, options.port)
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {options.host}:{options.port}: {error}")
    with sock, listener:
        socket2.run(serve, options, sock, listener)


if __name__ == "__main__":
    main()
