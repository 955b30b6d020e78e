"""Clients that keep handlers of a server blocked: `python -m bench.blockers PORT NUMBER MS`.

Each client sends "block MS", waits for the answer, and sends it again, so at most NUMBER handlers are blocked.
The program prints "blocking" when each client has its first answer, and continues until it is killed.
"""

from __future__ import annotations

import socket
import sys
import threading

from bench.load import HOST
from bench.servers.blocking import MARK

__all__: list[str] = []


def _keep_blocked(port: int, request: bytes, answered: threading.Barrier) -> None:
    with socket.create_connection((HOST, port)) as sock:
        first = True
        while True:
            sock.sendall(request)
            sock.recv(len(request))
            if first:
                answered.wait()
                first = False


def main(port: str, number: str, blocked_ms: str) -> None:
    answered = threading.Barrier(int(number) + 1)
    request = MARK + blocked_ms.encode()
    clients = [
        threading.Thread(target=_keep_blocked, args=(int(port), request, answered), daemon=True)
        for _ in range(int(number))
    ]
    for client in clients:
        client.start()
    answered.wait()
    print("blocking", flush=True)
    for client in clients:
        client.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
