"""Iterating over what a stream receives, with `async for`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pollers import Operation, operation

if TYPE_CHECKING:
    from typing import Self

PieceT = TypeVar("PieceT", bound=bytes | None)


class Pieces(Generic[PieceT]):
    """The pieces of a stream, one by one, for `async for`."""

    __slots__ = ("_end", "_receive")

    def __init__(self, receive: Callable[[], Operation[PieceT]], end: PieceT) -> None:
        self._receive = receive
        self._end = end

    def __aiter__(self) -> Self:
        return self

    @operation
    def __anext__(self) -> Generator[Any, None, bytes]:
        piece = yield from self._receive()
        if piece is None or piece == self._end:
            raise StopAsyncIteration
        return piece
