"""Connect: to a listener, to nobody, to a listener with a full queue."""

from __future__ import annotations

import errno
import socket
import struct
from pathlib import Path

import pytest

from pollers import Cancelled, Exhausted

from ..interop.peers import refusing
from .driver import Driver, does


def test_connect_and_talk(driver: Driver) -> None:
    listener, address = driver.listener()
    client = driver.attach(socket.socket())
    accepting = driver.spawn(does(listener.accept()))
    driver.run(does(client.connect(address)))
    server, peer = driver.finish(accepting)[0]
    assert peer == client.sock.getsockname()
    driver.run(does(client.sendall(b"hello")))
    assert driver.run(does(server.recv(10))) == b"hello"
    server.close()


def test_nobody_listens(driver: Driver) -> None:
    client = driver.attach(socket.socket())
    with refusing() as port, pytest.raises(ConnectionRefusedError):
        driver.run(does(client.connect(("127.0.0.1", port))))


def test_what_ended_an_earlier_attempt_is_no_matter_of_the_next(driver: Driver) -> None:
    listener, address = driver.listener()
    client = driver.attach(socket.socket())
    client.told(ConnectionRefusedError(errno.ECONNREFUSED, "told to somebody else"))
    driver.run(does(client.connect(address)))
    server, _ = driver.run(does(listener.accept()))
    driver.run(does(server.sendall(b"hello")))
    assert driver.run(does(client.recv(10))) == b"hello"
    server.sock.shutdown(socket.SHUT_WR)
    assert driver.run(does(client.recv(10))) == b""
    driver.run(does(client.sendall(b"x")))
    assert driver.run(does(server.recv(10))) == b"x"
    server.close()


def test_connected_already(driver: Driver) -> None:
    _, address = driver.listener()
    client = driver.attach(socket.socket())
    driver.run(does(client.connect(address)))
    with pytest.raises(OSError, match=r".") as failure:
        driver.run(does(client.connect(address)))
    assert failure.value.errno == errno.EISCONN


def test_reader_and_connect_at_once(driver: Driver) -> None:
    """Both directions of a connecting socket wait, and each gets its own outcome."""
    listener, address = driver.listener()
    client = driver.attach(socket.socket())
    driver.run(does(client.connect(address)))
    reading = driver.spawn(does(client.recv(10)))
    server, _ = driver.run(does(listener.accept()))
    driver.run(does(server.sendall(b"hello")))
    assert driver.finish(reading) == [b"hello"]
    server.close()


def full_listener(driver: Driver) -> tuple[socket.socket, list[socket.socket]]:
    """Return a TCP listener whose queue is full, so that the next connect has to wait."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


def test_a_connect_that_has_to_wait_can_be_cancelled(driver: Driver) -> None:
    listener, fillers = full_listener(driver)
    with listener:
        client = driver.attach(socket.socket())
        task = driver.spawn(does(client.connect(listener.getsockname())))
        assert not task.done
        assert driver.turn(0) == 0
        assert driver.cancel(task)
        driver.turn(0)
        assert isinstance(task.error, Cancelled)
        client.close()
        for filler in fillers:
            filler.close()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no UNIX sockets on this system")
def test_unix_path_and_a_queue_that_is_full(driver: Driver, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        clients = [driver.attach(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        driver.run(does(clients[0].connect(path)))
        with pytest.raises(Exhausted):
            driver.run(does(clients[1].connect(path)))
        listener.accept()[0].close()
        driver.run(does(clients[1].connect(path)))


def test_unix_path_where_nobody_is(driver: Driver, tmp_path: Path) -> None:
    client = driver.attach(socket.socket(socket.AF_UNIX))
    with pytest.raises(FileNotFoundError):
        driver.run(does(client.connect(str(tmp_path / "nobody"))))


IP_LOCAL_PORT_RANGE = 51  # ip(7): since Linux 6.3


def test_connected_to_itself_by_chance(driver: Driver) -> None:
    """Nobody listens there, and the kernel chooses that very port for the socket."""
    sock = socket.socket()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    client = driver.attach(sock)
    try:
        sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("I", address[1] << 16 | address[1]))
    except OSError:
        pytest.skip("a port cannot be chosen on this system")
    task = driver.spawn(does(client.connect(address)))
    driver.until(lambda: task.done)
    assert isinstance(task.error, ConnectionRefusedError)


def test_connected_to_itself_on_purpose(driver: Driver) -> None:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    client = driver.attach(sock)
    driver.run(does(client.connect(sock.getsockname())))
    driver.run(does(client.sendall(b"hello")))
    assert driver.run(does(client.recv(10))) == b"hello"
