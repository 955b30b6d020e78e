"""The job queue, against greenstalk and nc, and bytes by hand."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from ..interop.peers import call, connect, needs, pattern, receive_exactly
from .running import answers, is_over, reset, server, settles

NAME = "job_queue.py"


@pytest.fixture
def port() -> Iterator[int]:
    with server(NAME) as (_, port):
        yield port


@contextmanager
def worker(port: int) -> Iterator[socket.socket]:
    with connect("127.0.0.1", port) as sock:
        yield sock


def put(body: bytes, priority: int = 10, delay_s: int = 0, ttr_s: int = 60) -> bytes:
    return b"put %d %d %d %d\r\n%s\r\n" % (priority, delay_s, ttr_s, len(body), body)


def reserved(number: int, body: bytes) -> bytes:
    return b"RESERVED %d %d\r\n%s\r\n" % (number, len(body), body)


def stats(sock: socket.socket) -> dict[str, int]:
    sock.sendall(b"stats\r\n")
    head = b""
    while not head.endswith(b"\r\n"):
        head += receive_exactly(sock, 1)
    text = receive_exactly(sock, int(head.split()[1]) + 2).decode()
    return {name: int(value) for name, value in re.findall(r"^([\w-]+): (\d+)$", text, re.M)}


def becomes(sock: socket.socket, fact: str, value: int) -> None:
    """Ask for the statistics until a fact has this value. The test's time limit ends a vain wait."""
    while stats(sock)[fact] != value:
        pass


# Real clients.


def test_greenstalk(port: int) -> None:
    greenstalk = pytest.importorskip("greenstalk")
    with greenstalk.Client(("127.0.0.1", port), encoding=None) as client:
        body = pattern(1, 60_000)
        low = client.put(b"low", priority=20)
        high = client.put(body, priority=5, ttr=100)
        job = client.reserve(timeout=0)
        assert (job.id, job.body) == (high, body)
        client.touch(job)
        client.release(job, priority=30)
        assert client.reserve().id == low
        job = client.reserve()
        client.bury(job)
        with pytest.raises(greenstalk.TimedOutError):
            client.reserve(timeout=0)
        assert client.kick(10) == 1
        client.delete(client.reserve())
        with pytest.raises(greenstalk.NotFoundError):
            client.delete(high)
        with pytest.raises(greenstalk.JobTooBigError):
            client.put(bytes(70_000))
        assert client.stats()["current-jobs-reserved"] == 1


def test_nc(port: int) -> None:
    done = call([needs("nc"), "-N", "127.0.0.1", str(port)], put(b"hello") + b"reserve\r\ndelete 1\r\nquit\r\n")
    assert done.stdout == b"INSERTED 1\r\n" + reserved(1, b"hello") + b"DELETED\r\n"


# The life of a job.


def test_the_smallest_number_goes_first_and_then_the_oldest(port: int) -> None:
    with worker(port) as sock:
        for at, priority in enumerate([5, 4294967295, 0, 5], 1):
            answers(sock, put(b"%d" % at, priority), b"INSERTED %d\r\n" % at)
        for at in (3, 1, 4, 2):
            answers(sock, b"reserve\r\n", reserved(at, b"%d" % at))


def test_a_job_of_a_worker_whose_connection_dies_goes_back(port: int) -> None:
    with worker(port) as watcher:
        answers(watcher, put(b"job", 7), b"INSERTED 1\r\n")
        for end in (reset, socket.socket.close):
            sock = connect("127.0.0.1", port)
            answers(sock, b"reserve\r\n", reserved(1, b"job"))
            end(sock)
            becomes(watcher, "current-jobs-ready", 1)
        answers(watcher, b"reserve\r\n", reserved(1, b"job"))


def test_a_worker_that_waits_and_leaves_takes_no_job(port: int) -> None:
    with worker(port) as watcher:
        for end in (reset, socket.socket.close):
            sock = connect("127.0.0.1", port)
            sock.sendall(b"reserve\r\n")
            becomes(watcher, "cmd-reserve", 1 if end is reset else 2)
            end(sock)
        answers(watcher, put(b"job"), b"INSERTED 1\r\n")
        answers(watcher, b"reserve-with-timeout 30\r\n", reserved(1, b"job"))


def test_a_job_goes_back_when_its_time_is_over(port: int) -> None:
    with worker(port) as slow, worker(port) as other:
        answers(slow, put(b"job", ttr_s=0), b"INSERTED 1\r\n")  # at least one second
        answers(slow, b"reserve\r\n", reserved(1, b"job"))
        answers(other, b"reserve\r\n", reserved(1, b"job"))
        answers(slow, b"delete 1\r\ntouch 1\r\nrelease 1 0 0\r\nbury 1 0\r\n", b"NOT_FOUND\r\n" * 4)
        assert stats(slow)["job-timeouts"] == 1
        answers(other, b"delete 1\r\n", b"DELETED\r\n")


def test_a_delayed_job_comes_later(port: int) -> None:
    with worker(port) as sock:
        answers(sock, put(b"late", 0, delay_s=1) + put(b"soon", 9), b"INSERTED 1\r\nINSERTED 2\r\n")
        answers(sock, b"reserve\r\n", reserved(2, b"soon"))
        assert stats(sock)["current-jobs-delayed"] == 1
        answers(sock, b"reserve\r\n", reserved(1, b"late"))
        answers(sock, b"release 1 0 1000\r\nkick 5\r\nreserve\r\n", b"RELEASED\r\nKICKED 1\r\n" + reserved(1, b"late"))
        answers(sock, b"delete 1\r\n", b"DELETED\r\n")


