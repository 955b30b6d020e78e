"""The body of a request: from bytes, from an iterable, or from something to receive or read from.

Knows whether its length is known, and whether it can be sent again: a retry or a redirect may need that.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable
from urllib.parse import urlencode

from ...threads.coroutines import awaiting, is_coroutine
from ..messages.incoming import BLOCK
from ..messages.outgoing import checked_length, json_octets
from .url import Query

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@runtime_checkable
class Receiving(Protocol):
    """Something with recv(), such as a stream."""

    def recv(self, n: int, /) -> Any: ...


@runtime_checkable
class Reading(Protocol):
    """Something with read(): a File of socket2, or a file object, whose reads block."""

    def read(self, n: int, /) -> Any: ...


Content: TypeAlias = "ReadableBuffer | str | Iterable[bytes] | AsyncIterable[bytes] | Receiving | Reading | None"


class Body:
    """What a request sends. `length`: in bytes, None if it is not known before the end."""

    __slots__ = ("_begun", "_content", "content_type", "data", "length")

    def __init__(self, content: Content, content_type: str | None = None, length: int | None = None) -> None:
        """Raises TypeError if `content` is nothing that can be sent, ValueError if `length` cannot be one."""
        if length is not None:
            checked_length(length)
        self.content_type = content_type
        self._content: Any = content
        self._begun = False
        self.data: bytes | memoryview | None = None
        """All of it, if that is known now."""
        if content is None:
            self.data = b""
        elif isinstance(content, str):
            self.data = content.encode("utf-8")
            self.content_type = content_type or "text/plain; charset=utf-8"
        elif isinstance(content, bytes):
            self.data = content
        elif isinstance(content, (bytearray, memoryview)):
            self.data = memoryview(content).cast("B")
        elif not isinstance(content, (Receiving, Reading, AsyncIterable, Iterable)) or isinstance(content, dict):
            raise TypeError(f"a body is bytes, an iterable of bytes, or has recv() or read(): not {content!r:.80}")
        self.length = length if self.data is None else len(self.data)

    @property
    def can_be_sent(self) -> bool:
        """Whether its beginning is still there: it has not been begun, or can be begun again."""
        if self.data is not None or not self._begun:
            return True
        if isinstance(self._content, (Receiving, Reading)):
            return False
        return isinstance(self._content, Iterable) and not isinstance(self._content, Iterator)

    def begin(self) -> Pieces:
        """Return the pieces from the beginning."""
        self._begun = True
        return Pieces(self._content if self.data is None else [self.data])


class Pieces:
    """The pieces of one body, each when it is asked for."""

    __slots__ = ("_next",)

    def __init__(self, content: Any) -> None:
        self._next: Callable[[], Any]
        if isinstance(content, Receiving):
            self._next = lambda: content.recv(BLOCK)
        elif isinstance(content, Reading):
            self._next = lambda: content.read(BLOCK)
        elif isinstance(content, AsyncIterable):
            steps = content.__aiter__()
            self._next = lambda: _next_of(steps)
        else:
            iterator = iter(content)
            self._next = lambda: _first_with_content(iterator)

    def next(self) -> Generator[Any, None, bytes | memoryview]:
        """Return the next piece, b"" at the end. Raises what the program's own code raises."""
        made = self._next()
        piece = (yield from awaiting(made)) if is_coroutine(made) else made
        if isinstance(piece, bytes):
            return piece
        if not isinstance(piece, (bytearray, memoryview)):
            raise TypeError(f"a piece of a body must be bytes, not {piece!r:.80}")
        return memoryview(piece).cast("B")


def _first_with_content(iterator: Iterator[Any]) -> Any:
    return next((piece for piece in iterator if not isinstance(piece, (bytes, bytearray)) or piece), b"")


def _next_of(steps: Any) -> Generator[Any, None, Any]:
    while True:
        try:
            piece = yield from awaiting(steps.__anext__())
        except StopAsyncIteration:
            return b""
        if not isinstance(piece, (bytes, bytearray)) or piece:
            return piece


def body_of(content: Content, json: object, form: Query | None, length: int | None) -> Body:
    """Return the body of a request, of which one kind at most may be given. Raises TypeError, ValueError."""
    if (content is not None) + (json is not None) + (form is not None) > 1:
        raise TypeError("a request has only one of body, json and form")
    if json is not None:
        return Body(json_octets(json), "application/json")
    if form is not None:
        return Body(urlencode(form, doseq=True).encode("ascii"), "application/x-www-form-urlencoded")  # type: ignore[arg-type]
    return Body(content, length=length)
