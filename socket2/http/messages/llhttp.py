"""Which heads are well-formed, decided by llhttp through the package `httptools`.

It gets complete heads only, and calls no code in Python: that is several times as fast as taking fields out one by one.
A parser is used again if llhttp itself says that the message was complete. It may still expect no other message, for
reasons of its own, so a used one is not believed when it refuses.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

_KEPT_MAX = 8


class _Parser:
    """A parser of httptools, and whether its message goes on behind the head."""

    __slots__ = ("feed", "goes_on", "on_message_complete")

    def __init__(self, kind: type[HttpRequestParser] | type[HttpResponseParser]) -> None:
        self.goes_on: list[None] = []  # one item if it does
        self.on_message_complete = self.goes_on.clear
        self.feed = kind(self).feed_data


class Llhttp:
    """A checker with llhttp's parser for requests or responses."""

    __slots__ = ("_kind", "_ready", "usual")

    def __init__(self, is_response: bool) -> None:
        self.usual = None
        self._kind = HttpResponseParser if is_response else HttpRequestParser
        self._ready: list[_Parser] = []

    def check(self, head: bytes) -> bool:
        try:
            parser = self._ready.pop()
        except IndexError:
            return self._check_afresh(head)
        parser.goes_on.append(None)
        try:
            parser.feed(head)
        except (HttpParserError, HttpParserUpgrade):
            return self._check_afresh(head)
        if not parser.goes_on and len(self._ready) < _KEPT_MAX:
            self._ready.append(parser)
        return True

    def _check_afresh(self, head: bytes) -> bool:
        parser = _Parser(self._kind)
        parser.goes_on.append(None)
        try:
            parser.feed(head)
        except HttpParserUpgrade:
            return True
        except HttpParserError:
            return False
        if not parser.goes_on and len(self._ready) < _KEPT_MAX:
            self._ready.append(parser)
        return True
