"""Where a body ends, and what becomes of the connection: the rules of RFC 9112, 6, which parsers leave to their users.

Each rule here is one that two parties may not disagree on, or a request can be smuggled past one of them.
"""

from __future__ import annotations

import re

from .errors import ProtocolError
from .fields import elements
from .status import has_no_body

CHUNKED = -1
UNTIL_CLOSE = -2

_LENGTH_MAX = 2**63 - 1
_DIGITS = re.compile(rb"[0-9]{1,19}").fullmatch

# Other codings can stand before `chunked`. We do not decode them.
_KNOWN_CODINGS = {b"chunked", b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress"}


class Framing:
    """What the fields of one head say about the message and the connection, before any rule is applied."""

    __slots__ = ("codings", "connection", "expect", "hosts", "lengths", "upgrade")

    def __init__(self, found: list[tuple[bytes, bytes]]) -> None:
        """`found`: the fields that matter here, with names in lower case and values as they came."""
        self.hosts: list[bytes] = []
        self.lengths: list[bytes] = []
        self.codings: list[bytes] | None = None
        self.connection: set[bytes] = set()
        self.expect: list[bytes] = []
        self.upgrade: list[bytes] = []
        for name, raw in found:
            value = raw.strip(b" \t")
            if name == b"host":
                self.hosts.append(value)
            elif name == b"content-length":
                self.lengths.append(value)
            elif name == b"transfer-encoding":
                # with a tab it is not chunked, as for llhttp
                self.codings = (self.codings or []) + [coding.strip(b" ") for coding in raw.lower().split(b",")]
            elif name == b"connection":
                self.connection.update(elements(value))
            elif name == b"expect":
                self.expect += elements(value)
            else:
                self.upgrade.append(value)

    def keeps_alive(self, minor: int) -> bool:
        """Whether the connection can be used again, as far as its peer is concerned."""
        if b"close" in self.connection:
            return False
        return minor > 0 or b"keep-alive" in self.connection

    def length(self) -> int | None:
        """Return the Content-Length, None without one. Several are refused, even if they are alike."""
        if not self.lengths:
            return None
        if len(self.lengths) > 1:
            raise ProtocolError("there is more than one Content-Length")
        if not _DIGITS(self.lengths[0]) or int(self.lengths[0]) > _LENGTH_MAX:
            raise ProtocolError("the Content-Length is not a number of bytes")
        return int(self.lengths[0])

    def of_request(self, method: str, minor: int) -> int:
        """Return the length of a request's body, or CHUNKED. Raises ProtocolError."""
        length = self.length()
        if self.codings is None:
            if length and method == "CONNECT":
                raise ProtocolError("CONNECT has no body")
            return length or 0
        self._check_codings(minor, length)
        if method == "CONNECT":
            raise ProtocolError("CONNECT has no body")
        if any(coding not in _KNOWN_CODINGS for coding in self.codings):
            raise ProtocolError("an unknown Transfer-Encoding", 501)
        if self.codings[-1] != b"chunked" or self.codings.count(b"chunked") > 1:
            raise ProtocolError("the Transfer-Encoding must end with one chunked")
        if len(self.codings) > 1:
            raise ProtocolError("only chunked is implemented of the Transfer-Encodings", 501)
        return CHUNKED

    def of_response(self, method: str, status: int, minor: int) -> int:
        """Return the length of a response's body, CHUNKED or UNTIL_CLOSE. Raises ProtocolError."""
        length = self.length()
        if self.codings is not None:
            self._check_codings(minor, length)
            if self.codings != [b"chunked"]:
                raise ProtocolError("only chunked is implemented of the Transfer-Encodings", 501)
        if method == "HEAD" or has_no_body(status) or (method == "CONNECT" and status < 300):
            return 0
        if self.codings is None:
            return UNTIL_CLOSE if length is None else length
        return CHUNKED

    def _check_codings(self, minor: int, length: int | None) -> None:
        if length is not None:
            raise ProtocolError("there are both Content-Length and Transfer-Encoding")
        if minor == 0:
            raise ProtocolError("HTTP/1.0 has no Transfer-Encoding")
