"""Certificates, keys and rules for TLS, from Node's options to contexts of the `ssl` module.

In Node a context does not say what is verified or which protocols are offered; each connection does. In the ssl module
the context says it. So a SecureContext makes one context for each such wish, and keeps it: a session can be resumed
only with the context that it came from.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from ...tls.pem import load_certificate
from ..arguments import CONNECT_OPTIONS, SERVER_OPTIONS, SOCKET_OPTIONS, options_of
from ..failures import told
from .failures import unavailable

DEFAULT_MIN_VERSION = "TLSv1.2"
DEFAULT_MAX_VERSION = "TLSv1.3"

_FILES = ("ca", "cert", "key", "passphrase")
_RULES = ("ciphers", "ecdhCurve", "honorCipherOrder", "maxVersion", "minVersion", "secureOptions")
CONTEXT_OPTIONS = frozenset((*_FILES, *_RULES))
_UNAVAILABLE = {
    "pfx": "read PKCS #12: use key and cert",
    "crl": "take revocation lists from memory",
    "dhparam": "take Diffie-Hellman parameters from memory",
    "sigalgs": "choose signature algorithms",
    "sessionTimeout": "set the lifetime of sessions",
    "ticketKeys": "set the keys of session tickets",
    "pskCallback": "use pre-shared keys in all its versions",
    "ALPNCallback": "choose the protocol by a function: use ALPNProtocols",
    "requestOCSP": "ask for OCSP responses",
}
_VERSIONS = {name: ssl.TLSVersion[name.replace(".", "_")] for name in ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")}
_SUITES = frozenset(("TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"))

_OF_NET = SOCKET_OPTIONS | CONNECT_OPTIONS | SERVER_OPTIONS

Choose = Callable[[ssl.SSLObject, str | None, ssl.SSLContext], int | None]


def checked_options(given: Any, named: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Merge options as options_of() does, and say which ones of Node's the ssl module has no way to do.

    None stands for an option of TLS that is not given.
    """
    merged = {**(given if isinstance(given, Mapping) else {}), **named}
    for name in merged.keys() & _UNAVAILABLE.keys():
        raise unavailable(_UNAVAILABLE[name])
    options = options_of(given, named, known)
    return {name: value for name, value in options.items() if value is not None or name in _OF_NET}


def createSecureContext(options: Mapping[str, Any] | None = None, **named: Any) -> SecureContext:
    """Make a context for the option `secureContext`, and for Server.addContext().

    Options: `ca`, `cert`, `key`: PEM as text or bytes, or a pathlib.Path of a file; or a list of these. `ca` may also
    be a directory; by default the system's authorities are trusted. `passphrase`: of the key. `minVersion` ("TLSv1.2"),
    `maxVersion` ("TLSv1.3"), `ciphers`, `honorCipherOrder`, `ecdhCurve`, `secureOptions`. Raises OSError, ssl.SSLError,
    ValueError; NotImplementedError for what Python's ssl module cannot do.
    """
    return SecureContext(checked_options(options, named, CONTEXT_OPTIONS))


