"""LuaSec's connections: TLS over the descriptor of another object, with an explicit handshake.

Every call can be made again after 'wantread' or 'wantwrite', which LuaSec returns for an expired timeout. The engine is
made at the handshake, because a client's name for the server has to be known by then.
"""

from __future__ import annotations

import re
import ssl
import sys
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import Any, Literal

from pollers import Busy, Closed, Operation

from ...sockets.hostnames import ascii_name
from ...sockets.socket import make, place_of
from ...sockets.tcp import TCP
from ...streams.buffer import BLOCK
from ...threads.loop import newthread
from ...threads.thread import currentthread
from ...tls.engine import Engine
from .. import options
from ..calls import call, in_thread
from ..messages import Message
from ..objects import Named
from ..transfer import TransferObject
from .channel import Channel
from .parameters import Context, context_of
from .reasons import reason_of
from .x509 import Certificate

# As SSL_CIPHER_description() prints it.
_DESCRIPTION = re.compile(
    r"(?P<cipher>\S+)\s+(?P<protocol>\S+)\s+Kx=(?P<key>\S+)\s+Au=(?P<authentication>\S+)"
    r"\s+Enc=(?P<encryption>\S+)\s+Mac=(?P<mac>\S+)"
)


GOODBYE_S = 10.0
"""How long a closed connection waits for its peer to receive what was sent, in seconds."""


