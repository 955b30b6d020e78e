"""An echo server: whoever connects gets back what they send. Threads are `async def` coroutines.

The same as echo_server.py, said with `await` instead of `yield from`. Threads of both kinds can live in one program.

    $ python examples/echo_server_async.py --port 7000
    listening on 127.0.0.1:7000
    $ nc 127.0.0.1 7000
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress

import socket2


async def echo(conn: socket2.TCP) -> None:
    with conn, suppress(OSError):  # reset, timed out, unreachable: it is over, whatever it was
        while data := await conn.recv(65536):
            await conn.sendall(data)


async def serve(listener: socket2.TCP) -> None:
    host, port = listener.local_address
    print(f"listening on {host}:{port}", flush=True)
    while True:
        conn = await listener.accept()
        socket2.newthread(echo, conn)


def main() -> None:
    parser = argparse.ArgumentParser(description="Send back what is received.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=7000, type=int, help="0: a free one")
    args = parser.parse_args()
    with socket2.tcp() as listener:
        try:
            listener.listen(args.host, args.port)
        except (OSError, OverflowError) as error:
            sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
        with suppress(KeyboardInterrupt):
            socket2.run(serve, listener)


if __name__ == "__main__":
    main()
