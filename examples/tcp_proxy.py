"""A TCP proxy: it forwards every incoming connection to one other address, in both directions.

Shows two threads on one socket, one that receives and one that sends. The two directions of a connection end
separately (half-close): when one side has finished sending, the proxy tells the other side with SHUT_WR, and that side
may still answer. If one side breaks off, the proxy resets the other, so a truncated stream does not look complete.

    $ python examples/tcp_proxy.py --port 7002 example.org:80
    listening on 127.0.0.1:7002
    $ printf 'HEAD / HTTP/1.0\r\nHost: example.org\r\n\r\n' | nc 127.0.0.1 7002
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Generator
from contextlib import suppress
from typing import Any

import socket2

CONNECT_S = 10


def reset(conn: socket2.TCP) -> None:
    """Close at once. The peer gets ConnectionResetError instead of the end of the stream."""
    if not conn.closed:
        conn.setopt("linger", 0)
        conn.close()


def carry(source: socket2.TCP, sink: socket2.TCP) -> Generator[Any, Any, None]:
    """Forward one direction until it ends. If it breaks, reset both connections."""
    try:
        while data := (yield from source.recv(65536)):
            yield from sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        reset(source)
        reset(sink)


def relay(client: socket2.TCP, host: str, port: str) -> Generator[Any, Any, None]:
    with client:
        try:
            client.setopt("nodelay", True)  # the two ends decide how to pack data
            with socket2.timeout(CONNECT_S):
                server = yield from socket2.connect(host, port, nodelay=True)
            with server:
                up = socket2.newthread(carry, client, server)
                yield from carry(server, client)
                yield from up.join()
        except (OSError, OverflowError) as error:
            print(f"{host}:{port}: {error}", file=sys.stderr)
            reset(client)


def serve(listener: socket2.TCP, host: str, port: str) -> Generator[Any, Any, None]:
    print("listening on", socket2.format_address(listener.local_address), flush=True)
    while True:
        client = yield from listener.accept()
        socket2.newthread(relay, client, host, port)


class Options(argparse.Namespace):
    host: str
    port: int
    target: str


def main() -> None:
    parser = argparse.ArgumentParser(description="Forward TCP connections to another address.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=7002, type=int, help="0: a free port")
    parser.add_argument("target", metavar="HOST:PORT", help="the address to forward to")
    args = parser.parse_args(namespace=Options())
    target_host, colon, target_port = args.target.rpartition(":")
    if not colon:
        parser.error(f"{args.target!r} is not HOST:PORT")
    with socket2.tcp() as listener:
        try:
            listener.listen(args.host, args.port)
        except (OSError, OverflowError) as error:
            sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
        with suppress(KeyboardInterrupt):
            socket2.run(serve, listener, target_host, target_port)


if __name__ == "__main__":
    main()
