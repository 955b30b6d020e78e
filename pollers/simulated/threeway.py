"""Listening and connecting: SYN, SYN with ACK, ACK, and what is done if one of them is lost or refused.

The listener makes the connection when the last ACK arrives, behind which the data of the client follow. A SYN that
finds a full queue is dropped, as Linux does it, and the client sends it again.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from ..operation import system_error
from . import numeric
from .description import AF_INET, fail
from .link import Link
from .surroundings import Home
from .teardown import CLOSE, CONNECTED, CONNECTING, ESTABLISHED, LISTEN, SYN_SENT, UNCONNECTED
from .transmission import Segment, Transmission

# /proc/sys/net/ipv4/tcp_syn_retries is 6: after 1, 3, 7, ... 63 seconds, and the end after 127.
SYN_TRIES = 7
SYN_FIRST_S = 1.0
SYN_SIZE = 60

BACKLOG_MAX = 4096

_KEEPALIVE = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)


def listen(sock: Any, backlog: int) -> None:
    """Do listen(2)."""
    if sock.state not in (CLOSE, LISTEN) or sock.phase != UNCONNECTED:
        fail(errno.EINVAL)
    if sock.state == CLOSE:
        ports = sock.host.ports
        if not sock.has_port:
            sock.take_port(sock.local[0])
        elif any(other is not sock and other.is_listening and _clash(sock, other) for other in _at(ports, sock)):
            raise system_error(errno.EADDRINUSE)
        sock.shut = 0
        sock.state = LISTEN
    sock.backlog = min(backlog if backlog >= 0 else BACKLOG_MAX, BACKLOG_MAX)


def _at(ports: Any, sock: Any) -> list[Any]:
    found: list[Any] = ports.at("tcp", sock.local[1])
    return found


def _clash(sock: Any, other: Any) -> bool:
    return sock.local[0] == other.local[0] and not (sock.reuses_port and other.reuses_port)


def connect(sock: Any, address: Any) -> int:
    """Do connect(2) without a wait. Return 0 or an errno."""
    ip, port = sock.target(address, "connect")
    if sock.phase == CONNECTING:
        if sock.state == SYN_SENT:
            return errno.EALREADY
        if sock.state == CLOSE:
            return _failed(sock)
        sock.phase = CONNECTED
        return 0
    if sock.state != CLOSE or sock.phase == CONNECTED:
        return errno.EISCONN
    if numeric.is_group(ip) or ip == "255.255.255.255":
        return errno.ENETUNREACH
    source = sock.source(ip)
    if sock.has_port:
        sock.local = (source, sock.local[1])
    else:
        sock.take_port(source)
    sock.remote = (ip, port)
    sock.state = SYN_SENT
    sock.phase = CONNECTING
    sock.error = sock.shut = 0
    sock.attempts += 1
    _send_syn(sock, sock.attempts, 1)
    return errno.EINPROGRESS


def _failed(sock: Any) -> int:
    """Return why a connect has failed. The socket is as before it."""
    error = sock.take_error() or errno.ECONNABORTED
    sock.phase = UNCONNECTED
    sock.shut = 0
    sock.remote = None
    sock.ended = False
    sock.out = None
    if not sock.chose_port:
        sock.leave_port()
    if not sock.chose_address:
        sock.local = ("0.0.0.0" if sock.family == AF_INET else "::", sock.local[1])
    return error


def _send_syn(sock: Any, attempt: int, tries: int) -> None:
    if sock.state != SYN_SENT or sock.attempts != attempt or sock.remote is None:
        return
    world = sock.world
    if tries > SYN_TRIES:
        sock.timed_out()
        return
    target, link = sock.host.way_to(sock.remote[0])
    _packet(sock, link, "SYN", _syn_arrived, sock, attempt, target, link)
    if sock.state == SYN_SENT:
        wait_s = SYN_FIRST_S * 2 ** (tries - 1)
        limit_s = sock.gives_up_s()
        if limit_s < wait_s:
            world.at(world.monotonic() + limit_s, _send_syn, sock, attempt, SYN_TRIES + 1)
        else:
            world.at(world.monotonic() + wait_s, _send_syn, sock, attempt, tries + 1)


def _packet(sock: Any, link: Link | None, text: str, arrive: Any, *args: Any) -> None:
    """Send a packet of `sock` over the link, which calls `arrive` at the other end."""
    world = sock.world
    delay_s = link.delay_s(SYN_SIZE, world.monotonic()) if link is not None else None
    if delay_s is not None and link is not None and world.faults is not None:
        delay_s += world.faults.delay_s(link, SYN_SIZE)
    if world.trace is not None:
        sock.trace_packet(text if delay_s is not None else f"{text} lost", comes=text != "SYN")
    if delay_s is None:
        return
    if delay_s:
        world.at(world.monotonic() + delay_s, arrive, *args)
    else:
        world.soon(arrive, *args)


def _syn_arrived(sock: Any, attempt: int, target: Home, link: Link) -> None:
    if not link.up or not target.up or sock.remote is None:
        return
    back = target.way_to(sock.local[0])[1]
    listener = target.ports.listener(*sock.remote, sock.local)
    if listener is not None:
        if len(listener.queue) <= listener.backlog:
            _packet(sock, back, "SYN ACK", _accepted, sock, attempt, listener, link, back)
    elif target is sock.host and sock.local == sock.remote:
        sock.out = Transmission(sock, sock, link, link)
        _established(sock)
    else:
        _packet(sock, back, "RST", _refused, sock, attempt, back)


def _refused(sock: Any, attempt: int, back: Link) -> None:
    if sock.attempts == attempt and sock.state == SYN_SENT and back.up:
        sock.was_reset()


def _accepted(sock: Any, attempt: int, listener: Any, link: Link, back: Link) -> None:
    if sock.state != SYN_SENT or sock.attempts != attempt or sock.remote is None or not back.up or not sock.host.up:
        return
    made = type(sock)(listener.host, listener.family)
    made.local, made.remote = sock.remote, sock.local
    made.parent = listener
    made.options.update(listener.options)
    made.window, made.sends_max = listener.window, listener.sends_max
    made.state = ESTABLISHED
    made.phase = CONNECTED
    made.out = Transmission(made, sock, back, link)
    sock.out = Transmission(sock, made, link, back)
    _established(sock)
    sock.out.begin(Segment("ACK"))


def _established(sock: Any) -> None:
    sock.state = ESTABLISHED
    sock.heard_at = sock.world.monotonic()
    if sock.options.get(_KEEPALIVE):
        sock.keep_alive()
    sock.wake(0)


def finish(made: Any) -> None:
    """The last ACK of the handshake has come."""
    listener, made.parent = made.parent, None
    if listener is None:
        return
    if listener.state != LISTEN or listener.closed:
        made.closed = True
        made.refuse()
        made.abort()
        return
    made.has_port = True
    made.host.ports.join(made, made.local[1])
    listener.queue.append(made)
    if made.options.get(_KEEPALIVE):
        made.keep_alive()
    listener.wake(1)
