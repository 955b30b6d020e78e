"""Contexts with safe defaults: TLS 1.2 or later, the system's certificate authorities, no renegotiation.

A context is an ssl.SSLContext, so all of its settings are there. Every function that takes one takes any.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import ssl

    from .reloading import ServerContext

Path: TypeAlias = "str | os.PathLike[str]"

# For TLS 1.2, as TLS 1.3 has them: a new key for each connection, and no CBC. OpenSSL's own default has more.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def client_context(
    *,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    password: str | None = None,
    alpn: Iterable[str] = (),
    keylog: Path | None = None,
) -> ssl.SSLContext:
    """Return a context for clients. It verifies the server's certificate and its name.

    `ca`: a file or directory of certificate authorities in PEM to trust instead of the system's. `certificate`, `key`,
    `password`: the client's own certificate, as in server_context(). `alpn`: the protocols that the client offers, best
    first, such as "h2" and "http/1.1". `keylog`: a file that the secrets of connections are appended to, for
    Wireshark; by default the environment's SSLKEYLOGFILE. Whoever has it can read the connections.

    This reads files, which blocks for some milliseconds: make one context and use it for many connections. Raises
    OSError or ssl.SSLError if a file cannot be used, ValueError if there is a key without a certificate.
    """
    import ssl

    offered = protocols(alpn)
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, **({} if ca is None else _authorities(ca)))
    _set_up(context, certificate, key, password, offered, keylog)
    return context


def server_context(
    certificate: Path,
    key: Path | None = None,
    *,
    password: str | None = None,
    client_ca: Path | None = None,
    client_certificate: Literal["required", "optional"] = "required",
    alpn: Iterable[str] = (),
    names: Mapping[str, ssl.SSLContext] | None = None,
    keylog: Path | None = None,
) -> ServerContext:
    """Return a context for servers, which is an ssl.SSLContext with a method reload().

    `certificate`: a PEM file with the server's certificate and the intermediate ones, in this order. `key`: the file
    with its private key; by default it is in the same file. `password`: of the key. `client_ca`: a file or directory of
    certificate authorities. If it is given, a client must have a certificate that one of them has issued; with
    `client_certificate="optional"`, a client may also have none. `alpn`: the protocols that the server speaks, best
    first. `names`: other contexts by the name that a client asks for (SNI); `*.example.org` stands for one label. Such
    a context provides the certificate and `alpn`. What is required of clients is decided by this context. `keylog`: as
    in client_context().

    Raises OSError or ssl.SSLError if a file cannot be used; ValueError for a pattern in `names` that no name can match,
    or if one of its contexts requires a certificate of clients and this one does not, which would have no effect.
    """
    import ssl

    from .reloading import ServerContext

    if client_certificate not in ("required", "optional"):
        raise ValueError(f"client_certificate must be 'required' or 'optional', not {client_certificate!r}")
    os.fspath(certificate)
    offered, contexts = protocols(alpn), dict(names or {})
    _check_names(contexts, client_ca is not None and client_certificate == "required")
    make = partial(
        _make_server, certificate, key, password, client_ca, client_certificate == "required", offered, contexts, keylog
    )
    context = make(ServerContext)
    assert isinstance(context, ServerContext)
    context.remember(partial(make, ssl.SSLContext), contexts.values())
    return context


def _check_names(contexts: Mapping[str, ssl.SSLContext], required: bool) -> None:
    import ssl

    for name, context in contexts.items():
        if not isinstance(context, ssl.SSLContext):
            raise TypeError(f"names[{name!r}] must be an ssl.SSLContext, not {context!r}")
        if "*" in name.removeprefix("*."):
            raise ValueError(
                f"names: {name!r} matches no name; '*' stands for the first label only, as in '*.example.org'"
            )
        if context.verify_mode == ssl.CERT_REQUIRED and not required:
            raise ValueError(f"names[{name!r}] requires a certificate of clients, which only the first context can do")


def _make_server(
    certificate: Path,
    key: Path | None,
    password: str | None,
    client_ca: Path | None,
    required: bool,
    alpn: tuple[str, ...],
    names: dict[str, ssl.SSLContext],
    keylog: Path | None,
    kind: type[ssl.SSLContext],
) -> ssl.SSLContext:
    import ssl

    from .reloading import choose_by_name

    context = kind(ssl.PROTOCOL_TLS_SERVER)
    _set_up(context, certificate, key, password, alpn, keylog)
    context.set_ciphers(_CIPHERS)
    if client_ca is not None:
        context.load_verify_locations(**_authorities(client_ca))
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    choose_by_name(context, names)
    return context


def _set_up(
    context: ssl.SSLContext,
    certificate: Path | None,
    key: Path | None,
    password: str | None,
    alpn: tuple[str, ...],
    keylog: Path | None,
) -> None:
    import ssl

    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    if certificate is not None:
        # Without a password OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate, key, password if password is not None else "")
    elif key is not None:
        raise ValueError("a key needs its certificate")
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if keylog is None:
        keylog = os.environ.get("SSLKEYLOGFILE") or None
    if keylog is not None:
        context.keylog_filename = os.fspath(keylog)


def _authorities(path: Path) -> dict[str, Any]:
    """Return the argument of `ssl` for a file or directory of certificate authorities."""
    return {"capath" if os.path.isdir(path) else "cafile": os.fspath(path)}


def protocols(alpn: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the protocols. Raises TypeError for one string, which would be taken letter by letter."""
    if isinstance(alpn, (str, bytes)):
        raise TypeError(f"alpn must be a sequence of names, not {alpn!r}")
    return tuple(alpn)


@lru_cache(maxsize=16)
def default_client_context(alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Return client_context(alpn=...), the same one for the same protocols."""
    return client_context(alpn=alpn)
