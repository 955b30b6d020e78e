"""What the scenarios of TLS share, as in papers.js: certificates, a server, a client, and a pair of them."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme

from socket2.net import Socket, tls
from socket2.net.tls import TLSSocket

from .stage import Stage

LONG_AGO = datetime.datetime(2001, 1, 1)
ENDS = ("end", "finish", "drain", "timeout", "error", "close")
EVENTS = ("connect", "ready", "secureConnect", *ENDS)
HERE = "127.0.0.1"


def write_papers(folder: Path) -> None:
    """Write ca.pem, and a file with a key and a certificate for each name."""
    ca, stranger = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    end = LONG_AGO + datetime.timedelta(days=1)
    issued = {
        "localhost": ca.issue_cert("localhost", "127.0.0.1"),
        "elsewhere": ca.issue_cert("elsewhere.example", "*.wild.example"),
        "client": ca.issue_cert("client@example.org"),
        "stranger": stranger.issue_cert("localhost"),
        "expired": ca.issue_cert("localhost", not_before=LONG_AGO, not_after=end),
    }
    for name, one in issued.items():
        one.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))
    own = stranger.private_key_pem.bytes() + stranger.cert_pem.bytes()
    (folder / "selfsigned.pem").write_bytes(own)


def ignore(*_: Any) -> None:
    pass


def pem(stage: Stage, name: str) -> bytes:
    return (Path(stage.directory) / f"{name}.pem").read_bytes()


def identity(stage: Stage, name: str = "localhost") -> dict[str, bytes]:
    return {"key": pem(stage, name), "cert": pem(stage, name)}


def trusting(stage: Stage) -> dict[str, Any]:
    return {"ca": pem(stage, "ca"), "servername": "localhost"}


def serve(stage: Stage, options: Any, connection: Any, then: Callable[[dict[str, Any], tls.Server], Any]) -> tls.Server:
    """A server that listens, and a function that says where."""
    server = tls.createServer({**identity(stage), **options}, connection)
    stage.watch("server", server, "tlsClientError")

    def begin() -> None:
        address = server.address()
        assert isinstance(address, dict)
        stage.known(address["port"], "PORT")
        then({"port": address["port"], "host": HERE}, server)

    return server.listen(0, HERE, begin)


def dial(stage: Stage, where: dict[str, Any], *events: str, **options: Any) -> TLSSocket:
    made: TLSSocket = stage.watch("client", tls.connect({**where, **trusting(stage), **options}), *events)
    return made


def pair(
    stage: Stage, act: Callable[[TLSSocket, TLSSocket, Socket], Any], server: Any = None, client: Any = None
) -> None:
    """Connect a client to a server, watch both, and call act(client, conn, raw) when both have made the handshake."""
    there: dict[str, Any] = {}

    def both(name: str, socket: TLSSocket) -> None:
        there[name] = socket
        if "client" in there and "conn" in there:
            act(there["client"], there["conn"], there["raw"])

    def take(conn: TLSSocket) -> None:
        stage.watch("conn", conn, *ENDS)
        listener.close()
        both("conn", conn)

    def go(where: dict[str, Any], _: tls.Server) -> None:
        made = dial(stage, where, *EVENTS, **(client or {}))
        made.on("secureConnect", lambda: both("client", made))

    listener = serve(stage, server or {}, take, go)
    listener.on("connection", lambda raw: there.update(raw=raw))


def flow(*sockets: Socket) -> None:
    for socket in sockets:
        socket.resume()
