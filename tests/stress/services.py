"""The peers of a random program's workers: an echo server over TCP, and one over UDP."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import socket2
from socket2 import TCP, UDP, Closed

from .ledger import Ledger, Steps

ACCEPTORS = 3
RECEIVERS = 3

# The timeout of a listener. Several threads accept on it, and now and then one of them times out.
IMPATIENCE_S = 0.004


class Services:
    """Echo servers. Each has several threads that take turns on one socket."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._listener: TCP = socket2.listen("127.0.0.1", 0)
        self._listener.settimeout(IMPATIENCE_S, "read")
        self._datagrams: UDP = socket2.udp()
        self._datagrams.bind("127.0.0.1", 0)
        self._datagrams.settimeout(IMPATIENCE_S, "read")
        self.address: Any = self._listener.getsockname()
        self.datagram_address: Any = self._datagrams.getsockname()
        self._threads = [ledger.newthread(f"acceptor {number}", self._accept()) for number in range(ACCEPTORS)]
        self._threads += [ledger.newthread(f"receiver {number}", self._receive()) for number in range(RECEIVERS)]
        self._connections = 0

    def close(self) -> Steps:
        self._listener.close()
        self._datagrams.close()
        for thread in self._threads:
            yield from thread.join()

    def _accept(self) -> Steps:
        served = 0
        with suppress(Closed):
            while True:
                try:
                    connection = yield from self._listener.accept()
                except TimeoutError:
                    continue
                served += 1
                self._ledger.newthread("echo", self._echo(connection))
        return served

    def _echo(self, connection: TCP) -> Steps:
        with connection, suppress(ConnectionError):
            while data := (yield from connection.recv(1 << 18)):
                yield from connection.sendall(data)

    def _receive(self) -> Steps:
        with suppress(Closed):
            while True:
                try:
                    data, sender = yield from self._datagrams.recvfrom(2048)
                except TimeoutError:
                    continue
                yield from self._datagrams.sendto(data, sender)
