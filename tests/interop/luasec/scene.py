"""The scene of each scenario: a client and a server, each on its party.

A scenario is a generator. It yields what has to be the same: the results of calls. Both sides have a timeout of 0, and
wait with select() where something has to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ...tls.certificates import Authority
from .parties import Party, Ref

Trace = Iterator[Any]

VERSIONS = {"TLSv1.2": "tlsv1_2", "TLSv1.3": "tlsv1_3"}


class Scene:
    """A client and a server, each on a party, and what they are made with."""

    def __init__(self, client: Party, server: Party, authority: Authority, version: str) -> None:
        self.client = client
        self.server = server
        self.authority = authority
        self.version = version
        self.sides = ((client, "c"), (server, "s"))

    def client_params(self, **more: Any) -> dict[str, Any]:
        return {
            "mode": "client",
            "protocol": VERSIONS[self.version],
            "verify": "peer",
            "cafile": str(self.authority.file),
            **more,
        }

    def server_params(self, *names: str, **more: Any) -> dict[str, Any]:
        pem = str(self.authority.issue(*(names or ("localhost", "127.0.0.1"))))
        return {"mode": "server", "protocol": VERSIONS[self.version], "certificate": pem, "key": pem, **more}

    def connected(self, small: bool = False) -> None:
        """Connect "c" to "s", in plain text. `small`: so that little fits between them."""
        self.server.do("socket.bind", "127.0.0.1", 0, keep="listener")
        port = self.server.call("listener", "getsockname")[1]
        self.client.do("socket.connect", "127.0.0.1", int(port), keep="c")
        self.server.call("listener", "accept", keep="s")
        self.server.call("s", "setoption", "tcp-nodelay", True)  # so that both session tickets come at once
        if small:
            self.client.call("c", "setoption", "send-buffer-size", 100_000)
            self.server.call("s", "setoption", "recv-buffer-size", 100_000)

    def wrapped(self, client: Any = None, server: Any = None, small: bool = False) -> Trace:
        """Connect "c" to "s", and wrap both."""
        self.connected(small)
        for party, name, params in (
            (self.client, "c", self.client_params() if client is None else client),
            (self.server, "s", self.server_params() if server is None else server),
        ):
            yield party.do("ssl.wrap", Ref(name), params, keep=name)
            party.call(name, "settimeout", 0)

    def shaken(self) -> Trace:
        """Make the handshake of both sides, as far as each gets."""
        ends: dict[str, Any] = {}
        first = True
        while len(ends) < 2:
            for party, name in self.sides:
                if name in ends:
                    continue
                if not first:
                    party.ready(name)
                first = False
                result = party.call(name, "dohandshake")
                if result == [False, "wantread"]:
                    assert party.call(name, "want") == ["read"]
                else:
                    ends[name] = result
        yield ends["c"]
        yield ends["s"]

    def established(self, client: Any = None, server: Any = None, small: bool = False) -> Trace:
        yield from self.wrapped(client, server, small)
        yield from self.shaken()


def received(party: Party, name: str, *args: Any) -> Any:
    """Receive something that comes."""
    party.call(name, "settimeout", 30)
    result = party.call(name, "receive", *args)
    party.call(name, "settimeout", 0)
    return result


ALIKE: dict[str, Callable[[Scene], Trace]] = {}
"""The scenarios by name."""


def alike(scenario: Callable[[Scene], Trace]) -> Callable[[Scene], Trace]:
    ALIKE[scenario.__name__] = scenario
    return scenario
