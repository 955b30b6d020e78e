"""URLs of requests: what a user types, and what a server sends in Location, becomes a host, a port and a target.

Takes what browsers and curl take without a doubt about the meaning, and refuses the rest: a host that two parties read
in two ways leads a request to the wrong one. RFC 3986, RFC 9110, 4.2.
"""

from __future__ import annotations

import ipaddress
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias
from urllib.parse import quote, unquote_to_bytes, urlencode, urljoin

from ...sockets.hostnames import ascii_name
from .failures import InvalidURL

Query: TypeAlias = Mapping[str, object] | Iterable[tuple[str, object]]

PORTS = {"http": 80, "https": 443}

_PARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL).fullmatch
_AUTHORITY = re.compile(r"(?:([^@]*)@)?(\[[^\[\]]*\]|[^\[\]:]*)(?::([0-9]*))?", re.DOTALL).fullmatch
_NAME = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_\-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_\-]*[A-Za-z0-9_])?)*\.?"
).fullmatch
_NUMERIC = re.compile(r"(.*\.)?(0[xX][0-9A-Fa-f]*|[0-9]+)\.?").fullmatch
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\]").search
_SCHEMELESS = re.compile(r"[^/?#@]*(:[0-9]+)?([/?#].*)?", re.DOTALL).fullmatch

_SAFE = "/!$&'()*+,;=:@-._~%"
_ZONE = re.compile(r"%25[^\]]*\]")
_STRAY = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class URL:
    """A checked http or https URL. `host`: in lower case and ASCII, without brackets. `target`: path and query."""

    scheme: str
    host: str
    port: int
    target: str
    fragment: str = ""
    authorization: str | None = field(default=None, repr=False, compare=False)  # for the user and password in it

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"

    @property
    def origin(self) -> tuple[str, str, int]:
        """The scheme, host and port. What a server may know, it may know for one origin."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The host and port, without the scheme's own port."""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return host if PORTS.get(self.scheme) == self.port else f"{host}:{self.port}"

    @property
    def host_field(self) -> str:
        """The value of the Host field. A zone of an IPv6 address means something on this machine only."""
        return _ZONE.sub("]", self.authority)

    @property
    def host_and_port(self) -> str:
        """The host and port as CONNECT names them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def absolute(self) -> str:
        """The URL without user, password and fragment."""
        return f"{self.scheme}://{self.authority}{self.target}"

    def __str__(self) -> str:
        return f"{self.absolute}#{self.fragment}" if self.fragment else self.absolute

    def with_query(self, query: Query) -> URL:
        """Return the URL with more in its query. Lists give several values to a name; None leaves it out."""
        pairs = query.items() if isinstance(query, Mapping) else query
        given = [(name, value) for name, value in pairs if value is not None]
        text = urlencode([(name, _as_text(value)) for name, value in given], doseq=True)
        if not text:
            return self
        return replace(self, target=f"{self.target}{'&' if '?' in self.target else '?'}{text}")

    def join(self, location: str) -> URL:
        """Return where a Location leads to from here. Raises InvalidURL."""
        try:
            text = urljoin(str(self), location.strip(" \t"))
        except ValueError as error:
            raise InvalidURL(str(error), "", _shown(location)) from None
        joined = parse_url(text)
        return joined if joined.fragment else replace(joined, fragment=self.fragment)


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return [_as_text(one) for one in value] if isinstance(value, (list, tuple)) else value


def parse_url(text: str, schemes: Mapping[str, int] = PORTS) -> URL:
    """Take a URL apart, and percent-encode what is not ASCII. Raises InvalidURL; TypeError if it is no str."""
    if not isinstance(text, str):
        raise TypeError(f"a URL must be a str, not {text!r}")
    stripped = text.strip(" \t\r\n\f")
    if _UNFIT(stripped):
        raise InvalidURL("a URL must not contain control characters or backslashes", "", _shown(stripped))
    parts = _PARTS(stripped)
    if parts is None:
        hint = f": did you mean http://{stripped}?" if stripped and _SCHEMELESS(stripped) else ""
        raise InvalidURL(f"a URL begins with a scheme and ://{hint}", "", _shown(stripped))
    scheme, authority, path, query, fragment = parts.groups()
    scheme = scheme.lower()
    if scheme not in schemes:
        raise InvalidURL(f"the scheme must be {' or '.join(schemes)}", "", _shown(stripped))
    found = _AUTHORITY(authority)
    if found is None:
        raise InvalidURL("the part behind :// must be a host, or a host and a port", "", _shown(stripped))
    user, host, port = found.groups()
    try:
        name = _host(host)
    except ValueError as error:
        raise InvalidURL(str(error), "", _shown(stripped)) from None
    number = int(port[:6]) if port else schemes[scheme]
    if number > 65535 or len(port or "") > 5 or (number == 0 and port):
        raise InvalidURL("the port must be a number from 1 to 65535", "", _shown(stripped))
    target = _encoded(_without_dots(path)) or "/"
    if query is not None:
        target += f"?{_encoded(query, '/?')}"
    return URL(scheme, name, number, target, _encoded(fragment or "", "/?"), _authorization(user))


def _host(host: str) -> str:
    """Return a host in its one form. Raises ValueError."""
    if host.startswith("["):
        literal, percent, zone = host[1:-1].partition("%25")
        address = ipaddress.IPv6Address(literal)  # its error is a ValueError that says enough
        return f"{address}{'%' * bool(percent)}{zone}"
    if not host:
        raise ValueError("the URL has no host")
    if "%" in host:
        try:
            host = unquote_to_bytes(host).decode("utf-8")
        except UnicodeDecodeError:
            raise ValueError(f"not a host name: {host!r}") from None
    name = ascii_name(host).lower()
    if not _NAME(name) or len(name) > 254 or any(len(label) > 63 for label in name.split(".")):
        raise ValueError(f"not a host name: {host!r}")
    if _NUMERIC(name):
        # Resolvers read 127.1, 0x7f.1 and 2130706433 as addresses, filters often do not.
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise ValueError(f"not an IPv4 address in its usual form: {host!r}") from None
    return name


def _encoded(text: str, more: str = "") -> str:
    return _STRAY.sub("%25", quote(text, safe=_SAFE + more))


def _without_dots(path: str) -> str:
    """Remove the segments "." and "..", as RFC 3986, 5.2.4 says. Encoded dots stay."""
    if "/." not in path:
        return path
    segments = path.split("/")
    kept: list[str] = []
    for segment in segments[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def basic(user: bytes, password: bytes) -> str:
    """Return the value of an Authorization field for a user and a password. RFC 7617."""
    if b":" in user:
        raise ValueError("a user name for the Basic scheme must not contain a colon")
    return f"Basic {b64encode(user + b':' + password).decode('ascii')}"


def credentials(userinfo: str) -> tuple[bytes, bytes]:
    """Return the user and password of the part of a URL before the @, without percent-encoding."""
    user, _, password = userinfo.partition(":")
    return unquote_to_bytes(user), unquote_to_bytes(password)


def _authorization(userinfo: str | None) -> str | None:
    if not userinfo:
        return None
    try:
        return basic(*credentials(userinfo))
    except ValueError as error:
        raise InvalidURL(str(error)) from None


def _shown(text: str) -> str:
    """Return a URL that may be wrong as it may be shown: without what may be a password, and on one line."""
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        scheme, rest = "", text
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    rest = rest[authority.rfind("@") + 1 :]
    return ascii(f"{scheme}{slashes}{rest}"[:200])[1:-1]
