"""The roster: every server that can be measured, one row each.

Knows names, commands and which module has to be there; not how anything is measured. A server is a
program that listens on port 0 of 127.0.0.1, sets TCP_NODELAY, prints "ready PORT" and serves until
killed. A row whose module is not installed is reported as absent. To compare with one more server,
add a row and a file in bench/servers.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from bench.build import BUILD

__all__ = ["BASELINE", "SERVERS", "Server", "chosen"]

EPOLL = {"SOCKET2_POLLER": "epoll"}


@dataclass(frozen=True)
class Server:
    """One row of the roster.

    Args:
        name: what tables and `--servers` call it.
        command: the program and its arguments; it runs in the root of the repository.
        module: the top-level module it cannot run without, None if it needs none.
        env: environment variables it runs with.
    """

    name: str
    command: tuple[str, ...]
    module: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def present(self) -> bool:
        """Whether its module can be imported."""
        return self.module is None or find_spec(self.module) is not None

    def version(self) -> str | None:
        """The version of the distribution it measures; None for the standard library, C, or a source tree."""
        try:
            return version(self.module) if self.module else None
        except PackageNotFoundError:
            return None


def _python(stem: str) -> tuple[str, ...]:
    return (sys.executable, "-m", f"bench.servers.{stem}")


BASELINE = Server("c", (str(BUILD / "echo_server"),))

SERVERS: tuple[Server, ...] = (
    BASELINE,
    Server("socket2-generator", _python("socket2_generator"), "socket2", EPOLL),
    Server("socket2-async", _python("socket2_async"), "socket2", EPOLL),
    Server("uvloop-protocol", _python("uvloop_protocol"), "uvloop"),
    Server("uvloop-streams", _python("uvloop_streams"), "uvloop"),
    Server("asyncio-protocol", _python("asyncio_protocol")),
    Server("asyncio-streams", _python("asyncio_streams")),
    Server("gevent-sockets", _python("gevent_sockets"), "gevent"),
    Server("curio-sockets", _python("curio_sockets"), "curio"),
    Server("trio-streams", _python("trio_streams"), "trio"),
)


def chosen(names: Sequence[str] | None) -> list[Server]:
    """The rows to measure, the baseline first: ratios need it.

    Args:
        names: names from the roster, None for all of it.

    Raises:
        ValueError: a name is not in the roster.
    """
    if names is None:
        return list(SERVERS)
    known = {server.name: server for server in SERVERS}
    for name in names:
        if name not in known:
            raise ValueError(f"no server {name!r}; there are {', '.join(known)}")
    return [BASELINE, *(known[name] for name in dict.fromkeys(names) if name != BASELINE.name)]
