"""Request targets and hosts: what a request line and a Host field may name. RFC 9112, 3.2."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote

from .errors import ProtocolError

_HOST = rb"(?:\[[0-9A-Fa-f:.]+\]|\[v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)"
_HOST_FIELD = re.compile(_HOST + rb"(?::[0-9]{0,5})?", re.ASCII).fullmatch
_AUTHORITY = re.compile(_HOST + rb":([0-9]{1,5})", re.ASCII).fullmatch
_ABSOLUTE = re.compile(rb"([A-Za-z]+)://([^/?]*)(.*)", re.DOTALL).fullmatch


class Target(NamedTuple):
    """What a request is for. `form`: "origin", "absolute", "authority" (CONNECT) or "asterisk" (OPTIONS *)."""

    form: str
    path: bytes
    """As it was sent, with percent-encoding. Empty in the authority form, * in the asterisk form."""
    query: bytes
    """What is behind the "?", as it was sent."""
    scheme: bytes = b""
    authority: bytes = b""
    """The host and port; only in the absolute and authority forms."""

    def decoded_path(self) -> str:
        """Return the path without percent-encoding, as UTF-8. Bytes that are not UTF-8 become U+FFFD."""
        path = self.path.decode("ascii")
        return unquote(path, errors="replace") if "%" in path else path


@lru_cache(maxsize=1024)
def is_host(value: bytes) -> bool:
    """Whether this can be the value of a Host field. It may be empty."""
    return _HOST_FIELD(value) is not None


def parse_target(method: str, target: bytes) -> Target:
    """Take the target of a request apart. Raises ProtocolError if it cannot be one for this method."""
    if method == "CONNECT":
        found = _AUTHORITY(target)
        if found is None or target.startswith(b":") or int(found[1]) > 65535:
            raise ProtocolError("the target of CONNECT must be a host and a port")
        return Target("authority", b"", b"", authority=target)
    if target.startswith(b"/"):
        path, _, query = target.partition(b"?")
        return Target("origin", path, query)
    if target == b"*":
        if method != "OPTIONS":
            raise ProtocolError("only OPTIONS can have the target *")
        return Target("asterisk", b"*", b"")
    found = _ABSOLUTE(target)
    if found is None:
        raise ProtocolError("the target must be a path, or an absolute URI")
    scheme, authority, rest = found.groups()
    if scheme.lower() in (b"http", b"https") and (not authority or authority.startswith(b":")):
        raise ProtocolError("the URI has no host")
    if not is_host(authority):
        raise ProtocolError("the URI's authority must be a host and a port")
    path, _, query = rest.partition(b"?")
    if not path:
        path = b"*" if method == "OPTIONS" and not query else b"/"
    return Target("absolute", path, query, scheme.lower(), authority)