class SecureContext:
    """Certificates, keys and rules. Made by createSecureContext()."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)
        self._made: dict[tuple[Any, ...], ssl.SSLContext] = {}
        self._make(ssl.PROTOCOL_TLS_SERVER)  # raises if something is wrong with the options

    def for_client(self, alpn: tuple[str, ...] = (), *, verify: bool = True, names: bool = True) -> ssl.SSLContext:
        """Return the context for connections that offer `alpn`.

        `verify`: refuse a server whose certificate is not trusted; `names`: also one whose certificate is for another
        name.
        """
        key = ("client", alpn, verify, verify and names)
        if key not in self._made:
            self._made[key] = self.for_one_client(alpn, verify=verify, names=names)
        return self._made[key]

    def for_one_client(self, alpn: tuple[str, ...], *, verify: bool, names: bool) -> ssl.SSLContext:
        """Return a new context like that of for_client()."""
        context = self._make(ssl.PROTOCOL_TLS_CLIENT, alpn)
        context.check_hostname = verify and names
        context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
        if verify:
            self._trust(context)
        return context

    def for_trial(self, names: bool) -> ssl.SSLContext:
        """Return the context for verdict.py: a client's, for TLS 1.2."""
        key = ("trial", names)
        if key not in self._made:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.check_hostname = names
            self._trust(context)
            self._made[key] = context
        return self._made[key]

    def for_server(
        self, alpn: tuple[str, ...] = (), *, request: bool = False, reject: bool = True, choose: Choose | None = None
    ) -> ssl.SSLContext:
        """Return a new context for a server. `request`: ask clients for a certificate."""
        context = self._make(ssl.PROTOCOL_TLS_SERVER, alpn)
        if request:
            context.verify_mode = ssl.CERT_REQUIRED if reject else ssl.CERT_OPTIONAL
            self._trust(context)
        if choose is not None:
            context.sni_callback = choose
        return context

    def for_name(self, alpn: tuple[str, ...], request: bool, reject: bool) -> ssl.SSLContext:
        """Return the context of a server for one of its names."""
        key = ("name", alpn, request, reject)
        if key not in self._made:
            self._made[key] = self.for_server(alpn, request=request, reject=reject)
        return self._made[key]

    def _make(self, protocol: Any, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
        options = self._options
        context = ssl.SSLContext(protocol)
        context.minimum_version = _version("minimum", options.get("minVersion", DEFAULT_MIN_VERSION))
        context.maximum_version = _version("maximum", options.get("maxVersion", DEFAULT_MAX_VERSION))
        context.options |= ssl.OP_NO_COMPRESSION | getattr(ssl, "OP_NO_RENEGOTIATION", 0)
        context.options |= options.get("secureOptions", 0)
        if options.get("honorCipherOrder", True):
            context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        if "ciphers" in options:
            _limit_ciphers(context, options["ciphers"])
        if options.get("ecdhCurve", "auto") != "auto":
            context.set_ecdh_curve(options["ecdhCurve"])
        for cert, key, passphrase in _identities(options):
            with _as_file(cert) as cert_file, _as_file(key) as key_file:
                try:
                    load_certificate(context, cert_file, key_file, passphrase)
                except OSError as error:
                    _name_options(error, {"cert": cert_file, "key": key_file})
                    raise
        if alpn:
            context.set_alpn_protocols(list(alpn))
        keylog = os.environ.get("SSLKEYLOGFILE")
        if keylog:
            context.keylog_filename = keylog
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        authorities = self._options.get("ca")
        if not authorities:
            context.load_default_certs()
            return
        for one in _each(authorities):
            if isinstance(one, os.PathLike):
                context.load_verify_locations(**{"capath" if os.path.isdir(one) else "cafile": os.fspath(one)})
            else:
                context.load_verify_locations(cadata=_text(one) if b"-----BEGIN" in _octets(one) else bytes(one))


def _name_options(error: OSError, files: Mapping[str, Any]) -> None:
    """Let the message of an error name the option where it names a file that was made for its PEM."""
    for option, path in files.items():
        if isinstance(path, str) and isinstance(error.strerror, str) and path in error.strerror:
            error.strerror = error.strerror.replace(path, f"the option {option}")
            error.filename = None


@lru_cache(maxsize=32)
def _shared(options: tuple[tuple[str, Any], ...]) -> SecureContext:
    return SecureContext(dict(options))


def context_of(options: Mapping[str, Any]) -> SecureContext:
    """Return the context for these options. Equal ones get the same, unless they name files: these can change."""
    given = options.get("secureContext")
    if given is not None:
        if not isinstance(given, SecureContext):
            wrong = TypeError(f"secureContext must be made by createSecureContext(), not {given!r}")
            raise told(wrong, code="ERR_TLS_INVALID_CONTEXT")
        return given
    own = {name: _fixed(options[name]) for name in sorted(CONTEXT_OPTIONS & options.keys())}
    values = [one for value in own.values() for one in (value if isinstance(value, tuple) else (value,))]
    if any(isinstance(one, (os.PathLike, Mapping)) for one in values):
        return SecureContext(own)
    return _shared(tuple(own.items()))


def _fixed(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(map(_fixed, value))
    return bytes(value) if isinstance(value, (bytearray, memoryview)) else value


def protocols_of(value: Any) -> tuple[str, ...]:
    """Return the names of ALPNProtocols: a list, or bytes with a length before each name."""
    if value is None:
        return ()
    if isinstance(value, str):
        raise told(TypeError(f"ALPNProtocols must be a list of names, not {value!r}"), code="ERR_INVALID_ARG_TYPE")
    names: list[Any] = []
    if isinstance(value, (bytes, bytearray, memoryview)):
        rest = bytes(value)
        while rest:
            names.append(rest[1 : 1 + rest[0]])
            rest = rest[1 + rest[0] :]
    else:
        names = list(value)
    return tuple(_text(name) for name in names)


def _version(which: str, name: Any) -> ssl.TLSVersion:
    try:
        return _VERSIONS[name]
    except (KeyError, TypeError):
        message = f"{name!r} is not a valid {which} TLS protocol version: expected one of {', '.join(_VERSIONS)}"
        raise told(ValueError(message), code="ERR_TLS_INVALID_PROTOCOL_VERSION") from None


def _limit_ciphers(context: ssl.SSLContext, ciphers: str) -> None:
    """Set the ciphers of TLS 1.2. A list without any of those allows TLS 1.3 only, as in Node."""
    names = [name for name in ciphers.split(":") if name]
    suites = {name for name in names if name.startswith(("TLS_", "!TLS_"))}
    older = [name for name in names if name not in suites]
    if suites and not suites >= _SUITES:
        raise unavailable(f"choose among the ciphers of TLS 1.3: name all of {', '.join(sorted(_SUITES))}, or none")
    if older:
        context.set_ciphers(":".join(older))
    else:
        context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_3)


def _identities(options: Mapping[str, Any]) -> Iterator[tuple[Any, Any, str | bytes]]:
    """Return each certificate with its key and the passphrase of that."""
    certs, keys = _each(options.get("cert")), _each(options.get("key"))
    if keys and len(certs) != len(keys):
        raise ValueError(f"there must be one certificate for each key: {len(certs)} certificates, {len(keys)} keys")
    for n, cert in enumerate(certs):
        key = keys[n] if keys else None
        passphrase = options.get("passphrase", "")
        if isinstance(key, Mapping):
            passphrase = key.get("passphrase", passphrase)
            key = key["pem"]
        yield cert, key, passphrase


def _each(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return value if isinstance(value, (list, tuple)) else (value,)


def _octets(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    try:
        return bytes(memoryview(value))
    except TypeError:
        wrong = TypeError(f"a certificate or key must be PEM or a pathlib.Path, not {value!r}")
        raise told(wrong, code="ERR_INVALID_ARG_TYPE") from None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else bytes(value).decode("latin-1")


@contextmanager
def _as_file(value: Any) -> Iterator[Any]:
    """Return a path for PEM, because the ssl module reads files only. On Linux it leads to memory, not to a disk."""
    if value is None or isinstance(value, os.PathLike):
        yield value
        return
    content = _octets(value)
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        with open(os.memfd_create("pem"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory() as folder:  # only this user may enter it
        path = os.path.join(folder, "pem")
        with open(path, "wb") as file:
            file.write(content)
        yield path
