"""A response: its head, its body as it comes, and what becomes of its connection."""

from __future__ import annotations

import codecs
import json
import re
import sys
import warnings
from collections.abc import Callable, Generator
from email.message import Message
from typing import TYPE_CHECKING, Any

import pollers
from pollers import Operation, operation

from ...streams.buffer import Buffer
from ...streams.pieces import Pieces
from ...streams.stream import LINE_MAX, Stream
from ...streams.transport import byte_count
from ...threads.loop import now
from ...threads.scheduler import leave_to_loop
from ...threads.scope import timeout
from ...threads.thread import over_at_once
from ..messages.errors import ProtocolError
from ..messages.fields import Fields
from ..messages.heads import ResponseHead
from ..messages.incoming import BLOCK
from .connection import Timings
from .decoding import Decoder, DecodingError, decoder_of
from .exchange import Exchange
from .failures import RequestError, RequestTimeout, ResponseError

if TYPE_CHECKING:
    from typing import Self

READ_MAX = 64 * 1024 * 1024
"""The default limit for a body that is read as a whole, in bytes after decoding."""

_TOO_SLOW = {"read": "the server sends nothing more", "send": "the server does not take the request"}

_REDIRECTS = (301, 302, 303, 307, 308)


class Response(pollers.Unique):
    """The response to a request. Use it as a block: `with (yield from http.request("GET", url)) as response:`.

    The head is here when request() returns, the body is received when it is asked for. One thread at a time receives
    it. When all of it was received, the connection goes back to the client at once. If some is left at the end of the
    block, what has come already is dropped; if that was not the rest, the connection is closed.

    A cancellation or timeout of a receive takes nothing, nor does recvline() if the line is too long: it can be tried
    again in the block. After any other error the connection is closed. The errors are RequestErrors.
    """

    __slots__ = (
        "_closed",
        "_deadline",
        "_decoder",
        "_ended",
        "_exchange",
        "_lines",
        "_release",
        "_taken",
        "headers",
        "history",
        "http_version",
        "interim",
        "method",
        "reason",
        "status",
        "timings",
        "url",
    )

    def __init__(
        self,
        method: str,
        url: str,
        head: ResponseHead,
        exchange: Exchange,
        release: Callable[[Exchange], None],
        deadline: float | None,
        decodes: bool,
    ) -> None:
        """`release` gets the exchange when it is over. `deadline`: of the request as a whole."""
        self.method = method
        """The method of the request; of the last one after redirects."""
        self.url = url
        """The URL of the request without a password; of the last one after redirects."""
        self.status = head.status
        """The status code, such as 200."""
        self.reason = head.reason
        """The text behind the status code. Servers may send any or none."""
        self.http_version = f"1.{head.minor}"
        """The server's version: "1.1" or "1.0"."""
        self.headers: Fields = head.fields
        """The fields of the head."""
        self.history: list[Response] = []
        """The redirects that led here, the first one first. Their bodies were dropped."""
        self.interim = [(one.status, one.fields) for one in exchange.interim]
        """The interim responses that came before, such as 103: their status codes and fields."""
        self.timings: Timings = exchange.timings
        """When the phases of the request ended."""
        self._exchange = exchange
        self._release: Callable[[Exchange], None] | None = None
        self._deadline = deadline
        self._ended = False  # whether the connection has given all
        self._taken = False  # whether the program has taken all
        self._closed = False
        self._lines = Buffer()  # what lines() has received too much
        self._decoder: Decoder | None = None
        if decodes and method != "HEAD":
            try:
                self._decoder = decoder_of(self.headers.get("content-encoding") or "")
            except DecodingError as error:
                raise ProtocolError(str(error)) from None
        self._release = release  # from here on the response has the connection

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def is_redirect(self) -> bool:
        """Whether the response is a redirect and says where to."""
        return self.status in _REDIRECTS and "location" in self.headers

    @property
    def trailers(self) -> Fields:
        """The fields behind the body. Empty before its end."""
        return self._exchange.trailers

    @property
    def closed(self) -> bool:
        """Whether close() was called, by the end of the block or before, or an error has closed the response."""
        return self._closed

    def raise_for_status(self) -> Self:
        """Raise StatusError if the status is 400 or above. Otherwise return the response."""
        if not self.ok:
            raise StatusError(f"{self.status} {self.reason}".rstrip(), self.method, self.url, self)
        return self

    # The body.

    def recv(self, n: int = BLOCK) -> Operation[bytes]:
        """Receive 1 to `n` bytes of the body, as they come, decoded; b"" at its end.

        Raises RequestTimeout, ResponseError; ValueError if `n` is negative; RuntimeError if the response is closed and
        the body was not received. Like a stream, a response can be the body of another request.
        """
        return self._limited(self._recv(byte_count(n)))

    def read(self, max_bytes: int | None = READ_MAX) -> Operation[bytes]:
        """Receive all of the body, decoded. `max_bytes`: how much that may be, None for no limit.

        Raises as recv() does; ResponseError if the body is larger, which closes the response. After a cancellation or
        timeout, what has come stays for the next call.
        """
        return self._limited(self._read(max_bytes))

    @operation
    def text(self, encoding: str | None = None, max_bytes: int | None = READ_MAX) -> Generator[Any, None, str]:
        """Receive all of the body as text.

        `encoding`: by default the charset of Content-Type, else UTF-8. What is not text in it becomes U+FFFD. Raises as
        read() does; LookupError if Python does not know the `encoding` that is given.
        """
        name = _known(self._charset()) if encoding is None else codecs.lookup(encoding).name
        data = yield from self.read(max_bytes)
        return data.decode(name, "replace")

    @operation
    def json(self, max_bytes: int | None = READ_MAX) -> Generator[Any, None, Any]:
        """Receive all of the body and return what it is in JSON.

        Raises as read() does; ResponseError if it is not JSON.
        """
        data = yield from self.read(max_bytes)
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ResponseError(f"the body is not JSON: {error}", self.method, self.url) from error

    def recvline(self, max_bytes: int = LINE_MAX) -> Operation[bytes | None]:
        """Receive a line of the body without its end, LF or CR LF; None at the end. The last line needs no end.

        `max_bytes`: how long a line may be. Raises as recv() does; ResponseError if the line is longer,
        which takes nothing.
        """
        return self._limited(self._recvline(byte_count(max_bytes)))

    def lines(self, max_bytes: int = LINE_MAX) -> Pieces[bytes | None]:
        """Iterate over the lines of the body with `async for`: recvline() until it returns None."""
        return Pieces(lambda: self.recvline(max_bytes), None)

    def __aiter__(self) -> Pieces[bytes]:
        """Iterate over the body as it comes with `async for`: recv() until it returns b""."""
        return Pieces(self.recv, b"")

    def _charset(self) -> str:
        message = Message()
        message["content-type"] = self.headers.get("content-type") or ""
        return message.get_content_charset() or "utf-8"

    @operation
    def _limited(self, op: Operation[Any]) -> Generator[Any, None, Any]:
        """Apply the limit for the whole request, and say which request an error is about."""
        if (turn := over_at_once()) is not None:
            try:
                yield from turn.wait()
            except BaseException:
                op.close()
                raise
        if self._deadline is None or self._taken:
            return (yield from op)
        limit = timeout(max(self._deadline - now(), 0))
        try:
            with limit:
                return (yield from op)
        except RequestError:
            raise
        except TimeoutError:
            raise RequestTimeout("the request took too long", self.method, self.url, "total") from None

    @operation
    def _recv(self, n: int) -> Generator[Any, None, bytes]:
        if len(self._lines):
            return self._lines.some(True, n) or b""
        return (yield from self._next(n)) if n else b""

    def _next(self, n: int) -> Generator[Any, None, bytes]:
        """Return the next bytes of the body after decoding."""
        try:
            decoder = self._decoder
            if decoder is None:
                return (yield from self._next_raw(n))
            while not (out := decoder.decode(b"", n)):
                data = b"" if self._ended else (yield from self._next_raw(BLOCK))
                if not data:
                    if not self._taken:
                        decoder.check_end()
                    self._taken = True
                    return b""
                if out := decoder.decode(data, n):
                    break
            return out
        except TimeoutError as error:
            if isinstance(error, RequestError) or error is self._exchange.body_error:
                raise
            phase = "send" if self._exchange.was_slow else "read"
            raise RequestTimeout(_TOO_SLOW[phase], self.method, self.url, phase) from None
        except DecodingError as error:
            self.close()
            raise ResponseError(f"the body cannot be decoded: {error}", self.method, self.url) from error
        except (ProtocolError, OSError) as error:
            self.close()
            if error is self._exchange.body_error:
                raise
            raise ResponseError(f"the body is incomplete: {error}", self.method, self.url) from error
        except Exception:
            self.close()  # the program's own code has failed, which makes the body of the request
            raise

    def _next_raw(self, n: int) -> Generator[Any, None, bytes]:
        if self._ended:
            return b""
        if self._closed:
            raise RuntimeError("the response is closed, and its body was not received before")
        data = yield from self._exchange.next(n)
        if not data:
            self._end()
        return data

    @operation
    def _read(self, max_bytes: int | None) -> Generator[Any, None, bytes]:
        buffer = self._lines
        while data := (yield from self._next(BLOCK)):
            buffer.add(data)
            if max_bytes is not None and len(buffer) > max_bytes:
                self.close()
                raise ResponseError(f"the body is larger than {max_bytes} bytes", self.method, self.url)
        return buffer.take(len(buffer))

    @operation
    def _recvline(self, max_bytes: int) -> Generator[Any, None, bytes | None]:
        buffer = self._lines
        while True:
            try:
                line = buffer.line(False, max_bytes, False)
            except OSError as error:
                raise ResponseError(str(error.strerror), self.method, self.url) from error
            if line is not None:
                return line
            data = yield from self._next(BLOCK)
            if not data:
                return buffer.take(len(buffer)) if len(buffer) else None
            buffer.add(data)

    def upgrade(self) -> Stream:
        """Return the connection after status 101: it speaks the protocol that the request has offered in Upgrade.

        The stream belongs to the caller, who closes it; the client does not count it any more. Raises RuntimeError if
        the status is another one, or the response is closed.
        """
        if self.status != 101 or self._release is None:
            raise RuntimeError(f"there is no other protocol: the status is {self.status}, or the response is closed")
        release, self._release = self._release, None
        self._closed = self._ended = self._taken = True
        try:
            return self._exchange.upgrade()
        finally:
            release(self._exchange)

    @operation
    def drain(self, max_bytes: int) -> Generator[Any, None, None]:
        """Drop up to `max_bytes` of the body, and close the response. For the other rooms of socket2."""
        try:
            while not self._ended and max_bytes > 0:
                max_bytes -= len((yield from self._next_raw(BLOCK)))
        except (ProtocolError, OSError):
            pass
        finally:
            self.close()

    # The end.

    def _end(self) -> None:
        self._ended = True
        self._taken = self._decoder is None
        release, self._release = self._release, None
        if release is not None:
            release(self._exchange)

    def close(self) -> None:
        """End the response: give the connection back, or close it if not all of the body has come. Does not wait.

        A second call does nothing.
        """
        if self._closed:
            return
        self._closed = True
        if self._release is None:
            return
        try:
            while True:  # see threads/lock.py
                if self._ended or (data := self._exchange.at_hand(BLOCK)) is None:
                    break
                if data:
                    continue
                self._end()
        except (ProtocolError, OSError):
            pass
        finally:
            release, self._release = self._release, None
            if release is not None:
                release(self._exchange)

    def __del__(self) -> None:
        if getattr(self, "_release", None) is not None and not sys.is_finalizing():
            try:
                warnings.warn(f"unclosed {self!r}: use it as a block", ResourceWarning, stacklevel=2, source=self)
            finally:
                if not leave_to_loop(self.close):
                    self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}, {self.method} {self.url}>"


_CHARSET = re.compile(r"[\w.:+\-]{1,40}", re.ASCII).fullmatch


def _known(name: str) -> str:
    """Return the name of an encoding of text that Python has, UTF-8 for any other: the server has chosen it."""
    try:
        info = codecs.lookup(name) if _CHARSET(name) else None
    except LookupError:
        info = None
    return info.name if info is not None and getattr(info, "_is_text_encoding", True) else "utf-8"


class StatusError(RequestError):
    """The status of a response is 400 or above. Only raise_for_status() raises this. `response`: the response."""

    def __init__(self, reason: str, method: str = "", url: str = "", response: Response | None = None) -> None:
        super().__init__(reason, method, url)
        self.response = response

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.method, self.url), {**self.__dict__, "response": None}
