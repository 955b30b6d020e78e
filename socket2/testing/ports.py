"""A port for a server that must be told one.

Knows how the system gives ports away. A test that can let its server listen on port 0 needs none of this.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pollers


@contextmanager
def held_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A TCP port that the system gives to nobody else during the block: `with held_port() as port:`.

    A socket is bound to it, and does not listen, so a server can listen there: any server that sets SO_REUSEADDR, as
    socket2's and nearly all others do. Until then connections to it are refused. On a system where a server cannot
    listen on a port that another socket is bound to (macOS, the BSDs, Windows), the port is not held, only free at the
    beginning. Raises OSError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(_listener(family)) as holder:
        holder.bind((host, 0))
        port: int = holder.getsockname()[1]
        with closing(_listener(family)) as another:
            try:
                another.bind((host, port))
            except OSError:
                holder.close()
        yield port


def _listener(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    pollers.prepare_listener(sock)
    return sock
