"""Each public operation is reported by default if its `yield from` or `await` is forgotten.

tests/threads/test_forgotten.py has the cases.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import signal
import ssl
import sys
import warnings
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from pollers import CHECKING
from socket2 import TLS, TLSListener, run, stream, tcp, threadset, udp
from socket2.threads.native import in_c

IN_C: Any = in_c("_once", "pollers")

reporting = pytest.mark.skipif(
    CHECKING or IN_C is None, reason="only operations in C report it, and none that are checked"
)
pytestmark = [reporting, pytest.mark.skipif(sys.platform == "win32", reason="it uses pipes")]

# A public operation that is called as a bare statement, for each of them.
STATEMENTS = """\
addr("127.0.0.1", 9)
call_in_thread(print)
connect("127.0.0.1", 9)
first(sleep(1), Event.wait())
gather(sleep(1), Event.wait())
getnameinfo(("127.0.0.1", 9))
open_file("any")
recv_fds(local, 1, 1)
run_process(["true"])
send_fds(local, b"x", [0])
serve(print, port=0)
sleep(1)
starttls(Stream, context, server_hostname="localhost")
suspend()
wait_readable(TCP)
wait_writable(TCP)
CapacityLimiter.acquire()
Condition.acquire()
Condition.wait()
Condition.wait_for(lambda: True)
Event.wait()
FdStream.recv(1)
FdStream.recv_into(bytearray(1))
writing.sendall(b"x")
File.close()
File.flush()
File.read()
File.readinto(bytearray(1))
File.readline()
File.readlines()
File.seek(0)
File.tell()
File.truncate()
File.write(b"x")
File.writelines([b"x"])
Lock.acquire()
PriorityQueue.get()
PriorityQueue.put(1)
Process.wait()
Queue.get()
Queue.put(1)
RLock.acquire()
Receiver.receive()
Semaphore.acquire()
Sender.send(1)
Server.listen()
Server.stop()
Server.wait()
Stream.finish()
Stream.peek()
Stream.recv()
Stream.recv_into(bytearray(1))
Stream.recvall()
Stream.recvline()
Stream.recvn(1)
Stream.recvuntil(b"x")
Stream.sendall(b"x")
Stream.sendv([b"x"])
TCP.accept()
TCP.connect("127.0.0.1", 9)
TCP.connect_to(address)
TCP.recv(1)
TCP.recv_into(bytearray(1))
TCP.recvmsg(1)
TCP.send(b"x")
TCP.sendmsg(b"x")
TCP.sendall(b"x")
TCP.sendfile(file)
TLS.end()
TLS.finish()
TLS.handshake()
TLS.recv()
TLS.recv_into(bytearray(1))
TLS.sendall(b"x")
TLSListener.accept()
Thread.join()
UDP.connect("127.0.0.1", 9)
UDP.recv(1)
UDP.recv_into(bytearray(1))
UDP.recvfrom(1)
UDP.recvfrom_into(bytearray(1))
UDP.recvmsg(1)
UDP.sendmsg(b"x", "127.0.0.1", 9)
UDP.send(b"x", "127.0.0.1", 9)
UDP.sendto(b"x", "127.0.0.1", 9)
signals.next()
threadset.join()
""".splitlines()

# They have no operations of their own.
EQUALS = ("RAW", "Socket")


def world(opened: contextlib.ExitStack) -> Generator[Any, None, dict[str, Any]]:
    """Return the names that STATEMENTS use. A class has the name of the object that stands for it."""
    listener = opened.enter_context(tcp())
    listener.listen("127.0.0.1")
    conn = opened.enter_context(tcp())
    yield from conn.connect(*listener.getsockname())
    peer = opened.enter_context((yield from listener.accept()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    reading, writing = socket2.pipe()
    local, other = socket2.socketpair()
    opened.enter_context(other)
    sender, receiver = socket2.channel[int](1)
    names = {name: getattr(socket2, name) for name in socket2.__all__ if name.islower()}
    names |= {
        "CapacityLimiter": socket2.CapacityLimiter(1),
        "Condition": socket2.Condition(),
        "Event": socket2.Event(),
        "FdStream": opened.enter_context(reading),
        "writing": opened.enter_context(writing),
        "File": (yield from socket2.open_file(__file__, "rb")),
        "Lock": socket2.Lock(),
        "PriorityQueue": socket2.PriorityQueue(),
        "Process": socket2.process([sys.executable, "-c", ""]),
        "Queue": socket2.Queue(),
        "RLock": socket2.RLock(),
        "Receiver": receiver,
        "Semaphore": socket2.Semaphore(1),
        "Sender": sender,
        "Server": socket2.Server(print),
        "Stream": stream(conn),
        "TCP": peer,
        "TLS": TLS(conn, context, server_hostname="localhost"),
        "TLSListener": TLSListener(listener, context, None),
        "Thread": socket2.currentthread(),
        "UDP": opened.enter_context(udp()),
        "address": (yield from socket2.addr("127.0.0.1", 9))[0],
        "context": context,
        "file": io.BytesIO(),
        "local": opened.enter_context(local),
        "signals": opened.enter_context(socket2.signals(signal.SIGUSR1)),
        "threadset": opened.enter_context(threadset()),
    }
    return names


def operations() -> set[str]:
    """Return the names of the public operations, by their types."""

    def is_one(made: Any) -> bool:
        for_other_rooms = "For the other rooms" in (getattr(made, "__doc__", None) or "")
        return not for_other_rooms and "Operation[" in str(getattr(made, "__annotations__", {}).get("return"))

    found = set()
    for name in socket2.__all__:
        public = getattr(socket2, name)
        if is_one(public):
            found.add(name)
        own = inspect.isclass(public) and not getattr(public, "_is_protocol", False) and name not in EQUALS
        for method in dir(public) if own else ():
            if not method.startswith("_") and is_one(getattr(public, method)):
                found.add(f"{name}.{method}")
    return found


def test_each_public_operation_is_listed() -> None:
    listed = {one.partition("(")[0].replace("writing", "FdStream") for one in STATEMENTS}
    assert operations() - listed == set(), "add a call to STATEMENTS"


def told_of(statements: list[str], timeout_s: float | None = None) -> dict[str, list[str]]:
    """Run the statements in a thread, and return the reports for each."""
    told: dict[str, list[str]] = {}

    def main() -> Generator[Any, None, None]:
        with contextlib.ExitStack() as opened:
            names = yield from world(opened)
            for sock in (names["TCP"], names["UDP"], names["TLSListener"].sock):
                sock.settimeout(timeout_s)
            for statement in statements:
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    exec(compile(f"\n\n{statement}", "program.py", "exec"), names)
                assert all((one.filename, one.lineno) == ("program.py", 3) for one in caught)
                told[statement] = [str(one.message) for one in caught]
            yield from names["Process"].wait()
            yield from names["File"].close()

    run(main)
    return told


def name_of(statement: str) -> str:
    return statement.partition("(")[0].rpartition(".")[2]


@pytest.mark.parametrize("timeout_s", [None, 1.0])
def test_a_bare_call_is_reported_once_with_its_name_and_its_line(timeout_s: float | None) -> None:
    for statement, told in told_of(STATEMENTS, timeout_s).items():
        (one,) = told
        named, _, rest = one.removeprefix("operation ").partition(" at program.py:3 ")
        assert named.rpartition(".")[2] == name_of(statement)
        assert rest == "was never awaited: is a `yield from` or an `await` missing?"


def test_one_that_is_closed_is_not_reported() -> None:
    closed = [f"{one}.close()" for one in STATEMENTS] + [f"op = {one}; op.close(); op = 1" for one in STATEMENTS]
    assert {statement: told for statement, told in told_of(closed).items() if told} == {}
