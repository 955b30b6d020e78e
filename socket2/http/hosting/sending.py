"""Sending what an application has said of its answer, with the rules of HTTP about its length."""

from __future__ import annotations

from collections.abc import Generator
from typing import IO, Any, NamedTuple

from pollers import operation

from ..messages.outgoing import Piece, Written
from ..serving.exchange import Exchange


class Whole(NamedTuple):
    """An answer that is known as a whole."""

    status: int
    fields: Written
    body: Piece

    @operation
    def send(self, exchange: Exchange) -> Generator[Any, None, None]:
        fields, length = self.fields, self.fields.length
        is_head = exchange.head.method == "HEAD"
        if not is_head and self.status != 304:
            yield from exchange.respond(self.status, self.body, fields)
            return
        if length is None and is_head:
            length = len(self.body) or None  # an application may leave the body of HEAD out
        yield from exchange.start(self.status, fields, length, flush=False)
        yield from exchange.end()


@operation
def begin(exchange: Exchange, status: int, fields: Written, data: Piece) -> Generator[Any, None, None]:
    """Begin an answer, and send the first piece of its body."""
    yield from exchange.start(status, fields, None, flush=not data)
    if data:
        yield from exchange.send(data)


@operation
def send_file(
    exchange: Exchange, status: int, fields: Written, file: IO[bytes], position: int, left: int
) -> Generator[Any, None, None]:
    """Send an answer whose body is what is `left` of a file, or as much of that as its Content-Length says."""
    length = left if fields.length is None else fields.length
    yield from exchange.start(status, fields, length, False)
    yield from exchange.sendfile(file, position, min(length, left))
    yield from exchange.end()
