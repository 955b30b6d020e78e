"""Contexts with safe defaults: TLS 1.2 or later, the system's certificate authorities, no renegotiation.

A context is an ssl.SSLContext, so all of its settings are there. Every function that takes one takes any.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    import ssl

    from .reloading import ServerContext

Path: TypeAlias = "str | os.PathLike[str]"

# For TLS 1.2, as TLS 1.3 has them: a new key for each connection, and no CBC. OpenSSL's own default has more.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

# What can be in `names`: a client asks for no address (RFC 6066, section 3).
_ASKED_FOR = re.compile(r"(?![\d.]*$)[^:/\s]+")


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
    OSError or ssl.SSLError if a file cannot be used, with its name and the reason; TypeError for a path that is no
    path or a password without a certificate, ValueError if there is a key without a certificate.
    """
    import ssl

    from .pem import authorities, naming

    offered = protocols(alpn)
    if password is not None and certificate is None:
        raise TypeError("password is that of the certificate's key: it needs a certificate")
    ca, certificate, key, keylog = (
        None if path is None else _text(name, path)
        for name, path in (("ca", ca), ("certificate", certificate), ("key", key), ("keylog", keylog))
    )
    if ca is None:
        context = ssl.create_default_context()
    else:
        with naming(ca):
            context = ssl.create_default_context(**authorities(ca))
    _set_up(context, certificate, key, password, offered, keylog)
    return context


