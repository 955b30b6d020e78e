"""The fields of the two handshakes, without I/O. RFC 6455, 4.

A server checks that a page of another site does not use its visitors' cookies; browsers tell by Origin.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode, b64encode
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..messages.errors import ProtocolError
from ..messages.fields import Fields, elements, field_name
from ..messages.heads import RequestHead
from .deflate import Agreement, Deflate
from .entropy import unpredictable

if TYPE_CHECKING:
    from websockets.extensions.permessage_deflate import PerMessageDeflate

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = "13"

# Windows of 4 KB instead of 32 make messages little larger, and need much less memory.
_WINDOW_BITS = 12

Pairs = list[tuple[str, str]]


class Agreed(NamedTuple):
    """What a handshake has led to. `fields`: what a server's answer says of it."""

    fields: Pairs
    subprotocol: str | None
    deflate: Deflate | None


def new_key() -> str:
    return b64encode(unpredictable(16)).decode()


def accept_of(key: str) -> str:
    """Return the proof that a server has understood a key."""
    return b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def checked_subprotocols(names: Iterable[str]) -> tuple[str, ...]:
    """Raises TypeError, ValueError."""
    if isinstance(names, str):
        raise TypeError("subprotocols must be a list of str, not one str")
    found = tuple(names)
    for name in found:
        field_name(name)  # they are tokens, too
    if len(set(found)) < len(found):
        raise ValueError(f"a subprotocol is given twice: {found!r}")
    return found


# The server's side.


def accept(
    head: RequestHead,
    host: str,
    *,
    subprotocols: Sequence[str],
    origins: Sequence[str] | None,
    compress: bool,
) -> Agreed:
    """Check a request, and return what to answer. Raises ProtocolError."""
    fields = head.fields
    if head.method != "GET":
        raise ProtocolError("a WebSocket begins with GET", 405, {"allow": "GET"})
    if not wants_websocket(head):
        raise _upgrade_required("this is a WebSocket: the request must offer to upgrade to it")
    if fields.get_all("sec-websocket-version") != [_VERSION]:
        raise _upgrade_required(f"the version of the WebSocket protocol must be {_VERSION}")
    if head.body:
        raise ProtocolError("the request for a WebSocket has a body")
    key = _key_of(fields)
    _check_origin(fields, host, origins)
    answer = [("sec-websocket-accept", accept_of(key))]
    offered = offered_subprotocols(fields)
    subprotocol = next((name for name in subprotocols if name in offered), None)
    if subprotocol is not None:
        answer.append(("sec-websocket-protocol", subprotocol))
    deflate = None
    if compress:
        text, deflate = _accept_deflate(fields)
        if text:
            answer.append(("sec-websocket-extensions", text))
    return Agreed(answer, subprotocol, deflate)


def wants_websocket(head: RequestHead) -> bool:
    """Whether a request asks for a WebSocket, correctly or not."""
    return head.method == "GET" and head.upgrade is not None and b"websocket" in elements(head.upgrade)


def offered_subprotocols(fields: Fields) -> list[str]:
    """Return the subprotocols that a client speaks, the preferred one first. Raises ProtocolError."""
    return _tokens(fields, "sec-websocket-protocol")


def _upgrade_required(reason: str) -> ProtocolError:
    fields = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", _VERSION)]
    return ProtocolError(reason, 426, fields)


def _key_of(fields: Fields) -> str:
    keys = fields.get_all("sec-websocket-key")
    try:
        (key,) = keys
        if len(b64decode(key, validate=True)) != 16:
            raise ValueError
    except (ValueError, binascii.Error):
        raise ProtocolError("there must be one Sec-WebSocket-Key of 16 bytes in base64") from None
    return key


def _check_origin(fields: Fields, host: str, origins: Sequence[str] | None) -> None:
    """Compare the site of the page that makes the request, if there is one, with the allowed ones."""
    found = fields.get_all("origin")
    if not found or (origins is not None and "*" in origins):
        return
    origin = found[0].lower()
    if len(found) == 1:
        if origins is None:
            scheme, slashes, site = origin.partition("://")
            if scheme in ("http", "https") and slashes and site == host.lower():
                return
        elif origin in [one.lower() for one in origins]:
            return
    raise ProtocolError("pages of this origin may not open a WebSocket here", 403)


