"""Lets tests that use the sockets and the clock of the standard library run over the simulated kernel, unchanged."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pollers.simulated import Host
from pollers.simulated.host import FIRST_DESCRIPTOR
from pollers.simulated.loopback import here
from pollers.simulated.sock import Sock

from ..contract.driver import listener

_active: list[Host] = []


def active() -> Host | None:
    """Return the host whose sockets stand in for the real ones now."""
    return _active[-1] if _active else None


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Sock)


class Socket(Sock, metaclass=_Kind):
    """What socket.socket is meanwhile."""

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        made = (socket.AF_INET if family == -1 else family, socket.SOCK_STREAM if type == -1 else type, max(proto, 0))
        host = active()
        assert host is not None
        super().__init__(*made, fileno, host=host)
        self.timeout = socket.getdefaulttimeout()


def _of_both(real: Any, simulated: Callable[..., Any]) -> Any:
    def call(fd: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(fd, int) and fd >= FIRST_DESCRIPTOR:
            return simulated(fd, *args, **kwargs)
        return real(fd, *args, **kwargs)

    return call


def stand_in(patch: pytest.MonkeyPatch, host: Host) -> None:
    """Replace the sockets and the clock of the standard library."""
    world = host.world

    def dup(fd: int) -> int:
        return host.add(host.get(fd))

    def dup2(fd: int, fd2: int, inheritable: bool = True) -> int:
        description = host.get(fd)
        if fd2 != fd:
            description.references += 1
            with contextlib.suppress(OSError):
                host.close(fd2)
            description.references -= 1
            host.add_as(description, fd2)
        return fd2

    def sleep(seconds: float) -> None:
        world.wait(lambda: False, seconds)

    def pair(family: int | None = None, type: int = socket.SOCK_STREAM, proto: int = 0) -> Any:
        return host.socketpair(socket.AF_UNIX if family is None else family, type, proto)

    _active.append(host)
    patch.setattr(socket, "socket", Socket)
    patch.setattr(socket, "socketpair", pair)
    patch.setattr(socket, "fromfd", lambda fd, family, type, proto=0: Socket(family, type, proto, dup(fd)))
    patch.setattr(socket, "dup", _of_both(socket.dup, dup))
    patch.setattr(socket, "close", _of_both(socket.close, host.close))
    patch.setattr(os, "close", _of_both(os.close, host.close))
    patch.setattr(os, "dup", _of_both(os.dup, dup))
    patch.setattr(os, "dup2", _of_both(os.dup2, dup2))
    patch.setattr(os, "get_inheritable", _of_both(os.get_inheritable, lambda fd: bool(host.get(fd).closed)))
    patch.setattr(os, "set_inheritable", _of_both(os.set_inheritable, lambda fd, flag: None))
    patch.setattr(time, "monotonic", world.monotonic)
    patch.setattr(time, "perf_counter", world.monotonic)
    patch.setattr(time, "time", world.wall_s)
    patch.setattr(time, "sleep", sleep)


@contextlib.contextmanager
def standing_in() -> Iterator[Host]:
    """Do this for a while. At the end no simulated descriptor may be open that was not so at the beginning."""
    host = here()
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch, host)
        listener()
        before = set(host.descriptors)
        try:
            yield host
        finally:
            _active.pop()
    left = {fd: one.describe() for fd, one in host.descriptors.items() if fd not in before}
    for fd in left:
        host.close(fd)
    assert not left, f"left behind: {left}"


@contextlib.contextmanager
def no_simulated_descriptor_left(host: Host) -> Iterator[None]:
    limit = host.descriptors_max
    host.descriptors_max = len(host.descriptors)
    try:
        yield
    finally:
        host.descriptors_max = limit
