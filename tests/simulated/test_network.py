"""The simulated network: time, links that are slow, lossy or down, hosts that crash. Sockets block, and time passes."""

from __future__ import annotations

import errno
import random
import socket
from typing import Any

import pytest

import pollers
from pollers.simulated import Host, Link, Stuck, World

PORT = 7


@pytest.fixture
def world() -> World:
    return World(random.Random(1))


@pytest.fixture
def hosts(world: World) -> tuple[Host, Host]:
    return world.host("10.0.0.1", "fd00::1", name="a"), world.host("10.0.0.2", "fd00::2", name="b")


def links(hosts: tuple[Host, Host]) -> tuple[Link, Link]:
    a, b = hosts
    return a.world.link(a, b), a.world.link(b, a)


def tcp(host: Host, family: int = socket.AF_INET) -> Any:
    return host.socket(family, socket.SOCK_STREAM)


def listening(host: Host, ip: str = "0.0.0.0", port: int = PORT, backlog: int = 10) -> Any:
    sock = tcp(host, socket.AF_INET6 if ":" in ip else socket.AF_INET)
    sock.bind((ip, port))
    sock.listen(backlog)
    return sock


def connected(hosts: tuple[Host, Host]) -> tuple[Any, Any]:
    a, b = hosts
    with listening(b) as listener:
        client = tcp(a)
        client.connect(("10.0.0.2", PORT))
        return client, listener.accept()[0]


def test_a_handshake_and_an_echo_take_the_time_of_the_links(world: World, hosts: tuple[Host, Host]) -> None:
    there, back = links(hosts)
    there.latency_s, back.latency_s = 0.01, 0.03
    begun = world.monotonic()
    client, server = connected(hosts)
    assert world.monotonic() - begun == pytest.approx(0.05), "SYN, SYN ACK and ACK"
    begun = world.monotonic()
    client.sendall(b"ping")
    assert server.recv(10) == b"ping"
    server.sendall(b"pong")
    assert client.recv(10) == b"pong"
    assert world.monotonic() - begun == pytest.approx(0.04)
    assert server.getpeername() == client.getsockname()


def test_bandwidth_limits_what_arrives_in_a_second(world: World, hosts: tuple[Host, Host]) -> None:
    client, server = connected(hosts)
    links(hosts)[0].bandwidth_Bps = 1e6
    begun = world.monotonic()
    client.sendall(bytes(1_000_000))
    left = 1_000_000
    while left:
        left -= len(server.recv(1 << 16))
    assert world.monotonic() - begun == pytest.approx(1, rel=0.01)


def test_a_lossy_link_makes_tcp_slower_and_loses_no_byte(world: World, hosts: tuple[Host, Host]) -> None:
    client, server = connected(hosts)
    links(hosts)[0].loss = 0.3
    begun = world.monotonic()
    sent = bytes(range(256)) * 10
    for at in range(0, len(sent), 100):
        client.sendall(sent[at : at + 100])
    client.shutdown(socket.SHUT_WR)
    got = b""
    while data := server.recv(1 << 16):
        got += data
    assert got == sent
    assert world.monotonic() - begun > 0.2
    assert links(hosts)[0].lost > 0


def test_a_short_partition_is_survived_and_a_long_one_is_not(world: World, hosts: tuple[Host, Host]) -> None:
    client, server = connected(hosts)
    hosts[1].cut()
    client.sendall(b"x")
    world.at(world.monotonic() + 30, hosts[1].mend)
    assert server.recv(10) == b"x"
    hosts[1].cut()
    begun = world.monotonic()
    client.sendall(b"x")
    with pytest.raises(TimeoutError) as gave_up:
        client.recv(10)
    assert gave_up.value.errno == errno.ETIMEDOUT
    assert world.monotonic() - begun == pytest.approx(924.6, abs=1)


def test_a_request_arrives_over_a_link_whose_way_back_is_down(world: World, hosts: tuple[Host, Host]) -> None:
    client, server = connected(hosts)
    links(hosts)[1].up = False
    client.sendall(b"question")
    assert server.recv(10) == b"question"
    server.sendall(b"answer")
    client.settimeout(5)
    with pytest.raises(TimeoutError, match="timed out"):
        client.recv(10)
    links(hosts)[1].up = True
    assert client.recv(10) == b"answer"


def test_connecting_to_a_host_that_is_cut_off_takes_two_minutes(world: World, hosts: tuple[Host, Host]) -> None:
    hosts[1].cut()
    begun = world.monotonic()
    with pytest.raises(TimeoutError):
        tcp(hosts[0]).connect(("10.0.0.2", PORT))
    assert world.monotonic() - begun == pytest.approx(127)


