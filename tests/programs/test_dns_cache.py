"""The caching DNS forwarder, against node and dig, and messages by hand. The upstream servers are in this process."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ..interop.peers import LIMIT_S, beside, call, connect, needs, python, receive_exactly, refusing_port
from .running import EXAMPLES, is_over, server, settles

NAME = "dns_cache.py"
A, SOA, OPT = 1, 6, 41
Answer = Callable[[bytes], "list[bytes]"]


def encoded(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"


def query(name: str, number: int = 7, kind: int = A, flags: int = 0x0100, size: int = 0) -> bytes:
    more = b"\0" + struct.pack("!HHIH", OPT, size, 0, 0) if size else b""
    return (
        struct.pack("!6H", number, flags, 1, 0, 0, int(bool(size))) + encoded(name) + struct.pack("!HH", kind, 1) + more
    )


def record(kind: int, ttl: int, data: bytes) -> bytes:
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def reply(asked: bytes, *answers: bytes, flags: int = 0x8180, authority: bytes = b"") -> bytes:
    counts = struct.pack("!4H", 1, len(answers), int(bool(authority)), 0)
    return asked[:2] + struct.pack("!H", flags) + counts + asked[12:] + b"".join(answers) + authority


def address(asked: bytes, last: int = 1, ttl: int = 300) -> bytes:
    return reply(asked, record(A, ttl, bytes([192, 0, 2, last])))


def both() -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket of the same port."""
    while True:
        listener = socket.create_server(("127.0.0.1", 0))
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.bind(listener.getsockname())
            return sock, listener
        except OSError:
            sock.close()
            listener.close()


class Upstream:
    """A server that answers as it is told, over UDP and TCP, and counts the questions."""

    def __init__(self, udp: Answer, tcp: Answer | None = None) -> None:
        self.asked: list[bytes] = []
        self._udp, self._tcp = udp, tcp
        self.sock, self.listener = both()
        self.port = self.sock.getsockname()[1]
        self.place = f"127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=serve, daemon=True) for serve in (self._serve_udp, self._serve_tcp)]
        for thread in self._threads:
            thread.start()

    def _serve_udp(self) -> None:
        while (came := self.sock.recvfrom(2000))[0] != b"end":
            self.asked.append(came[0])
            for answer in self._udp(came[0]):
                self.sock.sendto(answer, came[1])

    def _serve_tcp(self) -> None:
        while True:
            conn, _ = self.listener.accept()
            with conn:
                size = receive_exactly(conn, 2)
                if not size:
                    return
                self.asked.append(receive_exactly(conn, int.from_bytes(size, "big")))
                for answer in self._tcp(self.asked[-1]) if self._tcp else ():
                    conn.sendall(struct.pack("!H", len(answer)) + answer)

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"end", ("127.0.0.1", self.port))
        connect("127.0.0.1", self.port).close()
        for thread in self._threads:
            thread.join(LIMIT_S)
        self.sock.close()
        self.listener.close()


