"""Byte streams over descriptors: operations that end early."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Any

import pytest

from socket2 import (
    Busy,
    Cancelled,
    Closed,
    bytes_sent,
    fd_stream,
    newthread,
    pipe,
    run,
    sleep,
    stream,
    timeout,
)
from socket2.files import waitable

from ..conftest import descriptors
from ..interop.peers import pattern
from .given import MUCH, Steps, given_pipe

pytestmark = pytest.mark.usefixtures("poller")


@pytest.mark.parametrize("how", ["cancel", "timeout", "settimeout"])
def test_a_receive_that_is_given_up_takes_nothing(way: str, how: str) -> None:
    def main() -> Steps:
        with given_pipe() as (one, other):
            if how == "cancel":
                receiving = newthread(one.recv, 10)
                yield from sleep(0)
                receiving.cancel()
                with pytest.raises(Cancelled):
                    yield from receiving.join()
            elif how == "timeout":
                with pytest.raises(TimeoutError), timeout(0.01):
                    yield from one.recv(10)
            else:
                one.settimeout(0.01, "read")
                assert one.gettimeout() == 0.01
                assert one.gettimeout("write") is None
                with pytest.raises(TimeoutError):
                    yield from one.recv(10)
                one.settimeout(None)
            yield from other.sendall(b"x")
            assert (yield from one.recv(10)) == b"x"

    run(main)


def test_a_send_that_is_given_up_tells_how_much_was_sent(way: str) -> None:
    def main() -> Steps:
        with given_pipe() as (one, other):
            sending = newthread(other.sendall, pattern(0, MUCH))
            yield from sleep(0)
            sending.cancel()
            with pytest.raises(Cancelled) as caught:
                yield from sending.join()
            sent = bytes_sent(caught.value)
            assert 0 < sent < MUCH
            lines = stream(one)
            received = yield from lines.recvn(sent)
            assert received == pattern(0, MUCH)[:sent]
            with pytest.raises(TimeoutError), timeout(0.01):
                yield from lines.recv(1)

    run(main)


def test_a_second_thread_is_refused(way: str) -> None:
    def main() -> Steps:
        with given_pipe() as (one, other):
            receiving = newthread(one.recv, 10, name="the first")
            yield from sleep(0)
            with pytest.raises(Busy, match="'the first' is receiving"):
                yield from one.recv(10)
            sending = newthread(other.sendall, bytes(MUCH), name="the sender")
            yield from receiving.join()
            with pytest.raises(Busy, match="'the sender' is sending"):
                yield from other.sendall(b"x")
            sending.cancel()
            yield from sleep(0)

    run(main)


def test_closing_ends_the_waits(way: str) -> None:
    def main() -> Steps:
        before = descriptors()
        with given_pipe() as (one, other):
            receiving = newthread(one.recv, 10)
            sending = newthread(other.sendall, bytes(10 * MUCH))
            yield from sleep(0)
            with suppress(Busy):
                yield from one.recv(1)
            one.close()
            other.close()
            for thread in (receiving, sending):
                with suppress(BrokenPipeError):
                    try:
                        yield from thread.join()
                    except Closed:
                        pass
            with pytest.raises(Closed):
                yield from one.recv(10)
            with pytest.raises(Closed):
                yield from other.sendall(b"x")
            one.close()
        assert descriptors() == before

    def started() -> Steps:
        yield from sleep(0)
        yield from main()

    run(started)


@pytest.mark.parametrize("disposition", [signal.SIG_IGN, signal.SIG_DFL])
def test_nobody_reads_any_more(way: str, disposition: Any) -> None:
    def main() -> Steps:
        reader, writer = os.pipe()
        os.close(reader)
        with fd_stream(writer) as other:
            with pytest.raises(BrokenPipeError) as caught:
                yield from other.sendall(b"x")
            assert bytes_sent(caught.value) == 0

    before = signal.signal(signal.SIGPIPE, disposition)
    try:
        run(main)
    finally:
        signal.signal(signal.SIGPIPE, before)


def test_the_reader_goes_while_a_thread_waits_to_send() -> None:
    def main() -> Steps:
        one, other = pipe()
        sending = newthread(other.sendall, bytes(MUCH))
        yield from sleep(0)
        one.close()
        with pytest.raises(BrokenPipeError):
            yield from sending.join()
        other.close()

    run(main)


def test_somebody_else_closes_the_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waitable, "LOOK_S", 0.01)

    def main() -> Steps:
        reader, writer = os.pipe()
        one = fd_stream(reader, owned=False)
        receiving = newthread(one.recv, 10)
        yield from sleep(0)
        os.close(reader)
        with pytest.raises(Closed):
            yield from receiving.join()
        one.close()
        os.close(writer)

    run(main)
