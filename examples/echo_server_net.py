"""An echo server with events, as in Node: it sends back everything that a client sends.

$ pip install 'socket2[net]'
$ python examples/echo_server_net.py --port 7000
listening on 127.0.0.1:7000
$ nc 127.0.0.1 7000
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import Any

import socket2
from socket2 import net


def echo(conn: net.Socket) -> None:
    conn.on("error", lambda error: None)  # reset, timed out, unreachable: the connection has ended
    conn.pipe(conn)


class Options(argparse.Namespace):
    host: str
    port: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Send back what is received.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=7000, type=int, help="0: a free port")
    args = parser.parse_args(namespace=Options())
    server = net.createServer({"allowHalfOpen": True}, echo)

    @server.on("listening")
    def listening() -> None:
        address: Any = server.address()
        print(f"listening on {address['address']}:{address['port']}", flush=True)

    @server.on("error")
    def failed(error: OSError) -> None:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")

    try:
        server.listen(args.port, args.host)
    except net.RangeError as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
    with suppress(KeyboardInterrupt):
        socket2.start()
    server.close()
    server.closeAllConnections()
    socket2.poll(0)  # let the accepting thread end


if __name__ == "__main__":
    main()
