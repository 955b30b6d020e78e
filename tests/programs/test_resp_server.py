"""The RESP server, against redis-cli, redis-benchmark and redis-py, and bytes by hand."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest

from ..interop.peers import LIMIT_S, Program, beside, call, connect, needs, python, receive_all, receive_exactly
from .running import EXAMPLES, answers, is_over, reset, server, settles

NAME = "resp_server.py"


@pytest.fixture
def port() -> Iterator[int]:
    with server(NAME) as (_, port):
        yield port


def cli(port: int, *args: str) -> str:
    return call([needs("redis-cli", "redis-tools"), "-p", str(port), *args]).stdout.decode().strip()


# Real clients.


def test_redis_cli(port: int) -> None:
    assert cli(port, "ping") == "PONG"
    assert cli(port, "echo", "a b") == "a b"
    assert cli(port, "set", "key", "value", "ex", "100") == "OK"
    assert cli(port, "get", "key") == "value"
    assert cli(port, "ttl", "key") == "100"
    assert cli(port, "set", "key", "other", "nx") == ""
    assert cli(port, "exists", "key", "key", "none") == "2"
    assert [cli(port, "incr", "n") for _ in range(3)] == ["1", "2", "3"]
    assert "not an integer" in cli(port, "incr", "key")
    assert sorted(cli(port, "keys", "*").split()) == ["key", "n"]
    assert cli(port, "expire", "n", "100") == "1"
    assert cli(port, "del", "key", "n", "none") == "2"
    assert cli(port, "ttl", "n") == "-2"
    assert "unknown command" in cli(port, "flushall")
    assert "wrong number" in cli(port, "get")


def test_redis_cli_subscribes(port: int) -> None:
    with Program([needs("redis-cli", "redis-tools"), "-p", str(port), "subscribe", "news"]) as subscriber:
        subscriber.announced("^1$")
        assert cli(port, "publish", "news", "first") == "1"
        assert cli(port, "publish", "other", "first") == "0"
        subscriber.announced("^first$")


def test_redis_benchmark(port: int) -> None:
    command = [needs("redis-benchmark", "redis-tools"), "-p", str(port), "-q", "-n", "2000", "-c", "20", "-P", "8"]
    done = subprocess.run([*command, "-t", "ping,set,get,incr"], capture_output=True, timeout=LIMIT_S, check=True)
    assert done.stdout.count(b"requests per second") == 5
    assert b"ERR" not in done.stdout


def test_redis_py(port: int) -> None:
    redis = pytest.importorskip("redis")
    with redis.Redis(port=port, protocol=2) as client:
        assert client.set("key", b"\0\r\n\xff", px=60_000)
        assert client.get("key") == b"\0\r\n\xff"
        assert client.set("key", "other", nx=True) is None
        with client.pipeline(transaction=False) as pipe:
            pipe.execute_command("INCR", "n").execute_command("INCR", "n")
            assert pipe.delete("n").exists("n").execute() == [1, 2, 1, 0]
        with client.pubsub() as listening:
            listening.subscribe("a", "b")
            assert [listening.get_message(timeout=LIMIT_S)["data"] for _ in range(2)] == [1, 2]
            assert client.publish("b", "hello") == 1
            assert listening.get_message(timeout=LIMIT_S)["data"] == b"hello"
            listening.unsubscribe("a")
            assert listening.get_message(timeout=LIMIT_S)["data"] == 1


# Bytes by hand.


def test_pipelined_and_in_pieces(port: int) -> None:
    commands = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nget\r\n$1\r\na\r\nPING\r\n\r\nping x\r\n"
    expected = b"+OK\r\n$2\r\n\r\n\r\n+PONG\r\n$1\r\nx\r\n"
    with connect("127.0.0.1", port) as sock:
        answers(sock, commands, expected)
        for at in range(len(commands)):
            sock.sendall(commands[at : at + 1])
        assert receive_exactly(sock, len(expected)) == expected
        answers(sock, b"PING\r\nPI", b"+PONG\r\n")  # a whole command is answered before the next one is whole
        answers(sock, b"NG\r\nQUIT\r\nPING\r\n", b"+PONG\r\n+OK\r\n")
        assert is_over(sock)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (b"*1\r\n:1\r\n", b"-ERR Protocol error: expected '$'\r\n"),
        (b"*1\r\n$99999999999\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$999999999\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1\r\n$-1\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"*1000000\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*-5\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"x" * 100_000, b"-ERR Protocol error: too big inline request\r\n"),
    ],
)
def test_what_is_not_resp_ends_the_connection(port: int, request_: bytes, error: bytes) -> None:
    with connect("127.0.0.1", port) as sock:
        answers(sock, b"PING\r\n" + request_, b"+PONG\r\n" + error)
        assert is_over(sock)


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (b"set a 1 ex 0", b"-ERR invalid expire time in 'set' command\r\n"),
        (b"set a 1 ex x", b"-ERR value is not an integer or out of range\r\n"),
        (b"set a 1 ex 1 px 1", b"-ERR syntax error\r\n"),
        (b"set a 1 ex", b"-ERR syntax error\r\n"),
        (b"set a", b"-ERR wrong number of arguments for 'set' command\r\n"),
        (b"\x1b[2J", b"-ERR unknown command '[2j'\r\n"),
        (b"keys " + b"*a" * 1000, b"-ERR pattern is too long\r\n"),
    ],
)
def test_wrong_commands(port: int, command: bytes, error: bytes) -> None:
    with connect("127.0.0.1", port) as sock:
        answers(sock, command + b"\r\n", error)
        answers(sock, b"PING\r\n", b"+PONG\r\n")


def test_counters_end_at_64_bits(port: int) -> None:
    with connect("127.0.0.1", port) as sock:
        answers(sock, b"set n 9223372036854775806\r\nincr n\r\n", b"+OK\r\n:9223372036854775807\r\n")
        answers(sock, b"incr n\r\n", b"-ERR value is not an integer or out of range\r\n")
        answers(sock, b"get n\r\n", b"$19\r\n9223372036854775807\r\n")


def test_keys_by_globs(port: int) -> None:
    with connect("127.0.0.1", port) as sock:
        for key in (b"one", b"two", b"t*o", b"t^o"):
            answers(sock, b"set %s 1\r\n" % key, b"+OK\r\n")
        for glob, keys in (
            (b"[^t]*", [b"one"]),
            (b"t\\*o", [b"t*o"]),
            (b"?ne", [b"one"]),
            (b"t[^w]o", [b"t*o", b"t^o"]),
        ):
            found = b"".join(b"$%d\r\n%s\r\n" % (len(key), key) for key in keys)
            answers(sock, b"keys %s\r\n" % glob, b"*%d\r\n%s" % (len(keys), found))


def test_keys_expire_whether_asked_for_or_not(port: int) -> None:
    with connect("127.0.0.1", port) as sock:
        answers(sock, b"set a 1 px 1\r\nset b 1 px 1\r\nset c 1 ex 100\r\n", b"+OK\r\n" * 3)
        while True:
            sock.sendall(b"exists a b c\r\n")
            if receive_exactly(sock, 4) == b":1\r\n":
                break
        answers(sock, b"ttl a\r\nset a 1\r\nttl a\r\n", b":-2\r\n+OK\r\n:-1\r\n")
        answers(sock, b"expire a 0\r\nget a\r\n", b":1\r\n$-1\r\n")


def test_the_memory_is_limited() -> None:
    with server(NAME, "--memory", "1") as (_, port), connect("127.0.0.1", port) as sock:
        value = bytes(700_000)
        command = b"*3\r\n$3\r\nSET\r\n$1\r\n%s\r\n$700000\r\n" + value + b"\r\n"
        answers(sock, command.replace(b"%s", b"a"), b"+OK\r\n")
        sock.sendall(command.replace(b"%s", b"b"))
        assert receive_exactly(sock, 4) == b"-OOM"
        receive_exactly(sock, len(b" command not allowed when used memory > 'maxmemory'.\r\n"))
        answers(sock, command.replace(b"%s", b"a"), b"+OK\r\n")  # the same size again
        answers(sock, b"del a\r\n", b":1\r\n")
        answers(sock, command.replace(b"%s", b"b"), b"+OK\r\n")


def test_a_client_that_does_not_read_is_not_read_and_delays_nobody(port: int) -> None:
    with connect("127.0.0.1", port) as deaf, connect("127.0.0.1", port) as other:
        answers(other, b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$65536\r\n" + bytes(65536) + b"\r\n", b"+OK\r\n")
        deaf.settimeout(1.0)
        with pytest.raises(TimeoutError):
            for _ in range(10_000):
                deaf.sendall(b"get a\r\n" * 1000)
        for _ in range(20):
            answers(other, b"ping\r\n", b"+PONG\r\n")


def test_a_subscriber_that_does_not_read_is_dropped() -> None:
    with server(NAME) as (program, port), connect("127.0.0.1", port) as other:
        answers(other, b"ping\r\n", b"+PONG\r\n")
        open_files = program.open_files()
        with connect("127.0.0.1", port) as deaf, connect("127.0.0.1", port) as good:
            for sock in (deaf, good):
                answers(sock, b"subscribe a\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
            message = b"*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$65536\r\n" + bytes(65536) + b"\r\n"
            received = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$65536\r\n" + bytes(65536) + b"\r\n"
            deadline = monotonic() + LIMIT_S
            answer = b""
            while answer != b":1\r\n":
                assert monotonic() < deadline
                other.sendall(message)
                answer = receive_exactly(other, 4)
                assert receive_exactly(good, len(received)) == received
            assert is_over(deaf)
        settles(program, open_files, lambda: answers(other, b"ping\r\n", b"+PONG\r\n"))


def test_a_subscriber_may_only_subscribe(port: int) -> None:
    with connect("127.0.0.1", port) as sock:
        answers(sock, b"subscribe a\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
        answers(sock, b"ping\r\n", b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
        sock.sendall(b"get a\r\n")
        assert receive_exactly(sock, 30) == b"-ERR Can't execute 'get': only"
        receive_exactly(sock, len(b" (UN)SUBSCRIBE / PING / QUIT are allowed\r\n"))
        answers(sock, b"unsubscribe\r\n", b"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n")
        answers(sock, b"get a\r\n", b"$-1\r\n")


def test_clients_that_leave_in_the_middle() -> None:
    with server(NAME) as (program, port), connect("127.0.0.1", port) as probe:
        answers(probe, b"ping\r\n", b"+PONG\r\n")
        open_files = program.open_files()
        for at in range(60):
            sock = connect("127.0.0.1", port)
            sock.sendall((b"*2\r\n$4\r\nECHO\r\n$100\r\nxx", b"subscribe a\r\n", b"*", b"")[at % 4])
            if at % 8 < 4:
                reset(sock)
            sock.close()
        settles(program, open_files, lambda: answers(probe, b"ping\r\n", b"+PONG\r\n"))


def test_many_clients_and_a_limit() -> None:
    with server(NAME, "--clients", "50") as (_, port), ExitStack() as stack:
        socks = [stack.enter_context(connect("127.0.0.1", port)) for _ in range(60)]
        for sock in socks:
            sock.sendall(b"incr n\r\n")
        for sock in socks[:50]:
            assert receive_exactly(sock, 1) == b":"
        for sock in socks[:20]:
            sock.close()
        for sock in socks[50:]:
            assert receive_exactly(sock, 1) == b":"


def test_a_stop_answers_what_has_come() -> None:
    with server(NAME) as (program, port):
        with connect("127.0.0.1", port) as sock, connect("127.0.0.1", port) as subscriber:
            answers(subscriber, b"subscribe a\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
            answers(sock, b"ping\r\n", b"+PONG\r\n")
            with beside(receive_all, sock) as receiving:
                sock.sendall(b"ping\r\n" * 10_000)
                program.send_signal(signal.SIGINT)
            assert receiving.outcome() == b"+PONG\r\n" * 10_000
            assert is_over(subscriber)
        assert program.wait() == 0


def test_ctrl_c_while_it_is_busy() -> None:
    """A client that floods the server without reading does not hold up its end."""
    with server(NAME) as (_, port):
        deaf = connect("127.0.0.1", port)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.settimeout(0.3)
        with pytest.raises(TimeoutError):
            while True:
                deaf.sendall(b"ping\r\n" * 10_000)
    deaf.close()


@pytest.mark.parametrize(
    "option", [["--port", "99999"], ["--clients", "0"], ["--grace", "-1"], ["--host", "192.0.2.1"]]
)
@pytest.mark.parametrize("name", ["resp_server.py", "socks5_server.py", "job_queue.py", "mqtt_broker.py"])
def test_wrong_options_are_said(name: str, option: list[str]) -> None:
    with python(EXAMPLES / name, "--port", "0", *option) as program:
        assert program.wait() == 1
        assert re.fullmatch(rb"cannot listen on [^\n]+\n", program.stderr())
