"""Datagrams: whole, cut and empty ones, and several that wait."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from pollers import Exhausted, Handle

from .driver import Driver, does


def two(driver: Driver) -> tuple[Handle, Handle]:
    found = []
    for _ in range(2):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        found.append(driver.attach(sock))
    return found[0], found[1]


def test_there_and_back(driver: Driver) -> None:
    one, other = two(driver)
    waiting = driver.spawn(does(other.recvfrom(100)))
    assert not waiting.done
    assert driver.run(does(one.sendto(b"ping", other.sock.getsockname()))) == 4
    data, sender = driver.finish(waiting)[0]
    assert (data, sender) == (b"ping", one.sock.getsockname())
    driver.run(does(other.sendto(b"pong", sender)))
    assert driver.run(does(one.recvfrom(100))) == (b"pong", other.sock.getsockname())


def test_each_datagram_is_one_receive_however_short(driver: Driver) -> None:
    """A short receive does not mean that the queue is empty."""
    one, other = two(driver)
    waiting = driver.spawn(does(other.recvfrom(100)))
    for data in (b"a", b"", b"bb", b"ccc"):
        driver.run(does(one.sendto(data, other.sock.getsockname())))
    got = [driver.finish(waiting)[0][0]] + [driver.run(does(other.recvfrom(100)))[0] for _ in range(3)]
    assert got == [b"a", b"", b"bb", b"ccc"]


def test_too_long_for_the_receiver_is_cut(driver: Driver) -> None:
    one, other = two(driver)
    driver.run(does(one.sendto(b"0123456789", other.sock.getsockname())))
    driver.run(does(one.sendto(b"next", other.sock.getsockname())))
    assert driver.run(does(other.recvfrom(4)))[0] == b"0123"
    buffer = bytearray(10)
    assert driver.run(does(other.recvfrom_into(buffer)))[0] == 4
    assert buffer[:4] == b"next"


def test_too_long_for_the_sender(driver: Driver) -> None:
    one, other = two(driver)
    with pytest.raises(OSError, match=r".") as failure:
        driver.run(does(one.sendto(bytes(70000), other.sock.getsockname())))
    assert failure.value.errno == errno.EMSGSIZE


def test_connected(driver: Driver) -> None:
    one, other = two(driver)
    driver.run(does(one.connect(other.sock.getsockname())))
    assert driver.run(does(one.send(b"x"))) == 1
    assert driver.run(does(other.recv(10))) == b"x"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no UNIX sockets on this system")
def test_a_unix_receiver_whose_queue_is_full(driver: Driver, tmp_path: Path) -> None:
    """No event reports when the queue has room, so sendto raises Exhausted at once, and nothing spins."""
    path = str(tmp_path / "receiver")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(path)
        sender = driver.attach(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sent = 0
        with pytest.raises(Exhausted):
            for sent in range(10_000):
                driver.run(does(sender.sendto(b"%d" % sent, path)))
        assert receiver.recv(100) == b"0"
        assert driver.run(does(sender.sendto(b"again", path))) == 5


def test_refused_is_told_once_and_the_socket_is_well(driver: Driver) -> None:
    one, other = two(driver)
    address = other.sock.getsockname()
    driver.run(does(one.connect(address)))
    other.close()
    waiting = driver.spawn(does(one.recv(10)))
    driver.run(does(one.send(b"anybody?")))
    with pytest.raises(ConnectionRefusedError):
        driver.finish(waiting)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
        late.bind(address)
        driver.run(does(one.send(b"again")))
        late.settimeout(5)
        assert late.recv(10) == b"again"
        late.sendto(b"yes", one.sock.getsockname())
        assert driver.run(does(one.recv(10))) == b"yes"
