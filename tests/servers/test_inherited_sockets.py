"""Sockets of every kind that a service manager has passed on, by name and by address."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from socket2 import TCP, UDP, InheritedSockets, inherited_listeners, inherited_sockets, newthread, run, udp

from ..interop.peers import LIMIT_S, ROOT, Program
from .test_inherited_listeners import passed
from .test_server import needs_descriptors

pytestmark = needs_descriptors

Steps = Generator[Any, Any, Any]


def bound(kind: int = socket.SOCK_DGRAM) -> socket.socket:
    sock = socket.socket(socket.AF_INET, kind)
    sock.bind(("127.0.0.1", 0))
    return sock


def test_each_kind_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    dns, more, web = bound(), bound(), socket.create_server(("127.0.0.1", 0))
    one, other = socket.socketpair()
    addresses = [sock.getsockname() for sock in (dns, more, web)]
    with other, passed(monkeypatch, dns, web, one, more, names="dns:web:conn:dns"), inherited_sockets() as found:
        assert not {"LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"} & os.environ.keys()
        assert found.names == ["dns", "web", "conn", "dns"]
        assert inherited_sockets().names == []
        assert inherited_listeners() == []
        assert not [*found.datagrams("web"), *found.listeners("dns"), *found.connections("web")]
        datagrams, listeners, connections = found.datagrams("dns"), found.listeners(), found.connections()
        assert found.names == []
        assert found.datagrams() == []
        assert [type(sock) for sock in (*datagrams, *listeners, *connections)] == [UDP, UDP, TCP, TCP]
        assert [sock.getsockname() for sock in (*datagrams, *listeners)] == addresses
        assert not any(os.get_inheritable(sock.fileno()) for sock in (*datagrams, *listeners, *connections))

        async def main() -> None:
            with udp() as client:
                waiting = newthread(datagrams[1].recvfrom(100))
                await client.sendto(b"question", addresses[1])
                data, sender = await waiting.join()
                await datagrams[1].sendto(data.upper(), sender)
                assert await client.recv(100) == b"QUESTION"
            other.sendall(b"hello")
            assert await connections[0].recv(100) == b"hello"

        run(main)
        for sock in (*datagrams, *listeners, *connections):
            sock.close()


def test_by_address_and_without_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dns, more, local = bound(), bound(), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    local.bind(str(tmp_path / "s"))
    address = more.getsockname()
    with passed(monkeypatch, dns, more, local, names="first"):
        found = inherited_sockets()
    assert found.names == ["first", "unknown", "unknown"]
    assert found.datagrams(address=("127.0.0.1", 9)) == []
    taken = found.datagrams(address=address)
    assert [sock.getsockname() for sock in taken] == [address]
    assert found.names == ["first", "unknown"]
    taken += found.datagrams(address=str(tmp_path / "s"))
    assert taken[-1].family == "unix"
    assert "first <UDP" in repr(found)
    for sock in taken:
        sock.close()
    found.close()
    found.close()
    assert found.names == []
    assert (tmp_path / "s").is_socket()  # it is the service manager's


def test_nothing_was_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    with inherited_sockets() as found:
        assert isinstance(found, InheritedSockets)
        assert (found.names, found.listeners(), found.datagrams(), found.connections()) == ([], [], [], [])
        assert repr(found) == "<InheritedSockets, not taken: none>"
    with passed(monkeypatch, pid=1, names="x"):
        assert inherited_sockets().names == []
        assert "LISTEN_FDNAMES" not in os.environ


def test_those_that_nobody_takes_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    sock = bound()
    address = sock.getsockname()
    with passed(monkeypatch, sock), inherited_sockets():
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(address)
    with passed(monkeypatch, bound()):
        with pytest.warns(ResourceWarning, match=r"test_inherited_sockets.py"):
            inherited_sockets()


def test_what_is_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with other, passed(monkeypatch, bound(), one, names="dns:odd"):
        with pytest.raises(ValueError, match=r"201 \(odd\).* is neither a stream nor a datagram socket"):
            inherited_sockets()
    os.close(201)  # not ours, so it was not touched
    with open(os.devnull, "rb") as file, passed(monkeypatch):
        os.dup2(file.fileno(), 200)
        monkeypatch.setenv("LISTEN_FDS", "1")
        with pytest.raises(OSError, match=r".") as failure:
            inherited_sockets()
        assert failure.value.errno == errno.ENOTSOCK
        assert "descriptor 200 (unknown)" in str(failure.value.__notes__)
    os.close(200)


def test_a_service_manager_passes_udp_to_a_real_program() -> None:
    program = """
import socket2

async def main():
    with socket2.inherited_sockets() as inherited:
        [sock] = inherited.datagrams("dns")
    with sock:
        data, sender = await sock.recvfrom(100)
        await sock.sendto(b"from the service: " + data, sender)

socket2.run(main)
"""
    manager = """
import os, socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print("listening on", "%s:%d" % sock.getsockname(), flush=True)
os.dup2(sock.fileno(), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "dns"}
os.execv(sys.executable, [sys.executable, "-W", "error", "-c", sys.argv[1]])
"""
    with Program([sys.executable, "-W", "error", "-c", manager, program], env={"PYTHONPATH": str(ROOT)}) as service:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(LIMIT_S)
            client.sendto(b"hello", ("127.0.0.1", service.port()))  # it waits there until the program runs
            assert client.recv(100) == b"from the service: hello"
        assert service.wait() == 0
        assert service.stderr() == b""
