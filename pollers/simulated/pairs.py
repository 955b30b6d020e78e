"""Pairs of connected sockets of a host, of every family: socketpair(2), and Poller.socketpair()."""

from __future__ import annotations

import errno

from ..operation import system_error
from .description import AF_INET, AF_INET6, AF_UNIX, DGRAM, RAW, SEQPACKET, STREAM, fail
from .sock import Sock
from .surroundings import Home
from .unixdatagrams import UnixDatagrams
from .unixstream import UnixStream, join


def pair(host: Home, family: int, type: int, proto: int) -> tuple[Sock, Sock]:
    """Make two connected sockets. See Poller.socketpair()."""
    with host.world.lock:
        if family == AF_UNIX:
            return _unix(host, type & 0xF, proto)
        if family in (AF_INET, AF_INET6) and type & 0xF in (STREAM, DGRAM):
            return _internet(host, family, type & 0xF, proto)
    raise system_error(errno.EOPNOTSUPP if family in (AF_INET, AF_INET6) else errno.EAFNOSUPPORT)


def _unix(host: Home, type: int, proto: int) -> tuple[Sock, Sock]:
    if proto not in (0, AF_UNIX):
        fail(errno.EPROTONOSUPPORT)
    if len(host.descriptors) + 2 > host.descriptors_max:
        fail(errno.EMFILE)
    if type in (STREAM, SEQPACKET):
        one, other = UnixStream(host, type), UnixStream(host, type)
        join(one, other)
        one.credentials = other.credentials = one.own_credentials()
        return Sock.of(host, one), Sock.of(host, other)
    if type not in (DGRAM, RAW):
        fail(errno.ESOCKTNOSUPPORT)
    first, second = UnixDatagrams(host), UnixDatagrams(host)
    first.peer, second.peer = second, first
    first.credentials = second.credentials = first.own_credentials()
    return Sock.of(host, first), Sock.of(host, second)


def _internet(host: Home, family: int, type: int, proto: int) -> tuple[Sock, Sock]:
    here = "127.0.0.1" if family == AF_INET else "::1"
    made: list[Sock] = []
    try:
        if type == STREAM:
            listener = Sock(family, type, proto, host=host)
            try:
                listener.bind((here, 0))
                listener.listen()
                made.append(Sock(family, type, proto, host=host))
                made[0].connect(listener.getsockname())
                made.append(listener.accept()[0])
            finally:
                listener.close()
        else:
            for _ in range(2):
                made.append(Sock(family, type, proto, host=host))
                made[-1].bind((here, 0))
            made[0].connect(made[1].getsockname())
            made[1].connect(made[0].getsockname())
    except BaseException:
        for sock in made:
            sock.close()
        raise
    return made[0], made[1]
