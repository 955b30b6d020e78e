"""The same call in two places: an operation in a thread, and a direct call in a plain script."""

from __future__ import annotations

import errno
import pickle
import socket
import subprocess
import sys
from typing import Any

import pytest

import socket2
from pollers import CHECKING
from socket2 import luasocket
from socket2.luasocket.messages import message_of, system_message
from socket2.threads.scheduler import current_scheduler

from ..interop.peers import LIMIT_S, ROOT

Pair = Any  # in a script a call does not return an operation, whatever its type says


def test_in_a_script_it_is_done_when_it_returns(pair: Pair) -> None:
    assert pair.client.send(b"hello") == (5, None, None)
    assert pair.peer.recv(10) == b"hello"


def test_in_a_thread_nothing_is_done_before_it_is_waited_for(pair: Pair) -> None:
    def main() -> Any:
        sending = pair.client.send(b"hello")
        pair.peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            pair.peer.recv(10)
        assert (yield from sending) == (5, None, None)
        assert pair.peer.recv(10) == b"hello"

    socket2.run(main)


def test_a_generator_and_an_async_def(pair: Pair) -> None:
    def generator() -> Any:
        return (yield from pair.client.receive())

    async def coroutine() -> Any:
        return await pair.client.receive()

    pair.peer.sendall(b"one\ntwo\nthree\n")
    assert socket2.run(generator) == (b"one", None, None)
    assert socket2.run(coroutine) == (b"two", None, None)
    assert socket2.run(pair.client.receive) == (b"three", None, None)


def test_one_object_in_both(pair: Pair) -> None:
    pair.peer.sendall(b"one\ntwo\nthree\n")
    assert pair.client.receive() == (b"one", None, None)
    assert socket2.run(pair.client.receive) == (b"two", None, None)
    assert pair.client.receive() == (b"three", None, None)


def test_a_function_that_a_thread_calls_is_in_the_thread(pair: Pair) -> None:
    def ask() -> Any:
        return pair.client.receive()

    pair.peer.sendall(b"one\ntwo\n")
    assert ask() == (b"one", None, None)

    def main() -> Any:
        return (yield from ask())

    assert socket2.run(main) == (b"two", None, None)


def test_while_a_script_waits_threads_run(pair: Pair) -> None:
    def answer() -> Any:
        yield from luasocket.sleep(0.01)
        pair.peer.sendall(b"answer\n")

    thread = socket2.newthread(answer)
    assert pair.client.receive() == (b"answer", None, None)
    assert thread.done


def test_calls_that_need_not_wait_let_threads_run(pair: Pair) -> None:
    turns: list[int] = []

    def other() -> Any:
        while True:
            turns.append(1)
            yield from luasocket.sleep(0)

    thread = socket2.newthread(other)
    for _ in range(1000):
        assert pair.client.send(b"x") == (1, None, None)
    assert len(turns) > 5
    thread.cancel()
    luasocket.sleep(0)


def test_an_error_of_the_program_raises_in_both(pair: Pair) -> None:
    def main() -> Any:
        with pytest.raises(ValueError, match="invalid receive pattern"):
            pair.client.receive("*x")
        yield from luasocket.sleep(0)

    socket2.run(main)
    with pytest.raises(ValueError, match="invalid receive pattern"):
        pair.client.receive("*x")


def test_in_the_loops_own_callbacks_it_refuses(pair: Pair) -> None:
    """A callback has no thread to wait in, and the loop runs already."""
    told: list[BaseException] = []

    def callback() -> None:
        try:
            pair.client.receive()
        except RuntimeError as error:
            told.append(error)

    current_scheduler().post(callback)
    luasocket.sleep(0.001)
    assert "already running" in str(told[0])
    pair.peer.sendall(b"well\n")
    assert pair.client.receive() == (b"well", None, None)


