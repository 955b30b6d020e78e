"""The heads of requests and responses: a complete head becomes an object, or a ProtocolError.

The request line and all rules about the meaning of fields are here and in `framing`, so they are the same whichever
checker decides about the syntax. Only the fields that frame a message are looked for; the others are split when the
program asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import cast

from .bounds import Limits
from .compiled import Compiled, compiled, learn, tell
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

# Methods of requests for a path, and paths that need no further look.
_ORIGIN = {name: method for name, method in METHODS.items() if method != "CONNECT"}
_PATH = re.compile(rb"/[!\"$-~]*+").fullmatch

_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade"))
_INITIALS = frozenset(b"HhCcTtEeUu")
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}").fullmatch
_VERSION = re.compile(rb"HTTP/([0-9])\.[0-9]").fullmatch
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?").fullmatch


class RequestHead:
    """A request without its body. Comes as an event; what is in it has been checked. It does not change.

    `minor`: of the version, 0 for HTTP/1.0. `raw`: the whole head; `block`: what is behind its first line. `body`: its
    length, or CHUNKED. `host`: and port, of the target if it names one, else of the Host field. `keep_alive`: whether
    the client can send another request on this connection. `expects_continue`: whether it waits for 100 (Continue)
    before it sends the body. `upgrade`: the value of Upgrade if the client offers one, else None. `usual`: whether all
    rules for answers are the usual ones. `origin`: whether the target is a path, and the version HTTP/1.1.
    """

    __slots__ = (
        "block",
        "body",
        "expects_continue",
        "host",
        "keep_alive",
        "method",
        "minor",
        "origin",
        "raw",
        "raw_target",
        "upgrade",
        "usual",
    )

    method: str
    raw_target: bytes
    minor: int
    origin: bool
    raw: bytes
    block: bytes
    body: int
    host: bytes
    keep_alive: bool
    expects_continue: bool
    upgrade: bytes | None
    usual: bool

    @property
    def fields(self) -> Fields:
        """The fields, made anew for each call."""
        return Fields.received(self.block[2:-2])

    @property
    def target(self) -> Target:
        """The parts of the target, taken apart anew for each call."""
        return parse_target(self.method, self.raw_target)

    def __repr__(self) -> str:
        return f"<{self.method} {self.raw_target.decode('ascii')} HTTP/1.{self.minor}>"


# Makes a request whose attributes are still to be set, for a quarter of the time of a call of the class.
new_request = cast("Callable[[type[RequestHead]], RequestHead]", RequestHead.__new__)


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
    def block(self) -> bytes:
        """The lines of the fields, as they came."""
        return self._block

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


def parse_request(head: bytes, limits: Limits, checker: Checker, before: RequestHead | None = None) -> RequestHead:
    """Make a request of a complete head, which ends with an empty line. Raises ProtocolError.

    `before`: an earlier request. Clients like to repeat themselves: what was found out about its fields is true of
    fields that are equal.
    """
    if checker.usual is not None and (usual := checker.usual(head, limits)) is not None:
        return cast("RequestHead", usual)
    end = head.find(b"\r\n")
    try:
        name, target, version = head[:end].split(b" ")
    except ValueError:
        name = target = version = b""
    method = _ORIGIN.get(name)
    block = head[end:]
    request = new_request(RequestHead)
    if method is None or version != b"HTTP/1.1" or not _PATH(target) or len(target) > limits.target_bytes:
        before = None
        request.method, request.raw_target, request.minor = check_request_line(head[:end], limits)
    else:
        request.method, request.raw_target, request.minor = method, target, 1
    request.raw = head
    request.block = block
    if before is not None and before.block == block and before.origin:
        request.body = before.body
        request.host = before.host
        request.keep_alive = before.keep_alive
        request.expects_continue = before.expects_continue
        request.upgrade = before.upgrade
        request.usual = method != "HEAD"
        request.origin = True
        return request
    _apply(request, limits)
    if not checker.check(head):
        raise ProtocolError(problem_of(head))
    return request


def simple_request(method: str) -> RequestHead:
    """Return a request without fields, for what is none."""
    request = new_request(RequestHead)
    request.method, request.raw_target, request.minor, request.raw, request.block = method, b"*", 1, b"", b"\r\n\r\n"
    request.body, request.host, request.keep_alive, request.expects_continue = 0, b"", True, False
    request.upgrade, request.usual, request.origin = None, False, False
    return request


def framing_of(block: bytes) -> list[tuple[bytes, bytes]]:
    """Return the fields that frame a message: names in lower case, values as they came."""
    found = []
    for line in block.split(b"\r\n"):
        if line and line[0] in _INITIALS:
            name, _, value = line.partition(b":")
            name = name.lower()
            if name in _FRAMING:
                found.append((name, value))
    return found


def _apply(request: RequestHead, limits: Limits) -> None:
    """Find out what the fields of a request say about the message, and apply the rules. Raises ProtocolError."""
    block, method, minor = request.block, request.method, request.minor
    if len(block) > 4 * limits.head_fields and block.count(b"\r\n") > limits.head_fields + 2:
        raise ProtocolError("there are too many fields", 431)
    request.body = 0
    request.keep_alive = True
    request.expects_continue = False
    request.upgrade = None
    request.usual = minor == 1 and method not in _UNUSUAL
    request.origin = minor == 1 and request.raw_target.startswith(b"/") and method != "CONNECT"
    found = framing_of(block)
    if request.origin and len(found) == 1 and found[0][0] == b"host":
        request.host = found[0][1].strip(b" \t")
        if not is_host(request.host):
            raise ProtocolError("the Host is not a host and a port")
        return
    framing = Framing(found)
    request.body = framing.of_request(method, minor)
    request.keep_alive = framing.keeps_alive(minor)
    request.host = _host_of(request, framing)
    if minor:
        for expected in framing.expect:
            if expected != b"100-continue":
                raise ProtocolError("the expectation is unknown", 417)
            request.expects_continue = request.body != 0
        if any(framing.upgrade) and b"upgrade" in framing.connection:
            request.upgrade = b", ".join(framing.upgrade)


def _host_of(request: RequestHead, framing: Framing) -> bytes:
    """Return the host that the target names, or else the Host field. RFC 9112, 3.2.2."""
    hosts = framing.hosts
    if len(hosts) != 1 and (request.minor or hosts):
        raise ProtocolError("there must be one Host")
    if hosts and not is_host(hosts[0]):
        raise ProtocolError("the Host is not a host and a port")
    return request.target.authority or (hosts[0] if hosts else b"")


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
    framing = Framing(framing_of(head[end:]))
    response.body = framing.of_response(method, status, minor)
    response.keep_alive = framing.keeps_alive(minor) and response.body != UNTIL_CLOSE
    if status == 101 and not (any(framing.upgrade) and b"upgrade" in framing.connection):
        raise ProtocolError("the response changes the protocol, but does not say to which")
    if not is_well_formed:
        raise ProtocolError(problem_of(head))
    return response


def checkers() -> dict[str, Callable[[bool], Checker]]:
    """Return the kinds of checkers that there are, the preferred one first. Their argument: whether for responses."""
    kinds: dict[str, Callable[[bool], Checker]] = {}
    if compiled is not None:
        kinds["c"] = Compiled
    with suppress(ImportError):
        from .llhttp import Llhttp

        kinds["llhttp"] = Llhttp
    return kinds | {"python": Pattern}


learn(RequestHead, Limits)
tell(methods=_ORIGIN, checker=Compiled)
_Checker = next(iter(checkers().values()))
REQUESTS: Checker = _Checker(False)
RESPONSES: Checker = _Checker(True)