def test_a_lost_syn_comes_again(world: World, hosts: tuple[Host, Host]) -> None:
    listener = listening(hosts[1])
    links(hosts)[0].up = False
    world.at(world.monotonic() + 2, lambda: setattr(links(hosts)[0], "up", True))
    begun = world.monotonic()
    tcp(hosts[0]).connect(("10.0.0.2", PORT))
    assert world.monotonic() - begun == pytest.approx(3)
    listener.accept()


def test_a_crashed_host_is_silent_and_after_its_restart_refuses(world: World, hosts: tuple[Host, Host]) -> None:
    client, server = connected(hosts)
    hosts[1].crash()
    with pytest.raises(OSError, match=r".") as gone:
        server.recv(1)
    assert gone.value.errno == errno.EBADF
    client.sendall(b"x")
    client.settimeout(10)
    with pytest.raises(TimeoutError, match="timed out"):
        client.recv(1)
    hosts[1].restart()
    client.settimeout(None)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        tcp(hosts[0]).connect(("10.0.0.2", PORT))


def test_keepalive_finds_a_dead_peer(world: World, hosts: tuple[Host, Host]) -> None:
    client, _ = connected(hosts)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    begun = world.monotonic()
    world.at(begun + 10_000, hosts[1].crash)
    with pytest.raises(TimeoutError):
        client.recv(1)
    assert world.monotonic() - begun == pytest.approx(7200 * 2 + 9 * 75, abs=80)


def test_datagrams_are_lost_doubled_and_out_of_order(world: World, hosts: tuple[Host, Host]) -> None:
    a, b = (host.socket(socket.AF_INET, socket.SOCK_DGRAM) for host in hosts)
    b.bind(("10.0.0.2", PORT))
    b.setblocking(False)
    link = links(hosts)[0]
    link.latency_s, link.loss, link.duplicate, link.reorder = 0.01, 0.2, 0.2, 0.2
    for number in range(200):
        a.sendto(b"%03d" % number, ("10.0.0.2", PORT))
        world.advance(world.monotonic() + 0.001)
    while world.advance():
        pass
    got = []
    while True:
        try:
            got.append(int(b.recv(10)))
        except BlockingIOError:
            break
    assert set(got) < set(range(200)), "some are lost"
    assert len(got) > len(set(got)), "some came twice"
    assert got != sorted(got)


def test_nothing_that_can_happen_is_an_error_and_not_a_hang(hosts: tuple[Host, Host]) -> None:
    _, server = connected(hosts)
    with pytest.raises(Stuck):
        server.recv(1)


def test_each_host_has_its_own_loopback_interface_and_paths(hosts: tuple[Host, Host]) -> None:
    a, b = hosts
    with listening(a, "127.0.0.1"), listening(b, "127.0.0.1"):
        with pytest.raises(ConnectionRefusedError):
            tcp(b).connect(("10.0.0.1", PORT))
    for host in hosts:
        host.socket(socket.AF_UNIX, socket.SOCK_STREAM).bind("/run/it")
    with pytest.raises(OSError, match="in use"):
        a.socket(socket.AF_UNIX, socket.SOCK_STREAM).bind("/run/it")


def test_an_address_belongs_to_one_host(world: World) -> None:
    world.host("10.0.0.1")
    with pytest.raises(ValueError, match="host0"):
        world.host("10.0.0.1")
    with pytest.raises(ValueError, match="nonsense"):
        world.host("nonsense")


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_a_descriptor_travels_in_a_message(hosts: tuple[Host, Host], kind: int) -> None:
    a, _ = hosts
    (one, other), (near, far) = a.socketpair(socket.AF_UNIX, kind), a.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, other, near:
        control = pollers.control_of(socket.AF_UNIX, fds=[far.fileno()])
        assert pollers.send_message(one, [b"a ", b"socket"], control) == 8
        far.close()
        data, rest, fds, flags, _ = pollers.receive_message(other, 100, 0, 1)
        assert (data, rest, len(fds), flags) == (b"a socket", [], 1, 0)
        with a.poller().adopt(fds[0]) as came:
            came.send(b"works")
            assert near.recv(100) == b"works"
        assert near.recv(100) == b""
        assert set(a.descriptors) == {one.fileno(), other.fileno(), near.fileno()}


def test_descriptors_that_nobody_takes_are_closed(hosts: tuple[Host, Host]) -> None:
    a, _ = hosts
    (one, other), (near, far) = (a.socketpair(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2))
    with near:
        for _ in range(2):
            pollers.send_message(one, [b"x"], pollers.control_of(socket.AF_UNIX, fds=[far.fileno()]))
        far.close()
        assert pollers.receive_message(other, 1, 0, 0)[3] & socket.MSG_CTRUNC
        near.setblocking(False)
        with pytest.raises(BlockingIOError):
            near.recv(1)
        one.close()
        other.close()
        assert near.recv(1) == b"", "the last copy went with the queue it was in"