class Connection(Named, TransferObject):
    """A TLS connection. Made by wrap(). Close it with close() or `with`; otherwise there is a warning.

    settimeout(), getstats() and others are those of TCP objects. The handshake is made by dohandshake() only: before
    it, receive() and send() return 'closed'.
    """

    __slots__ = ("_channel", "_context", "_has_failed", "_name_asked", "_names", "_strict", "_wanted")

    _kind = "ssl"
    _settable = options.settable("tcp")
    _gettable = options.gettable("tcp")

    def __init__(self, context: Context, sock: TCP | None, made_at: str) -> None:
        super().__init__(None if sock is None else sock.family, "client", made_at)
        self._context = context
        self._sock = sock
        self._closed = sock is None
        self._channel: Channel | None = None
        self._name_asked: str | None = None
        self._names: dict[str, ssl.SSLContext] = {}
        self._strict = False
        self._wanted = "nothing"
        self._has_failed = False  # an error of TLS was returned after the handshake

    def _make(self, family: str, fileno: int | None = None) -> TCP:
        return TCP(make(family, "tcp", None, fileno), None, self._made_at)

    # The handshake.

    def sni(self, names: str | Mapping[str, Context], strict: bool = False) -> None:
        """Choose the name for the handshake (SNI). Call it before dohandshake().

        A client asks for the server by this name. It is not compared with the server's certificate, as in LuaSec,
        unless the context is an ssl.SSLContext that checks names. A server has a dict of names and contexts: a client
        that asks for one of the names gets the certificate of its context. `strict`: the handshake with a client that
        asks for another name fails. Raises TypeError if the argument does not fit.
        """
        if self._context.mode == "client":
            if not isinstance(names, str):
                raise TypeError(f"string expected, got {type(names).__name__}")
            self._name_asked = ascii_name(names) or None
            return
        if not isinstance(names, Mapping):
            raise TypeError(f"dict expected, got {type(names).__name__}")
        for name, context in names.items():
            if not isinstance(name, str) or not isinstance(context, Context):
                raise TypeError(f"name and context expected, got {name!r} and {context!r}")
        if self._context.sslcontext.sni_callback not in (None, _choose):
            raise ValueError("this context chooses by the name itself")
        self._names = {name: context.sslcontext for name, context in names.items()}
        self._strict = bool(strict)

    def dohandshake(self) -> Operation[tuple[bool, Message | None]]:
        """Make the handshake, or continue it; return (True, None) or (False, err).

        'wantread' and 'wantwrite': the timeout has expired; call it again, with a timeout of 0 when select() tells that
        the socket is ready. 'closed': the object or the connection was closed. Other errors are OpenSSL's, such as
        'certificate verify failed', and final. After a cancellation it can be continued as well.
        """
        return self._dohandshake()

    @call
    def _dohandshake(self) -> Generator[Any, None, tuple[bool, Message | None]]:
        waits = self._timeouts.begin()
        reading = self._reading.take()
        try:
            writing = self._writing.take()
            try:
                reading.thread = writing.thread = currentthread()
                channel = self._begun_channel()
                self._wanted = "nothing"
                yield from waits.limit(channel.shake())
            except OSError as error:
                return False, self._text(error, "writing")
            finally:
                writing.thread = None
                writing.free = None
        finally:
            reading.thread = None
            reading.free = None
        return True, None

    def _begun_channel(self) -> Channel:
        if self._channel is None:
            sock, context = self._opened, self._context.sslcontext
            server_side = self._context.mode == "server"
            if server_side and context.sni_callback is None:
                context.sni_callback = _choose
            engine = Engine(
                context,
                server_side=server_side,
                server_hostname=None if server_side else self._name_asked,
                ragged_end=self._context.ragged_end,
            )
            ssl_object: Any = engine.ssl_object
            ssl_object.name_choice = _NameChoice(self._names, self._strict)
            self._channel = Channel(sock, engine)
        elif self._closed:
            raise Closed
        return self._channel

    @property
    def _stream(self) -> Channel:
        channel = self._established
        self._wanted = "nothing"
        return channel

    @property
    def _established(self) -> Channel:
        """The channel. Raises Closed before the handshake and after close()."""
        if self._closed or self._channel is None or not self._channel.established:
            raise Closed
        return self._channel

    def _text(self, error: OSError, side: Literal["reading", "writing"]) -> Message:
        if isinstance(error, TimeoutError) and error.errno is None:
            sends = side == "writing" and self._channel is not None and self._channel.sends
            self._wanted = "write" if sends else "read"
            return Message(f"want{self._wanted}")
        if isinstance(error, ssl.SSLError) and self._channel is not None and self._channel.established:
            if self._has_failed:
                return Message("closed")
            self._has_failed = True
        return reason_of(error)

    def _kept(self) -> int:
        return 0 if self._channel is None else self._channel.forget_ahead()

    def want(self) -> str:
        """Return what the last call waited for when its timeout expired: "read" or "write"; otherwise "nothing"."""
        return "nothing" if self._closed else self._wanted

    def dirty(self) -> bool:
        """Return whether a receive would return something that select() on the descriptor cannot see."""
        with suppress(Busy, Closed):
            claim = self._reading.take()
            try:
                data = self._established.at_hand(BLOCK)
                if data:
                    self._buffer.add(data)
                elif data is not None:
                    return True
            finally:
                claim.free = None
        return super().dirty()

    # What the connection is.

    @property
    def _ssl_object(self) -> Any:
        return self._established.ssl_object

    def info(self, field: str | None = None) -> tuple[Any, Message | None]:
        """Return (a dict about the cipher, None), or (one field of it, None); or (None, 'closed').

        The fields: "protocol", "cipher", "bits", "algbits", "key", "authentication", "encryption", "mac", "export",
        "compression".
        """
        try:
            ssl_object = self._ssl_object
        except Closed as error:
            return None, reason_of(error)
        name, _, bits = ssl_object.cipher()
        told = next(cipher for cipher in self._context.sslcontext.get_ciphers() if cipher["name"] == name)
        described = _DESCRIPTION.match(told["description"])
        about: dict[str, Any] = {} if described is None else described.groupdict()
        about |= {"bits": bits, "algbits": told["alg_bits"], "protocol": ssl_object.version(), "export": False}
        about["compression"] = ssl_object.compression()
        return (about if field is None else about.get(field)), None

    def getalpn(self) -> str | None:
        """Return the protocol that both sides agreed on (ALPN), None if they have not."""
        return None if self._channel is None else self._channel.ssl_object.selected_alpn_protocol()

    def getsniname(self) -> str | None:
        """Return the name of the server that the client asks for (SNI), None if there is none."""
        if self._context.mode == "client":
            return self._name_asked
        ssl_object: Any = None if self._channel is None else self._channel.ssl_object
        if self._context.sslcontext.sni_callback is not _choose:  # that of a server_context()
            return getattr(ssl_object, "server_name", None)
        return None if ssl_object is None else ssl_object.name_choice.asked

    def getpeercertificate(self, n: int = 1) -> tuple[Certificate | None, Message | None]:
        """Return (certificate, None): the peer's own, or the `n`th of its chain; (None, None) if there is none.

        (None, err): 'closed', 'invalid certificate index'.
        """
        chain, err = self.getpeerchain()
        if chain is None:
            return None, err
        if n < 1:
            return None, Message("invalid certificate index")
        return (chain[n - 1] if n <= len(chain) else None), None

    def getpeerchain(self) -> tuple[list[Certificate] | None, Message | None]:
        """Return (certificates that the peer has sent, None), its own first; or (None, 'closed')."""
        try:
            ssl_object = self._ssl_object
        except Closed as error:
            return None, reason_of(error)
        return [Certificate(der) for der in _chain(ssl_object)], None

    def getpeerverification(self) -> tuple[bool, str | None]:
        """Return (True, None) if the peer's certificate was verified, or none was asked for; or (False, err).

        OpenSSL verifies a server's certificate even if the client does not require that (`verify="none"`), and LuaSec
        tells the result. Python's `ssl` does not: the result is (False, 'not verified') then.
        """
        try:
            ssl_object = self._ssl_object
        except Closed as error:
            return False, reason_of(error)
        if self._context.mode == "client" and ssl_object.context.verify_mode == ssl.CERT_NONE:
            return False, Message("not verified")
        return True, None

    def getfinished(self) -> tuple[bytes | None, Message | None]:
        """Return (the Finished message that we sent, None), for a client only; or (None, err)."""
        return self._finished("client")

    def getpeerfinished(self) -> tuple[bytes | None, Message | None]:
        """Return (the Finished message of the peer, None), for a server only; or (None, err)."""
        return self._finished("server")

    def _finished(self, mode: str) -> tuple[bytes | None, Message | None]:
        """Return the client's Finished message, the first of a handshake: Python's `ssl` has no other."""
        try:
            ssl_object = self._ssl_object
        except Closed as error:
            return None, reason_of(error)
        if self._context.mode != mode:
            return None, Message("not supported")
        return ssl_object.get_channel_binding("tls-unique"), None

    def getpeername(self) -> tuple[str | None, int | Message | None, str | None]:
        """Return (ip, port, family) of the peer, with "inet" or "inet6"; or (None, err, None)."""
        return self._name("getpeername")

    def _name(self, which: str) -> tuple[str | None, int | Message | None, str | None]:
        if self._family == "unix":
            return None, Message("not supported"), None
        return super()._name(which)

    # The end.

    def _shut(self, how: int) -> None:
        if self._channel is not None and self._channel.established:
            self._channel.shutdown(how)
        else:
            super()._shut(how)

    def setfd(self, fd: int) -> None:
        """Replace the descriptor by `fd`, before the handshake. The old one stays open, and belongs to the caller.

        -1 only gives up the old one. Raises ValueError after the beginning of the handshake.
        """
        if self._channel is not None:
            raise ValueError("invalid SSL object state")
        super().setfd(fd)

    def close(self) -> int:
        """Send a close_notify and close the socket. Return 1. A second close does nothing.

        It waits only in a script, and only if the peer does not receive: for 10 seconds at most. In a thread, another
        thread does that. Calls that wait return 'closed', and then nothing is sent that would need a wait.
        """
        channel = self._channel
        if channel is not None and not self._closed and channel.say_goodbye_at_once() and not self._in_use():
            self._closed, self._sock = True, None
            self._forget()
            lingering = self._linger(channel)
            if in_thread():
                newthread(lingering, name="close_notify")
        return super().close()

    def _in_use(self) -> bool:
        try:
            self._refuse_if_in_use("reading")
            self._refuse_if_in_use("writing")
        except Busy:
            return True
        return False

    @call
    def _linger(self, channel: Channel) -> Generator[Any, None, None]:
        yield from channel.linger(GOODBYE_S)

    def __repr__(self) -> str:
        return f"SSL connection: {id(self):#x}{' (closed)' if self._closed else ''}"


