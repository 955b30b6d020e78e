"""LuaSec's contexts: its parameters, in its order and with its errors, as an ssl.SSLContext.

What Python's `ssl` cannot set is an error, "... not supported", and never ignored: most of it is for security.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ..messages import Message
from .options import OPTIONS, PROTOCOLS, RAGGED_END, VERIFY, VERIFY_EXT, limits
from .reasons import reason_of

_CURVES = {"P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1"}
_PAIR = frozenset(("certificate", "key", "password"))
_PARAMETERS = _PAIR.union(
    ("alpn", "cafile", "capath", "certificates", "ciphers", "ciphersuites", "curve", "curveslist"),
    ("dane", "depth", "dhparam", "mode", "options", "protocol", "verify", "verifyext"),
)


class Refused(Exception):
    """A parameter cannot be used."""


class Context:
    """Settings for many connections. Made by newcontext().

    `sslcontext` is the ssl.SSLContext, `mode` is "client" or "server".
    """

    def __init__(self, sslcontext: ssl.SSLContext, mode: str, ragged_end: bool = False) -> None:
        self.sslcontext = sslcontext
        self.mode = mode
        self.ragged_end = ragged_end

    def __repr__(self) -> str:
        return f"SSL context: {id(self):#x}"


def newcontext(params: Mapping[str, Any]) -> tuple[Context | None, Message | None]:
    """Make a context from parameters; return (context, None) or (None, err). See docs/luasocket.md for the parameters.

    This reads files, which blocks for some milliseconds. Raises TypeError if `mode` or `protocol` is missing, or if a
    parameter has the wrong type.
    """
    try:
        return _made(params), None
    except Refused as refused:
        return None, Message(str(refused))


def context_of(cfg: Any) -> tuple[Context | None, Message | None]:
    """Return the context that wrap() was given in any of its forms. Raises TypeError if it is none of them."""
    if isinstance(cfg, Context):
        return cfg, None
    if isinstance(cfg, ssl.SSLContext):
        return Context(cfg, "server" if cfg.protocol == ssl.PROTOCOL_TLS_SERVER else "client"), None
    if isinstance(cfg, Mapping):
        return newcontext(cfg)
    raise TypeError(f"bad argument #2 to 'wrap' (context or parameters expected, got {type(cfg).__name__})")


def _made(params: Mapping[str, Any]) -> Context:
    _check_table("parameters", params, _PARAMETERS)
    protocol, mode = _string(params, "protocol"), _string(params, "mode")
    if protocol not in PROTOCOLS:
        raise Refused(f"invalid protocol ({protocol})")
    if mode not in ("client", "server"):
        raise Refused(f"invalid mode ({mode})")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if mode == "server" else ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.options = ssl.OP_NO_SSLv3 | ssl.OP_NO_COMPRESSION
    context.set_ciphers("DEFAULT")  # OpenSSL's, as in LuaSec; Python has its own
    for pair in _pairs(params):
        _load_pair(context, pair)
    _trust(context, params.get("cafile"), params.get("capath"))
    _choose_ciphers(context, params)
    _verify(context, mode, _words(params, "verify"))
    names = set(_words(params, "options"))
    for name in sorted(names):
        context.options |= _known(OPTIONS, name, "option")
    context.minimum_version, context.maximum_version = limits(protocol, names)
    if params.get("depth") is not None:
        raise Refused("verification depth not supported")
    _choose_groups(context, params)
    for name in _words(params, "verifyext"):
        context.verify_flags |= _known(VERIFY_EXT, name, "verify option")
    _choose_alpn(context, mode, params.get("alpn"))
    if params.get("dane"):
        raise Refused("DANE not supported")
    return Context(context, mode, RAGGED_END in names)


def _check_table(what: str, params: Any, known: frozenset[str]) -> None:
    """Raise TypeError for what is no dict; refuse a parameter that LuaSec does not have: it may be a misspelt one."""
    if not isinstance(params, Mapping):
        raise TypeError(f"{what}: dict expected, got {type(params).__name__}")
    for name in params:
        if name not in known:
            raise Refused(f"parameter not supported ({name})")


def _pairs(params: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Return the parameters with certificates: those in a list, or the parameters themselves."""
    pairs = params.get("certificates")
    if pairs is not None and (isinstance(pairs, (str, bytes, Mapping)) or not isinstance(pairs, Sequence)):
        raise TypeError(f"parameter 'certificates': list expected, got {type(pairs).__name__}")
    for pair in pairs or ():
        _check_table("parameter 'certificates'", pair, _PAIR)
    return pairs or [params]


def _string(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not isinstance(value, str):
        raise TypeError(f"parameter {name!r}: string expected, got {type(value).__name__}")
    return value


def _words(params: Mapping[str, Any], name: str) -> Sequence[str]:
    """Return a parameter that is one string or several."""
    value = params.get(name)
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, (str, Iterable, type(None))):
        raise TypeError(f"parameter {name!r}: string or list expected, got {type(value).__name__}")
    words = [] if value is None else [value] if isinstance(value, str) else list(value)
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"parameter {name!r}: string expected, got {type(word).__name__}")
    return words


def _known(table: Mapping[str, int | None], name: str, what: str) -> int:
    if name not in table:
        raise Refused(f"invalid {what} ({name})")
    bits = table[name]
    if bits is None:
        raise Refused(f"{what} not supported ({name})")
    return bits