def _tokens(fields: Fields, name: str) -> list[str]:
    """Return the elements of a field that is a list of tokens, in their case. Raises ProtocolError."""
    found = [one.strip(" \t") for value in fields.get_all(name) for one in value.split(",")]
    found = [one for one in found if one]
    try:
        for one in found:
            field_name(one)
    except ValueError:
        raise ProtocolError(f"the field {name} is malformed") from None
    return found


def _accept_deflate(fields: Fields) -> tuple[str, Deflate | None]:
    """Return what to answer to the first offer of compression that can be taken, "" if there is none."""
    from websockets.exceptions import NegotiationError
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
    from websockets.headers import build_extension

    factory = ServerPerMessageDeflateFactory(
        server_max_window_bits=_WINDOW_BITS, client_max_window_bits=_WINDOW_BITS, require_client_max_window_bits=False
    )
    for name, parameters in _extensions(fields):
        if name != factory.name:
            continue
        try:
            answer, agreed = factory.process_request_params(parameters, [])
        except NegotiationError:
            continue
        return build_extension([(factory.name, list(answer))]), _deflate(agreed)
    return "", None


def _extensions(fields: Fields) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Return the extensions and their parameters. Raises ProtocolError."""
    from websockets.exceptions import InvalidHeaderFormat
    from websockets.headers import parse_extension

    found: list[tuple[str, list[tuple[str, str | None]]]] = []
    try:
        for value in fields.get_all("sec-websocket-extensions"):
            found += [(name, list(parameters)) for name, parameters in parse_extension(value)]
    except InvalidHeaderFormat:
        raise ProtocolError("the field sec-websocket-extensions is malformed") from None
    return found


def _deflate(agreed: PerMessageDeflate) -> Deflate:
    return Deflate(
        Agreement(
            sent_bits=agreed.local_max_window_bits,
            sent_takes_over=not agreed.local_no_context_takeover,
            received_bits=agreed.remote_max_window_bits,
            received_takes_over=not agreed.remote_no_context_takeover,
        )
    )


# The client's side.


class Offer:
    """What a client offers in its request."""

    __slots__ = ("_deflate", "_key", "_subprotocols")

    def __init__(self, subprotocols: Sequence[str], compress: bool) -> None:
        self._key = new_key()
        self._subprotocols = subprotocols
        self._deflate = None
        if compress:
            from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

            self._deflate = ClientPerMessageDeflateFactory(client_max_window_bits=True)

    def fields(self) -> Pairs:
        from websockets.headers import build_extension

        fields = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", _VERSION),
            ("sec-websocket-key", self._key),
        ]
        if self._subprotocols:
            fields.append(("sec-websocket-protocol", ", ".join(self._subprotocols)))
        if self._deflate is not None:
            offered = [(self._deflate.name, list(self._deflate.get_request_params()))]
            fields.append(("sec-websocket-extensions", build_extension(offered)))
        return fields

    def check(self, fields: Fields) -> Agreed:
        """Check the fields of an answer with status 101. Raises ProtocolError."""
        if elements((fields.get("upgrade") or "").encode("latin-1")) != [b"websocket"]:
            raise ProtocolError("the server has upgraded to another protocol than WebSocket")
        if fields.get_all("sec-websocket-accept") != [accept_of(self._key)]:
            raise ProtocolError("the server's Sec-WebSocket-Accept does not fit the request")
        chosen = _tokens(fields, "sec-websocket-protocol")
        if len(chosen) > 1 or any(name not in self._subprotocols for name in chosen):
            raise ProtocolError("the server has chosen a subprotocol that was not offered")
        return Agreed([], chosen[0] if chosen else None, self._check_deflate(fields))

    def _check_deflate(self, fields: Fields) -> Deflate | None:
        from websockets.exceptions import NegotiationError

        deflate = None
        for name, parameters in _extensions(fields):
            if self._deflate is None or name != self._deflate.name or deflate is not None:
                raise ProtocolError("the server has chosen an extension that was not offered")
            try:
                deflate = _deflate(self._deflate.process_response_params(parameters, []))
            except NegotiationError:
                raise ProtocolError("the server has chosen parameters of an extension that were not offered") from None
        return deflate