def wrap(sock: Any, cfg: Any) -> tuple[Connection | None, Message | None]:
    """Take over the descriptor of a connected object for TLS; return (connection, None) or (None, err).

    `cfg`: parameters as for newcontext(), a context that it has made, or an ssl.SSLContext. `sock` has no descriptor
    from then on. Its timeouts are not taken over. If it has received bytes that nobody has taken, the result is
    (None, err): they came in plain text, and an attacker may have added them. Raises TypeError if `cfg` is no context.
    """
    context, err = context_of(cfg)
    if context is None:
        return None, err
    if callable(getattr(sock, "dirty", None)) and sock.dirty():
        return None, Message("bytes came in plain text before TLS could begin")
    made_at = place_of(sys._getframe(1))
    fd = sock.getfd()
    sock.setfd(-1)
    taken = TCP(make("inet", "tcp", None, fd), None, made_at) if fd >= 0 else None
    return Connection(context, taken, made_at), None


class _NameChoice:
    """What a server's connection chooses by the client's name, and that name."""

    def __init__(self, names: dict[str, ssl.SSLContext], strict: bool) -> None:
        self.names = names
        self.strict = strict
        self.asked: str | None = None


def _choose(ssl_object: Any, name: str | None, _: ssl.SSLContext) -> int | None:
    """OpenSSL calls this in the handshake. The context's callback is the same for all connections."""
    choice: _NameChoice | None = getattr(ssl_object, "name_choice", None)
    if choice is None:  # a connection that was not made here has the same context
        return None
    choice.asked = name
    if name is None:
        return None
    context = choice.names.get(name)
    if context is not None:
        ssl_object.context = context
    elif choice.strict:
        return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
    return None


def _chain(ssl_object: Any) -> list[bytes]:
    """Return the certificates that the peer has sent, in DER."""
    der = 2  # _ssl.ENCODING_DER
    # Python 3.13 has a public method for this, which fails if a client has no certificate: its chain has a None then.
    return [one.public_bytes(der) for one in ssl_object._sslobj.get_unverified_chain() or () if one is not None]