def _refused(what: str, error: OSError) -> Refused:
    text = error.strerror if not isinstance(error, ssl.SSLError) and error.strerror else reason_of(error)
    return Refused(f"{what} ({text})")


# Certificates.


def _load_pair(context: ssl.SSLContext, pair: Mapping[str, Any]) -> None:
    """Load a certificate and its key. OpenSSL loads both at once here, so what is wrong is looked for afterwards."""
    certificate, key, password = pair.get("certificate"), pair.get("key"), pair.get("password")
    if password is not None and not isinstance(password, (str, bytes)) and not callable(password):
        raise Refused("invalid password type")
    if certificate is None:
        if key is not None:
            _check_file(key, "error loading private key")
        return
    for path, what in ((key, "error loading private key"), (certificate, "error loading certificate")):
        if path is not None:
            _check_file(path, what)
    try:
        # Without a password OpenSSL would ask for it on the terminal.
        context.load_cert_chain(certificate, key, lambda: _answer(password))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise Refused("private key does not match public key") from None
        if _lacks_certificate(certificate):
            raise Refused("error loading certificate (no start line)") from None
        raise _refused("error loading private key", error) from None


def _check_file(path: str | os.PathLike[str], what: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise _refused(what, error) from None


def _lacks_certificate(path: str | os.PathLike[str]) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError:
        return True
    return False


def _answer(password: Any) -> Any:
    """Return the password. A function that returns no string has none, as in LuaSec."""
    answer = password() if callable(password) else password
    return answer if isinstance(answer, (str, bytes)) else ""


def _trust(context: ssl.SSLContext, cafile: Any, capath: Any) -> None:
    if cafile is None and capath is None:
        return
    try:
        context.load_verify_locations(cafile, capath)
    except OSError as error:
        raise _refused("error loading CA locations", error) from None


def _verify(context: ssl.SSLContext, mode: str, words: Sequence[str]) -> None:
    for word in words:
        if word not in VERIFY:
            raise Refused(f"invalid verify option ({word})")
    if "peer" not in words:
        context.verify_mode = ssl.CERT_NONE
    elif mode == "server" and "fail_if_no_peer_cert" not in words:
        context.verify_mode = ssl.CERT_OPTIONAL
    else:
        context.verify_mode = ssl.CERT_REQUIRED


# Cryptography.


def _choose_ciphers(context: ssl.SSLContext, params: Mapping[str, Any]) -> None:
    for name, method in (("ciphers", "set_ciphers"), ("ciphersuites", "set_ciphersuites")):
        if params.get(name) is None:
            continue
        choose: Callable[[str], None] | None = getattr(context, method, None)
        if choose is None:  # before Python 3.15
            raise Refused(f"{name} not supported")
        try:
            choose(_string(params, name))
        except ssl.SSLError:
            raise Refused("error setting cipher list (no cipher match)") from None


def _choose_groups(context: ssl.SSLContext, params: Mapping[str, Any]) -> None:
    """Set the parameters of Diffie-Hellman, with and without elliptic curves."""
    dhparam = params.get("dhparam")
    if dhparam is not None:
        if not callable(dhparam):
            raise Refused("invalid DH parameter type")
        _load_dh(context, dhparam(False, 1024))  # OpenSSL asks for these, whatever the key is
    if params.get("curveslist") is not None:
        curves = _string(params, "curveslist").split(":")
        if len(curves) > 1:
            raise Refused("list of elliptic curves not supported")
        _choose_curve(context, curves[0], f'unknown elliptic curve in "{curves[0]}"')
    elif params.get("curve") is not None:
        curve = _string(params, "curve")
        _choose_curve(context, curve, f"elliptic curve '{curve}' not supported")


def _choose_curve(context: ssl.SSLContext, curve: str, otherwise: str) -> None:
    try:
        context.set_ecdh_curve(_CURVES.get(curve, curve))
    except (ValueError, ssl.SSLError):
        raise Refused(otherwise) from None


def _load_dh(context: ssl.SSLContext, pem: Any) -> None:
    """Load parameters from text. Nothing, or text of another kind, leaves those of OpenSSL, as in LuaSec."""
    if not isinstance(pem, (str, bytes)):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "dh.pem")
        with open(path, "wb") as file:
            file.write(pem.encode() if isinstance(pem, str) else pem)
        with suppress(ssl.SSLError):
            context.load_dh_params(path)


def _choose_alpn(context: ssl.SSLContext, mode: str, alpn: Any) -> None:
    if alpn is None:
        return
    if mode == "server" and callable(alpn):
        raise Refused("ALPN function not supported")
    if isinstance(alpn, str) and mode == "client":
        alpn = [alpn]
    if isinstance(alpn, (str, bytes, Mapping)) or not isinstance(alpn, Sequence):
        raise Refused("invalid ALPN parameter")
    for name in alpn:
        if not isinstance(name, str):
            raise Refused("invalid ALPN parameter")
        if not name:
            raise Refused("invalid ALPN name (empty string)")
        if not name.isascii():
            raise Refused("invalid ALPN name (not ASCII)")
        if len(name) > 255:
            raise Refused("invalid ALPN name (length > 255)")
    if not alpn:
        raise Refused("invalid ALPN list (empty)")
    context.set_alpn_protocols(list(alpn))
