"""The MQTT broker, against mosquitto's clients and curl, and packets by hand."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ..interop.peers import Program, call, connect, needs, receive_exactly
from .running import answers, is_over, reset, server, settles

NAME = "mqtt_broker.py"
ACCEPTED = b"\x20\2\0\0"
PING, PONG = b"\xc0\0", b"\xd0\0"
BYE = b"\xe0\0"


@pytest.fixture
def port() -> Iterator[int]:
    with server(NAME) as (_, port):
        yield port


def text(value: str) -> bytes:
    return struct.pack("!H", len(value.encode())) + value.encode()


def packet(first: int, body: bytes) -> bytes:
    size, length = len(body), b""
    while size >= 128:
        length += bytes([size % 128 | 128])
        size //= 128
    return bytes([first]) + length + bytes([size]) + body


def hello(name: str = "", keep_alive_s: int = 0, will: tuple[str, str] | None = None, flags: int = 2) -> bytes:
    more = text(will[0]) + text(will[1]) if will else b""
    header = text("MQTT") + bytes([4, flags | (4 if will else 0)]) + struct.pack("!H", keep_alive_s)
    return packet(0x10, header + text(name) + more)


def publish(topic: str, message: str = "", retain: bool = False) -> bytes:
    return packet(0x30 | retain, text(topic) + message.encode())


def subscribe(*filters: str, number: int = 1) -> bytes:
    return packet(0x82, struct.pack("!H", number) + b"".join(text(one) + b"\1" for one in filters))


@contextmanager
def client(port: int, *filters: str, name: str = "", will: tuple[str, str] | None = None) -> Iterator[socket.socket]:
    with connect("127.0.0.1", port) as sock:
        answers(sock, hello(name, will=will), ACCEPTED)
        if filters:
            answers(sock, subscribe(*filters), packet(0x90, b"\0\1" + bytes(len(filters))))
        yield sock


def nothing_comes(sock: socket.socket) -> None:
    """Check that nothing has been sent to this client: an answer comes next."""
    answers(sock, PING, PONG)


# Real clients.


def test_mosquitto(port: int) -> None:
    pub = [needs("mosquitto_pub", "mosquitto-clients"), "-p", str(port)]
    call([*pub, "-t", "home/kitchen/light", "-m", "on", "-r"])
    sub = [
        needs("mosquitto_sub", "mosquitto-clients"),
        "-p",
        str(port),
        "-v",
        "-t",
        "home/+/temperature",
        "-t",
        "home/#",
        "-F",
        "%t %p %r",
    ]
    with Program(sub) as subscriber:
        subscriber.announced("^home/kitchen/light on 1$")  # retained, and now it has subscribed
        call([*pub, "-t", "home/kitchen/temperature", "-m", "21.5", "-q", "1"])
        subscriber.announced("^home/kitchen/temperature 21.5 0$")
        call([*pub, "-t", "home/hall", "-s"], b"x" * 100_000)
        call([*pub, "-t", "other", "-m", "not this"])
        call([*pub, "-t", "home/last", "-m", "end"])
        subscriber.announced("^home/last end 0$")
        assert b"not this" not in subscriber.stdout()
        assert b"x" * 100_000 in subscriber.stdout()


def test_mosquitto_leaves_a_will(port: int) -> None:
    will = ["--will-topic", "wills/a", "--will-payload", "gone"]
    command = [needs("mosquitto_sub", "mosquitto-clients"), "-p", str(port), "-t", "x", *will]
    with client(port, "wills/#") as watcher:
        watcher.sendall(publish("x", "ready", retain=True))
        with Program(command) as other:
            other.announced("^ready$")
            other.process.kill()
            other.wait()
            assert receive_exactly(watcher, 15) == publish("wills/a", "gone")
        with Program(command) as other:
            other.announced("^ready$")
            other.process.terminate()  # it says goodbye
            other.wait()
        nothing_comes(watcher)


def test_curl(port: int) -> None:
    curl = needs("curl")
    if b"mqtt" not in call([curl, "--version"]).stdout:
        pytest.skip("this curl has no MQTT")
    with client(port, "from/curl") as watcher:
        call([curl, "-sS", "-d", "hello", f"mqtt://127.0.0.1:{port}/from/curl"])
        assert receive_exactly(watcher, 18) == publish("from/curl", "hello")
    with client(port) as sender:
        sender.sendall(publish("for/curl", "kept", retain=True) + PING)
        receive_exactly(sender, 2)
    with Program([curl, "-sS", "-N", f"mqtt://127.0.0.1:{port}/for/curl"]) as reading:
        while b"kept" not in reading.stdout():
            assert reading.process.poll() is None, reading.stderr()


# Packets by hand.


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/c", False),
        ("a/b", "a/b/c", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+/c", "a//c", True),
        ("+/+", "/a", True),
        ("+", "/a", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("a", "A", False),
        ("ä/+", "ä/ö", True),
    ],
)
def test_filters(port: int, pattern: str, topic: str, matches: bool) -> None:
    expected = publish(topic, "m") if matches else b""
    with client(port, pattern) as subscriber, client(port) as sender:
        answers(sender, publish(topic, "m", retain=True) + PING, PONG)
        answers(subscriber, PING, expected + PONG)
        answers(sender, subscribe(pattern), b"\x90\3\0\1\0")  # the same for retained messages
        answers(sender, PING, (b"\x31" + expected[1:] if matches else b"") + PONG)


def test_overlapping_filters_get_a_message_once_and_unsubscribe(port: int) -> None:
    with client(port, "a/#", "a/+", "a/b") as sock:
        answers(sock, publish("a/b", "1"), publish("a/b", "1"))
        answers(sock, packet(0xA2, b"\0\2" + text("a/#") + text("a/+") + text("never")), b"\xb0\2\0\2")
        answers(sock, publish("a/c", "2") + publish("a/b", "3") + PING, publish("a/b", "3") + PONG)


def test_an_empty_message_removes_the_retained_one(port: int) -> None:
    with client(port) as sock:
        sock.sendall(publish("a", "1", retain=True) + publish("a", "2", retain=True) + publish("b", "3", retain=True))
        sock.sendall(publish("b", "", retain=True))
        answers(sock, subscribe("#"), b"\x90\3\0\1\0" + publish("a", "2", retain=True))
        nothing_comes(sock)


def test_retained_messages_have_limited_memory() -> None:
    with server(NAME, "--retained", "1") as (_, port), client(port) as sock:
        for at in range(8):
            sock.sendall(publish(f"a/{at}", "x" * 200_000, retain=True))
        answers(sock, subscribe("a/+"), b"\x90\3\0\1\0")
        for at in range(5):
            expected = publish(f"a/{at}", "x" * 200_000, retain=True)
            assert receive_exactly(sock, len(expected)) == expected
        nothing_comes(sock)


def test_qos_1_is_acknowledged_and_2_refused(port: int) -> None:
    with client(port, "a") as subscriber, client(port) as sender:
        answers(sender, packet(0x32, text("a") + b"\x12\x34m"), b"\x40\2\x12\x34")
        assert receive_exactly(subscriber, 6) == publish("a", "m")
        sender.sendall(packet(0x34, text("a") + b"\x12\x34m"))
        assert is_over(sender)


def test_a_second_client_of_the_same_name_takes_over(port: int) -> None:
    with client(port, "wills", name="ann", will=("wills", "taken")) as first, client(port, "wills") as watcher:
        with client(port, name="ann") as second:
            assert is_over(first)
            assert receive_exactly(watcher, 14) == publish("wills", "taken")
            nothing_comes(second)


def test_a_client_that_is_silent_for_too_long_is_lost(port: int) -> None:
    with client(port, "wills") as watcher, connect("127.0.0.1", port) as sock:
        answers(sock, hello(keep_alive_s=1, will=("wills", "silent")), ACCEPTED)
        sock.sendall(b"\x30")  # the beginning of a packet is no packet
        assert receive_exactly(watcher, 15) == publish("wills", "silent")
        assert is_over(sock)


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (PING, b""),
        (b"GET / HTTP/1.0\r\n\r\n", b""),
        (b"\x10\xff\xff\xff\xff\x01", b""),
        (b"\x10\xff\xff\xff\x7f", b""),
        (packet(0x10, text("MQIsdp") + b"\3\2\0\0" + text("a")), b"\x20\2\0\1"),
        (packet(0x10, text("MQTT") + b"\5\2\0\0\0" + text("a")), b"\x20\2\0\1"),
        (hello(flags=0), b"\x20\2\0\2"),
        (packet(0x10, text("MQTT") + b"\4"), b""),
        (packet(0x10, b"\xff\xffMQTT"), b""),
        (hello(will=("a/#", "x")), b""),
        (packet(0x11, hello()[2:]), b""),
    ],
)
def test_who_is_not_let_in(port: int, first: bytes, answer: bytes) -> None:
    with connect("127.0.0.1", port) as sock:
        answers(sock, first, answer)
        assert is_over(sock)


@pytest.mark.parametrize(
    "broken",
    [
        hello(),
        subscribe("a/#/b"),
        subscribe("a+"),
        subscribe(""),
        subscribe("/".join("a" * 100)),
        packet(0x82, b"\0\1"),
        packet(0x80, subscribe("a")[2:]),
        packet(0x82, b"\0\1\0\5abc"),
        publish("a/+"),
        publish(""),
        publish("a\0b"),
        packet(0x30, b"\0\2\xff\xff"),
        packet(0x36, text("a") + b"\0\1"),
        b"\xf0\0",
        b"\x30\x80\x80\x80\x80\x01",
        b"\x30\xff\xff\xff\x7f",
    ],
)
def test_packets_that_end_a_connection(port: int, broken: bytes) -> None:
    with client(port, "wills") as watcher, client(port, will=("wills", "x")) as sock:
        sock.sendall(broken)
        assert is_over(sock)
        assert receive_exactly(watcher, 10) == publish("wills", "x")


def test_packets_in_pieces(port: int) -> None:
    with connect("127.0.0.1", port) as sock:
        for at, byte in enumerate(hello() + subscribe("a") + publish("a", "x" * 200) + BYE):
            sock.sendall(bytes([byte]))
            assert at >= 0
        expected = ACCEPTED + b"\x90\3\0\1\0" + publish("a", "x" * 200)
        assert receive_exactly(sock, len(expected)) == expected
        assert is_over(sock)


def test_too_many_filters_are_refused_one_by_one(port: int) -> None:
    with client(port) as sock:
        for at in range(0, 1000, 100):
            sock.sendall(subscribe(*(f"a/{at + one}" for one in range(100))))
            assert receive_exactly(sock, 104)[4:] == bytes(100)
        answers(sock, subscribe("one/more", "a/1"), b"\x90\4\0\1\x80\0")


def test_a_subscriber_that_does_not_read_misses_messages_and_delays_nobody() -> None:
    with server(NAME) as (program, port), client(port, "a") as good, client(port) as sender:
        nothing_comes(sender)
        open_files = program.open_files()
        with client(port, "a"):
            for _ in range(100):
                message = publish("a", "x" * 200_000)
                answers(sender, message + PING, PONG)
                assert receive_exactly(good, len(message)) == message
        settles(program, open_files, lambda: nothing_comes(sender))


def test_a_client_that_asks_and_does_not_read_is_not_read_and_delays_nobody(port: int) -> None:
    with client(port) as deaf, client(port) as other:
        deaf.settimeout(1.0)
        with pytest.raises(TimeoutError):
            while True:
                deaf.sendall(PING * 1_000_000)
        for _ in range(20):
            nothing_comes(other)


def test_clients_that_leave_in_the_middle() -> None:
    with server(NAME) as (program, port), client(port) as probe:
        nothing_comes(probe)
        open_files = program.open_files()
        for at in range(60):
            sock = connect("127.0.0.1", port)
            sock.sendall((b"\x10", hello()[:-2], hello() + b"\x30\x7f", hello() + subscribe("a"), b"")[at % 5])
            if at % 2:
                reset(sock)
            sock.close()
        settles(program, open_files, lambda: nothing_comes(probe))


def test_ctrl_c_with_many_clients() -> None:
    with ExitStack() as stack:
        with server(NAME) as (_, port):
            clients = [stack.enter_context(client(port, "a", will=("a", "end"))) for _ in range(30)]
            clients[0].sendall(publish("a", "m") * 1000)
            assert receive_exactly(clients[-1], 6) == publish("a", "m")
        for sock in clients:
            assert is_over(sock)
