"""Ctrl-C and other signals, in programs of their own."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="POSIX signals")

PRELUDE = """
import os, signal, socket2, sys, threading, time
from socket2 import Cancelled, newthread, run, sleep, start, suspend
def say(*words): os.write(1, (" ".join(map(str, words)) + "\\n").encode())  # print() must not be entered twice
"""


class Program:
    """A Python program that reports its progress line by line."""

    def __init__(self, text: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-c", PRELUDE + text],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a CI system may ignore it
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def kill(self, number: int) -> None:
        os.kill(self.process.pid, number)

    def end(self) -> tuple[int, list[str], str]:
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out.split("\n")[:-1], err


@pytest.fixture
def programs() -> Iterator[list[Program]]:
    made: list[Program] = []
    yield made
    for program in made:
        program.process.kill()
        program.process.communicate()


def begin(programs: list[Program], text: str) -> Program:
    program = Program(text)
    programs.append(program)
    assert program.line() == "ready"
    return program


IDLE = """
def main():
    say("ready")
    try:
        with socket2.tcp() as listener:
            listener.listen("127.0.0.1", 0)
            yield from listener.accept()
    except Cancelled:
        say("main may clean up", "and wait")
        yield from sleep(0.001)
        raise
try:
    run(main)
except KeyboardInterrupt:
    say("interrupted")
"""


def test_ctrl_c_while_idle_is_prompt(programs: list[Program]) -> None:
    program = begin(programs, IDLE)
    begun = time.monotonic()
    program.kill(signal.SIGINT)
    assert program.line() == "main may clean up and wait"
    assert program.line() == "interrupted"
    assert time.monotonic() - begun < 10
    assert program.end() == (0, [], "")


def test_ctrl_c_in_start_leaves_the_threads_as_they_were(programs: list[Program]) -> None:
    program = begin(
        programs,
        """
interrupted = False
def worker():
    yield from sleep(0)  # until the loop runs
    say("ready")
    while not interrupted:
        yield from sleep(0.01)
    say("went on")
newthread(worker)
try:
    start()
except KeyboardInterrupt:
    interrupted = True
    say("interrupted")
start()
""",
    )
    program.kill(signal.SIGINT)
    assert program.end() == (0, ["interrupted", "went on"], "")


def test_a_second_ctrl_c_interrupts_a_thread_that_never_waits(programs: list[Program]) -> None:
    program = begin(
        programs,
        """
def main():
    say("ready")
    while True:
        pass
    yield
try:
    run(main)
except KeyboardInterrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    say("interrupted")
""",
    )
    assert program.process.stdout is not None
    for _ in range(100):
        program.kill(signal.SIGINT)
        if select.select([program.process.stdout], [], [], 0.2)[0]:
            break
    assert program.end() == (0, ["interrupted"], "")


def test_ctrl_c_interrupts_the_program_outside_the_loop_as_ever(programs: list[Program]) -> None:
    program = begin(
        programs,
        """
run(lambda: None)
try:
    say("ready")
    time.sleep(20)
except KeyboardInterrupt:
    say("interrupted")
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert signal.set_wakeup_fd(-1) == -1
""",
    )
    program.kill(signal.SIGINT)
    assert program.end() == (0, ["interrupted"], "")


def test_a_handler_of_ones_own_is_called_and_may_stop_the_loop(programs: list[Program]) -> None:
    for name in ("SIGTERM", "SIGINT"):
        program = begin(
            programs,
            f"""
signal.signal(signal.{name}, lambda number, frame: (say("handler"), socket2.stop()))
def worker():
    say("ready")
    yield from sleep(1000)
newthread(worker)
say("stopped", start())
assert signal.getsignal(signal.{name}) is not signal.default_int_handler
""",
        )
        program.kill(getattr(signal, name))
        assert program.end() == (0, ["handler", "stopped True"], "")


def test_a_signal_may_resume_a_thread(programs: list[Program]) -> None:
    program = begin(
        programs,
        """
def ticker():
    yield from sleep(0)  # until main is suspended
    say("ready")
    while True:
        yield from sleep(1000)
def main():
    me = socket2.currentthread()
    signal.signal(signal.SIGUSR1, lambda number, frame: socket2.resume(me, number))
    ticking = newthread(ticker)
    assert (yield from suspend()) == signal.SIGUSR1
    ticking.cancel()
    say("resumed")
run(main)
""",
    )
    program.kill(signal.SIGUSR1)
    assert program.end() == (0, ["resumed"], "")


def test_no_signal_is_lost_that_comes_just_before_the_wait(programs: list[Program]) -> None:
    """A hundred signals, each awaited before the next. The test hangs if one is lost between the check and the wait."""
    program = begin(
        programs,
        """
count = 0
def handler(number, frame):
    global count
    count += 1
    say(count)
signal.signal(signal.SIGUSR1, handler)
def main():
    say("ready")
    while count < 100:
        yield from sleep(1000 if count % 2 else 0)
        time.sleep(0)
def watcher():
    while count < 100:
        yield from sleep(0.002)
thread = newthread(main)
newthread(watcher)
while count < 100:
    socket2.poll(0.5)
thread.cancel()
start()
""",
    )
    for number in range(1, 101):
        program.kill(signal.SIGUSR1)
        assert program.line() == str(number)
    assert program.end() == (0, [], "")


def test_the_loop_in_another_os_thread_leaves_signals_alone(programs: list[Program]) -> None:
    program = begin(
        programs,
        """
def other():
    def main():
        yield from sleep(0.3)
    run(main)
    socket2.threads.member.current_member().close()
thread = threading.Thread(target=other)
thread.start()
try:
    say("ready")
    time.sleep(20)
except KeyboardInterrupt:
    say("interrupted")
thread.join()
""",
    )
    program.kill(signal.SIGINT)
    assert program.end() == (0, ["interrupted"], "")


def test_another_interpreter_has_a_loop_and_no_signals(programs: list[Program]) -> None:
    program = begin(
        programs,
        """
import importlib
try:
    interpreters = importlib.import_module("_interpreters")
except ImportError:
    interpreters = importlib.import_module("_xxsubinterpreters")
code = \'\'\'
import os, pollers, socket2
def echo(listener):
    with (yield from listener.accept()) as conn:
        yield from conn.sendall((yield from conn.recv(10)))
def main():
    with socket2.tcp() as listener, socket2.tcp() as client:
        listener.listen("127.0.0.1", 0)
        socket2.newthread(echo, listener)
        yield from client.connect(*listener.getsockname())
        yield from client.sendall(b"hello")
        return (yield from client.recv(10))
os.write(1, socket2.run(main) + b"\\\\n")
\'\'\'
say("ready")
for _ in range(3):
    interpreter = interpreters.create()
    failure = interpreters.run_string(interpreter, code)
    if failure:
        say(failure)
    interpreters.destroy(interpreter)
exec(code)
""",
    )
    assert program.end() == (0, ["hello"] * 4, "")
