"""Twisted: a Protocol and a Factory on its epoll reactor. A full transport pauses the reading side."""

from __future__ import annotations

from twisted.internet import epollreactor

from bench.servers import HOST

epollreactor.install()

from twisted.internet import reactor  # noqa: E402 -- the reactor must be installed first
from twisted.internet.interfaces import IPushProducer  # noqa: E402
from twisted.internet.protocol import Factory, Protocol  # noqa: E402
from zope.interface import implementer  # noqa: E402


@implementer(IPushProducer)
class Echo(Protocol):  # type: ignore[misc]
    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        self.transport.loseConnection()


def main() -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(Echo), backlog=4096, interface=HOST)
    print("ready", port.getHost().port, flush=True)
    reactor.run()


if __name__ == "__main__":
    main()