@contextmanager
def client(port: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(LIMIT_S)
        sock.connect(("127.0.0.1", port))
        yield sock


def ask(port: int, message: bytes) -> bytes:
    with client(port) as sock:
        sock.send(message)
        return sock.recv(65535)


def ask_tcp(port: int, message: bytes) -> bytes:
    with connect("127.0.0.1", port) as sock:
        sock.sendall(struct.pack("!H", len(message)) + message)
        return receive_exactly(sock, int.from_bytes(receive_exactly(sock, 2), "big"))


def code(message: bytes) -> int:
    return message[3] & 15


# Real clients.


def test_dig() -> None:
    with Upstream(lambda asked: [address(asked, 9)]) as up, server(NAME, "--upstream", up.place) as (_, port):
        for options in ([], ["+tcp"], ["+edns"], ["+noedns"], ["+noedns", "+tcp"]):
            done = call([needs("dig", "bind9-dnsutils"), "-p", str(port), "@127.0.0.1", *options, "WWW.example"])
            assert b"192.0.2.9" in done.stdout
            assert b"WWW.example." in done.stdout  # the letters of the client
            assert b"status: NOERROR" in done.stdout
            assert b"arning" not in done.stdout
        assert len(up.asked) == 1


def test_node() -> None:
    program = """
        const resolver = new (require('dns').Resolver)();
        resolver.setServers(['127.0.0.1:' + process.argv[1]]);
        resolver.resolve4('www.example', {ttl: true}, (error, answer) => {
            resolver.resolve4('none.example', (error) => console.log(JSON.stringify([answer, error.code])));
        });
    """

    def answer(asked: bytes) -> list[bytes]:
        return [reply(asked, flags=0x8183)] if b"none" in asked else [address(asked, 5, 60)]

    with Upstream(answer) as up, server(NAME, "--upstream", up.place) as (_, port):
        done = call([needs("node"), "-e", program, str(port)])
        assert json.loads(done.stdout) == [[{"address": "192.0.2.5", "ttl": 60}], "ENOTFOUND"]


# Messages by hand.


def test_an_answer_is_kept_for_its_time_and_its_ttl_falls() -> None:
    count = iter(range(1, 9))
    with Upstream(lambda asked: [address(asked, next(count), ttl=2)]) as up:
        with server(NAME, "--upstream", up.place) as (_, port):
            ttls = []
            while (answer := ask(port, query("a.b", 1)))[-1] == 1:
                ttls.append(int.from_bytes(answer[-10:-6], "big"))
            assert ttls == sorted(ttls, reverse=True)
            assert set(ttls) <= {2, 1}
            assert ask(port, query("A.B", 9))[:2] == b"\0\x09"
            assert len(up.asked) <= 3
            ids = {asked[:2] for asked in up.asked}
            assert ids != {b"\0\1"}


@pytest.mark.parametrize(("minimum", "times"), [(300, 1), (0, 2)])
def test_that_there_is_no_such_name_is_kept_as_long_as_the_soa_says(minimum: int, times: int) -> None:
    soa = record(SOA, 300, b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, minimum))
    with Upstream(lambda asked: [reply(asked, flags=0x8183, authority=soa)]) as up:
        with server(NAME, "--upstream", up.place) as (_, port):
            assert [code(ask(port, query("a.b"))) for _ in range(2)] == [3, 3]
            assert len(up.asked) == times


def test_equal_questions_at_once_are_asked_once() -> None:
    come = threading.Event()

    def answer(asked: bytes) -> list[bytes]:
        assert come.wait(LIMIT_S)
        return [address(asked)]

    with (
        Upstream(answer) as up,
        server(NAME, "--upstream", up.place, "--limit", "30") as (_, port),
        ExitStack() as stack,
    ):
        socks = [stack.enter_context(client(port)) for _ in range(50)]
        for at, sock in enumerate(socks):
            sock.send(query("a.b", at))
        ask(port, b"\0" * 12)  # answered at once, so the others have been received
        with client(port) as gone:
            gone.send(query("a.b"))
        come.set()
        for at, sock in enumerate(socks):
            assert sock.recv(999)[:2] == struct.pack("!H", at)
        assert len(up.asked) == 1


def test_the_next_server_is_asked_if_one_does_not_answer() -> None:
    refused = refusing_port(kind=socket.SOCK_DGRAM)
    with Upstream(lambda asked: []) as silent, Upstream(lambda asked: [address(asked)]) as good:
        places = ["--upstream", f"127.0.0.1:{refused}", "--upstream", silent.place, "--upstream", good.place]
        with server(NAME, *places, "--limit", "0.2") as (_, port):
            assert code(ask(port, query("a.b"))) == 0
            assert len(silent.asked) == len(good.asked) == 1


def test_forged_and_broken_answers_are_ignored() -> None:
    def answer(asked: bytes) -> list[bytes]:
        other_id = bytes([asked[0] ^ 1]) + asked[1:]
        return [
            address(other_id, 66),
            address(query("other.name", int.from_bytes(asked[:2], "big")), 66),
            asked,
            b"",
            address(asked, 66)[:-1],
            asked[:2] + b"\x81\x80" + b"\xff" * 8 + asked[12:],
            address(asked, 1),
        ]

    with Upstream(answer) as up, server(NAME, "--upstream", up.place) as (_, port):
        assert ask(port, query("a.b"))[-1] == 1
        assert len(up.asked) == 1


def test_servfail_if_nobody_answers() -> None:
    with Upstream(lambda asked: []) as up:
        with server(NAME, "--upstream", up.place, "--limit", "0.1", "--tries", "3") as (_, port):
            assert code(ask(port, query("a.b"))) == code(ask_tcp(port, query("a.b"))) == 2
            assert len(up.asked) == 6


