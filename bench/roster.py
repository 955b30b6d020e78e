"""The roster: a list of rows for each role, with everything that can be measured in it.

Knows names, commands and requirements, but not how anything is measured. A server is a program of
bench/servers, a stack one of bench/stacks; these packages say what each must do. A row whose module is
missing is reported as absent. To compare one more, add a row and a file. The first row of each list is
the baseline.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace

import pollers
from bench.build import BUILD
from bench.certificates import CERTIFICATE
from bench.contender import POLLER, Contender, Roster
from bench.foreign import GO, JAVA, LIBUV, NODE, TOKIO, Foreign

__all__ = [
    "BLOCKING_SERVERS",
    "ECHO_SERVERS",
    "HTTP_SERVERS",
    "IMPORTS",
    "KEEP_MEMORY",
    "MICRO",
    "SINK_SERVERS",
    "SOURCE_SERVERS",
    "STACKS",
    "TLS_SERVERS",
    "UDP_SERVERS",
    "WEBSOCKET_SERVERS",
]

PURE = {POLLER: "epoll", "SOCKET2_NATIVE": "0"}
NATIVE = {POLLER: "native"}
# asyncio and its kind allocate 256 KiB per receive. Depending on what else is in the heap, glibc gives that memory back
# each time, and a request costs two page faults and 15 to 20 us more. These settings prevent it. All peers in Python
# have them, and the report says so.
KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "16777216", "MALLOC_MMAP_THRESHOLD_": "8388608"}


def _python(name: str, program: str, module: str | None = None) -> Contender:
    return Contender(name, (sys.executable, "-m", *f"bench.{program}".split()), module, KEEP_MEMORY)


def _foreign(name: str, foreign: Foreign, warmup_s: float = 0.0, pinned: bool = True, **env: str) -> Contender:
    return Contender(name, foreign.command, env=env, foreign=foreign, pinned=pinned, warmup_s=warmup_s)


def _socket2(program: str, style: str) -> Roster:
    """Return the rows for socket2 in pure Python and with the native poller. `style`: generator or async."""
    command = (sys.executable, "-m", *f"bench.{program}".format(style=style).split())
    return (
        Contender(f"socket2-{style}", command, "socket2", PURE),
        Contender(f"socket2-native-{style}", command, "socket2", NATIVE),
    )


def _net(program: str) -> Roster:
    """Return the same rows as _socket2(), for socket2.net."""
    command = (sys.executable, "-m", f"bench.{program}")
    return (
        Contender("socket2-net", command, "pyee", PURE),
        Contender("socket2-native-net", command, "pyee", NATIVE),
    )


ECHO_SERVERS: Roster = (
    Contender("c", (str(BUILD / "echo_server"),)),
    *_socket2("servers.echo.socket2_{style}", "generator"),
    *_socket2("servers.echo.socket2_{style}", "async"),
    *_net("servers.echo.socket2_net"),
    _python("uvloop-protocol", "servers.echo.uvloop_protocol", "uvloop"),
    _python("uvloop-streams", "servers.echo.uvloop_streams", "uvloop"),
    _python("asyncio-protocol", "servers.echo.asyncio_protocol"),
    _python("asyncio-streams", "servers.echo.asyncio_streams"),
    _python("asyncio-sockets", "servers.echo.asyncio_sockets"),
    _python("rloop-protocol", "servers.echo.rloop_protocol", "rloop"),
    _python("twisted-protocol", "servers.echo.twisted_protocol", "twisted"),
    _python("gevent-sockets", "servers.echo.gevent_sockets", "gevent"),
    _python("eventlet-sockets", "servers.echo.eventlet_sockets", "eventlet"),
    _python("curio-sockets", "servers.echo.curio_sockets", "curio"),
    _python("trio-streams", "servers.echo.trio_streams", "trio"),
    _python("anyio-asyncio", "servers.echo.anyio_streams asyncio", "anyio"),
    replace(_python("anyio-trio", "servers.echo.anyio_streams trio", "anyio"), below="trio"),
    _foreign("libuv", LIBUV),
    _foreign("tokio", TOKIO),
    _foreign("go-1", GO, GOMAXPROCS="1"),
    _foreign("go-all-cores", GO, pinned=False),
    _foreign("java-nio", JAVA, warmup_s=3.0),
    _foreign("node", NODE, warmup_s=1.5),
)


def _tls(row: Contender, keep_memory: bool = False) -> Contender:
    """Return the row for a server that takes its certificate as an argument. +m: see KEEP_MEMORY."""
    command = (*row.command, str(CERTIFICATE))
    if keep_memory:
        return replace(row, name=f"{row.name}+m", command=command, env={**row.env, **KEEP_MEMORY})
    return replace(row, command=command)


TLS_SERVERS: Roster = (
    _tls(Contender("c", (str(BUILD / "tls_echo_server"),))),
    *map(_tls, _socket2("servers.tls.socket2_{style}", "generator")),
    *map(_tls, _socket2("servers.tls.socket2_{style}", "async")),
    *(
        _tls(row, keep_memory=True)
        for row in (
            replace(_python("aiofastnet-uvloop", "servers.tls.aiofastnet_uvloop", "aiofastnet"), below="uvloop"),
            _python("uvloop-protocol", "servers.tls.uvloop_protocol", "uvloop"),
            _python("uvloop-streams", "servers.tls.uvloop_streams", "uvloop"),
            _python("asyncio-protocol", "servers.tls.asyncio_protocol"),
            _python("asyncio-streams", "servers.tls.asyncio_streams"),
            _python("trio-streams", "servers.tls.trio_streams", "trio"),
        )
    ),
)


def _http(name: str, arguments: str, module: str, below: str | None = None) -> Contender:
    """Return the row for an HTTP server that is a module of bench.servers. See KEEP_MEMORY."""
    command = (sys.executable, "-m", *f"bench.servers.{arguments}".split())
    return Contender(name, command, module, KEEP_MEMORY, below)


HTTP_SERVERS: Roster = (
    Contender("c", (str(BUILD / "http_server"),)),
    Contender("nginx", (sys.executable, "-m", "bench.servers.http.nginx"), program="nginx"),
    *_socket2("servers.http.socket2_{style}", "generator"),
    *_socket2("servers.http.socket2_{style}", "async"),
    _http("granian-rsgi", "http.granian_app rsgi", "granian"),
    _http("granian-asgi", "http.granian_app asgi", "granian"),
    _http("uvicorn-uvloop-httptools", "http.uvicorn_app uvloop httptools", "uvicorn", "uvloop"),
    _http("uvicorn-asyncio-httptools", "http.uvicorn_app asyncio httptools", "uvicorn", "httptools"),
    _http("uvicorn-asyncio-h11", "http.uvicorn_app asyncio h11", "uvicorn", "h11"),
    _http("aiohttp-uvloop", "http.aiohttp_app uvloop", "aiohttp", "uvloop"),
    _http("aiohttp-asyncio", "http.aiohttp_app asyncio", "aiohttp"),
    _http("hypercorn-uvloop", "http.hypercorn_app", "hypercorn", "uvloop"),
    Contender("node", ("node", "bench/servers/http/node.js"), program="node"),
)

WEBSOCKET_SERVERS: Roster = (
    Contender("c", (str(BUILD / "echo_server"),)),
    *_socket2("servers.websocket.socket2_{style}", "generator"),
    *_socket2("servers.websocket.socket2_{style}", "async"),
    _http("websockets-uvloop", "websocket.websockets_app uvloop", "websockets", "uvloop"),
    _http("websockets-asyncio", "websocket.websockets_app asyncio", "websockets"),
    _http("aiohttp-uvloop", "websocket.aiohttp_app uvloop", "aiohttp", "uvloop"),
    _http("aiohttp-asyncio", "websocket.aiohttp_app asyncio", "aiohttp"),
)

UDP_SERVERS: Roster = (
    Contender("c", (str(BUILD / "udp_server"),)),
    *_socket2("servers.udp.socket2_{style}", "generator"),
    *_socket2("servers.udp.socket2_{style}", "async"),
    _python("uvloop-protocol", "servers.udp.uvloop_protocol", "uvloop"),
    _python("asyncio-protocol", "servers.udp.asyncio_protocol"),
    _python("asyncio-sockets", "servers.udp.asyncio_sockets"),
    _python("gevent-sockets", "servers.udp.gevent_sockets", "gevent"),
    _python("curio-sockets", "servers.udp.curio_sockets", "curio"),
    _python("trio-sockets", "servers.udp.trio_sockets", "trio"),
)

SINK_SERVERS: Roster = (
    Contender("c", (str(BUILD / "sink_server"),)),
    *_socket2("servers.sink.socket2_{style}", "generator"),
    *_socket2("servers.sink.socket2_{style}", "async"),
    _python("uvloop-protocol", "servers.sink.uvloop_protocol", "uvloop"),
    _python("uvloop-streams", "servers.sink.uvloop_streams", "uvloop"),
    _python("asyncio-protocol", "servers.sink.asyncio_protocol"),
    _python("asyncio-streams", "servers.sink.asyncio_streams"),
    _python("asyncio-sockets", "servers.sink.asyncio_sockets"),
    _python("gevent-sockets", "servers.sink.gevent_sockets", "gevent"),
    _python("curio-sockets", "servers.sink.curio_sockets", "curio"),
    _python("trio-sockets", "servers.sink.trio_sockets", "trio"),
)

SOURCE_SERVERS: Roster = (
    Contender("c", (str(BUILD / "source_server"),)),
    *_socket2("servers.source.socket2_{style}", "generator"),
    *_socket2("servers.source.socket2_{style}", "async"),
    _python("uvloop-protocol", "servers.source.uvloop_protocol", "uvloop"),
    _python("uvloop-streams", "servers.source.uvloop_streams", "uvloop"),
    _python("asyncio-protocol", "servers.source.asyncio_protocol"),
    _python("asyncio-streams", "servers.source.asyncio_streams"),
    _python("asyncio-sockets", "servers.source.asyncio_sockets"),
    _python("gevent-sockets", "servers.source.gevent_sockets", "gevent"),
    _python("curio-sockets", "servers.source.curio_sockets", "curio"),
    _python("trio-streams", "servers.source.trio_streams", "trio"),
)


def _members(name: str, env: Mapping[str, str], count: int) -> Contender:
    """Return the row for socket2 with `count` OS threads; 0: a private scheduler."""
    command = (sys.executable, "-m", "bench.servers.blocking.socket2_members", str(count))
    return Contender(f"{name}-{count or 'private'}", command, "socket2", env)


BLOCKING_SERVERS: Roster = (
    *(_members("socket2-native", NATIVE, count) for count in (0, 1, 2, 4)),
    *(_members("socket2", PURE, count) for count in (0, 1, 4)),
    _python("asyncio-to-thread", "servers.blocking.asyncio_to_thread"),
    _python("gevent-threadpool", "servers.blocking.gevent_threadpool", "gevent"),
)


def _stack(name: str, module: str | None = None) -> Contender:
    return Contender(name, (sys.executable, "-m", "bench.stacks", name), module)


STACKS: Roster = (
    _stack("asyncio"),
    _stack("uvloop", "uvloop"),
    *_socket2("stacks socket2_{style}", "generator"),
    *_socket2("stacks socket2_{style}", "async"),
    _stack("trio", "trio"),
    _stack("curio", "curio"),
    _stack("gevent", "gevent"),
)


def _import(module: str, distribution: str | None = None) -> Contender:
    # Without compiled files the sample would include the compiler, but only for modules of a source tree.
    compiled = {"PYTHONDONTWRITEBYTECODE": ""}
    return Contender(module, (sys.executable, "-m", "bench.fresh_import", module), distribution, compiled)


IMPORTS: Roster = (
    _import("asyncio"),
    _import("socket"),
    _import("socket2", "socket2"),
    _import("uvloop", "uvloop"),
    _import("trio", "trio"),
    _import("curio", "curio"),
    _import("gevent", "gevent"),
)


def _poller(name: str) -> Contender:
    return Contender(name, (sys.executable, "-m", "bench.micro", name), "pollers", {POLLER: name})


MICRO: Roster = (
    Contender("bare", (sys.executable, "-m", "bench.micro", "bare")),
    *(_poller(name) for name in dict.fromkeys([*pollers.available(), "native"])),
)