def test_ctrl_c_ends_a_call_of_a_script() -> None:
    program = """
import os, signal, socket2
from socket2 import luasocket as socket
def interrupt():
    yield from socket.sleep(0.01)
    os.kill(os.getpid(), signal.SIGINT)
server, _ = socket.bind("127.0.0.1", 0)
socket2.newthread(interrupt)
try:
    server.accept()
except KeyboardInterrupt:
    server.settimeout(0)
    print(*server.accept())
server.close()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, timeout=LIMIT_S, check=False
    )
    assert done.stdout == b"None timeout\n", done.stderr.decode()


# A forgotten `yield from`.


def taken_apart(pair: Pair) -> Any:
    _data, _err, _partial = pair.client.receive()
    yield


def starred(pair: Pair) -> Any:
    luasocket.try_(*pair.client.receive())
    yield


def iterated(pair: Pair) -> Any:
    for _ in pair.client.receive():
        pass
    yield


def tried(pair: Pair) -> Any:
    luasocket.try_(pair.client.receive())
    yield


@pytest.mark.parametrize("mistake", [taken_apart, starred, iterated, tried])
def test_a_missing_yield_from_raises(pair: Pair, mistake: Any) -> None:
    """It always raises, since programs unpack the result. With checking on, it raises before anything is lost."""
    pair.peer.sendall(b"line\n")
    if CHECKING or mistake is tried:
        with pytest.raises(TypeError, match="`yield from`"):
            socket2.run(mistake, pair)
        assert pair.client.receive() == (b"line", None, None)
    else:
        with pytest.raises((TypeError, ValueError, RuntimeError)):
            socket2.run(mistake, pair)


@pytest.mark.skipif(not CHECKING, reason="reported only with SOCKET2_CHECK=1")
def test_a_call_that_nobody_waits_for_is_told(pair: Pair) -> None:
    def main() -> Any:
        pair.client.send(b"x")
        yield from luasocket.sleep(0)

    with pytest.warns(RuntimeWarning, match=r"send made at .*test_calls.py:\d+ was never awaited"):
        socket2.run(main)


# Messages.


def test_a_message_is_text_and_has_the_number() -> None:
    message = luasocket.Message("closed", 104)
    assert message == "closed"
    assert (message.errno, luasocket.Message("timeout").errno) == (104, None)
    copy = pickle.loads(pickle.dumps(message))
    assert (copy, copy.errno) == (message, 104)
    assert {"closed": 1}[message] == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("EPIPE", "closed"),
        ("ECONNRESET", "closed"),
        ("ECONNABORTED", "closed"),
        ("ETIMEDOUT", "timeout"),
        ("EADDRINUSE", "address already in use"),
        ("EISCONN", "already connected"),
        ("EACCES", "permission denied"),
        ("ECONNREFUSED", "connection refused"),
        ("EHOSTUNREACH", "No route to host"),
        ("ENETUNREACH", "Network is unreachable"),
    ],
)
def test_spelling(name: str, text: str) -> None:
    number = getattr(errno, name)
    message = message_of(OSError(number, "any"))
    assert (message, message.errno) == (text, number)


def test_spelling_of_what_has_no_number() -> None:
    assert message_of(TimeoutError()) == message_of(TimeoutError("a long story")) == "timeout"
    assert message_of(socket2.Closed()) == "closed"
    assert message_of(OSError("AF_UNIX path too long")) == "AF_UNIX path too long"
    assert system_message(OSError("text only")) == "text only"
    with pytest.raises(socket2.Busy):
        message_of(socket2.Busy())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("EAI_NONAME", "host or service not provided, or not known"),
        ("EAI_AGAIN", "temporary failure in name resolution"),
        ("EAI_FAIL", "non-recoverable failure in name resolution"),
        ("EAI_SERVICE", "service not supported for socket type"),
    ],
)
def test_spelling_of_look_ups(name: str, text: str) -> None:
    assert message_of(socket.gaierror(getattr(socket, name), "any")) == text
    assert message_of(socket.gaierror(12345, "something else")) == "something else"