def test_each_of_many_waiting_workers_gets_one_job(port: int) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(port)) for _ in range(30)]
        for sock in workers:
            sock.sendall(b"reserve\r\n")
        boss = stack.enter_context(worker(port))
        becomes(boss, "cmd-reserve", 30)
        boss.sendall(b"".join(put(b"%02d" % at) for at in range(30)))
        got = [sock.recv(100) for sock in workers]
        bodies = sorted(answer.split(b"\r\n")[1] for answer in got)
        assert bodies == [b"%02d" % at for at in range(30)]


def test_no_job_is_lost_or_done_twice_while_workers_come_and_go(port: int) -> None:
    count = 100
    with worker(port) as boss:
        for at in range(1, count + 1):
            answers(boss, put(b"%d" % at), b"INSERTED %d\r\n" % at)
        done: list[bytes] = []
        turn = 0
        while len(done) < count:
            turn += 1
            sock = connect("127.0.0.1", port)
            sock.sendall(b"reserve-with-timeout 0\r\n")
            answer = sock.recv(200)
            if answer.startswith(b"RESERVED") and turn % 3:
                answers(sock, b"delete %s\r\n" % answer.split()[1], b"DELETED\r\n")
                done.append(answer.split()[3])
            (reset if turn % 2 else socket.socket.close)(sock)
        assert sorted(map(int, done)) == list(range(1, count + 1))
        becomes(boss, "current-jobs-ready", 0)


# Bytes by hand.


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"put 1 2 3", b"BAD_FORMAT"),
        (b"put a b c d", b"BAD_FORMAT"),
        (b"put 1 0 1 -1", b"BAD_FORMAT"),
        (b"put 99999999999 0 1 1", b"BAD_FORMAT"),
        (b"delete x", b"BAD_FORMAT"),
        (b"reserve 1", b"BAD_FORMAT"),
        (b"reserve-with-timeout", b"BAD_FORMAT"),
        (b"delete 77", b"NOT_FOUND"),
        (b"bury 77 1", b"NOT_FOUND"),
        (b"nonsense", b"UNKNOWN_COMMAND"),
        (b"\xff\xfe", b"UNKNOWN_COMMAND"),
        (b"", b"UNKNOWN_COMMAND"),
    ],
)
def test_wrong_commands(port: int, command: bytes, answer: bytes) -> None:
    with worker(port) as sock:
        answers(sock, command + b"\r\n", answer + b"\r\n")
        answers(sock, put(b"x"), b"INSERTED 1\r\n")


def test_a_line_or_a_body_without_end(port: int) -> None:
    for broken, answer in ((b"x" * 1000, b"BAD_FORMAT\r\n"), (b"put 1 0 1 5\r\nhello!!", b"EXPECTED_CRLF\r\n")):
        with worker(port) as sock:
            answers(sock, broken, answer)
            sock.shutdown(socket.SHUT_WR)
            assert is_over(sock)


def test_a_job_that_is_too_big_and_a_queue_that_is_full() -> None:
    with server(NAME, "--memory", "1", "--job", "600000") as (_, port), worker(port) as sock:
        answers(sock, put(bytes(600_001)), b"JOB_TOO_BIG\r\n")
        answers(sock, put(bytes(600_000)), b"INSERTED 1\r\n")
        answers(sock, put(bytes(600_000)), b"OUT_OF_MEMORY\r\n")
        answers(sock, b"delete 1\r\n", b"DELETED\r\n")
        answers(sock, put(bytes(600_000)), b"INSERTED 2\r\n")


def test_tickets_of_deleted_jobs_do_not_pile_up(port: int) -> None:
    with worker(port) as sock:
        answers(sock, put(b"last", 4294967295), b"INSERTED 1\r\n")
        for start in range(2, 4002, 100):
            commands = b"".join(put(b"x") + b"delete %d\r\n" % at for at in range(start, start + 100))
            answers(sock, commands, b"".join(b"INSERTED %d\r\nDELETED\r\n" % at for at in range(start, start + 100)))
        answers(sock, b"reserve\r\n", reserved(1, b"last"))


def test_commands_behind_a_reserve_wait_for_it(port: int) -> None:
    with worker(port) as sock, worker(port) as boss:
        sock.sendall(b"reserve\r\nstats\r\ndelete 1\r\n")
        becomes(boss, "cmd-reserve", 1)
        answers(boss, put(b"job"), b"INSERTED 1\r\n")
        expected = reserved(1, b"job") + b"OK"
        assert receive_exactly(sock, len(expected)) == expected


def test_broken_and_slow_clients_hurt_nobody() -> None:
    with server(NAME) as (program, port), worker(port) as sock:
        answers(sock, b"reserve-with-timeout 0\r\n", b"TIMED_OUT\r\n")
        open_files = program.open_files()
        with ExitStack() as stack:
            for half in (b"", b"put 1 0 1 100\r\nxxx", b"res", b"put 1 0 1 4000000000\r\n" + bytes(100_000)):
                stack.enter_context(worker(port)).sendall(half)
            deaf = stack.enter_context(worker(port))
            deaf.settimeout(0.5)
            with pytest.raises(TimeoutError):
                while True:
                    deaf.sendall(b"stats\r\n" * 10_000)
            answers(sock, put(b"job"), b"INSERTED 1\r\n")
        settles(program, open_files, lambda: becomes(sock, "current-jobs-ready", 1))


def test_ctrl_c_while_workers_wait_and_work() -> None:
    with ExitStack() as stack:
        with server(NAME) as (_, port):
            boss, waits, works = (stack.enter_context(worker(port)) for _ in range(3))
            answers(boss, put(b"job"), b"INSERTED 1\r\n")
            answers(works, b"reserve\r\n", reserved(1, b"job"))
            waits.sendall(b"reserve\r\n")
            becomes(boss, "cmd-reserve", 2)
        for sock in (waits, works, boss):
            assert is_over(sock)
