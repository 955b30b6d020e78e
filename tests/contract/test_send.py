"""Send: data that fits, data that has to wait, and a peer that has gone."""

from __future__ import annotations

import io
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile

import pytest

from pollers import Busy, Cancelled
from tests.interop.peers import ROOT

from .driver import Driver, Steps, does

FAMILIES = pytest.mark.parametrize("family", ["inet", "unix"])


def drain(driver: Driver, peer: socket.socket, count: int) -> bytes:
    """Receive `count` bytes on a blocking peer while the driver runs."""
    got = bytearray()
    peer.setblocking(False)
    while len(got) < count:
        try:
            data = peer.recv(1 << 16)
        except BlockingIOError:
            driver.turn(0.01)
            continue
        assert data
        got += data
    return bytes(got)


@FAMILIES
def test_what_fits_goes_at_once(driver: Driver, family: str) -> None:
    handle, peer = driver.half(family)
    with peer:
        task = driver.spawn(does(handle.send(b"hello")))
        assert task.done
        assert task.result == 5
        assert peer.recv(10) == b"hello"


@FAMILIES
def test_a_full_buffer_waits_for_room(driver: Driver, family: str) -> None:
    handle, peer = driver.half(family)
    with peer:
        filled = driver.fill(handle)
        task = driver.spawn(does(handle.send(b"more")))
        assert not task.done
        assert driver.turn(0) == 0
        drain(driver, peer, filled)
        assert driver.finish(task) == [4]


@FAMILIES
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_sendall_of_more_than_the_buffers_hold(driver: Driver, family: str, kind: type) -> None:
    handle, peer = driver.half(family)
    data = os.urandom(1 << 20) * 8
    with peer:
        task = driver.spawn(does(handle.sendall(kind(data))))
        assert not task.done
        assert drain(driver, peer, len(data)) == data
        driver.finish(task)


def test_sendall_counts_bytes_not_items(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        driver.run(does(handle.sendall(memoryview(b"abcdefgh").cast("I"))))
        assert peer.recv(100) == b"abcdefgh"


def test_sendall_tells_how_far_it_came(driver: Driver) -> None:
    handle, peer = driver.half()
    data = bytes(1 << 24)
    with peer:
        task = driver.spawn(does(handle.sendall(data)))
        driver.give_up(task)
        assert isinstance(task.error, Cancelled)
        sent: int = task.error.bytes_sent
        assert 0 < sent < len(data)
        handle.close()
        got = 0
        while block := peer.recv(1 << 16):
            got += len(block)
        assert got == sent


def test_a_cancelled_send_has_sent_nothing(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        filled = driver.fill(handle)
        task = driver.spawn(does(handle.send(b"never")))
        driver.give_up(task)
        assert isinstance(task.error, Cancelled)
        handle.close()
        got = b""
        while block := peer.recv(1 << 16):
            got = block
            filled -= len(block)
        assert filled == 0
        assert not got.endswith(b"never")


def test_second_writer_is_refused_and_the_first_lives(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        filled = driver.fill(handle)
        first = driver.spawn(does(handle.send(b"first")))
        for operation in (handle.send(b"second"), handle.sendall(b"second"), handle.wait_writable()):
            assert isinstance(driver.spawn(does(operation)).error, Busy)
        assert drain(driver, peer, filled + 5)[-5:] == b"first"
        assert driver.finish(first) == [5]


def test_wait_writable(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        task = driver.spawn(does(handle.wait_writable()))
        assert task.done
        filled = driver.fill(handle)
        task = driver.spawn(does(handle.wait_writable()))
        assert not task.done
        drain(driver, peer, filled)
        assert driver.finish(task) == [None]


def test_a_peer_that_has_gone_is_an_error(driver: Driver) -> None:
    handle, peer = driver.half()
    peer.close()

    def sender() -> Steps[None]:
        while True:
            yield from handle.sendall(b"is anybody there?")

    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        driver.finish(driver.spawn(sender()))


def test_a_reset_wakes_a_writer(driver: Driver) -> None:
    handle, peer = driver.half()
    driver.fill(handle)
    task = driver.spawn(does(handle.send(b"more")))
    assert not task.done
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        driver.finish(task)


def test_a_writer_that_waits_costs_nothing_while_the_peer_has_shut_down(driver: Driver) -> None:
    """The peer's end of stream stays true forever, and must not wake a writer."""
    handle, peer = driver.half()
    with peer:
        driver.fill(handle)
        task = driver.spawn(does(handle.send(b"more")))
        peer.shutdown(socket.SHUT_WR)
        driver.turn(0.05)
        before = driver.poller.stats().events
        for _ in range(20):
            driver.turn(0.002)
        assert driver.poller.stats().events - before <= 1
        if not task.done:  # the kernel may have found more room
            driver.give_up(task)


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="no SIGPIPE on this system")
def test_never_sigpipe(driver: Driver) -> None:
    """There is no SIGPIPE even if the program has restored the C default for SIGPIPE."""
    program = f"""
import os, signal, socket
from tests.contract.kinds import make
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
one, other = socket.socketpair()
other.close()
handle = make({driver.kind!r}).attach(one)
file = os.open({__file__!r}, os.O_RDONLY)
for operation in (handle.send(b"x"), handle.sendall(b"x"), handle.sendfile(file, 0, 10)):
    try:
        next(iter(operation))
    except BrokenPipeError:
        print("EPIPE")
handle.close()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stdout.split()) == (0, ["EPIPE"] * 3), done.stderr


def test_what_is_no_bytes_is_refused(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        for operation in (handle.send("text"), handle.sendall("text")):  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                driver.run(does(operation))
        driver.run(does(handle.sendall(b"text")))
        assert peer.recv(10) == b"text"


def test_nothing_to_send(driver: Driver) -> None:
    handle, peer = driver.half()
    with peer:
        assert driver.run(does(handle.send(b""))) == 0
        driver.run(does(handle.sendall(b"")))
        driver.run(does(handle.sendall(bytearray())))


@FAMILIES
def test_sendfile(driver: Driver, family: str) -> None:
    if driver.kind == "select" and not hasattr(os, "sendfile"):
        pytest.skip("this system has no sendfile(2)")
    handle, peer = driver.half(family)
    data = os.urandom(3 << 20)
    with peer, tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()

        def sender() -> Steps[int]:
            sent = 0
            while n := (yield from handle.sendfile(file.fileno(), 1000 + sent, len(data))):
                sent += n
            return sent

        task = driver.spawn(sender())
        assert drain(driver, peer, len(data) - 1000) == data[1000:]
        assert driver.finish(task) == [len(data) - 1000]


def test_sendfile_of_what_is_no_file(driver: Driver) -> None:
    handle, peer = driver.half()
    reader, writer = os.pipe()
    try:
        with peer, pytest.raises(io.UnsupportedOperation):
            driver.run(does(handle.sendfile(reader, 0, 10)))
    finally:
        os.close(reader)
        os.close(writer)