def test_what_is_too_long_for_udp_is_asked_and_answered_over_tcp() -> None:
    def whole(asked: bytes) -> list[bytes]:
        return [reply(asked, *(record(A, 300, bytes([192, 0, 2, at])) for at in range(100)))]

    with Upstream(lambda asked: [reply(asked, flags=0x8380)], whole) as up:
        with server(NAME, "--upstream", up.place) as (_, port):
            short = ask(port, query("a.b"))
            assert short[2] & 2
            assert short[4:12] == struct.pack("!4H", 1, 0, 0, 0)
            assert len(ask_tcp(port, query("a.b"))) > 1600
            assert len(up.asked) == 2


def test_edns_allows_longer_answers() -> None:
    def answer(asked: bytes) -> list[bytes]:
        return [reply(asked, *(record(A, 300, bytes([192, 0, 2, at])) for at in range(50)))]

    with Upstream(answer) as up, server(NAME, "--upstream", up.place) as (_, port):
        assert ask(port, query("a.b"))[2] & 2
        assert len(ask(port, query("a.b", size=4096))) > 800


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"\0" * 12, 1),
        (query("a.b")[:-1], 1),
        (query("a.b")[:12] + b"\xc0\x0c\0\1\0\1", 1),
        (query("a.b")[:12] + b"\x50" * 200, 1),
        (query("a.b")[:4] + b"\xff" * 8 + query("a.b")[12:], 1),
        (query(".".join(["x" * 60] * 5)), 1),
        (query("a.b", flags=0x2800), 4),
    ],
)
def test_malformed_questions(message: bytes, expected: int) -> None:
    with server(NAME, "--upstream", "127.0.0.1:9") as (_, port):
        for answer in (ask(port, message), ask_tcp(port, message)):
            assert code(answer) == expected
            assert answer[:2] == message[:2]


def test_answers_and_fragments_are_not_answered() -> None:
    with server(NAME, "--upstream", "127.0.0.1:9") as (_, port), client(port) as sock:
        for message in (b"", b"x", b"x" * 11, reply(query("a.b"))):
            sock.send(message)
        sock.send(b"\0\5" + b"\0" * 10)
        assert sock.recv(999)[:2] == b"\0\5"


def works(port: int) -> None:
    assert code(ask_tcp(port, query("a.b"))) == 0


def test_tcp_clients_that_are_slow_or_leave() -> None:
    with Upstream(lambda asked: [address(asked)]) as up, server(NAME, "--upstream", up.place) as (program, port):
        ask_tcp(port, query("a.b"))
        open_files = program.open_files()
        with ExitStack() as stack:
            for half in (b"", b"\0", b"\xff\xff" + b"x" * 100, b"\0\x1d" + query("a.b")[:10]):
                stack.enter_context(connect("127.0.0.1", port)).sendall(half)
            message = query("a.b")
            with connect("127.0.0.1", port) as sock:  # pipelined
                sock.sendall((struct.pack("!H", len(message)) + message) * 100)
                size = len(address(message)) + 2
                assert len(receive_exactly(sock, 100 * size)) == 100 * size
                sock.shutdown(socket.SHUT_WR)
                assert is_over(sock)
        settles(program, open_files, lambda: works(port))


def test_a_flood_is_not_answered_whole_and_hurts_nobody() -> None:
    with Upstream(lambda asked: [address(asked)] if b"good" in asked else []) as up:
        with server(NAME, "--upstream", up.place, "--clients", "10", "--limit", "0.3", "--tries", "1") as (_, port):
            with client(port) as flood:
                for at in range(500):
                    flood.send(query(f"x{at}.b"))
            for _ in range(100):
                with client(port) as sock:
                    sock.settimeout(0.3)
                    sock.send(query("good.b"))
                    try:
                        if code(sock.recv(999)) == 0:
                            return
                    except TimeoutError:
                        pass
            pytest.fail("no question is answered after a flood")


def test_ctrl_c_while_questions_are_under_way() -> None:
    with Upstream(lambda asked: []) as up, ExitStack() as stack:
        with server(NAME, "--upstream", up.place, "--limit", "1", "--tries", "2") as (_, port):
            sock = stack.enter_context(client(port))
            sock.send(query("a.b"))
            tcp = stack.enter_context(connect("127.0.0.1", port))
            tcp.sendall(struct.pack("!H", len(query("c.d"))) + query("c.d"))
            with beside(tcp.recv, 100):
                ask(port, b"\0" * 12)
        assert is_over(tcp)


@pytest.mark.parametrize("place", ["name", "1.2.3.4:x", "[::1", ""])
def test_a_wrong_upstream_is_said(place: str) -> None:
    with python(EXAMPLES / NAME, "--upstream", place) as program:
        assert program.wait() == 2
        assert b"Traceback" not in program.stderr()
