"""A request as a program has asked for it, checked, before anything of it is sent."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..messages.fields import Fields, Given, field_name
from .body import Body
from .url import URL, basic

# RFC 9110, 9.2.2. Such a request may be sent again if nobody knows what has become of it.
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "QUERY", "PROPFIND"))

Login = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long parts of a request may take, in seconds. None means no limit.

    `pool`: the wait for a connection while the client has as many as PoolLimits allows. `connect`: the lookup of the
    name, the connection and its TLS handshake. `read`: each wait for data from the server. `send`: each wait until data
    can be sent, for up to 256 KB. `total`: the whole request, with all redirects and retries and the body of the
    response. Raises ValueError if one is not more than 0.
    """

    pool: float | None = None
    connect: float | None = 10.0
    read: float | None = 60.0
    send: float | None = 60.0
    total: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise ValueError(f"a timeout must be more than 0 seconds: {field.name}={value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request. `redirects`: how many may be followed."""

    method: str
    url: URL
    fields: Fields
    body: Body
    timeouts: Timeouts
    redirects: int
    may_downgrade: bool = False

    @property
    def shown(self) -> str:
        return str(self.url)

    @property
    def is_idempotent(self) -> bool:
        return self.method in IDEMPOTENT


def checked_method(method: str) -> str:
    """Return a method in the form that it is sent in. Raises ValueError, TypeError."""
    if not isinstance(method, str):
        raise TypeError(f"a method must be a str, not {method!r}")
    try:
        field_name(method)
    except ValueError:
        raise ValueError(f"not a method: {method!r}") from None
    name = method.upper() if method.islower() else method
    if name == "CONNECT":
        raise ValueError("CONNECT is for proxies: use Client(proxy=...)")
    return name


def checked_fields(*given: Given | None) -> Fields:
    """Return fields of which later ones replace earlier ones of the same name. Raises ValueError, TypeError."""
    found = Fields()
    for one in given:
        added = Fields() if one is None else Fields(one)
        for name in added.keys():  # noqa: SIM118 - not a dict
            if name in found:
                del found[name]
        for key, value in added.raw:
            found.add(key, value)
    return found


def authorization(auth: Login | None) -> str | None:
    """Return the value of Authorization for a user and a password. Raises ValueError, TypeError."""
    if auth is None:
        return None
    if not isinstance(auth, tuple) or len(auth) != 2 or not all(isinstance(part, str) for part in auth):
        raise TypeError("auth must be a tuple of a user and a password")
    user, password = auth
    return basic(user.encode("utf-8"), password.encode("utf-8"))
