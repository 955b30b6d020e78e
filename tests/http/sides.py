"""How tests run the two machines: all bytes go in, in pieces, and what comes out is plain data."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from socket2.http.messages.clientside import ClientSide
from socket2.http.messages.errors import ProtocolError
from socket2.http.messages.heads import RequestHead, ResponseHead
from socket2.http.messages.incoming import End, Upgraded
from socket2.http.messages.serverside import ServerSide

Happened = list[tuple[Any, ...]]


def plain(event: RequestHead | ResponseHead | bytes | End | Upgraded) -> tuple[Any, ...]:
    if isinstance(event, RequestHead):
        return ("request", event.method, event.raw_target, event.minor, event.fields.raw, event.body, event.keep_alive)
    if isinstance(event, ResponseHead):
        return ("response", event.status, event.reason, event.minor, event.fields.raw, event.body, event.keep_alive)
    if isinstance(event, End):
        return ("end", event.trailers.raw)
    if isinstance(event, Upgraded):
        return ("upgraded",)
    return ("data", event)


def note(happened: Happened, event: RequestHead | ResponseHead | bytes | End | Upgraded) -> None:
    """Add an event. Data that follows data is joined with it."""
    found = plain(event)
    if found[0] == "data" and happened and happened[-1][0] == "data":
        found = ("data", happened.pop()[1] + found[1])
    happened.append(found)


def serve(side: ServerSide, pieces: Iterable[bytes]) -> Happened:
    """Return what a server sees of the pieces and the end behind them. It answers each request when it has ended."""
    happened: Happened = []
    for piece in [*pieces, b""]:
        side.receive(piece)
        try:
            while True:
                event = side.next()
                if event is not None:
                    note(happened, event)
                    if isinstance(event, Upgraded):
                        return happened
                elif side.request is not None and side.received_all and not side.status:
                    side.head(200, (), 0)
                    side.end()
                    if side.closing:
                        return happened
                    side.next_exchange()
                else:
                    break
        except ProtocolError as error:
            happened.append(("refused", error.status))
            return happened
    return happened


def read(side: ClientSide, pieces: Iterable[bytes], methods: Iterable[str] = ("GET",)) -> Happened:
    """Return what a client sees of the answers to requests with these methods."""
    happened: Happened = []
    waiting = list(methods)

    def ask() -> None:
        side.head(waiting.pop(0), "/", {"host": "a"})
        side.end()

    ask()
    for piece in [*pieces, b""]:
        side.receive(piece)
        try:
            while True:
                event = side.next()
                if event is not None:
                    note(happened, event)
                    if isinstance(event, Upgraded):
                        return happened
                elif side.received_all and not side.closing and waiting:
                    side.next_exchange()
                    ask()
                else:
                    break
        except ProtocolError as error:
            happened.append(("refused", error.status))
            return happened
    return happened


def split(data: bytes, rng: random.Random) -> list[bytes]:
    """Return the data in pieces, with cuts anywhere; some have one byte."""
    cuts = sorted(rng.sample(range(1, len(data)), min(len(data) - 1, rng.choice((1, 2, 5, 20)))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
