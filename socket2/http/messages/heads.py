"""The heads of requests and responses: a complete head becomes an object, or a ProtocolError.

The request line and all rules about the meaning of fields are here and in `framing`, so they are the same whichever
checker decides about the syntax. Only the fields that frame a message are looked for; the others are split when the
program asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from .bounds import Limits
from .errors import ProtocolError
from .fields import Fields
from .framing import UNTIL_CLOSE, Framing
from .syntax import Checker, Pattern, problem_of
from .target import Target, is_host, parse_target

_KNOWN = """
GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY ACL BIND CHECKOUT COPY LINK LOCK MERGE MKACTIVITY MKCALENDAR
MKCOL MOVE M-SEARCH NOTIFY PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH SUBSCRIBE UNBIND UNLINK UNLOCK UNSUBSCRIBE
"""
METHODS = {name.encode("ascii"): name for name in _KNOWN.split()}
"""The methods of requests. Others get 501."""

_UNUSUAL = ("HEAD", "CONNECT")

_FRAMING = re.compile(rb"\r\n(?i:(host|content-length|transfer-encoding|connection|expect|upgrade)):([^\r]*)").findall
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}").fullmatch
_VERSION = re.compile(rb"HTTP/([0-9])\.[0-9]").fullmatch
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?").fullmatch


class RequestHead:
    """A request without its body. Comes as an event; what is in it has been checked. It does not change."""

    __slots__ = (
        "_target",
        "body",
        "expects_continue",
        "host",
        "keep_alive",
        "method",
        "minor",
        "raw",
        "raw_target",
        "upgrade",
        "usual",
    )

    def __init__(self, method: str, raw_target: bytes, minor: int, raw: bytes) -> None:
        self.method = method
        self.raw_target = raw_target
        self.minor = minor  # of the version: 0 for HTTP/1.0, 1 for HTTP/1.1
        self.raw = raw  # the whole head
        self._target: Target | None = None
        self.body = 0  # its length, or CHUNKED
        self.host = b""  # and port: of the target if it names one, else of the Host field
        self.keep_alive = True  # whether the client can send another request on this connection
        self.expects_continue = False  # whether the client waits for 100 (Continue) before it sends the body
        self.upgrade: bytes | None = None  # the value of Upgrade, if the client offers one
        self.usual = minor == 1 and method not in _UNUSUAL  # whether all rules for answers are the usual ones

    @property
    def fields(self) -> Fields:
        """The fields, made anew for each call."""
        return Fields.received(self.raw[self.raw.find(b"\r\n") + 2 : -2])

    @property
    def target(self) -> Target:
        target = self._target
        if target is None:
            target = self._target = parse_target(self.method, self.raw_target)
        return target

    def __repr__(self) -> str:
        return f"<{self.method} {self.raw_target.decode('ascii')} HTTP/1.{self.minor}>"


class ResponseHead:
    """A response without its body. Comes as an event; what is in it has been checked."""

    __slots__ = ("_block", "_fields", "body", "keep_alive", "minor", "reason", "status")

    def __init__(self, status: int, reason: str, minor: int, block: bytes) -> None:
        self.status = status
        self.reason = reason
        self.minor = minor
        self._block = block
        self._fields: Fields | None = None
        self.body = 0  # its length, CHUNKED or UNTIL_CLOSE
        self.keep_alive = True  # whether the server can answer another request on this connection

    @property
    def fields(self) -> Fields:
        fields = self._fields
        if fields is None:
            fields = self._fields = Fields.received(self._block)
        return fields

    def __repr__(self) -> str:
        return f"<HTTP/1.{self.minor} {self.status} {self.reason}>"


def check_request_line(line: bytes, limits: Limits) -> tuple[str, bytes, int]:
    """Return the method, target and minor version of a request line. Raises ProtocolError."""
    try:
        name, target, version = line.split(b" ")
    except ValueError:
        raise ProtocolError("the request line must be a method, a target and a version") from None
    method = METHODS.get(name)
    if method is None:
        if not _METHOD(name):
            raise ProtocolError("the method is not a token")
        raise ProtocolError("the method is not implemented", 501)
    if version == b"HTTP/1.1":
        minor = 1
    elif version == b"HTTP/1.0":
        minor = 0
    else:
        is_other = _VERSION(version)
        raise ProtocolError("the version must be HTTP/1.1 or HTTP/1.0", 505 if is_other else 400)
    if len(target) > limits.target_bytes:
        raise ProtocolError("the request target is too long", 414)
    if not target.isascii() or b"#" in target or not target:
        raise ProtocolError("the request target has characters that must be percent-encoded")
    return method, target, minor


def parse_request(head: bytes, limits: Limits, checker: Checker) -> RequestHead:
    """Make a request of a complete head, which ends with an empty line. Raises ProtocolError."""
    end = head.find(b"\r\n")
    method, target, minor = check_request_line(head[:end], limits)
    if head.count(b"\r\n") > limits.head_fields + 2:
        raise ProtocolError("there are too many fields", 431)
    is_well_formed = checker.check(head)
    request = RequestHead(method, target, minor, head)
    found = _FRAMING(head, end)
    if is_well_formed and len(found) == 1 and minor and method != "CONNECT":
        name, value = found[0]
        if len(name) == 4:  # most requests: Host, and nothing else of meaning here
            host = value.strip(b" \t")
            if not is_host(host):
                raise ProtocolError("the Host is not a host and a port")
            request.host = host
            if not target.startswith(b"/"):
                _apply_target(request)
            return request
    _apply(request, Framing(found))
    if not is_well_formed:
        raise ProtocolError(problem_of(head))
    return request


def _apply(request: RequestHead, framing: Framing) -> None:
    """Apply the rules of framing to a request."""
    minor = request.minor
    request.body = framing.of_request(request.method, minor)
    request.keep_alive = framing.keeps_alive(minor)
    if len(framing.hosts) != 1 and (minor or framing.hosts):
        raise ProtocolError("there must be one Host")
    if framing.hosts:
        if not is_host(framing.hosts[0]):
            raise ProtocolError("the Host is not a host and a port")
        request.host = framing.hosts[0]
    _apply_target(request)
    if minor:
        for expected in framing.expect:
            if expected != b"100-continue":
                raise ProtocolError("the expectation is unknown", 417)
            request.expects_continue = request.body != 0
        if any(framing.upgrade) and b"upgrade" in framing.connection:
            request.upgrade = b", ".join(framing.upgrade)


def _apply_target(request: RequestHead) -> None:
    """Check the target. One that names a host overrides the Host field. RFC 9112, 3.2.2."""
    target = request.target
    if target.authority:
        request.host = target.authority


def parse_response(head: bytes, method: str, limits: Limits, checker: Checker) -> ResponseHead:
    """Make a response to a request with `method` of a complete head. Raises ProtocolError."""
    end = head.find(b"\r\n")
    line = _STATUS_LINE(head[:end])
    if line is None:
        raise ProtocolError("the first line of the response is malformed")
    if head.count(b"\r\n") > limits.head_fields + 2:
        raise ProtocolError("the response has too many fields", 431)
    is_well_formed = checker.check(head)
    minor, status = int(line[1]), int(line[2])
    response = ResponseHead(status, (line[3] or b"").decode("latin-1"), minor, head[end + 2 : -2])
    framing = Framing(_FRAMING(head, end))
    response.body = framing.of_response(method, status, minor)
    response.keep_alive = framing.keeps_alive(minor) and response.body != UNTIL_CLOSE
    if status == 101 and not (any(framing.upgrade) and b"upgrade" in framing.connection):
        raise ProtocolError("the response changes the protocol, but does not say to which")
    if not is_well_formed:
        raise ProtocolError(problem_of(head))
    return response


def checkers() -> dict[str, Callable[[bool], Checker]]:
    """Return the kinds of checkers that there are, the preferred one first. Their argument: whether for responses."""
    try:
        from .llhttp import Llhttp
    except ImportError:
        return {"python": Pattern}
    return {"llhttp": Llhttp, "python": Pattern}


_Checker = next(iter(checkers().values()))
REQUESTS: Checker = _Checker(False)
RESPONSES: Checker = _Checker(True)