def server_context(
    certificate: Path,
    key: Path | None = None,
    *,
    password: str | None = None,
    client_ca: Path | None = None,
    client_certificate: Literal["required", "optional"] | None = None,
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
    a context provides the certificate and `alpn`. What is required of clients is decided by this context, and
    `client_ca` is loaded into the others, too. `keylog`: as in client_context().

    Raises OSError or ssl.SSLError if a file cannot be used, with its name and the reason. Raises TypeError for a path
    that is no path; ValueError for `client_certificate` without `client_ca`, for a pattern in `names` that no name can
    match, for two spellings of one name there, or if one of its contexts requires a certificate of clients and this one
    does not: these have no effect. Raises ValueError, too, if one of them trusts other authorities than `client_ca`.
    """
    import ssl

    from .reloading import ServerContext

    if client_certificate not in ("required", "optional", None):
        raise ValueError(f"client_certificate must be 'required' or 'optional', not {client_certificate!r}")
    if client_certificate is not None and client_ca is None:
        raise ValueError("client_certificate needs client_ca: without it, no client is asked for a certificate")
    required = client_ca is not None and client_certificate != "optional"
    if not isinstance(names, (Mapping, type(None))):
        raise TypeError(f"names must be a dict of names and contexts, not {names!r:.80}")
    offered, contexts = protocols(alpn), dict(names or {})
    _check_names(contexts, required)
    make = partial(
        _make_server,
        _text("certificate", certificate),
        None if key is None else _text("key", key),
        password,
        None if client_ca is None else _text("client_ca", client_ca),
        required,
        offered,
        contexts,
        None if keylog is None else _text("keylog", keylog),
    )
    context = make(ServerContext)
    assert isinstance(context, ServerContext)
    if client_ca is not None:
        _trust_alike(context, _text("client_ca", client_ca), contexts)
    context.remember(partial(make, ssl.SSLContext), contexts.values())
    return context


def _trust_alike(context: ssl.SSLContext, client_ca: str, contexts: Mapping[str, ssl.SSLContext]) -> None:
    """Let the contexts by name trust the same authorities.

    OpenSSL asks the authorities of the context that was chosen. They must not differ: a session that began under one
    name can be resumed under another one, and then no certificate is asked for.
    """
    from .pem import authorities
    from .reloading import ServerContext

    trusted = set(context.get_ca_certs(binary_form=True))
    for name, one in contexts.items():
        newest = one.newest if isinstance(one, ServerContext) else one
        if not trusted.issuperset(newest.get_ca_certs(binary_form=True)):
            raise ValueError(f"names[{name!r}] trusts other authorities than {client_ca}, and so would let in others")
    more = authorities(client_ca)
    for one in contexts.values():
        one.load_verify_locations(**more)


def _check_names(contexts: Mapping[str, ssl.SSLContext], required: bool) -> None:
    import ssl

    from .reloading import as_asked_for

    known: dict[str, str] = {}
    for name, context in contexts.items():
        if not isinstance(context, ssl.SSLContext):
            raise TypeError(f"names[{name!r}] must be an ssl.SSLContext, not {context!r}")
        if context.protocol == ssl.PROTOCOL_TLS_CLIENT:
            raise ValueError(f"names[{name!r}] is a context for clients: it needs one as server_context() makes it")
        if not isinstance(name, str):
            raise TypeError(f"names: a name must be a str, not {name!r:.80}")
        if not _ASKED_FOR.fullmatch(name):
            raise ValueError(f"names: {name!r} matches no name: a client asks for a host's name without a port or path")
        if "*" in name.removeprefix("*."):
            raise ValueError(
                f"names: {name!r} matches no name; '*' stands for the first label only, as in '*.example.org'"
            )
        try:
            twin = known.setdefault(as_asked_for(name), name)
        except UnicodeError as error:
            raise UnicodeError(f"names: {error}") from None
        if twin != name:
            raise ValueError(f"names: {twin!r} and {name!r} are the same name")
        if context.verify_mode == ssl.CERT_REQUIRED and not required:
            raise ValueError(f"names[{name!r}] requires a certificate of clients, which only the first context can do")


def _make_server(
    certificate: str,
    key: str | None,
    password: str | None,
    client_ca: str | None,
    required: bool,
    alpn: tuple[str, ...],
    names: dict[str, ssl.SSLContext],
    keylog: str | None,
    kind: type[ssl.SSLContext],
) -> ssl.SSLContext:
    import ssl

    from .pem import authorities, naming
    from .reloading import choose_by_name

    context = kind(ssl.PROTOCOL_TLS_SERVER)
    _set_up(context, certificate, key, password, alpn, keylog)
    context.set_ciphers(_CIPHERS)
    if client_ca is not None:
        with naming(client_ca):
            context.load_verify_locations(**authorities(client_ca))
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    choose_by_name(context, names)
    return context


def _set_up(
    context: ssl.SSLContext,
    certificate: str | None,
    key: str | None,
    password: str | None,
    alpn: tuple[str, ...],
    keylog: str | None,
) -> None:
    import ssl

    from .pem import load_certificate

    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | getattr(ssl, "OP_NO_RENEGOTIATION", 0)
    if certificate is not None:
        load_certificate(context, certificate, key, password)
    elif key is not None:
        raise ValueError("a key needs its certificate")
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if keylog is None:
        keylog = os.environ.get("SSLKEYLOGFILE") or None
    if keylog is not None:
        context.keylog_filename = keylog


def _text(name: str, path: Path) -> str:
    """Return a path as text. Raises TypeError for bytes, ValueError for "" and for what such a file contains."""
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else path
    if isinstance(text, (str, bytes)) and ("-----BEGIN" if isinstance(text, str) else b"-----BEGIN") in text:
        wrong = f"{name} must be a path, not text in PEM"  # which may be secret
        if name.endswith("ca"):
            wrong += "; the context's load_verify_locations(cadata=...) takes that"
        raise ValueError(wrong) if isinstance(text, str) else TypeError(wrong)
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a path, not {path!r:.80}")
    if not text:
        raise ValueError(f"{name} must be a path, not an empty text")  # which `ssl` would take for none
    return text


def protocols(alpn: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the protocols.

    Raises TypeError for anything but a series of str, also for one str, which would be taken letter by letter;
    ValueError for a name that ALPN cannot have.
    """
    if isinstance(alpn, (str, bytes)) or not isinstance(alpn, Iterable):
        raise TypeError(f"alpn must be a sequence of names, not {alpn!r}")
    names = tuple(alpn)
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"alpn: the name of a protocol must be a str, not {name!r:.80}")
        if not (name.isascii() and 0 < len(name) < 256):
            raise ValueError(f"alpn: the name of a protocol has 1 to 255 characters of ASCII, not {name!r:.80}")
    return names


@lru_cache(maxsize=16)
def default_client_context(alpn: tuple[str, ...]) -> ssl.SSLContext:
    """Return client_context(alpn=...), the same one for the same protocols."""
    return client_context(alpn=alpn)
