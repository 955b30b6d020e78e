"""What may go wrong in a simulated kernel. A World without `faults` asks nothing, which costs nothing."""

from __future__ import annotations

from .link import Link


class Faults:
    """The kernel asks these questions. Here every answer is "nothing goes wrong"; a subclass answers otherwise.

    `where` is the name of the host, and `sock` describes the socket for people: 'fd 7, tcp 10.0.0.1:80'.
    """

    def error(self, where: str, call: str, sock: str) -> int:
        """Return the errno with which `call` fails before it does anything, 0 if it does not.

        `call` is socket, accept, bind, listen, connect, recv or send. Of use are EMFILE, ENFILE, ENOBUFS and ENOMEM,
        for accept also ECONNABORTED, for connect also EINTR: the connection then goes on.
        """
        return 0

    def short(self, where: str, call: str, sock: str, n: int) -> int:
        """Return how many of `n` > 1 bytes a `recv` or `send` of a stream moves, from 1 to `n`."""
        return n

    def reset(self, where: str, call: str, sock: str) -> bool:
        """Return whether the TCP connection is reset now, from both ends: before a `recv` or `send` does anything."""
        return False

    def delay_s(self, link: Link, size: int) -> float:
        """Return how many seconds longer a packet of `size` bytes takes."""
        return 0.0

    def spurious(self, where: str, fd: int, armed: int) -> int:
        """Return the bits of `armed` (EPOLLIN 1, EPOLLOUT 4) that the poller reports though nothing has happened."""
        return 0

    def stale(self, where: str, fd: int, bits: int) -> bool:
        """Return whether an edge is reported only by the next wait, when it may be stale."""
        return False
